//! The table: items, keys and indexes, and every conditional write on them. No rule of a schedule is here: a state
//! is read, the domain's transition runs on it, and it is written whole, if nobody else wrote it meanwhile.
//!
//! Reading order: [`schema`] and `keys` (what the table holds), `state_item`, `records` and `device_item` (how the
//! domain's values lie in it), `calls` and `batches` (what DynamoDB is asked), `transition` (the loop under every write
//! of a state), and then a file for each port or a part of it: `apps`, `removal`, `creating`, `schedules`, `listing`,
//! `due`, `states`, `closing`, `executions`, `attempts`, `pages`, `listeners`, `devices`, `scanning`, `told`,
//! `statistics`. [`size`] and [`units`] are DynamoDB's arithmetic.

mod apps;
mod attempts;
mod batches;
mod cache;
mod calls;
mod closing;
mod creating;
mod device_item;
mod devices;
mod due;
mod executions;
mod keys;
mod listeners;
mod listing;
mod pages;
mod records;
mod removal;
mod scanning;
mod schedules;
mod state_item;
mod states;
mod statistics;
mod told;
mod transition;
mod values;

#[cfg(test)]
mod items_tests;
#[cfg(test)]
mod push_items_tests;

pub mod schema;
pub mod size;
pub mod units;

pub use calls::Item;

use crate::AwsSettings;
use aws_sdk_dynamodb::Client;
use cache::{Remembered, States};
use rondo_domain::{
    app::App,
    ids::AppKey,
    notice::Listener,
    ports::Clock,
    time::{Span, Timestamp},
};
use std::sync::{Arc, atomic::AtomicU64};

/// Everything that is stored, on one table. Its clones share what they remember.
#[derive(Clone)]
pub struct DynamoStore {
    client: Client,
    table: Arc<str>,
    clock: Arc<dyn Clock>,
    /// How long records and ended schedules are kept.
    retention: Span,
    apps: Arc<Remembered<AppKey, Arc<App>>>,
    listeners: Arc<Remembered<AppKey, Arc<[Listener]>>>,
    /// Apps' groups of devices that were put, by what the index calls them.
    groups: Arc<Remembered<String, ()>>,
    states: Arc<States>,
    /// How many writes were tried again: makes their pauses differ.
    tried: Arc<AtomicU64>,
}

impl DynamoStore {
    pub fn new(client: Client, settings: &AwsSettings, clock: Arc<dyn Clock>) -> DynamoStore {
        DynamoStore {
            client,
            table: Arc::from(settings.table.as_str()),
            clock,
            retention: settings.retention,
            apps: Arc::new(Remembered::new(settings.cache)),
            listeners: Arc::new(Remembered::new(settings.cache)),
            groups: Arc::new(Remembered::new(settings.cache)),
            states: Arc::default(),
            tried: Arc::default(),
        }
    }

    /// DynamoDB removes what has expired within days; until then it is treated as gone.
    fn is_alive(&self, item: &Item) -> bool {
        let expires = item.get(schema::EXPIRES_AT).and_then(|at| at.as_n().ok()?.parse::<i64>().ok());
        expires.is_none_or(|at| at > self.clock.now().seconds())
    }

    fn kept_until(&self, at: Timestamp) -> Timestamp {
        at.max(self.clock.now()).plus(self.retention)
    }
}
