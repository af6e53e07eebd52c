//! A deployment of the whole service in ministack: template.yaml packaged and deployed by CloudFormation, the
//! functions as programs of this machine, the HTTP API in front. Permissions are checked: each function runs as its
//! own role. What differs from a deployment on AWS stands in `tests/aws/adapt.py` and in [`Times`].

mod control;
mod ledger;
mod programs;

pub use control::Control;
pub use ledger::{Lateness, Ledger};

use crate::{
    api_world::{Answered, basic},
    emulator::{Emulator, checkout, independently},
};
use rondo_aws::{Clients, envelope};
use rondo_domain::message::Delayed;
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};

/// The stack's name, which is the table's and the schedule group's too.
pub const STACK: &str = "rondo";
/// One call of the API, a cold start on a busy machine included.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Times of the deployment that a test cannot wait for, in ms, beside what they are on AWS. The emulator's
/// EventBridge Scheduler looks every 10 s, so a lead has to be longer than that.
pub struct Times {
    /// 840 s
    pub window: u64,
    /// 180 s
    pub lead: u64,
    /// 480 s
    pub lead_spread: u64,
    /// 60 s
    pub grace: u64,
    /// 120 s
    pub resend_after: u64,
    /// 10 s
    pub hold: u64,
    /// 100 s; more than hold and call
    pub visibility: u64,
}

pub const SHORT: Times = Times {
    window: 20_000,
    lead: 12_000,
    lead_spread: 2_000,
    grace: 3_000,
    resend_after: 20_000,
    hold: 4_000,
    visibility: 12_000,
};

/// Key and secret of an app.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub key: String,
    pub secret: String,
}

pub struct Deployment {
    pub emulator: Emulator,
    /// An operator's clients, which may do everything.
    pub clients: Clients,
    /// The stack's, by name.
    pub outputs: Value,
    /// Who asks unless a test says otherwise.
    pub app: Credentials,
    http: reqwest::Client,
    base: String,
}

impl Deployment {
    /// Builds, deploys and makes an app.
    pub async fn start(times: &Times) -> anyhow::Result<Deployment> {
        let programs = programs::functions()?;
        let emulator = Emulator::own_ministack(&[
            ("AUTH", "true"),
            // What each function asks of AWS is on record, for the comparison with what it may do.
            ("CLOUDTRAIL_RECORDING", "1"),
            ("CLOUDTRAIL_MAX_EVENTS", "200000"),
        ]);
        let order = json!({
            "template": checkout().join("template.yaml"),
            "stack": STACK,
            "programs": programs,
            "parameters": {
                "Architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" },
                "AllowPrivateTargets": "true",
                "MaximumConcurrency": "50",
                "PushContact": "mailto:tests@rondo.example",
            },
        });
        let stack = independently(emulator.endpoint(), "deploy.py", &order);
        let outputs = stack["outputs"].clone();
        // As on AWS the API has a name of its own, and its callers use it.
        let address: SocketAddr = emulator.endpoint().trim_start_matches("http://").parse()?;
        let host = format!("{}.execute-api.localhost", text(&outputs, "ApiId"));
        let base = format!("http://{host}:{}", address.port());
        let order = json!({
            "resources": stack["resources"],
            "environment": {"*": environment(times), "dispatcher": {"RONDO_PUBLIC_URL": base}},
            "visibility_timeout": times.visibility / 1000,
        });
        independently(emulator.endpoint(), "adapt.py", &order);
        // Asked for even where nothing is called over TLS.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(ANSWER_WITHIN);
        let http = http.resolve(&host, address).build()?;
        let clients = Clients::new(&emulator.settings(), rondo_aws::http::client(), None);
        let app = Credentials { key: String::new(), secret: String::new() };
        let mut deployment = Deployment { emulator, clients, outputs, app, http, base };
        deployment.app = deployment.make_app("first").await;
        Ok(deployment)
    }

    /// Through the function that no route leads to.
    pub async fn make_app(&self, name: &str) -> Credentials {
        let granted = self.invoke("admin", json!({"action": "create", "name": name})).await;
        assert_eq!(granted["answer"], "granted", "{granted}");
        Credentials { key: text(&granted, "key"), secret: text(&granted, "secret") }
    }

    /// Invokes a function as an operator does; fails the test where the function fails.
    pub async fn invoke(&self, function: &str, event: Value) -> Value {
        let order = json!({"function": format!("{STACK}-{function}"), "event": event});
        let endpoint = self.emulator.endpoint().to_owned();
        let invoked = tokio::task::spawn_blocking(move || independently(&endpoint, "invoke.py", &order));
        invoked.await.expect("the function answers")
    }

    /// Everything that the deployment holds, as a client reads it that shares no code with it.
    pub async fn holdings(&self) -> Value {
        let order = json!({"outputs": self.outputs});
        let endpoint = self.emulator.endpoint().to_owned();
        let read = tokio::task::spawn_blocking(move || independently(&endpoint, "holdings.py", &order));
        read.await.expect("it can be read")
    }

    /// The API's address as its callers see it.
    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn output(&self, name: &str) -> String {
        text(&self.outputs, name)
    }

    /// A request with the app's credentials. `path` may be a whole URL of this API.
    pub async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Answered {
        self.send_as(Some(&self.app), method, path, body).await
    }

    pub async fn send_as(
        &self,
        app: Option<&Credentials>,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Answered {
        let url = format!("{}{}", self.base, path.strip_prefix(&self.base).unwrap_or(path));
        let method: http::Method = method.parse().expect("a method");
        let mut request = self.http.request(method.clone(), &url);
        if let Some(app) = app {
            request = request.header("authorization", basic(&app.key, &app.secret));
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap_or_else(|why| panic!("{method} {url}: {why:?}"));
        let status = answer.status().as_u16();
        let headers = answer.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned()));
        let headers = headers.collect();
        let bytes = answer.bytes().await.expect("the answer is whole");
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            let unreadable = |why| panic!("{method} {url}: {why}: {}", String::from_utf8_lossy(&bytes));
            serde_json::from_slice(&bytes).unwrap_or_else(unreadable)
        };
        Answered { status, headers, body }
    }

    pub async fn get(&self, path: &str) -> Value {
        self.send("GET", path, None).await.expect(200)
    }

    /// Creates a schedule, and answers it.
    pub async fn create(&self, schedule: Value) -> Value {
        self.send("POST", "/v1/schedules", Some(schedule)).await.expect(201)
    }

    pub async fn schedule(&self, id: &str) -> Value {
        self.get(&format!("/v1/schedules/{id}")).await
    }

    /// All executions of a schedule, newest first.
    pub async fn executions(&self, id: &str) -> Vec<Value> {
        let page = self.get(&format!("/v1/schedules/{id}/executions?limit=200")).await;
        page["executions"].as_array().expect("a list").clone()
    }

    /// Waits until the schedule has this status.
    pub async fn comes_to(&self, id: &str, status: &str, within: Duration) -> Value {
        let mut schedule = Value::Null;
        let reached = async {
            loop {
                schedule = self.schedule(id).await;
                if schedule["status"] == status {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        if tokio::time::timeout(within, reached).await.is_err() {
            panic!("not {status} within {within:?}: {schedule:#}");
        }
        schedule
    }

    /// Puts messages into the delivery queue, as anybody who may send there could.
    pub async fn inject(&self, messages: &[Delayed]) {
        for message in messages {
            self.inject_body(&envelope::write(message)).await;
        }
    }

    pub async fn inject_body(&self, body: &str) {
        let sent = self.clients.sqs.send_message().queue_url(self.output("QueueUrl")).message_body(body);
        sent.send().await.expect("the queue takes it");
    }

    /// Names of the schedules that EventBridge holds for this schedule.
    pub async fn far_wakes(&self, id: &str) -> Vec<String> {
        let group = self.output("ScheduleGroupName");
        let listed = self.clients.scheduler.list_schedules().group_name(group).name_prefix(id).send().await;
        let listed = listed.expect("the group can be listed");
        listed.schedules.into_iter().filter_map(|schedule| schedule.name).collect()
    }
}

impl Drop for Deployment {
    /// Where a test fails, what the functions and the emulator complained about says most.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.emulator.log();
            let complaints = log.lines().filter(|line| {
                ["WARN", "ERROR", "rror\"", "panicked", "denied"].iter().any(|word| line.contains(word))
            });
            let complaints: Vec<&str> = complaints.collect();
            let last = complaints.len().saturating_sub(60);
            eprintln!("the deployment's complaints:\n{}", complaints[last..].join("\n"));
        }
    }
}

fn environment(times: &Times) -> Value {
    json!({
        "RONDO_WINDOW_MS": times.window.to_string(),
        "RONDO_LEAD_MS": times.lead.to_string(),
        "RONDO_LEAD_SPREAD_MS": times.lead_spread.to_string(),
        "RONDO_GRACE_MS": times.grace.to_string(),
        "RONDO_RESEND_AFTER_MS": times.resend_after.to_string(),
        "RONDO_HOLD_MS": times.hold.to_string(),
    })
}

/// A member that is text; fails the test where it is not.
pub fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}
