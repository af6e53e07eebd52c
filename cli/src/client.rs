//! Asking a Rondo over HTTP: one request, one JSON answer, and failures in the words of the command line.

use crate::{
    failure::{Failure, Result, While as _, with_causes},
    profile::{Account, Reach},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::NaiveDateTime;
use http::{Method, StatusCode, header};
use rondo_domain::time::Timestamp;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use url::{Host, Url};

/// Longer than the API ever takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer as it came, whatever its status.
pub struct Heard {
    pub status: StatusCode,
    /// The server's clock as it answered, to the second.
    pub date: Option<Timestamp>,
    /// None where it is no JSON.
    pub body: Option<Value>,
}

pub struct Client {
    base: Url,
    authorization: String,
    http: reqwest::Client,
}

impl Client {
    pub fn of(reach: &Reach) -> Result<Client> {
        Client::new(&reach.account()?)
    }

    pub fn new(account: &Account) -> Result<Client> {
        let base = base_of(&account.host)?;
        let local = is_loopback(&base);
        if base.scheme() == "http" && !local {
            eprintln!("warning: the app's secret goes to {base} unencrypted; use https");
        }
        let credentials = STANDARD.encode(format!("{}:{}", account.app_key, account.app_secret));
        Ok(Client { base, authorization: format!("Basic {credentials}"), http: http_client(local)? })
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        self.ask(Method::GET, path, &[], None).await
    }

    /// Pairs without a value are left out.
    pub async fn query(&self, path: &str, query: &[(&str, Option<String>)]) -> Result<Value> {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in query {
            if let Some(value) = value {
                text.append_pair(name, value);
            }
        }
        let text = text.finish();
        let path = if text.is_empty() { path.to_owned() } else { format!("{path}?{text}") };
        self.get(&path).await
    }

    pub async fn post(&self, path: &str, body: Option<&Value>) -> Result<Value> {
        self.ask(Method::POST, path, &[], body).await
    }

    pub async fn delete(&self, path: &str) -> Result<Value> {
        self.ask(Method::DELETE, path, &[], None).await
    }

    /// Asks without judging the answer.
    pub async fn hear(&self, path: &str) -> Result<Heard, reqwest::Error> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path()));
        let request = self.http.get(url).header(header::AUTHORIZATION, &self.authorization);
        let response = request.send().await?;
        let (status, date) = (response.status(), response.headers().get(header::DATE));
        let date = date.and_then(|date| date_of(date.to_str().ok()?));
        Ok(Heard { status, date, body: serde_json::from_str(&response.text().await?).ok() })
    }

    pub fn base(&self) -> &Url {
        &self.base
    }

    /// `path` is relative to the host, its parts encoded already.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value> {
        let url = self.base.join(path).when(|| format!("cannot ask for {path}"))?;
        let is_patch = method == Method::PATCH;
        let mut request = self.http.request(method, url).header(header::AUTHORIZATION, &self.authorization);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            let content_type = if is_patch { "application/merge-patch+json" } else { "application/json" };
            request = request.header(header::CONTENT_TYPE, content_type).body(body.to_string());
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| self.unreachable(&error))?;
        let value: Option<Value> = serde_json::from_str(&text).ok();
        match value {
            Some(value) if status.is_success() => Ok(value),
            // The scheduled-push contract answers some changes with a bare word.
            None if status.is_success() && matches!(text.trim(), "" | "success") => Ok(Value::Null),
            value => Err(self.refused(status, value.as_ref())),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let base = self.shown();
        if error.is_connect() {
            Failure::new(format!("no Rondo answers at {base}"))
                .hint("start one with `rondo serve`, or say where it is with --host or --profile")
        } else if error.is_timeout() {
            Failure::new(format!("{base} did not answer within {} s", PATIENCE.as_secs()))
        } else {
            // The library's own text may hold the whole URL, which is the user's own.
            Failure::new(format!("the exchange with {base} broke off")).with(with_causes(error))
        }
    }

    fn refused(&self, status: StatusCode, answer: Option<&Value>) -> Failure {
        if status == StatusCode::UNAUTHORIZED {
            return Failure::new(format!("{} does not know these credentials", self.shown()))
                .hint("choose a profile with --profile, or set RONDO_APP_KEY and RONDO_APP_SECRET")
                .hint("`rondo app create --data DIR --save-profile NAME` makes an app and a profile for it");
        }
        let Some(answer) = answer else {
            return Failure::new(format!("{} answered {status}, and not as Rondo does", self.shown()))
                .hint("is --host right?");
        };
        problem(status, answer)
    }

    pub fn shown(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }
}

/// The form of RFC 9110, section 5.6.7, that servers write.
fn date_of(text: &str) -> Option<Timestamp> {
    let date = NaiveDateTime::parse_from_str(text, "%a, %d %b %Y %H:%M:%S GMT").ok()?;
    Some(Timestamp::from_utc(date.and_utc()))
}

/// Problem details of the native API (RFC 9457), or the forms of the two contracts, which are alike.
fn problem(status: StatusCode, answer: &Value) -> Failure {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(error) = answer.get("error").filter(|error| error.is_object()) {
        let what = text(&error["details"]).or_else(|| text(&error["message"])).unwrap_or_default();
        let failure = Failure::new(if what.is_empty() { status.to_string() } else { what });
        // A code of the scheduled-push contract says more than the status; the other contract's is the status.
        return match error["code"].as_u64().filter(|code| *code >= 1000) {
            Some(code) => failure.with(format!("code {code}")),
            None => failure,
        };
    }
    let (title, detail) = (text(&answer["title"]), text(&answer["detail"]));
    let errors = answer["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    // The detail says in one sentence what the errors say field by field.
    let message = if errors.is_empty() { detail.or(title) } else { title.or(detail) };
    let mut failure = Failure::new(message.unwrap_or_else(|| status.to_string()));
    for error in errors {
        let place = ["pointer", "parameter", "header"]
            .iter()
            .find_map(|kind| error[*kind].as_str())
            .unwrap_or_default();
        let detail = error["detail"].as_str().unwrap_or_default();
        failure = failure.with(format!("{} {detail}", flag_of(place).unwrap_or(place)));
    }
    failure
}

/// The flag that a field of the native API is set by, where that is obvious.
fn flag_of(pointer: &str) -> Option<&'static str> {
    let starts = |prefix: &str| pointer == prefix || pointer.starts_with(&format!("{prefix}/"));
    let flags = [
        ("/name", "--name"),
        ("/occurrences", "--occurrences"),
        ("/trigger/single/time", "--at"),
        ("/trigger/single/after", "--after"),
        ("/trigger/interval/every", "--interval"),
        ("/trigger/interval/delay", "--delay"),
        ("/trigger/interval/first", "--start"),
        ("/trigger/interval/occurrences", "--occurrences"),
        ("/trigger/interval/end", "--end"),
        ("/trigger/cron/expression", "--cron"),
        ("/trigger/cron/time_zone", "--time-zone"),
        ("/trigger/cron/start", "--start"),
        ("/trigger/cron/end", "--end"),
        ("/trigger/cron/occurrences", "--occurrences"),
        ("/trigger/periodical/start", "--start"),
        ("/trigger/periodical/end", "--end"),
        ("/trigger/periodical/time", "--time"),
        ("/trigger/periodical/unit", "--every"),
        ("/trigger/periodical/frequency", "--frequency"),
        ("/trigger/periodical/points", "--on"),
        ("/trigger/periodical/time_zone", "--time-zone"),
        ("/trigger/periodical/occurrences", "--occurrences"),
        ("/target/http/url", "--return-url"),
        ("/target/http/method", "--callback-method"),
        ("/target/http/headers", "--header"),
        ("/target/http/body", "--body"),
        ("/target/http/payload", "--payload"),
        ("/delivery/timeout", "--timeout"),
        ("/delivery/retry/max_attempts", "--max-attempts"),
        ("/delivery/retry/initial", "--retry-initial"),
        ("/delivery/retry/factor", "--retry-factor"),
        ("/delivery/retry/max_interval", "--retry-max-interval"),
        ("/delivery/retry/max_age", "--retry-max-age"),
        ("/delivery/on_failure", "--on-failure"),
        ("/policy/missed", "--missed"),
        ("/policy/max_lateness", "--max-lateness"),
        ("/policy/overlap", "--overlap"),
        ("/policy/dst_gap", "--dst-gap"),
        ("/policy/dst_fold", "--dst-fold"),
        ("/policy/spread", "--spread"),
        ("/tags", "--tag"),
        ("/count", "--count"),
        ("Idempotency-Key", "--idempotency-key"),
    ];
    flags.into_iter().find(|(prefix, _)| starts(prefix)).map(|(_, flag)| flag)
}

/// Mozilla's roots are compiled in, so that a bare container needs no certificate files.
fn http_client(local: bool) -> Result<reqwest::Client> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        // Credentials go nowhere but where they were meant to.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("rondo/", env!("CARGO_PKG_VERSION")))
        .timeout(PATIENCE);
    if local {
        builder = builder.no_proxy();
    }
    Ok(builder.build()?)
}

/// The host as a user writes it: its scheme may be missing. Ends with a slash.
pub fn base_of(host: &str) -> Result<Url> {
    let with_scheme = if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
    let mut base = Url::parse(&with_scheme).when(|| format!("{host:?} is no host"))?;
    if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
        return Err(Failure::new(format!("{host:?} is no host: write http://HOST:PORT or https://HOST")));
    }
    if !base.path().ends_with('/') {
        base.set_path(&format!("{}/", base.path()));
    }
    Ok(base)
}

pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn problems_name_the_flag_that_would_be_right() {
        let answer = json!({
            "title": "The request holds values that cannot be", "detail": "… (and 2 more)", "code": "invalid",
            "errors": [
                {"pointer": "/trigger/interval/every", "detail": "must be at least 100ms"},
                {"pointer": "/target/http/headers/x y", "detail": "is no header name"},
                {"parameter": "limit", "detail": "must be at most 1000"},
            ],
        });
        assert_eq!(
            problem(StatusCode::BAD_REQUEST, &answer).to_string(),
            "error: The request holds values that cannot be\n  --interval must be at least 100ms\n  \
             --header is no header name\n  limit must be at most 1000"
        );
    }

    #[test]
    fn the_contracts_errors_are_understood_too() {
        let answer =
            json!({"error": {"code": 400, "message": "Value Error", "details": "comment is required"}});
        assert_eq!(problem(StatusCode::BAD_REQUEST, &answer).to_string(), "error: comment is required");
        let answer = json!({"error": {"code": 28103, "message": "trigger.single.time: has passed"}});
        assert_eq!(
            problem(StatusCode::BAD_REQUEST, &answer).to_string(),
            "error: trigger.single.time: has passed\n  code 28103"
        );
    }

    #[test]
    fn the_servers_clock_is_read() {
        assert_eq!(date_of("Thu, 01 Jan 1970 00:01:40 GMT"), Some(Timestamp::from_millis(100_000)));
        assert_eq!(date_of("1970-01-01T00:01:40Z"), None);
    }

    #[test]
    fn hosts_may_lack_their_scheme_and_have_a_path() {
        let base = |host: &str| {
            let account =
                Account { host: host.to_owned(), app_key: "key".to_owned(), app_secret: "secret".to_owned() };
            Client::new(&account).map(|client| client.base.to_string()).map_err(|failure| failure.to_string())
        };
        assert_eq!(base("localhost:8080"), Ok("http://localhost:8080/".to_owned()));
        assert_eq!(base("https://api.example/stage"), Ok("https://api.example/stage/".to_owned()));
        assert!(base("ftp://x").unwrap_err().contains("is no host"));
    }
}
