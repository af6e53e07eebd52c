//! A schedule's definition as the native API writes it: read whole, or mended by a merge patch (RFC 7396).

use super::{
    target,
    trigger::{self, KINDS, Surroundings, Timing},
};
use crate::{
    Api,
    fields::{At, Faults, Object},
    problem::{Code, Problem},
};
use rondo_domain::{app::App, engine::Draft, schedule::Definition, time::Timestamp};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

pub const MAX_NAME: usize = 255;
const MAX_TAGS: usize = 50;
const MAX_TAG_KEY: usize = 64;
const MAX_TAG_VALUE: usize = 256;
const WRITABLE: [&str; 6] = ["name", "trigger", "target", "delivery", "policy", "tags"];
/// Stands in answers and cannot be set.
const SHOWN_ONLY: [&str; 13] = [
    "id",
    "status",
    "occurrences",
    "generation",
    "counts",
    "next_due_at",
    "next_nominal_at",
    "created_at",
    "updated_at",
    "ended_at",
    "ended_because",
    "links",
    "in_flight",
];

/// Members that exclude each other: naming one in a patch takes away the other.
const ALTERNATIVES: [(&[&str], &[&str]); 4] = [
    (&["trigger"], &KINDS),
    (&["trigger", "single"], &["time", "after"]),
    (&["trigger", "interval"], &["delay", "first"]),
    (&["target", "http"], &["body", "payload"]),
];

pub fn read(value: &Value, api: &Api, app: &App, now: Timestamp) -> Result<Draft, Problem> {
    read_beside(value, api, app, now, None)
}

/// `kept`: the timing that stands, where the trigger is not to be read anew.
fn read_beside(
    value: &Value,
    api: &Api,
    app: &App,
    now: Timestamp,
    kept: Option<Timing>,
) -> Result<Draft, Problem> {
    let mut faults = Faults::default();
    let draft = read_members(value, api, app, now, kept, &mut faults);
    faults.check(draft)
}

fn read_members(
    value: &Value,
    api: &Api,
    app: &App,
    now: Timestamp,
    kept: Option<Timing>,
    faults: &mut Faults,
) -> Option<Draft> {
    let object = Object::of(value, At::ROOT, faults)?;
    for name in object.members().keys().filter(|name| SHOWN_ONLY.contains(&name.as_str())) {
        let detail = match name.as_str() {
            "occurrences" => "belongs into the trigger",
            _ => "cannot be set",
        };
        faults.add(object.at(name), detail);
    }
    object.allow_only_beside(&WRITABLE, &SHOWN_ONLY, faults);
    let name = object.line("name", MAX_NAME, faults);
    let policy = target::read_policy(object.get("policy"), object.at("policy"), faults);
    let timing = match kept {
        Some(kept) => Some(kept),
        None => {
            let dst = policy.map(|policy| policy.dst).unwrap_or_default();
            let around = Surroundings { zone: app.time_zone, now, dst };
            let trigger = object.required("trigger", faults);
            trigger.and_then(|trigger| trigger::read(trigger, object.at("trigger"), &around, faults))
        }
    };
    let rules = &*api.rules;
    let target = object.required("target", faults);
    let target = target.and_then(|target| target::read_target(target, object.at("target"), rules, faults));
    let delivery = target::read_delivery(object.get("delivery"), object.at("delivery"), rules, faults);
    let tags = read_tags(&object, faults);
    let Timing { trigger, occurrences } = timing?;
    Some(Draft {
        name: name.map(str::to_owned),
        trigger,
        occurrences,
        target: target?,
        delivery: delivery?,
        policy: policy?,
        tags,
        request: None,
        push: None,
        received_at: now,
    })
}

fn read_tags(object: &Object<'_>, faults: &mut Faults) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    let tags_at = object.at("tags");
    let Some(given) = object.get("tags").and_then(|value| Object::of(value, tags_at, faults)) else {
        return tags;
    };
    if given.members().len() > MAX_TAGS {
        faults.add(tags_at, format!("must be at most {MAX_TAGS}, not {}", given.members().len()));
        return tags;
    }
    for (key, value) in given.members() {
        let sound_key =
            (1..=MAX_TAG_KEY).contains(&key.len()) && !key.contains(|c: char| c.is_control() || c == ':');
        match value.as_str() {
            _ if !sound_key => {
                let detail =
                    format!("must have a key of 1 to {MAX_TAG_KEY} bytes, without ':' or control characters");
                faults.add(given.at(key), detail);
            }
            Some(text) if text.len() <= MAX_TAG_VALUE && !text.chars().any(char::is_control) => {
                tags.insert(key.clone(), text.to_owned());
            }
            _ => {
                let detail =
                    format!("must be a string of at most {MAX_TAG_VALUE} bytes without control characters");
                faults.add(given.at(key), detail);
            }
        }
    }
    tags
}

/// What a client may change, as it stands.
pub fn writable(definition: &Definition) -> Value {
    let mut object = json!({
        "trigger": trigger::write(&definition.trigger, definition.occurrences),
        "target": target::write_target(&definition.target),
        "delivery": target::write_delivery(&definition.delivery),
        "policy": target::write_policy(&definition.policy),
    });
    if let Some(name) = &definition.name {
        object["name"] = name.as_str().into();
    }
    if !definition.tags.is_empty() {
        object["tags"] = json!(definition.tags);
    }
    object
}

/// The definition after a merge patch.
pub fn patched(
    current: &Definition,
    patch: &Value,
    api: &Api,
    app: &App,
    now: Timestamp,
) -> Result<Definition, Problem> {
    if current.fans_out() {
        let detail = "a scheduled push is changed by PUT /v4/schedules/{id}; here it can be paused, resumed and cancelled";
        return Err(Problem::new(Code::Conflict, detail));
    }
    if !patch.is_object() {
        let mut faults = Faults::default();
        Object::of(patch, At::ROOT, &mut faults);
        return Err(faults.into_problem());
    }
    let before = writable(current);
    let mut after = before.clone();
    make_way(&mut after, patch);
    merge(&mut after, patch);
    let kept = (after.get("trigger") == before.get("trigger"))
        .then(|| Timing { trigger: current.trigger.clone(), occurrences: current.occurrences });
    let draft = read_beside(&after, api, app, now, kept)?;
    let Draft { name, trigger, occurrences, target, delivery, policy, tags, .. } = draft;
    Ok(Definition { name, trigger, occurrences, target, delivery, policy, tags, ..current.clone() })
}

/// Takes away what an alternative in the patch replaces.
fn make_way(value: &mut Value, patch: &Value) {
    for (path, names) in ALTERNATIVES {
        let find =
            |value: &Value| path.iter().try_fold(value.clone(), |value, name| value.get(name).cloned());
        let Some(patch) = find(patch) else { continue };
        let given = |name: &str| patch.get(name).is_some_and(|value| !value.is_null());
        let Some(chosen) = names.iter().find(|name| given(name)) else { continue };
        let place = path.iter().try_fold(&mut *value, |value, name| value.get_mut(name));
        if let Some(Value::Object(members)) = place {
            members.retain(|name, _| name == chosen || !names.contains(&name.as_str()));
        }
    }
}

/// RFC 7396, section 2.
fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    if let Value::Object(members) = value {
        for (name, patch) in patch {
            if patch.is_null() {
                members.shift_remove(name);
            } else {
                merge(members.entry(name.clone()).or_insert(Value::Null), patch);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_7396_hold() {
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut value = target.clone();
            merge(&mut value, &patch);
            assert_eq!(value, result, "{target} patched by {patch}");
        }
    }

    #[test]
    fn naming_one_alternative_takes_away_the_other() {
        let mut value = json!({"trigger": {"interval": {"every": "5s", "first": "x"}}, "target": {"http": {"payload": 1}}});
        make_way(&mut value, &json!({"trigger": {"cron": {}}, "target": {"http": {"body": 2}}}));
        assert_eq!(value, json!({"trigger": {}, "target": {"http": {}}}));
        let mut value = json!({"trigger": {"interval": {"every": "5s", "first": "x"}}});
        make_way(&mut value, &json!({"trigger": {"interval": {"delay": "1s"}}}));
        assert_eq!(value, json!({"trigger": {"interval": {"every": "5s"}}}));
        make_way(&mut value, &json!({"trigger": {"cron": null}}));
        assert_eq!(value, json!({"trigger": {"interval": {"every": "5s"}}}));
    }
}
