//! The admin function: apps made, listed, rotated and removed; refusals that are answers; nothing that was no request
//! of it done.

use super::world::World;
use rondo_domain::ids::AppKey;
use rondo_lambda::{admin::answer, event::Incoming};
use rondo_outbound::SealingKey;
use serde_json::{Value, json};

async fn ask(world: &World, request: Value) -> Value {
    let vault = SealingKey::from_bytes([7; 32]);
    let request: Incoming<_> = serde_json::from_value(request).expect("reading an event never fails");
    let url = Some("https://rondo.example".to_owned());
    serde_json::to_value(answer(&world.engine, &vault, request, url).await).expect("an answer is JSON")
}

#[tokio::test(start_paused = true)]
async fn an_app_lives_and_ends() {
    let world = World::start().await;
    let made = ask(&world, json!({"action": "create", "name": "billing", "max_schedules": 5})).await;
    assert_eq!((&made["answer"], &made["url"]), (&"granted".into(), &"https://rondo.example".into()));
    let (key, secret) = (made["key"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert!(made["signing_secret"].as_str().unwrap().starts_with("whsec_"));
    let parsed: AppKey = key.parse().unwrap();
    let app = world.engine.apps.app(&parsed).await.unwrap().unwrap();
    assert!(app.admits(secret));

    let listed = ask(&world, json!({"action": "list"})).await;
    let entry = listed["apps"].as_array().unwrap().iter().find(|entry| entry["key"] == key).unwrap();
    assert_eq!((&entry["name"], &entry["max_schedules"]), (&"billing".into(), &5.into()));
    assert!(!listed.to_string().contains(secret) && listed.get("url").is_none());

    let rotated = ask(&world, json!({"action": "rotate_secret", "key": key, "end_old": true})).await;
    let app = world.engine.apps.app(&parsed).await.unwrap().unwrap();
    assert!(app.admits(rotated["secret"].as_str().unwrap()) && !app.admits(secret));

    let removed = ask(&world, json!({"action": "remove", "key": key})).await;
    assert_eq!(removed, json!({"answer": "removed", "key": key}));
    assert!(world.engine.apps.app(&parsed).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn refusals_are_problems() {
    let world = World::start().await;
    for (request, code, told) in [
        (json!({"action": "create", "name": ""}), "invalid", "name"),
        (json!({"action": "create", "name": "a", "key": "tested"}), "conflict", "tested"),
        (json!({"action": "create", "name": "a", "secret": "short"}), "invalid", "24"),
        (json!({"action": "create", "name": "a", "time_zone": "Mars/Base"}), "invalid", "time_zone"),
        (json!({"action": "rotate_secret", "key": "nobody"}), "not_found", "app"),
        (json!({"action": "remove", "key": "not a key"}), "invalid", "key"),
        (json!({"action": "destroy"}), "invalid", "destroy"),
        (json!({"action": "create", "name": "a", "colour": "red"}), "invalid", "colour"),
        (json!({"action": "create"}), "invalid", "name"),
        (json!({}), "invalid", "action"),
        (json!(null), "invalid", "not a request"),
        (json!({"Records": []}), "invalid", "action"),
    ] {
        let refused = ask(&world, request.clone()).await;
        assert_eq!(refused["code"], code, "{request}: {refused}");
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.contains(told), "{request}: {detail}");
    }
    assert_eq!(world.engine.apps.apps().await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_away_is_said_and_not_quoted() {
    let world = World::start().await;
    world.refuse(&["add_app", "apps"]);
    let refused = ask(&world, json!({"action": "create", "name": "a"})).await;
    assert_eq!((&refused["code"], &refused["status"]), (&"unavailable".into(), &503.into()));
    assert_eq!(ask(&world, json!({"action": "list"})).await["code"], "unavailable");
}
