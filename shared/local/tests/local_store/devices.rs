//! Devices and pages on disk: what a crash leaves of them, what goes with time, and what goes with the app.

use crate::world::{World, add_app, app_key, at};
use rondo_domain::{
    execution::{Execution, ExecutionStatus},
    ids::ScheduleId,
    ports::{AppStore, DeviceStore, ExecutionStore, Scan},
    push::{
        audience::Audience,
        device::{Device, Platform, RegistrationId},
        fan_out::Range,
    },
    time::{Span, Timestamp},
};

const DAY: Span = Span::from_secs(86_400);

fn device(name: &str) -> Device {
    let mut device = Device::new(name.parse().unwrap(), Platform::Web, at(0));
    device.zone = Some(chrono_tz::Europe::Madrid);
    device.tags = ["news", "sport"].map(str::to_owned).into();
    device.alias = Some("owner".to_owned());
    device.revision = 1;
    device
}

fn rows(world: &World, table: &str) -> u32 {
    let database = rusqlite::Connection::open(world.folder.path().join("rondo.db")).unwrap();
    database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

fn page_of(world: &World, schedule: ScheduleId, slot: u8, page: u16, due: Timestamp) -> Execution {
    let id = schedule.execution(1, 0).page(slot, page);
    let mut record = Execution::new(id, app_key(), 1, at(0), due, world.token());
    record.status = ExecutionStatus::Waiting;
    record.next_attempt_at = Some(due);
    record
}

#[tokio::test]
async fn pages_wait_through_a_crash_and_come_up_when_they_are_due() {
    let world = World::new();
    let schedule = world.create(|_, _| {}).await;
    let pages = [
        page_of(&world, schedule, 255, u16::MAX, at(3000)),
        page_of(&world, schedule, 52, 1, at(1000)),
        page_of(&world, schedule, 52, 2, at(1000)),
    ];
    world.store.open_pages(&pages).await.unwrap();
    let world = world.crash();
    assert_eq!(world.state(schedule).await.waiting, 3);
    assert_eq!(world.store.waiting(at(999), 10).await.unwrap(), []);
    let mut found = world.store.waiting(at(1000), 10).await.unwrap();
    found.sort_unstable();
    assert_eq!(found, [pages[1].id, pages[2].id]);
    assert_eq!(world.store.waiting(at(3000), 10).await.unwrap().last(), Some(&pages[0].id));
    assert_eq!(world.store.execution(pages[0].id).await.unwrap().as_ref(), Some(&pages[0]));
}

#[tokio::test]
async fn devices_survive_a_crash_with_their_tags() {
    let world = World::new();
    assert!(world.store.put_device(&app_key(), &device("phone"), 0).await.unwrap());
    let world = world.crash();
    let audience = Audience { tag: ["sport".to_owned()].into(), ..Audience::default() };
    let app = app_key();
    let group = device("phone").group();
    let scan = Scan {
        app: &app,
        group,
        audience: &audience,
        range: Range::ALL,
        moved_since: None,
        after: None,
        limit: 5,
    };
    assert_eq!(world.store.scan(&scan).await.unwrap().items, [device("phone")]);
    assert_eq!(world.store.count(&scan).await.unwrap(), 1);
}

#[tokio::test]
async fn who_was_told_is_forgotten_after_sixty_days_a_few_at_a_time() {
    let world = World::new();
    let (old, new) = (world.create(|_, _| {}).await, world.create(|_, _| {}).await);
    let ids: Vec<RegistrationId> = (0..25).map(|n| format!("device {n}").parse().unwrap()).collect();
    world.store.tell_devices(old, at(0), &ids, at(0)).await.unwrap();
    let later = at(0).plus(Span::from_millis(60 * DAY.millis()));
    world.store.tell_devices(new, later, &ids[..5], later).await.unwrap();
    assert_eq!(rows(&world, "told"), 30, "sixty days are kept");
    let later = later.plus(Span::from_millis(1));
    world.store.tell_devices(new, later, &ids[..5], later).await.unwrap();
    assert_eq!(rows(&world, "told"), 20, "each takes two with it");
    for _ in 0..2 {
        world.store.tell_devices(new, later, &ids[..5], later).await.unwrap();
    }
    assert_eq!(rows(&world, "told"), 5);
    assert!(world.store.told_devices(old, at(0), &ids).await.unwrap().is_empty());
    assert_eq!(world.store.told_devices(new, later, &ids).await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_removed_app_leaves_no_device() {
    let world = World::new();
    add_app(&world.store).await;
    let schedule = world.create(|_, _| {}).await;
    let ids: Vec<RegistrationId> = (0..2500).map(|n| format!("device {n}").parse().unwrap()).collect();
    let devices: Vec<Device> = ids.iter().map(|id| device(id.as_str())).collect();
    let app = app_key();
    let put = devices.iter().map(|device| world.store.put_device(&app, device, 0));
    assert!(futures_util::future::join_all(put).await.into_iter().all(|put| put.unwrap()));
    world.store.tell_devices(schedule, at(0), &ids, at(0)).await.unwrap();
    world.store.open_pages(&[page_of(&world, schedule, 0, 1, at(0))]).await.unwrap();
    let theirs = "other".parse().unwrap();
    assert!(world.store.put_device(&theirs, &device("theirs"), 0).await.unwrap());
    assert_eq!(["devices", "device_tags", "told"].map(|table| rows(&world, table)), [2501, 5002, 2500]);
    assert!(world.store.remove_app(&app).await.unwrap());
    let left = ["devices", "device_tags", "told", "executions"].map(|table| rows(&world, table));
    assert_eq!(left, [1, 2, 0, 0], "what is another app's stays");
}

#[tokio::test]
async fn no_tag_is_left_behind_by_a_change_or_a_move() {
    let world = World::new();
    let app = app_key();
    let first = device("phone");
    assert!(world.store.put_device(&app, &first, 0).await.unwrap());
    let mut second = Device { revision: 2, ..first.clone() };
    second.tags = ["news", "weather", "art"].map(str::to_owned).into();
    assert!(world.store.put_device(&app, &second, 1).await.unwrap());
    assert_eq!(rows(&world, "device_tags"), 3);
    let mut third = Device { revision: 3, ..second.clone() };
    third.set_zone(Some(chrono_tz::Asia::Tokyo), at(5));
    assert!(world.store.put_device(&app, &third, 2).await.unwrap());
    assert_eq!(rows(&world, "device_tags"), 3, "none is left behind in the group it has left");
    assert!(world.store.remove_device(&app, &first.id).await.unwrap());
    assert_eq!((rows(&world, "devices"), rows(&world, "device_tags")), (0, 0));
}
