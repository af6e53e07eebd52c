//! How the recurring-callback contract shows a request and an execution: used by its API and by the events
//! that listeners are told.

use crate::{
    execution::Execution,
    plan::upcoming,
    schedule::{Body, Definition},
    state::{State, Status},
    time::Timestamp,
    trigger::Trigger,
};
use serde_json::{Value, json};

/// The contract's word for a status.
pub fn status_name(status: Status) -> &'static str {
    match status {
        Status::Pending => "PENDING",
        Status::Active => "ON_GOING",
        Status::Paused => "PAUSED",
        Status::Finished => "FINISHED",
        Status::Canceled => "CANCELED",
    }
}

/// Case-insensitive.
pub fn parse_status(text: &str) -> Option<Status> {
    Status::ALL.into_iter().find(|status| status_name(*status).eq_ignore_ascii_case(text))
}

fn text(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

/// A request: times in ISO 8601 UTC, `interval` and `delay` in ms.
pub fn request_view(definition: &Definition, state: &State) -> Value {
    let target = definition.http();
    let payload = match target.map_or(&Body::Empty, |target| &target.body) {
        Body::Envelope { payload } => payload.clone(),
        Body::Json(value) => Some(value.clone()),
        Body::Text(text) => Some(Value::from(text.as_str())),
        Body::Empty => None,
    };
    let interval = match &definition.trigger {
        Trigger::Interval(interval) => Some(interval.every.millis()),
        _ => None,
    };
    json!({
        "id": definition.request.as_ref().map(|request| request.internal_id),
        "externalId": definition.id,
        "name": definition.name,
        "status": status_name(state.status),
        "returnUrl": target.map(|target| &target.url),
        "notifyOnStatusNotOk": definition.delivery.on_failure,
        "delay": definition.request.as_ref().map_or(0, |request| request.delay.millis()),
        "interval": interval,
        "occurrences": definition.occurrences,
        "done": state.counts.done,
        "failed": state.counts.failed,
        "payload": payload,
        "requestTime": definition.created_at.to_string(),
        "firstExecTime": text(state.first_sent_at),
        "nextExecTime": text(upcoming(definition, state, 1).first().map(|(_, _, due)| *due)),
        "lastStatusCode": state.last_status,
        "callbackType": target.map(|target| target.method.as_str()),
    })
}

/// An execution; `statusCode` is -1 where a call was made and no status came.
pub fn execution_view(execution: &Execution) -> Value {
    let last = execution.attempts.last();
    let error = execution
        .reason
        .clone()
        .or_else(|| last.and_then(|attempt| attempt.failure.as_ref()).map(|failure| failure.detail.clone()));
    json!({
        "executionId": execution.id,
        "requestId": execution.id.schedule,
        "executionNumber": execution.id.number,
        "timeExecuted": text(last.map(|attempt| attempt.sent_at)),
        "statusCode": last.map(|attempt| attempt.status.map_or(-1, i32::from)),
        "comment": execution.comment,
        "status": execution.status,
        "through": execution.through,
        "dueTime": execution.due_at.to_string(),
        "latenessMs": execution.lateness().map(|span| span.millis()),
        "durationMs": last.map(|attempt| attempt.duration().millis()),
        "attempts": execution.attempts.len(),
        "response": last.map(|attempt| attempt.body.as_str()),
        "error": error,
    })
}
