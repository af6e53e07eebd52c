//! The four keys of a schedule, made and changed.

use super::{around, broken, check_all, push};
use crate::{
    ids::{AppKey, ScheduleId, Token},
    policy::{Delivery, Policy},
    push::{
        outcome::PushError,
        rules::{
            Around,
            schedule::{Changes, Wanted, is_valid, read},
        },
        sender::Way,
    },
    schedule::{Definition, Target},
    state::{State, Status},
    time::{Span, Timestamp},
    trigger::Trigger,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn good() -> Value {
    json!({
        "name": "schedule push example",
        "enabled": true,
        "trigger": {"single": {"time": "2026-12-01 09:00:00", "zone_type": 1}},
        "push": push(),
    })
}

#[test]
fn each_rule_is_told_by_its_code_and_field() {
    let rules = [
        broken("/name", Value::Null, 28100, "name"),
        broken("/name", json!(5), 28100, "name"),
        broken("/name", json!(""), 28100, "name"),
        broken("/name", json!("a\nb"), 28100, "name"),
        broken("/name", json!("é".repeat(128)), 28100, "name"),
        broken("/enabled", Value::Null, 28100, "enabled"),
        broken("/enabled", json!("true"), 28100, "enabled"),
        broken("/enabled", json!(1), 28100, "enabled"),
        broken("/enabled", json!(false), 28100, "enabled"),
        broken("/trigger", Value::Null, 28100, "trigger"),
        broken("/trigger", json!("now"), 28100, "trigger"),
        broken("/trigger/single/time", json!("2026-02-30 09:00:00"), 28103, "trigger.single.time"),
        broken("/push", Value::Null, 28102, "push"),
        broken("/push", json!("all"), 28102, "push"),
        broken("/push", json!({}), 28102, "push.to"),
        broken("/push/to", json!({"tag": 5}), 28102, "push.to.tag"),
        broken("/push/body/platform", json!("tv"), 28102, "push.body.platform"),
        broken("/push/body/options/time_to_live", json!(-1), 28102, "push.body.options.time_to_live"),
    ];
    check_all(&good(), &rules, |body| read(body, &around()).map(|_| ()));
    for body in [json!([]), json!("x"), json!(null), json!(5)] {
        let error = read(&body, &around()).expect_err("no object");
        assert_eq!((error.code, error.message.starts_with("the body must be an object")), (28100, true));
    }
}

#[test]
fn names_are_counted_in_bytes() {
    for (name, fits) in [
        ("é".repeat(127) + "x", true),
        ("é".repeat(128), false),
        ("日".repeat(85), true),
        ("日".repeat(85) + "x", false),
        ("x".repeat(255), true),
        ("x".repeat(256), false),
    ] {
        let mut body = good();
        body["name"] = json!(name);
        assert_eq!(read(&body, &around()).is_ok(), fits, "{} bytes", name.len());
    }
}

#[test]
fn what_nobody_knows_is_kept() {
    let mut body = good();
    body["cid"] = json!("c-1");
    body["schedule_id"] = json!("somebody else's");
    let Wanted { fields, target, name, .. } = read(&body, &around()).expect("a schedule");
    assert_eq!(Value::Object(fields.extra), json!({"cid": "c-1"}));
    assert_eq!(
        (fields.trigger, target.push, name),
        (Some(body["trigger"].clone()), push(), "schedule push example".into())
    );
}

/// What the gateway alone can look up cannot be told at many times.
#[test]
fn a_segment_is_told_once() {
    for trigger in [
        json!({"single": {"time": "2026-12-01 09:00:00", "zone_type": 2}}),
        json!({"intelligent": {"backup_time": "now"}}),
    ] {
        for (name, value) in [("seg", json!({"id": "s"})), ("live_activity_id", json!("l"))] {
            let mut body = good();
            body["push"]["to"][name] = value;
            read(&body, &around()).expect("at one time it can");
            body["trigger"] = trigger.clone();
            let error = read(&body, &around()).expect_err("at many times it cannot");
            assert_eq!((error.code, error.message.starts_with(&format!("push.to.{name} "))), (28102, true));
        }
    }
    let mut body = good();
    body["push"]["to"]["seg"] = json!({"id": "s"});
    let error = read(&body, &Around { way: Way::Direct, ..around() }).expect_err("there is no gateway");
    assert_eq!(error.code, 28102);
}

fn stored(body: &Value) -> Definition {
    let Wanted { name, fan_out, target, fields } = read(body, &around()).expect("a schedule");
    let now = around().now;
    Definition {
        id: ScheduleId::new(now, 5),
        app: AppKey::from_random(1),
        name: Some(name),
        trigger: Trigger::FanOut(fan_out),
        occurrences: None,
        target: Target::Push(target),
        delivery: Delivery::default(),
        policy: Policy::default(),
        tags: BTreeMap::new(),
        created_at: now,
        updated_at: now,
        request: None,
        push: Some(fields),
    }
}

fn changes(body: &Value) -> Result<Changes, PushError> {
    Changes::read(body, &stored(&good()), &around())
}

#[test]
fn a_change_is_any_of_the_keys_each_whole() {
    let none = changes(&json!({"cid": "c-2"})).expect_err("nothing to change");
    assert_eq!(none.code, 28100);
    for (body, code, names) in [
        (json!({"name": ""}), 28100, "name"),
        (json!({"name": null}), 28100, "name"),
        (json!({"enabled": 0}), 28100, "enabled"),
        (json!({"enabled": null}), 28100, "enabled"),
        (json!({"trigger": null}), 28100, "trigger"),
        (json!({"trigger": {"single": {"time": "2026-11-01 09:00:00"}}}), 28103, "trigger.single.time"),
        (json!({"push": null}), 28102, "push"),
        (json!({"push": {"alert": "web scheduled task"}}), 28102, "push.to"),
        (json!([]), 28100, "the"),
    ] {
        let error = changes(&body).expect_err("it is wrong");
        assert!(error.code == code && error.message.starts_with(&format!("{names} ")), "{body}: {error}");
    }
    let current = stored(&good());
    let changed = changes(&json!({"name": "new", "cid": 5, "enabled": false})).expect("it is right");
    assert_eq!((changed.enabled, changed.edits()), (Some(false), true));
    let after = changed.applied_to(&current);
    assert_eq!(
        (after.name.as_deref(), &after.target, &after.trigger),
        (Some("new"), &current.target, &current.trigger)
    );
    assert_eq!(after.push.map(|fields| Value::Object(fields.extra)), Some(json!({"cid": 5})));
    assert!(!changes(&json!({"enabled": true})).expect("it is right").edits());
    let trigger = json!({"single": {"time": "2026-12-02 09:00:00", "zone_type": 7}});
    let after = changes(&json!({"trigger": trigger})).expect("it is right").applied_to(&current);
    assert_eq!(after.push.and_then(|fields| fields.trigger), Some(trigger));
    assert_ne!(after.trigger, current.trigger);
}

#[test]
fn kind_and_zone_type_stay() {
    for (trigger, names) in [
        (json!({"intelligent": {"backup_time": "now"}}), "trigger"),
        (json!({"periodical": {}}), "trigger"),
        (json!({"single": {"time": "2026-12-01 09:00:00", "zone_type": 2}}), "trigger.single.zone_type"),
        // Told before what is wrong with its times.
        (json!({"single": {"time": "yesterday", "zone_type": 2}}), "trigger.single.zone_type"),
    ] {
        let error = changes(&json!({"trigger": trigger})).expect_err("it stays");
        assert!(error.code == 28100 && error.message.starts_with(&format!("{names} ")), "{error}");
    }
    let mut body = good();
    body["trigger"]["single"]["zone_type"] = json!(2);
    let back = json!({"trigger": {"single": {"time": "2026-12-01 09:00:00"}}});
    let error = Changes::read(&back, &stored(&body), &around()).expect_err("it stays");
    assert_eq!(error.code, 28100);
}

/// The push is checked against the trigger that stays.
#[test]
fn a_segment_cannot_be_put_in_afterwards() {
    let mut body = good();
    body["trigger"]["single"]["zone_type"] = json!(2);
    let mut push = push();
    push["to"] = json!({"seg": {"id": "s"}});
    let change = json!({"push": push});
    let error =
        Changes::read(&change, &stored(&body), &around()).expect_err("it cannot be told at many times");
    assert_eq!(error.code, 28102);
    changes(&change).expect("at one time it can");
}

#[test]
fn valid_is_what_has_not_ended_and_has_something_left() {
    let definition = stored(&good());
    let after = Timestamp::parse_rfc3339("2026-12-01T08:00:00.001Z").expect("RFC 3339");
    let before = after.minus(Span::from_millis(1));
    let state = |status| {
        let state = State::new(definition.id, definition.app.clone(), None, around().now, Token(1));
        State { status, ..state }
    };
    for (status, at_time, too_late) in [
        (Status::Pending, true, true),
        // Its pages may still be on their way.
        (Status::Active, true, true),
        (Status::Paused, true, false),
        (Status::Finished, false, false),
        (Status::Canceled, false, false),
    ] {
        assert_eq!(is_valid(&definition, &state(status), before), at_time, "{status:?}");
        assert_eq!(is_valid(&definition, &state(status), after), too_late, "{status:?}");
    }
}
