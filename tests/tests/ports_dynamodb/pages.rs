//! Pages on the table: where they stand, several processes that open and close them at once, claims that have lapsed.

use crate::table::Table;
use futures_util::future::join_all;
use rondo_aws::DynamoStore;
use rondo_domain::{
    execution::{AttemptClaim, Execution, ExecutionStatus},
    ids::{ExecutionId, ScheduleId, Token},
    ports::{
        AppStore as _, Clock as _, CloseWrite, Created, ExecutionStore as _, ScheduleStore as _, StoreError,
    },
    push::fan_out::{Bounds, Page, PageKind, PushRecord, Range},
    time::{Span, Timestamp},
};
use rondo_system::SystemClock;
use rondo_tests::port_suite::{Suite, at, insist, key};
use std::{collections::BTreeSet, sync::Arc};

const LEASE: Span = Span::from_secs(75);

/// Of the first occurrence, waiting for `due`.
pub fn page(suite: &Suite, schedule: ScheduleId, number: u16, due: Timestamp) -> Execution {
    let id = schedule.execution(1, 0).page(52, number);
    let mut record = Execution::new(id, key("one"), 1, at(0), due, suite.token());
    record.status = ExecutionStatus::Waiting;
    record.next_attempt_at = Some(due);
    record.push = Some(Box::new(PushRecord::Page(Page {
        bounds: Bounds::default(),
        range: Range::ALL,
        kind: PageKind::Audience,
        result: Default::default(),
        failures: 0,
    })));
    record
}

fn pages(suite: &Suite, schedule: ScheduleId, numbers: std::ops::RangeInclusive<u16>) -> Vec<Execution> {
    numbers.map(|number| page(suite, schedule, number, at(10))).collect()
}

/// Claimed by this process, and its outcome.
async fn outcome(store: &DynamoStore, id: ExecutionId, token: Token) -> CloseWrite {
    let now = at(10);
    let AttemptClaim::Claimed { mut execution, .. } =
        insist(|| store.claim_attempt(id, token, now.plus(LEASE), now)).await
    else {
        panic!("{id} is not claimed")
    };
    execution.status = ExecutionStatus::Succeeded;
    execution.token = token;
    execution.claim = None;
    execution.next_attempt_at = None;
    CloseWrite::of(&execution, at(11), false)
}

#[tokio::test]
async fn a_page_is_an_item_of_its_own() {
    let table = Table::new().await;
    let suite = table.suite();
    let id = suite.create(suite.push(&key("one"))).await;
    let mine = pages(&suite, id, 1..=20);
    insist(|| suite.stores.executions.open_pages(&mine)).await;
    let names = table.items_of(id).await;
    assert_eq!(names.len(), 22);
    assert_eq!(names[1], "EXECUTION#0000000001#052#00001");
    let items = table.items().await;
    let shards: BTreeSet<&String> = items
        .iter()
        .filter_map(|item| item.get("due_shard")?.as_s().ok())
        .filter(|shard| shard.starts_with("A#"))
        .collect();
    assert_eq!(shards.len(), 16, "pages that come due together stand in all shards");
    let mut due = suite.stores.executions.waiting(at(10), 100).await.expect("a read");
    due.sort_unstable();
    assert_eq!(due, mine.iter().map(|page| page.id).collect::<Vec<_>>());
}

/// Both make the same change of the same state, each for pages of its own: neither may take the other's for its own.
#[tokio::test]
async fn two_processes_that_open_and_close_do_not_mistake_each_other() {
    let table = Table::new().await;
    let suite = table.suite();
    let id = suite.create(suite.push(&key("one"))).await;
    let (one, two) = (table.store(), table.store());
    let both_know = async || {
        for store in [&one, &two] {
            store.load(id).await.expect("a read").expect("it is there");
        }
    };
    both_know().await;
    insist(async || one.open_pages(&pages(&suite, id, 1..=3)).await).await;
    insist(async || two.open_pages(&pages(&suite, id, 4..=6)).await).await;
    assert_eq!(suite.state(id).await.waiting, 6);
    assert_eq!(table.items_of(id).await.len(), 8);
    let outcome_of = async |store: &DynamoStore, number| {
        outcome(store, id.execution(1, 0).page(52, number), suite.token()).await
    };
    let (first, second) = (outcome_of(&one, 1).await, outcome_of(&two, 2).await);
    both_know().await;
    assert!(insist(|| one.close_attempt(first.clone())).await.applied);
    assert!(insist(|| two.close_attempt(second.clone())).await.applied);
    assert_eq!(suite.state(id).await.waiting, 4);
    for write in [first, second] {
        let record = suite.stores.executions.execution(write.execution.id).await.expect("a read");
        assert_eq!(record, Some(write.execution));
    }
}

/// Each in a process of its own, all at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_pages_close_at_once() {
    let table = Table::new().await;
    let suite = table.suite();
    let id = suite.create(suite.push(&key("one"))).await;
    for some in [1..=20, 21..=40, 41..=50] {
        let some = pages(&suite, id, some);
        insist(|| suite.stores.executions.open_pages(&some)).await;
    }
    let stores: Vec<Arc<DynamoStore>> = (0..50).map(|_| table.store()).collect();
    let mut writes = Vec::new();
    for (store, number) in stores.iter().zip(1..) {
        writes.push(outcome(store, id.execution(1, 0).page(52, number), suite.token()).await);
    }
    let began = SystemClock.now();
    // As the engine does: asked for again until the lease ends.
    let closes =
        stores.iter().zip(&writes).map(|(store, write)| insist(|| store.close_attempt(write.clone())));
    let closed = join_all(closes).await;
    let took = SystemClock.now().since(began);
    println!("fifty closes took {} ms", took.millis());
    assert!(took < LEASE, "{took:?}");
    assert!(closed.iter().all(|closed| closed.applied), "{closed:?}");
    assert_eq!(suite.state(id).await.waiting, 0);
    assert!(suite.stores.executions.waiting(at(1_000_000), 100).await.expect("a read").is_empty());
}

/// Whoever lost its claim may not put what it has decided meanwhile over what another decides.
#[tokio::test]
async fn a_lapsed_claim_puts_no_record() {
    let table = Table::new().await;
    let suite = table.suite();
    let id = suite.create(suite.push(&key("one"))).await;
    let page = page(&suite, id, 1, at(10));
    insist(|| suite.stores.executions.open_pages(std::slice::from_ref(&page))).await;
    let claimed = async |store: &DynamoStore, now: Timestamp| {
        let token = suite.token();
        let claim = insist(|| store.claim_attempt(page.id, token, now.plus(LEASE), now)).await;
        let AttemptClaim::Claimed { execution, .. } = claim else { panic!("{claim:?}") };
        execution
    };
    let (one, two) = (table.store(), table.store());
    let first = claimed(&one, at(10)).await;
    let marked = |execution: &Execution, mark: &str| {
        let reason = Some(mark.to_owned());
        Execution { reason, ..execution.clone() }
    };
    assert_eq!(one.put_record(&marked(&first, "first")).await, Ok(()));
    let second = claimed(&two, at(90)).await;
    assert_eq!(second.reason.as_deref(), Some("first"), "what is on record is gone on with");
    let late = one.put_record(&marked(&first, "late")).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    let second = marked(&second, "second");
    assert_eq!(two.put_record(&second).await, Ok(()));
    assert_eq!(two.put_record(&second).await, Ok(()), "once more");
    assert_eq!(suite.stores.executions.execution(page.id).await, Ok(Some(second)));
}

/// The app's limit, the limit of its scheduled pushes, and what each end gives back.
#[tokio::test]
async fn both_counters_are_kept() {
    let table = Table::new().await;
    let (suite, app) = (table.suite(), key("one"));
    let counters = async || {
        let item = table.item("APP#one", "COUNTERS").await.unwrap_or_default();
        let of = |name: &str| item.get(name).and_then(|value| value.as_n().ok()?.parse::<u32>().ok());
        (of("live"), of("live_pushes"))
    };
    let store = table.store();
    let create = async |push: bool, limit, push_limit| {
        let mut new = if push { suite.push(&app) } else { suite.draft(&app) };
        (new.limit, new.push_limit) = (limit, push_limit);
        (insist(|| store.create(new.clone())).await, new)
    };
    let (made, push) = create(true, Some(3), Some(2)).await;
    assert!(matches!(made, Created::Done(_)));
    let (made, alone) = create(true, None, Some(2)).await;
    assert!(matches!(made, Created::Done(_)));
    assert_eq!(counters().await, (Some(1), Some(2)));
    assert_eq!(create(true, Some(3), Some(2)).await.0, Created::PushLimitReached);
    assert_eq!(create(true, Some(1), Some(2)).await.0, Created::LimitReached, "the first that there is");
    assert_eq!(create(true, None, Some(0)).await.0, Created::PushLimitReached);
    let (made, other) = create(false, Some(3), Some(2)).await;
    assert!(matches!(made, Created::Done(_)), "it is no push");
    assert_eq!(counters().await, (Some(2), Some(2)), "what is refused counts nowhere");
    for (new, left) in [(push, (Some(1), Some(1))), (alone, (Some(1), Some(0))), (other, (Some(0), Some(0)))]
    {
        let cancel = rondo_domain::change::Change::Cancel { because: None };
        let write = suite.change(&new.state, cancel, at(1));
        insist(|| store.change(write.clone())).await;
        assert_eq!(counters().await, left);
    }
    assert_eq!(store.remove_app(&app).await, Ok(false));
    assert_eq!(counters().await, (None, None));
}
