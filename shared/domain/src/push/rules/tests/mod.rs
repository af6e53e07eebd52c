//! Every rule of the contract, broken one at a time and in pairs.

mod pushes;
mod schedules;
mod triggers;

use super::{Around, reading::size};
use crate::{
    push::{outcome::PushError, sender::Way},
    time::Timestamp,
};
use serde_json::{Value, json};

/// 2026-11-23 12:00:00 UTC, 13:00:00 in Madrid.
fn around() -> Around {
    let now = Timestamp::parse_rfc3339("2026-11-23T12:00:00Z").expect("RFC 3339");
    Around { zone: chrono_tz::Europe::Madrid, now, way: Way::Gateway }
}

fn push() -> Value {
    json!({
        "from": "push",
        "to": {"tag": ["news"], "tag_and": ["a"], "tag_not": ["b"], "alias": ["me"], "registration_id": ["1a0018"]},
        "body": {
            "platform": ["web", "android"],
            "notification": {
                "web": {"alert": "hello", "title": "t", "url": "https://example.com/", "extras": {"k": "v"}},
                "android": {"alert": "hello"},
            },
            "message": {"msg_content": "m"},
            "options": {"time_to_live": 60, "big_push_duration": 5, "web_buttons": [{"id": "1", "text": "go"}]},
        },
        "request_id": "12345",
        "custom_args": {"Engagelab": "push to you"},
    })
}

/// One rule broken: where, what stands there instead (null: nothing does), and the code that says so.
struct Broken {
    pointer: &'static str,
    value: Value,
    code: u32,
    /// What the message begins with.
    names: &'static str,
}

fn broken(pointer: &'static str, value: Value, code: u32, names: &'static str) -> Broken {
    Broken { pointer, value, code, names }
}

impl Broken {
    fn apply(&self, body: &mut Value) {
        let (parent, name) = self.pointer.rsplit_once('/').expect("a pointer");
        // The other rule of a pair may have taken its place away.
        let Some(Value::Object(parent)) = body.pointer_mut(parent) else { return };
        match &self.value {
            Value::Null => parent.shift_remove(name),
            value => parent.insert(name.to_owned(), value.clone()),
        };
    }

    fn is_told(&self, error: &PushError) -> bool {
        error.code == self.code && error.message.starts_with(&format!("{} ", self.names))
    }
}

/// Each by itself is told; of two, one of them is.
fn check_all(good: &Value, broken: &[Broken], check: impl Fn(&Value) -> Result<(), PushError>) {
    check(good).expect("the good one passes");
    for one in broken {
        let mut body = good.clone();
        one.apply(&mut body);
        let error = check(&body).expect_err(&format!("{} = {} passes", one.pointer, one.value));
        assert!(one.is_told(&error), "{} = {}: {error}", one.pointer, one.value);
        for other in broken.iter().filter(|other| other.pointer != one.pointer) {
            let mut body = body.clone();
            other.apply(&mut body);
            let error = check(&body).expect_err("two rules broken pass");
            let told = one.is_told(&error) || other.is_told(&error);
            assert!(told, "{} and {}: {error}", one.pointer, other.pointer);
        }
    }
}

#[test]
fn sizes_are_those_of_compact_json() {
    assert_eq!(size(&json!({"alert": "ñ", "n": [1, 2]})), r#"{"alert":"ñ","n":[1,2]}"#.len());
}
