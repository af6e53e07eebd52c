//! A full disk: refusals that say so, nothing lost, and work again when there is room. SQLite's own limit on
//! the number of pages stands for the disk's; it fails in the same place with the same code.

use crate::world::{World, app_key, at};
use rondo_domain::ports::{AppStore, ScheduleStore, StoreError};
use std::collections::BTreeMap;

#[tokio::test]
async fn a_full_disk_refuses_what_is_new_and_keeps_what_was_acknowledged() {
    let world = World::with(|options| options.max_pages = Some(60));
    crate::world::add_app(&world.store).await;
    let large = |definition: &mut rondo_domain::schedule::Definition| {
        definition.tags = BTreeMap::from([("filler".to_owned(), "x".repeat(2000))]);
    };
    let mut kept = Vec::new();
    let refused = loop {
        match world.try_create(|definition, _| large(definition)).await {
            Ok(id) => kept.push(id),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::Full(_)), "{refused:?}");
    assert!(kept.len() > 10);
    // Together they are refused as well, each of them.
    let many = (0..20).map(|_| world.try_create(|definition, _| large(definition)));
    for outcome in futures_util::future::join_all(many).await {
        assert!(matches!(outcome, Err(StoreError::Full(_))), "{outcome:?}");
    }
    for id in &kept {
        assert!(world.store.load(*id).await.unwrap().is_some());
    }
    // Room again: what goes leaves its pages to what comes.
    world.store.remove_app(&app_key()).await.unwrap();
    let id = world.create(|definition, _| large(definition)).await;
    let world = world.crash();
    assert!(world.store.load(id).await.unwrap().is_some());
    assert_eq!(world.store.overdue(at(0), 100).await.unwrap(), [id]);
}

#[tokio::test]
async fn what_was_acknowledged_before_is_there_after_a_crash() {
    let world = World::with(|options| options.max_pages = Some(60));
    let mut kept = Vec::new();
    while let Ok(id) = world.try_create(|_, _| {}).await {
        kept.push(id);
    }
    let world = world.crash();
    for id in kept {
        assert!(world.store.load(id).await.unwrap().is_some());
    }
}
