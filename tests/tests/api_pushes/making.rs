//! Making, showing and deleting schedules.

use crate::bodies::{in_hours, made, push, refusal, refused, schedule, single, wall, with, world};
use chrono::TimeDelta;
use rondo_domain::engine::NewApp;
use rondo_tests::api_world::{ApiWorld, basic};
use serde_json::{Value, json};

#[tokio::test]
async fn what_was_sent_is_shown_unchanged() {
    let world = world().await;
    let body = json!({
        "cid": "c-1",
        "push": push(),
        "name": "日本語 and spaces",
        "enabled": true,
        "trigger": {"periodical": {
            "zone_type": 1, "start": in_hours(1), "end": in_hours(24 * 60), "time": "12:00:00",
            "time_unit": "WEEK", "point": ["mon", "FRI"], "frequency": 1, "note": [1.50, null],
        }},
        "extra": {"deep": [true]},
    });
    let answer = world.post("/v4/schedules/", body.clone()).await;
    let answer = answer.expect(200);
    let id = answer["schedule_id"].as_str().expect("an id").to_owned();
    assert_eq!(answer, json!({"schedule_id": id, "name": "日本語 and spaces"}));
    let mut shown = body;
    shown["schedule_id"] = json!(id);
    for path in [format!("/v4/schedules/{id}"), format!("/v4/schedules/{id}/")] {
        assert_eq!(world.get(&path).await.expect(200), json!([shown]));
    }
    let listed = world.get("/v4/schedules/").await.expect(200);
    assert_eq!(listed["schedules"], json!([shown]));
}

/// Documented clients send forms' types, and worse ones.
#[tokio::test]
async fn the_content_type_is_of_no_account() {
    let world = world().await;
    let authorization = basic(world.first.key.as_str(), &world.first.secret);
    let types =
        ["application/x-www-form-urlencoded", "application/json; charset", "json", "", ";;;=", "text/plain"];
    for kind in types {
        let headers = [("authorization", authorization.as_str()), ("content-type", kind)];
        let body = schedule().to_string();
        world.raw("POST", "/v4/schedules", &headers, body.as_bytes()).await.expect(200);
    }
    let headers = [("authorization", authorization.as_str())];
    world.raw("POST", "/v4/schedules", &headers, schedule().to_string().as_bytes()).await.expect(200);
    assert_eq!(world.get("/v4/schedules").await.expect(200)["total_count"], types.len() + 1);
}

#[tokio::test]
async fn what_is_wrong_is_told_and_makes_nothing() {
    let world = world().await;
    let past = json!({"single": {"time": in_hours(-1)}});
    for (body, code, names) in [
        (with(schedule(), "/name", Value::Null), 28100, "name"),
        (with(schedule(), "/name", json!(["x"])), 28100, "name"),
        (with(schedule(), "/enabled", json!(false)), 28100, "enabled"),
        (with(schedule(), "/enabled", Value::Null), 28100, "enabled"),
        (with(schedule(), "/trigger", Value::Null), 28100, "trigger"),
        (with(schedule(), "/trigger", json!({})), 28100, "trigger"),
        (with(schedule(), "/trigger", past), 28103, "trigger.single.time"),
        (
            with(schedule(), "/trigger/single/time", json!("2030-02-30 09:00:00")),
            28103,
            "trigger.single.time",
        ),
        (with(schedule(), "/trigger/single/time", json!(in_hours(24 * 367))), 28103, "trigger.single.time"),
        (with(schedule(), "/push", Value::Null), 28102, "push"),
        (with(schedule(), "/push/to", json!({"tag": []})), 28102, "push.to"),
        (with(schedule(), "/push/body/notification", json!({})), 28102, "push.body.notification"),
        (json!([schedule()]), 28100, "the"),
        (json!("schedule"), 28100, "the"),
    ] {
        let answer = world.post("/v4/schedules", body.clone()).await;
        assert_eq!(refusal(&answer), refused(400, code, names), "{body}");
    }
    let authorization = basic(world.first.key.as_str(), &world.first.secret);
    let headers = [("authorization", authorization.as_str())];
    let long = format!("{}{}", schedule(), " ".repeat(256 * 1024));
    let twice = br#"{"name": "a", "name": "b"}"#;
    for bytes in [&b""[..], b"name=x&enabled=true", b"{", b"{\"name\": \xff}", twice, long.as_bytes()] {
        let answer = world.raw("POST", "/v4/schedules", &headers, bytes).await;
        assert_eq!(
            (answer.status, answer.body["error"]["code"].as_u64()),
            (400, Some(28100)),
            "{}",
            answer.body
        );
    }
    assert_eq!(world.stored().await, 0);
}

#[tokio::test]
async fn a_name_has_255_bytes() {
    let world = world().await;
    for (name, status) in
        [("é".repeat(127) + "x", 200), ("é".repeat(128), 400), ("日".repeat(85), 200), ("日".repeat(86), 400)]
    {
        let answer = world.post("/v4/schedules", with(schedule(), "/name", json!(name))).await;
        assert_eq!(answer.status, status, "{} bytes", name.len());
    }
}

#[tokio::test]
async fn what_is_deleted_is_no_more() {
    let world = world().await;
    let id = made(&world, schedule()).await;
    let path = format!("/v4/schedules/{id}");
    let deleted = world.send("DELETE", &path, None).await;
    assert_eq!((deleted.status, deleted.header("content-length")), (200, Some("0")));
    for (method, path, body) in [
        ("GET", path.clone(), None),
        ("GET", format!("{path}/msg-ids"), None),
        ("PUT", path.clone(), Some(json!({"name": "new"}))),
        ("DELETE", path.clone(), None),
    ] {
        let answer = world.send(method, &path, body).await;
        assert_eq!((answer.status, &answer.body["error"]["code"]), (404, &json!(28104)), "{method} {path}");
    }
    assert_eq!(world.get("/v4/schedules").await.expect(200)["total_count"], 0);
    let native = world.get(&format!("/v1/schedules/{id}")).await.expect(200);
    assert_eq!(native["status"], "canceled");
}

/// Sixty at once for twenty places: twenty are made, however they come.
#[tokio::test]
async fn the_limit_is_exact() {
    let world = world().await;
    let limited = NewApp { name: "limited".to_owned(), max_pushes: Some(20), ..NewApp::default() };
    let app = world.engine.create_app(limited, world.vault()).await.expect("an app");
    let create = || world.send_as(&app, "POST", "/v4/schedules", Some(schedule()));
    let answers = futures_util::future::join_all((0..60).map(|_| create())).await;
    let made: Vec<&Value> =
        answers.iter().filter(|answer| answer.status == 200).map(|answer| &answer.body).collect();
    assert_eq!(made.len(), 20);
    for refusal in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!((refusal.status, &refusal.body["error"]["code"]), (400, &json!(28100)));
        assert!(
            refusal.body["error"]["message"].as_str().is_some_and(|text| text.contains("20")),
            "{}",
            refusal.body
        );
    }
    let list = async || world.send_as(&app, "GET", "/v4/schedules", None).await.expect(200);
    assert_eq!(list().await["total_count"], 20);
    // Other surfaces' schedules take no place, and are not counted.
    let native =
        json!({"trigger": {"interval": {"every": "1h"}}, "target": {"http": {"url": "http://127.0.0.1:1/"}}});
    world.send_as(&app, "POST", "/v1/schedules", Some(native)).await.expect(201);
    assert_eq!(list().await["total_count"], 20);
    let path = format!("/v4/schedules/{}", made[0]["schedule_id"].as_str().expect("an id"));
    world.send_as(&app, "DELETE", &path, None).await.expect(200);
    create().await.expect(200);
    create().await.expect(400);
}

/// Wall times that have passed where every recipient is, but not yet everywhere on earth.
#[tokio::test]
async fn somebody_has_to_be_left() {
    let world = world().await;
    let trigger = json!({"single": {"time": wall(TimeDelta::hours(1)), "zone_type": 2}});
    let to = |name: &str| json!({"registration_id": [name]});
    let wanted = |name| with(with(schedule(), "/trigger", trigger.clone()), "/push/to", to(name));
    for (name, zone) in [("east", "Pacific/Kiritimati"), ("west", "Etc/GMT+12")] {
        let device = json!({"platform": "web", "time_zone": zone});
        world.send("PUT", &format!("/v4/devices/{name}"), Some(device)).await.expect(200);
    }
    let nobody = world.post("/v4/schedules", wanted("east")).await;
    assert_eq!((nobody.status, &nobody.body["error"]["code"]), (404, &json!(28105)), "{}", nobody.body);
    made(&world, wanted("west")).await;
    // Whom the registry does not know is in the app's zone, and not yet due.
    made(&world, wanted("stranger")).await;
    assert_eq!(world.get("/v4/schedules").await.expect(200)["total_count"], 2);
}

/// The native surface shows them, and leaves changing them to this one.
#[tokio::test]
async fn the_native_surface_shows_scheduled_pushes() {
    let world = world().await;
    let id = made(&world, schedule()).await;
    let path = format!("/v1/schedules/{id}");
    let shown = world.get(&path).await.expect(200);
    assert_eq!(shown["target"], json!({"push": push()}));
    assert_eq!(shown["trigger"]["fan_out"]["per_recipient"], false);
    assert_eq!(world.get("/v1/schedules").await.expect(200)["schedules"][0]["id"], json!(id));
    assert_eq!(world.send("PATCH", &path, Some(json!({"name": "new"}))).await.status, 409);
    world.post(&format!("{path}/pause"), json!(null)).await.expect(200);
    assert_eq!(enabled(&world, &id).await, json!(false));
    world.post(&format!("{path}/resume"), json!(null)).await.expect(200);
    assert_eq!(enabled(&world, &id).await, json!(true));
    world.send("DELETE", &path, None).await.expect(200);
    world.get(&format!("/v4/schedules/{id}")).await.expect(404);
    let given = json!({"trigger": {"single": {"after": "1h"}}, "target": {"push": push()}});
    world.post("/v1/schedules", given).await.expect(400);
    let given = json!({"trigger": {"fan_out": single()}, "target": {"http": {"url": "http://127.0.0.1:1/"}}});
    world.post("/v1/schedules", given).await.expect(400);
}

async fn enabled(world: &ApiWorld, id: &str) -> Value {
    world.get(&format!("/v4/schedules/{id}")).await.expect(200)[0]["enabled"].clone()
}
