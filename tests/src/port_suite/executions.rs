//! Claiming and closing occurrences, and their records.

use super::{Suite, at, insist, key};
use rondo_domain::{
    execution::{Execution, ExecutionStatus},
    ids::{ExecutionId, ScheduleId, Token},
    policy::Overlap,
    ports::ExecutionQuery,
    state::{ClaimAnswer, ClaimAsk, Status},
    time::{Span, Timestamp},
};

async fn claim(suite: &Suite, ask: &ClaimAsk, now: Timestamp) -> ClaimAnswer {
    insist(|| suite.stores.states.claim(ask, now)).await
}

pub async fn a_number_is_claimed_once(suite: &Suite) {
    let id = suite.schedule(&key("one")).await;
    let mine = suite.ask(id, 1, at(0));
    assert_eq!(claim(suite, &mine, at(0)).await, ClaimAnswer::Claimed { tries: 1 });
    assert_eq!(claim(suite, &mine, at(1)).await, ClaimAnswer::Claimed { tries: 1 }, "it is one's own");
    let other = suite.ask(id, 1, at(1));
    assert_eq!(claim(suite, &other, at(1)).await, ClaimAnswer::HeldUntil(mine.lease_until));
    let mut stale = suite.ask(id, 2, at(10));
    stale.generation = 0;
    assert_eq!(claim(suite, &stale, at(10)).await, ClaimAnswer::Stale);
    let write = suite.write(id, 1, mine.token, ExecutionStatus::Succeeded, at(2)).await;
    insist(|| suite.stores.states.close(write.clone())).await;
    assert_eq!(claim(suite, &other, at(3)).await, ClaimAnswer::AlreadyClosed);
}

pub async fn a_lapsed_claim_is_taken_over(suite: &Suite) {
    if !suite.leases_lapse {
        return;
    }
    let id = suite.schedule(&key("one")).await;
    let mut now = at(0);
    let first = suite.ask(id, 1, now);
    claim(suite, &first, now).await;
    for tries in 2..=3 {
        now = now.plus(Span::from_secs(76));
        assert_eq!(claim(suite, &suite.ask(id, 1, now), now).await, ClaimAnswer::Claimed { tries });
    }
    now = now.plus(Span::from_secs(76));
    let last = suite.ask(id, 1, now);
    assert_eq!(claim(suite, &last, now).await, ClaimAnswer::ClaimedToAbandon);
    let late = suite.write(id, 1, first.token, ExecutionStatus::Succeeded, now).await;
    assert!(!insist(|| suite.stores.states.close(late.clone())).await.applied, "its claim is another's");
    let write = suite.write(id, 1, last.token, ExecutionStatus::Failed, now).await;
    assert!(insist(|| suite.stores.states.close(write.clone())).await.applied);
    assert_eq!((suite.state(id).await.counts.done, suite.state(id).await.counts.failed), (1, 1));
}

pub async fn overlap_skips(suite: &Suite) {
    let id = suite.schedule(&key("one")).await;
    suite.claim(id, 1, at(0)).await;
    let mut second = suite.ask(id, 2, at(10));
    second.overlap = Overlap::Skip;
    assert_eq!(claim(suite, &second, at(10)).await, ClaimAnswer::ClaimedToSkip);
    assert_eq!(suite.state(id).await.in_flight(), 1, "what is skipped is not in flight");
    let write = suite.write(id, 2, second.token, ExecutionStatus::Skipped, at(10)).await;
    assert!(insist(|| suite.stores.states.close(write.clone())).await.applied);
    assert_eq!(suite.state(id).await.counts.skipped, 1);
}

pub async fn closing_counts_once(suite: &Suite) {
    let id = suite.schedule(&key("one")).await;
    let token = suite.claim(id, 1, at(0)).await;
    let write = suite.write(id, 1, token, ExecutionStatus::Failed, at(1)).await;
    for _ in 0..3 {
        let closed = insist(|| suite.stores.states.close(write.clone())).await;
        assert!(!closed.finished);
    }
    let state = suite.state(id).await;
    assert_eq!((state.counts.done, state.counts.failed, state.claims.len()), (1, 1, 0));
    assert_eq!((state.status, state.last_status), (Status::Active, Some(500)));
    assert_eq!(state.first_sent_at, Some(at(1)));
    let record = suite.stores.executions.execution(id.execution(1, 0)).await.expect("a read");
    assert_eq!(record, Some(write.execution), "as it was written");
}

pub async fn the_last_close_finishes(suite: &Suite) {
    let id = suite.limited(&key("one"), 2).await;
    suite.run(id, 2, ExecutionStatus::Succeeded, at(10)).await;
    let state = suite.state(id).await;
    assert_eq!((state.status, state.anchor.number), (Status::Active, 0), "the first is still to come");
    let token = suite.claim(id, 1, at(11)).await;
    let write = suite.write(id, 1, token, ExecutionStatus::Succeeded, at(11)).await;
    let closed = insist(|| suite.stores.states.close(write.clone())).await;
    assert!(closed.applied && closed.finished);
    let state = suite.state(id).await;
    assert_eq!((state.status, state.anchor.number, state.look_again_at), (Status::Finished, 2, None));
    assert_eq!((state.ended_at, state.untold), (Some(at(11)), false));
}

pub async fn a_wrong_token_closes_nothing(suite: &Suite) {
    let id = suite.schedule(&key("one")).await;
    suite.claim(id, 1, at(0)).await;
    let wrong = suite.write(id, 1, Token(u64::MAX), ExecutionStatus::Succeeded, at(1)).await;
    assert!(!insist(|| suite.stores.states.close(wrong.clone())).await.applied);
    let unclaimed = suite.write(id, 2, Token(u64::MAX), ExecutionStatus::Succeeded, at(1)).await;
    assert!(!insist(|| suite.stores.states.close(unclaimed.clone())).await.applied);
    let state = suite.state(id).await;
    assert_eq!((state.counts.done, state.claims.len()), (0, 1));
    for number in [1, 2] {
        let record = suite.stores.executions.execution(id.execution(number, 0)).await.expect("a read");
        assert_eq!(record, None, "an outcome that does not count is not on record");
    }
}

async fn paged(
    suite: &Suite,
    schedule: ScheduleId,
    status: Option<ExecutionStatus>,
    newest_first: bool,
    limit: usize,
) -> Vec<u32> {
    let mut after: Option<ExecutionId> = None;
    let mut numbers = Vec::new();
    for _ in 0..100 {
        let query = ExecutionQuery { schedule, status, newest_first, after, limit };
        let page = suite.stores.executions.executions(&query).await.expect("a read");
        assert!(page.items.len() <= limit);
        numbers.extend(page.items.iter().map(|record: &Execution| record.id.number));
        match page.next {
            Some(next) => after = Some(next),
            None => return numbers,
        }
    }
    panic!("the pages have no end");
}

pub async fn records_are_paged_both_ways(suite: &Suite) {
    let (id, other) = (suite.schedule(&key("one")).await, suite.schedule(&key("one")).await);
    for number in 1..=5 {
        let status = if number % 2 == 0 { ExecutionStatus::Failed } else { ExecutionStatus::Succeeded };
        suite.run(id, number, status, at(u64::from(number) * 10)).await;
    }
    suite.run(other, 1, ExecutionStatus::Failed, at(0)).await;
    for limit in [1, 2, 5, 50] {
        assert_eq!(paged(suite, id, None, true, limit).await, [5, 4, 3, 2, 1]);
        assert_eq!(paged(suite, id, None, false, limit).await, [1, 2, 3, 4, 5]);
        assert_eq!(paged(suite, id, Some(ExecutionStatus::Failed), true, limit).await, [4, 2]);
    }
    assert!(paged(suite, id, Some(ExecutionStatus::Waiting), true, 2).await.is_empty());
}

pub async fn a_comment_is_kept(suite: &Suite) {
    let id = suite.schedule(&key("one")).await;
    suite.run(id, 1, ExecutionStatus::Succeeded, at(0)).await;
    let execution = id.execution(1, 0);
    assert!(insist(|| suite.stores.executions.comment(execution, "seen")).await);
    let record = suite.stores.executions.execution(execution).await.expect("a read").expect("a record");
    assert_eq!(record.comment.as_deref(), Some("seen"));
    assert!(!insist(|| suite.stores.executions.comment(id.execution(9, 0), "none")).await);
}
