//! The other ends of a push, as processes that share no code with the project: a browser vendor's push service with
//! its browsers, and a gateway (`tests/push/*.py`, on the Python of `.tools/push`).

use crate::{
    emulator::{checkout, python},
    serve::binary,
};
use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use std::{path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, Command},
    time::{sleep, timeout},
};

/// What the gateway's only app is called, and its secret.
pub const UPSTREAM: (&str, &str) = ("upstream-app-key-24-chrs", "upstream-secret-for-tests");

/// How long a test waits for something to arrive before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running tool. Dropping it ends it; so does the end of this process, which closes its input.
pub struct Tool {
    url: String,
    http: reqwest::Client,
    child: Child,
}

impl Tool {
    pub async fn push_service() -> anyhow::Result<Tool> {
        Tool::start("push_service.py", &[], &[]).await
    }

    /// On another address of this machine than 127.0.0.1, where functions may call nobody.
    pub async fn push_service_apart() -> anyhow::Result<Tool> {
        Tool::start("push_service.py", &["--address", "127.0.0.2"], &[]).await
    }

    /// Knows [`UPSTREAM`].
    pub async fn gateway() -> anyhow::Result<Tool> {
        Tool::start("gateway.py", &[], &[("GATEWAY_KEY", UPSTREAM.0), ("GATEWAY_SECRET", UPSTREAM.1)]).await
    }

    async fn start(script: &str, arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Tool> {
        let mut command = Command::new(python("push"));
        command
            .arg("-u")
            .arg(checkout().join("tests/push").join(script))
            .args(arguments)
            .envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let mut said = BufReader::new(child.stdout.take().context("its output")?);
        let mut line = String::new();
        timeout(PATIENCE, said.read_line(&mut line)).await.with_context(|| format!("{script} starts"))??;
        let url = line
            .trim()
            .strip_prefix("listening on ")
            .with_context(|| format!("{script}: {line:?}"))?
            .to_owned();
        // What it logs is read and let go, so that it never waits for a reader.
        tokio::spawn(async move {
            let mut rest = Vec::new();
            let _ = said.read_to_end(&mut rest).await;
        });
        Ok(Tool { url, http: client()?, child })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// A new browser's subscription, and its id at the push service; pushes to it are answered like this, the last
    /// answer again and again.
    pub async fn subscribe(&self, key: &str, answers: &Value) -> anyhow::Result<(String, Value)> {
        let order = json!({"application_server_key": key, "answers": answers});
        let mut made = self.control("POST", "subscriptions", Some(&order)).await?;
        let id = made["id"].as_str().context("an id")?.to_owned();
        Ok((id, made["subscription"].take()))
    }

    /// The gateway answers the next pushes like this, and accepts those after them.
    pub async fn answer_with(&self, answers: &Value) -> anyhow::Result<()> {
        self.control("PUT", "answers", Some(answers)).await.map(drop)
    }

    /// Every push so far, oldest first.
    pub async fn arrivals(&self) -> anyhow::Result<Vec<Value>> {
        let arrivals = self.control("GET", "arrivals", None).await?;
        Ok(arrivals.as_array().context("a list")?.clone())
    }

    /// Waits until this holds of what arrived.
    pub async fn until(&self, what: &str, holds: impl Fn(&[Value]) -> bool) -> anyhow::Result<Vec<Value>> {
        awaited(what, || self.arrivals(), holds).await
    }

    async fn control(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let method = reqwest::Method::from_bytes(method.as_bytes())?;
        let mut request = self.http.request(method, format!("{}/control/{path}", self.url));
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(serde_json::from_str(&answer.text().await?)?)
    }
}

/// `rondo app push` on the data folder of a running `serve`; answers what it shows.
pub async fn set_push(
    data: &Path,
    app: &str,
    arguments: &[&str],
    secret: Option<&str>,
) -> anyhow::Result<Value> {
    let mut command = Command::new(binary()?);
    command.args(["app", "push", app, "--json", "--data"]).arg(data).args(arguments);
    command.env_remove("RONDO_UPSTREAM_SECRET").stdin(Stdio::null());
    command.envs(secret.map(|secret| ("RONDO_UPSTREAM_SECRET", secret)));
    let output = command.output().await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A Rondo over HTTP, as one of its apps.
pub struct Api {
    base: String,
    credentials: (String, String),
    http: reqwest::Client,
}

impl Api {
    pub fn new(base: String, (key, secret): (&str, &str)) -> anyhow::Result<Api> {
        Ok(Api { base, credentials: (key.to_owned(), secret.to_owned()), http: client()? })
    }

    /// Status and answer; null where it is empty.
    pub async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<(u16, Value)> {
        let (key, secret) = &self.credentials;
        let method = reqwest::Method::from_bytes(method.as_bytes())?;
        let mut request =
            self.http.request(method, format!("{}{path}", self.base)).basic_auth(key, Some(secret));
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await?;
        let (status, text) = (answer.status().as_u16(), answer.text().await?);
        if text.is_empty() {
            return Ok((status, Value::Null));
        }
        Ok((status, serde_json::from_str(&text).with_context(|| format!("{path}: {text}"))?))
    }

    /// Must be answered with 200.
    pub async fn done(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let (status, answer) = self.ask(method, path, body).await?;
        ensure!(status == 200, "{method} {path}: {status} {answer}");
        Ok(answer)
    }

    /// The message ids of a scheduled push, unpacked, as soon as this holds of them.
    pub async fn messages_until(
        &self,
        id: &str,
        what: &str,
        holds: impl Fn(&[Value]) -> bool,
    ) -> anyhow::Result<Vec<Value>> {
        awaited(what, || self.messages(id), holds).await
    }

    pub async fn messages(&self, id: &str) -> anyhow::Result<Vec<Value>> {
        let found = self.done("GET", &format!("/v4/schedules/{id}/msg-ids"), None).await?;
        let texts = found["MsgIds"].as_array().context("a list")?;
        let messages = texts.iter().map(|text| Ok(serde_json::from_str(text.as_str().context("a string")?)?));
        let messages: Vec<Value> = messages.collect::<anyhow::Result<_>>()?;
        ensure!(found["count"] == messages.len(), "{found}");
        Ok(messages)
    }
}

/// Asks again and again until it holds.
async fn awaited<F>(
    what: &str,
    ask: impl Fn() -> F,
    holds: impl Fn(&[Value]) -> bool,
) -> anyhow::Result<Vec<Value>>
where
    F: Future<Output = anyhow::Result<Vec<Value>>>,
{
    let mut last = Vec::new();
    let asking = async {
        loop {
            last = ask().await?;
            if holds(&last) {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    match timeout(PATIENCE, asking).await {
        Ok(asked) => asked.map(|()| last),
        Err(_) => bail!("{what}: not within {PATIENCE:?}, but: {last:#?}"),
    }
}

/// Of this machine's own addresses alone, in clear text.
fn client() -> anyhow::Result<reqwest::Client> {
    // Asked for even where nothing is called over TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?)
}
