//! What may go wrong: items that are too large, a table that is not there, too many requests at once, transactions
//! that meet, items that cannot be read, what has expired, what a process remembers wrongly.

use crate::table::{Jumping, Table, heard, listening};
use aws_sdk_dynamodb::types::AttributeValue;
use rondo_aws::store::Item;
use rondo_domain::{
    app::{App, AppLimits},
    change::Change,
    execution::ExecutionStatus,
    notice::Event,
    ports::{
        AppStore as _, ExecutionStore as _, ListenerStore as _, ScheduleStore as _, StateStore as _,
        StoreError,
    },
    push::PushSettings,
    schedule::{Body, HttpTarget, Target},
    time::Span,
};
use rondo_tests::{
    faults::sdk::{Fault, faulty, throttling},
    port_suite::{START, at, insist, key},
};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

#[tokio::test]
async fn what_is_too_large_is_not_even_sent() {
    let table = Table::new().await;
    let (suite, app) = (table.suite(), key("one"));
    let (http, asked) = listening();
    let store = table.store_through(http);
    let draft = |bytes: usize| {
        let mut new = suite.draft(&app);
        let Target::Http(HttpTarget { body, .. }) = &mut new.definition.target else { panic!("it calls") };
        *body = Body::Text("x".repeat(bytes));
        new
    };
    let (fits, too_large) = (draft(398_000), draft(400_001));
    let error = store.create(too_large.clone()).await.expect_err("it is too large");
    let StoreError::TooLarge(text) = &error else { panic!("{error}") };
    assert!(text.starts_with("the schedule's definition takes 4") && text.contains("400000"), "{text}");
    assert!(heard(&asked).is_empty());
    insist(|| store.create(fits.clone())).await;
    let known = store.load(fits.state.id).await.expect("a read").expect("it is there");
    let mut definition = (*known.definition).clone();
    definition.name = Some("y".repeat(5000));
    let mut write = suite.change(&known.state, Change::Update { occurrences: None, rebase: false }, at(1));
    write.definition = Some(definition);
    let error = store.change(write).await.expect_err("it has become too large");
    assert!(matches!(error, StoreError::TooLarge(_)), "{error}");
    let after = store.load(fits.state.id).await.expect("a read").expect("it is there");
    assert_eq!(after, known, "nothing was written");
    let id = fits.state.id;
    let token = suite.claim(id, 1, at(0)).await;
    let mut outcome = suite.write(id, 1, token, ExecutionStatus::Failed, at(1)).await;
    outcome.execution.reason = Some("z".repeat(400_000));
    let error = store.close(outcome).await.expect_err("the record is too large");
    assert!(error.to_string().contains("the execution's record"), "{error}");
}

#[tokio::test]
async fn a_table_that_is_not_there_is_named() {
    let mut table = Table::new().await;
    table.settings.table = "no-such-table".to_owned();
    let store = table.store();
    let suite = table.suite();
    let new = suite.draft(&key("one"));
    let id = new.state.id;
    let failures = [
        store.load(id).await.err(),
        store.create(new).await.err(),
        store.claim(&suite.ask(id, 1, at(0)), at(0)).await.err(),
        store.overdue(at(0), 10).await.err(),
        store.app(&key("one")).await.err(),
    ];
    for failure in failures {
        let Some(StoreError::Unavailable(text)) = failure else { panic!("{failure:?}") };
        assert!(text.contains("no-such-table"), "{text}");
    }
}

#[tokio::test]
async fn throttling_is_waited_out_and_not_for_ever() {
    let table = Table::new().await;
    let suite = table.suite();
    let id = suite.schedule(&key("one")).await;
    let store = table.store_through(throttling(rondo_aws::http::client(), "PutItem", 2));
    let ask = suite.ask(id, 1, at(0));
    assert!(store.claim(&ask, at(0)).await.is_ok());
    let store = table.store_through(throttling(rondo_aws::http::client(), "PutItem", u32::MAX));
    let refused = store.claim(&suite.ask(id, 2, at(0)), at(0)).await;
    let Err(StoreError::Unavailable(text)) = refused else { panic!("{refused:?}") };
    assert!(text.contains("ProvisionedThroughputExceededException"), "{text}");
    assert_eq!(suite.state(id).await.claims.len(), 1);
}

/// Another's transaction holds an item: it is tried again, a bounded number of times.
#[tokio::test]
async fn transactions_that_meet_are_tried_again() {
    let table = Table::new().await;
    let suite = table.suite();
    let meets = |operation: &'static str, times: u32, answer: &'static str| {
        let count = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&count);
        let http = faulty(rondo_aws::http::client(), move |asked| {
            let hit = asked.operation == operation && seen.fetch_add(1, Ordering::SeqCst) < times;
            hit.then(|| Fault::Answer(400, answer.to_owned()))
        });
        (table.store_through_at(http, Jumping::at(START)), count)
    };
    const CANCELED: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message":"met","CancellationReasons":[{"Code":"None"},{"Code":"TransactionConflict"}]}"#;
    const CONFLICT: &str =
        r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionConflictException","message":"met"}"#;
    let (store, count) = meets("TransactWriteItems", 5, CANCELED);
    let new = suite.draft(&key("one"));
    assert!(store.create(new.clone()).await.is_ok());
    assert_eq!(count.load(Ordering::SeqCst), 6);
    let (store, count) = meets("PutItem", 3, CONFLICT);
    assert!(store.claim(&suite.ask(new.state.id, 1, at(0)), at(0)).await.is_ok());
    assert_eq!(count.load(Ordering::SeqCst), 4);
    let (store, count) = meets("TransactWriteItems", u32::MAX, CANCELED);
    let failed = store.create(suite.draft(&key("one"))).await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    assert_eq!(count.load(Ordering::SeqCst), 15);
}

#[tokio::test]
async fn what_cannot_be_read_hides_nothing_else() {
    let table = Table::new().await;
    let (suite, app) = (table.suite(), key("one"));
    let (torn, whole) = (suite.schedule(&app).await, suite.schedule(&app).await);
    let pk = format!("SCHEDULE#{torn}");
    let mut item = table.item(&pk, "STATE").await.expect("an item");
    item.insert("anchor".to_owned(), AttributeValue::S("s3cret".to_owned()));
    table.put(item).await;
    let store = table.store();
    let error = store.load(torn).await.expect_err("it is torn");
    assert!(matches!(&error, StoreError::Corrupt(text) if text.contains(&pk)), "{error}");
    assert!(!error.to_string().contains("s3cret"), "{error}");
    let mut overdue = store.overdue(at(1000), 10).await.expect("a read");
    overdue.sort_unstable();
    let mut both = [torn, whole];
    both.sort_unstable();
    assert_eq!(overdue, both, "each is looked at for itself");
    // An entry of the index that is no schedule's.
    let text = |text: &str| AttributeValue::S(text.to_owned());
    table
        .put(Item::from([
            ("pk".to_owned(), text("SCHEDULE#nonsense")),
            ("sk".to_owned(), text("STATE")),
            ("due_shard".to_owned(), text("S#00")),
            ("look_again_at".to_owned(), AttributeValue::N("1".to_owned())),
        ]))
        .await;
    assert_eq!(store.overdue(at(1000), 10).await.expect("a read").len(), 2);
}

#[tokio::test]
async fn what_has_expired_is_gone_before_it_is_removed() {
    let table = Table::new().await;
    let suite = table.suite();
    let id = suite.limited(&key("one"), 1).await;
    suite.run(id, 1, ExecutionStatus::Succeeded, at(0)).await;
    let clock = Jumping::at(at(0));
    let store = table.store_at(clock.clone());
    clock.pass(table.settings.retention);
    clock.pass(Span::from_secs(60));
    assert_eq!(store.load(id).await, Ok(None));
    assert_eq!(store.execution(id.execution(1, 0)).await, Ok(None));
    let there = table.store_at(Jumping::at(at(0)));
    assert!(there.load(id).await.expect("a read").is_some());
    assert!(there.execution(id.execution(1, 0)).await.expect("a read").is_some());
}

#[tokio::test]
async fn an_app_is_remembered_for_a_while() {
    let mut table = Table::new().await;
    table.settings.cache = Span::from_secs(10);
    let app = |name: &str| App {
        key: key("one"),
        name: name.to_owned(),
        time_zone: chrono_tz::UTC,
        created_at: START,
        secrets: Vec::new(),
        signing_secrets: Vec::new(),
        limits: AppLimits::default(),
        push: PushSettings::default(),
    };
    let (one, first, second) = (key("one"), app("first"), app("second"));
    let clock = Jumping::at(START);
    let (mine, theirs) = (table.store_at(clock.clone()), table.store());
    let name = async || mine.app(&one).await.expect("a read").map(|app| app.name.clone());
    assert_eq!(name().await, None);
    insist(|| theirs.add_app(first.clone())).await;
    assert_eq!(name().await.as_deref(), Some("first"), "that there was none is not remembered");
    assert!(insist(|| theirs.replace_app(&first, second.clone())).await);
    assert_eq!(name().await.as_deref(), Some("first"));
    clock.pass(Span::from_secs(10));
    assert_eq!(name().await.as_deref(), Some("second"));
    assert!(insist(|| mine.replace_app(&second, app("third"))).await);
    assert_eq!(name().await.as_deref(), Some("third"), "its own writes it knows at once");
    let url = "https://listener.example/".parse().expect("a URL");
    assert!(mine.listeners(&one).await.expect("a read").is_empty());
    insist(|| theirs.add_listener(&one, &url, &[Event::RequestAdded], at(0))).await;
    assert!(mine.listeners(&one).await.expect("a read").is_empty());
    clock.pass(Span::from_secs(10));
    assert_eq!(mine.listeners(&one).await.expect("a read").len(), 1);
}

#[tokio::test]
async fn statistics_are_kept_by_hour_and_writer() {
    let table = Table::new().await;
    let store = table.store();
    let (one, two) = (key("one"), key("two"));
    let put = async |app, hour, writer, json| {
        store.put_statistics(app, hour, writer, json, at(1000)).await.expect("a write");
    };
    put(&one, 9, "a", "1").await;
    put(&one, 10, "a", "2").await;
    put(&one, 10, "b", "3").await;
    put(&one, 10, "b", "4").await;
    put(&two, 9, "a", "5").await;
    assert_eq!(store.statistics(&one).await.expect("a read"), ["1", "2", "4"]);
    assert_eq!(store.statistics(&two).await.expect("a read"), ["5"]);
    let later = table.store_at(Jumping::at(at(1001)));
    assert!(later.statistics(&one).await.expect("a read").is_empty(), "they have expired");
}
