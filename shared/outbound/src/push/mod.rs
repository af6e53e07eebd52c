//! Pushes on their way out: as one request to the app's gateway ([`gateway`]), or encrypted for each browser
//! ([`web_push`], with [`payload`], [`encryption`] and [`vapid`]). Whom to tell, and whether to tell again, is the
//! domain's business.

pub mod encryption;
mod gateway;
pub(crate) mod key;
pub mod payload;
pub mod vapid;
mod web_push;

use crate::client::{CallerError, HttpCaller, USER_AGENT};
use async_trait::async_trait;
use gateway::Gateway;
use http::header::{self, HeaderMap, HeaderValue};
use reqwest::Request;
use rondo_domain::{
    call::{CallFailure, FailureKind},
    ports::Entropy,
    push::{
        outcome::PushError,
        sender::{Fate, PushJob, PushReport, PushSender, Recipients, Way},
    },
    time::Timestamp,
};
use std::sync::Arc;
use url::Url;
use web_push::WebPush;

/// The contract's codes for what can go wrong on the way.
mod code {
    /// A value cannot be.
    pub(super) const VALUE: u32 = 21003;
    /// Somebody's credentials were refused.
    pub(super) const CREDENTIALS: u32 = 21004;
    pub(super) const TOO_LARGE: u32 = 21005;
    /// The app cannot push this way.
    pub(super) const APP: u32 = 21008;
    /// What came back makes no sense.
    pub(super) const SYSTEM: u32 = 21009;
    /// Nobody to go to.
    pub(super) const NO_TARGET: u32 = 1011;
    /// No answer in time. This one and the next two are worth another try, by the contract.
    pub(super) const NO_ANSWER: u32 = 21030;
    pub(super) const TOO_MANY: u32 = 23008;
    pub(super) const SERVER: u32 = 27000;
}

/// The longest message that is put on record, in characters.
const MAX_MESSAGE: usize = 500;

/// Where pushes go, as the operator says.
#[derive(Clone, Debug, Default)]
pub struct SenderSettings {
    /// `RONDO_PUSH_GATEWAY`: where `/v4/push` is, for apps with an upstream. It is trusted, and may be private; not
    /// link-local, though. None: such apps' pushes are refused.
    pub gateway: Option<Url>,
    /// Whom push services may turn to about pushes of apps that name nobody: see [`vapid::check_contact`]. None: such
    /// pushes say nothing of it, which some push services refuse (Apple's).
    pub contact: Option<String>,
}

/// Sends pushes, whichever way an app's leave.
pub struct PushSenders {
    gateway: Gateway,
    web_push: WebPush,
}

impl PushSenders {
    /// Beside a caller: with its sealing key and clock; direct pushes also with its connections, its address guard
    /// and its limit for each destination.
    pub fn beside(
        caller: &HttpCaller,
        settings: SenderSettings,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, CallerError> {
        if let Some(contact) = &settings.contact {
            vapid::check_contact(contact).map_err(CallerError::Contact)?;
        }
        Ok(PushSenders {
            gateway: Gateway::new(caller, settings.gateway)?,
            web_push: WebPush::new(caller, settings.contact, entropy),
        })
    }
}

#[async_trait]
impl PushSender for PushSenders {
    async fn send(&self, job: PushJob<'_>) -> PushReport {
        match Way::of(job.app) {
            Way::Gateway => self.gateway.send(job).await,
            Way::Direct => self.web_push.send(job).await,
        }
    }
}

/// One fate for all: nothing was sent.
fn none_sent(job: &PushJob<'_>, at: Timestamp, error: PushError) -> PushReport {
    report_of_all(job, at, Fate::Refused(error))
}

fn report_of_all(job: &PushJob<'_>, at: Timestamp, fate: Fate) -> PushReport {
    let count = match job.to {
        Recipients::AsAddressed => 1,
        Recipients::These(devices) => devices.len(),
    };
    PushReport { sent_at: at, done_at: at, status: None, msg_id: None, fates: vec![fate; count] }
}

/// No answer came. Worth another try, unless the address guard refused.
fn unanswered(whom: &str, failure: &CallFailure) -> Fate {
    let message = message(format!("{whom}: {}", failure.detail));
    match failure.kind {
        FailureKind::ForbiddenAddress => Fate::Refused(PushError::new(code::VALUE, message)),
        _ => Fate::Later { at: None, error: PushError::new(code::NO_ANSWER, message) },
    }
}

/// Short enough to be put on record with every attempt, and on one line.
fn message(text: impl AsRef<str>) -> String {
    let mut cut = text.as_ref().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut kept: String = cut.by_ref().take(MAX_MESSAGE).collect();
    if cut.next().is_some() {
        kept.push('…');
    }
    kept
}

/// Never with what was given as a header's value: it may be secret.
fn unsendable(name: &str) -> CallFailure {
    CallFailure {
        kind: FailureKind::Protocol,
        detail: format!("not sent: the header '{name}' cannot be sent"),
    }
}

/// A POST with what every push says of itself.
fn post(
    url: Url,
    content_type: &'static str,
    authorization: &str,
    body: Vec<u8>,
) -> Result<Request, CallFailure> {
    let mut authorization = HeaderValue::try_from(authorization).map_err(|_| unsendable("authorization"))?;
    authorization.set_sensitive(true);
    let mut headers = HeaderMap::with_capacity(10);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::AUTHORIZATION, authorization);
    let mut request = Request::new(http::Method::POST, url);
    *request.headers_mut() = headers;
    *request.body_mut() = Some(body.into());
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_and_stay_on_one_line() {
        assert_eq!(message("a\nb\u{7f}c"), "a b c");
        assert_eq!(message("é".repeat(500)), "é".repeat(500));
        assert_eq!(message("é".repeat(501)), format!("{}…", "é".repeat(500)));
    }
}
