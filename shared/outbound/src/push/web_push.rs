//! Straight to the devices: one request for each, encrypted for it (RFC 8030, 8291, 8292), all of a job at once.

use super::{
    code,
    encryption::{self, MAX_PLAINTEXT, ReceiverKeys},
    key, message, none_sent,
    payload::{Treatment, payload},
    post, unanswered,
    vapid::Tokens,
};
use crate::{client::HttpCaller, exchange::Exchanges, failure::failure};
use futures_util::future::join_all;
use http::header::{self, HeaderName, HeaderValue};
use reqwest::Request;
use rondo_domain::{
    app::App,
    call::{CallAnswer, CallFailure, CallOutcome, FailureKind},
    ports::Entropy,
    push::{
        device::Device,
        outcome::PushError,
        sender::{Fate, PushJob, PushReport, Recipients},
    },
};
use std::{collections::BTreeSet, sync::Arc};
use url::Url;

/// Nothing is read from an answer; a kilobyte of it is as good as none.
const KEPT: usize = 1024;

const TTL: HeaderName = HeaderName::from_static("ttl");
const URGENCY: HeaderName = HeaderName::from_static("urgency");
const TOPIC: HeaderName = HeaderName::from_static("topic");

pub(super) struct WebPush {
    exchanges: Arc<Exchanges>,
    tokens: Tokens,
    entropy: Arc<dyn Entropy>,
}

/// What is the same for all devices of a job.
struct Message<'a> {
    app: &'a App,
    plaintext: Vec<u8>,
    treatment: Treatment,
}

/// What became of one device.
struct Told {
    fate: Fate,
    /// None: nothing was sent.
    outcome: Option<CallOutcome>,
    /// What an operator should know: it is no device's fault.
    trouble: Option<String>,
}

impl Told {
    fn refused(code: u32, text: impl AsRef<str>) -> Self {
        let fate = Fate::Refused(PushError::new(code, message(text)));
        Told { fate, outcome: None, trouble: None }
    }
}

impl WebPush {
    pub(super) fn new(caller: &HttpCaller, contact: Option<String>, entropy: Arc<dyn Entropy>) -> Self {
        let tokens = Tokens::new(caller.settings.sealing_key.clone(), contact);
        WebPush { exchanges: caller.exchanges.clone(), tokens, entropy }
    }

    pub(super) async fn send(&self, job: PushJob<'_>) -> PushReport {
        let refused = |error| none_sent(&job, self.exchanges.now(), error);
        let Recipients::These(devices) = job.to else {
            return refused(PushError::no_target());
        };
        let Some(plaintext) = payload(job.push, job.msg_id) else {
            let text =
                "the push has nothing for a browser: give notification.web, notification.alert or message";
            return refused(PushError::new(code::VALUE, text));
        };
        if plaintext.len() > MAX_PLAINTEXT {
            return refused(PushError::new(
                code::TOO_LARGE,
                encryption::TooLong(plaintext.len()).to_string(),
            ));
        }
        let push = Message { app: job.app, plaintext, treatment: Treatment::of(job.push) };
        let began = self.exchanges.now();
        let told = join_all(devices.iter().map(|device| self.tell(&push, device, &job))).await;
        // Once for all devices that met it.
        for trouble in told.iter().filter_map(|told| told.trouble.as_ref()).collect::<BTreeSet<_>>() {
            tracing::warn!(app = %job.app.key, "{trouble}");
        }
        let outcomes = || told.iter().filter_map(|told| told.outcome.as_ref());
        PushReport {
            sent_at: outcomes().map(|outcome| outcome.sent_at).min().unwrap_or(began),
            done_at: outcomes().map(|outcome| outcome.done_at).max().unwrap_or(began),
            status: outcomes()
                .filter_map(|outcome| outcome.result.as_ref().ok())
                .map(|answer| answer.status)
                .next_back(),
            msg_id: Some(job.msg_id.to_owned()),
            fates: told.into_iter().map(|told| told.fate).collect(),
        }
    }

    async fn tell(&self, push: &Message<'_>, device: &Device, job: &PushJob<'_>) -> Told {
        let Some(subscription) = &device.subscription else {
            return Told::refused(code::NO_TARGET, "the device has no push subscription");
        };
        let Ok(endpoint) = Url::parse(&subscription.endpoint) else {
            return Told::refused(code::VALUE, "the subscription's endpoint is not a URL");
        };
        let keys = match ReceiverKeys::decode(&subscription.p256dh, &subscription.auth) {
            Ok(keys) => keys,
            Err(wrong) => {
                return Told::refused(code::VALUE, format!("the subscription's {} {wrong}", wrong.field()));
            }
        };
        let origin = endpoint.origin().ascii_serialization();
        let token = match self.tokens.of(push.app, &origin, self.exchanges.now()) {
            Ok(token) => token,
            Err(why) => {
                let trouble = Some(format!("no push leaves: {why}"));
                return Told { trouble, ..Told::refused(code::CREDENTIALS, why.to_string()) };
            }
        };
        // Encrypting keeps this thread busy, once for each device: what else is due just now comes in between.
        tokio::task::yield_now().await;
        let request = || self.request(push, &endpoint, &keys, &token);
        let outcome = self.exchanges.perform(&endpoint, job.timeout, KEPT, request).await;
        let (fate, trouble) = match &outcome.result {
            Ok(answer) => {
                let key_refused = matches!(answer.status, 401 | 403);
                (fate_of(answer), key_refused.then(|| format!("{origin} refused the app's key for Web Push")))
            }
            Err(failure) => (unanswered("the push service", failure), None),
        };
        Told { fate, outcome: Some(outcome), trouble }
    }

    fn request(
        &self,
        push: &Message<'_>,
        endpoint: &Url,
        keys: &ReceiverKeys,
        token: &str,
    ) -> Result<Request, CallFailure> {
        let salt = self.entropy.bits().to_be_bytes();
        let mut random = [0; 32];
        random[..16].copy_from_slice(&self.entropy.bits().to_be_bytes());
        random[16..].copy_from_slice(&self.entropy.bits().to_be_bytes());
        let body = encryption::encrypt(&push.plaintext, keys, salt, &key::secret_key(random))
            .map_err(|why| failure(FailureKind::Protocol, why.to_string()))?;
        let mut request = post(endpoint.clone(), "application/octet-stream", token, body)?;
        let Treatment { ttl, urgency, topic } = &push.treatment;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("aes128gcm"));
        headers.insert(TTL, HeaderValue::from(*ttl));
        headers.insert(URGENCY, HeaderValue::from_static(urgency));
        if let Some(topic) = topic {
            headers.insert(TOPIC, HeaderValue::try_from(topic).map_err(|_| super::unsendable("topic"))?);
        }
        Ok(request)
    }
}

/// RFC 8030, sections 5, 7.2 and 7.3; RFC 8292, section 4.2; RFC 6585, section 4.
fn fate_of(answer: &CallAnswer) -> Fate {
    let status = answer.status;
    let error = |code, text: &str| PushError::new(code, format!("the push service answered {status}{text}"));
    let later = |code| Fate::Later { at: answer.retry_after, error: error(code, "") };
    match status {
        200..300 => Fate::Accepted,
        404 | 410 => Fate::Gone,
        429 => later(code::TOO_MANY),
        500.. => later(code::SERVER),
        413 => Fate::Refused(error(code::TOO_LARGE, ": the push is too large for it")),
        401 | 403 => Fate::Refused(error(
            code::CREDENTIALS,
            ": it refused the app's key, or was subscribed to with another",
        )),
        _ => Fate::Refused(error(code::VALUE, "")),
    }
}
