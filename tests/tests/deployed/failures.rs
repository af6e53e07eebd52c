//! Targets that fail: for a while, for good, and for ever.

use crate::{Outcome, Stage, arrivals, exactly, secs};
use rondo_tests::{
    deployed::text,
    receiver::{Answer, Receiver},
};
use serde_json::{Value, json};

fn retried_thrice(url: String) -> Value {
    json!({
        "trigger": {"single": {"after": "5s"}},
        "target": {"http": {"url": url, "body": {}}},
        "delivery": {"retry": {"max_attempts": 3, "initial": "1s", "factor": 1}},
    })
}

pub async fn retried(stage: &Stage) -> Vec<Outcome> {
    let (stack, receiver) = (&stage.stack, Receiver::start_apart().await);
    receiver.then([Answer::Status(500), Answer::Status(503)]);
    let schedule = stack.create(retried_thrice(receiver.url("/shaky"))).await;
    let received = exactly(&receiver, 3, secs(40), secs(4)).await;
    let attempts: Vec<&str> = received.iter().map(|callback| callback.header("rondo-attempt")).collect();
    assert_eq!(attempts, ["1", "2", "3"]);
    let ids: Vec<&str> = received.iter().map(|callback| callback.header("webhook-id")).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "one execution: {ids:?}");
    let finished = stack.comes_to(&text(&schedule, "id"), "finished", secs(10)).await;
    assert_eq!(finished["counts"]["succeeded"], 1, "{finished}");
    vec![Outcome::finished(&schedule, 1)]
}

/// Told to `on_failure`, on record with every attempt; and once the target is well, delivered again.
pub async fn for_good(stage: &Stage) -> Vec<Outcome> {
    let (stack, receiver, alerts) =
        (&stage.stack, Receiver::start_apart().await, Receiver::start_apart().await);
    receiver.always(Answer::Status(500));
    let mut schedule = retried_thrice(receiver.url("/broken"));
    schedule["delivery"]["on_failure"] = json!(alerts.url("/alert"));
    let schedule = stack.create(schedule).await;
    let received = arrivals(&receiver, 3, secs(40)).await;
    let alert = arrivals(&alerts, 1, secs(20)).await[0].json();
    assert_eq!((&alert["callback_status_code"], &alert["attempts"]), (&json!(500), &json!(3)), "{alert}");
    let failed = stack.comes_to(&text(&schedule, "id"), "finished", secs(10)).await;
    assert_eq!(failed["counts"]["failed"], 1, "{failed}");
    let execution = received[0].header("webhook-id");
    let shown = stack.get(&format!("/v1/executions/{execution}")).await;
    let statuses: Vec<&Value> =
        shown["attempts"].as_array().into_iter().flatten().map(|one| &one["status"]).collect();
    assert_eq!((&shown["status"], statuses), (&json!("failed"), vec![&json!(500); 3]), "{shown}");

    receiver.always(Answer::Status(204));
    stack.send("POST", &format!("/v1/executions/{execution}/redeliver"), None).await.expect(202);
    let again = exactly(&receiver, 4, secs(20), secs(3)).await;
    assert_eq!(again[3].header("webhook-id"), execution);
    // Record and count tell how it ended at last.
    let delivered = stack.get(&format!("/v1/executions/{execution}")).await;
    assert_eq!(delivered["status"], "succeeded", "{delivered}");
    vec![Outcome::finished(&schedule, 1)]
}

/// 410 ends the schedule, whatever was still to come.
pub async fn gone(stage: &Stage) -> Vec<Outcome> {
    let (stack, receiver) = (&stage.stack, Receiver::start_apart().await);
    receiver.always(Answer::Status(410));
    let schedule = json!({
        "trigger": {"interval": {"every": "2m", "delay": "4s", "occurrences": 5}},
        "target": {"http": {"url": receiver.url("/gone")}},
    });
    let schedule = stack.create(schedule).await;
    exactly(&receiver, 1, secs(30), secs(6)).await;
    let id = text(&schedule, "id");
    assert!(stack.far_wakes(&id).await.is_empty(), "EventBridge held the second, and does so no more");
    let ended = stack.schedule(&id).await;
    assert_eq!((&ended["status"], &ended["counts"]["failed"]), (&json!("canceled"), &json!(1)), "{ended}");
    vec![Outcome { failed: 1, records: (0, 1), ..Outcome::canceled(&schedule, 1) }]
}
