//! Valid bodies of both surfaces with every field in them, and what tests do to them.

use serde_json::{Value, json};

pub fn native() -> Value {
    json!({
        "name": "n",
        "trigger": {"interval": {"every": "1h", "delay": "1h", "occurrences": 3, "end": "2040-01-01T00:00:00Z"}},
        "target": {"http": {"url": "https://example.com/", "method": "POST", "headers": {"x-a": "b"}, "body": {"a": 1}}},
        "delivery": {"timeout": "10s", "retry": {"max_attempts": 5, "initial": "5s", "factor": 2, "max_interval": "1h", "max_age": "24h"}, "on_failure": "https://example.com/alert"},
        "policy": {"missed": "all", "max_lateness": "1h", "overlap": "allow", "dst_gap": "shift", "dst_fold": "first", "spread": "0s"},
        "tags": {"team": "billing"},
    })
}

pub fn contract() -> Value {
    json!({"interval": 5000, "delay": "1h", "occurrences": 3, "name": "n", "return_url": "https://example.com/", "payload": "p", "callback_type": "POST", "notify_status_not_ok": "https://example.com/alert", "retry": {"max_attempts": 2}})
}

/// `body` with the value at `pointer` replaced, or the member added.
pub fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let name = name.replace("~1", "/").replace("~0", "~");
    body.pointer_mut(parent).expect("the parent is there")[name] = value;
    body
}

pub fn without(mut body: Value, pointer: &str) -> Value {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = body.pointer_mut(parent).and_then(Value::as_object_mut).expect("the parent is there");
    parent.remove(name).expect("the member is there");
    body
}

pub fn trigger(kind: &str, inner: Value) -> Value {
    let mut body = native();
    body["trigger"] = json!({});
    body["trigger"][kind] = inner;
    body
}

pub fn deep(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| json!([inner]))
}

pub fn long(length: usize) -> Value {
    "x".repeat(length).into()
}
