//! What is written for what: one item for a schedule that fires once, few requests for those that fire often.

use crate::{
    processes::single,
    table::{Table, heard, listening},
};
use rondo_domain::{
    change::Change,
    execution::{AttemptClaim, ExecutionStatus, Round},
    ids::{ExecutionId, ScheduleId},
    ports::{CloseWrite, ExecutionQuery, ScheduleStore as _, StateStore as _},
    schedule::{Body, Definition, HttpTarget, Target},
    state::{Closing, Status},
    time::Span,
    trigger::{Interval, Trigger},
};
use rondo_tests::port_suite::{Suite, at, insist, key};

async fn numbers(suite: &Suite, schedule: ScheduleId, newest_first: bool, limit: usize) -> Vec<u32> {
    let mut query = ExecutionQuery { schedule, status: None, newest_first, after: None, limit };
    let mut numbers = Vec::new();
    loop {
        let page = suite.stores.executions.executions(&query).await.expect("a read");
        numbers.extend(page.items.iter().map(|record| record.id.number));
        match page.next {
            Some(next) => query.after = Some(next),
            None => return numbers,
        }
    }
}

#[tokio::test]
async fn a_schedule_that_fires_once_is_one_item() {
    let table = Table::new().await;
    let suite = table.suite();
    let new = single(&suite, &key("one"));
    let id = suite.create(new.clone()).await;
    assert_eq!(table.items_of(id).await, ["STATE"]);
    let loaded = suite.load(id).await;
    assert_eq!((&*loaded.definition, &loaded.state), (&new.definition, &new.state));
    suite.run(id, 1, ExecutionStatus::Succeeded, at(1)).await;
    assert_eq!(table.items_of(id).await, ["STATE"]);
    let state = suite.state(id).await;
    assert_eq!((state.status, state.counts.done), (Status::Finished, 1));
    let execution = id.execution(1, 0);
    assert!(insist(|| suite.stores.executions.comment(execution, "seen")).await);
    let record = suite.stores.executions.execution(execution).await.expect("a read").expect("a record");
    assert_eq!((record.id, record.status), (execution, ExecutionStatus::Succeeded));
    assert_eq!(record.comment.as_deref(), Some("seen"));
    for newest_first in [true, false] {
        assert_eq!(numbers(&suite, id, newest_first, 1).await, [1]);
    }
    let none = ExecutionQuery {
        schedule: id,
        status: Some(ExecutionStatus::Failed),
        newest_first: true,
        after: None,
        limit: 10,
    };
    assert!(suite.stores.executions.executions(&none).await.expect("a read").items.is_empty());
    let item = table.item(&format!("SCHEDULE#{id}"), "STATE").await.expect("the state");
    assert!(item.contains_key("expires_at") && !item.contains_key("look_again_at"), "it is kept for a while");
}

async fn attempted(suite: &Suite, id: ExecutionId, status: ExecutionStatus) {
    let token = suite.token();
    let lease_until = at(100).plus(Span::from_secs(75));
    let claim = suite.stores.executions.claim_attempt(id, token, lease_until, at(100)).await;
    let AttemptClaim::Claimed { mut execution, .. } = claim.expect("an answer") else {
        panic!("not claimed")
    };
    execution.status = status;
    execution.token = token;
    execution.next_attempt_at = None;
    execution.claim = None;
    let write = CloseWrite {
        execution,
        closing: Closing::Over(status),
        last_status: None,
        now: at(101),
        tell_end: false,
    };
    assert!(insist(|| suite.stores.executions.close_attempt(write.clone())).await.applied);
}

#[tokio::test]
async fn a_redelivered_record_gets_an_item_of_its_own() {
    let table = Table::new().await;
    let suite = table.suite();
    let id = suite.create(single(&suite, &key("one"))).await;
    suite.run(id, 1, ExecutionStatus::Failed, at(1)).await;
    let execution = id.execution(1, 0);
    let mut record = suite.stores.executions.execution(execution).await.expect("a read").expect("a record");
    record.counted_as = Some(ExecutionStatus::Failed);
    record.round = Some(Round { since: at(50), attempts_before: 1 });
    record.status = ExecutionStatus::Waiting;
    record.next_attempt_at = Some(at(50));
    record.token = suite.token();
    assert!(insist(|| suite.stores.executions.open(&record, true)).await);
    assert_eq!(table.items_of(id).await, ["EXECUTION#0000000001#000", "STATE"]);
    assert!(insist(|| suite.stores.executions.open(&record, true)).await, "it is one's own");
    let waiting = suite.stores.executions.waiting(at(60), 10).await.expect("a read");
    assert_eq!(waiting, [execution]);
    attempted(&suite, execution, ExecutionStatus::Succeeded).await;
    let state = suite.state(id).await;
    assert_eq!((state.waiting, state.counts.done, state.counts.failed), (0, 1, 0));
    for newest_first in [true, false] {
        assert_eq!(numbers(&suite, id, newest_first, 5).await, [1], "it is there once");
    }
}

#[tokio::test]
async fn a_retried_callback_ends_in_an_item_of_its_own() {
    let table = Table::new().await;
    let suite = table.suite();
    let id = suite.create(single(&suite, &key("one"))).await;
    suite.run(id, 1, ExecutionStatus::Waiting, at(1)).await;
    assert_eq!(table.items_of(id).await, ["EXECUTION#0000000001#000", "STATE"]);
    attempted(&suite, id.execution(1, 0), ExecutionStatus::Succeeded).await;
    let state = suite.state(id).await;
    assert_eq!((state.status, state.counts.done, state.waiting), (Status::Finished, 1, 0));
    assert_eq!(numbers(&suite, id, true, 5).await, [1]);
}

/// A record in the state's item and others beside it, in both orders.
#[tokio::test]
async fn the_states_record_is_the_first_of_all() {
    let table = Table::new().await;
    let suite = table.suite();
    let id = suite.create(single(&suite, &key("one"))).await;
    let by_hand = |run: u32| id.execution(rondo_domain::ids::FIRST_MANUAL_NUMBER + run, 0);
    for run in 0..3 {
        let due = at(2);
        let mut record =
            rondo_domain::execution::Execution::new(by_hand(run), key("one"), 1, due, due, suite.token());
        record.status = ExecutionStatus::Waiting;
        record.next_attempt_at = Some(due);
        assert!(insist(|| suite.stores.executions.open(&record, false)).await);
        attempted(&suite, by_hand(run), ExecutionStatus::Succeeded).await;
    }
    suite.run(id, 1, ExecutionStatus::Succeeded, at(1)).await;
    let [one, two, three] = [0, 1, 2].map(|run| by_hand(run).number);
    for limit in [1, 2, 3, 4, 10] {
        assert_eq!(numbers(&suite, id, false, limit).await, [1, one, two, three], "in pages of {limit}");
        assert_eq!(numbers(&suite, id, true, limit).await, [three, two, one, 1], "in pages of {limit}");
    }
}

#[tokio::test]
async fn a_definition_moves_out_as_it_grows() {
    let table = Table::new().await;
    let suite = table.suite();
    let id = suite.create(single(&suite, &key("one"))).await;
    let known = suite.load(id).await;
    let mut definition = Definition::clone(&known.definition);
    definition.name = Some("still small".to_owned());
    let mut write = suite.change(&known.state, Change::Update { occurrences: None, rebase: false }, at(1));
    write.definition = Some(definition.clone());
    insist(|| suite.stores.schedules.change(write.clone())).await;
    assert_eq!(table.items_of(id).await, ["STATE"]);
    assert_eq!(*suite.load(id).await.definition, definition);
    let every = Span::from_secs(3);
    definition.trigger = Trigger::Interval(Interval { every, first: at(20), end: None });
    let mut write =
        suite.change(&suite.state(id).await, Change::Update { occurrences: None, rebase: true }, at(2));
    write.definition = Some(definition.clone());
    insist(|| suite.stores.schedules.change(write.clone())).await;
    assert_eq!(table.items_of(id).await, ["DEFINITION", "STATE"]);
    assert_eq!(*suite.load(id).await.definition, definition);
    let cancel = suite.change(&suite.state(id).await, Change::Cancel { because: None }, at(3));
    insist(|| suite.stores.schedules.change(cancel.clone())).await;
    let pk = format!("SCHEDULE#{id}");
    let (state, kept) = (table.item(&pk, "STATE").await, table.item(&pk, "DEFINITION").await);
    let expires = |item: Option<rondo_aws::store::Item>| item.expect("an item").remove("expires_at");
    let both = (expires(state), expires(kept));
    assert!(both.0.is_some() && both.0 == both.1, "both are kept for the same time: {both:?}");
    assert_eq!(*suite.load(id).await.definition, definition);
}

/// What an execution takes, request by request: the budget of the design.
#[tokio::test]
async fn few_requests_make_an_execution() {
    let table = Table::new().await;
    let suite = table.suite();
    let (http, asked) = listening();
    let store = table.store_through(http);
    let (once, mut often) = (single(&suite, &key("one")), suite.draft(&key("one")));
    let Target::Http(HttpTarget { body, .. }) = &mut often.definition.target else { panic!("it calls") };
    *body = Body::Text("hello".to_owned());
    insist(|| store.create(once.clone())).await;
    assert_eq!(heard(&asked), ["PutItem"]);
    insist(|| store.create(often.clone())).await;
    assert_eq!(heard(&asked), ["TransactWriteItems"]);
    for (new, closes) in [(once, vec!["PutItem"]), (often, vec!["PutItem", "PutItem"])] {
        let id = new.state.id;
        // Another process claims than the one that created it.
        let (http, asked) = listening();
        let store = table.store_through(http);
        let ask = suite.ask(id, 1, at(0));
        insist(|| store.claim(&ask, at(0))).await;
        assert_eq!(heard(&asked), ["GetItem", "PutItem"]);
        let write = suite.write(id, 1, ask.token, ExecutionStatus::Succeeded, at(1)).await;
        insist(|| store.close(write.clone())).await;
        assert_eq!(heard(&asked), closes);
    }
}
