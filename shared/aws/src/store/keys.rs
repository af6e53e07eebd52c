//! How things are named in the table, and read back from their names.

use super::{
    calls::Item,
    schema::{PK, SHARDS, SK},
};
use aws_sdk_dynamodb::types::AttributeValue;
use rondo_domain::{
    ids::{AppKey, ExecutionId, ScheduleId},
    ports::StoreError,
    push::device::{Group, RegistrationId},
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
pub(crate) const DEVICES: &str = "DEVICES";
pub(crate) const GROUPS: &str = "GROUPS";
pub(crate) const ALIAS: &str = "ALIAS";
pub(crate) const TOLD: &str = "TOLD";
/// Of an app's counters: its schedules that have not ended, and those of them that are scheduled pushes.
pub(crate) const LIVE: &str = "live";
pub(crate) const LIVE_PUSHES: &str = "live_pushes";
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

    /// A device: an app's lie in as many partitions as there are shards, by their positions.
    pub fn of_device(app: &AppKey, id: &RegistrationId) -> Key {
        Key { pk: devices_pk(app, shard_of(id)), sk: id.to_string() }
    }

    pub fn of_group(app: &AppKey, group: Group) -> Key {
        Key { pk: groups_pk(app), sk: group.to_string() }
    }

    /// That a device has this alias.
    pub fn of_alias(app: &AppKey, alias: &str, id: &RegistrationId) -> Key {
        Key { pk: alias_pk(app, alias), sk: id.to_string() }
    }

    /// What a device was told of last by a schedule.
    pub fn of_told(schedule: ScheduleId, id: &RegistrationId) -> Key {
        Key { pk: told_pk(schedule, shard_of(id)), sk: id.to_string() }
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
        let numbers = self.sk.strip_prefix(EXECUTION).and_then(|rest| {
            let mut parts = rest.split('#');
            let (number, slot) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let page = parts.next().map_or(Some(0), |page| page.parse().ok())?;
            parts.next().is_none().then_some((number, slot, page))
        });
        let (number, slot, page) = numbers.ok_or_else(|| self.corrupt("its key is no execution's"))?;
        Ok(self.schedule()?.execution(number, slot).page(slot, page))
    }

    /// Of an item whose range key is a device's id.
    pub fn registration_id(&self) -> Result<RegistrationId, StoreError> {
        self.sk.parse().map_err(|_| self.corrupt("its key is no device's"))
    }

    /// The item in a user's words.
    pub fn what(&self) -> &'static str {
        match self.sk.as_str() {
            APP => "the app",
            LISTENERS => "the app's listeners",
            STATE => "the schedule's state",
            DEFINITION => "the schedule's definition",
            sk if sk.starts_with(EXECUTION) => "the execution's record",
            _ if self.pk.contains("#DEVICES#") => "the device",
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

/// Ten digits hold every number, three every slot, five every page: the keys sort as the ids do. What is no page
/// says none.
pub(crate) fn execution_sk(id: ExecutionId) -> String {
    let sk = format!("{EXECUTION}{:010}#{:03}", id.number, id.slot);
    if id.page > 0 { format!("{sk}#{:05}", id.page) } else { sk }
}

pub(crate) fn devices_pk(app: &AppKey, shard: u64) -> String {
    format!("APP#{app}#{DEVICES}#{shard:02}")
}

pub(crate) fn groups_pk(app: &AppKey) -> String {
    format!("APP#{app}#{GROUPS}")
}

pub(crate) fn alias_pk(app: &AppKey, alias: &str) -> String {
    format!("APP#{app}#{ALIAS}#{alias}")
}

pub(crate) fn told_pk(schedule: ScheduleId, shard: u64) -> String {
    format!("SCHEDULE#{schedule}#{TOLD}#{shard:02}")
}

fn shard_of(id: &RegistrationId) -> u64 {
    u64::from(id.position()) % SHARDS
}

/// Where the index `by_group` has an app's devices of one group. No shard: positions spread evenly over the range, so
/// that DynamoDB can split a group that is much used between any two of them.
pub(crate) fn app_group(app: &AppKey, group: Group) -> String {
    format!("{app}#{group}")
}

/// Its range key there: ten digits hold every position, so that they sort as positions do, and then as ids.
pub(crate) fn position_of(id: &RegistrationId) -> String {
    format!("{:010}#{id}", id.position())
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

    /// The pages of one occurrence come due together: they spread over all shards.
    pub fn shard_of_execution(id: ExecutionId) -> String {
        Due::Attempts.shard_at(id.schedule.hash().wrapping_add(u64::from(id.page)) % SHARDS)
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
        for (slot, page) in [(0, 1), (52, 7), (255, u16::MAX)] {
            let page = id(9 << 50).execution(3, 0).page(slot, page);
            assert_eq!(Key::of_execution(page).execution(), Ok(page));
        }
        for wrong in ["EXECUTION#x#000", "EXECUTION#1#000#x", "EXECUTION#1#000#1#1", "EXECUTION#1"] {
            let read = Key::of_schedule(id(3 << 50), wrong).execution();
            assert!(matches!(read, Err(StoreError::Corrupt(text)) if text.contains(wrong)), "{wrong}");
        }
    }

    #[test]
    fn keys_sort_as_numbers_do() {
        let sk = |number| execution_sk(id(1 << 50).execution(number, 0));
        assert!(sk(9) < sk(10) && sk(10) < sk(u32::MAX));
        assert_eq!(sk(3), "EXECUTION#0000000003#000");
        let third = id(1 << 50).execution(3, 0);
        assert_eq!(execution_sk(third.page(52, 7)), "EXECUTION#0000000003#052#00007");
        let mut ids = vec![id(1 << 50).execution(4, 0), third];
        for (slot, page) in [(0, 1), (0, 10), (0, 9), (1, 1), (1, 0), (255, 65_535), (10, 300)] {
            ids.push(third.page(slot, page));
        }
        let mut keys: Vec<String> = ids.iter().map(|id| execution_sk(*id)).collect();
        ids.sort_unstable();
        keys.sort_unstable();
        assert_eq!(keys, ids.iter().map(|id| execution_sk(*id)).collect::<Vec<_>>());
    }

    #[test]
    fn devices_spread_and_sort_by_position() {
        let app: AppKey = "team-a".parse().unwrap();
        let ids: Vec<RegistrationId> = (0..500).map(|n| format!("d#{n}").parse().unwrap()).collect();
        let used: std::collections::BTreeSet<String> =
            ids.iter().map(|id| Key::of_device(&app, id).pk).collect();
        assert_eq!(used.len(), SHARDS as usize);
        assert!(used.contains("APP#team-a#DEVICES#07"));
        assert!(ids.iter().all(|id| Key::of_device(&app, id).registration_id().as_ref() == Ok(id)));
        let mut by_key = ids.clone();
        by_key.sort_by_key(position_of);
        let mut by_position = ids;
        by_position.sort_by_key(|id| (id.position(), id.clone()));
        assert_eq!(by_key, by_position);
        assert!(app_of(&devices_pk(&app, 7)).is_none() && schedule_of(&told_pk(id(1), 7)).is_none());
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
