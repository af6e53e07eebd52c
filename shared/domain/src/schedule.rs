//! What the user said: a schedule's definition. It changes seldom and may be large; what runs is in `state`.

use crate::{
    call::Method,
    ids::{AppKey, ScheduleId},
    policy::{Delivery, Policy},
    push::{PushFields, PushTarget},
    time::{Span, Timestamp},
    trigger::Trigger,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use url::Url;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    pub id: ScheduleId,
    pub app: AppKey,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub trigger: Trigger,
    /// How many occurrences there are; none: until the trigger ends or the schedule is cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurrences: Option<u32>,
    pub target: Target,
    // What is as usual is left out: a definition is stored, and sent, for each execution.
    #[serde(default, skip_serializing_if = "is_default")]
    pub delivery: Delivery,
    #[serde(default, skip_serializing_if = "is_default")]
    pub policy: Policy,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Present where the recurring-callback contract made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestFields>,
    /// Present where the scheduled-push contract made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<PushFields>,
}

/// The published contract through which a schedule was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contract {
    /// The recurring-callback contract.
    Requests,
    /// The scheduled-push contract; what is pushed at once is no schedule of it.
    Pushes,
}

/// What only the recurring-callback contract knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestFields {
    /// Counted per app, from 1; set by the store as it creates.
    pub internal_id: u64,
    pub delay: Span,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    Http(HttpTarget),
    Push(PushTarget),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpTarget {
    pub url: Url,
    pub method: Method,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    Empty,
    /// Sent as it is, as `application/json`.
    Json(Value),
    /// Sent as it is; `text/plain; charset=utf-8` unless a header says otherwise.
    Text(String),
    /// The recurring-callback contract's object, with this value as its `payload`; as query parameters for GET.
    Envelope {
        payload: Option<Value>,
    },
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Definition {
    /// Whether each occurrence is one message for many, each told by itself.
    pub fn fans_out(&self) -> bool {
        matches!(self.trigger, Trigger::FanOut(_))
    }

    /// What is called, where something is.
    pub fn http(&self) -> Option<&HttpTarget> {
        match &self.target {
            Target::Http(target) => Some(target),
            Target::Push(_) => None,
        }
    }

    pub fn contract(&self) -> Option<Contract> {
        match (&self.request, &self.push) {
            (Some(_), _) => Some(Contract::Requests),
            (_, Some(push)) if push.is_scheduled() => Some(Contract::Pushes),
            _ => None,
        }
    }
}
