//! What a queue may bring that nobody meant: messages twice, of an older generation, of nothing at all.

use crate::{Outcome, Stage, arrivals, exactly, secs};
use rondo_domain::{
    ids::ScheduleId,
    message::{Delayed, Message, Segment},
    plan::Occurrence,
    time::Timestamp,
};
use rondo_tests::{deployed::text, receiver::Receiver};
use serde_json::{Value, json};

/// Bodies that no function understands, in order.
pub fn poisons() -> [&'static str; 4] {
    [
        "[]",
        "not JSON at all",
        r#"{"at":1,"message":{"wake":{}},"v":1}"#,
        r#"{"v":99,"at":1,"message":{"whatever":true}}"#,
    ]
}

/// The message of a schedule's first occurrence, as the service itself would send it.
fn first_segment(stage: &Stage, schedule: &Value, generation: u32) -> Delayed {
    let id: ScheduleId = text(schedule, "id").parse().expect("an id");
    let due: chrono::DateTime<chrono::Utc> = text(schedule, "next_due_at").parse().expect("an instant");
    let due = Timestamp::from_millis(due.timestamp_millis());
    let app = stage.stack.app.key.parse().expect("a key");
    let occurrences = vec![Occurrence { number: 1, at: due, due }];
    Delayed {
        at: due,
        message: Message::Segment(Segment { id, app, generation, occurrences, definition: None }),
    }
}

pub async fn doubled_and_stale(stage: &Stage) -> Vec<Outcome> {
    let (stack, receiver, old) = (&stage.stack, Receiver::start_apart().await, Receiver::start_apart().await);
    let single =
        |url: String| json!({"trigger": {"single": {"after": "6s"}}, "target": {"http": {"url": url}}});
    let doubled = stack.create(single(receiver.url("/doubled"))).await;
    let stale = stack.create(single(old.url("/stale"))).await;
    let patch = json!({"target": {"http": {"url": receiver.url("/fresh")}}});
    let address = format!("/v1/schedules/{}", text(&stale, "id"));
    stack.send("PATCH", &address, Some(patch)).await.expect(200);

    let segment = first_segment(stage, &doubled, 1);
    let wake = |schedule: &Value, generation| {
        let id = text(schedule, "id").parse().expect("an id");
        Delayed { at: segment.at, message: Message::Wake { id, generation } }
    };
    let mut nobodys = doubled.clone();
    nobodys["id"] = json!("0199c0de-0000-8000-8000-000000000000");
    let unknown = [first_segment(stage, &nobodys, 1), wake(&nobodys, 1)];
    let stale_ones = [first_segment(stage, &stale, 1), wake(&stale, 1), first_segment(stage, &stale, 7)];
    let doubles = [segment.clone(), wake(&doubled, 1), segment.clone(), wake(&doubled, 1), segment.clone()];
    stack.inject(&[doubles.as_slice(), &stale_ones, &unknown].concat()).await;
    let received = exactly(&receiver, 2, secs(20), secs(2)).await;
    let mut paths: Vec<String> = received.iter().map(|callback| callback.uri.to_string()).collect();
    paths.sort();
    assert_eq!(paths, ["/doubled", "/fresh"]);
    // And again, when all is over.
    stack.inject(&doubles).await;
    exactly(&receiver, 2, secs(1), secs(5)).await;
    assert!(old.received().is_empty(), "{:?}", old.received());
    vec![Outcome::finished(&doubled, 1), Outcome::finished(&stale, 1)]
}

/// What cannot be read comes to the dead letters, is there to be seen, and blocks nobody.
pub async fn poison(stage: &Stage) -> Vec<Outcome> {
    let (stack, receiver) = (&stage.stack, Receiver::start_apart().await);
    for body in poisons() {
        stack.inject_body(body).await;
    }
    let schedule = json!({
        "trigger": {"interval": {"every": "2s", "delay": "4s", "occurrences": 5}},
        "target": {"http": {"url": receiver.url("/beside-poison")}},
    });
    let schedule = stack.create(schedule).await;
    stage.ledger.note("beside poison", &arrivals(&receiver, 5, secs(30)).await);
    let dead = async {
        loop {
            let asked = stack.clients.sqs.get_queue_attributes().queue_url(stack.output("DeadLettersUrl"));
            let count = aws_sdk_sqs::types::QueueAttributeName::ApproximateNumberOfMessages;
            let asked = asked.attribute_names(count.clone()).send().await.expect("the queue is there");
            let visible = asked.attributes.and_then(|mut all| all.remove(&count));
            if visible == Some(poisons().len().to_string()) {
                return;
            }
            tokio::time::sleep(secs(1)).await;
        }
    };
    // Five receives, each followed by the visibility timeout.
    tokio::time::timeout(secs(90), dead).await.expect("poison comes to the dead letters");
    vec![Outcome::finished(&schedule, 5)]
}
