//! The data folder: one process, its owner alone, and no version from the future.

use crate::world::{World, options};
use rondo_local::{LocalStore, OpenError};
use std::os::unix::fs::PermissionsExt;

#[tokio::test]
async fn a_second_process_is_told_who_holds_the_folder() {
    let world = World::new();
    let refused = world.open_again().err().unwrap();
    assert!(matches!(&refused, OpenError::Held { pid: Some(pid), .. } if *pid == std::process::id()));
    assert!(
        refused.to_string().ends_with(&format!("is in use by another process (pid {})", std::process::id()))
    );
    world.store.close().await;
    assert!(world.open_again().is_ok(), "closed, the folder is free though the store is still there");
}

#[tokio::test]
async fn the_folder_is_its_owners_alone() {
    let world = World::new();
    let inner = world.folder.path().join("data/rondo");
    let _store = LocalStore::open(options(&inner, world.clock.clone())).unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    assert_eq!(mode(&inner.join("rondo.db")), 0o600);
}

#[tokio::test]
async fn a_folder_of_a_newer_version_is_left_alone() {
    let world = World::new();
    world.store.close().await;
    let database = rusqlite::Connection::open(world.folder.path().join("rondo.db")).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    assert!(matches!(world.open_again(), Err(OpenError::NewerSchema { found: 99, .. })));
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let world = World::new();
    world.store.close().await;
    assert!(world.try_create(|_, _| {}).await.is_err());
}
