//! A lean client of the API: one HTTP/1 connection, one request after the other.

use anyhow::{Context as _, bail};
use base64::Engine as _;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// The app that the benchmarks use.
pub const CREDENTIALS: (&str, &str) = ("bench", "a-secret-for-benchmarks-only");

pub struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    authority: String,
    authorization: String,
}

impl Connection {
    pub async fn open(authority: &str) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(authority).await.context("connecting to the API")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let (key, secret) = CREDENTIALS;
        let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{key}:{secret}"));
        Ok(Connection {
            sender,
            authority: authority.to_owned(),
            authorization: format!("Basic {credentials}"),
        })
    }

    pub async fn send(&mut self, method: &str, path: &str, body: Bytes) -> anyhow::Result<(u16, Bytes)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.authority)
            .header("authorization", &self.authorization)
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status().as_u16();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }

    pub async fn get(&mut self, path: &str) -> anyhow::Result<Value> {
        let (status, body) = self.send("GET", path, Bytes::new()).await?;
        if status != 200 {
            bail!("GET {path} answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(serde_json::from_slice(&body)?)
    }
}

/// A schedule that is due once.
pub fn once(url: &str, due_millis: i64) -> Value {
    let time = rondo_domain::time::Timestamp::from_millis(due_millis).to_string();
    json!({
        "trigger": {"single": {"time": time}},
        "target": {"http": {"url": url, "method": "POST", "body": {"hello": "world"}}},
        "delivery": {"retry": {"max_attempts": 1}},
    })
}

/// Registers schedules, a hundred in a request, over four connections.
pub async fn register(authority: &str, schedules: Vec<Value>) -> anyhow::Result<()> {
    let batches: Vec<Vec<Value>> = schedules.chunks(100).map(<[Value]>::to_vec).collect();
    let lanes = 4;
    let lane = |lane: usize| {
        let mine: Vec<Vec<Value>> = batches.iter().skip(lane).step_by(lanes).cloned().collect();
        async move {
            let mut connection = Connection::open(authority).await?;
            for batch in mine {
                let body = Bytes::from(json!({"schedules": batch}).to_string());
                let (status, answer) = connection.send("POST", "/v1/schedules/batch", body).await?;
                let text = String::from_utf8_lossy(&answer);
                if !(200..300).contains(&status) || text.contains("\"problem\"") {
                    bail!("a batch was answered {status}: {}", text.chars().take(500).collect::<String>());
                }
            }
            anyhow::Ok(())
        }
    };
    futures_util::future::try_join_all((0..lanes).map(lane)).await?;
    Ok(())
}
