//! The registry of devices, and who was told of what.

use super::{Suite, at, insist, key};
use futures_util::future::join_all;
use rondo_domain::{
    ids::AppKey,
    push::device::{Device, Group, Platform, RegistrationId, Subscription},
};
use std::collections::BTreeSet;

/// As it is first registered.
pub fn device(name: &str) -> Device {
    let mut device = Device::new(id(name), Platform::Web, at(0));
    device.subscription = Some(Subscription {
        endpoint: format!("https://push.example/{}", name.len()),
        p256dh: "BA".to_owned(),
        auth: "AA".to_owned(),
    });
    device.zone = Some(chrono_tz::Europe::Madrid);
    device.tags = ["news", "sport"].map(str::to_owned).into();
    device.alias = Some("owner".to_owned());
    device.revision = 1;
    device
}

pub fn id(name: &str) -> RegistrationId {
    name.parse().expect("a registration id")
}

pub async fn put(suite: &Suite, app: &AppKey, device: &Device) {
    let before = device.revision - 1;
    assert!(insist(|| suite.stores.devices.put_device(app, device, before)).await, "{device:?}");
}

/// Whether, asked for the last time, it was there.
pub async fn remove(suite: &Suite, app: &AppKey, name: &str) -> bool {
    let id = id(name);
    insist(|| suite.stores.devices.remove_device(app, &id)).await
}

async fn known(suite: &Suite, app: &AppKey, names: &[&str]) -> Vec<Device> {
    let ids: Vec<_> = names.iter().map(|name| id(name)).collect();
    let mut devices = suite.stores.devices.devices(app, &ids).await.expect("a read");
    devices.sort_by_key(|device| device.id.clone());
    devices
}

pub async fn putting_is_conditional(suite: &Suite) {
    let (app, devices) = (key("one"), &suite.stores.devices);
    let first = device("phone");
    assert!(!insist(|| devices.put_device(&app, &first, 4)).await, "there is none of that revision");
    assert!(known(suite, &app, &["phone"]).await.is_empty());
    put(suite, &app, &first).await;
    put(suite, &app, &first).await;
    assert_eq!(known(suite, &app, &["phone"]).await, std::slice::from_ref(&first), "as it was written");
    let mut other = device("phone");
    other.alias = None;
    assert!(!insist(|| devices.put_device(&app, &other, 0)).await, "another is there");
    other.revision = 2;
    other.visits = vec![475_001, 475_025, 475_049];
    other.best_hour = Some(17);
    put(suite, &app, &other).await;
    assert_eq!(known(suite, &app, &["phone"]).await, [other.clone()]);
    assert!(!insist(|| devices.put_device(&app, &first, 0)).await, "it is another by now");
    let late = Device { revision: 2, ..first.clone() };
    assert!(!insist(|| devices.put_device(&app, &late, 1)).await);
    assert_eq!(known(suite, &app, &["phone"]).await, [other]);
    put(suite, &app, &device("a \"tablet\" \\ ☎")).await;
    assert_eq!(known(suite, &app, &["phone", "none", "a \"tablet\" \\ ☎"]).await.len(), 2);
    // Its own answer is not asked for again: a second removal finds nothing.
    let _ = devices.remove_device(&app, &id("phone")).await;
    assert!(!remove(suite, &app, "phone").await);
    assert!(known(suite, &app, &["phone"]).await.is_empty());
    assert!(!insist(|| devices.put_device(&app, &late, 1)).await, "it is gone");
    put(suite, &app, &first).await;
}

pub async fn of_many_writers_one_wins(suite: &Suite) {
    let app = key("one");
    put(suite, &app, &device("phone")).await;
    let made: Vec<Device> = (0..8)
        .map(|who| Device { alias: Some(format!("owner {who}")), revision: 2, ..device("phone") })
        .collect();
    let wrote =
        join_all(made.iter().map(|one| insist(|| suite.stores.devices.put_device(&app, one, 1)))).await;
    assert_eq!(wrote.iter().filter(|wrote| **wrote).count(), 1);
    let winner = made.iter().zip(&wrote).find(|(_, wrote)| **wrote).map(|(device, _)| device.clone());
    assert_eq!(known(suite, &app, &["phone"]).await.into_iter().next(), winner);
}

pub async fn apps_have_their_own_devices(suite: &Suite) {
    let (one, two) = (key("one"), key("two"));
    put(suite, &one, &device("phone")).await;
    let theirs = Device { zone: Some(chrono_tz::Asia::Tokyo), ..device("phone") };
    put(suite, &two, &theirs).await;
    assert_eq!(known(suite, &one, &["phone"]).await, [device("phone")]);
    assert_eq!(known(suite, &two, &["phone"]).await, [theirs]);
    remove(suite, &one, "phone").await;
    assert_eq!(known(suite, &two, &["phone"]).await.len(), 1);
    assert_eq!(suite.stores.devices.groups(&two).await.expect("a read").len(), 1);
}

async fn of_alias(suite: &Suite, app: &AppKey, alias: &str, limit: usize) -> Vec<RegistrationId> {
    let mut ids = Vec::new();
    let mut after: Option<RegistrationId> = None;
    for _ in 0..100 {
        let page = suite.stores.devices.of_alias(app, alias, after.as_ref(), limit).await.expect("a read");
        assert!(page.items.len() <= limit);
        ids.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => return ids,
        }
    }
    panic!("the pages have no end");
}

pub async fn aliases_are_paged(suite: &Suite) {
    let app = key("one");
    let names = ["Ä", "a", "b", "c", "z10", "z9"];
    for name in names {
        put(suite, &app, &device(name)).await;
    }
    put(suite, &app, &Device { alias: Some("Owner".to_owned()), ..device("other") }).await;
    put(suite, &app, &Device { alias: None, ..device("nobody's") }).await;
    put(suite, &key("two"), &device("theirs")).await;
    let mut expected = names.map(id);
    expected.sort();
    for limit in [1, 2, 6, 50] {
        assert_eq!(of_alias(suite, &app, "owner", limit).await, expected, "{limit} at a time");
    }
    put(suite, &app, &Device { alias: Some("heir".to_owned()), revision: 2, ..device("a") }).await;
    put(suite, &app, &Device { alias: None, revision: 2, ..device("b") }).await;
    remove(suite, &app, "c").await;
    assert_eq!(of_alias(suite, &app, "owner", 50).await, [id("z10"), id("z9"), id("Ä")]);
    assert_eq!(of_alias(suite, &app, "heir", 50).await, [id("a")]);
    assert!(of_alias(suite, &app, "none", 50).await.is_empty());
}

async fn groups(suite: &Suite, app: &AppKey) -> BTreeSet<String> {
    let groups = suite.stores.devices.groups(app).await.expect("a read");
    let names: BTreeSet<String> = groups.iter().map(Group::to_string).collect();
    assert_eq!(names.len(), groups.len(), "each is told once");
    names
}

pub async fn groups_follow_their_devices(suite: &Suite) {
    let app = key("one");
    assert!(groups(suite, &app).await.is_empty());
    let madrid = device("one");
    let tokyo = Device { zone: Some(chrono_tz::Asia::Tokyo), best_hour: Some(7), ..device("two") };
    let unknown = Device { zone: None, ..device("three") };
    for device in [&madrid, &tokyo, &unknown, &device("another in Madrid")] {
        put(suite, &app, device).await;
    }
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    assert_eq!(groups(suite, &app).await, names(&["|-", "Asia/Tokyo|07", "Europe/Madrid|-"]));
    let mut moved = Device { revision: 2, ..tokyo };
    moved.set_zone(Some(chrono_tz::America::Lima), at(5));
    put(suite, &app, &moved).await;
    remove(suite, &app, "three").await;
    // Those that are empty by now may still be named.
    let known = groups(suite, &app).await;
    assert!(names(&["America/Lima|07", "Europe/Madrid|-"]).is_subset(&known), "{known:?}");
    assert!(groups(suite, &key("two")).await.is_empty());
}

pub async fn one_is_told_of_each_occasion(suite: &Suite) {
    let devices = &suite.stores.devices;
    let (schedule, other) = (suite.schedule(&key("one")).await, suite.schedule(&key("one")).await);
    let ids: Vec<_> = (0..60).map(|n| id(&format!("device {n}"))).collect();
    let set = |ids: &[RegistrationId]| ids.iter().cloned().collect::<BTreeSet<_>>();
    let told =
        async |schedule, occasion| devices.told_devices(schedule, occasion, &ids).await.expect("a read");
    assert!(told(schedule, at(10)).await.is_empty());
    insist(|| devices.tell_devices(schedule, at(10), &ids[..40], at(11))).await;
    insist(|| devices.tell_devices(schedule, at(10), &ids[30..50], at(12))).await;
    insist(|| devices.tell_devices(schedule, at(10), &[], at(12))).await;
    assert_eq!(told(schedule, at(10)).await, set(&ids[..50]));
    assert!(told(schedule, at(20)).await.is_empty(), "a later occasion");
    assert_eq!(told(schedule, at(5)).await, set(&ids[..50]), "an older one is old news");
    assert!(told(other, at(10)).await.is_empty(), "another schedule");
    let one = devices.told_devices(schedule, at(10), &ids[49..51]).await.expect("a read");
    assert_eq!(one, set(&ids[49..50]), "those that were asked about");
    assert!(devices.told_devices(schedule, at(10), &[]).await.expect("a read").is_empty());
    insist(|| devices.tell_devices(schedule, at(20), &ids[..5], at(21))).await;
    assert_eq!(told(schedule, at(20)).await, set(&ids[..5]));
    assert_eq!(told(schedule, at(10)).await, set(&ids[..50]));
}
