//! What an operator does, by invoking the function that no route leads to.

use crate::{Outcome, Stage, arrivals, secs};
use rondo_tests::{
    deployed::{Credentials, text},
    receiver::Receiver,
};
use serde_json::json;

/// With it goes everything that was its own.
pub async fn an_app_comes_and_goes(stage: &Stage) -> Vec<Outcome> {
    let (stack, receiver) = (&stage.stack, Receiver::start_apart().await);
    let app = stack.make_app("short-lived").await;
    let schedule =
        json!({"trigger": {"single": {"after": "1s"}}, "target": {"http": {"url": receiver.url("/its")}}});
    let made = stack.send_as(Some(&app), "POST", "/v1/schedules", Some(schedule)).await.expect(201);
    arrivals(&receiver, 1, secs(20)).await;
    let listed = stack.invoke("admin", json!({"action": "list"})).await;
    let keys: Vec<String> =
        listed["apps"].as_array().expect("apps").iter().map(|listed| text(listed, "key")).collect();
    assert!(keys.contains(&app.key) && keys.contains(&stack.app.key), "{keys:?}");

    let rotated =
        stack.invoke("admin", json!({"action": "rotate_secret", "key": app.key, "end_old": true})).await;
    let renewed = Credentials { secret: text(&rotated, "secret"), ..app.clone() };
    assert_ne!(renewed.secret, app.secret);
    let address = format!("/v1/schedules/{}", text(&made, "id"));
    // Functions know an app for 10 s.
    let known = async {
        while stack.send_as(Some(&renewed), "GET", &address, None).await.status != 200 {
            tokio::time::sleep(secs(1)).await;
        }
    };
    tokio::time::timeout(secs(20), known).await.expect("the new secret is good");
    let removed = stack.invoke("admin", json!({"action": "remove", "key": app.key})).await;
    assert_eq!(removed["answer"], "removed", "{removed}");
    let refused = stack.invoke("admin", json!({"action": "remove", "key": app.key})).await;
    assert_eq!(refused["code"], "not_found", "{refused}");
    let refused = stack.invoke("admin", json!({"action": "crown"})).await;
    assert_eq!(refused["code"], "invalid", "{refused}");
    Vec::new()
}
