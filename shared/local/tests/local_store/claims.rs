//! Claims in memory, outcomes on disk, changes in between.

use crate::world::{World, at};
use rondo_domain::{
    change::Change,
    execution::{AttemptClaim, ExecutionStatus},
    ids::NO_SLOT,
    plan::{Plan, PlanWrite},
    ports::{ChangeAnswer, ChangeWrite, Clock, ExecutionStore, Schedule, ScheduleStore, StateStore},
    state::{ClaimAnswer, Mark, Status},
    time::Span,
};
use rondo_domain::{ids::ScheduleId, plan::MissedRun};

fn change(world: &World, schedule: ScheduleId, revision: u64, change: Change) -> ChangeWrite {
    ChangeWrite {
        id: schedule,
        if_revision: revision,
        token: world.token(),
        change,
        definition: None,
        now: world.clock.now(),
        tell_end: false,
    }
}

#[tokio::test]
async fn many_outcomes_at_once_are_all_counted() {
    let world = World::new();
    let id = world.create(|_, _| {}).await;
    let mut claims = Vec::new();
    for number in 1..=200 {
        let (answer, token) = world.claim(id, number).await;
        assert_eq!(answer, ClaimAnswer::Claimed { tries: 1 });
        claims.push((number, token));
    }
    let closed = claims.iter().rev().map(|(number, token)| world.close(id, *number, *token));
    let closed = futures_util::future::join_all(closed).await;
    assert!(closed.into_iter().all(|closed| closed.unwrap().applied));
    let state = world.state(id).await;
    assert_eq!((state.counts.done, state.anchor.number, state.in_flight()), (200, 200, 0));
    assert_eq!(world.crash().state(id).await.counts.done, 200);
}

#[tokio::test]
async fn an_outcome_counts_once() {
    let world = World::new();
    let id = world.create(|_, _| {}).await;
    let (_, token) = world.claim(id, 1).await;
    let (first, second) = tokio::join!(world.close(id, 1, token), world.close(id, 1, token));
    assert!(first.unwrap().applied && second.unwrap().applied, "the same answer as the first");
    assert!(!world.close(id, 1, world.token()).await.unwrap().applied, "another's token");
    assert_eq!(world.state(id).await.counts.done, 1);
    assert_eq!(world.claim(id, 1).await.0, ClaimAnswer::AlreadyClosed);
}

#[tokio::test]
async fn a_claim_made_while_an_outcome_is_written_is_kept() {
    let world = World::new();
    let id = world.create(|_, _| {}).await;
    let (_, first) = world.claim(id, 1).await;
    let (closed, (claimed, _)) = tokio::join!(world.close(id, 1, first), world.claim(id, 2));
    assert!(closed.unwrap().applied);
    assert_eq!(claimed, ClaimAnswer::Claimed { tries: 1 });
    let state = world.state(id).await;
    assert_eq!((state.counts.done, state.in_flight()), (1, 1));
}

#[tokio::test]
async fn nothing_is_claimed_after_a_change_was_answered() {
    let world = World::new();
    let id = world.create(|_, _| {}).await;
    world.claim(id, 1).await;
    let revision = world.state(id).await.revision;
    let write = change(&world, id, revision, Change::Cancel { because: None });
    let repeated = write.clone();
    let ChangeAnswer::Done { in_flight, .. } = world.store.change(write).await.unwrap() else {
        panic!("it runs, and may be cancelled");
    };
    assert_eq!(in_flight, 1);
    let again = world.store.change(repeated).await.unwrap();
    assert!(matches!(again, ChangeAnswer::Done { in_flight: 1, .. }), "the same answer as the first");
    assert_eq!(world.claim(id, 2).await.0, ClaimAnswer::Stale);
    assert_eq!(world.crash().state(id).await.status, Status::Canceled);
}

#[tokio::test]
async fn a_change_made_from_an_older_state_conflicts_and_holds_nothing_back() {
    let world = World::new();
    let id = world.create(|_, _| {}).await;
    let old = world.state(id).await.revision;
    world.claim(id, 1).await;
    let write = change(&world, id, old, Change::Pause);
    assert_eq!(world.store.change(write).await.unwrap(), ChangeAnswer::Conflict);
    assert_eq!(world.claim(id, 2).await.0, ClaimAnswer::Claimed { tries: 1 });
}

#[tokio::test]
async fn a_plan_with_missed_runs_leaves_their_record() {
    let world = World::new();
    let id = world.create(|_, _| {}).await;
    let run = |number| Mark { number, at: at(u64::from(number) * 1000) };
    let plan = Plan {
        spread: Span::ZERO,
        send: Vec::new(),
        missed: vec![MissedRun { from: run(1), to: run(5) }],
        planned: 5,
        exhausted: false,
        next_wake: Some(at(6000)),
        look_again_at: Some(at(6000)),
        look_when_idle: None,
        next_due: Some(at(6000)),
    };
    let version = world.state(id).await.version;
    let write = PlanWrite { id, if_version: version, token: world.token(), plan, far_wake: None };
    let saved = world.store.save_plan(write.clone(), at(5500), false).await.unwrap();
    assert!(saved.unwrap().applied);
    assert!(
        world.store.save_plan(write.clone(), at(5500), false).await.unwrap().unwrap().applied,
        "the same token"
    );
    let other = PlanWrite { token: world.token(), ..write };
    assert_eq!(world.store.save_plan(other, at(5500), false).await.unwrap(), None, "another version by now");
    let world = world.crash();
    let record = world.store.execution(id.execution(1, NO_SLOT)).await.unwrap().unwrap();
    assert_eq!((record.status, record.through), (ExecutionStatus::Missed, Some(5)));
    assert_eq!(world.state(id).await.counts.missed, 5);
}

#[tokio::test]
async fn a_waiting_execution_is_attempted_by_one_at_a_time_and_keeps_its_comment() {
    let world = World::new();
    let schedule = world.create(|_, _| {}).await;
    let (_, token) = world.claim(schedule, 1).await;
    world.record(world.outcome(schedule, 1, token, ExecutionStatus::Waiting)).await.unwrap();
    assert_eq!(world.state(schedule).await.waiting, 1);
    let id = schedule.execution(1, NO_SLOT);
    let lease = Span::from_secs(60);
    let claim = |token, now| world.store.claim_attempt(id, token, at(0).plus(lease), now);
    let (one, two) = (world.token(), world.token());
    assert_eq!(claim(one, at(0)).await.unwrap(), AttemptClaim::NotYet(at(5000)));
    assert_eq!(world.store.waiting(at(4999), 10).await.unwrap(), []);
    assert_eq!(world.store.waiting(at(5000), 10).await.unwrap(), [id]);
    assert!(matches!(claim(one, at(5000)).await.unwrap(), AttemptClaim::Claimed { tries: 1, .. }));
    assert!(matches!(claim(one, at(5000)).await.unwrap(), AttemptClaim::Claimed { tries: 1, .. }));
    assert_eq!(claim(two, at(5000)).await.unwrap(), AttemptClaim::HeldUntil(at(60_000)));
    assert_eq!(world.store.waiting(at(5000), 10).await.unwrap(), [], "it is held");
    assert!(matches!(claim(two, at(60_000)).await.unwrap(), AttemptClaim::Claimed { tries: 2, .. }));
    let late = world.outcome(schedule, 1, one, ExecutionStatus::Succeeded);
    assert!(!world.store.close_attempt(late).await.unwrap().applied, "its claim is gone");
    assert!(world.store.comment(id, "seen").await.unwrap());
    let write = world.outcome(schedule, 1, two, ExecutionStatus::Succeeded);
    assert!(world.store.close_attempt(write.clone()).await.unwrap().applied);
    assert!(world.store.close_attempt(write).await.unwrap().applied, "the same answer as the first");
    assert_eq!(claim(world.token(), at(70_000)).await.unwrap(), AttemptClaim::NotWaiting);
    let record = world.store.execution(id).await.unwrap().unwrap();
    assert_eq!((record.status, record.comment.as_deref()), (ExecutionStatus::Succeeded, Some("seen")));
    let state = world.state(schedule).await;
    assert_eq!((state.waiting, state.counts.done), (0, 1));
}

#[tokio::test]
async fn a_change_drops_what_waits() {
    let world = World::new();
    let schedule = world.create(|_, _| {}).await;
    let (_, token) = world.claim(schedule, 1).await;
    world.record(world.outcome(schedule, 1, token, ExecutionStatus::Waiting)).await.unwrap();
    let Schedule { state, .. } = world.store.load(schedule).await.unwrap().unwrap();
    world.store.change(change(&world, schedule, state.revision, Change::Pause)).await.unwrap();
    let id = schedule.execution(1, NO_SLOT);
    let claimed = world.store.claim_attempt(id, world.token(), at(9000), at(6000)).await.unwrap();
    assert!(matches!(claimed, AttemptClaim::ClaimedToDrop { .. }));
}

#[tokio::test]
async fn a_run_by_hand_opens_once() {
    let world = World::new();
    let schedule = world.create(|_, _| {}).await;
    let mut write = world.outcome(schedule, 1 << 31, world.token(), ExecutionStatus::Waiting).execution;
    assert!(world.store.open(&write, false).await.unwrap());
    assert!(world.store.open(&write, false).await.unwrap(), "one's own token");
    write.token = world.token();
    assert!(!world.store.open(&write, false).await.unwrap(), "another's");
    assert!(!world.store.open(&write, true).await.unwrap(), "it is not over");
    let state = world.state(schedule).await;
    assert_eq!((state.waiting, state.manual_runs), (1, 1));
}

/// On several threads: claims that race with a cancellation come before its answer, and are counted in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn claims_that_race_with_a_cancellation_come_before_its_answer() {
    let world = std::sync::Arc::new(World::new());
    for _ in 0..20 {
        let id = world.create(|_, _| {}).await;
        let claiming: Vec<_> = (0..4)
            .map(|part| {
                let world = std::sync::Arc::clone(&world);
                tokio::spawn(async move {
                    let mut claimed = 0;
                    for number in (1 + part * 1000)..(part * 1000 + 1000) {
                        match world.claim(id, number).await.0 {
                            ClaimAnswer::Claimed { .. } => claimed += 1,
                            ClaimAnswer::Stale => break,
                            other => panic!("{other:?}"),
                        }
                    }
                    claimed
                })
            })
            .collect();
        let in_flight = loop {
            let revision = world.state(id).await.revision;
            let cancel = change(&world, id, revision, Change::Cancel { because: None });
            match world.store.change(cancel).await.unwrap() {
                ChangeAnswer::Done { in_flight, .. } => break in_flight,
                ChangeAnswer::Conflict => {}
                other => panic!("{other:?}"),
            }
        };
        let mut claimed = 0;
        for part in claiming {
            claimed += part.await.unwrap();
        }
        assert_eq!(claimed, in_flight);
    }
}
