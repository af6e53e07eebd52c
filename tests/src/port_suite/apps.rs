//! Apps and their listeners.

use super::{
    START, Suite, at,
    devices::{device, put},
    insist, key,
};
use rondo_domain::{
    app::{App, AppLimits},
    execution::ExecutionStatus,
    ids::AppKey,
    notice::Event,
};

fn app(key: &AppKey, name: &str) -> App {
    App {
        key: key.clone(),
        name: name.to_owned(),
        time_zone: chrono_tz::UTC,
        created_at: START,
        secrets: Vec::new(),
        signing_secrets: Vec::new(),
        limits: AppLimits::default(),
        push: Default::default(),
    }
}

pub async fn keys_are_unique(suite: &Suite) {
    let apps = &suite.stores.apps;
    let (one, two) = (key("one"), key("two"));
    assert!(insist(|| apps.add_app(app(&one, "first"))).await);
    assert!(insist(|| apps.add_app(app(&two, "second"))).await);
    assert!(!insist(|| apps.add_app(app(&one, "another"))).await);
    let known = apps.app(&one).await.expect("a read").expect("it is there");
    assert_eq!(known.name, "first");
    assert_eq!(apps.apps().await.expect("a read").len(), 2);
    assert!(apps.app(&key("none")).await.expect("a read").is_none());
}

pub async fn replacing_is_conditional(suite: &Suite) {
    let apps = &suite.stores.apps;
    let one = key("one");
    let (first, second, third) = (app(&one, "1"), app(&one, "2"), app(&one, "3"));
    assert!(insist(|| apps.add_app(first.clone())).await);
    assert!(insist(|| apps.replace_app(&first, second.clone())).await);
    assert!(!insist(|| apps.replace_app(&first, third.clone())).await, "it is not the first any more");
    assert_eq!(apps.app(&one).await.expect("a read").expect("it is there").name, "2");
}

pub async fn removing_takes_everything(suite: &Suite) {
    let apps = &suite.stores.apps;
    let (one, two) = (key("one"), key("two"));
    insist(|| apps.add_app(app(&one, "1"))).await;
    insist(|| apps.add_app(app(&two, "2"))).await;
    let (gone, stays) = (suite.schedule(&one).await, suite.schedule(&two).await);
    suite.run(gone, 1, ExecutionStatus::Succeeded, at(0)).await;
    suite.run(stays, 1, ExecutionStatus::Succeeded, at(0)).await;
    let url = "https://listener.example/".parse().expect("a URL");
    insist(|| suite.stores.listeners.add_listener(&one, &url, &[], at(0))).await;
    for app in [&one, &two] {
        put(suite, app, &device("phone")).await;
    }
    let phone = [device("phone").id];
    for id in [gone, stays] {
        insist(|| suite.stores.devices.tell_devices(id, at(0), &phone, at(0))).await;
    }
    // Its own answer is not asked for again: a second removal finds nothing.
    let _ = apps.remove_app(&one).await;
    assert!(!insist(|| apps.remove_app(&one)).await);
    assert!(apps.app(&one).await.expect("a read").is_none());
    assert!(suite.stores.schedules.load(gone).await.expect("a read").is_none());
    assert!(suite.stores.executions.execution(gone.execution(1, 0)).await.expect("a read").is_none());
    assert!(suite.stores.listeners.listeners(&one).await.expect("a read").is_empty());
    let devices = &suite.stores.devices;
    assert_eq!(devices.devices(&one, &phone).await.expect("a read"), []);
    assert_eq!(devices.devices(&two, &phone).await.expect("a read"), [device("phone")]);
    let alias = |app| devices.of_alias(app, "owner", None, 5);
    assert!(alias(&one).await.expect("a read").items.is_empty());
    assert_eq!(alias(&two).await.expect("a read").items, phone);
    assert_eq!(devices.told_devices(stays, at(0), &phone).await.expect("a read"), phone.clone().into());
    assert_eq!(suite.state(stays).await.counts.done, 1);
    assert!(suite.stores.executions.execution(stays.execution(1, 0)).await.expect("a read").is_some());
}

pub async fn listeners_are_kept_by_url(suite: &Suite) {
    let listeners = &suite.stores.listeners;
    let one = key("one");
    insist(|| suite.stores.apps.add_app(app(&one, "1"))).await;
    let url = |path: &str| format!("https://listener.example/{path}").parse().expect("a URL");
    let (a, b) = (url("a"), url("b"));
    let first = insist(|| listeners.add_listener(&one, &a, &[], at(0))).await;
    let second = insist(|| listeners.add_listener(&one, &b, &[Event::RequestAdded], at(1))).await;
    assert_ne!(first.id, second.id);
    assert!(!insist(|| listeners.listener_heard(&one, first.id, false, at(2))).await);
    let again = insist(|| listeners.add_listener(&one, &a, &[Event::ExecutionFired], at(3))).await;
    assert_eq!(again.events, [Event::ExecutionFired]);
    assert_eq!(again.failures_in_a_row, 0, "its failures are forgotten");
    let known = listeners.listeners(&one).await.expect("a read");
    assert_eq!(known.len(), 2, "the same URL stands there once");
    assert_eq!(known[0].url, a, "oldest first");
    assert!(listeners.listeners(&key("two")).await.expect("a read").is_empty());
}

/// A repeated report of one delivery may count twice: deliveries have no token. So this one asks once.
pub async fn a_failing_listener_is_removed(suite: &Suite) {
    let listeners = &suite.stores.listeners;
    let one = key("one");
    insist(|| suite.stores.apps.add_app(app(&one, "1"))).await;
    let url = "https://listener.example/".parse().expect("a URL");
    let id = insist(|| listeners.add_listener(&one, &url, &[], at(0))).await.id;
    let state = || async { listeners.listeners(&one).await.expect("a read")[0].clone() };
    for _ in 0..5 {
        let _ = listeners.listener_heard(&one, id, false, at(1)).await;
    }
    assert_eq!((state().await.failures_in_a_row, state().await.removed_at), (5, None), "five are forgiven");
    let _ = listeners.listener_heard(&one, id, true, at(2)).await;
    assert_eq!(state().await.failures_in_a_row, 0, "in a row, that is");
    for _ in 0..6 {
        let _ = listeners.listener_heard(&one, id, false, at(3)).await;
    }
    assert_eq!(state().await.removed_at, Some(at(3)), "and it is still shown");
}
