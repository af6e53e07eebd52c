//! The sweeper's round: everything overdue, page by page, and nothing where the queue is busy or time is over.

use super::world::{QueueMood, World};
use async_trait::async_trait;
use rondo_domain::{
    message::Message,
    ports::StoreError,
    time::Span,
    trigger::{Interval, Trigger},
};
use rondo_lambda::sweep::{BUSY, Backlog, PAGE, Round, SweepError, Sweeper};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

const TIMEOUT: Span = Span::from_secs(55);

/// Answers what the test says; grows with each question.
struct Waiting {
    now: AtomicU64,
    grows_by: u64,
    away: bool,
}

#[async_trait]
impl Backlog for Waiting {
    async fn backlog(&self) -> Result<u64, StoreError> {
        if self.away {
            return Err(StoreError::Unavailable("there is no such queue".to_owned()));
        }
        Ok(self.now.fetch_add(self.grows_by, Ordering::SeqCst))
    }
}

fn sweeper(world: &World, waiting: u64, grows_by: u64) -> Sweeper {
    let queue = Waiting { now: AtomicU64::new(waiting), grows_by, away: false };
    Sweeper { engine: world.engine.clone(), queue: Arc::new(queue) }
}

/// So many schedules whose wakes were lost, and so much later that they are overdue.
async fn overdue(count: usize) -> World {
    let world = World::start().await;
    for _ in 0..count {
        let every = Span::from_secs(60);
        let first = world.now().plus(every);
        let draft = world.draft(Trigger::Interval(Interval { every, first, end: None }), "/");
        world.engine.create(&world.app, draft).await.expect("a new schedule");
    }
    world.take_sent();
    world.sleep(Span::from_secs(600)).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_quiet_round_finds_nothing() {
    let world = overdue(0).await;
    let (round, failed) = sweeper(&world, 0, 0).round(world.now().plus(TIMEOUT)).await;
    assert!(failed.is_none());
    assert_eq!(serde_json::to_string(&round).unwrap(), r#"{"schedules":0,"attempts":0,"held_off":false}"#);
    assert!(world.take_sent().is_empty());
}

#[tokio::test(start_paused = true)]
async fn every_overdue_schedule_is_woken_once_over_many_pages() {
    let count = 3 * PAGE + 7;
    let world = overdue(count).await;
    let (round, failed) = sweeper(&world, 0, 0).round(world.now().plus(TIMEOUT)).await;
    assert!(failed.is_none());
    assert_eq!(round, Round { schedules: count, attempts: 0, held_off: false });
    let sent = world.take_sent();
    assert_eq!(sent.len(), count);
    assert!(sent.iter().all(|one| matches!(one.message, Message::Wake { .. }) && one.at <= world.now()));
    // Moved on by then: the next round, a minute later, leaves them time to be looked at.
    world.sleep(Span::from_secs(60)).await;
    let (round, _) = sweeper(&world, 0, 0).round(world.now().plus(TIMEOUT)).await;
    assert_eq!(round, Round::default());
    // Nobody looked. They are woken again, and not a second time for each page.
    world.sleep(Span::from_secs(600)).await;
    let (round, _) = sweeper(&world, 0, 0).round(world.now().plus(TIMEOUT)).await;
    assert_eq!(round.schedules, count);
}

#[tokio::test(start_paused = true)]
async fn waiting_executions_that_nobody_claimed_are_sent_again_once_a_round() {
    let world = overdue(2 * PAGE).await;
    let segment = world.single(Span::ZERO, "/fails").await;
    world.dispatch(&super::world::bodies(&[segment])).await;
    let lost = world.take_sent();
    assert!(matches!(lost[..], [ref retry] if matches!(retry.message, Message::Attempt { .. })), "{lost:?}");
    world.sleep(Span::from_secs(600)).await;
    let (round, failed) = sweeper(&world, 0, 0).round(world.now().plus(TIMEOUT)).await;
    assert!(failed.is_none());
    assert_eq!((round.attempts, round.schedules > PAGE), (1, true));
    let of = |message: &Message| match message {
        Message::Attempt { execution, .. } => Some(*execution),
        _ => None,
    };
    let again = world.take_sent();
    assert_eq!(again.iter().filter(|one| of(&one.message) == of(&lost[0].message)).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_busy_queue_is_left_alone() {
    let world = overdue(5).await;
    let (round, failed) = sweeper(&world, BUSY + 1, 0).round(world.now().plus(TIMEOUT)).await;
    assert!(failed.is_none());
    assert_eq!(round, Round { held_off: true, ..Round::default() });
    assert!(world.take_sent().is_empty());
    // Nothing was moved on for it: as soon as the queue has room, they are found.
    let (round, _) = sweeper(&world, BUSY, 0).round(world.now().plus(TIMEOUT)).await;
    assert_eq!(round, Round { schedules: 5, ..Round::default() });
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_fills_up_ends_the_round() {
    let world = overdue(10 * PAGE).await;
    let (round, _) = sweeper(&world, 0, BUSY / 2 + 1).round(world.now().plus(TIMEOUT)).await;
    assert_eq!(round, Round { schedules: 2 * PAGE, attempts: 0, held_off: true });
}

#[tokio::test(start_paused = true)]
async fn a_round_ends_with_its_time() {
    let world = overdue(10 * PAGE).await;
    let (round, failed) = sweeper(&world, 0, 0).round(world.now().plus(Span::from_secs(5))).await;
    assert!(failed.is_none());
    assert_eq!(round.schedules, PAGE, "a page is always done, or nothing ever would be");
}

#[tokio::test(start_paused = true)]
async fn a_queue_or_table_that_is_away_fails_the_round_and_moves_nothing() {
    let world = overdue(5).await;
    let away = Waiting { now: AtomicU64::new(0), grows_by: 0, away: true };
    let lost = Sweeper { engine: world.engine.clone(), queue: Arc::new(away) };
    let (round, failed) = lost.round(world.now().plus(TIMEOUT)).await;
    assert_eq!(round, Round::default());
    let said = failed.map(|error| error.to_string()).unwrap_or_default();
    assert!(said.contains("there is no such queue"), "{said}");
    world.refuse(&["overdue"]);
    let (_, failed) = sweeper(&world, 0, 0).round(world.now().plus(TIMEOUT)).await;
    assert!(matches!(failed, Some(SweepError::Engine(_))));
    world.refuse(&[]);
    let (round, _) = sweeper(&world, 0, 0).round(world.now().plus(TIMEOUT)).await;
    assert_eq!(round.schedules, 5);
}

#[tokio::test(start_paused = true)]
async fn what_was_found_before_a_failure_is_told() {
    let world = overdue(1).await;
    let segment = world.single(Span::ZERO, "/fails").await;
    world.dispatch(&super::world::bodies(&[segment])).await;
    world.sleep(Span::from_secs(600)).await;
    world.refuse(&["overdue"]);
    let (round, failed) = sweeper(&world, 0, 0).round(world.now().plus(TIMEOUT)).await;
    assert!(failed.is_some());
    assert_eq!(round, Round { attempts: 1, ..Round::default() });
    assert_eq!(round.counts(), [("SweptSchedules", 0), ("SweptAttempts", 1), ("SweepsHeldOff", 0)]);
    world.queue_mood(QueueMood::Refuses);
    world.refuse(&[]);
    let (round, failed) = sweeper(&world, 0, 0).round(world.now().plus(TIMEOUT)).await;
    assert!(failed.is_some() && round == Round::default());
}
