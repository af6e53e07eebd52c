//! `AppStore`: few, and all of them in memory.

use crate::{
    batch::{Batch, Failure},
    rows::to_json,
    store::LocalStore,
};
use async_trait::async_trait;
use rondo_domain::{
    app::App,
    ids::AppKey,
    ports::{AppStore, StoreError},
};
use rusqlite::{OptionalExtension, params};
use std::sync::{Arc, PoisonError};

#[async_trait]
impl AppStore for LocalStore {
    async fn app(&self, key: &AppKey) -> Result<Option<Arc<App>>, StoreError> {
        let apps = self.memory().apps.read().unwrap_or_else(PoisonError::into_inner);
        Ok(apps.get(key).cloned())
    }

    async fn apps(&self) -> Result<Vec<Arc<App>>, StoreError> {
        let apps = self.memory().apps.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = apps.values().cloned().collect();
        all.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(all)
    }

    async fn add_app(&self, app: App) -> Result<bool, StoreError> {
        let app = Arc::new(app);
        let json = to_json(&*app)?;
        self.write(move |batch| {
            let mut put =
                batch.connection.prepare_cached("INSERT OR IGNORE INTO apps (key, json) VALUES (?1, ?2)")?;
            if put.execute(params![app.key.as_str(), json])? == 0 {
                // The very same app: an earlier answer was lost.
                return Ok(stored(batch, &app.key)?.is_some_and(|there| there == json));
            }
            let app = Arc::clone(&app);
            batch.afterwards(move |memory| {
                memory.apps.write().unwrap_or_else(PoisonError::into_inner).insert(app.key.clone(), app);
            });
            Ok(true)
        })
        .await
    }

    async fn replace_app(&self, old: &App, new: App) -> Result<bool, StoreError> {
        let (old_json, new_json) = (to_json(old)?, to_json(&new)?);
        let new = Arc::new(new);
        let key = old.key.clone();
        self.write(move |batch| {
            let mut put =
                batch.connection.prepare_cached("UPDATE apps SET json = ?3 WHERE key = ?1 AND json = ?2")?;
            if put.execute(params![key.as_str(), old_json, new_json])? == 0 {
                return Ok(stored(batch, &key)?.is_some_and(|there| there == new_json));
            }
            let new = Arc::clone(&new);
            batch.afterwards(move |memory| {
                memory.apps.write().unwrap_or_else(PoisonError::into_inner).insert(new.key.clone(), new);
            });
            Ok(true)
        })
        .await
    }

    async fn remove_app(&self, key: &AppKey) -> Result<bool, StoreError> {
        let app = key.clone();
        let removed = self
            .write(move |batch| {
                let connection = batch.connection;
                if connection.execute("DELETE FROM apps WHERE key = ?1", [app.as_str()])? == 0 {
                    return Ok(false);
                }
                connection.execute("DELETE FROM listeners WHERE app = ?1", [app.as_str()])?;
                connection.execute("INSERT OR IGNORE INTO removals (app) VALUES (?1)", [app.as_str()])?;
                let app = app.clone();
                batch.afterwards(move |memory| {
                    memory.apps.write().unwrap_or_else(PoisonError::into_inner).remove(&app);
                    memory.listeners.write().unwrap_or_else(PoisonError::into_inner).remove(&app);
                });
                Ok(true)
            })
            .await?;
        if removed {
            self.purge(key).await?;
        }
        Ok(removed)
    }
}

fn stored(batch: &Batch<'_>, key: &AppKey) -> Result<Option<String>, Failure> {
    let mut statement = batch.connection.prepare_cached("SELECT json FROM apps WHERE key = ?1")?;
    Ok(statement.query_row([key.as_str()], |row| row.get(0)).optional()?)
}

impl LocalStore {
    /// The next number of an app, counted from 1.
    pub(crate) fn next_number(batch: &Batch<'_>, app: &AppKey) -> Result<i64, Failure> {
        let mut statement = batch.connection.prepare_cached(
            "INSERT INTO counters (app, last) VALUES (?1, 1)
             ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last",
        )?;
        let number = statement.query_row([app.as_str()], |row| row.get(0)).optional()?;
        Ok(number.unwrap_or(1))
    }
}
