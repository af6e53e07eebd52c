//! `DeviceStore`: the registry of devices, and who was told of what. A device is one row; its tags have rows of their
//! own, in the order in which devices are scanned. Finding those who are meant is in `scanning`.

use super::scanning;
use crate::{
    batch::{Batch, Failure},
    rows::{from_json, to_json},
    store::LocalStore,
};
use async_trait::async_trait;
use rondo_domain::{
    ids::{AppKey, ScheduleId},
    ports::{DeviceStore, Page, Scan, StoreError},
    push::device::{Device, Group, Platform, RegistrationId},
    time::{Span, Timestamp},
};
use rusqlite::{OptionalExtension, params};
use std::collections::BTreeSet;

/// For so long it is kept who was told.
const TOLD: Span = Span::from_secs(60 * 86_400);
/// Whoever notes one device takes so many notes with it that are older: they never gather, and no write waits for many.
const SWEPT_FOR_EACH: usize = 2;

#[async_trait]
impl DeviceStore for LocalStore {
    async fn devices(&self, app: &AppKey, ids: &[RegistrationId]) -> Result<Vec<Device>, StoreError> {
        let (app, ids) = (app.clone(), to_json(&ids)?);
        self.inner
            .readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT json FROM devices WHERE app = ?1 AND id IN (SELECT value FROM json_each(?2))",
                )?;
                let mut rows = statement.query(params![app.as_str(), ids])?;
                let mut devices = Vec::new();
                while let Some(row) = rows.next()? {
                    devices.push(device_of(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?);
                }
                Ok(devices)
            })
            .await
    }

    async fn put_device(&self, app: &AppKey, device: &Device, if_revision: u64) -> Result<bool, StoreError> {
        let (app, device, json) = (app.clone(), device.clone(), to_json(device)?);
        self.write(move |batch| {
            let present = stored(batch, &app, &device.id)?;
            if present.as_ref() == Some(&device) {
                return Ok(true);
            }
            if present.as_ref().map_or(0, |present| present.revision) != if_revision {
                return Ok(false);
            }
            put(batch, &app, &device, &json)?;
            put_tags(batch, &app, &device, present.as_ref())?;
            Ok(true)
        })
        .await
    }

    async fn remove_device(&self, app: &AppKey, id: &RegistrationId) -> Result<bool, StoreError> {
        let (app, id) = (app.clone(), id.clone());
        self.write(move |batch| {
            let Some(present) = stored(batch, &app, &id)? else {
                return Ok(false);
            };
            remove_tags(batch, &app, &present, present.tags.iter())?;
            let mut statement =
                batch.connection.prepare_cached("DELETE FROM devices WHERE app = ?1 AND id = ?2")?;
            statement.execute(params![app.as_str(), id.as_str()])?;
            Ok(true)
        })
        .await
    }

    async fn of_alias(
        &self,
        app: &AppKey,
        alias: &str,
        after: Option<&RegistrationId>,
        limit: usize,
    ) -> Result<Page<RegistrationId, RegistrationId>, StoreError> {
        let (app, alias) = (app.clone(), alias.to_owned());
        let after = after.map_or_else(String::new, |after| after.as_str().to_owned());
        self.inner
            .readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT id FROM devices INDEXED BY devices_by_alias
                     WHERE app = ?1 AND alias = ?2 AND id > ?3 ORDER BY id LIMIT ?4",
                )?;
                let more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
                let mut rows = statement.query(params![app.as_str(), alias, after, more])?;
                let mut page = Page { items: Vec::new(), next: None };
                while let Some(row) = rows.next()? {
                    if page.items.len() == limit {
                        page.next = page.items.last().cloned();
                        break;
                    }
                    page.items.push(registration_id(row.get(0)?)?);
                }
                Ok(page)
            })
            .await
    }

    async fn groups(&self, app: &AppKey) -> Result<Vec<Group>, StoreError> {
        let app = app.clone();
        self.inner
            .readers
            .read(move |connection| {
                // From group to group: one look at the index for each.
                let mut statement = connection.prepare_cached(
                    "WITH RECURSIVE groups (grp) AS (
                         SELECT min(grp) FROM devices INDEXED BY devices_by_group WHERE app = ?1
                         UNION ALL
                         SELECT (SELECT min(grp) FROM devices INDEXED BY devices_by_group
                                 WHERE app = ?1 AND grp > groups.grp)
                         FROM groups WHERE grp IS NOT NULL)
                     SELECT grp FROM groups WHERE grp IS NOT NULL",
                )?;
                let mut rows = statement.query([app.as_str()])?;
                let mut groups = Vec::new();
                while let Some(row) = rows.next()? {
                    let name: String = row.get(0)?;
                    let group =
                        name.parse().map_err(|_| StoreError::Corrupt(format!("{name} is no group")))?;
                    groups.push(group);
                }
                Ok(groups)
            })
            .await
    }

    async fn count(&self, scan: &Scan<'_>) -> Result<u64, StoreError> {
        let search = scanning::Search::of(scan)?;
        self.inner.readers.read(move |connection| search.count(connection)).await
    }

    async fn scan(&self, scan: &Scan<'_>) -> Result<Page<Device, RegistrationId>, StoreError> {
        let search = scanning::Search::of(scan)?;
        let (app, limit) = (scan.app.clone(), scan.limit);
        let found = self.inner.readers.read(move |connection| search.page(connection, &app, limit)).await?;
        let (devices, next) = found;
        // Between the search and the reading of its rows some may have changed.
        let still_meant = |device: &Device| {
            device.group() == scan.group
                && scan.audience.admits(device)
                && scan.moved_since.is_none_or(|since| device.moved_at > since && device.created_at <= since)
        };
        Ok(Page { items: devices.into_iter().filter(still_meant).collect(), next })
    }

    async fn told_devices(
        &self,
        schedule: ScheduleId,
        occasion: Timestamp,
        ids: &[RegistrationId],
    ) -> Result<BTreeSet<RegistrationId>, StoreError> {
        let ids = to_json(&ids)?;
        self.inner
            .readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT device FROM told WHERE schedule = ?1 AND occasion >= ?2
                     AND device IN (SELECT value FROM json_each(?3))",
                )?;
                let mut rows = statement.query(params![schedule.bytes(), occasion.millis(), ids])?;
                let mut told = BTreeSet::new();
                while let Some(row) = rows.next()? {
                    told.insert(registration_id(row.get(0)?)?);
                }
                Ok(told)
            })
            .await
    }

    async fn tell_devices(
        &self,
        schedule: ScheduleId,
        occasion: Timestamp,
        ids: &[RegistrationId],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let (json, swept) = (to_json(&ids)?, (ids.len() * SWEPT_FOR_EACH) as i64);
        self.write(move |batch| {
            let connection = batch.connection;
            connection
                .prepare_cached(
                    "DELETE FROM told WHERE (schedule, device) IN
                         (SELECT schedule, device FROM told WHERE at < ?1 ORDER BY at LIMIT ?2)",
                )?
                .execute(params![now.minus(TOLD).millis(), swept])?;
            connection
                .prepare_cached(
                    "INSERT INTO told (schedule, device, occasion, at)
                     SELECT ?1, value, ?2, ?3 FROM json_each(?4) WHERE true
                     ON CONFLICT DO UPDATE SET occasion = excluded.occasion, at = excluded.at",
                )?
                .execute(params![schedule.bytes(), occasion.millis(), now.millis(), json])?;
            Ok(())
        })
        .await
    }
}

pub(super) fn device_of(json: &str) -> Result<Device, StoreError> {
    from_json(json, "a device")
}

pub(super) fn registration_id(text: String) -> Result<RegistrationId, StoreError> {
    text.parse().map_err(|_| StoreError::Corrupt("a registration id".to_owned()))
}

pub(super) fn platform_code(platform: Platform) -> i64 {
    match platform {
        Platform::Android => 0,
        Platform::Ios => 1,
        Platform::Hmos => 2,
        Platform::Web => 3,
    }
}

/// As this transaction sees it.
fn stored(batch: &Batch<'_>, app: &AppKey, id: &RegistrationId) -> Result<Option<Device>, Failure> {
    let mut statement =
        batch.connection.prepare_cached("SELECT json FROM devices WHERE app = ?1 AND id = ?2")?;
    let json: Option<String> =
        statement.query_row(params![app.as_str(), id.as_str()], |row| row.get(0)).optional()?;
    Ok(json.map(|json| device_of(&json)).transpose()?)
}

fn put(batch: &Batch<'_>, app: &AppKey, device: &Device, json: &str) -> Result<(), Failure> {
    let mut statement = batch.connection.prepare_cached(
        "INSERT INTO devices (app, id, grp, position, platform, reachable, moved, created, alias, json)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT DO UPDATE SET grp = excluded.grp, platform = excluded.platform,
             reachable = excluded.reachable, moved = excluded.moved, created = excluded.created,
             alias = excluded.alias, json = excluded.json",
    )?;
    statement.execute(params![
        app.as_str(),
        device.id.as_str(),
        device.group().to_string(),
        device.id.position(),
        platform_code(device.platform),
        device.platform == Platform::Web && device.subscription.is_some(),
        device.moved_at.millis(),
        device.created_at.millis(),
        device.alias,
        json,
    ])?;
    Ok(())
}

/// Makes the rows of its tags say what it says now; those that stay are not touched.
fn put_tags(
    batch: &Batch<'_>,
    app: &AppKey,
    device: &Device,
    before: Option<&Device>,
) -> Result<(), Failure> {
    let stays = |tag: &&String| {
        before.is_some_and(|before| {
            before.group() == device.group() && before.tags.contains(*tag) && device.tags.contains(*tag)
        })
    };
    if let Some(before) = before {
        remove_tags(batch, app, before, before.tags.iter().filter(|tag| !stays(tag)))?;
    }
    let mut put = batch.connection.prepare_cached(
        "INSERT INTO device_tags (app, tag, grp, position, id) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let (group, position) = (device.group().to_string(), device.id.position());
    for tag in device.tags.iter().filter(|tag| !stays(tag)) {
        put.execute(params![app.as_str(), tag, group, position, device.id.as_str()])?;
    }
    Ok(())
}

fn remove_tags<'a>(
    batch: &Batch<'_>,
    app: &AppKey,
    device: &Device,
    tags: impl Iterator<Item = &'a String>,
) -> Result<(), Failure> {
    let mut remove = batch.connection.prepare_cached(
        "DELETE FROM device_tags WHERE app = ?1 AND tag = ?2 AND grp = ?3 AND position = ?4 AND id = ?5",
    )?;
    let (group, position) = (device.group().to_string(), device.id.position());
    for tag in tags {
        remove.execute(params![app.as_str(), tag, group, position, device.id.as_str()])?;
    }
    Ok(())
}
