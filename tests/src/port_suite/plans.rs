//! Plans, looks, and the end that is to be told.

use super::{Suite, at, insist, key};
use rondo_domain::{
    change::Change,
    execution::ExecutionStatus,
    plan::MissedRun,
    state::{ClaimAnswer, Mark, Status},
    time::Span,
};

pub async fn a_plan_is_saved_over_its_version_alone(suite: &Suite) {
    let id = suite.schedule(&key("one")).await;
    let state = suite.state(id).await;
    let mut first = suite.plan(&state);
    first.plan.planned = 4;
    let second = suite.plan(&state);
    let saved = insist(|| suite.stores.states.save_plan(first.clone(), at(1), false)).await;
    assert!(saved.is_some_and(|saved| saved.applied && !saved.finished));
    let known = suite.state(id).await;
    assert_eq!((known.planned, known.look_again_at), (4, Some(at(600))));
    assert_eq!(insist(|| suite.stores.states.save_plan(second.clone(), at(1), false)).await, None);
    // Claims and outcomes are no reason to plan again.
    let third = suite.plan(&known);
    suite.run(id, 1, ExecutionStatus::Succeeded, at(0)).await;
    assert!(insist(|| suite.stores.states.save_plan(third.clone(), at(2), false)).await.is_some());
    let known = suite.state(id).await;
    assert_eq!(known.counts.done, 1, "a plan touches no counter");
    // A change is.
    let fourth = suite.plan(&known);
    let pause = suite.change(&known, Change::Pause, at(3));
    insist(|| suite.stores.schedules.change(pause.clone())).await;
    assert_eq!(insist(|| suite.stores.states.save_plan(fourth.clone(), at(3), false)).await, None);
}

fn run(from: u32, to: u32) -> MissedRun {
    let mark = |number: u32| Mark { number, at: at(u64::from(number - 1) * 10) };
    MissedRun { from: mark(from), to: mark(to) }
}

pub async fn missed_runs_are_one_record(suite: &Suite) {
    let id = suite.schedule(&key("one")).await;
    let mut write = suite.plan(&suite.state(id).await);
    write.plan.missed = vec![run(1, 3), run(5, 5)];
    write.plan.planned = 5;
    insist(|| suite.stores.states.save_plan(write.clone(), at(100), false)).await.expect("saved");
    let state = suite.state(id).await;
    assert_eq!((state.counts.done, state.counts.missed, state.anchor.number), (4, 4, 3));
    let record = |number| suite.stores.executions.execution(id.execution(number, 0));
    let first = record(1).await.expect("a read").expect("a record");
    assert_eq!((first.status, first.through, first.nominal_at), (ExecutionStatus::Missed, Some(3), at(0)));
    assert!(record(2).await.expect("a read").is_none(), "one record stands for the run");
    let single = record(5).await.expect("a read").expect("a record");
    assert_eq!((single.status, single.last_number()), (ExecutionStatus::Missed, 5));
    let ask = suite.ask(id, 2, at(100));
    assert_eq!(insist(|| suite.stores.states.claim(&ask, at(100))).await, ClaimAnswer::AlreadyClosed);
}

pub async fn a_plan_may_finish(suite: &Suite) {
    let id = suite.limited(&key("one"), 2).await;
    let mut write = suite.plan(&suite.state(id).await);
    write.plan.missed = vec![run(1, 2)];
    write.plan.planned = 2;
    write.plan.exhausted = true;
    let saved = insist(|| suite.stores.states.save_plan(write.clone(), at(100), false)).await;
    assert!(saved.is_some_and(|saved| saved.finished));
    let state = suite.state(id).await;
    assert_eq!((state.status, state.look_again_at, state.untold), (Status::Finished, None, false));
}

/// A claim may have come of a message whose plan was never saved: it is running, not missed.
pub async fn a_plan_never_closes_what_is_claimed(suite: &Suite) {
    let id = suite.schedule(&key("one")).await;
    let mut write = suite.plan(&suite.state(id).await);
    write.plan.missed = vec![run(1, 3)];
    suite.claim(id, 2, at(100)).await;
    assert_eq!(insist(|| suite.stores.states.save_plan(write.clone(), at(100), false)).await, None);
    assert_eq!(suite.state(id).await.counts.done, 0);
}

pub async fn overdue_ones_come_most_overdue_first(suite: &Suite) {
    let app = key("one");
    let mut ids = Vec::new();
    for look in [30, 10, 20, 99] {
        let mut new = suite.draft(&app);
        new.state.look_again_at = Some(at(look));
        ids.push(suite.create(new).await);
    }
    let overdue = |limit| suite.stores.schedules.overdue(at(30), limit);
    assert_eq!(overdue(10).await.expect("a read"), [ids[1], ids[2], ids[0]]);
    assert_eq!(overdue(1).await.expect("a read"), [ids[1]]);
}

pub async fn looking_later_doubles(suite: &Suite) {
    let id = suite.schedule(&key("one")).await;
    let grace = Span::from_secs(100);
    let later = |now| async move {
        // Not asked twice: the second time it is not overdue any more.
        let _ = suite.stores.schedules.look_later(id, grace, now).await;
        suite.state(id).await.look_again_at
    };
    assert_eq!(later(at(59)).await, Some(at(60)), "it is not overdue");
    assert_eq!(later(at(60)).await, Some(at(160)));
    assert_eq!(later(at(160)).await, Some(at(360)));
    let write = suite.plan(&suite.state(id).await);
    insist(|| suite.stores.states.save_plan(write.clone(), at(361), false)).await.expect("saved");
    assert_eq!(later(at(600)).await, Some(at(700)), "a plan begins anew");
}

pub async fn telling_the_end_ends_the_look(suite: &Suite) {
    let id = suite.limited(&key("one"), 1).await;
    let token = suite.claim(id, 1, at(0)).await;
    let mut write = suite.write(id, 1, token, ExecutionStatus::Succeeded, at(1)).await;
    write.tell_end = true;
    let closed = insist(|| suite.stores.states.close(write.clone())).await;
    assert!(closed.finished);
    assert!(suite.state(id).await.untold);
    let overdue = || suite.stores.schedules.overdue(at(1000), 10);
    assert_eq!(overdue().await.expect("a read"), [id], "somebody still has to tell");
    insist(|| suite.stores.states.told(id)).await;
    let state = suite.state(id).await;
    assert_eq!((state.untold, state.look_again_at, state.status), (false, None, Status::Finished));
    assert!(overdue().await.expect("a read").is_empty());
    // A cancel that ends it is told in the same way.
    let id = suite.schedule(&key("one")).await;
    let mut cancel = suite.change(&suite.state(id).await, Change::Cancel { because: None }, at(2));
    cancel.tell_end = true;
    insist(|| suite.stores.schedules.change(cancel.clone())).await;
    assert!(suite.state(id).await.untold);
    assert_eq!(overdue().await.expect("a read"), [id]);
}
