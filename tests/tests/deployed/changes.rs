//! Changes between the moment that a message is on its way and the moment that it arrives: what was on its way is
//! stale.

use crate::{Outcome, Stage, exactly, occurrences, secs};
use rondo_tests::{deployed::text, receiver::Receiver};
use serde_json::json;

pub async fn update(stage: &Stage) -> Vec<Outcome> {
    let (stack, old, new) = (&stage.stack, Receiver::start_apart().await, Receiver::start_apart().await);
    let schedule = json!({
        "trigger": {"interval": {"every": "1s", "delay": "6s", "occurrences": 4}},
        "target": {"http": {"url": old.url("/old")}},
    });
    let schedule = stack.create(schedule).await;
    let id = text(&schedule, "id");
    tokio::time::sleep(secs(2)).await;
    // Its segments are in the queue by now, and carry the old target.
    let patch = json!({"target": {"http": {"url": new.url("/new"), "body": "changed"}}});
    let changed = stack.send("PATCH", &format!("/v1/schedules/{id}"), Some(patch)).await.expect(200);
    assert_eq!((&changed["generation"], &changed["in_flight"]), (&json!(2), &json!(0)), "{changed}");
    let received = exactly(&new, 4, secs(20), secs(4)).await;
    stage.ledger.note("updated", &received);
    assert_eq!(occurrences(&received), [1, 2, 3, 4]);
    assert!(received.iter().all(|callback| callback.body == "changed"));
    assert!(old.received().is_empty(), "what was on its way is stale");
    stack.comes_to(&id, "finished", secs(10)).await;
    vec![Outcome::finished(&schedule, 4)]
}

pub async fn pause_and_resume(stage: &Stage) -> Vec<Outcome> {
    let (stack, receiver) = (&stage.stack, Receiver::start_apart().await);
    let schedule = json!({
        "trigger": {"interval": {"every": "1s", "delay": "5s", "occurrences": 3}},
        "target": {"http": {"url": receiver.url("/paused")}},
    });
    let schedule = stack.create(schedule).await;
    let id = text(&schedule, "id");
    tokio::time::sleep(secs(1)).await;
    stack.send("POST", &format!("/v1/schedules/{id}/pause"), None).await.expect(200);
    tokio::time::sleep(secs(9)).await;
    assert!(receiver.received().is_empty(), "paused: {:?}", receiver.received());
    let resumed = stack.send("POST", &format!("/v1/schedules/{id}/resume"), None).await.expect(200);
    assert_eq!(resumed["generation"], 3, "{resumed}");
    let received = exactly(&receiver, 3, secs(20), secs(4)).await;
    assert_eq!(occurrences(&received), [1, 2, 3], "time paused is not missed");
    stack.comes_to(&id, "finished", secs(10)).await;
    vec![Outcome::finished(&schedule, 3)]
}

pub async fn cancel(stage: &Stage) -> Vec<Outcome> {
    let (stack, receiver) = (&stage.stack, Receiver::start_apart().await);
    let mut outcomes = Vec::new();
    // The one is in the queue by now, the other with EventBridge.
    for after in ["6s", "20m"] {
        let schedule = json!({
            "trigger": {"single": {"after": after}},
            "target": {"http": {"url": receiver.url("/canceled")}},
        });
        let schedule = stack.create(schedule).await;
        let id = text(&schedule, "id");
        assert_eq!(stack.far_wakes(&id).await.len(), usize::from(after == "20m"));
        let canceled = stack.send("DELETE", &format!("/v1/schedules/{id}"), None).await.expect(200);
        assert_eq!((&canceled["status"], &canceled["in_flight"]), (&json!("canceled"), &json!(0)));
        assert!(stack.far_wakes(&id).await.is_empty(), "EventBridge holds nothing of it any more");
        outcomes.push(Outcome::canceled(&schedule, 0));
    }
    exactly(&receiver, 0, secs(1), secs(10)).await;
    outcomes
}
