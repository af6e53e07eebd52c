//! `POST /set/notifier`.

use super::form::{In, Input, Refusal};
use crate::{
    Api,
    access::Caller,
    answer::Json,
    fields::{At, Faults, Object, meant},
    native::{MAX_NAME, target},
};
use rondo_domain::{
    engine::Draft,
    ids::FIRST_MANUAL_NUMBER,
    policy::{Delivery, Policy, RetryPolicy},
    schedule::{Body, HttpTarget, RequestFields, Target},
    span_text::write_span,
    time::{Span, Timestamp},
    trigger::{Interval, MAX_EVERY, Trigger},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const FIELDS: [&str; 9] = [
    "interval",
    "delay",
    "occurrences",
    "name",
    "return_url",
    "payload",
    "callback_type",
    "notify_status_not_ok",
    "retry",
];

pub async fn create(In(caller): In<Caller>, Input(body): Input) -> Result<Json, Refusal> {
    let Caller { api, app, .. } = &caller;
    let mut faults = Faults::default();
    let draft = read(&body, api, api.engine.now(), &mut faults);
    let schedule = api.engine.create(app, faults.check(draft)?).await?;
    let number = schedule.definition.request.as_ref().map(|request| request.internal_id);
    Ok(Json(json!({"id": schedule.definition.id, "internal_id": number})))
}

fn read(body: &Value, api: &Api, now: Timestamp, faults: &mut Faults) -> Option<Draft> {
    let object = Object::of(body, At::ROOT, faults)?;
    refuse_slips(&object, &FIELDS, faults);
    object.required("interval", faults);
    let every = interval(&object, api, faults);
    let delay = object.span_in("delay", Span::ZERO..=MAX_EVERY, faults).unwrap_or_default();
    let occurrences = occurrences(&object, faults);
    let name = name(&object, faults);
    object.required("return_url", faults);
    let url = target::read_url(&object, "return_url", &*api.rules, faults);
    let payload = payload(&object, faults);
    let method = target::read_method(&object, "callback_type", faults);
    let on_failure = target::read_url(&object, "notify_status_not_ok", &*api.rules, faults);
    let retry = match object.get("retry") {
        Some(value) => target::read_retry(value, object.at("retry"), RetryPolicy::STANDARD, faults)?,
        None => RetryPolicy::ONCE,
    };
    let http = HttpTarget { url: url?, method, headers: Vec::new(), body: Body::Envelope { payload } };
    Some(Draft {
        received_at: now,
        name,
        trigger: Trigger::Interval(Interval { every: every?, first: now.plus(delay), end: None }),
        occurrences,
        target: Target::Http(http),
        delivery: Delivery { retry, on_failure, ..Delivery::default() },
        policy: Policy::default(),
        tags: BTreeMap::new(),
        request: Some(RequestFields { internal_id: 0, delay }),
        push: None,
    })
}

/// Fields that this service does not know are left alone, as clients may send what other services know; one
/// that was probably meant to be a known one is not, for it would silently be missing.
pub fn refuse_slips(object: &Object<'_>, known: &[&str], faults: &mut Faults) {
    for name in object.members().keys().filter(|name| !known.contains(&name.as_str())) {
        if let Some(meant) = meant(name, known) {
            faults.add(object.at(name), format!("is unknown; did you mean {meant}?"));
        }
    }
}

pub fn interval(object: &Object<'_>, api: &Api, faults: &mut Faults) -> Option<Span> {
    let every = object.span("interval", faults)?;
    let least = api.settings.minimum_interval;
    let detail = if every < least {
        format!("must be at least {} ms, not {}", least.millis(), every.millis())
    } else if every > MAX_EVERY {
        format!("must be at most {}, not {}", write_span(MAX_EVERY), write_span(every))
    } else {
        return Some(every);
    };
    faults.add(object.at("interval"), detail);
    None
}

pub fn occurrences(object: &Object<'_>, faults: &mut Faults) -> Option<u32> {
    let limit = u64::from(FIRST_MANUAL_NUMBER) - 1;
    object.whole("occurrences", 1..=limit, faults).and_then(|number| u32::try_from(number).ok())
}

/// An empty name is one, as far as this contract says.
pub fn name(object: &Object<'_>, faults: &mut Faults) -> Option<String> {
    match object.text("name", faults)? {
        "" => Some(String::new()),
        _ => object.line("name", MAX_NAME, faults).map(str::to_owned),
    }
}

/// Any JSON value, passed on as it is.
pub fn payload(object: &Object<'_>, faults: &mut Faults) -> Option<Value> {
    let payload = object.get("payload")?;
    target::check_size(payload, object.at("payload"), faults)?;
    Some(payload.clone())
}
