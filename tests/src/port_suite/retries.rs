//! Executions that wait for an attempt: retries, runs by hand, redeliveries.

use super::{Suite, at, insist, key};
use rondo_domain::{
    change::Change,
    execution::{AttemptClaim, Execution, ExecutionStatus, Round},
    ids::{ExecutionId, FIRST_MANUAL_NUMBER, ScheduleId, Token},
    ports::CloseWrite,
    state::{Closing, Status},
    time::{Span, Timestamp},
};

const LEASE: Span = Span::from_secs(75);

async fn claim(suite: &Suite, id: ExecutionId, token: Token, now: Timestamp) -> AttemptClaim {
    insist(|| suite.stores.executions.claim_attempt(id, token, now.plus(LEASE), now)).await
}

/// Number 1 has failed once and waits until five seconds after `now`.
async fn waiting(suite: &Suite, id: ScheduleId, now: Timestamp) -> ExecutionId {
    suite.run(id, 1, ExecutionStatus::Waiting, now).await;
    id.execution(1, 0)
}

fn outcome(mut execution: Execution, token: Token, status: ExecutionStatus, now: Timestamp) -> CloseWrite {
    execution.status = status;
    execution.token = token;
    execution.claim = None;
    execution.next_attempt_at = None;
    let closing = match status {
        ExecutionStatus::Waiting => {
            execution.next_attempt_at = Some(now.plus(Span::from_secs(5)));
            Closing::Waiting
        }
        over => Closing::Over(over),
    };
    CloseWrite { execution, closing, last_status: Some(200), now, tell_end: false }
}

pub async fn a_waiting_execution_gets_its_outcome_once(suite: &Suite) {
    let id = suite.limited(&key("one"), 1).await;
    let execution = waiting(suite, id, at(0)).await;
    let state = suite.state(id).await;
    assert_eq!((state.waiting, state.counts.done, state.claims.len()), (1, 0, 0));
    assert_eq!(state.status, Status::Active, "it is not over yet");
    let (first, second) = (suite.token(), suite.token());
    assert_eq!(claim(suite, execution, first, at(1)).await, AttemptClaim::NotYet(at(5)));
    let answer = claim(suite, execution, first, at(5)).await;
    let AttemptClaim::Claimed { execution: record, tries: 1 } = answer else { panic!("{answer:?}") };
    let held = claim(suite, execution, second, at(6)).await;
    assert!(matches!(held, AttemptClaim::HeldUntil(_)), "{held:?}");
    // Once more it fails, and waits.
    let write = outcome(record, first, ExecutionStatus::Waiting, at(6));
    assert!(insist(|| suite.stores.executions.close_attempt(write.clone())).await.applied);
    assert_eq!(suite.state(id).await.waiting, 1);
    let answer = claim(suite, execution, second, at(11)).await;
    let AttemptClaim::Claimed { execution: record, tries: 1 } = answer else { panic!("{answer:?}") };
    let write = outcome(record.clone(), Token(u64::MAX), ExecutionStatus::Failed, at(12));
    assert!(!insist(|| suite.stores.executions.close_attempt(write.clone())).await.applied, "not its claim");
    let write = outcome(record, second, ExecutionStatus::Succeeded, at(12));
    let closed = insist(|| suite.stores.executions.close_attempt(write.clone())).await;
    assert!(closed.applied && closed.finished);
    insist(|| suite.stores.executions.close_attempt(write.clone())).await;
    let state = suite.state(id).await;
    assert_eq!((state.waiting, state.counts.done, state.status), (0, 1, Status::Finished));
    assert_eq!(claim(suite, execution, suite.token(), at(20)).await, AttemptClaim::NotWaiting);
    let none = id.execution(7, 0);
    assert_eq!(claim(suite, none, suite.token(), at(20)).await, AttemptClaim::NotWaiting);
}

pub async fn a_change_drops_what_waits(suite: &Suite) {
    let id = suite.schedule(&key("one")).await;
    let execution = waiting(suite, id, at(0)).await;
    let cancel = suite.change(&suite.state(id).await, Change::Cancel { because: None }, at(1));
    insist(|| suite.stores.schedules.change(cancel.clone())).await;
    let token = suite.token();
    let answer = claim(suite, execution, token, at(5)).await;
    let AttemptClaim::ClaimedToDrop { execution: record } = answer else { panic!("{answer:?}") };
    let write = outcome(record, token, ExecutionStatus::Failed, at(5));
    assert!(insist(|| suite.stores.executions.close_attempt(write.clone())).await.applied);
    let state = suite.state(id).await;
    assert_eq!((state.waiting, state.counts.done, state.counts.failed), (0, 1, 1));
}

pub async fn a_lapsed_attempt_is_taken_over(suite: &Suite) {
    if !suite.leases_lapse {
        return;
    }
    let id = suite.schedule(&key("one")).await;
    let execution = waiting(suite, id, at(0)).await;
    let first = suite.token();
    let answer = claim(suite, execution, first, at(5)).await;
    let AttemptClaim::Claimed { execution: record, .. } = answer else { panic!("{answer:?}") };
    let second = suite.token();
    let answer = claim(suite, execution, second, at(5).plus(LEASE)).await;
    assert!(matches!(answer, AttemptClaim::Claimed { tries: 2, .. }), "{answer:?}");
    let late = outcome(record, first, ExecutionStatus::Succeeded, at(90));
    assert!(!insist(|| suite.stores.executions.close_attempt(late.clone())).await.applied);
    assert_eq!(suite.state(id).await.waiting, 1);
}

pub async fn a_run_by_hand_counts_nowhere(suite: &Suite) {
    let app = key("one");
    let id = suite.schedule(&app).await;
    let execution = id.execution(FIRST_MANUAL_NUMBER, 0);
    let mut record = Execution::new(execution, app, 1, at(3), at(3), suite.token());
    record.status = ExecutionStatus::Waiting;
    record.next_attempt_at = Some(at(3));
    assert!(insist(|| suite.stores.executions.open(&record, false)).await);
    assert_eq!((suite.state(id).await.manual_runs, suite.state(id).await.waiting), (1, 1));
    let mut taken = record.clone();
    taken.token = suite.token();
    assert!(!insist(|| suite.stores.executions.open(&taken, false)).await, "the number is taken");
    let token = suite.token();
    let answer = claim(suite, execution, token, at(3)).await;
    let AttemptClaim::Claimed { execution: claimed, tries: 1 } = answer else { panic!("{answer:?}") };
    let write = outcome(claimed, token, ExecutionStatus::Failed, at(4));
    assert!(insist(|| suite.stores.executions.close_attempt(write.clone())).await.applied);
    let state = suite.state(id).await;
    assert_eq!((state.waiting, state.counts.done, state.counts.failed), (0, 0, 0));
}

pub async fn a_redelivery_changes_the_outcome_not_the_count(suite: &Suite) {
    let id = suite.schedule(&key("one")).await;
    suite.run(id, 1, ExecutionStatus::Failed, at(0)).await;
    let execution = id.execution(1, 0);
    let mut record = suite.stores.executions.execution(execution).await.expect("a read").expect("a record");
    record.counted_as = Some(ExecutionStatus::Failed);
    record.round = Some(Round { since: at(50), attempts_before: 1 });
    record.status = ExecutionStatus::Waiting;
    record.next_attempt_at = Some(at(50));
    record.token = suite.token();
    assert!(!insist(|| suite.stores.executions.open(&record, false)).await, "there is a record already");
    assert!(insist(|| suite.stores.executions.open(&record, true)).await);
    let mut second = record.clone();
    second.token = suite.token();
    assert!(!insist(|| suite.stores.executions.open(&second, true)).await, "it is open already");
    assert_eq!(suite.state(id).await.waiting, 1);
    let token = suite.token();
    let answer = claim(suite, execution, token, at(50)).await;
    let AttemptClaim::Claimed { execution: claimed, tries: 1 } = answer else { panic!("{answer:?}") };
    let write = outcome(claimed, token, ExecutionStatus::Succeeded, at(51));
    assert!(insist(|| suite.stores.executions.close_attempt(write.clone())).await.applied);
    let state = suite.state(id).await;
    assert_eq!((state.waiting, state.counts.done, state.counts.failed), (0, 1, 0));
}

pub async fn waiting_ones_are_found(suite: &Suite) {
    let (one, two) = (suite.schedule(&key("one")).await, suite.schedule(&key("one")).await);
    let late = waiting(suite, one, at(20)).await;
    let early = waiting(suite, two, at(0)).await;
    let found = |at| suite.stores.executions.waiting(at, 10);
    assert!(found(at(4)).await.expect("a read").is_empty());
    assert_eq!(found(at(5)).await.expect("a read"), [early]);
    assert_eq!(found(at(25)).await.expect("a read"), [early, late]);
    claim(suite, early, suite.token(), at(25)).await;
    assert_eq!(found(at(26)).await.expect("a read"), [late], "the other one is held");
}
