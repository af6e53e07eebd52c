//! Batches with faults in them: each costs its own record and no other's.

use super::world::{QueueMood, START, World, bodies, failed};
use rondo_domain::{execution::ExecutionStatus, message::Delayed, time::Span};
use rondo_lambda::{
    dispatch::{Dispatcher, SqsBatch},
    event::Incoming,
};
use serde_json::{Value, json};

const SECOND: Span = Span::from_secs(1);

/// Bodies that no version of this function can read.
fn poison() -> Vec<String> {
    let text = |value: Value| value.to_string();
    vec![
        String::new(),
        "not JSON".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        text(json!({"v": 2, "at": 0, "message": {"wake": {}}})),
        text(json!({"v": 1, "at": 0, "message": {"unheard_of": {}}})),
        text(json!({"v": 1, "at": "soon", "message": {"attempt": {"execution": "no id"}}})),
        text(json!({"v": 1, "at": 0, "message": {"segment": {"id": "x"}}})),
        "[".repeat(10_000),
        "\u{0}".repeat(100),
    ]
}

#[tokio::test(start_paused = true)]
async fn poison_fails_alone() {
    let world = World::start().await;
    let mut all = poison();
    let poisoned = all.len();
    for _ in 0..3 {
        all.push(bodies(&[world.single(SECOND, "/").await]).remove(0));
    }
    let answer = world.dispatch(&all).await;
    let expected: Vec<String> = (0..poisoned).map(|index| format!("m{index}")).collect();
    assert_eq!(failed(&answer), expected);
    assert_eq!(world.calls().len(), 3);
    assert!(world.take_sent().is_empty(), "it is left to the dead-letter queue, not sent anew");
}

#[tokio::test(start_paused = true)]
async fn a_panic_takes_no_other_along() {
    let world = World::start().await;
    let mut segments = Vec::new();
    for path in ["/", "/panics", "/slow", "/"] {
        segments.push(world.single(SECOND, path).await);
    }
    let answer = world.dispatch(&bodies(&segments)).await;
    assert_eq!(failed(&answer), ["m1"]);
    assert_eq!(world.calls().len(), 4);
    let ended = world.states().iter().filter(|(state, _)| state.status.has_ended()).count();
    assert_eq!(ended, 2, "the slow one waits for its retry, the one that panicked for its claim to lapse");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_costs_what_needs_it() {
    let world = World::start().await;
    let wake = world.interval(Span::from_secs(5), "/").await;
    let due = world.single(SECOND, "/").await;
    let far = world.single(Span::from_secs(300), "/").await;
    world.refuse(&["save_plan"]);
    let answer = world.dispatch(&bodies(&[wake.clone(), due, far.clone()])).await;
    assert_eq!(failed(&answer), ["m0"]);
    assert_eq!(world.calls().len(), 1);
    assert!(world.take_sent().contains(&far));
    // Back again, it is as good as new.
    world.refuse(&[]);
    assert_eq!(failed(&world.dispatch(&bodies(&[wake])).await), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn with_the_whole_store_down_everything_comes_back() {
    let world = World::start().await;
    let mut messages = vec![world.interval(Span::from_secs(5), "/").await];
    for _ in 0..9 {
        messages.push(world.single(SECOND, "/").await);
    }
    world.refuse(&["load", "app", "claim"]);
    let answer = world.dispatch(&bodies(&messages)).await;
    assert_eq!(failed(&answer).len(), 10);
    assert!(world.calls().is_empty());
    world.refuse(&[]);
    world.sleep(Span::from_secs(100)).await;
    assert_eq!(failed(&world.dispatch(&bodies(&messages)).await), Vec::<&str>::new());
    assert_eq!(world.calls().len(), 9);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_survives_a_store_that_is_away_for_a_while() {
    let world = World::start().await;
    let segment = world.single(SECOND, "/").await;
    world.refuse(&["close"]);
    let batch = bodies(&[segment]);
    let (answer, ()) = tokio::join!(world.dispatch(&batch), async {
        world.sleep(Span::from_secs(20)).await;
        world.refuse(&[]);
    });
    assert_eq!(failed(&answer), Vec::<&str>::new());
    assert_eq!(world.states()[0].1[0].status, ExecutionStatus::Succeeded);
    assert_eq!(world.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_down_costs_what_was_to_go_back() {
    let world = World::start().await;
    let far = world.single(Span::from_secs(300), "/").await;
    let near = world.single(SECOND, "/").await;
    let wake = world.interval(Span::from_secs(5), "/").await;
    world.queue_mood(QueueMood::Refuses);
    let answer = world.dispatch(&bodies(&[far.clone(), near, wake.clone()])).await;
    assert_eq!(failed(&answer), ["m0", "m2"]);
    assert_eq!(world.calls().len(), 1);
    world.queue_mood(QueueMood::Takes);
    assert_eq!(failed(&world.dispatch(&bodies(&[far, wake])).await), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn messages_about_what_is_gone_are_done_with() {
    let world = World::start().await;
    let segment = world.single(SECOND, "/").await;
    let wake = world.interval(Span::from_secs(5), "/").await;
    assert!(world.engine.apps.remove_app(&world.app.key).await.unwrap());
    let answer = world.dispatch(&bodies(&[segment, wake])).await;
    assert_eq!(failed(&answer), Vec::<&str>::new());
    assert!(world.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn events_of_another_kind_are_refused_in_words() {
    let world = World::start().await;
    let dispatcher = Dispatcher { engine: world.engine.clone(), hold: SECOND };
    let s3 = json!({"Records": [{"eventSource": "aws:s3", "s3": {"object": {"key": "secret"}}}]});
    let no_id = json!({"Records": [{"eventSource": "aws:sqs", "body": "secret"}]});
    for event in
        [json!({}), json!("secret"), json!(null), json!({"detail-type": "Scheduled Event"}), s3, no_id]
    {
        let event: Incoming<SqsBatch> = serde_json::from_value(event).unwrap();
        let refused = dispatcher.answer(event, START.plus(SECOND)).await.unwrap_err().to_string();
        assert!(refused.starts_with("this function takes batches of SQS"), "{refused}");
        assert!(!refused.contains("secret"));
    }
}

#[test]
fn no_log_line_of_a_failure_holds_the_body() {
    let body = r#"{"v":1,"at":0,"message":{"attempt":{"execution":"sesame"}}}"#;
    let error = rondo_aws::envelope::read(body).unwrap_err().to_string();
    assert!(!error.contains("sesame"), "{error}");
    let whole: Result<Delayed, _> = rondo_aws::envelope::read("sesame");
    assert!(!whole.unwrap_err().to_string().contains("sesame"));
}
