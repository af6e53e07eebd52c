//! A real local server for callbacks: it keeps what it is sent, and answers as the test says.

use axum::{
    Router,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::Value;
use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// How long a test waits for callbacks before it fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// A callback as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// When it had come in whole.
    pub at: Instant,
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the callback's body is JSON")
    }

    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("the callback has no {name}"));
        value.to_str().expect("the header is text")
    }
}

#[derive(Clone, Debug)]
pub enum Answer {
    Status(u16),
    /// With one header and a body.
    Full(u16, (&'static str, String), String),
    /// After so long.
    Late(Duration, u16),
}

struct Shared {
    received: Mutex<Vec<Received>>,
    next: Mutex<VecDeque<Answer>>,
    otherwise: Mutex<Answer>,
    count: watch::Sender<usize>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test goes on after a panic under this lock")
}

pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Receiver {
    /// Answers 200 until told otherwise.
    pub async fn start() -> Self {
        Self::on(TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port"))
    }

    /// The same on another address of loopback: no function may call 127.0.0.1, where its runtime listens.
    pub async fn start_apart() -> Self {
        let listener = match TcpListener::bind(("127.0.0.2", 0)).await {
            Ok(listener) => listener,
            // Not every system has more than one of version 4.
            Err(_) => TcpListener::bind(("::1", 0)).await.expect("loopback has a second address"),
        };
        Self::on(listener)
    }

    fn on(listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            received: Mutex::default(),
            next: Mutex::default(),
            otherwise: Mutex::new(Answer::Status(200)),
            count: watch::channel(0).0,
        });
        let routes = Router::new().fallback(receive).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            axum::serve(listener, routes).await.expect("the receiver serves until it is dropped");
        });
        Receiver { address, shared, server }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next answers, one each; afterwards what [`Receiver::always`] says.
    pub fn then(&self, answers: impl IntoIterator<Item = Answer>) {
        lock(&self.shared.next).extend(answers);
    }

    pub fn always(&self, answer: Answer) {
        *lock(&self.shared.otherwise) = answer;
    }

    pub fn received(&self) -> Vec<Received> {
        lock(&self.shared.received).clone()
    }

    /// Waits until at least `count` callbacks have come, and answers them all.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let mut seen = self.shared.count.subscribe();
        let enough = tokio::time::timeout(PATIENCE, seen.wait_for(|seen| *seen >= count)).await;
        if enough.is_err() {
            panic!("{} of {count} callbacks came: {:?}", self.received().len(), self.received());
        }
        self.received()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "a real server stands in real time")]
fn arrival() -> Instant {
    Instant::now()
}

async fn receive(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = lock(&shared.next).pop_front().unwrap_or_else(|| lock(&shared.otherwise).clone());
    lock(&shared.received).push(Received { at: arrival(), method, uri, headers, body });
    shared.count.send_modify(|count| *count += 1);
    let status = |code| StatusCode::from_u16(code).expect("the test names a status");
    match answer {
        Answer::Status(code) => status(code).into_response(),
        Answer::Full(code, header, body) => (status(code), [header], body).into_response(),
        Answer::Late(wait, code) => {
            tokio::time::sleep(wait).await;
            status(code).into_response()
        }
    }
}
