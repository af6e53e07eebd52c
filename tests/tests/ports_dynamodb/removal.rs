//! Removing an app: cut off anywhere, carried on by asking again.

use crate::{
    devices::{device, id},
    pages::page,
    processes::single,
    table::{Table, heard, listening},
};
use rondo_domain::{
    app::{App, AppLimits},
    execution::{Execution, ExecutionStatus},
    ids::AppKey,
    ports::{
        AppStore as _, DeviceStore as _, ExecutionStore as _, ListenerStore as _, ScheduleStore as _,
        StoreError,
    },
    push::PushSettings,
};
use rondo_tests::{
    faults::sdk::{Fault, faulty},
    port_suite::{START, Suite, at, insist, key},
};
use std::sync::atomic::{AtomicU32, Ordering};

fn app(key: &AppKey) -> App {
    App {
        key: key.clone(),
        name: "an app".to_owned(),
        time_zone: chrono_tz::UTC,
        created_at: START,
        secrets: Vec::new(),
        signing_secrets: Vec::new(),
        limits: AppLimits::default(),
        push: PushSettings::default(),
    }
}

async fn furnish(table: &Table, suite: &Suite, of: &AppKey) {
    let store = table.store();
    assert!(insist(|| store.add_app(app(of))).await);
    let url = "https://listener.example/".parse().expect("a URL");
    insist(|| store.add_listener(of, &url, &[], at(0))).await;
    let expires = at(1_000_000);
    store.put_statistics(of, 7, "writer", "{}", expires).await.expect("a write");
    for count in 0..6 {
        let mut new = if count % 2 == 0 { single(suite, of) } else { suite.numbered(of) };
        new.limit = Some(100);
        let id = suite.create(new).await;
        suite.run(id, 1, ExecutionStatus::Succeeded, at(0)).await;
    }
    for name in ["phone", "tablet", "desk"] {
        assert!(insist(async || store.put_device(of, &device(name), 0).await).await);
    }
    let push = suite.push(of);
    insist(|| store.create(push.clone())).await;
    let schedule = push.state.id;
    let opened = [Execution { app: of.clone(), ..page(suite, schedule, 1, at(5)) }];
    insist(|| store.open_pages(&opened)).await;
    let told = [id("phone"), id("desk")];
    insist(|| store.tell_devices(schedule, at(5), &told, at(5))).await;
}

/// How many items name this app, or a schedule of its.
async fn left(table: &Table, of: &AppKey) -> usize {
    let shard = format!("{of}#");
    let text = |item: &rondo_aws::store::Item, name: &str| {
        item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default()
    };
    let items = table.items().await;
    let its = |item: &&rondo_aws::store::Item| text(item, "app_shard").starts_with(&shard);
    let schedules: Vec<String> = items.iter().filter(its).map(|item| text(item, "pk")).collect();
    let own = format!("APP#{of}");
    let named = |item: &&rondo_aws::store::Item| {
        let pk = text(item, "pk");
        let of_schedule = schedules.iter().any(|schedule| pk.starts_with(schedule.as_str()));
        pk == own || pk.starts_with(&format!("{own}#")) || of_schedule || text(item, "app") == of.as_str()
    };
    items.iter().filter(named).count()
}

#[tokio::test]
async fn a_removal_that_was_cut_off_is_carried_on() {
    let table = Table::new().await;
    let suite = table.suite();
    let (one, two) = (key("one"), key("two"));
    furnish(&table, &suite, &two).await;
    let others = left(&table, &two).await;
    assert!(others > 10, "{others}");
    furnish(&table, &suite, &one).await;
    let (http, asked) = listening();
    assert_eq!(table.store_through(http).remove_app(&one).await, Ok(true));
    let all = u32::try_from(heard(&asked).len()).expect("not that many");
    assert!(all > 60, "{all} requests");
    for requests in [1, 2, 7, 20, all / 2, all * 2 / 3, all * 5 / 6, all - 2] {
        furnish(&table, &suite, &one).await;
        let sent = AtomicU32::new(0);
        let cut = faulty(rondo_aws::http::client(), move |_| {
            (sent.fetch_add(1, Ordering::SeqCst) >= requests).then_some(Fault::Unreachable)
        });
        let removed = table.store_through(cut).remove_app(&one).await;
        assert!(matches!(removed, Err(StoreError::Unavailable(_))), "after {requests}: {removed:?}");
        assert!(left(&table, &one).await > 0, "after {requests}");
        let store = table.store();
        // The first request only looks whether there is one.
        if requests > 1 {
            assert_eq!(store.app(&one).await, Ok(None), "nobody sees it any more");
            assert!(!store.add_app(app(&one)).await.expect("an answer"), "and its key is not free yet");
        }
        assert_eq!(store.remove_app(&one).await, Ok(true), "after {requests}");
        assert_eq!(left(&table, &one).await, 0, "after {requests}");
        assert_eq!(store.remove_app(&one).await, Ok(false));
        assert_eq!(left(&table, &two).await, others, "another's stay");
    }
    assert_eq!(table.store().apps().await.expect("a read").len(), 1);
}

/// Created by somebody who still remembered the app.
#[tokio::test]
async fn asking_again_takes_what_came_meanwhile() {
    let table = Table::new().await;
    let (suite, one) = (table.suite(), key("one"));
    furnish(&table, &suite, &one).await;
    let store = table.store();
    assert_eq!(store.remove_app(&one).await, Ok(true));
    suite.schedule(&one).await;
    assert_eq!(store.remove_app(&one).await, Ok(false));
    assert_eq!(left(&table, &one).await, 0);
}
