//! AWS as far as these tests need it: it notes what it is asked, and has a secret.

use axum::{Router, body::Bytes, extract::State, http::HeaderMap};
use rondo_aws::{AwsSettings, Clients, settings::AwsCredentials};
use rondo_domain::time::Span;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::{net::TcpListener, task::JoinHandle};

type Asked = Arc<Mutex<Vec<(String, Value)>>>;

pub struct StandIn {
    endpoint: String,
    asked: Asked,
    serving: JoinHandle<()>,
}

impl StandIn {
    pub async fn start() -> StandIn {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let asked = Asked::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&asked));
        let serving =
            tokio::spawn(
                async move { axum::serve(listener, router).await.expect("it serves until dropped") },
            );
        StandIn { endpoint, asked, serving }
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The operations, with their bodies, in their order.
    pub fn asked(&self) -> Vec<(String, Value)> {
        self.asked.lock().expect("nobody panicked").clone()
    }

    pub fn clients(&self) -> Clients {
        let settings = AwsSettings {
            region: "us-east-1".to_owned(),
            endpoint: Some(self.endpoint.clone()),
            credentials: AwsCredentials::of_an_emulator(),
            table: "rondo".to_owned(),
            queue_url: None,
            queue_arn: None,
            dead_letter_arn: None,
            schedule_group: None,
            scheduler_role_arn: None,
            sealing_secret: None,
            retention: Span::from_secs(24 * 60 * 60),
            cache: Span::ZERO,
        };
        Clients::new(&settings, rondo_aws::http::client(), None)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(State(asked): State<Asked>, headers: HeaderMap, body: Bytes) -> String {
    let operation = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    asked.lock().expect("nobody panicked").push((operation.to_owned(), body));
    let answer = match operation {
        "secretsmanager.GetSecretValue" => json!({"SecretString": "0123456789".repeat(7)}),
        _ => json!({}),
    };
    answer.to_string()
}
