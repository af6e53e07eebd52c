//! What a browser is told of a push, and how the push service is to treat it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rondo_domain::push::PushTarget;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// How long a push service keeps what it cannot hand over yet, in seconds, where the push does not say.
const DEFAULT_TTL: u64 = 86_400;

/// What the service worker gets, as JSON; what the push does not have is left out:
///
/// ```json
/// {
///   "msg_id": "1088009",
///   "alert": "…", "title": "…", "url": "https://…", "icon": "https://…", "image": "https://…", "extras": {},
///   "buttons": [{"id": "…", "text": "…", "icon": "…", "url": "…"}],
///   "message": {"msg_content": "…", "title": "…", "extras": {}},
///   "custom_args": {}
/// }
/// ```
///
/// `alert` to `extras` are `notification.web`'s; `alert` (and, where that is an object, its `title` and `body`) of the
/// notification itself where `web` has none. `message` is the push's, `buttons` are `options.web_buttons`. None: the
/// push has nothing for a browser.
pub fn payload(push: &PushTarget, msg_id: &str) -> Option<Vec<u8>> {
    let body = &push.push["body"];
    let (notification, web) = (&body["notification"], &body["notification"]["web"]);
    let mut told = Map::new();
    let mut tell = |name: &str, value: &Value| {
        if !is_empty(value) && !told.contains_key(name) {
            told.insert(name.to_owned(), value.clone());
        }
    };
    tell("msg_id", &msg_id.into());
    for alert in [&web["alert"], &notification["alert"]] {
        if alert.is_object() {
            tell("alert", &alert["body"]);
            if web["title"].is_null() {
                tell("title", &alert["title"]);
            }
        } else {
            tell("alert", alert);
        }
    }
    for name in ["title", "url", "icon", "image", "extras"] {
        tell(name, &web[name]);
    }
    tell("buttons", &body["options"]["web_buttons"]);
    tell("message", &body["message"]);
    tell("custom_args", &push.push["custom_args"]);
    let says_something = told.contains_key("alert") || told.contains_key("message");
    says_something.then(|| Value::Object(told).to_string().into_bytes())
}

/// An empty object counts as absent, as the contract says; so do an empty list and text.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// RFC 8030, sections 5.2 to 5.4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Treatment {
    /// Seconds; 0: now or never.
    pub ttl: u64,
    pub urgency: &'static str,
    /// A push with the same topic replaces the one that still waits for the browser.
    pub topic: Option<String>,
}

impl Treatment {
    pub(crate) fn of(push: &PushTarget) -> Self {
        let options = &push.push["body"]["options"];
        let ttl = options["time_to_live"].as_u64().unwrap_or(DEFAULT_TTL);
        let named = [
            ("override_msg_id", &options["override_msg_id"]),
            ("apns_collapse_id", &options["apns_collapse_id"]),
            ("cid", &push.push["cid"]),
        ];
        let topic = named.into_iter().find_map(|(kind, value)| match value {
            Value::String(text) if !text.is_empty() => Some(topic(kind, text)),
            Value::Number(number) => Some(topic(kind, &number.to_string())),
            _ => None,
        });
        Treatment { ttl, urgency: if ttl == 0 { "high" } else { "normal" }, topic }
    }
}

/// 32 characters of base64url, as many as a topic may have.
fn topic(kind: &str, value: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(format!("{kind}\n{value}"))[..24])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(push: Value) -> Option<Value> {
        payload(&PushTarget { push }, "1088009").map(|bytes| serde_json::from_slice(&bytes).unwrap())
    }

    fn treated(push: Value) -> Treatment {
        Treatment::of(&PushTarget { push })
    }

    #[test]
    fn a_browser_is_told_all_that_is_for_it_and_nothing_else() {
        let push = json!({
            "from": "push", "to": "all", "request_id": "7", "custom_args": {"order": 5},
            "body": {
                "platform": "web",
                "notification": {
                    "alert": "for all", "android": {"alert": "for phones"},
                    "web": {
                        "alert": "Lunch", "title": "Rondo", "url": "https://rondo.example/?a=b",
                        "icon": "https://rondo.example/i.png", "image": "", "extras": {"n": 1.50}, "unknown": 1
                    }
                },
                "message": {"msg_content": "m", "extras": {}},
                "options": {"time_to_live": 60, "web_buttons": [{"id": "1", "text": "Go", "url": "https://b"}]}
            }
        });
        let expected = json!({
            "msg_id": "1088009", "alert": "Lunch", "title": "Rondo", "url": "https://rondo.example/?a=b",
            "icon": "https://rondo.example/i.png", "extras": {"n": 1.5},
            "buttons": [{"id": "1", "text": "Go", "url": "https://b"}],
            "message": {"msg_content": "m", "extras": {}}, "custom_args": {"order": 5}
        });
        assert_eq!(told(push), Some(expected));
    }

    #[test]
    fn the_alert_for_all_serves_where_web_has_none() {
        let of = |notification: Value| told(json!({"to": "all", "body": {"notification": notification}}));
        assert_eq!(of(json!({"alert": "hi"})), Some(json!({"msg_id": "1088009", "alert": "hi"})));
        assert_eq!(
            of(json!({"alert": "hi", "web": {"url": "https://a"}})),
            Some(json!({"msg_id": "1088009", "alert": "hi", "url": "https://a"}))
        );
        let object = json!({"title": "T", "body": "B"});
        assert_eq!(
            of(json!({"alert": object})),
            Some(json!({"msg_id": "1088009", "alert": "B", "title": "T"}))
        );
        assert_eq!(
            of(json!({"alert": object, "web": {"title": "W"}})),
            Some(json!({"msg_id": "1088009", "alert": "B", "title": "W"}))
        );
        assert_eq!(of(json!({"ios": {"alert": "hi"}})), None);
        assert_eq!(of(json!({})), None);
        let silent = json!({"to": "all", "body": {"notification": {}, "message": {"msg_content": "x"}}});
        assert_eq!(told(silent), Some(json!({"msg_id": "1088009", "message": {"msg_content": "x"}})));
    }

    #[test]
    fn options_become_headers() {
        let plain = Treatment { ttl: 86_400, urgency: "normal", topic: None };
        assert_eq!(treated(json!({"to": "all", "body": {}})), plain);
        let of = |options: Value| treated(json!({"body": {"options": options}}));
        assert_eq!(of(json!({"time_to_live": 0})), Treatment { ttl: 0, urgency: "high", topic: None });
        assert_eq!(of(json!({"time_to_live": 1})), Treatment { ttl: 1, ..plain.clone() });
        assert_eq!(of(json!({"time_to_live": 1_296_000})).ttl, 1_296_000);
        assert_eq!(of(json!({"apns_collapse_id": ""})), plain);
        let topics = [
            of(json!({"override_msg_id": 12})).topic,
            of(json!({"override_msg_id": 13})).topic,
            of(json!({"apns_collapse_id": "12"})).topic,
            treated(json!({"cid": "12", "body": {}})).topic,
        ];
        for (at, topic) in topics.iter().enumerate() {
            let topic = topic.as_ref().unwrap();
            assert_eq!(topic.len(), 32);
            assert!(topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
            assert!(!topics[..at].contains(&Some(topic.clone())));
        }
        assert_eq!(of(json!({"override_msg_id": "12"})).topic, topics[0]);
        assert_eq!(of(json!({"override_msg_id": 12, "apns_collapse_id": "x"})).topic, topics[0]);
    }
}
