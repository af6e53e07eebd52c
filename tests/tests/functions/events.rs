//! Every file of `events/` does what its name says, in the order in which a reader would try them.

use super::{
    api::Gateway,
    world::{World, failed},
};
use rondo_aws::envelope;
use rondo_domain::{ids::ScheduleId, message::Message, time::Span};
use rondo_lambda::{
    admin,
    dispatch::{BatchAnswer, Dispatcher, SqsBatch},
    event::Incoming,
    settings::HOLD,
};
use rondo_outbound::SealingKey;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The schedule that the files speak of.
const WRITTEN: &str = "019ad735-847b-8c4d-9a2b-5e0000000000";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../events")
}

fn text(name: &str) -> String {
    let path = folder().join(format!("{name}.json"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn event<T: DeserializeOwned>(name: &str) -> Incoming<T> {
    serde_json::from_str(&text(name)).expect("JSON")
}

/// An event of the gateway, about the schedule `id` in place of the one that is written there.
fn about(name: &str, id: &str) -> Value {
    serde_json::from_str(&text(name).replace(WRITTEN, id)).expect("JSON")
}

async fn admin(world: &World, name: &str) -> Value {
    let vault = SealingKey::from_bytes([7; 32]);
    let reply = admin::answer(&world.engine, &vault, event(name), None).await;
    serde_json::to_value(reply).expect("an answer is JSON")
}

fn id_of(answer: &Value) -> String {
    let body: Value = serde_json::from_str(answer["body"].as_str().expect("a text")).expect("JSON");
    body["id"].as_str().unwrap_or_else(|| panic!("no id: {answer}")).to_owned()
}

async fn expect(gateway: &Gateway, name: &str, id: &str, status: u16) -> Value {
    let answer = gateway.send(about(name, id)).await;
    assert_eq!(answer["statusCode"], status, "{name}: {answer}");
    answer
}

#[tokio::test(start_paused = true)]
async fn the_native_api() {
    let world = World::start().await;
    assert_eq!(admin(&world, "admin/create").await["answer"], "granted");
    let gateway = Gateway::before(&world);
    let id = id_of(&expect(&gateway, "schedules/create", "", 201).await);
    let batch = expect(&gateway, "schedules/batch", "", 200).await;
    assert_eq!(batch["body"].as_str().unwrap().matches("\"links\"").count(), 2, "{batch}");
    let listed = expect(&gateway, "schedules/list", "", 200).await;
    assert!(listed["body"].as_str().unwrap().contains(&id));
    for (name, status) in [
        ("get", 200),
        ("update", 200),
        ("pause", 200),
        ("resume", 200),
        ("run", 202),
        ("executions", 200),
        ("upcoming", 200),
        ("cancel", 200),
        ("preview", 200),
        ("app", 200),
        ("health", 200),
    ] {
        expect(&gateway, &format!("schedules/{name}"), &id, status).await;
    }
    expect(&gateway, "schedules/get", WRITTEN, 404).await;
}

#[tokio::test(start_paused = true)]
async fn the_recurring_callback_contract() {
    let world = World::start().await;
    admin(&world, "admin/create").await;
    let gateway = Gateway::before(&world);
    expect(&gateway, "requests/connection", "", 200).await;
    let id = id_of(&expect(&gateway, "requests/set", "", 200).await);
    for name in ["list", "get_list", "update", "executions", "cancel"] {
        let answer = expect(&gateway, &format!("requests/{name}"), &id, 200).await;
        let speaks_of_it = answer["body"].as_str().unwrap().contains(&id);
        assert!(speaks_of_it || name == "executions" || name == "update", "{name}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_scheduled_push_contract() {
    let world = World::start().await;
    admin(&world, "admin/create").await;
    let gateway = Gateway::before(&world);
    for name in ["device", "activity", "validate"] {
        expect(&gateway, &format!("pushes/{name}"), "", 200).await;
    }
    let created = expect(&gateway, "pushes/create", "", 200).await;
    let body: Value = serde_json::from_str(created["body"].as_str().expect("a text")).expect("JSON");
    let id = body["schedule_id"].as_str().expect("an id");
    let listed = expect(&gateway, "pushes/list", "", 200).await;
    assert!(listed["body"].as_str().unwrap().contains(id));
    for name in ["get", "msg_ids", "update", "delete"] {
        expect(&gateway, &format!("pushes/{name}"), id, 200).await;
    }
    // The only device has no subscription: nobody can be reached.
    let answer = expect(&gateway, "pushes/push", "", 400).await;
    assert!(answer["body"].as_str().unwrap().contains("21011"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn apps() {
    let world = World::start().await;
    assert_eq!(admin(&world, "admin/create").await["answer"], "granted");
    assert!(admin(&world, "admin/list").await.to_string().contains("events-app"));
    let pushes = admin(&world, "admin/push").await;
    assert_eq!((&pushes["answer"], &pushes["push"]["way"]), (&"push".into(), &"gateway".into()), "{pushes}");
    assert!(!pushes.to_string().contains("not-a-secret"), "{pushes}");
    assert_eq!(admin(&world, "admin/rotate").await["answer"], "granted");
    assert_eq!(admin(&world, "admin/remove").await["answer"], "removed");
    assert_eq!(admin(&world, "admin/remove").await["code"], "not_found");
}

async fn dispatch(world: &World, name: &str) -> BatchAnswer {
    let dispatcher = Dispatcher { engine: world.engine.clone(), hold: HOLD };
    let deadline = world.now().plus(Span::from_secs(90));
    dispatcher.answer(event(name), deadline).await.expect("a batch")
}

#[tokio::test(start_paused = true)]
async fn the_delivery_queue() {
    let world = World::start().await;
    admin(&world, "admin/create").await;
    for name in ["wake", "segment", "attempt", "batch"] {
        let name = format!("dispatcher/{name}");
        let Incoming::Event(batch) = event::<SqsBatch>(&name) else { panic!("{name} is no batch") };
        for record in &batch.records {
            let read = envelope::read(&record.body).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(envelope::write(&read), record.body, "{name} is as it would be written today");
        }
        // Nothing of what they speak of is there: whatever is about the past is done with.
        assert_eq!(failed(&dispatch(&world, &name).await), Vec::<&str>::new(), "{name}");
    }
    assert_eq!(failed(&dispatch(&world, "dispatcher/poison").await).len(), 2);
    let scheduled = envelope::read(&text("scheduler/input")).expect("what EventBridge Scheduler sends");
    let written: ScheduleId = WRITTEN.parse().expect("an id");
    assert_eq!(scheduled.message, Message::Wake { id: written, generation: 1 });
    let sweep: Value = serde_json::from_str(&text("sweeper/scheduled")).expect("JSON");
    assert!(sweep.is_object());
}

#[test]
fn every_event_is_used_here() {
    let source = include_str!("events.rs");
    let mut unused = BTreeSet::new();
    for function in fs::read_dir(folder()).expect("the events are there") {
        let function = function.expect("a folder").path();
        for file in fs::read_dir(&function).expect("a folder") {
            let name = file.expect("a file").path();
            let stem = name.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
            if !source.contains(&format!("\"{stem}\"")) && !source.contains(&format!("/{stem}\"")) {
                unused.insert(name);
            }
        }
    }
    assert!(unused.is_empty(), "{unused:?}");
}
