//! Devices, and who was told of what.

use super::Memory;
use async_trait::async_trait;
use rondo_domain::{
    ids::{AppKey, ScheduleId},
    ports::{DeviceStore, Page, Scan, StoreError},
    push::device::{Device, Group, RegistrationId},
    time::Timestamp,
};
use std::collections::BTreeSet;

impl Memory {
    /// All that a scan is to find, in its order.
    fn found(&self, scan: &Scan<'_>) -> Vec<Device> {
        let tables = self.tables();
        let meant = |device: &&Device| {
            device.group() == scan.group
                && scan.range.contains(device.id.position())
                && scan.audience.admits(device)
                && scan.moved_since.is_none_or(|since| device.moved_at > since && device.created_at <= since)
        };
        let of_app = tables.devices.iter().filter(|((app, _), _)| app == scan.app).map(|(_, device)| device);
        let mut found: Vec<Device> = of_app.filter(meant).cloned().collect();
        found.sort_by_key(place);
        found
    }
}

fn place(device: &Device) -> (u32, RegistrationId) {
    (device.id.position(), device.id.clone())
}

#[async_trait]
impl DeviceStore for Memory {
    async fn devices(&self, app: &AppKey, ids: &[RegistrationId]) -> Result<Vec<Device>, StoreError> {
        let tables = self.tables();
        Ok(ids.iter().filter_map(|id| tables.devices.get(&(app.clone(), id.clone())).cloned()).collect())
    }

    async fn put_device(&self, app: &AppKey, device: &Device, if_revision: u64) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        let key = (app.clone(), device.id.clone());
        let present = tables.devices.get(&key);
        if present == Some(device) {
            return Ok(true);
        }
        if present.map_or(0, |present| present.revision) != if_revision {
            return Ok(false);
        }
        tables.devices.insert(key, device.clone());
        Ok(true)
    }

    async fn remove_device(&self, app: &AppKey, id: &RegistrationId) -> Result<bool, StoreError> {
        Ok(self.tables().devices.remove(&(app.clone(), id.clone())).is_some())
    }

    async fn of_alias(
        &self,
        app: &AppKey,
        alias: &str,
        after: Option<&RegistrationId>,
        limit: usize,
    ) -> Result<Page<RegistrationId, RegistrationId>, StoreError> {
        let tables = self.tables();
        let named = tables.devices.iter().filter(|((of, id), device)| {
            of == app && device.alias.as_deref() == Some(alias) && after.is_none_or(|after| id > after)
        });
        let mut items: Vec<RegistrationId> = named.take(limit + 1).map(|((_, id), _)| id.clone()).collect();
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).cloned();
        Ok(Page { items, next })
    }

    async fn groups(&self, app: &AppKey) -> Result<Vec<Group>, StoreError> {
        let tables = self.tables();
        let of_app = tables.devices.iter().filter(|((of, _), _)| of == app);
        let mut groups: Vec<Group> = of_app.map(|(_, device)| device.group()).collect();
        groups.sort_by_key(Group::to_string);
        groups.dedup();
        Ok(groups)
    }

    async fn count(&self, scan: &Scan<'_>) -> Result<u64, StoreError> {
        Ok(self.found(scan).len() as u64)
    }

    async fn scan(&self, scan: &Scan<'_>) -> Result<Page<Device, RegistrationId>, StoreError> {
        let after = scan.after.map(|after| (after.position(), after.clone()));
        let later = |device: &Device| after.as_ref().is_none_or(|after| place(device) > *after);
        let mut items: Vec<Device> =
            self.found(scan).into_iter().filter(later).take(scan.limit + 1).collect();
        let more = items.len() > scan.limit;
        items.truncate(scan.limit);
        let next = items.last().filter(|_| more).map(|last| last.id.clone());
        Ok(Page { items, next })
    }

    async fn told_devices(
        &self,
        schedule: ScheduleId,
        occasion: Timestamp,
        ids: &[RegistrationId],
    ) -> Result<BTreeSet<RegistrationId>, StoreError> {
        let tables = self.tables();
        let told = |id: &&RegistrationId| tables.told.get(&(schedule, (*id).clone())) >= Some(&occasion);
        Ok(ids.iter().filter(told).cloned().collect())
    }

    async fn tell_devices(
        &self,
        schedule: ScheduleId,
        occasion: Timestamp,
        ids: &[RegistrationId],
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tables = self.tables();
        tables.told.extend(ids.iter().map(|id| ((schedule, id.clone()), occasion)));
        Ok(())
    }
}
