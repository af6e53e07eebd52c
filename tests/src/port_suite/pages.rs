//! Pages: executions of their own within one occurrence.

use super::{Suite, at, insist, key};
use futures_util::future::join_all;
use rondo_domain::{
    change::Change,
    execution::{AttemptClaim, Execution, ExecutionStatus},
    ids::{ExecutionId, ScheduleId},
    ports::{CloseWrite, ExecutionQuery},
    push::fan_out::{Bounds, Page, PageKind, PushRecord, Range},
    state::{Closed, Status},
    time::{Span, Timestamp},
};

const LEASE: Span = Span::from_secs(75);

/// Of the first occurrence, waiting for `due`.
fn page(suite: &Suite, schedule: ScheduleId, slot: u8, page: u16, due: Timestamp) -> Execution {
    let id = schedule.execution(1, 0).page(slot, page);
    let mut record = Execution::new(id, key("one"), 1, at(0), due, suite.token());
    record.status = ExecutionStatus::Waiting;
    record.next_attempt_at = Some(due);
    record.push = Some(Box::new(PushRecord::Page(Page {
        bounds: Bounds { after: Some("Europe/Madrid|19".to_owned()), through: None },
        range: Range::part(page % 3, 3),
        kind: PageKind::Audience,
        result: Default::default(),
        failures: 0,
    })));
    record
}

async fn open(suite: &Suite, pages: &[Execution]) {
    insist(|| suite.stores.executions.open_pages(pages)).await;
}

async fn record(suite: &Suite, id: ExecutionId) -> Option<Execution> {
    suite.stores.executions.execution(id).await.expect("a read")
}

/// Claims what waits, and closes it.
async fn attempt(suite: &Suite, id: ExecutionId, status: ExecutionStatus, now: Timestamp) -> Closed {
    let token = suite.token();
    let claim = || suite.stores.executions.claim_attempt(id, token, now.plus(LEASE), now);
    let mut record = match insist(claim).await {
        AttemptClaim::Claimed { execution, tries: 1 } | AttemptClaim::ClaimedToDrop { execution } => {
            execution
        }
        other => panic!("{other:?}"),
    };
    record.status = status;
    record.token = token;
    record.claim = None;
    let waits = status == ExecutionStatus::Waiting;
    record.next_attempt_at = waits.then(|| now.plus(Span::from_secs(5)));
    let write = CloseWrite::of(&record, now, false);
    let closed = insist(|| suite.stores.executions.close_attempt(write.clone())).await;
    assert!(closed.applied);
    closed
}

pub async fn pages_are_opened_once(suite: &Suite) {
    let id = suite.schedule(&key("one")).await;
    open(suite, &[]).await;
    assert_eq!(suite.state(id).await.waiting, 0);
    let first: Vec<_> = (1..=3).map(|number| page(suite, id, 52, number, at(10))).collect();
    open(suite, &first).await;
    assert_eq!(suite.state(id).await.waiting, 3);
    assert_eq!(record(suite, first[1].id).await.as_ref(), Some(&first[1]), "as it was written");
    open(suite, &first).await;
    assert_eq!(suite.state(id).await.waiting, 3);
    attempt(suite, first[0].id, ExecutionStatus::Succeeded, at(10)).await;
    // Whoever goes on after a crash opens them all: some wait, one is over, two are new.
    let again: Vec<_> = (1..=5).map(|number| page(suite, id, 52, number, at(99))).collect();
    open(suite, &again).await;
    let state = suite.state(id).await;
    assert_eq!((state.waiting, state.counts.done), (4, 0));
    let over = record(suite, first[0].id).await.expect("a record");
    assert_eq!(over.status, ExecutionStatus::Succeeded);
    assert_eq!(record(suite, first[1].id).await.as_ref(), Some(&first[1]), "never over another");
    assert_eq!(record(suite, again[4].id).await.as_ref(), Some(&again[4]));
}

pub async fn many_open_the_same_pages(suite: &Suite) {
    let id = suite.schedule(&key("one")).await;
    let mine: Vec<Vec<_>> = (0..5u16)
        .map(|who| (1 + who..=10 + who).map(|number| page(suite, id, 0, number, at(10))).collect())
        .collect();
    join_all(mine.iter().map(|pages| open(suite, pages))).await;
    assert_eq!(suite.state(id).await.waiting, 14, "each is counted once");
}

async fn listed(suite: &Suite, schedule: ScheduleId, newest_first: bool, limit: usize) -> Vec<ExecutionId> {
    let mut ids = Vec::new();
    let mut after = None;
    for _ in 0..100 {
        let query = ExecutionQuery { schedule, status: None, newest_first, after, limit };
        let page = suite.stores.executions.executions(&query).await.expect("a read");
        assert!(page.items.len() <= limit);
        ids.extend(page.items.iter().map(|record| record.id));
        match page.next {
            Some(next) => after = Some(next),
            None => return ids,
        }
    }
    panic!("the pages have no end");
}

pub async fn pages_are_listed_after_their_occurrence(suite: &Suite) {
    let id = suite.schedule(&key("one")).await;
    suite.run(id, 1, ExecutionStatus::Waiting, at(0)).await;
    suite.run(id, 2, ExecutionStatus::Succeeded, at(10)).await;
    let places = [(0, 1), (0, 9), (0, 10), (0, u16::MAX), (9, 2), (10, 1), (52, 3), (255, u16::MAX)];
    let pages = places.map(|(slot, number)| page(suite, id, slot, number, at(10)));
    let mut shuffled = pages.to_vec();
    shuffled.rotate_left(3);
    open(suite, &shuffled).await;
    let mut expected = vec![id.execution(1, 0)];
    expected.extend(pages.iter().map(|page| page.id));
    expected.push(id.execution(2, 0));
    for limit in [1, 3, 50] {
        assert_eq!(listed(suite, id, false, limit).await, expected, "{limit} at a time");
    }
    expected.reverse();
    for limit in [1, 3, 50] {
        assert_eq!(listed(suite, id, true, limit).await, expected, "{limit} at a time");
    }
    assert!(insist(|| suite.stores.executions.comment(pages[3].id, "seen")).await);
    let comment = async |id| record(suite, id).await.expect("a record").comment;
    assert_eq!(comment(pages[3].id).await.as_deref(), Some("seen"));
    assert_eq!(comment(pages[2].id).await, None);
}

pub async fn a_page_is_told_for_itself(suite: &Suite) {
    let id = suite.schedule(&key("one")).await;
    suite.run(id, 1, ExecutionStatus::Waiting, at(0)).await;
    let (early, late) = (page(suite, id, 48, 1, at(20)), page(suite, id, 40, 2, at(7200)));
    open(suite, &[early.clone(), late.clone()]).await;
    assert_eq!(suite.state(id).await.waiting, 3, "the occurrence waits, too");
    let found = |at| suite.stores.executions.waiting(at, 10);
    assert_eq!(found(at(20)).await.expect("a read"), [id.execution(1, 0), early.id]);
    assert_eq!(found(at(7200)).await.expect("a read").last(), Some(&late.id));
    let token = suite.token();
    let soon = insist(|| suite.stores.executions.claim_attempt(late.id, token, at(99), at(20))).await;
    assert_eq!(soon, AttemptClaim::NotYet(at(7200)));
    attempt(suite, early.id, ExecutionStatus::Waiting, at(20)).await;
    assert_eq!(suite.state(id).await.waiting, 3, "it comes back");
    let closed = attempt(suite, early.id, ExecutionStatus::Failed, at(25)).await;
    assert!(!closed.finished);
    let state = suite.state(id).await;
    assert_eq!((state.waiting, state.counts.done, state.counts.failed), (2, 0, 0), "it counts nowhere");
    let answer =
        insist(|| suite.stores.executions.claim_attempt(early.id, suite.token(), at(99), at(30))).await;
    assert_eq!(answer, AttemptClaim::NotWaiting);
    assert_eq!(record(suite, id.execution(1, 0)).await.expect("a record").status, ExecutionStatus::Waiting);
}

pub async fn pages_hold_up_the_end(suite: &Suite) {
    let id = suite.limited(&key("one"), 1).await;
    suite.run(id, 1, ExecutionStatus::Waiting, at(0)).await;
    let pages = [page(suite, id, 48, 1, at(20)), page(suite, id, 44, 2, at(3620))];
    open(suite, &pages).await;
    assert!(!attempt(suite, pages[0].id, ExecutionStatus::Succeeded, at(20)).await.finished);
    assert!(!attempt(suite, id.execution(1, 0), ExecutionStatus::Succeeded, at(20)).await.finished);
    let state = suite.state(id).await;
    assert_eq!((state.status, state.waiting, state.counts.done), (Status::Active, 1, 1));
    assert!(attempt(suite, pages[1].id, ExecutionStatus::Failed, at(3620)).await.finished);
    let state = suite.state(id).await;
    assert_eq!((state.status, state.waiting), (Status::Finished, 0));
    assert_eq!((state.counts.done, state.counts.failed), (1, 0));
}

pub async fn a_change_drops_pages(suite: &Suite) {
    let id = suite.schedule(&key("one")).await;
    let page = page(suite, id, 48, 1, at(20));
    open(suite, std::slice::from_ref(&page)).await;
    let pause = suite.change(&suite.state(id).await, Change::Pause, at(1));
    insist(|| suite.stores.schedules.change(pause.clone())).await;
    let token = suite.token();
    let claim = || suite.stores.executions.claim_attempt(page.id, token, at(99), at(20));
    let answer = insist(claim).await;
    assert!(matches!(answer, AttemptClaim::ClaimedToDrop { .. }), "{answer:?}");
}
