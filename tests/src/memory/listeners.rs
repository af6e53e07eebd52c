//! Apps and listeners.

use super::{Memory, Tables, executions};
use async_trait::async_trait;
use rondo_domain::{
    app::App,
    ids::AppKey,
    notice::{Event, Listener},
    ports::{AppStore, ListenerStore, StoreError},
    time::Timestamp,
};
use std::sync::Arc;
use url::Url;

#[async_trait]
impl AppStore for Memory {
    async fn app(&self, key: &AppKey) -> Result<Option<Arc<App>>, StoreError> {
        Ok(self.tables().apps.get(key).cloned())
    }

    async fn apps(&self) -> Result<Vec<Arc<App>>, StoreError> {
        Ok(self.tables().apps.values().cloned().collect())
    }

    async fn add_app(&self, app: App) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        match tables.apps.get(&app.key) {
            // The very same app: an earlier answer was lost.
            Some(known) => Ok(**known == app),
            None => {
                tables.apps.insert(app.key.clone(), Arc::new(app));
                Ok(true)
            }
        }
    }

    async fn replace_app(&self, old: &App, new: App) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        match tables.apps.get_mut(&old.key) {
            Some(known) if **known == *old || **known == new => {
                *known = Arc::new(new);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn remove_app(&self, key: &AppKey) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        let Tables { apps, numbers, rows, keys, executions, listeners, devices, told } = &mut *tables;
        if apps.remove(key).is_none() {
            return Ok(false);
        }
        let ids: Vec<_> = rows.iter().filter(|(_, row)| row.state.app == *key).map(|(id, _)| *id).collect();
        for id in ids {
            rows.remove(&id);
            told.retain(|(schedule, _), _| *schedule != id);
            executions.retain(|execution, _| !executions::of(id).contains(execution));
        }
        numbers.remove(key);
        keys.retain(|(app, _), _| app != key);
        listeners.remove(key);
        devices.retain(|(app, _), _| app != key);
        Ok(true)
    }
}

#[async_trait]
impl ListenerStore for Memory {
    async fn add_listener(
        &self,
        app: &AppKey,
        url: &Url,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Listener, StoreError> {
        let mut tables = self.tables();
        let all = tables.listeners.entry(app.clone()).or_default();
        Ok(Listener::add(all, url, events, now))
    }

    async fn listeners(&self, app: &AppKey) -> Result<Arc<[Listener]>, StoreError> {
        Ok(self.tables().listeners.get(app).map_or_else(|| Arc::from([]), |all| all.as_slice().into()))
    }

    async fn listener_heard(
        &self,
        app: &AppKey,
        listener: u64,
        ok: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        let all = tables.listeners.get_mut(app);
        let known = all.and_then(|all| all.iter_mut().find(|known| known.id == listener));
        let Some(known) = known.filter(|known| known.removed_at.is_none()) else {
            return Ok(false);
        };
        let removes = known.heard(ok, now);
        Ok(removes)
    }
}
