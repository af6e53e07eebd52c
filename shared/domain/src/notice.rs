//! What is told to others about an execution or a schedule: a failure to its `on_failure` target, events to
//! the app's listeners. A notice travels like a callback: signed, retried, at least once.

use crate::{
    contract,
    execution::{Execution, ExecutionStatus},
    ids::{AppKey, ScheduleId},
    policy::RetryPolicy,
    schedule::Definition,
    state::State,
    time::{Span, Timestamp},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;

/// A listener's failures in a row (after retries) at which it is kept; one more removes it.
pub const MAX_LISTENER_FAILURES: u32 = 5;
pub const NOTICE_TIMEOUT: Span = Span::from_secs(10);
pub const NOTICE_RETRY: RetryPolicy = RetryPolicy { max_attempts: 6, ..RetryPolicy::STANDARD };

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// The same for every attempt: its `webhook-id`, and what makes a second sending the same notice.
    pub id: String,
    pub app: AppKey,
    pub url: Url,
    /// The listener whose health this delivery shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<u64>,
    /// JSON, as it goes out.
    pub body: String,
    /// How many attempts there have been.
    #[serde(default)]
    pub attempts: u16,
    pub since: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Event {
    RequestAdded,
    RequestStarted,
    ExecutionFired,
    ExecutionFailed,
    RequestFinished,
    RequestCanceled,
}

impl Event {
    pub const ALL: [Event; 6] = [
        Event::RequestAdded,
        Event::RequestStarted,
        Event::ExecutionFired,
        Event::ExecutionFailed,
        Event::RequestFinished,
        Event::RequestCanceled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Event::RequestAdded => "REQUEST_ADDED",
            Event::RequestStarted => "REQUEST_STARTED",
            Event::ExecutionFired => "EXECUTION_FIRED",
            Event::ExecutionFailed => "EXECUTION_FAILED",
            Event::RequestFinished => "REQUEST_FINISHED",
            Event::RequestCanceled => "REQUEST_CANCELED",
        }
    }

    /// Case-insensitive.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str().eq_ignore_ascii_case(text))
    }
}

/// Somebody who is told of an app's events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// Unique within the app.
    pub id: u64,
    pub url: Url,
    /// Empty: all.
    #[serde(default)]
    pub events: Vec<Event>,
    pub created_at: Timestamp,
    #[serde(default)]
    pub failures_in_a_row: u32,
    /// Set when it was removed for failing; kept so that it can be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<Timestamp>,
}

impl Listener {
    /// Adds a listener to an app's, oldest first; the same URL again replaces its events and forgets its failures.
    pub fn add(all: &mut Vec<Listener>, url: &Url, events: &[Event], now: Timestamp) -> Listener {
        if let Some(known) = all.iter_mut().find(|known| known.url == *url && known.removed_at.is_none()) {
            known.events = events.to_vec();
            known.failures_in_a_row = 0;
            return known.clone();
        }
        let listener = Listener {
            id: all.iter().map(|known| known.id).max().unwrap_or(0) + 1,
            url: url.clone(),
            events: events.to_vec(),
            created_at: now,
            failures_in_a_row: 0,
            removed_at: None,
        };
        all.push(listener.clone());
        listener
    }

    pub fn hears(&self, event: Event) -> bool {
        self.removed_at.is_none() && (self.events.is_empty() || self.events.contains(&event))
    }

    /// Counts one delivery, after its retries. Answers whether that removed it.
    pub fn heard(&mut self, ok: bool, now: Timestamp) -> bool {
        self.failures_in_a_row = if ok { 0 } else { self.failures_in_a_row + 1 };
        let removed = self.failures_in_a_row > MAX_LISTENER_FAILURES;
        self.removed_at = removed.then_some(now);
        removed
    }
}

/// Whether there is anybody to be told of an app's events.
pub fn anybody_listens(listeners: &[Listener]) -> bool {
    listeners.iter().any(|listener| listener.removed_at.is_none())
}

/// Notices of an event about a schedule.
pub fn of_schedule(
    event: Event,
    definition: &Definition,
    state: &State,
    listeners: &[Listener],
    now: Timestamp,
) -> Vec<Notice> {
    let subject = contract::request_view(definition, state).to_string();
    to_listeners(event, definition.id, None, &definition.app, &subject, listeners, now)
}

/// Notices that an execution's end gives rise to.
pub fn of_execution(
    definition: &Definition,
    execution: &Execution,
    first: bool,
    state: Option<&State>,
    listeners: &[Listener],
    now: Timestamp,
) -> Vec<Notice> {
    let mut notices = Vec::new();
    if first && let Some(state) = state {
        notices.extend(of_schedule(Event::RequestStarted, definition, state, listeners, now));
    }
    let failed = execution.status == ExecutionStatus::Failed;
    if failed && let Some(url) = &definition.delivery.on_failure {
        let body = failure_body(definition, execution).to_string();
        let id = format!("{}-failure", execution.id);
        notices.push(Notice {
            id,
            app: definition.app.clone(),
            url: url.clone(),
            listener: None,
            body,
            attempts: 0,
            since: now,
        });
    }
    let called = !execution.attempts.is_empty();
    let events = [(Event::ExecutionFired, called), (Event::ExecutionFailed, failed)];
    if !listeners.is_empty() {
        let subject = contract::execution_view(execution).to_string();
        for (event, _) in events.into_iter().filter(|(_, happened)| *happened) {
            let number = Some(execution.id.number);
            notices.extend(to_listeners(
                event,
                definition.id,
                number,
                &definition.app,
                &subject,
                listeners,
                now,
            ));
        }
    }
    notices
}

fn to_listeners(
    event: Event,
    schedule: ScheduleId,
    number: Option<u32>,
    app: &AppKey,
    subject: &str,
    listeners: &[Listener],
    now: Timestamp,
) -> Vec<Notice> {
    let hearing = listeners.iter().filter(|listener| listener.hears(event));
    let notice = |listener: &Listener| {
        let about = number.map_or(schedule.to_string(), |number| schedule.execution(number, 0).to_string());
        Notice {
            id: format!("{about}-{}-{}", event.as_str().to_ascii_lowercase(), listener.id),
            app: app.clone(),
            url: listener.url.clone(),
            listener: Some(listener.id),
            body: json!({"event": event.as_str(), "json": subject}).to_string(),
            attempts: 0,
            since: now,
        }
    };
    hearing.map(notice).collect()
}

/// The contract's form where the contract made the schedule, with Rondo's own fields beside it.
fn failure_body(definition: &Definition, execution: &Execution) -> serde_json::Value {
    let last = execution.attempts.last();
    let status = last.and_then(|attempt| attempt.status).map_or(-1, i32::from);
    let reason =
        execution.reason.clone().or_else(|| last?.failure.as_ref().map(|failure| failure.detail.clone()));
    let mut body = json!({
        "parentRequestId": definition.id,
        "requestId": definition.id,
        "executionId": execution.id,
        "callback_status_code": status,
    });
    if let Some(reason) = reason {
        body["reason"] = reason.into();
    }
    if definition.request.is_none() {
        body["schedule"] = json!({"id": definition.id, "name": definition.name});
        body["occurrence"] = execution.id.number.into();
        body["dueAt"] = execution.due_at.to_string().into();
        body["attempts"] = execution.attempts.len().into();
    }
    body
}
