//! Who asks, and for what: credentials, other apps' and other surfaces' ids, paths and methods that are none.

use crate::bodies::{made, push, schedule, world};
use rondo_tests::api_world::basic;
use serde_json::json;

const SCHEDULES: [(&str, &str); 6] = [
    ("POST", "/v4/schedules"),
    ("GET", "/v4/schedules"),
    ("GET", "/v4/schedules/{id}"),
    ("GET", "/v4/schedules/{id}/msg-ids"),
    ("PUT", "/v4/schedules/{id}"),
    ("DELETE", "/v4/schedules/{id}"),
];
const OTHERS: [(&str, &str); 10] = [
    ("POST", "/v4/push"),
    ("POST", "/v4/push/validate"),
    ("PUT", "/v4/devices/d"),
    ("GET", "/v4/devices/d"),
    ("POST", "/v4/devices/d"),
    ("DELETE", "/v4/devices/d"),
    ("POST", "/v4/devices/d/activity"),
    ("POST", "/v4/tags/t"),
    ("GET", "/v4/tags/t/registration_ids/d"),
    ("GET", "/v4/aliases/a"),
];

#[tokio::test]
async fn nothing_is_answered_without_credentials() {
    let world = world().await;
    let id = made(&world, schedule()).await;
    let wrong = basic(world.first.key.as_str(), "not the secret of this app");
    let other = basic(world.first.key.as_str(), &world.second.secret);
    let calls = SCHEDULES.map(|call| (call, 28101)).into_iter().chain(OTHERS.map(|call| (call, 21004)));
    for ((method, path), code) in calls {
        let path = path.replace("{id}", &id);
        for slash in ["", "/"] {
            let path = format!("{path}{slash}");
            let none = world.raw(method, &path, &[], b"{}").await;
            assert_eq!((none.status, &none.body["error"]["code"]), (401, &json!(code)), "{method} {path}");
        }
        for authorization in [&wrong, &other] {
            let answer = world.raw(method, &path, &[("authorization", authorization)], b"{}").await;
            assert_eq!(
                (answer.status, &answer.body["error"]["code"]),
                (401, &json!(code)),
                "{method} {path}"
            );
        }
    }
    world.get(&format!("/v4/schedules/{id}")).await.expect(200);
}

#[tokio::test]
async fn foreign_and_unknown_ids_are_alike() {
    let world = world().await;
    let foreign = world.send_as(&world.second, "POST", "/v4/schedules", Some(schedule())).await.expect(200);
    let native =
        json!({"trigger": {"interval": {"every": "1h"}}, "target": {"http": {"url": "http://127.0.0.1:1/"}}});
    let native = world.post("/v1/schedules", native).await.expect(201);
    let request = json!({"interval": 3_600_000, "return_url": "http://127.0.0.1:1/"});
    let request = world.post("/set/notifier", request).await.expect(200);
    // What is pushed at once is a schedule of no contract.
    let device = json!({"platform": "web", "subscription": crate::devices::subscription()});
    world.send_as(&world.second, "PUT", "/v4/devices/1a0018970ab49abda3e", Some(device)).await.expect(200);
    world.send_as(&world.second, "POST", "/v4/push", Some(push())).await.expect(200);
    let all = world.send_as(&world.second, "GET", "/v1/schedules", None).await.expect(200);
    let sent = all["schedules"]
        .as_array()
        .expect("a list")
        .iter()
        .find(|one| one["name"].is_null())
        .expect("it is shown");
    let text = |value: &serde_json::Value| value.as_str().expect("an id").to_owned();
    let mine = |id: String| (&world.first, id);
    let ids = [
        mine(text(&foreign["schedule_id"])),
        mine(text(&native["id"])),
        mine(text(&request["id"])),
        (&world.second, text(&sent["id"])),
        mine("6d2f103f-8720-4c8e-b841-3ff5ace52481".to_owned()),
        mine("0eac1b80".to_owned()),
        mine("%00".to_owned()),
        mine("%ff".to_owned()),
        mine("x".repeat(2000)),
    ];
    for (app, id) in ids {
        for (method, path) in SCHEDULES.into_iter().filter(|(_, path)| path.contains("{id}")) {
            let path = path.replace("{id}", &id);
            let body = (method == "PUT").then(|| json!({"name": "mine"}));
            let answer = world.send_as(app, method, &path, body).await;
            assert_eq!(
                (answer.status, &answer.body["error"]["code"]),
                (404, &json!(28104)),
                "{method} {path}"
            );
        }
    }
    let theirs = world.send_as(&world.second, "GET", "/v4/schedules", None).await.expect(200);
    assert_eq!((&theirs["total_count"], &theirs["schedules"][0]["name"]), (&json!(1), &schedule()["name"]));
    assert_eq!(world.get("/v4/schedules").await.expect(200)["total_count"], 0);
}

#[tokio::test]
async fn what_is_no_route_answers_in_the_contracts_form() {
    let world = world().await;
    for (method, path, status, code) in [
        ("GET", "/v4/nothing", 404, 21003),
        ("GET", "/v4", 404, 28104),
        ("GET", "/v4/schedules/a/b/c", 404, 28104),
        ("PATCH", "/v4/schedules", 405, 28100),
        ("GET", "/v4/push", 405, 21001),
        ("PUT", "/v4/push/validate/", 405, 21001),
        ("DELETE", "/v4/aliases/a", 405, 21001),
    ] {
        let answer = world.send(method, path, None).await;
        assert_eq!((answer.status, &answer.body["error"]["code"]), (status, &json!(code)), "{method} {path}");
        assert_eq!(answer.header("allow").is_some(), status == 405);
    }
}
