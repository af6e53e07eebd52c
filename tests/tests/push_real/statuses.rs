//! What a push service answers, and what comes of it: for the devices, for those who are told beside them, and for
//! whoever reads the message ids.

use crate::{Stage, arrived, at, soon};
use anyhow::{Context as _, ensure};
use chrono_tz::Tz;
use rondo_domain::time::Span;
use serde_json::{Value, json};

/// Of one device alone: its messages, once its push is over, and how often it was tried.
async fn alone(stage: &Stage, device: &str, answers: Value) -> anyhow::Result<(Vec<Value>, Vec<Value>)> {
    let subscription = stage.device(device, "Europe/Madrid", answers).await?;
    let id = stage.schedule(device, at(Tz::UTC, soon(), 1), json!({})).await?;
    let over = |all: &[Value]| all.len() == 1 && all[0]["needRetry"] == false;
    let messages = stage.api.messages_until(&id, device, over).await?;
    let arrivals = stage.push_service.arrivals().await?;
    Ok((messages, arrivals.into_iter().filter(|push| push["subscription"] == *subscription).collect()))
}

fn code(messages: &[Value]) -> (Option<&str>, Option<u64>) {
    (messages[0]["msg_id"].as_str(), messages[0]["error"]["code"].as_u64())
}

#[tokio::test]
async fn what_is_for_good_is_not_tried_again() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    for (device, status, error, stays) in [
        ("unknown", 404, 1011, false),
        ("gone", 410, 1011, false),
        ("too-large", 413, 21005, true),
        ("our-key", 403, 21004, true),
        ("our-token", 401, 21004, true),
        ("bad-request", 400, 21003, true),
    ] {
        let (messages, arrivals) = alone(&stage, device, json!([{"status": status}])).await?;
        println!("{status}: {} {}", messages[0]["error"]["code"], messages[0]["error"]["message"]);
        assert_eq!(code(&messages), (Some("0"), Some(error)), "{status}: {messages:?}");
        assert_eq!(arrivals.len(), 1, "{status}: {arrivals:?}");
        assert_eq!(stage.is_subscribed(device).await?, stays, "{status}");
    }
    stage.serve.terminate().await
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_no_earlier_than_asked() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    // Twelve seconds are longer than the first pause would be.
    let answers = json!([{"status": 429, "retry_after": 12}, {"status": 201}]);
    let (messages, arrivals) = alone(&stage, "busy", answers).await?;
    ensure!(messages[0]["error"]["code"] == 0 && messages[0]["msg_id"] != "0", "{messages:?}");
    let [first, second] = &arrivals[..] else { anyhow::bail!("twice: {arrivals:#?}") };
    let pause = arrived(second)?.since(arrived(first)?);
    ensure!(pause >= Span::from_secs(12), "again after {} ms", pause.millis());
    println!("429, Retry-After 12: again after {} ms", pause.millis());

    let (messages, arrivals) =
        alone(&stage, "ill", json!([{"status": 500}, {"status": 503}, {"status": 201}])).await?;
    ensure!(messages[0]["error"]["code"] == 0, "{messages:?}");
    assert_eq!(arrivals.len(), 3, "{arrivals:#?}");
    ensure!(stage.is_subscribed("busy").await? && stage.is_subscribed("ill").await?, "they stay");
    stage.serve.terminate().await
}

#[tokio::test]
async fn while_it_is_tried_again_the_message_ids_say_so() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    stage.device("down", "Europe/Madrid", json!([{"status": 500}])).await?;
    let id = stage.schedule("down", at(Tz::UTC, soon(), 1), json!({})).await?;
    let waits = |all: &[Value]| all.len() == 1 && all[0]["needRetry"] == true;
    let messages = stage.api.messages_until(&id, "it waits for another attempt", waits).await?;
    assert_eq!(code(&messages), (Some("0"), Some(27000)), "{messages:?}");
    // Nothing fires after a delete, not even another attempt.
    stage.api.done("DELETE", &format!("/v4/schedules/{id}"), None).await?;
    let before = stage.push_service.arrivals().await?.len();
    tokio::time::sleep(Span::from_secs(8).std()).await;
    assert_eq!(stage.push_service.arrivals().await?.len(), before);
    stage.serve.terminate().await
}

#[tokio::test]
async fn one_bad_device_harms_no_other_and_nobody_is_told_twice() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let mut subscriptions = Vec::new();
    for (device, answers) in [
        ("a", json!([{"status": 201}])),
        ("b", json!([{"status": 410}])),
        ("c", json!([{"status": 413}])),
        ("d", json!([{"status": 500}, {"status": 201}])),
        ("e", json!([{"status": 201}])),
    ] {
        subscriptions.push(stage.device(device, "Asia/Tokyo", answers).await?);
        let tags = json!({"tags": {"add": ["all-of-them"], "remove": []}});
        stage.api.ask("POST", &format!("/v4/devices/{device}"), Some(&tags)).await?;
    }
    let options = json!({"time_to_live": 600, "override_msg_id": 77});
    let id = stage.schedule("all-of-them", at(Tz::UTC, soon(), 1), options).await?;
    let accepted = |all: &[Value]| all.len() == 1 && all[0]["needRetry"] == false;
    let messages = stage.api.messages_until(&id, "all are through", accepted).await?;
    ensure!(messages[0]["error"]["code"] == 0, "somebody was reached: {messages:?}");
    let arrivals = stage.push_service.arrivals().await?;
    let times: Vec<usize> = subscriptions
        .iter()
        .map(|subscription| arrivals.iter().filter(|push| push["subscription"] == **subscription).count())
        .collect();
    assert_eq!(times, [1, 1, 1, 2, 1]);
    for push in &arrivals {
        let payload: Value = serde_json::from_str(push["text"].as_str().context("decrypted")?)?;
        assert_eq!(
            payload,
            json!({"msg_id": messages[0]["msg_id"], "alert": "for all-of-them", "title": "Rondo",
                   "url": "https://rondo.example/", "custom_args": {"order": 7}})
        );
        ensure!(push["ttl"] == 600 && push["urgency"] == "normal", "{push}");
        let topic = push["topic"].as_str().context("a topic")?;
        ensure!(topic.len() <= 32, "{topic}");
    }
    stage.serve.terminate().await
}
