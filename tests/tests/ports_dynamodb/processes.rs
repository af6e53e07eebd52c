//! Several processes on one table: each has its own memory, and may be wrong about what stands there.

use crate::table::Table;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use rondo_domain::{
    change::Change,
    execution::ExecutionStatus,
    ids::{AppKey, Token},
    plan::MissedRun,
    policy::Overlap,
    ports::{
        ChangeAnswer, Created, ExecutionQuery, ExecutionStore as _, NewSchedule, ScheduleStore as _,
        StateStore as _,
    },
    state::{ClaimAnswer, ClaimAsk, Mark},
    time::{Span, Timestamp},
    trigger::{Single, Trigger},
};
use rondo_tests::port_suite::{START, Suite, at, insist, key};

async fn live(table: &Table, app: &AppKey) -> String {
    let item = table.item(&format!("APP#{app}"), "COUNTERS").await.expect("the app's counters");
    item["live"].as_n().expect("a number").clone()
}

/// A schedule that fires once, all in one item.
pub fn single(suite: &Suite, app: &AppKey) -> NewSchedule {
    let mut new = suite.draft(app);
    new.definition.trigger = Trigger::Single(Single { at: START });
    new.state.planned = 1;
    new.state.exhausted = true;
    new
}

#[tokio::test]
async fn the_limit_is_exact_and_ends_make_room() {
    let table = Table::new().await;
    let (suite, app) = (table.suite(), key("one"));
    let stores = [table.store(), table.store(), table.store(), table.store()];
    let limited = |single_one: bool| {
        let mut new = if single_one { single(&suite, &app) } else { suite.draft(&app) };
        new.limit = Some(25);
        new
    };
    let all: Vec<NewSchedule> = (0..60).map(|count| limited(count % 2 == 0)).collect();
    let create = |count: usize, new: &NewSchedule| {
        let (store, new) = (stores[count % 4].clone(), new.clone());
        async move { insist(|| store.create(new.clone())).await }
    };
    let created = join_all(all.iter().enumerate().map(|(count, new)| create(count, new))).await;
    let there: Vec<&NewSchedule> = all
        .iter()
        .zip(&created)
        .filter_map(|(new, created)| matches!(created, Created::Done(_)).then_some(new))
        .collect();
    assert_eq!((there.len(), live(&table, &app).await.as_str()), (25, "25"));
    // Ends of every kind make room: cancelled, finished by an outcome, finished by a plan; each once.
    let cancels = there[..6].iter().enumerate().map(|(count, new)| {
        let store = stores[count % 4].clone();
        let write = suite.change(&new.state, Change::Cancel { because: None }, at(1));
        async move { insist(|| store.change(write.clone())).await }
    });
    for answer in join_all(cancels).await {
        assert!(matches!(answer, ChangeAnswer::Done { .. }), "{answer:?}");
    }
    let ends: Vec<&NewSchedule> = there[6..].iter().copied().filter(|new| new.state.exhausted).collect();
    assert!(ends.len() > 2);
    for new in &ends {
        suite.run(new.state.id, 1, ExecutionStatus::Succeeded, at(2)).await;
    }
    let left = 25 - 6 - ends.len();
    assert_eq!(live(&table, &app).await, left.to_string());
    let more: Vec<NewSchedule> = (0..30).map(|_| limited(false)).collect();
    let created = join_all(more.iter().enumerate().map(|(count, new)| create(count, new))).await;
    let done = created.iter().filter(|created| matches!(created, Created::Done(_))).count();
    assert_eq!((done, live(&table, &app).await.as_str()), (25 - left, "25"));
}

#[tokio::test]
async fn each_number_is_claimed_by_one() {
    let table = Table::new().await;
    let suite = table.suite();
    let id = suite.schedule(&key("one")).await;
    let stores = [table.store(), table.store(), table.store()];
    let mut asks = Vec::new();
    for number in 1..=12 {
        for store in &stores {
            asks.push((store.clone(), suite.ask(id, number, at(0))));
        }
    }
    let claim = |(store, ask): &(std::sync::Arc<rondo_aws::DynamoStore>, ClaimAsk)| {
        let (store, ask) = (store.clone(), ask.clone());
        async move { insist(|| store.claim(&ask, at(0))).await }
    };
    let answers = join_all(asks.iter().map(claim)).await;
    let mut winners = Vec::new();
    for (ask, answer) in asks.iter().zip(&answers) {
        match answer {
            ClaimAnswer::Claimed { tries: 1 } => winners.push(ask.clone()),
            ClaimAnswer::HeldUntil(_) => {}
            other => panic!("{other:?}"),
        }
    }
    winners.sort_by_key(|(_, ask)| ask.number);
    let numbers: Vec<u32> = winners.iter().map(|(_, ask)| ask.number).collect();
    assert_eq!(numbers, (1..=12).collect::<Vec<u32>>());
    let mut writes = Vec::new();
    for (store, ask) in winners {
        let write = suite.write(id, ask.number, ask.token, ExecutionStatus::Succeeded, at(1)).await;
        writes.push((store, write));
    }
    let closes = writes.iter().map(|(store, write)| insist(|| store.close(write.clone())));
    assert!(join_all(closes).await.iter().all(|closed| closed.applied));
    let state = suite.state(id).await;
    assert_eq!((state.counts.done, state.anchor.number, state.claims.len()), (12, 12, 0));
}

async fn takes_over(table: &Table, suite: &Suite, new: NewSchedule, first_is_on_record: bool) {
    let id = suite.create(new).await;
    let (first, second) = (table.store(), table.store());
    let mine = suite.ask(id, 1, at(0));
    assert_eq!(insist(|| first.claim(&mine, at(0))).await, ClaimAnswer::Claimed { tries: 1 });
    let outcome = suite.write(id, 1, mine.token, ExecutionStatus::Succeeded, at(1)).await;
    if first_is_on_record {
        insist(|| first.put_record(&outcome.execution)).await;
    }
    let theirs = suite.ask(id, 1, at(80));
    assert_eq!(insist(|| second.claim(&theirs, at(80))).await, ClaimAnswer::Claimed { tries: 2 });
    // The first does not know that it is too late.
    let late = insist(|| first.close(outcome.clone())).await;
    assert!(!late.applied, "its claim is another's");
    let failed = suite.write(id, 1, theirs.token, ExecutionStatus::Failed, at(81)).await;
    assert!(insist(|| second.close(failed.clone())).await.applied);
    assert!(!insist(|| first.close(outcome.clone())).await.applied);
    let again = insist(|| second.close(failed.clone())).await;
    assert!(again.applied, "it is one's own");
    let state = suite.state(id).await;
    let record =
        suite.stores.executions.execution(id.execution(1, 0)).await.expect("a read").expect("a record");
    assert_eq!((state.counts.done, record.token), (1, theirs.token));
    let failed = u32::from(record.status == ExecutionStatus::Failed);
    assert_eq!(state.counts.failed, failed, "the count follows the record");
    if first_is_on_record {
        assert_eq!(record.status, ExecutionStatus::Succeeded, "what was on record stays");
    }
}

#[tokio::test]
async fn what_a_dead_claimer_left_on_record_is_adopted() {
    let table = Table::new().await;
    let (suite, app) = (table.suite(), key("one"));
    takes_over(&table, &suite, suite.draft(&app), true).await;
    takes_over(&table, &suite, single(&suite, &app), true).await;
}

#[tokio::test]
async fn a_late_outcome_counts_once_at_most() {
    let table = Table::new().await;
    let (suite, app) = (table.suite(), key("one"));
    takes_over(&table, &suite, suite.draft(&app), false).await;
    takes_over(&table, &suite, single(&suite, &app), false).await;
}

/// Whoever took over fails as well, and is to wait: but an outcome is on record, and it stays.
#[tokio::test]
async fn an_outcome_on_record_is_not_waited_for() {
    let table = Table::new().await;
    let (suite, app) = (table.suite(), key("one"));
    for new in [suite.draft(&app), single(&suite, &app)] {
        let id = suite.create(new).await;
        let mine = suite.claim(id, 1, at(0)).await;
        let outcome = suite.write(id, 1, mine, ExecutionStatus::Succeeded, at(1)).await;
        insist(|| suite.stores.executions.put_record(&outcome.execution)).await;
        let second = table.store();
        let theirs = suite.ask(id, 1, at(80));
        insist(|| second.claim(&theirs, at(80))).await;
        let waits = suite.write(id, 1, theirs.token, ExecutionStatus::Waiting, at(81)).await;
        assert!(insist(|| second.close(waits.clone())).await.applied);
        let state = suite.state(id).await;
        assert_eq!((state.waiting, state.counts.done, state.counts.failed), (0, 1, 0));
        let record = second.execution(id.execution(1, 0)).await.expect("a read").expect("a record");
        assert_eq!((record.status, record.token), (ExecutionStatus::Succeeded, theirs.token));
    }
}

/// Its schedule has become another, of more than one item, while it ran.
#[tokio::test]
async fn an_outcome_is_on_record_wherever_the_record_goes() {
    let table = Table::new().await;
    let suite = table.suite();
    let id = suite.create(single(&suite, &key("one"))).await;
    let store = table.store();
    let ask = suite.ask(id, 1, at(0));
    insist(|| store.claim(&ask, at(0))).await;
    let outcome = suite.write(id, 1, ask.token, ExecutionStatus::Succeeded, at(2)).await;
    let known = suite.load(id).await;
    let mut definition = (*known.definition).clone();
    definition.trigger = suite.draft(&key("one")).definition.trigger;
    let mut update = suite.change(&known.state, Change::Update { occurrences: None, rebase: true }, at(1));
    update.definition = Some(definition);
    insist(|| suite.stores.schedules.change(update.clone())).await;
    assert!(insist(|| store.close(outcome.clone())).await.applied);
    assert_eq!(suite.state(id).await.counts.done, 1);
    let record = suite.stores.executions.execution(id.execution(1, 0)).await.expect("a read");
    assert_eq!(record, Some(outcome.execution));
    assert_eq!(table.items_of(id).await, ["DEFINITION", "EXECUTION#0000000001#000", "STATE"]);
}

/// A claim made from a state that this process has not seen change since.
#[tokio::test]
async fn no_claim_is_made_from_an_old_state() {
    let table = Table::new().await;
    let suite = table.suite();
    let id = suite.schedule(&key("one")).await;
    let other = table.store();
    let ask = |number: u32, generation: u32| ClaimAsk {
        generation,
        overlap: Overlap::Allow,
        ..suite.ask(id, number, at(0))
    };
    let (first, second, third) = (ask(1, 1), ask(2, 1), ask(2, 2));
    assert_eq!(insist(|| other.claim(&first, at(0))).await, ClaimAnswer::Claimed { tries: 1 });
    let state = suite.state(id).await;
    let update = suite.change(&state, Change::Update { occurrences: Some(9), rebase: false }, at(1));
    insist(|| suite.stores.schedules.change(update.clone())).await;
    assert_eq!(insist(|| other.claim(&second, at(1))).await, ClaimAnswer::Stale);
    // Of the new generation, which this process had not heard of.
    assert_eq!(insist(|| other.claim(&third, at(1))).await, ClaimAnswer::Claimed { tries: 1 });
    assert_eq!(suite.state(id).await.last_claimed, Some(Mark { number: 2, at: at(10) }));
}

/// More runs than one transaction takes: all of their records are there, and all are counted.
#[tokio::test]
async fn a_plan_may_miss_more_than_a_transaction_takes() {
    let table = Table::new().await;
    let suite = table.suite();
    let id = suite.schedule(&key("one")).await;
    let mark = |number: u32| Mark { number, at: at(u64::from(number - 1) * 10) };
    let mut write = suite.plan(&suite.state(id).await);
    write.plan.missed =
        (1..=200).map(|run| MissedRun { from: mark(run * 3), to: mark(run * 3 + 1) }).collect();
    write.plan.planned = 700;
    let saved = insist(|| suite.stores.states.save_plan(write.clone(), at(9000), false)).await;
    assert!(saved.is_some_and(|saved| saved.applied));
    assert_eq!(suite.state(id).await.counts.missed, 400);
    let query = ExecutionQuery { schedule: id, status: None, newest_first: false, after: None, limit: 500 };
    let page = suite.stores.executions.executions(&query).await.expect("a read");
    assert_eq!((page.items.len(), page.next), (200, None));
    assert!(page.items.iter().all(|record| record.last_number() == record.id.number + 1));
}

/// What waits is due in the index as DynamoDB has it: whole, as a number, and gone with its end.
#[tokio::test]
async fn a_held_attempt_is_looked_at_when_its_lease_ends() {
    let table = Table::new().await;
    let suite = table.suite();
    let id = suite.schedule(&key("one")).await;
    suite.run(id, 1, ExecutionStatus::Waiting, at(0)).await;
    let execution = id.execution(1, 0);
    let look = || async {
        let item = table.item(&format!("SCHEDULE#{id}"), "EXECUTION#0000000001#000").await.expect("a record");
        item.get("look_again_at").cloned()
    };
    let millis = |at: Timestamp| Some(AttributeValue::N(at.millis().to_string()));
    assert_eq!(look().await, millis(at(5)));
    let (token, lease_until) = (Token(99), at(5).plus(Span::from_secs(75)));
    let store = table.store();
    let claimed = insist(|| store.claim_attempt(execution, token, lease_until, at(5))).await;
    let rondo_domain::execution::AttemptClaim::Claimed { execution: record, .. } = claimed else {
        panic!("{claimed:?}")
    };
    assert_eq!(look().await, millis(lease_until));
    let mut write = suite.write(id, 1, token, ExecutionStatus::Succeeded, at(6)).await;
    write.execution.generation = record.generation;
    assert!(insist(|| store.close_attempt(write.clone())).await.applied);
    assert_eq!(look().await, None);
}
