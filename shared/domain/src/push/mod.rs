//! Pushes: one message for many devices, each told at its own time. What a device is ([`device`]), when it is used
//! most ([`best_time`]), who is meant ([`audience`]), when each is due ([`fan_out`]), and what became of it
//! ([`outcome`]). [`sender`] is the port through which a push leaves.

pub mod audience;
pub mod best_time;
pub mod device;
pub mod fan_out;
pub mod outcome;
pub mod rules;
pub mod sender;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a schedule sends where it pushes: `{from?, to, body, request_id?, custom_args?}`, as it was given, checked
/// when the schedule was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PushTarget {
    pub push: Value,
}

/// What only the scheduled-push contract knows of a schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PushFields {
    /// As it was given, so that it is shown again unchanged. None: sent at once, by `POST /v4/push`; such a schedule
    /// is none of the app's scheduled pushes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Value>,
    /// Top-level keys that nobody knows, kept and shown again.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

impl PushFields {
    /// One of the app's scheduled pushes: listed, and counted against their limit.
    pub fn is_scheduled(&self) -> bool {
        self.trigger.is_some()
    }
}

/// How an app's pushes leave. With an upstream they go through its gateway, otherwise straight to the devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PushSettings {
    /// The app's key for Web Push (RFC 8292); none: made before there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vapid: Option<VapidKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Upstream>,
    /// Whom a push service may turn to about this app's pushes: a `mailto:` or `https:` URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
}

/// A P-256 key pair; the private half is sealed like a signing secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VapidKey {
    /// The uncompressed point in base64url: what `pushManager.subscribe()` takes as `applicationServerKey`.
    pub public: String,
    pub sealed: String,
}

/// The app's own credentials at the gateway; the secret is sealed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Upstream {
    pub key: String,
    pub sealed: String,
}
