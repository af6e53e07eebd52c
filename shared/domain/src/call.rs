//! One HTTP exchange, as data: what to send, and what came of it. `outbound` performs it.

use crate::{
    app::App,
    ids::ExecutionId,
    push::device::Subscription,
    time::{Span, Timestamp},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use url::Url;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub const ALL: [Method; 5] = [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete];

    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        }
    }

    /// Case-insensitive.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(text))
    }
}

/// What to send. The `webhook-*` headers, `User-Agent` and the body's length are added where it is sent.
#[derive(Clone, Debug)]
pub struct CallRequest {
    /// `webhook-id`: the same for every attempt, the receiver's key for dropping duplicates.
    pub webhook_id: String,
    /// The app whose live signing secrets sign the call.
    pub app: Arc<App>,
    pub method: Method,
    pub url: Url,
    /// As they go out, in order; checked when the schedule was created.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// From the start of the connection to the last byte of the answer.
    pub timeout: Span,
}

/// What came of it, with its times.
#[derive(Clone, Debug, PartialEq)]
pub struct CallOutcome {
    /// When the call was handed to the client: after `due`, never before.
    pub sent_at: Timestamp,
    pub first_byte_at: Option<Timestamp>,
    pub done_at: Timestamp,
    pub result: Result<CallAnswer, CallFailure>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CallAnswer {
    pub status: u16,
    /// `Retry-After`, seconds or a date, as an instant.
    pub retry_after: Option<Timestamp>,
    /// The first [`MAX_RESPONSE_KEPT`] bytes, as text (anything but UTF-8 replaced).
    pub body: String,
}

/// How much of a response is kept, in bytes.
pub const MAX_RESPONSE_KEPT: usize = 2048;

/// No status came, or not the whole answer in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallFailure {
    pub kind: FailureKind,
    /// For the record and its reader: no secrets, no query strings.
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The timeout ran out before the last byte.
    Timeout,
    /// The name did not resolve.
    Dns,
    /// Refused, unreachable or reset before an answer came.
    Connect,
    Tls,
    /// The address guard said no.
    ForbiddenAddress,
    /// The connection broke, or what came was not HTTP.
    Protocol,
}

/// What a listener, an `on_failure` target or a schedule's target is called through.
#[async_trait::async_trait]
pub trait Caller: Send + Sync {
    /// Never fails: what went wrong is in the outcome.
    async fn call(&self, request: CallRequest) -> CallOutcome;
}

impl CallRequest {
    /// The webhook id of an execution.
    pub fn webhook_id_of(execution: ExecutionId) -> String {
        execution.to_string()
    }
}

/// What a target may be: asked when a schedule is created, and again before each call.
pub trait TargetRules: Send + Sync {
    /// The URL, normalised; or a sentence that goes on from its field's name: `is the private address …`.
    fn check_url(&self, text: &str) -> Result<Url, String>;
    /// A header of the user's own.
    fn check_header(&self, name: &str, value: &str) -> Result<(), String>;
    /// A browser's push subscription, as it is kept: normalised. Or the field that is wrong, from `subscription` on
    /// (`endpoint`, `keys.p256dh`, `keys.auth`), and a sentence that goes on from its name.
    fn check_subscription(
        &self,
        endpoint: &str,
        p256dh: &str,
        auth: &str,
    ) -> Result<Subscription, (&'static str, String)>;
}
