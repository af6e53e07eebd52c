//! Many schedules in one request: each has its own answer, and nothing that one of them is keeps back another.

use rondo_domain::engine::NewApp;
use rondo_http_api::ApiSettings;
use rondo_tests::{
    api_world::{ApiWorld, Setup, basic},
    receiver::Receiver,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const BATCH: &str = "/v1/schedules/batch";

fn far(name: &str) -> Value {
    json!({
        "name": name,
        "trigger": {"single": {"time": "2040-12-01T09:00:00Z"}},
        "target": {"http": {"url": "https://example.com/"}},
    })
}

fn many(schedules: impl IntoIterator<Item = Value>) -> Value {
    json!({"schedules": schedules.into_iter().collect::<Vec<_>>()})
}

fn results(answer: &Value) -> &[Value] {
    answer["results"].as_array().expect("results")
}

fn statuses(answer: &Value) -> Vec<u64> {
    results(answer).iter().map(|result| result["status"].as_u64().expect("a status")).collect()
}

#[tokio::test]
async fn each_has_an_answer_of_its_own_in_the_order_given() {
    let world = ApiWorld::start().await;
    let mut past = far("in the past");
    past["trigger"]["single"]["time"] = json!("2020-12-01T09:00:00Z");
    let schedules = [far("first"), json!({"name": "no trigger"}), far("second"), json!(7), past];
    let answer = world.post(BATCH, many(schedules)).await;
    insta::assert_json_snapshot!("batch", answer.tidy(&[(&world.base(), "http://api")]));
    assert_eq!(world.stored().await, 2);
    for result in results(&answer.body).iter().filter(|result| result["status"] == 201) {
        let link = result["schedule"]["links"]["self"].as_str().expect("a link");
        assert_eq!(world.get(link).await.expect(200), result["schedule"]);
    }
}

#[tokio::test]
async fn a_hundred_at_once_are_all_made() {
    let world = ApiWorld::start().await;
    let names: Vec<String> = (0..100).map(|number| format!("number {number}")).collect();
    let answer = world.post(BATCH, many(names.iter().map(|name| far(name)))).await.expect(200);
    let made: Vec<&str> =
        results(&answer).iter().filter_map(|result| result["schedule"]["name"].as_str()).collect();
    assert_eq!(made, names);
    let ids: BTreeSet<&str> =
        results(&answer).iter().filter_map(|result| result["schedule"]["id"].as_str()).collect();
    assert_eq!((ids.len(), world.stored().await), (100, 100));
}

#[tokio::test]
async fn all_of_them_are_called() {
    let (world, receiver) = (ApiWorld::start().await, Receiver::start().await);
    let soon = |number: u64| {
        let trigger = match number % 2 {
            0 => json!({"single": {"after": 10 * number}}),
            _ => json!({"interval": {"every": "1h", "delay": 10 * number}}),
        };
        json!({"trigger": trigger, "target": {"http": {"url": receiver.url(&format!("/{number}"))}}})
    };
    world.post(BATCH, many((0..30).map(soon))).await.expect(200);
    let called: BTreeSet<String> =
        receiver.wait_for(30).await.into_iter().map(|call| call.uri.path().to_owned()).collect();
    assert_eq!(called, (0..30).map(|number| format!("/{number}")).collect());
}

#[tokio::test]
async fn the_first_of_them_get_what_room_there_is() {
    let world = ApiWorld::start().await;
    let limited = NewApp { name: "limited".to_owned(), max_schedules: Some(5), ..NewApp::default() };
    let app = world.engine.create_app(limited, world.vault()).await.expect("an app");
    let mut schedules: Vec<Value> = (0..8).map(|number| far(&number.to_string())).collect();
    schedules[1]["target"] = json!({});
    let answer = world.send_as(&app, "POST", BATCH, Some(many(schedules))).await.expect(200);
    assert_eq!(statuses(&answer), [201, 400, 201, 201, 201, 201, 409, 409]);
    assert_eq!(results(&answer)[7]["problem"]["code"], "schedule_limit_reached");
    let listed = world.send_as(&app, "GET", "/v1/schedules", None).await.expect(200);
    assert_eq!(listed["schedules"].as_array().map(Vec::len), Some(5));
}

#[tokio::test]
async fn what_is_no_batch_is_refused_whole() {
    let world = ApiWorld::start().await;
    let again = |count: usize| many(vec![far("again"); count]);
    for (body, pointer) in [
        (again(0), "/schedules"),
        (again(101), "/schedules"),
        (json!({"schedules": {}}), "/schedules"),
        (json!({"schedules": null}), "/schedules"),
        (json!({}), "/schedules"),
        (json!({"schedules": [far("beside")], "dry_run": true}), "/dry_run"),
        (json!([far("bare")]), ""),
        (far("alone"), "/schedules"),
    ] {
        let refused = world.post(BATCH, body).await.expect(400);
        assert!(
            refused["errors"].as_array().expect("errors").iter().any(|error| error["pointer"] == pointer),
            "{refused:#}"
        );
    }
    let authorization = basic(world.first.key.as_str(), &world.first.secret);
    for body in [
        r#"{"schedules": [{"name": "a", "name": "b"}]}"#,
        r#"{"schedules": [], "schedules": []}"#,
        r#"{"schedules": ["#,
        "",
    ] {
        let refused =
            world.raw("POST", BATCH, &[("authorization", &authorization)], body.as_bytes()).await.expect(400);
        assert_eq!(refused["code"], "malformed_json", "{body}");
    }
    world.raw("POST", BATCH, &[], again(1).to_string().as_bytes()).await.expect(401);
    world.post(&format!("{BATCH}?dry_run=1"), again(1)).await.expect(400);
    world.send("GET", BATCH, None).await.expect(405);
    assert_eq!(world.stored().await, 0);
}

#[tokio::test]
async fn a_batch_may_have_four_bodies_bytes() {
    let settings = ApiSettings { body_limit: 1000, ..ApiSettings::default() };
    let world = ApiWorld::with(Setup { settings, ..Setup::default() }).await;
    let authorization = basic(world.first.key.as_str(), &world.first.secret);
    let padded = |length: usize| format!("{:length$}", many([far("padded")]).to_string()).into_bytes();
    let send =
        async |length| world.raw("POST", BATCH, &[("authorization", &authorization)], &padded(length)).await;
    send(4000).await.expect(200);
    assert_eq!(send(4001).await.expect(413)["code"], "body_too_large");
    assert_eq!(world.stored().await, 1);
}
