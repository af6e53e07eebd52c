//! How things are named in the table, and read back from their names.

use super::{
    calls::Item,
    schema::{PK, SHARDS, SK},
};
use aws_sdk_dynamodb::types::AttributeValue;
use rondo_domain::{
    ids::{AppKey, ExecutionId, ScheduleId},
    ports::StoreError,
};
use std::fmt;

pub(crate) const APP: &str = "APP";
pub(crate) const COUNTERS: &str = "COUNTERS";
pub(crate) const LISTENERS: &str = "LISTENERS";
pub(crate) const STATISTICS: &str = "STATISTICS#";
pub(crate) const STATE: &str = "STATE";
pub(crate) const DEFINITION: &str = "DEFINITION";
pub(crate) const IDEMPOTENCY: &str = "IDEMPOTENCY";
pub(crate) const EXECUTION: &str = "EXECUTION#";
/// Where `by_app` has the apps themselves.
pub(crate) const ALL_APPS: &str = "APPS";

/// An item's primary key. Names the item in errors, which never hold its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub pk: String,
    pub sk: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pk, self.sk)
    }
}

impl Key {
    pub fn of_app(app: &AppKey, sk: impl Into<String>) -> Key {
        Key { pk: app_pk(app), sk: sk.into() }
    }

    /// Of an idempotency key: its own partition, so that an app's keys spread.
    pub fn of_idempotency(app: &AppKey, key: &str) -> Key {
        Key { pk: format!("{IDEMPOTENCY}#{app}#{key}"), sk: IDEMPOTENCY.to_owned() }
    }

    pub fn of_schedule(id: ScheduleId, sk: impl Into<String>) -> Key {
        Key { pk: schedule_pk(id), sk: sk.into() }
    }

    pub fn of_execution(id: ExecutionId) -> Key {
        Key::of_schedule(id.schedule, execution_sk(id))
    }

    pub fn of_item(item: &Item) -> Result<Key, StoreError> {
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
        match (text(PK), text(SK)) {
            (Some(pk), Some(sk)) => Ok(Key { pk, sk }),
            _ => Err(StoreError::Corrupt("an item without its key".to_owned())),
        }
    }

    pub fn item(&self) -> Item {
        let text = |text: &String| AttributeValue::S(text.clone());
        Item::from([(PK.to_owned(), text(&self.pk)), (SK.to_owned(), text(&self.sk))])
    }

    pub fn schedule(&self) -> Result<ScheduleId, StoreError> {
        schedule_of(&self.pk).ok_or_else(|| self.corrupt("its key is no schedule's"))
    }

    pub fn execution(&self) -> Result<ExecutionId, StoreError> {
        let parts = self.sk.strip_prefix(EXECUTION).and_then(|rest| rest.split_once('#'));
        let numbers = parts.and_then(|(number, slot)| Some((number.parse().ok()?, slot.parse().ok()?)));
        let (number, slot) = numbers.ok_or_else(|| self.corrupt("its key is no execution's"))?;
        Ok(self.schedule()?.execution(number, slot))
    }

    /// The item in a user's words.
    pub fn what(&self) -> &'static str {
        match self.sk.as_str() {
            APP => "the app",
            LISTENERS => "the app's listeners",
            STATE => "the schedule's state",
            DEFINITION => "the schedule's definition",
            sk if sk.starts_with(EXECUTION) => "the execution's record",
            _ => "the item",
        }
    }

    pub fn corrupt(&self, why: impl fmt::Display) -> StoreError {
        StoreError::Corrupt(format!("{self}: {why}"))
    }
}

pub(crate) fn app_pk(app: &AppKey) -> String {
    format!("APP#{app}")
}

pub(crate) fn app_of(pk: &str) -> Option<AppKey> {
    pk.strip_prefix("APP#")?.parse().ok()
}

pub(crate) fn schedule_pk(id: ScheduleId) -> String {
    format!("SCHEDULE#{id}")
}

pub(crate) fn schedule_of(pk: &str) -> Option<ScheduleId> {
    pk.strip_prefix("SCHEDULE#")?.parse().ok()
}

/// Ten digits hold every number, three every slot: the keys sort as the numbers do.
pub(crate) fn execution_sk(id: ExecutionId) -> String {
    format!("{EXECUTION}{:010}#{:03}", id.number, id.slot)
}

/// In which of the index's shards an app's schedule stands.
pub(crate) fn app_shard(app: &AppKey, id: ScheduleId) -> String {
    app_shard_at(app, id.hash() % SHARDS)
}

pub(crate) fn app_shard_at(app: &AppKey, shard: u64) -> String {
    format!("{app}#{shard:02}")
}

/// The app that a shard belongs to.
pub(crate) fn app_of_shard(shard: &str) -> Option<AppKey> {
    shard.rsplit_once('#')?.0.parse().ok()
}

/// What waits to be looked at: schedules, and executions that wait for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    States,
    Attempts,
}

impl Due {
    pub fn shard(self, id: ScheduleId) -> String {
        self.shard_at(id.hash() % SHARDS)
    }

    pub fn shard_at(self, shard: u64) -> String {
        let what = match self {
            Due::States => 'S',
            Due::Attempts => 'A',
        };
        format!("{what}#{shard:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rondo_domain::time::Timestamp;

    fn id(random: u128) -> ScheduleId {
        ScheduleId::new(Timestamp::from_millis(1_764_547_200_123), random)
    }

    #[test]
    fn executions_are_read_back_from_their_keys() {
        for (number, slot) in [(1, 0), (1 << 31, 7), (u32::MAX, 255)] {
            let execution = id(9 << 50).execution(number, slot);
            assert_eq!(Key::of_execution(execution).execution(), Ok(execution));
        }
        let wrong = Key::of_schedule(id(3 << 50), "EXECUTION#x#000").execution();
        assert!(matches!(wrong, Err(StoreError::Corrupt(text)) if text.contains("EXECUTION#x#000")));
    }

    #[test]
    fn keys_sort_as_numbers_do() {
        let sk = |number| execution_sk(id(1 << 50).execution(number, 0));
        assert!(sk(9) < sk(10) && sk(10) < sk(u32::MAX));
        assert_eq!(sk(3), "EXECUTION#0000000003#000");
    }

    #[test]
    fn a_shard_names_its_app() {
        let app: AppKey = "team-a".parse().unwrap();
        let shard = app_shard(&app, id(77 << 50));
        assert_eq!(app_of_shard(&shard), Some(app));
        let used: std::collections::BTreeSet<String> =
            (0..500u128).map(|n| Due::States.shard(id(n << 41))).collect();
        assert_eq!(used.len(), SHARDS as usize, "ids spread over all shards");
    }
}
