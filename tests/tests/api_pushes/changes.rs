//! `PUT /v4/schedules/{id}`.

use crate::bodies::{in_hours, made, push, refusal, refused, schedule, with, world};
use rondo_tests::api_world::{ApiWorld, basic};
use serde_json::{Value, json};

async fn shown(world: &ApiWorld, id: &str) -> Value {
    world.get(&format!("/v4/schedules/{id}")).await.expect(200)[0].clone()
}

#[tokio::test]
async fn any_of_the_keys_is_changed_whole() {
    let world = world().await;
    let id = made(&world, with(schedule(), "/cid", json!("c-1"))).await;
    let path = format!("/v4/schedules/{id}");
    let mut expected = shown(&world, &id).await;
    let trigger = json!({"single": {"time": in_hours(72), "zone_type": 7, "note": "kept"}});
    let steps = [
        json!({"name": "new"}),
        json!({"enabled": false}),
        json!({"name": "newer", "enabled": false}),
        json!({"trigger": trigger}),
        json!({"enabled": true, "push": with(push(), "/request_id", json!("67890"))}),
        json!({"enabled": true}),
        json!({"name": "newest", "enabled": false, "trigger": trigger, "push": push(), "cid": "c-2", "schedule_id": "x"}),
    ];
    for step in steps {
        for (name, value) in
            step.as_object().expect("an object").iter().filter(|(name, _)| *name != "schedule_id")
        {
            expected[name] = value.clone();
        }
        assert_eq!(world.send("PUT", &path, Some(step.clone())).await.expect(200), expected, "{step}");
        assert_eq!(shown(&world, &id).await, expected, "{step}");
        let status = world.get(&format!("/v1/schedules/{id}")).await.expect(200)["status"].clone();
        assert_eq!(status == "paused", expected["enabled"] == false);
    }
    // As documented: as a form that is none, with a slash at the end.
    let authorization = basic(world.first.key.as_str(), &world.first.secret);
    let headers =
        [("authorization", authorization.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    world.raw("PUT", &format!("{path}/"), &headers, br#"{"name": "last"}"#).await.expect(200);
    assert_eq!(shown(&world, &id).await["name"], "last");
}

#[tokio::test]
async fn a_change_that_is_refused_changes_nothing() {
    let world = world().await;
    let id = made(&world, schedule()).await;
    let path = format!("/v4/schedules/{id}");
    let before = shown(&world, &id).await;
    let state = async || world.get(&format!("/v1/schedules/{id}")).await.expect(200);
    let state_before = state().await;
    let zone_2 = json!({"single": {"time": in_hours(72), "zone_type": 2}});
    for (change, code, names) in [
        (json!({}), 28100, "the"),
        (json!({"cid": "c-2"}), 28100, "the"),
        (json!([]), 28100, "the"),
        (json!({"name": null}), 28100, "name"),
        (json!({"enabled": "false"}), 28100, "enabled"),
        (json!({"enabled": false, "name": ""}), 28100, "name"),
        (
            json!({"enabled": false, "trigger": {"single": {"time": in_hours(-1)}}}),
            28103,
            "trigger.single.time",
        ),
        (json!({"name": "new", "push": {"alert": "web scheduled task"}}), 28102, "push.to"),
        (json!({"enabled": false, "push": null}), 28102, "push"),
        (json!({"trigger": zone_2}), 28100, "trigger.single.zone_type"),
        (json!({"trigger": {"intelligent": {"backup_time": "now"}}}), 28100, "trigger"),
        (
            json!({"trigger": {"single": {"time": in_hours(72)}, "intelligent": {"backup_time": "now"}}}),
            28100,
            "trigger",
        ),
        (json!({"trigger": null}), 28100, "trigger"),
    ] {
        let answer = world.send("PUT", &path, Some(change.clone())).await;
        assert_eq!(refusal(&answer), refused(400, code, names), "{change}");
        assert_eq!(shown(&world, &id).await, before, "{change}");
    }
    assert_eq!(state().await, state_before);
}

#[tokio::test]
async fn zone_type_2_stays_so() {
    let world = world().await;
    let zone_2 = json!({"single": {"time": in_hours(72), "zone_type": 2}});
    let id = made(&world, with(schedule(), "/trigger", zone_2.clone())).await;
    let path = format!("/v4/schedules/{id}");
    for zone_type in [json!(1), Value::Null, json!("2")] {
        let other = with(zone_2.clone(), "/single/zone_type", zone_type);
        let answer = world.send("PUT", &path, Some(json!({"trigger": other}))).await;
        assert_eq!(refusal(&answer), refused(400, 28100, "trigger.single.zone_type"));
    }
    let later = with(zone_2, "/single/time", json!(in_hours(96)));
    world.send("PUT", &path, Some(json!({"trigger": later}))).await.expect(200);
    let segment = with(push(), "/to", json!({"seg": {"id": "s"}}));
    let answer = world.send("PUT", &path, Some(json!({"push": segment}))).await;
    assert_eq!(refusal(&answer), refused(400, 28102, "push.to.seg"));
}
