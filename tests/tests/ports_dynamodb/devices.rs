//! Devices on the table: what is written for what, what the index may have wrong, and batches that are done in part.

use crate::table::{Jumping, Table, heard, listening};
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt as _, stream};
use rondo_aws::store::Item;
use rondo_domain::{
    ports::{DeviceStore as _, Scan, StoreError},
    push::{
        audience::Audience,
        device::{Device, Platform, RegistrationId, Subscription},
        fan_out::Range,
    },
    time::Span,
};
use rondo_tests::{
    faults::sdk::{Asked, Fault, faulty},
    port_suite::{START, at, insist, key},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU32, Ordering},
};

pub fn id(name: &str) -> RegistrationId {
    name.parse().expect("a registration id")
}

pub fn device(name: &str) -> Device {
    Device {
        zone: Some(chrono_tz::Europe::Madrid),
        subscription: Some(Subscription {
            endpoint: "https://push.example/1".to_owned(),
            p256dh: "BA".to_owned(),
            auth: "AA".to_owned(),
        }),
        tags: ["news".to_owned()].into(),
        alias: Some("owner".to_owned()),
        revision: 1,
        ..Device::new(id(name), Platform::Web, at(0))
    }
}

/// Those whose partition begins so, as `pk sk`, sorted.
async fn named(table: &Table, prefix: &str) -> Vec<String> {
    let text = |item: &Item, name: &str| item[name].as_s().expect("text").clone();
    let items = table.items().await;
    let names = items.iter().map(|item| format!("{} {}", text(item, "pk"), text(item, "sk")));
    let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort_unstable();
    names
}

/// A device's writes, request by request.
#[tokio::test]
async fn a_visit_is_one_write() {
    let table = Table::new().await;
    let app = key("one");
    let (http, asked) = listening();
    let store = table.store_through(http);
    let mut device = device("phone");
    assert_eq!(store.put_device(&app, &device, 0).await, Ok(true));
    assert_eq!(heard(&asked), ["PutItem", "TransactWriteItems"], "its group, then itself with its alias");
    device.visits.push(490_000);
    device.revision = 2;
    assert_eq!(store.put_device(&app, &device, 1).await, Ok(true));
    assert_eq!(heard(&asked), ["PutItem"]);
    device.set_zone(Some(chrono_tz::Asia::Tokyo), at(9));
    device.revision = 3;
    assert_eq!(store.put_device(&app, &device, 2).await, Ok(true));
    assert_eq!(heard(&asked), ["PutItem"; 3], "refused, its group, itself");
    device.alias = Some("heir".to_owned());
    device.revision = 4;
    assert_eq!(store.put_device(&app, &device, 3).await, Ok(true));
    assert_eq!(heard(&asked), ["PutItem", "PutItem", "TransactWriteItems"]);
    assert_eq!(named(&table, "APP#one#ALIAS#").await, ["APP#one#ALIAS#heir phone"]);
    assert_eq!(
        named(&table, "APP#one#GROUPS").await,
        ["APP#one#GROUPS Asia/Tokyo|-", "APP#one#GROUPS Europe/Madrid|-"]
    );
    assert_eq!(store.devices(&app, &[id("phone"), id("phone")]).await, Ok(vec![device]));
    heard(&asked);
    assert_eq!(store.remove_device(&app, &id("phone")).await, Ok(true));
    assert_eq!(heard(&asked), ["GetItem", "TransactWriteItems"]);
    assert!(named(&table, "APP#one#ALIAS#").await.is_empty());
}

/// Whatever is cut off: a device's group is among the app's groups.
#[tokio::test]
async fn a_group_comes_before_its_devices() {
    let table = Table::new().await;
    let app = key("one");
    for done in 0..3 {
        let sent = AtomicU32::new(0);
        let http = faulty(rondo_aws::http::client(), move |asked| {
            let cut = asked.writes && sent.fetch_add(1, Ordering::SeqCst) >= done;
            cut.then_some(Fault::Unreachable)
        });
        let device = Device { best_hour: Some(done as u8), ..device(&format!("d{done}")) };
        let put = table.store_through(http).put_device(&app, &device, 0).await;
        assert_eq!(put.is_ok(), done == 2, "{put:?}");
        let store = table.store();
        let groups = store.groups(&app).await.expect("a read");
        let there = !store.devices(&app, std::slice::from_ref(&device.id)).await.expect("a read").is_empty();
        assert_eq!((groups.contains(&device.group()), there), (done > 0, done == 2));
    }
}

/// Its group is remembered for as long as an app is, and no longer: whoever removes the app meanwhile takes it along.
#[tokio::test]
async fn a_group_is_put_once_in_a_while() {
    let mut table = Table::new().await;
    table.settings.cache = Span::from_secs(10);
    let clock = Jumping::at(START);
    let store = table.store_at(clock.clone());
    let app = key("one");
    let plain = |name: &str| Device { alias: None, ..device(name) };
    assert_eq!(store.put_device(&app, &plain("a"), 0).await, Ok(true));
    rondo_domain::ports::AppStore::remove_app(&*table.store(), &app).await.expect("it can be removed");
    assert_eq!(store.put_device(&app, &plain("b"), 0).await, Ok(true));
    assert!(store.groups(&app).await.expect("a read").is_empty(), "it was put a moment ago");
    clock.pass(Span::from_secs(10));
    assert_eq!(store.put_device(&app, &plain("c"), 0).await, Ok(true));
    assert_eq!(store.groups(&app).await, Ok(vec![plain("c").group()]));
}

async fn registered(table: &Table, count: usize, make: impl Fn(usize) -> Device) {
    let (store, app) = (table.store(), key("one"));
    let puts = stream::iter((0..count).map(&make)).map(|device| {
        let (store, app) = (&store, &app);
        async move { insist(|| store.put_device(app, &device, 0)).await }
    });
    assert!(puts.buffer_unordered(16).all(|put| async move { put }).await);
}

fn scan<'a>(app: &'a rondo_domain::ids::AppKey, audience: &'a Audience, limit: usize) -> Scan<'a> {
    let group = device("any").group();
    Scan { app, group, audience, range: Range::ALL, moved_since: None, after: None, limit }
}

/// One in fifty is meant: each call does a bounded amount of work, and all of them together find each of these once.
#[tokio::test]
async fn few_are_found_among_many() {
    let table = Table::new().await;
    let app = key("one");
    registered(&table, 300, |n| Device {
        tags: if n % 50 == 0 { ["rare".to_owned()].into() } else { BTreeSet::new() },
        alias: None,
        ..device(&format!("device {n}"))
    })
    .await;
    let (http, asked) = listening();
    let store = table.store_through(http);
    let everyone = Audience { reachable_only: true, ..Audience::default() };
    assert_eq!(store.count(&scan(&app, &everyone, 0)).await, Ok(300));
    assert_eq!(heard(&asked), ["Query"]);
    let rare = Audience { tag: ["rare".to_owned()].into(), ..Audience::default() };
    assert_eq!(store.count(&scan(&app, &rare, 0)).await, Ok(6));
    assert_eq!(heard(&asked), ["Query"]);
    let (mut found, mut after, mut calls) = (Vec::new(), None, 0);
    loop {
        let page = store.scan(&Scan { after: after.as_ref(), ..scan(&app, &rare, 2) }).await.expect("a read");
        let requests = heard(&asked);
        assert!(requests.len() <= 7, "{requests:?}");
        found.extend(page.items.into_iter().map(|device| device.id));
        calls += 1;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let mut expected: Vec<_> = (0..300).step_by(50).map(|n| id(&format!("device {n}"))).collect();
    expected.sort_by_key(|id| (id.position(), id.clone()));
    assert_eq!(found, expected);
    assert!(calls < 12, "{calls} calls");
    let all = store.scan(&scan(&app, &everyone, 250)).await.expect("a read");
    assert_eq!((all.items.len(), all.next.is_some()), (250, true));
    assert_eq!(heard(&asked), ["Query", "BatchGetItem", "BatchGetItem", "BatchGetItem"]);
}

/// The index is behind the items: what it has is not believed.
#[tokio::test]
async fn what_the_index_has_wrong_is_nobodys() {
    let table = Table::new().await;
    let (store, app) = (table.store(), key("one"));
    registered(&table, 3, |n| device(&format!("device {n}"))).await;
    let everyone = Audience::default();
    let found = store.scan(&scan(&app, &everyone, 10)).await.expect("a read").items;
    let [moved, unsubscribed, same] = <[Device; 3]>::try_from(found).expect("three");
    let pk = |device: &Device| format!("APP#one#DEVICES#{:02}", device.id.position() % 16);
    // It has moved, and its entry not yet.
    let mut item = table.item(&pk(&moved), moved.id.as_str()).await.expect("an item");
    item.insert("zone".to_owned(), AttributeValue::S("Asia/Tokyo".to_owned()));
    table.put(item).await;
    // It has unsubscribed, and its entry says that it can be reached.
    let mut item = table.item(&pk(&unsubscribed), unsubscribed.id.as_str()).await.expect("an item");
    item.remove("subscription");
    table.put(item).await;
    let reachable = Audience { reachable_only: true, ..Audience::default() };
    assert_eq!(store.scan(&scan(&app, &reachable, 10)).await.expect("a read").items, [same]);
    let both = store.scan(&scan(&app, &everyone, 10)).await.expect("a read").items;
    assert_eq!(both.len(), 2, "{both:?}");
}

fn body(asked: &Asked<'_>) -> Value {
    serde_json::from_slice(asked.body).expect("a request is JSON")
}

/// DynamoDB does what it can of a batch, and says what it has left.
#[tokio::test]
async fn what_a_batch_leaves_is_asked_for_again() {
    let table = Table::new().await;
    let schedule = table.suite().schedule(&key("one")).await;
    let left = AtomicU32::new(0);
    let http = faulty(rondo_aws::http::client(), move |asked| {
        let name = match asked.operation {
            "BatchWriteItem" => "UnprocessedItems",
            "BatchGetItem" => "UnprocessedKeys",
            _ => return None,
        };
        let answer = json!({"Responses": {}, name: body(asked)["RequestItems"]});
        (left.fetch_add(1, Ordering::SeqCst) % 3 < 2).then(|| Fault::Answer(200, answer.to_string()))
    });
    let store = table.store_through_at(http, Jumping::at(at(0)));
    let ids: Vec<_> = (0..260).map(|n| id(&format!("device {n}"))).collect();
    assert_eq!(store.tell_devices(schedule, at(10), &ids, at(11)).await, Ok(()));
    let told = store.told_devices(schedule, at(10), &ids).await.expect("a read");
    assert_eq!(told, ids.iter().cloned().collect());
    let kept = named(&table, &format!("SCHEDULE#{schedule}#TOLD#")).await;
    assert_eq!(kept.len(), 260);
    let partitions: BTreeSet<&str> = kept.iter().filter_map(|name| name.split(' ').next()).collect();
    assert_eq!(partitions.len(), 16);
    let never = faulty(rondo_aws::http::client(), |asked| {
        let answer = json!({"UnprocessedItems": body(asked)["RequestItems"]});
        (asked.operation == "BatchWriteItem").then(|| Fault::Answer(200, answer.to_string()))
    });
    let store = table.store_through_at(never, Jumping::at(at(0)));
    let failed = store.tell_devices(schedule, at(20), &ids[..3], at(21)).await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
}

#[tokio::test]
async fn what_was_told_is_kept_for_sixty_days() {
    let table = Table::new().await;
    let schedule = table.suite().schedule(&key("one")).await;
    let clock = Jumping::at(at(0));
    let store = table.store_at(clock.clone());
    let ids = [id("phone")];
    assert_eq!(store.tell_devices(schedule, at(10), &ids, at(11)).await, Ok(()));
    clock.pass(Span::from_secs(60 * 86_400 + 11));
    assert_eq!(store.told_devices(schedule, at(10), &ids).await.map(|told| told.len()), Ok(1));
    clock.pass(Span::from_secs(2));
    assert_eq!(store.told_devices(schedule, at(10), &ids).await.map(|told| told.len()), Ok(0));
}
