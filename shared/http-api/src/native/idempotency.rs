//! `Idempotency-Key`: a request that is sent again, because its answer was lost, makes nothing new. The header is
//! that of the IETF's draft (draft-ietf-httpapi-idempotency-key-header); how long a key holds is ours.

use crate::{
    Api,
    problem::{FieldFault, Place, Problem},
};
use axum::extract::FromRequestParts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, request::Parts};
use rondo_domain::{
    ports::IdempotencyKey,
    time::{Span, Timestamp},
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;

const HEADER: &str = "idempotency-key";
/// In characters.
const MAX_KEY: usize = 255;
/// From the first request on.
const HOLDS: Span = Span::from_secs(24 * 60 * 60);

/// Stands on an answer that an earlier request gave already.
pub const REPLAYED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("idempotent-replayed"), HeaderValue::from_static("true"));

/// The request's key, if it has one.
pub struct GivenKey(Option<String>);

impl FromRequestParts<Arc<Api>> for GivenKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Api>) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(HEADER).iter();
        let Some(first) = values.next() else {
            return Ok(GivenKey(None));
        };
        if values.next().is_some() {
            return Err(refuse("must not come twice"));
        }
        let fits = |key: &&str| {
            (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let key = first.to_str().ok().filter(fits);
        let key = key.ok_or_else(|| {
            refuse(&format!(
                "must be 1 to {MAX_KEY} visible ASCII characters, without spaces: a UUID will do"
            ))
        })?;
        Ok(GivenKey(Some(key.to_owned())))
    }
}

fn refuse(detail: &str) -> Problem {
    let place = Place::Header("Idempotency-Key".to_owned());
    Problem::invalid(vec![FieldFault { place, detail: detail.to_owned() }])
}

impl GivenKey {
    pub fn whole(&self, body: &Value, now: Timestamp) -> Option<IdempotencyKey> {
        self.0.as_ref().map(|key| key_of(key.clone(), body, now))
    }

    /// Of one part of the request. No key has a space in it.
    pub fn part(&self, index: usize, body: &Value, now: Timestamp) -> Option<IdempotencyKey> {
        self.0.as_ref().map(|key| key_of(format!("{key} {index}"), body, now))
    }
}

fn key_of(key: String, body: &Value, now: Timestamp) -> IdempotencyKey {
    let mut hash = Sha256::new();
    digest(body, &mut hash);
    IdempotencyKey { key, fingerprint: STANDARD.encode(hash.finalize()), expires_at: now.plus(HOLDS) }
}

/// What the body says, in whatever order its members come: a client may write them anew as it asks again.
fn digest(value: &Value, hash: &mut Sha256) {
    let mut mark = |kind: u8, length: usize| {
        hash.update([kind]);
        hash.update((length as u64).to_be_bytes());
    };
    match value {
        Value::Object(members) => {
            mark(b'{', members.len());
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            for (name, value) in members {
                digest(&Value::from(name.as_str()), hash);
                digest(value, hash);
            }
        }
        Value::Array(items) => {
            mark(b'[', items.len());
            items.iter().for_each(|item| digest(item, hash));
        }
        Value::String(text) => {
            mark(b'"', text.len());
            hash.update(text);
        }
        bare => {
            let text = bare.to_string();
            mark(b'=', text.len());
            hash.update(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fingerprint(text: &str) -> String {
        let body = serde_json::from_str(text).expect("JSON");
        key_of("key".to_owned(), &body, Timestamp::EPOCH).fingerprint
    }

    #[test]
    fn members_may_come_in_any_order() {
        let one = fingerprint(r#"{"a": [1, {"x": null, "y": "z"}], "b": true}"#);
        assert_eq!(one, fingerprint(r#"{"b":true,"a":[1,{"y":"z","x":null}]}"#));
    }

    #[test]
    fn whatever_is_said_otherwise_is_something_else() {
        let bodies = [
            r#"{}"#,
            r#"[]"#,
            r#""""#,
            r#"null"#,
            r#""null""#,
            r#"{"a":"b"}"#,
            r#"["a","b"]"#,
            r#"["b","a"]"#,
            r#"[["a"],"b"]"#,
            r#"[["a","b"]]"#,
            r#"{"a":{"b":"c"}}"#,
            r#"{"a":{},"b":"c"}"#,
            r#"1"#,
            r#"1.5"#,
        ];
        let all: std::collections::BTreeSet<String> = bodies.iter().map(|body| fingerprint(body)).collect();
        assert_eq!(all.len(), bodies.len());
    }

    #[test]
    fn parts_and_wholes_do_not_meet() {
        let (now, given) = (Timestamp::EPOCH, GivenKey(Some("key".to_owned())));
        let keys: std::collections::BTreeSet<String> = [
            given.whole(&json!(1), now),
            given.part(1, &json!(1), now),
            given.part(11, &json!(1), now),
            GivenKey(Some("key1".to_owned())).part(1, &json!(1), now),
        ]
        .into_iter()
        .flatten()
        .map(|key| key.key)
        .collect();
        assert_eq!(keys.len(), 4);
        assert_eq!(GivenKey(None).whole(&json!(1), now), None);
    }
}
