//! A message as it travels: JSON with a version, so that an old function never misreads a new message.
//!
//! A message is up to a quarter of a megabyte and holds what users stored: no error says what stands in it.

use rondo_domain::{
    message::{Delayed, Message},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

/// A body that is no message of ours. Its text never holds the body.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    #[error("the body is not a message: {0}")]
    Malformed(String),
    #[error("the message has version {0}, and this function understands only {VERSION}")]
    Version(u64),
}

pub const VERSION: u64 = 1;

#[derive(Serialize)]
struct Written<'a> {
    v: u64,
    at: Timestamp,
    message: &'a Message,
}

#[derive(Deserialize)]
struct Read {
    v: u64,
    at: Timestamp,
    message: Message,
}

/// All that every version must have.
#[derive(Deserialize)]
struct Head {
    v: u64,
}

/// What users wrote may stand in strings alone, where any character can be written as its number. Two kinds must be:
/// the two that SQS refuses among those that JSON lets stand, and the keywords for which EventBridge Scheduler would
/// put values of its own ("Adding context attributes", its user guide).
const REWRITTEN: [(&str, &str); 3] =
    [("\u{fffe}", "\\ufffe"), ("\u{ffff}", "\\uffff"), ("<aws.scheduler.", "\\u003caws.scheduler.")];

/// `{"v":1,"at":1764547200123,"message":{"wake":{…}}}`; `at` in ms since 1970, UTC.
pub fn write(message: &Delayed) -> String {
    let written = Written { v: VERSION, at: message.at, message: &message.message };
    let mut text = serde_json::to_string(&written).expect("messages have string keys and no failing field");
    for (raw, escaped) in REWRITTEN {
        if text.contains(raw) {
            text = text.replace(raw, escaped);
        }
    }
    text
}

pub fn read(body: &str) -> Result<Delayed, EnvelopeError> {
    match serde_json::from_str(body) {
        Ok(Read { v: VERSION, at, message }) => Ok(Delayed { at, message }),
        Ok(Read { v, .. }) => Err(EnvelopeError::Version(v)),
        Err(error) => match serde_json::from_str(body) {
            Ok(Head { v }) if v != VERSION => Err(EnvelopeError::Version(v)),
            _ => Err(malformed(&error)),
        },
    }
}

/// The parser's own words quote the body (`unknown variant "…"`), so only the kind and the place are told.
fn malformed(error: &serde_json::Error) -> EnvelopeError {
    let kind = match error.classify() {
        serde_json::error::Category::Data => "it lacks something, or holds something of another kind",
        serde_json::error::Category::Eof => "it ends too early",
        _ => "it is not JSON",
    };
    EnvelopeError::Malformed(format!("{kind} (line {}, column {})", error.line(), error.column()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rondo_domain::{
        ids::{AppKey, ExecutionId, NO_SLOT, ScheduleId},
        message::Segment,
        notice::Notice,
        plan::Occurrence,
        schedule::Definition,
    };
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn id() -> impl Strategy<Value = ScheduleId> {
        (0..253_402_300_799_999_i64, any::<u128>())
            .prop_map(|(at, bits)| ScheduleId::new(at_millis(at), bits))
    }

    fn at_millis(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn at() -> impl Strategy<Value = Timestamp> {
        (0..=Timestamp::MAX.millis()).prop_map(at_millis)
    }

    fn ours() -> AppKey {
        "ours".parse().unwrap()
    }

    /// Whatever users may send, and what means something on the way.
    fn text() -> impl Strategy<Value = String> {
        let odd = prop::sample::select(vec![
            "<aws.scheduler.scheduled-time>",
            "\u{fffe}",
            "\u{ffff}",
            "\\uffff",
            "\\<aws.scheduler.",
            "\u{0}\u{1f}\u{7f}",
            "\"}",
        ]);
        prop_oneof![
            any::<String>(),
            (any::<String>(), odd).prop_map(|(text, odd)| format!("{text}{odd}{text}"))
        ]
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((text(), inner), 0..4)
                    .prop_map(|all| Value::Object(all.into_iter().collect())),
            ]
        })
    }

    fn definition() -> impl Strategy<Value = Definition> {
        (id(), text(), value(), at()).prop_map(|(id, name, body, created)| {
            let target = json!({"http": {"url": "https://a.example/<aws.scheduler.x>?q=é", "method": "POST",
                "headers": [["x-team", &name]], "body": {"json": body}}});
            serde_json::from_value(json!({"id": id, "app": "ours", "name": name, "occurrences": 3,
                "trigger": {"single": {"at": created}}, "target": target, "tags": {"team": "billing"},
                "created_at": created, "updated_at": created}))
            .unwrap()
        })
    }

    fn segment() -> impl Strategy<Value = Segment> {
        let occurrence =
            (any::<u32>(), at(), at()).prop_map(|(number, at, due)| Occurrence { number, at, due });
        let occurrences = prop::collection::vec(occurrence, 0..5);
        (id(), any::<u32>(), occurrences, prop::option::of(definition())).prop_map(
            |(id, generation, occurrences, definition)| Segment {
                id,
                app: ours(),
                generation,
                occurrences,
                definition: definition.map(Arc::new),
            },
        )
    }

    /// Occurrences, and pages of occurrences.
    fn execution() -> impl Strategy<Value = ExecutionId> {
        let page = prop_oneof![Just((NO_SLOT, 0)), (any::<u8>(), 1..=u16::MAX)];
        (id(), 1..u32::MAX, page)
            .prop_map(|(id, number, (slot, page))| id.execution(number, NO_SLOT).page(slot, page))
    }

    fn message() -> impl Strategy<Value = Message> {
        let notice = (text(), text(), any::<Option<u64>>(), any::<u16>(), at()).prop_map(
            |(id, body, listener, attempts, since)| {
                let url = "https://a.example/".parse().unwrap();
                Message::Notice(Notice { id, app: ours(), url, listener, body, attempts, since })
            },
        );
        prop_oneof![
            (id(), any::<u32>()).prop_map(|(id, generation)| Message::Wake { id, generation }),
            segment().prop_map(Message::Segment),
            execution().prop_map(|execution| Message::Attempt { execution, at: None }),
            notice,
        ]
    }

    /// What SQS takes in a message (SendMessage, its API reference).
    fn sqs_takes(c: char) -> bool {
        matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
    }

    proptest! {
        #[test]
        fn every_message_comes_back_as_it_was_and_passes_unchanged(at in at(), message in message()) {
            let sent = Delayed { at, message };
            let body = write(&sent);
            prop_assert!(body.chars().all(sqs_takes));
            prop_assert!(!body.contains("<aws.scheduler."));
            prop_assert_eq!(read(&body).unwrap(), sent);
        }

        #[test]
        fn no_error_tells_what_stands_in_a_body(body in text()) {
            let body = format!(r#"{{"v":1,"at":0,"message":{{"{}":1}}}}"#, body.escape_default());
            let told = read(&body).unwrap_err().to_string();
            prop_assert!(told.len() < 120 && told.is_ascii(), "{}", told);
        }
    }

    #[test]
    fn the_form_is_what_other_functions_expect() {
        let id: ScheduleId = "019ad789-2400-8000-8000-000000000000".parse().unwrap();
        let wake = Delayed { at: at_millis(1_764_547_200_123), message: Message::Wake { id, generation: 2 } };
        let body = r#"{"v":1,"at":1764547200123,"message":{"wake":{"id":"019ad789-2400-8000-8000-000000000000","generation":2}}}"#;
        assert_eq!(write(&wake), body);
        assert_eq!(read(body).unwrap(), wake);
        let page = id.execution(3, NO_SLOT).page(52, 7);
        let attempt = Delayed {
            at: at_millis(5),
            message: Message::Attempt { execution: page, at: Some(at_millis(5)) },
        };
        let body = r#"{"v":1,"at":5,"message":{"attempt":{"execution":"019ad789-2400-8000-8000-003400000003.7","at":5}}}"#;
        assert_eq!(write(&attempt), body);
        assert_eq!(read(body).unwrap(), attempt);
    }

    #[test]
    fn another_version_is_named_whatever_else_it_holds() {
        for body in [
            r#"{"v":2}"#,
            r#"{"v":2,"at":0,"message":{"wake":{"id":"019ad789-2400-8000-8000-000000000000","generation":2}}}"#,
        ] {
            assert!(matches!(read(body), Err(EnvelopeError::Version(2))));
        }
        assert_eq!(
            read(r#"{"v":7}"#).unwrap_err().to_string(),
            "the message has version 7, and this function understands only 1"
        );
    }

    #[test]
    fn what_is_no_message_is_told_by_its_place_alone() {
        for body in [
            "",
            "hello",
            "{}",
            "[]",
            "null",
            r#"{"v":1}"#,
            r#"{"v":1,"at":0,"message":{"secret":{}}}"#,
            r#"{"v":1,"at":0"#,
        ] {
            let error = read(body).unwrap_err();
            assert!(matches!(&error, EnvelopeError::Malformed(_)), "{body}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
