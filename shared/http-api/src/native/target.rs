//! What is called, and how: target, delivery and policy of a schedule, in and out.

use crate::fields::{At, Faults, Object, check_line, kind, quoted};
use rondo_domain::{
    call::{Method, TargetRules},
    policy::{Delivery, Missed, Overlap, Policy, RetryPolicy},
    schedule::{Body, HttpTarget, Target},
    span_text::write_span,
    time::Span,
    trigger::{DstFold, DstGap, DstPolicy},
};
use serde_json::{Map, Value, json};
use url::Url;

/// Of a callback's body or payload, as JSON; in bytes.
pub const MAX_BODY: usize = 200 * 1024;
/// Of a URL, in bytes.
pub const MAX_URL: usize = 2048;
const MAX_HEADERS: usize = 50;
const MAX_HEADER_BYTES: usize = 8 * 1024;
const DAY: Span = Span::from_secs(86_400);

pub fn read_target(
    value: &Value,
    at: At<'_>,
    rules: &dyn TargetRules,
    faults: &mut Faults,
) -> Option<Target> {
    let object = Object::of(value, at, faults)?;
    object.allow_only(&["http"], faults);
    let http = Object::of(object.required("http", faults)?, object.at("http"), faults)?;
    http.allow_only(&["url", "method", "headers", "body", "payload"], faults);
    http.required("url", faults);
    let url = read_url(&http, "url", rules, faults);
    let method = read_method(&http, "method", faults);
    let headers = read_headers(&http, rules, faults);
    let body = read_body(&http, method, faults)?;
    Some(Target::Http(HttpTarget { url: url?, method, headers, body }))
}

pub fn read_url(
    object: &Object<'_>,
    name: &str,
    rules: &dyn TargetRules,
    faults: &mut Faults,
) -> Option<Url> {
    let text = object.text(name, faults)?;
    let checked = match check_line(text, MAX_URL) {
        Ok(()) => rules.check_url(text),
        Err(detail) => Err(detail),
    };
    checked.map_err(|detail| faults.add(object.at(name), detail)).ok()
}

/// POST where none is given, or where what is given is wrong and noted.
pub fn read_method(object: &Object<'_>, name: &str, faults: &mut Faults) -> Method {
    let Some(text) = object.text(name, faults) else {
        return Method::Post;
    };
    Method::parse(text).unwrap_or_else(|| {
        let words = Method::ALL.map(Method::as_str).join(", ");
        faults.add(object.at(name), format!("must be one of {words}, not {}", quoted(text)));
        Method::Post
    })
}

fn read_headers(http: &Object<'_>, rules: &dyn TargetRules, faults: &mut Faults) -> Vec<(String, String)> {
    let Some(value) = http.get("headers") else {
        return Vec::new();
    };
    let headers_at = http.at("headers");
    let Some(object) = Object::of(value, headers_at, faults) else {
        return Vec::new();
    };
    let bytes: usize =
        object.members().iter().map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum();
    if object.members().len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        let detail = format!("must be at most {MAX_HEADERS} headers of {MAX_HEADER_BYTES} bytes in all");
        faults.add(headers_at, detail);
        return Vec::new();
    }
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in object.members() {
        let checked = match value {
            Value::String(_) if headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) => {
                Err("must not come twice: the case of a header's name does not matter".to_owned())
            }
            Value::String(value) => rules.check_header(name, value).map(|()| value),
            other => Err(format!("must be a string, not {}", kind(other))),
        };
        match checked {
            Ok(value) => headers.push((name.clone(), value.clone())),
            Err(detail) => faults.add(object.at(name), detail),
        }
    }
    headers
}

fn read_body(http: &Object<'_>, method: Method, faults: &mut Faults) -> Option<Body> {
    let (body, payload) = (http.get("body"), http.raw("payload"));
    if body.is_some() && payload.is_some() {
        faults.add(http.at("payload"), "must not stand beside body: give one of the two");
        return None;
    }
    if body.is_some() && method == Method::Get {
        faults.add(http.at("body"), "must be left out where the method is GET: payload goes into its query");
        return None;
    }
    if let Some(payload) = payload {
        check_size(payload, http.at("payload"), faults)?;
        return Some(Body::Envelope { payload: Some(payload.clone()).filter(|payload| !payload.is_null()) });
    }
    let Some(body) = body else {
        return Some(Body::Empty);
    };
    check_size(body, http.at("body"), faults)?;
    Some(match body {
        Value::String(text) => Body::Text(text.clone()),
        other => Body::Json(other.clone()),
    })
}

pub fn check_size(value: &Value, at: At<'_>, faults: &mut Faults) -> Option<()> {
    let size = match value {
        Value::String(text) => text.len(),
        Value::Array(_) | Value::Object(_) => serde_json::to_vec(value).map_or(usize::MAX, |json| json.len()),
        _ => 0,
    };
    if size > MAX_BODY {
        faults.add(at, format!("must have at most {MAX_BODY} bytes, not {size}"));
        return None;
    }
    Some(())
}

pub fn write_target(target: &Target) -> Value {
    match target {
        Target::Http(target) => write_http(target),
        Target::Push(target) => json!({"push": target.push}),
    }
}

fn write_http(target: &HttpTarget) -> Value {
    let mut http = json!({"url": target.url, "method": target.method.as_str()});
    if !target.headers.is_empty() {
        let headers = target.headers.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        http["headers"] = Value::Object(headers.collect());
    }
    match &target.body {
        Body::Empty => {}
        Body::Json(value) => http["body"] = value.clone(),
        Body::Text(text) => http["body"] = text.as_str().into(),
        Body::Envelope { payload } => http["payload"] = payload.clone().unwrap_or(Value::Null),
    }
    json!({"http": http})
}

pub fn read_delivery(
    value: Option<&Value>,
    at: At<'_>,
    rules: &dyn TargetRules,
    faults: &mut Faults,
) -> Option<Delivery> {
    let Some(value) = value else {
        return Some(Delivery::default());
    };
    let object = Object::of(value, at, faults)?;
    object.allow_only(&["timeout", "retry", "on_failure"], faults);
    let timeout = object.span_in("timeout", Delivery::MIN_TIMEOUT..=Delivery::MAX_TIMEOUT, faults);
    let retry = match object.get("retry") {
        Some(value) => read_retry(value, object.at("retry"), RetryPolicy::STANDARD, faults)?,
        None => RetryPolicy::STANDARD,
    };
    let on_failure = read_url(&object, "on_failure", rules, faults);
    Some(Delivery { timeout: timeout.unwrap_or(Delivery::DEFAULT_TIMEOUT), retry, on_failure })
}

/// What is not given comes from `base`.
pub fn read_retry(value: &Value, at: At<'_>, base: RetryPolicy, faults: &mut Faults) -> Option<RetryPolicy> {
    let object = Object::of(value, at, faults)?;
    object.allow_only(&["max_attempts", "initial", "factor", "max_interval", "max_age"], faults);
    let attempts = object.whole("max_attempts", 1..=RetryPolicy::MAX_ATTEMPTS.into(), faults);
    let pause = Span::from_millis(100)..=DAY;
    let initial = object.span_in("initial", pause.clone(), faults).unwrap_or(base.initial);
    let factor = match object.get("factor") {
        None => base.factor,
        Some(value) => match value.as_f64().filter(|factor| (1.0..=10.0).contains(factor)) {
            Some(factor) => factor,
            None => {
                faults.add(object.at("factor"), format!("must be a number from 1 to 10, not {value}"));
                base.factor
            }
        },
    };
    let max_interval = match object.span_in("max_interval", pause, faults) {
        Some(longest) if longest < initial => {
            faults.add(object.at("max_interval"), "must not be shorter than initial");
            longest
        }
        Some(longest) => longest,
        None => base.max_interval.max(initial),
    };
    let max_age = object.span_in("max_age", Span::ZERO..=DAY.times(30), faults);
    Some(RetryPolicy {
        max_attempts: attempts.map_or(base.max_attempts, |attempts| attempts as u16),
        initial,
        factor,
        max_interval,
        max_age: max_age.unwrap_or(base.max_age),
    })
}

pub fn write_delivery(delivery: &Delivery) -> Value {
    let RetryPolicy { max_attempts, initial, factor, max_interval, max_age } = delivery.retry;
    let factor = if factor.fract() == 0.0 { json!(factor as u64) } else { json!(factor) };
    let mut object = json!({
        "timeout": write_span(delivery.timeout),
        "retry": {
            "max_attempts": max_attempts,
            "initial": write_span(initial),
            "factor": factor,
            "max_interval": write_span(max_interval),
            "max_age": write_span(max_age),
        },
    });
    if let Some(url) = &delivery.on_failure {
        object["on_failure"] = url.as_str().into();
    }
    object
}

const MISSED: [(&str, Missed); 3] =
    [("all", Missed::All), ("latest", Missed::Latest), ("none", Missed::None)];
const OVERLAP: [(&str, Overlap); 2] = [("allow", Overlap::Allow), ("skip", Overlap::Skip)];
const GAP: [(&str, DstGap); 2] = [("shift", DstGap::Shift), ("skip", DstGap::Skip)];
const FOLD: [(&str, DstFold); 3] =
    [("first", DstFold::First), ("second", DstFold::Second), ("both", DstFold::Both)];

pub fn read_policy(value: Option<&Value>, at: At<'_>, faults: &mut Faults) -> Option<Policy> {
    let Some(value) = value else {
        return Some(Policy::default());
    };
    let object = Object::of(value, at, faults)?;
    object.allow_only(&["missed", "max_lateness", "overlap", "dst_gap", "dst_fold", "spread"], faults);
    let lateness = Span::from_secs(1)..=DAY.times(365);
    Some(Policy {
        missed: object.choice("missed", &MISSED, faults),
        max_lateness: object.span_in("max_lateness", lateness, faults),
        overlap: object.choice("overlap", &OVERLAP, faults).unwrap_or_default(),
        dst: DstPolicy {
            gap: object.choice("dst_gap", &GAP, faults).unwrap_or_default(),
            fold: object.choice("dst_fold", &FOLD, faults).unwrap_or_default(),
        },
        spread: object.span_in("spread", Span::ZERO..=Policy::MAX_SPREAD, faults).unwrap_or_default(),
    })
}

fn word<T: PartialEq>(words: &[(&'static str, T)], value: T) -> Value {
    words.iter().find(|(_, known)| *known == value).map_or(Value::Null, |(word, _)| (*word).into())
}

/// As it was said: what was left to the defaults is left out.
pub fn write_policy(policy: &Policy) -> Map<String, Value> {
    let mut object = Map::new();
    if let Some(missed) = policy.missed {
        object.insert("missed".into(), word(&MISSED, missed));
    }
    if let Some(lateness) = policy.max_lateness {
        object.insert("max_lateness".into(), write_span(lateness).into());
    }
    object.insert("overlap".into(), word(&OVERLAP, policy.overlap));
    object.insert("dst_gap".into(), word(&GAP, policy.dst.gap));
    object.insert("dst_fold".into(), word(&FOLD, policy.dst.fold));
    object.insert("spread".into(), write_span(policy.spread).into());
    object
}

/// With the defaults that hold.
pub fn show_policy(policy: &Policy, limited: bool) -> Value {
    let filled =
        Policy { missed: Some(policy.missed(limited)), max_lateness: Some(policy.max_lateness()), ..*policy };
    Value::Object(write_policy(&filled))
}
