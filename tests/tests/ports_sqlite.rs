//! The contract of the ports, kept by SQLite. Its claims live in memory and die with the process, so no lease
//! of theirs ends while it lives.

use rondo_domain::{ports::Clock, time::Timestamp};
use rondo_local::{LocalStore, Options};
use rondo_tests::{
    faults::Stores,
    port_suite::{START, World},
};
use std::sync::Arc;

/// Stands still: the suite says the time with each call.
struct Still;

#[async_trait::async_trait]
impl Clock for Still {
    fn now(&self) -> Timestamp {
        START
    }

    async fn sleep_until(&self, _at: Timestamp) {
        std::future::pending().await
    }
}

async fn world() -> World {
    let folder = tempfile::tempdir().expect("a folder of its own");
    let store = LocalStore::open(Options::new(folder.path(), Arc::new(Still))).expect("a new store");
    let store = Arc::new(store);
    World { stores: Stores::of(&store), keep: Box::new((folder, store)), leases_lapse: false }
}

rondo_tests::port_suite!(crate::world);
