//! What the native API answers: schedules and executions, whole.

use super::{target, trigger};
use rondo_domain::{
    execution::{Attempt, Execution},
    ids::ScheduleId,
    plan::upcoming,
    ports::Schedule,
    time::Timestamp,
    trigger::{DstNote, Local},
};
use serde_json::{Map, Value, json};

fn text(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| at.to_string().into())
}

pub fn schedule(schedule: &Schedule, base: &str) -> Value {
    let (definition, state) = (&*schedule.definition, &schedule.state);
    let counts = state.counts;
    let succeeded = counts.done.saturating_sub(counts.failed + counts.missed + counts.skipped);
    let next = upcoming(definition, state, 1).first().copied();
    let link = schedule_link(base, definition.id);
    json!({
        "id": definition.id,
        "name": definition.name,
        "status": state.status,
        "trigger": trigger::write(&definition.trigger, definition.occurrences),
        "occurrences": definition.occurrences,
        "target": target::write_target(&definition.target),
        "delivery": target::write_delivery(&definition.delivery),
        "policy": target::show_policy(&definition.policy, definition.occurrences.is_some()),
        "tags": definition.tags,
        "generation": state.generation,
        "counts": {
            "done": counts.done,
            "succeeded": succeeded,
            "failed": counts.failed,
            "missed": counts.missed,
            "skipped": counts.skipped,
            "waiting": state.waiting,
            "running": state.in_flight(),
        },
        "next_due_at": text(next.map(|(_, _, due)| due)),
        "next_nominal_at": text(next.map(|(_, nominal, _)| nominal)),
        "first_sent_at": text(state.first_sent_at),
        "last_status": state.last_status,
        "created_at": definition.created_at.to_string(),
        "updated_at": definition.updated_at.to_string(),
        "ended_at": text(state.ended_at),
        "ended_because": state.ended_because,
        "links": {
            "self": link,
            "executions": format!("{link}/executions"),
            "upcoming": format!("{link}/upcoming"),
        },
    })
}

/// A schedule after a change, and how many of its executions may still arrive.
pub fn managed(managed: &rondo_domain::engine::Managed, base: &str) -> Value {
    let mut view = schedule(&managed.schedule, base);
    view["in_flight"] = managed.in_flight.into();
    view
}

pub fn schedule_link(base: &str, id: ScheduleId) -> String {
    format!("{base}/v1/schedules/{id}")
}

pub fn execution_link(base: &str, execution: &Execution) -> String {
    format!("{base}/v1/executions/{}", execution.id)
}

/// An execution as it stands in a list; its attempts come with it alone ([`execution_whole`]).
pub fn execution(execution: &Execution, base: &str) -> Value {
    let by_hand = execution.id.is_manual();
    json!({
        "id": execution.id,
        "schedule_id": execution.id.schedule,
        "occurrence": (!by_hand).then_some(execution.id.number),
        "through": execution.through,
        "by_hand": by_hand,
        "status": execution.status,
        "nominal_at": execution.nominal_at.to_string(),
        "due_at": execution.due_at.to_string(),
        "sent_at": text(execution.attempts.first().map(|attempt| attempt.sent_at)),
        "lateness_ms": execution.lateness().map(|span| span.millis()),
        "attempt_count": execution.attempts.len(),
        "last_status": execution.last_status(),
        "reason": execution.reason,
        "next_attempt_at": text(execution.next_attempt_at),
        "comment": execution.comment,
        "links": {
            "self": execution_link(base, execution),
            "schedule": schedule_link(base, execution.id.schedule),
        },
    })
}

pub fn execution_whole(execution: &Execution, base: &str) -> Value {
    let mut view = self::execution(execution, base);
    view["attempts"] = execution.attempts.iter().enumerate().map(|(i, one)| attempt(i + 1, one)).collect();
    view
}

fn attempt(number: usize, attempt: &Attempt) -> Value {
    json!({
        "number": number,
        "sent_at": attempt.sent_at.to_string(),
        "first_byte_at": text(attempt.first_byte_at),
        "done_at": attempt.done_at.to_string(),
        "duration_ms": attempt.duration().millis(),
        "status": attempt.status,
        "failure": attempt.failure,
        "body": attempt.body,
    })
}

/// A due instant, on the clock of the trigger's zone, with what daylight saving has to do with it.
pub fn instant(nominal: Timestamp, local: &Local) -> Map<String, Value> {
    let mut view = Map::new();
    view.insert("at".to_owned(), nominal.to_string().into());
    view.insert("local".to_owned(), local.to_string().into());
    let (note, meaning) = match local.note {
        None => return view,
        Some(note @ DstNote::ShiftedFromGap) => {
            (note, "the clock skips the time that was asked for; this is the first instant after the gap")
        }
        Some(note @ DstNote::FirstOfFold) => (note, "the clock shows this time twice; this is the first"),
        Some(note @ DstNote::SecondOfFold) => (note, "the clock shows this time twice; this is the second"),
    };
    view.insert("dst".to_owned(), json!(note));
    view.insert("dst_meaning".to_owned(), meaning.into());
    view
}
