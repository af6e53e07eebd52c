//! Batches that the function's time is too short for: nothing is lost, nothing is called early, nothing loops.

use super::world::{QueueMood, START, TIMEOUT, World, bodies, failed};
use rondo_domain::{execution::ExecutionStatus, message::Delayed, time::Span};

const SECOND: Span = Span::from_secs(1);

#[tokio::test(start_paused = true)]
async fn what_cannot_be_called_in_the_time_left_is_not_held() {
    let world = World::start().await;
    // 70 s are left: a call of 60 s and its recording fit behind 5 s, not behind 10 s.
    let near = world.single(Span::from_secs(5), "/slow").await;
    let later = world.single(Span::from_secs(10), "/slow").await;
    let answer = world.dispatch_within(&bodies(&[near, later.clone()]), Span::from_secs(70)).await;
    assert_eq!(failed(&answer), Vec::<&str>::new());
    assert_eq!(world.take_sendings()[0], (START, vec![later]));
    assert_eq!(world.calls().len(), 1);
    assert_eq!(world.now(), START.plus(Span::from_secs(65)), "the slow one has timed out and is recorded");
}

#[tokio::test(start_paused = true)]
async fn what_is_due_is_called_however_little_time_is_left() {
    // Sent away it would be back at once, and again, for as long as the function's timeout is too short.
    let world = World::start().await;
    let due = world.single(Span::ZERO, "/").await;
    let soon = world.single(Span::from_millis(1), "/").await;
    let answer = world.dispatch_within(&bodies(&[due, soon.clone()]), Span::from_secs(30)).await;
    assert_eq!(failed(&answer), Vec::<&str>::new());
    assert_eq!(world.calls().len(), 1);
    assert_eq!(world.take_sent(), [soon]);
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_off_by_the_deadline_goes_back_as_it_came() {
    let world = World::start().await;
    let mut segments = Vec::new();
    for index in 0..20 {
        let path = if index % 2 == 0 { "/hangs" } else { "/" };
        segments.push(world.single(SECOND, path).await);
    }
    let answer = world.dispatch(&bodies(&segments)).await;
    assert_eq!(failed(&answer), Vec::<&str>::new(), "what is sent anew is acknowledged");
    assert_eq!(world.now(), START.plus(TIMEOUT).plus(Span::ZERO).minus(Span::from_secs(5)));
    let hung: Vec<Delayed> = segments.iter().step_by(2).cloned().collect();
    let mut sent = world.take_sent();
    sent.sort_by_key(|message| format!("{message:?}"));
    let mut expected = hung.clone();
    expected.sort_by_key(|message| format!("{message:?}"));
    assert_eq!(sent, expected);
    // Their claims hold for a while: what comes back too early comes back again, and is not called twice.
    let answer = world.dispatch(&bodies(&sent)).await;
    assert_eq!(failed(&answer), Vec::<&str>::new());
    let calls = world.calls().len();
    assert!(calls <= 20 + 10, "each hung one at most once more: {calls}");
    let done = world.states().into_iter().filter(|(state, _)| state.status.has_ended()).count();
    assert_eq!(done, 10);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_always_hangs_is_given_up_in_the_end() {
    let world = World::start().await;
    let mut messages = vec![world.single(SECOND, "/hangs").await];
    // As SQS would: each message again when it is due, a second early.
    for _ in 0..20 {
        let Some(next) = messages.pop() else { break };
        let early = next.at.minus(SECOND);
        world.engine.clock.sleep_until(early).await;
        let answer = world.dispatch(&bodies(&[next])).await;
        assert_eq!(failed(&answer), Vec::<&str>::new());
        messages.extend(world.take_sent());
        assert!(messages.len() <= 1, "{messages:?}");
    }
    assert!(messages.is_empty(), "{messages:?}");
    let (state, records) = world.states().remove(0);
    assert!(state.status.has_ended());
    assert_eq!(records[0].status, ExecutionStatus::Failed);
    assert!(records[0].reason.as_deref().is_some_and(|why| why.starts_with("abandoned")), "{records:?}");
    assert_eq!(world.calls().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_the_queue_does_not_take_back_in_time_comes_back_by_itself() {
    let world = World::start().await;
    let far = world.single(Span::from_secs(60), "/").await;
    let hung = world.single(SECOND, "/hangs").await;
    let near = world.single(SECOND, "/").await;
    world.queue_mood(QueueMood::Hangs);
    let answer = world.dispatch(&bodies(&[far, hung, near])).await;
    assert_eq!(failed(&answer), ["m0", "m1"]);
    assert!(world.now() < START.plus(TIMEOUT), "it ends before Lambda ends it");
    assert_eq!(world.calls().len(), 2);
}
