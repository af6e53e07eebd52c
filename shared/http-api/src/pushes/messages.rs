//! `GET /v4/schedules/{id}/msg-ids`: what a schedule's pushes came to, read from its executions.

use super::{
    form::{In, Schedules},
    schedules::{Refused, found},
};
use crate::{access::Caller, answer::Json};
use axum::extract::{Path, rejection::PathRejection};
use rondo_domain::{
    engine::ExecutionFilter,
    execution::{Execution, ExecutionStatus},
    push::{
        fan_out::{PageKind, PushRecord},
        outcome::PushError,
    },
    time::Timestamp,
};
use serde_json::{Value, json};

/// So many executions are read in one go.
const READ: usize = 200;
/// The latest so many messages are listed; a thousand fit into some 100 kB.
const MOST: usize = 10_000;
/// It was not sent in time.
const TIMED_OUT: u32 = 21_030;

pub async fn list(
    In(caller, _): In<Schedules, Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json, Refused> {
    let schedule = found(&caller, path).await?;
    let engine = &caller.api.engine;
    let now = engine.now();
    let mut filter = ExecutionFilter { status: None, newest_first: true, after: None, limit: READ };
    let mut messages = Messages::default();
    loop {
        let page = engine.executions(&caller.app.key, schedule.definition.id, &filter).await?;
        for execution in &page.items {
            messages.add(execution, now);
        }
        match page.next {
            Some(next) if messages.0.len() < MOST => filter.after = Some(next),
            _ => break,
        }
    }
    let texts = messages.texts();
    Ok(Json(json!({"count": texts.len(), "MsgIds": texts})))
}

/// What one push, or the pages of one slot that came to the same, told.
#[derive(Debug, PartialEq)]
struct Message {
    /// Occurrence and slot.
    place: (u32, u8),
    told: Result<String, PushError>,
    /// Nobody was in it: of no account beside others of its slot.
    empty: bool,
    retries: bool,
    at: Timestamp,
}

#[derive(Default)]
struct Messages(Vec<Message>);

impl Messages {
    fn add(&mut self, execution: &Execution, now: Timestamp) {
        let Some(new) = message_of(execution, now) else { return };
        // Executions come slot by slot: what this belongs to is among the last.
        let mut slot = self.0.iter_mut().rev().take_while(|other| other.place == new.place);
        match slot.find(|other| other.told == new.told) {
            Some(same) => {
                same.at = same.at.max(new.at);
                same.retries |= new.retries;
                same.empty &= new.empty;
            }
            None => self.0.push(new),
        }
    }

    /// Oldest first, each as JSON in a string.
    fn texts(mut self) -> Vec<String> {
        let filled: std::collections::BTreeSet<(u32, u8)> =
            self.0.iter().filter(|message| !message.empty).map(|message| message.place).collect();
        self.0.retain(|message| !message.empty || !filled.contains(&message.place));
        self.0.sort_by_key(|message| (message.at, message.place));
        self.0.iter().map(|message| message.view().to_string()).collect()
    }
}

impl Message {
    fn view(&self) -> Value {
        let (id, code, message) = match &self.told {
            Ok(id) => (id.as_str(), 0, ""),
            Err(error) => ("0", error.code, error.message.as_str()),
        };
        json!({
            "msg_id": id,
            "error": {"code": code, "message": message},
            "needRetry": self.retries,
            "ts": self.at.millis(),
        })
    }
}

/// None: nothing was pushed, or nothing is known of it yet.
fn message_of(execution: &Execution, now: Timestamp) -> Option<Message> {
    let place = (execution.id.number, execution.id.slot);
    match execution.push.as_deref()? {
        PushRecord::Spread(spread) => {
            let nobody = execution.status == ExecutionStatus::Failed && spread.pages == 0;
            // By then everybody would have been due.
            let at = spread.until.min(now).max(execution.due_at);
            nobody.then(|| Message {
                place,
                told: Err(PushError::no_target()),
                empty: false,
                retries: false,
                at,
            })
        }
        PushRecord::Page(page) => {
            let empty = page.result.recipients() == 0;
            let last = execution.attempts.last();
            let told = match (last, execution.status) {
                // Nobody who moved was passed over.
                _ if page.kind == PageKind::Moved && empty => return None,
                (None, ExecutionStatus::Missed) => {
                    Err(PushError::new(TIMED_OUT, execution.reason.clone().unwrap_or_default()))
                }
                // Not begun, or dropped by a change before it was.
                (None, _) if page.result.error.is_none() => return None,
                _ => page.result.told().map(str::to_owned),
            };
            let retries = execution.status == ExecutionStatus::Waiting;
            let empty = empty && told == Err(PushError::no_target());
            let at = last.map_or(execution.due_at, |attempt| attempt.done_at);
            Some(Message { place, told, empty, retries, at })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rondo_domain::{
        execution::Attempt,
        ids::{AppKey, ScheduleId, Token},
        push::{
            fan_out::{Bounds, Page, Range, Spread},
            outcome::PushResult,
        },
    };

    const DUE: Timestamp = Timestamp::from_millis(1_707_278_411_000);

    fn execution(number: u32, slot: u8, page: u16) -> Execution {
        let id = ScheduleId::new(DUE, 7).execution(number, 0).page(slot, page);
        Execution::new(id, AppKey::from_random(1), 1, DUE, DUE, Token(1))
    }

    /// A page that was attempted, done so many ms after it was due.
    fn page(slot: u8, page: u16, result: PushResult, status: ExecutionStatus, after: i64) -> Execution {
        let mut execution = execution(1, slot, page);
        let at = Timestamp::from_millis(DUE.millis() + after);
        let attempt = Attempt {
            sent_at: DUE,
            first_byte_at: None,
            done_at: at,
            status: None,
            failure: None,
            body: String::new(),
        };
        execution.attempts.push(attempt);
        execution.status = status;
        let page = Page {
            bounds: Bounds::default(),
            range: Range::ALL,
            kind: PageKind::Audience,
            result,
            failures: 0,
        };
        execution.push = Some(Box::new(PushRecord::Page(page)));
        execution
    }

    fn sent(id: &str) -> PushResult {
        PushResult { msg_id: Some(id.to_owned()), accepted: 1, ..PushResult::default() }
    }

    fn failed(code: u32) -> PushResult {
        PushResult { refused: 1, error: Some(PushError::new(code, "no")), ..PushResult::default() }
    }

    fn nobody() -> PushResult {
        PushResult { error: Some(PushError::no_target()), ..PushResult::default() }
    }

    fn texts(mut executions: Vec<Execution>) -> Vec<String> {
        executions.sort_by_key(|execution| std::cmp::Reverse(execution.id));
        let mut messages = Messages::default();
        executions.iter().for_each(|execution| messages.add(execution, Timestamp::MAX));
        messages.texts()
    }

    use ExecutionStatus::{Failed, Missed, Succeeded, Waiting};

    #[test]
    fn a_message_reads_as_the_contract_writes_it() {
        assert_eq!(
            texts(vec![page(0, 1, sent("1088009"), Succeeded, 611)]),
            [r#"{"msg_id":"1088009","error":{"code":0,"message":""},"needRetry":false,"ts":1707278411611}"#]
        );
        assert_eq!(
            texts(vec![page(0, 1, failed(21003), Failed, 611)]),
            [r#"{"msg_id":"0","error":{"code":21003,"message":"no"},"needRetry":false,"ts":1707278411611}"#]
        );
    }

    #[test]
    fn pages_that_came_to_the_same_are_one() {
        let told = texts(vec![
            page(52, 1, sent("7"), Succeeded, 100),
            page(52, 2, sent("7"), Succeeded, 300),
            page(52, 3, failed(21003), Failed, 200),
            page(52, 4, nobody(), Failed, 400),
            page(56, 5, sent("8"), Waiting, 50),
            page(60, 6, nobody(), Failed, 20),
            page(60, 7, nobody(), Failed, 10),
        ]);
        let short: Vec<String> = told
            .iter()
            .map(|text| {
                let value: Value = serde_json::from_str(text).expect("JSON");
                let ts = value["ts"].as_i64().expect("ms") - DUE.millis();
                format!("{} {} {} {ts}", value["msg_id"], value["error"]["code"], value["needRetry"])
            })
            .collect();
        assert_eq!(
            short,
            [r#""0" 1011 false 20"#, r#""8" 0 true 50"#, r#""0" 21003 false 200"#, r#""7" 0 false 300"#]
        );
    }

    #[test]
    fn what_never_began_is_no_message() {
        let without = |mut execution: Execution, kind: PageKind| {
            execution.attempts.clear();
            if let Some(PushRecord::Page(page)) = execution.push.as_deref_mut() {
                page.kind = kind;
            }
            texts(vec![execution])
        };
        let fresh = PushResult::default;
        assert!(without(page(0, 1, fresh(), Waiting, 0), PageKind::Audience).is_empty());
        assert!(without(page(0, 1, fresh(), Failed, 0), PageKind::Audience).is_empty());
        assert!(without(page(0, 1, fresh(), Succeeded, 0), PageKind::Moved).is_empty());
        assert!(texts(vec![execution(1, 0, 0)]).is_empty());
        let nobody = without(page(0, 1, nobody(), Failed, 0), PageKind::Audience);
        assert!(nobody[0].contains("1011"), "{nobody:?}");
        let late = without(page(0, 1, fresh(), Missed, 0), PageKind::Audience);
        assert!(late[0].contains("21030"), "{late:?}");
    }

    #[test]
    fn an_occurrence_without_recipients_says_so() {
        let spread = |status, pages| {
            let mut occurrence = execution(1, 0, 0);
            occurrence.status = status;
            occurrence.push = Some(Box::new(PushRecord::Spread(Spread { pages, ..Spread::new(DUE) })));
            texts(vec![occurrence])
        };
        assert_eq!(
            spread(Failed, 0),
            [
                r#"{"msg_id":"0","error":{"code":1011,"message":"Cannot find sending target"},"needRetry":false,"ts":1707278411000}"#
            ]
        );
        assert!(
            spread(Waiting, 0).is_empty() && spread(Failed, 3).is_empty() && spread(Succeeded, 2).is_empty()
        );
    }
}
