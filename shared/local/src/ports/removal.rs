//! What an app leaves behind is removed piece by piece, so that others get their turn at the writer. What is still to be
//! removed is on disk: the next process goes on.

use crate::{
    batch::{Batch, Failure},
    store::LocalStore,
};
use rondo_domain::{
    ids::{AppKey, ScheduleId},
    ports::StoreError,
};
use rusqlite::params;

/// So many schedules are removed in one write, with their records.
const SCHEDULES_AT_ONCE: usize = 200;
/// So many rows of devices, of their tags, or of who was told.
const ROWS_AT_ONCE: usize = 2000;

impl LocalStore {
    /// Goes on with removals that an earlier process did not come to the end of.
    pub(crate) async fn resume_removals(&self) -> Result<(), StoreError> {
        let begun: Vec<String> = self
            .inner
            .readers
            .read(|connection| {
                let mut statement = connection.prepare("SELECT app FROM removals")?;
                let apps = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
                Ok(apps)
            })
            .await?;
        for app in begun.iter().filter_map(|app| app.parse().ok()) {
            self.purge(&app).await?;
        }
        Ok(())
    }

    pub(super) async fn purge(&self, key: &AppKey) -> Result<(), StoreError> {
        loop {
            let app = key.clone();
            let left = self
                .write(move |batch| Ok(purge_devices(batch, &app)? || purge_schedules(batch, &app)?))
                .await?;
            if !left {
                return Ok(());
            }
        }
    }
}

/// Whether anything was there.
fn purge_devices(batch: &Batch<'_>, app: &AppKey) -> Result<bool, Failure> {
    for statement in [
        "DELETE FROM device_tags WHERE (app, tag, grp, position, id) IN
             (SELECT app, tag, grp, position, id FROM device_tags WHERE app = ?1 LIMIT ?2)",
        "DELETE FROM devices WHERE (app, id) IN (SELECT app, id FROM devices WHERE app = ?1 LIMIT ?2)",
    ] {
        let limit = ROWS_AT_ONCE as i64;
        if batch.connection.prepare_cached(statement)?.execute(params![app.as_str(), limit])? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The same; with the last schedule goes what was kept of the app itself.
fn purge_schedules(batch: &mut Batch<'_>, app: &AppKey) -> Result<bool, Failure> {
    batch.forget_count(app);
    let connection = batch.connection;
    let ids: Vec<[u8; 16]> = connection
        .prepare_cached("SELECT id FROM states WHERE app = ?1 LIMIT ?2")?
        .query_map(params![app.as_str(), SCHEDULES_AT_ONCE as i64], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut told = 0;
    for id in &ids {
        told += connection
            .prepare_cached(
                "DELETE FROM told WHERE (schedule, device) IN
                     (SELECT schedule, device FROM told WHERE schedule = ?1 LIMIT ?2)",
            )?
            .execute(params![id, (ROWS_AT_ONCE - told) as i64])?;
        if told == ROWS_AT_ONCE {
            // The schedule itself goes once nobody is left whom it had told.
            return Ok(true);
        }
        for statement in [
            "DELETE FROM executions WHERE schedule = ?1",
            "DELETE FROM definitions WHERE id = ?1",
            "DELETE FROM states WHERE id = ?1",
        ] {
            connection.prepare_cached(statement)?.execute([id])?;
        }
        if let Ok(id) = ScheduleId::from_bytes(*id) {
            batch.afterwards(move |memory| memory.forget(id));
        }
    }
    if ids.is_empty() {
        for statement in [
            "DELETE FROM notices WHERE app = ?1",
            "DELETE FROM idempotency_keys WHERE app = ?1",
            "DELETE FROM counters WHERE app = ?1",
            "DELETE FROM removals WHERE app = ?1",
        ] {
            connection.prepare_cached(statement)?.execute([app.as_str()])?;
        }
    }
    Ok(!ids.is_empty())
}
