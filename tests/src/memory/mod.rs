//! The world in memory: every port with the semantics that its documentation asks for, durable claims with
//! leases included, and nothing of how AWS or SQLite do it. The reference that both are held against.
//!
//! Deterministic: ordered maps, no clock (time comes with each call), no chance.

mod devices;
mod executions;
mod listeners;
mod queue;
mod states;

pub use queue::{MemoryQueue, Received};

use rondo_domain::{
    app::App,
    execution::Execution,
    ids::{AppKey, ExecutionId, ScheduleId, Token},
    notice::Listener,
    push::device::{Device, RegistrationId},
    schedule::Definition,
    state::{ClaimAnswer, State},
    time::Timestamp,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

/// Something that has just been written; told in the order of the writes.
#[derive(Clone, Debug)]
pub enum Applied {
    Claim {
        id: ScheduleId,
        number: u32,
        generation: u32,
        token: Token,
        answer: ClaimAnswer,
    },
    AttemptClaim {
        id: ExecutionId,
        generation: u32,
        token: Token,
        tries: u8,
    },
    /// An outcome is on record; whether it is counted already is another matter.
    Recorded {
        id: ExecutionId,
    },
    Changed {
        id: ScheduleId,
        generation: u32,
    },
}

pub type Watch = dyn Fn(&Applied) + Send + Sync;

struct Row {
    definition: Arc<Definition>,
    state: State,
    /// Of its creation: finding one's own means that the write had succeeded.
    created_with: Token,
}

/// What an idempotency key made.
struct Kept {
    fingerprint: String,
    expires_at: Timestamp,
    schedule: ScheduleId,
}

#[derive(Default)]
struct Tables {
    apps: BTreeMap<AppKey, Arc<App>>,
    /// The last number given to a request, by app.
    numbers: BTreeMap<AppKey, u64>,
    rows: BTreeMap<ScheduleId, Row>,
    keys: BTreeMap<(AppKey, String), Kept>,
    executions: BTreeMap<ExecutionId, Execution>,
    listeners: BTreeMap<AppKey, Vec<Listener>>,
    devices: BTreeMap<(AppKey, RegistrationId), Device>,
    /// The last occasion that a device was told of.
    told: BTreeMap<(ScheduleId, RegistrationId), Timestamp>,
}

/// All stores in one; cheap to share.
pub struct Memory {
    tables: Mutex<Tables>,
    watch: Option<Box<Watch>>,
}

impl Memory {
    pub fn new() -> Self {
        Memory { tables: Mutex::default(), watch: None }
    }

    /// `watch` is told of claims and changes while the store is locked: it must not call back.
    pub fn watched(watch: Box<Watch>) -> Self {
        Memory { tables: Mutex::default(), watch: Some(watch) }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().expect("no test goes on after a panic under this lock")
    }

    fn tell(&self, applied: &Applied) {
        if let Some(watch) = &self.watch {
            watch(applied);
        }
    }

    /// Everything stored, for looking at it from outside.
    pub fn snapshot(&self) -> Vec<(Arc<Definition>, State, Vec<Execution>)> {
        let tables = self.tables();
        let rows = tables.rows.iter();
        rows.map(|(id, row)| {
            let records = tables.executions.range(executions::of(*id)).map(|(_, record)| record.clone());
            (Arc::clone(&row.definition), row.state.clone(), records.collect())
        })
        .collect()
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}
