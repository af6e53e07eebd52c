//! `ListenerStore`: few, and all of them in memory.

use crate::{
    batch::{Batch, Failure},
    rows::{from_json, to_json},
    store::LocalStore,
};
use async_trait::async_trait;
use rondo_domain::{
    ids::AppKey,
    notice::{Event, Listener},
    ports::{ListenerStore, StoreError},
    time::Timestamp,
};
use rusqlite::params;
use std::sync::{Arc, PoisonError};
use url::Url;

#[async_trait]
impl ListenerStore for LocalStore {
    async fn add_listener(
        &self,
        app: &AppKey,
        url: &Url,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Listener, StoreError> {
        let (app, url, events) = (app.clone(), url.clone(), events.to_vec());
        self.write(move |batch| {
            let mut all = stored(batch, &app)?;
            let listener = Listener::add(&mut all, &url, &events, now);
            put(batch, &app, &listener, all)?;
            Ok(listener)
        })
        .await
    }

    async fn listeners(&self, app: &AppKey) -> Result<Arc<[Listener]>, StoreError> {
        let listeners = self.memory().listeners.read().unwrap_or_else(PoisonError::into_inner);
        Ok(listeners.get(app).cloned().unwrap_or_else(|| Arc::from([])))
    }

    async fn listener_heard(
        &self,
        app: &AppKey,
        listener: u64,
        ok: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let known = self.listeners(app).await?;
        match known.iter().find(|known| known.id == listener) {
            Some(known) if ok && known.failures_in_a_row == 0 => return Ok(false),
            Some(_) => {}
            None => return Ok(false),
        }
        let app = app.clone();
        self.write(move |batch| {
            let mut all = stored(batch, &app)?;
            let known = all.iter_mut().find(|known| known.id == listener && known.removed_at.is_none());
            let Some(known) = known else {
                return Ok(false);
            };
            let removed = known.heard(ok, now);
            let known = known.clone();
            put(batch, &app, &known, all)?;
            Ok(removed)
        })
        .await
    }
}

/// The app's listeners as this transaction sees them, oldest first.
fn stored(batch: &Batch<'_>, app: &AppKey) -> Result<Vec<Listener>, Failure> {
    let mut statement =
        batch.connection.prepare_cached("SELECT json FROM listeners WHERE app = ?1 ORDER BY id")?;
    let rows: Vec<String> =
        statement.query_map([app.as_str()], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let read = |json: &String| from_json(json, &format!("a listener of {app}"));
    Ok(rows.iter().map(read).collect::<Result<_, StoreError>>()?)
}

fn put(batch: &mut Batch<'_>, app: &AppKey, one: &Listener, all: Vec<Listener>) -> Result<(), Failure> {
    let mut statement = batch
        .connection
        .prepare_cached("INSERT OR REPLACE INTO listeners (app, id, json) VALUES (?1, ?2, ?3)")?;
    statement.execute(params![app.as_str(), one.id as i64, to_json(one)?])?;
    let app = app.clone();
    batch.afterwards(move |memory| {
        memory.listeners.write().unwrap_or_else(PoisonError::into_inner).insert(app, Arc::from(all));
    });
    Ok(())
}
