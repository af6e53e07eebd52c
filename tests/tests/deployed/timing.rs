//! The rungs of the ladder: the queue alone, EventBridge Scheduler before it, window after window, segments.

use crate::{Outcome, Stage, arrivals, exactly, occurrences, secs};
use futures_util::future::{join, join_all};
use rondo_tests::{deployed::text, receiver::Receiver};
use serde_json::json;

/// Due so soon that only the queue can carry it.
pub async fn due_within_seconds(stage: &Stage) -> Vec<Outcome> {
    let receiver = Receiver::start_apart().await;
    let mut outcomes = Vec::new();
    for after in 4..=13 {
        let schedule = json!({
            "trigger": {"single": {"after": format!("{after}s")}},
            "target": {"http": {"url": receiver.url("/soon")}},
        });
        let schedule = stage.stack.create(schedule).await;
        let far = stage.stack.far_wakes(&text(&schedule, "id")).await;
        assert!(far.is_empty(), "EventBridge could only make it late: {far:?}");
        outcomes.push(Outcome::finished(&schedule, 1));
    }
    stage.ledger.note("due within seconds", &exactly(&receiver, 10, secs(30), secs(5)).await);
    outcomes
}

/// Due so far away that EventBridge Scheduler has to bring it into the queue's reach.
pub async fn through_event_bridge(stage: &Stage) -> Vec<Outcome> {
    let (mut outcomes, seldom) = join(far_away(stage), again_and_again(stage)).await;
    outcomes.push(seldom);
    outcomes
}

async fn far_away(stage: &Stage) -> Vec<Outcome> {
    let receiver = Receiver::start_apart().await;
    let mut outcomes = Vec::new();
    // One callback: the segment itself waits there. More: a wake, and a plan.
    for (after, trigger, count) in [
        (36, "single", 1),
        (39, "single", 1),
        (42, "single", 1),
        (45, "single", 1),
        (40, "interval", 3),
        (44, "interval", 4),
    ] {
        let trigger = match trigger {
            "single" => json!({"single": {"after": format!("{after}s")}}),
            _ => json!({"interval": {"every": "1500ms", "delay": format!("{after}s"), "occurrences": count}}),
        };
        let schedule = json!({"trigger": trigger, "target": {"http": {"url": receiver.url("/far")}}});
        let schedule = stage.stack.create(schedule).await;
        let id = text(&schedule, "id");
        let far = stage.stack.far_wakes(&id).await;
        assert_eq!(far.len(), 1, "EventBridge holds it: {far:?}");
        outcomes.push((id, Outcome::finished(&schedule, count)));
    }
    let received = exactly(&receiver, 11, secs(70), secs(3)).await;
    stage.ledger.note("through EventBridge", &received);
    for (id, _) in &outcomes {
        let far = stage.stack.far_wakes(id).await;
        assert!(far.is_empty(), "it removes itself: {far:?}");
    }
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Between two occurrences that lie further apart than the queue carries, the dispatcher leaves it to EventBridge.
async fn again_and_again(stage: &Stage) -> Outcome {
    let receiver = Receiver::start_apart().await;
    let schedule = json!({
        "trigger": {"interval": {"every": "38s", "delay": "4s", "occurrences": 2}},
        "target": {"http": {"url": receiver.url("/seldom")}},
    });
    let schedule = stage.stack.create(schedule).await;
    let first = arrivals(&receiver, 1, secs(20)).await;
    let far = stage.stack.far_wakes(&text(&schedule, "id")).await;
    assert_eq!(far.len(), 1, "EventBridge holds the next: {far:?}");
    assert_eq!(first[0].header("rondo-occurrence"), "1");
    stage.ledger.note("again through EventBridge", &exactly(&receiver, 2, secs(60), secs(3)).await);
    Outcome::finished(&schedule, 2)
}

/// More occurrences than one window plans: wake follows wake.
pub async fn many_windows(stage: &Stage) -> Vec<Outcome> {
    let run = async |every: &str, count: usize| {
        let receiver = Receiver::start_apart().await;
        let schedule = json!({
            "trigger": {"interval": {"every": every, "delay": "4s", "occurrences": count}},
            "target": {"http": {"url": receiver.url("/windows"), "body": {"n": 1}}},
        });
        let schedule = stage.stack.create(schedule).await;
        let received = exactly(&receiver, count, secs(90), secs(4)).await;
        stage.ledger.note(&format!("every {every}"), &received);
        assert_eq!(occurrences(&received), (1..=count as u32).collect::<Vec<_>>());
        Outcome::finished(&schedule, count)
    };
    // 70 s are three windows and a half.
    join_all([run("1s", 70), run("3500ms", 20)]).await
}

/// Intervals below a second travel as segments.
pub async fn sub_second(stage: &Stage) -> Vec<Outcome> {
    let receiver = Receiver::start_apart().await;
    let schedule = json!({
        "trigger": {"interval": {"every": "250ms", "delay": "5s", "occurrences": 120}},
        "target": {"http": {"url": receiver.url("/often")}},
    });
    let schedule = stage.stack.create(schedule).await;
    let received = arrivals(&receiver, 120, secs(60)).await;
    stage.ledger.note("every 250 ms", &received);
    assert_eq!(occurrences(&received), (1..=120).collect::<Vec<_>>());
    vec![Outcome::finished(&schedule, 120)]
}
