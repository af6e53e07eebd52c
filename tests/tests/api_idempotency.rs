//! `Idempotency-Key`: whoever asks again, because no answer came, gets what the first request made.

use futures_util::future::join_all;
use rondo_domain::engine::NewApp;
use rondo_tests::api_world::{Answered, ApiWorld, basic};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const ONE: &str = "/v1/schedules";
const BATCH: &str = "/v1/schedules/batch";

fn far(name: &str) -> Value {
    json!({
        "name": name,
        "trigger": {"interval": {"every": "1h", "delay": "1h"}},
        "target": {"http": {"url": "https://example.com/"}},
    })
}

async fn ask(world: &ApiWorld, path: &str, keys: &[&str], body: &Value) -> Answered {
    let authorization = basic(world.first.key.as_str(), &world.first.secret);
    let mut headers = vec![("authorization", authorization.as_str())];
    headers.extend(keys.iter().map(|key| ("idempotency-key", *key)));
    world.raw("POST", path, &headers, body.to_string().as_bytes()).await
}

fn results(answer: Answered) -> Vec<Value> {
    answer.expect(200)["results"].as_array().expect("results").clone()
}

#[tokio::test]
async fn the_same_again_is_answered_and_made_once() {
    let world = ApiWorld::start().await;
    let first = ask(&world, ONE, &["k-1"], &far("one")).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (201, None));
    let again = ask(&world, ONE, &["k-1"], &far("one")).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")));
    assert_eq!((&again.body, again.header("location")), (&first.body, first.header("location")));
    // The same content in other words.
    let mut turned = json!({"target": far("one")["target"], "trigger": far("one")["trigger"]});
    turned["name"] = json!("one");
    assert_eq!(ask(&world, ONE, &["k-1"], &turned).await.expect(201)["id"], first.body["id"]);
    assert_eq!(world.stored().await, 1);

    let other = ask(&world, ONE, &["k-1"], &far("two")).await;
    insta::assert_json_snapshot!("reused", other.tidy(&[]));
    // What is wrong in itself is refused as ever, and takes no key.
    ask(&world, ONE, &["k-2"], &json!({"name": "no trigger"})).await.expect(400);
    ask(&world, ONE, &["k-2"], &far("two")).await.expect(201);
    // It is answered as it is now.
    let path = first.body["links"]["self"].as_str().expect("a link");
    world.send("DELETE", path, None).await.expect(200);
    assert_eq!(ask(&world, ONE, &["k-1"], &far("one")).await.expect(201)["status"], "canceled");
    assert_eq!(world.stored().await, 2);
}

#[tokio::test]
async fn of_many_at_once_one_is_made() {
    let world = ApiWorld::start().await;
    let body = far("one");
    let answers = join_all((0..20).map(|_| ask(&world, ONE, &["k"], &body))).await;
    let new = answers.iter().filter(|answer| answer.header("idempotent-replayed").is_none()).count();
    let ids: BTreeSet<String> = answers
        .into_iter()
        .map(|answer| answer.expect(201)["id"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!((new, ids.len(), world.stored().await), (1, 1, 1));
}

#[tokio::test]
async fn keys_belong_to_their_app() {
    let world = ApiWorld::start().await;
    ask(&world, ONE, &["k"], &far("one")).await.expect(201);
    let authorization = basic(world.second.key.as_str(), &world.second.secret);
    let headers = [("authorization", authorization.as_str()), ("idempotency-key", "k")];
    let foreign = world.raw("POST", ONE, &headers, far("other").to_string().as_bytes()).await;
    assert_eq!((foreign.status, foreign.header("idempotent-replayed")), (201, None));
}

#[tokio::test]
async fn a_key_is_a_short_visible_word() {
    let world = ApiWorld::start().await;
    let long = "k".repeat(255);
    for key in ["k", "\"8e03978e-40d5-43e8-bc93-6894a57f9324\"", &long] {
        ask(&world, ONE, &[key], &far("one")).await.expect(201);
    }
    let too_long = "k".repeat(256);
    for keys in [&[""][..], &["two words"], &["schlüssel"], &[&too_long], &["a", "a"], &["a\tb"]] {
        for path in [ONE, BATCH] {
            let refused = ask(&world, path, keys, &far("one")).await.expect(400);
            assert_eq!(refused["errors"][0]["header"], "Idempotency-Key", "{keys:?}: {refused:#}");
        }
    }
    assert_eq!(world.stored().await, 3);
}

#[tokio::test]
async fn in_a_batch_each_is_known_by_its_place() {
    let world = ApiWorld::start().await;
    let batch = |schedules: &[Value]| json!({"schedules": schedules});
    let mut wrong = far("wrong");
    wrong["trigger"]["interval"]["every"] = json!(1);
    let first = results(ask(&world, BATCH, &["k"], &batch(&[far("a"), wrong, far("b")])).await);
    // The faulty one is mended, and one is added: what was made stays.
    let again = [far("a"), far("mended"), far("b"), far("added")];
    let second = results(ask(&world, BATCH, &["k"], &batch(&again)).await);
    let shown = |results: &[Value]| -> Vec<(Value, Value)> {
        results.iter().map(|result| (result["status"].clone(), result["replayed"].clone())).collect()
    };
    let (made, known) = ((json!(201), json!(false)), (json!(201), json!(true)));
    assert_eq!(shown(&first), [made.clone(), (json!(400), Value::Null), made.clone()]);
    assert_eq!(shown(&second), [known.clone(), made.clone(), known, made]);
    assert_eq!(second[0]["schedule"], first[0]["schedule"]);
    // Another schedule in its place is another request.
    let moved = results(ask(&world, BATCH, &["k"], &batch(&[far("b"), far("mended")])).await);
    assert_eq!(moved[0]["problem"]["code"], "idempotency_key_reused");
    assert_eq!(moved[1]["replayed"], true);
    // Nor does the key of a batch meet that of a single schedule.
    let alone = ask(&world, ONE, &["k"], &far("a")).await;
    assert_eq!((alone.status, alone.header("idempotent-replayed")), (201, None));
    assert_eq!(world.stored().await, 5);
}

#[tokio::test]
async fn twins_in_one_batch_are_two() {
    let world = ApiWorld::start().await;
    let twins = json!({"schedules": [far("twin"), far("twin")]});
    let first = results(ask(&world, BATCH, &["k"], &twins).await);
    assert_ne!(first[0]["schedule"]["id"], first[1]["schedule"]["id"]);
    let again = results(ask(&world, BATCH, &["k"], &twins).await);
    assert_eq!(again[1]["schedule"], first[1]["schedule"]);
    assert_eq!(world.stored().await, 2);
}

#[tokio::test]
async fn what_was_made_is_answered_though_there_is_no_room_left() {
    let world = ApiWorld::start().await;
    let limited = NewApp { name: "limited".to_owned(), max_schedules: Some(2), ..NewApp::default() };
    let app = world.engine.create_app(limited, world.vault()).await.expect("an app");
    let authorization = basic(app.key.as_str(), &app.secret);
    let headers = [("authorization", authorization.as_str()), ("idempotency-key", "k")];
    let body = json!({"schedules": [far("a"), far("b"), far("c")]}).to_string();
    let statuses = async || -> Vec<Value> {
        let answer = world.raw("POST", BATCH, &headers, body.as_bytes()).await;
        results(answer).iter().map(|result| result["status"].clone()).collect()
    };
    assert_eq!(statuses().await, [201, 201, 409]);
    assert_eq!(statuses().await, [201, 201, 409]);
}
