//! `POST /v1/preview`: the instants of a trigger, and what daylight saving does to them. Nothing is stored.

use super::{
    schedules::MAX_UPCOMING,
    target,
    trigger::{self, Surroundings},
    view,
};
use crate::{
    access::Caller,
    answer::Json,
    body::JsonBody,
    fields::{At, Faults, Object},
    problem::Problem,
};
use rondo_domain::{
    policy::Policy,
    span_text::write_span,
    time::{Span, Timestamp},
};
use serde_json::{Value, json};

const DEFAULT_COUNT: u64 = 10;

struct Asked {
    timing: trigger::Timing,
    policy: Policy,
    count: usize,
}

pub async fn preview(caller: Caller, JsonBody(body): JsonBody) -> Result<Json, Problem> {
    let now = caller.api.engine.now();
    let mut faults = Faults::default();
    let asked = read(&body, &caller, now, &mut faults);
    let Asked { timing, policy, count } = faults.check(asked)?;
    let pointer_free = |wrong: rondo_domain::trigger::TriggerError| {
        Problem::from(rondo_domain::engine::Invalid::new("trigger", wrong.to_string()))
    };
    let rule = timing.trigger.rule(policy.dst).map_err(pointer_free)?;
    let count = count.min(timing.occurrences.map_or(usize::MAX, |limit| limit as usize));
    let after = now.minus(Span::from_millis(1));
    let instants = rondo_domain::engine::preview(&rule, Span::ZERO, after, count);
    let views = instants.into_iter().enumerate().map(|(i, (nominal, _))| {
        let mut view = view::instant(nominal, &rule.explain(nominal));
        view.insert("occurrence".to_owned(), (i + 1).into());
        if !policy.spread.is_zero() {
            // Which instant of the window it will be is decided by the schedule's id.
            view.insert("due_before".to_owned(), nominal.plus(policy.spread).to_string().into());
        }
        Value::Object(view)
    });
    Ok(Json(json!({
        "trigger": trigger::write(&timing.trigger, timing.occurrences),
        "spread": write_span(policy.spread),
        "instants": views.collect::<Vec<_>>(),
    })))
}

fn read(body: &Value, caller: &Caller, now: Timestamp, faults: &mut Faults) -> Option<Asked> {
    let object = Object::of(body, At::ROOT, faults)?;
    object.allow_only(&["trigger", "policy", "occurrences", "count"], faults);
    let policy = target::read_policy(object.get("policy"), object.at("policy"), faults);
    let dst = policy.map(|policy| policy.dst).unwrap_or_default();
    let around = Surroundings { zone: caller.app.time_zone, now, dst };
    let trigger = object.required("trigger", faults);
    let timing = trigger.and_then(|value| trigger::read(value, object.at("trigger"), &around, faults));
    let count = object.whole("count", 1..=MAX_UPCOMING as u64, faults).unwrap_or(DEFAULT_COUNT);
    let occurrences = trigger::occurrences(&object, faults);
    let mut timing = timing?;
    if occurrences.is_some() {
        if timing.occurrences.is_some() {
            faults.add(object.at("occurrences"), "must not stand beside the trigger's own");
        }
        timing.occurrences = occurrences;
    }
    Some(Asked { timing, policy: policy?, count: count as usize })
}
