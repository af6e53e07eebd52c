//! Through the app's gateway: `POST /v4/push` with the app's own credentials there, one request for all who are meant.

use super::{code, message, none_sent, post, report_of_all, unanswered, unsendable};
use crate::{
    client::{CallerError, HttpCaller, Now},
    exchange::{Exchanges, MAX_DRAINED},
    sealing::SealingKey,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::header::{HeaderName, HeaderValue};
use rondo_domain::{
    call::CallAnswer,
    push::{
        Upstream,
        outcome::PushError,
        sender::{Fate, PushJob, PushReport, Recipients},
    },
};
use serde_json::{Value, json};
use url::Url;

/// Names the execution: the same for every attempt, so that a gateway may drop what it had before.
const EXECUTION_HEADER: &str = "rondo-execution-id";
/// A longer message id is none, in bytes.
const MAX_MSG_ID: usize = 64;

pub(super) struct Gateway {
    /// None: no gateway is configured.
    at: Option<Place>,
    sealing: SealingKey,
    now: Now,
}

struct Place {
    /// Of `/v4/push`.
    url: Url,
    exchanges: Exchanges,
}

impl Gateway {
    pub(super) fn new(caller: &HttpCaller, base: Option<Url>) -> Result<Self, CallerError> {
        let settings = &caller.settings;
        let now = caller.exchanges.clock();
        let place = |base| {
            // Users' URLs never pass here: what is trusted is the operator's own URL.
            let mut settings = settings.clone();
            settings.policy.allow_private = true;
            let exchanges = Exchanges::new(settings, now.clone())?;
            Ok(Place { url: push_url(base)?, exchanges })
        };
        let at = base.map(place).transpose()?;
        Ok(Gateway { at, sealing: settings.sealing_key.clone(), now })
    }

    pub(super) async fn send(&self, job: PushJob<'_>) -> PushReport {
        let refused = |error| none_sent(&job, (self.now)(), error);
        if matches!(job.to, Recipients::These([])) {
            return refused(PushError::no_target());
        }
        let Some(place) = &self.at else {
            let text =
                "the app pushes through a gateway, and no gateway is configured: set RONDO_PUSH_GATEWAY";
            return refused(PushError::new(code::APP, text));
        };
        let Some(upstream) = &job.app.push.upstream else {
            return refused(PushError::new(code::APP, "the app has no credentials at the gateway"));
        };
        let secret = match self.sealing.open_upstream(&job.app.key, upstream) {
            Ok(secret) => secret,
            Err(why) => {
                tracing::error!(app = %job.app.key, "the app's secret at the gateway {why}");
                let text = format!("the app's secret at the gateway {why}");
                return refused(PushError::new(code::CREDENTIALS, text));
            }
        };
        let credentials = Credentials::new(upstream, &secret);
        let request = || {
            let body = body(&job).to_string().into_bytes();
            let mut request = post(place.url.clone(), "application/json", &credentials.header, body)?;
            let id =
                HeaderValue::try_from(job.execution.to_string()).map_err(|_| unsendable(EXECUTION_HEADER))?;
            request.headers_mut().insert(HeaderName::from_static(EXECUTION_HEADER), id);
            Ok(request)
        };
        let outcome = place.exchanges.perform(&place.url, job.timeout, MAX_DRAINED, request).await;
        let status = outcome.result.as_ref().ok().map(|answer| answer.status);
        let (msg_id, fate) = match &outcome.result {
            Ok(answer) => match understand(answer) {
                Ok(msg_id) => (Some(msg_id), Fate::Accepted),
                Err(fate) => (None, fate),
            },
            Err(failure) => (None, unanswered("the gateway", failure)),
        };
        let report = report_of_all(&job, outcome.sent_at, credentials.removed_from(fate));
        PushReport { done_at: outcome.done_at, status, msg_id, ..report }
    }
}

/// What `base` says, with `/v4/push` after it.
fn push_url(base: Url) -> Result<Url, CallerError> {
    let mut url = base;
    let refused = |why| Err(CallerError::Gateway(why));
    if !matches!(url.scheme(), "http" | "https") {
        return refused("must begin with http:// or https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refused("holds credentials; each app has its own there");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refused("must end with its path: /v4/push comes after it");
    }
    let path = format!("{}/v4/push", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

/// The push as it is stored; where it is for some only, `to` names these.
fn body(job: &PushJob<'_>) -> Value {
    let mut push = job.push.push.clone();
    if let Recipients::These(devices) = job.to {
        let ids: Vec<&str> = devices.iter().map(|device| device.id.as_str()).collect();
        push["to"] = json!({ "registration_id": ids });
    }
    push
}

struct Credentials<'a> {
    header: String,
    secret: &'a str,
}

impl<'a> Credentials<'a> {
    fn new(upstream: &Upstream, secret: &'a str) -> Self {
        let encoded = STANDARD.encode(format!("{}:{secret}", upstream.key));
        Credentials { header: format!("Basic {encoded}"), secret }
    }

    /// A gateway that repeats what it was given must not bring the secret into the record.
    fn removed_from(&self, fate: Fate) -> Fate {
        let clean = |error: PushError| {
            let text = error.message.replace(&self.header["Basic ".len()..], "…");
            let text = if self.secret.is_empty() { text } else { text.replace(self.secret, "…") };
            PushError { message: message(text), ..error }
        };
        match fate {
            Fate::Refused(error) => Fate::Refused(clean(error)),
            Fate::Later { at, error } => Fate::Later { at, error: clean(error) },
            other => other,
        }
    }
}

/// The message id, or what went wrong.
fn understand(answer: &CallAnswer) -> Result<String, Fate> {
    let CallAnswer { status, retry_after, body } = answer;
    let said: Value = serde_json::from_str(body).unwrap_or(Value::Null);
    let error = error_in(&said);
    let accepted = (200..300).contains(status);
    if accepted
        && error.is_none()
        && let Some(id) = msg_id_in(&said)
    {
        return Ok(id);
    }
    let error = error.unwrap_or_else(|| {
        if accepted {
            let text = format!(
                "the gateway answered {status} without a msg_id: what became of the push is not known"
            );
            return PushError::new(code::SYSTEM, text);
        }
        let code = match status {
            401 | 403 => code::CREDENTIALS,
            413 => code::TOO_LARGE,
            429 => code::TOO_MANY,
            500.. => code::SERVER,
            _ => code::SYSTEM,
        };
        PushError::new(code, format!("the gateway answered {status} without an error of the contract's"))
    });
    let again = *status == 429
        || *status >= 500
        || matches!(error.code, code::NO_ANSWER | code::TOO_MANY | code::SERVER);
    Err(if again { Fate::Later { at: *retry_after, error } } else { Fate::Refused(error) })
}

/// `msg_id`, or `message_id` as some answer; text, or a whole number.
fn msg_id_in(said: &Value) -> Option<String> {
    [&said["msg_id"], &said["message_id"]].into_iter().find_map(|id| match id {
        Value::String(text) => Some(text.clone()).filter(|text| is_id(text)),
        Value::Number(number) if number.is_u64() || number.is_i64() => Some(number.to_string()),
        _ => None,
    })
}

fn is_id(text: &str) -> bool {
    (1..=MAX_MSG_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// `{"error":{"code","message"}}`, or `{"code","message"}` alone; code 0 is no error.
fn error_in(said: &Value) -> Option<PushError> {
    [&said["error"], said].into_iter().find_map(|error| {
        let code = match &error["code"] {
            Value::Number(number) => number.as_u64()?,
            Value::String(text) => text.parse().ok()?,
            _ => return None,
        };
        let code = u32::try_from(code).ok().filter(|code| *code != 0)?;
        let text = error["message"].as_str().unwrap_or("the gateway gave no reason");
        Some(PushError::new(code, text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_the_base_and_the_contracts_path() {
        let of =
            |base: &str| push_url(base.parse().unwrap()).map(String::from).map_err(|why| why.to_string());
        for (base, url) in [
            ("https://push.example", "https://push.example/v4/push"),
            ("http://10.0.0.7:8080/", "http://10.0.0.7:8080/v4/push"),
            ("https://push.example/a/b//", "https://push.example/a/b/v4/push"),
        ] {
            assert_eq!(of(base), Ok(url.to_owned()));
        }
        for (base, why) in [
            ("ftp://push.example", "must begin with http:// or https://"),
            ("https://me@push.example", "holds credentials; each app has its own there"),
            ("https://push.example/?a=b", "must end with its path: /v4/push comes after it"),
            ("https://push.example/#a", "must end with its path: /v4/push comes after it"),
        ] {
            assert_eq!(of(base), Err(format!("the push gateway's URL {why}")), "{base}");
        }
    }

    #[test]
    fn a_secret_that_comes_back_is_not_kept() {
        let upstream = Upstream { key: "key".to_owned(), sealed: String::new() };
        let credentials = Credentials::new(&upstream, "hidden-secret");
        let encoded = STANDARD.encode("key:hidden-secret");
        let error = PushError::new(1, format!("bad hidden-secret in Basic {encoded} {}", "x".repeat(600)));
        let Fate::Refused(error) = credentials.removed_from(Fate::Refused(error)) else { panic!("refused") };
        assert!(error.message.starts_with("bad … in Basic … xxx") && error.message.ends_with("x…"));
        assert_eq!(error.message.chars().count(), super::super::MAX_MESSAGE + 1);
    }
}
