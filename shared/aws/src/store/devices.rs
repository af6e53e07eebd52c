//! `DeviceStore`: devices by id, their aliases and groups. Finding them by group is in `scanning`, what they were told in
//! `told`.
//!
//! A device is one item, written over the revision that was read. Beside it stand an item for its alias, written in the
//! same transaction where the alias changes, and one for its group, put before the first device that is in it and
//! never removed: so every device's group is among its app's groups, some of which may be empty by now.

use super::{
    DynamoStore,
    calls::{Commit, Expression, Refusal, TRIES, Write, text},
    device_item::{device_in, device_item, keys_of},
    keys::{Key, alias_pk, app_group, groups_pk},
    schema::{APP_GROUP, PK, SK},
};
use async_trait::async_trait;
use rondo_domain::{
    ids::{AppKey, ScheduleId},
    ports::{DeviceStore, Page, Scan, StoreError},
    push::device::{Device, Group, RegistrationId},
    time::Timestamp,
};
use std::collections::BTreeSet;

#[async_trait]
impl DeviceStore for DynamoStore {
    async fn devices(&self, app: &AppKey, ids: &[RegistrationId]) -> Result<Vec<Device>, StoreError> {
        // DynamoDB refuses a batch that asks twice for the same.
        let ids: BTreeSet<&RegistrationId> = ids.iter().collect();
        let ids: Vec<RegistrationId> = ids.into_iter().cloned().collect();
        let items = self.get_all(&keys_of(app, &ids), true).await?;
        items.iter().map(device_in).collect()
    }

    async fn put_device(&self, app: &AppKey, device: &Device, if_revision: u64) -> Result<bool, StoreError> {
        if if_revision > 0 {
            // Most writes leave alias and group as they are, and are one write of one item.
            let alike = Expression::revision(if_revision).and(same_names(app, device));
            match self.commit_device(vec![Write::put(device_item(app, device)?, alike)], device).await? {
                PutOver::Done => return Ok(true),
                PutOver::Refused(Some(present)) if present.revision == if_revision => {
                    return self.put_moved(app, device, if_revision, present.alias).await;
                }
                PutOver::Refused(_) => return Ok(false),
            }
        }
        self.put_moved(app, device, if_revision, None).await
    }

    async fn remove_device(&self, app: &AppKey, id: &RegistrationId) -> Result<bool, StoreError> {
        let key = Key::of_device(app, id);
        for _ in 0..TRIES {
            let Some(item) = self.get(&key, true).await? else {
                return Ok(false);
            };
            let device = device_in(&item)?;
            let condition = Some(Expression::revision(device.revision));
            let mut writes = vec![Write::Delete { key: key.clone(), condition }];
            writes.extend(device.alias.map(|alias| forget_alias(app, &alias, id)));
            if let Commit::Done = self.commit(writes).await? {
                return Ok(true);
            }
        }
        Err(StoreError::Unavailable(format!("{}: the device is written by too many at once", self.table)))
    }

    async fn of_alias(
        &self,
        app: &AppKey,
        alias: &str,
        after: Option<&RegistrationId>,
        limit: usize,
    ) -> Result<Page<RegistrationId, RegistrationId>, StoreError> {
        let mut keys = Expression::new("#pk = :pk", &[PK], [("pk", text(alias_pk(app, alias)))]);
        if let Some(after) = after {
            keys = keys.and(Expression::new("#sk > :after", &[SK], [("after", text(after.as_str()))]));
        }
        let most = i32::try_from(limit).unwrap_or(i32::MAX).max(1);
        let page = self.query(&keys).consistent_read(true).limit(most).send().await;
        let page = page.map_err(|error| self.failed(&error))?;
        let ids = page.items().iter().map(|item| Key::of_item(item)?.registration_id());
        let items = ids.collect::<Result<_, _>>()?;
        let last = page.last_evaluated_key.as_ref();
        let next = last.map(|last| Key::of_item(last)?.registration_id()).transpose()?;
        Ok(Page { items, next })
    }

    /// Eventually consistent, as the index of the devices is: a group whose first device was registered a moment ago
    /// may be missing.
    async fn groups(&self, app: &AppKey) -> Result<Vec<Group>, StoreError> {
        let keys = Expression::new("#pk = :pk", &[PK], [("pk", text(groups_pk(app)))]);
        let (mut groups, mut after) = (Vec::new(), None);
        loop {
            let page = self.query(&keys).set_exclusive_start_key(after).send().await;
            let page = page.map_err(|error| self.failed(&error))?;
            for item in page.items() {
                let key = Key::of_item(item)?;
                groups.push(key.sk.parse().map_err(|_| key.corrupt("its key is no group's"))?);
            }
            after = page.last_evaluated_key;
            if after.is_none() {
                return Ok(groups);
            }
        }
    }

    async fn count(&self, scan: &Scan<'_>) -> Result<u64, StoreError> {
        self.count_devices(scan).await
    }

    async fn scan(&self, scan: &Scan<'_>) -> Result<Page<Device, RegistrationId>, StoreError> {
        self.scan_devices(scan).await
    }

    async fn told_devices(
        &self,
        schedule: ScheduleId,
        occasion: Timestamp,
        ids: &[RegistrationId],
    ) -> Result<BTreeSet<RegistrationId>, StoreError> {
        self.devices_told(schedule, occasion, ids).await
    }

    async fn tell_devices(
        &self,
        schedule: ScheduleId,
        occasion: Timestamp,
        ids: &[RegistrationId],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.note_told(schedule, occasion, ids, now).await
    }
}

/// What came of putting a device.
enum PutOver {
    Done,
    /// Another stands there, or none does.
    Refused(Option<Box<Device>>),
}

impl DynamoStore {
    /// A device that is new, or whose alias or group changes: `alias` is the one that it had.
    async fn put_moved(
        &self,
        app: &AppKey,
        device: &Device,
        if_revision: u64,
        alias: Option<String>,
    ) -> Result<bool, StoreError> {
        self.put_group(app, device.group()).await?;
        let as_read = if if_revision == 0 { Expression::absent() } else { Expression::revision(if_revision) };
        let mut writes = vec![Write::put(device_item(app, device)?, as_read)];
        if alias != device.alias {
            writes.extend(alias.map(|old| forget_alias(app, &old, &device.id)));
            writes.extend(
                device.alias.as_ref().map(|new| Write::Put {
                    item: Key::of_alias(app, new, &device.id).item(),
                    condition: None,
                }),
            );
        }
        Ok(matches!(self.commit_device(writes, device).await?, PutOver::Done))
    }

    /// The device's own write is the first.
    async fn commit_device(&self, writes: Vec<Write>, device: &Device) -> Result<PutOver, StoreError> {
        let Commit::Refused(refused) = self.commit(writes).await? else {
            return Ok(PutOver::Done);
        };
        let present = match refused.into_iter().next().flatten() {
            Some(Refusal { present }) => present.map(|item| device_in(&item)).transpose()?,
            None => None,
        };
        // Just this is there: its own write, asked for again as its answer was lost.
        if present.as_ref() == Some(device) {
            return Ok(PutOver::Done);
        }
        Ok(PutOver::Refused(present.map(Box::new)))
    }

    async fn put_group(&self, app: &AppKey, group: Group) -> Result<(), StoreError> {
        let (named, now) = (app_group(app, group), self.clock.now());
        if self.groups.get(&named, now).is_none() {
            self.put_plain(Key::of_group(app, group).item()).await?;
            self.groups.put(named, (), now);
        }
        Ok(())
    }
}

/// The device that is there has the same alias and is in the same group.
fn same_names(app: &AppKey, device: &Device) -> Expression {
    let group = [("group", text(app_group(app, device.group())))];
    let alias = match &device.alias {
        Some(alias) => Expression::new("#alias = :alias", &["alias"], [("alias", text(alias))]),
        None => Expression::new("attribute_not_exists(#alias)", &["alias"], []),
    };
    Expression::new(format!("#{APP_GROUP} = :group"), &[APP_GROUP], group).and(alias)
}

fn forget_alias(app: &AppKey, alias: &str, id: &RegistrationId) -> Write {
    Write::Delete { key: Key::of_alias(app, alias, id), condition: None }
}
