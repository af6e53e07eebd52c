//! `/v4/push`, `/v4/push/validate`, and the messages of a schedule.

use crate::{
    bodies::{made, push, refusal, refused, schedule, wall, with, world},
    devices::subscription,
};
use chrono::TimeDelta;
use rondo_tests::api_world::{ApiWorld, basic};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn a_gateway_answers_for_its_pushes() {
    let world = world().await;
    let send =
        async |request_id: Value| world.post("/v4/push/", with(push(), "/request_id", request_id)).await;
    assert_eq!(send(json!("r-1")).await.expect(200), json!({"request_id": "r-1", "msg_id": "1828256757"}));
    assert_eq!(send(Value::Null).await.expect(200), json!({"request_id": "", "msg_id": "1828256757"}));
    assert_eq!(refusal(&send(json!("refused")).await), refused(400, 21003, "the"));
    let nobody = send(json!("nobody")).await;
    assert_eq!(nobody.expect(400)["error"], json!({"code": 21011, "message": "Cannot find sending target"}));
    let later = send(json!("later")).await;
    assert_eq!(later.header("retry-after"), Some("1"));
    assert_eq!(refusal(&later), refused(503, 21030, "the"));
    assert_eq!(refusal(&send(json!("crowded")).await), refused(400, 23008, "too"));
    assert_eq!(world.stored().await, 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_push_is_told() {
    let world = world().await;
    let large = json!("x".repeat(2048));
    for (pointer, value, code, names) in [
        ("/to", Value::Null, 21002, "to"),
        ("/to", json!("some"), 21003, "to"),
        ("/body/notification/web/title", large, 21005, "body.notification.web"),
        ("/to/tags", json!(["a"]), 21015, "to.tags"),
        ("/body/options", json!("none"), 21016, "body.options"),
    ] {
        let wrong = with(push(), pointer, value);
        for path in ["/v4/push", "/v4/push/validate"] {
            assert_eq!(refusal(&world.post(path, wrong.clone()).await), refused(400, code, names));
        }
    }
    let valid = world.post("/v4/push/validate", push()).await.expect(200);
    assert_eq!(valid, json!({"request_id": "12345", "msg_id": "0"}));
    let authorization = basic(world.first.key.as_str(), &world.first.secret);
    let headers = [("authorization", authorization.as_str())];
    let long = " ".repeat(256 * 1024 + 1);
    for (bytes, code) in [(&b""[..], 21003), (b"to=all", 21003), (b"[]", 21016), (long.as_bytes(), 21005)] {
        let answer = world.raw("POST", "/v4/push", &headers, bytes).await;
        assert_eq!((answer.status, &answer.body["error"]["code"]), (400, &json!(code)), "{}", answer.body);
    }
    assert_eq!(world.stored().await, 0);
}

#[tokio::test]
async fn straight_to_the_devices_somebody_has_to_be_there() {
    let world = world().await;
    let app = &world.second;
    let send = async |push: Value| world.send_as(app, "POST", "/v4/push", Some(push)).await;
    assert_eq!(send(push()).await.expect(400)["error"]["code"], 21011);
    let register = async |subscription: Option<Value>| {
        let device = json!({"platform": "web", "subscription": subscription});
        world.send_as(app, "PUT", "/v4/devices/1a0018970ab49abda3e", Some(device)).await.expect(200);
    };
    register(None).await;
    assert_eq!(send(push()).await.expect(400)["error"]["code"], 21011);
    register(Some(subscription())).await;
    let sent = send(push()).await.expect(200);
    assert_eq!(sent["request_id"], "12345");
    let id = sent["msg_id"].as_str().expect("a text");
    assert!(!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()), "{id}");
    let to_apps = with(push(), "/body/platform", json!(["ios"]));
    assert_eq!(refusal(&send(to_apps).await), refused(400, 21003, "body.platform"));
    let segment = with(push(), "/to", json!({"seg": {"id": "s"}}));
    assert_eq!(refusal(&send(segment.clone()).await), refused(400, 21003, "to.seg"));
    let scheduled =
        world.send_as(app, "POST", "/v4/schedules", Some(with(schedule(), "/push", segment))).await;
    assert_eq!(refusal(&scheduled), refused(400, 28102, "push.to.seg"));
}

/// Asks until there is one; the driver takes as long as the schedule says.
async fn first_message(world: &ApiWorld, id: &str) -> Value {
    for _ in 0..400 {
        let answer = world.get(&format!("/v4/schedules/{id}/msg-ids")).await.expect(200);
        let texts = answer["MsgIds"].as_array().expect("a list").clone();
        assert_eq!(answer["count"], texts.len());
        if let Some(text) = texts.first() {
            return serde_json::from_str(text.as_str().expect("a text")).expect("JSON in a text");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no message came");
}

#[tokio::test]
async fn what_was_pushed_has_a_message() {
    let world = world().await;
    let due = world.engine.now().millis();
    let soon = |request_id: &str| {
        let at = json!({"single": {"time": wall(TimeDelta::seconds(2)), "zone_type": 1}});
        with(with(schedule(), "/trigger", at), "/push/request_id", json!(request_id))
    };
    let (good, bad) = (made(&world, soon("r-1")).await, made(&world, soon("refused")).await);
    let (later, nobody) = (made(&world, soon("later")).await, made(&world, soon("nobody")).await);
    let mut message = first_message(&world, &good).await;
    let at = message["ts"].take().as_i64().expect("ms");
    assert!((due..due + 20_000).contains(&at), "{at} after {due}");
    let told = |id: &str, code: u32, text: &str, retry: bool| json!({"msg_id": id, "error": {"code": code, "message": text}, "needRetry": retry, "ts": null});
    assert_eq!(message, told("1828256757", 0, "", false));
    for (id, expected) in [
        (bad, told("0", 21003, "the gateway says no", false)),
        (later, told("0", 21030, "the gateway took too long", true)),
        (nobody, told("0", 1011, "Cannot find sending target", false)),
    ] {
        let mut message = first_message(&world, &id).await;
        message["ts"] = Value::Null;
        assert_eq!(message, expected);
    }
}
