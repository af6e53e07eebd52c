//! Idempotency keys on disk.

use crate::world::{World, app_key, at};
use rondo_domain::{
    ids::ScheduleId,
    ports::{AppStore, Created, IdempotencyKey, NewSchedule, ScheduleStore},
    time::Span,
};

/// The world's template, made with a key at `seconds`; the key expires a minute later.
async fn make(world: &World, template: ScheduleId, key: &str, seconds: u64) -> Created {
    let known = world.store.load(template).await.unwrap().unwrap();
    let created_at = at(seconds * 1000);
    let id = ScheduleId::new(created_at, u128::from(world.token().0) << 64);
    let mut definition = (*known.definition).clone();
    (definition.id, definition.created_at) = (id, created_at);
    let mut state = known.state;
    (state.id, state.change_token) = (id, world.token());
    let idempotency = Some(IdempotencyKey {
        key: key.to_owned(),
        fingerprint: "this".to_owned(),
        expires_at: created_at.plus(Span::from_secs(60)),
    });
    let new = NewSchedule { definition, state, number_it: false, limit: None, push_limit: None, idempotency };
    world.store.create(new).await.unwrap()
}

#[tokio::test]
async fn a_key_survives_a_crash_with_its_schedule() {
    let world = World::new();
    let template = world.create(|_, _| {}).await;
    let Created::Done(made) = make(&world, template, "key", 0).await else { panic!("it is new") };
    let world = world.crash();
    let Created::Replayed(known) = make(&world, template, "key", 59).await else { panic!("it is known") };
    assert_eq!(known.definition, made);
    assert!(matches!(make(&world, template, "key", 60).await, Created::Done(_)));
}

#[tokio::test]
async fn keys_go_when_they_have_expired_and_with_their_app() {
    let world = World::new();
    let template = world.create(|_, _| {}).await;
    for number in 0..25 {
        assert!(matches!(make(&world, template, &number.to_string(), 0).await, Created::Done(_)));
    }
    let count = || -> u32 {
        let database = rusqlite::Connection::open(world.folder.path().join("rondo.db")).unwrap();
        database.query_row("SELECT count(*) FROM idempotency_keys", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(), 25);
    for (number, left) in [(100, 16), (101, 7), (102, 3), (103, 4)] {
        make(&world, template, &number.to_string(), 60).await;
        assert_eq!(count(), left, "each new key takes ten of the old ones with it");
    }
    let app = rondo_domain::app::App {
        key: app_key(),
        name: "app".to_owned(),
        time_zone: chrono_tz::UTC,
        created_at: at(0),
        secrets: Vec::new(),
        signing_secrets: Vec::new(),
        limits: Default::default(),
        push: Default::default(),
    };
    assert!(world.store.add_app(app).await.unwrap());
    assert!(world.store.remove_app(&app_key()).await.unwrap());
    assert_eq!(count(), 0);
}
