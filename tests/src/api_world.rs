//! The whole service on one machine, spoken to over real HTTP: every surface, SQLite in a folder of its own,
//! the driver, and callbacks to private targets allowed unless a test says otherwise.

use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rondo_domain::{
    callback::Links,
    engine::{AppGrant, Engine, NewApp},
    ports::Clock,
};
use rondo_http_api::{Api, ApiSettings};
use rondo_local::{Driver, DriverLimits, LocalStore, Metrics, Options, SystemClock, SystemEntropy};
use rondo_outbound::{
    AddressPolicy, HttpCaller, SealingKey, UrlGuard,
    client::CallerSettings,
    push::{PushSenders, SenderSettings},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use url::Url;

pub struct Setup {
    pub private_targets: bool,
    pub settings: ApiSettings,
    /// Of the database, in pages of 4 KiB.
    pub max_pages: Option<u32>,
    /// Where pushes of apps with an upstream go.
    pub push_gateway: Option<Url>,
    /// Changes the engine before anything uses it: a test's own stores.
    pub alter: fn(&mut Engine),
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            private_targets: true,
            settings: ApiSettings::default(),
            max_pages: None,
            push_gateway: None,
            alter: |_| {},
        }
    }
}

pub struct ApiWorld {
    pub engine: Engine,
    address: SocketAddr,
    /// `first` is who asks unless a test says otherwise.
    pub first: AppGrant,
    pub second: AppGrant,
    vault: SealingKey,
    tasks: Vec<JoinHandle<()>>,
    _folder: TempDir,
}

impl ApiWorld {
    pub async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Self {
        let folder = TempDir::new().expect("there is room for a folder");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let clock = Arc::new(SystemClock);
        let mut options = Options::new(folder.path(), Arc::clone(&clock) as Arc<dyn Clock>);
        options.max_pages = setup.max_pages;
        let store = LocalStore::open(options).expect("an empty folder opens");
        let key = SealingKey::from_bytes([7; 32]);
        let policy = if setup.private_targets {
            AddressPolicy::allowing_private()
        } else {
            AddressPolicy::public_only()
        };
        let caller = CallerSettings::new(policy.clone(), key.clone());
        let caller = HttpCaller::new(caller, Arc::new(|| SystemClock.now())).expect("a caller");
        let entropy = Arc::new(SystemEntropy::new());
        let contact = Some("mailto:tests@rondo.example".to_owned());
        let senders = SenderSettings { gateway: setup.push_gateway, contact };
        let pusher = PushSenders::beside(&caller, senders, entropy.clone()).expect("senders");
        let metrics = Arc::new(Metrics::new(clock.now()));
        let shared = Arc::new(store.clone());
        let mut engine = Engine {
            clock,
            entropy,
            apps: shared.clone(),
            schedules: shared.clone(),
            states: shared.clone(),
            executions: shared.clone(),
            listeners: shared.clone(),
            devices: shared.clone(),
            queue: shared.clone(),
            wakes: shared,
            caller: Arc::new(caller),
            pusher: Arc::new(pusher),
            observer: metrics.clone(),
            statistics: metrics,
            links: Links::new(&format!("http://{address}"), key.derive("links")),
            settings: rondo_local::settings(),
        };
        let grant = |name: &str| NewApp { name: name.to_owned(), ..NewApp::default() };
        let first = engine.create_app(grant("first"), &key).await.expect("an app");
        let second = engine.create_app(grant("second"), &key).await.expect("another app");
        (setup.alter)(&mut engine);
        let driver = Driver::new(engine.clone(), store, DriverLimits::default());
        let api = Arc::new(Api {
            engine: engine.clone(),
            rules: Arc::new(UrlGuard::new(policy)),
            settings: setup.settings,
        });
        let routes: Router = rondo_http_api::router(api);
        let tasks = vec![
            tokio::spawn(async move {
                let _ = driver.run(std::future::pending()).await;
            }),
            tokio::spawn(
                async move { axum::serve(listener, routes).await.expect("it serves until dropped") },
            ),
        ];
        ApiWorld { engine, address, first, second, vault: key, tasks, _folder: folder }
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn vault(&self) -> &SealingKey {
        &self.vault
    }

    /// A request with the first app's credentials. `path` may be a whole URL of this API.
    pub async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Answered {
        self.send_as(&self.first, method, path, body).await
    }

    pub async fn send_as(&self, app: &AppGrant, method: &str, path: &str, body: Option<Value>) -> Answered {
        let authorization = basic(app.key.as_str(), &app.secret);
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        self.raw(method, path, &[("authorization", &authorization)], body.as_bytes()).await
    }

    pub async fn get(&self, path: &str) -> Answered {
        self.send("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answered {
        self.send("POST", path, Some(body)).await
    }

    /// Exactly these headers, beside those that frame the message.
    pub async fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answered {
        let base = self.base();
        let path = path.strip_prefix(&base).unwrap_or(path);
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        if !headers.iter().any(|(name, _)| *name == "content-length" || *name == "transfer-encoding") {
            head += &format!("content-length: {}\r\n", body.len());
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        let mut stream = TcpStream::connect(self.address).await.expect("the API listens");
        stream.write_all(head.as_bytes()).await.expect("the API reads the head");
        // It may have answered before it read the whole body.
        let _ = stream.write_all(body).await;
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes).await;
        assert!(read.is_ok() || !bytes.is_empty(), "no answer to {method} {path}: {read:?}");
        Answered::parse(&bytes, method == "HEAD")
    }

    /// How many schedules the first app has, of any kind.
    pub async fn stored(&self) -> usize {
        let listed = self.get("/v1/schedules?limit=200").await;
        listed.body["schedules"].as_array().expect("a list").len()
    }
}

impl Drop for ApiWorld {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

pub fn basic(key: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{key}:{secret}")))
}

/// An answer, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// JSON; null where there is no body.
    pub body: Value,
}

impl Answered {
    fn parse(bytes: &[u8], headless: bool) -> Self {
        let split = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head");
        let head = std::str::from_utf8(&bytes[..split]).expect("the head is text");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        let body = &bytes[split + 4..];
        assert!(!headless || body.is_empty(), "an answer to HEAD has no body");
        let body = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(body)
                .unwrap_or_else(|why| panic!("{why}: {}", String::from_utf8_lossy(body)))
        };
        Answered { status: status.expect("an answer has a status"), headers: headers.collect(), body }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body of an answer with this status; fails the test otherwise.
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{:#}", self.body);
        self.body
    }

    /// Status and body with everything replaced that differs from run to run.
    pub fn tidy(&self, bases: &[(&str, &str)]) -> Value {
        json!({"status": self.status, "body": tidy(&self.body, bases)})
    }
}

/// Ids, instants, tokens and durations replaced by words; each `(base, word)` in `bases` likewise.
pub fn tidy(value: &Value, bases: &[(&str, &str)]) -> Value {
    match value {
        Value::String(text) => tidy_text(text, bases).into(),
        Value::Array(items) => items.iter().map(|item| tidy(item, bases)).collect(),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| {
                let measured = name.ends_with("_ms") || name.ends_with("Ms");
                let value = if measured && value.is_number() { "[ms]".into() } else { tidy(value, bases) };
                (name.clone(), value)
            });
            Value::Object(members.collect())
        }
        other => other.clone(),
    }
}

fn tidy_text(text: &str, bases: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (base, word) in bases {
        text = text.replace(base, word);
    }
    if let Some((before, _)) = text.split_once("token=") {
        text = format!("{before}token=[token]");
    }
    let mut tidied = String::new();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        if rest.get(..36).is_some_and(is_uuid) {
            tidied += "[id]";
            rest = &rest[36..];
        } else if rest.get(..24).is_some_and(is_instant) {
            tidied += "[instant]";
            rest = &rest[24..];
        } else {
            tidied.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    tidied
}

fn is_uuid(text: &str) -> bool {
    text.bytes().enumerate().all(|(i, byte)| match i {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
}

/// Of these years: instants that a test names itself lie further on.
fn is_instant(text: &str) -> bool {
    text.starts_with("202") && text.ends_with('Z') && text.as_bytes()[10] == b'T'
}
