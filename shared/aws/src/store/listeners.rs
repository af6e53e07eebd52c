//! `ListenerStore`: an app's listeners, all in one item, written whole over the revision that was read.

use super::{
    DynamoStore,
    calls::{Commit, Expression, TRIES, Write, number, text},
    keys::{Key, LISTENERS},
    values::without_values,
};
use async_trait::async_trait;
use rondo_domain::{
    ids::AppKey,
    notice::{Event, Listener},
    ports::{ListenerStore, StoreError},
    time::Timestamp,
};
use std::sync::Arc;
use url::Url;

#[async_trait]
impl ListenerStore for DynamoStore {
    async fn add_listener(
        &self,
        app: &AppKey,
        url: &Url,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Listener, StoreError> {
        self.edit_listeners(app, |all| Listener::add(all, url, events, now)).await
    }

    async fn listeners(&self, app: &AppKey) -> Result<Arc<[Listener]>, StoreError> {
        let now = self.clock.now();
        if let Some(listeners) = self.listeners.get(app, now) {
            return Ok(listeners);
        }
        let (all, _) = self.stored_listeners(app, false).await?;
        let all: Arc<[Listener]> = all.into();
        self.listeners.put(app.clone(), Arc::clone(&all), now);
        Ok(all)
    }

    /// Deliveries have no token: of two that fail at the very same moment one may not count.
    async fn listener_heard(
        &self,
        app: &AppKey,
        listener: u64,
        ok: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.edit_listeners(app, |all| {
            let known = all.iter_mut().find(|known| known.id == listener && known.removed_at.is_none());
            known.is_some_and(|known| known.heard(ok, now))
        })
        .await
    }
}

impl DynamoStore {
    /// With the item's revision; 0 where there is none.
    async fn stored_listeners(
        &self,
        app: &AppKey,
        consistent: bool,
    ) -> Result<(Vec<Listener>, u64), StoreError> {
        let key = Key::of_app(app, LISTENERS);
        let Some(item) = self.get(&key, consistent).await? else {
            return Ok((Vec::new(), 0));
        };
        let revision = item.get("revision").and_then(|value| value.as_n().ok()?.parse().ok());
        let json = item.get("listeners").and_then(|value| value.as_s().ok());
        let (Some(revision), Some(json)) = (revision, json) else {
            return Err(key.corrupt("it holds no listeners"));
        };
        let all = serde_json::from_str(json).map_err(|error| key.corrupt(without_values(&error)))?;
        Ok((all, revision))
    }

    async fn edit_listeners<T>(
        &self,
        app: &AppKey,
        edit: impl Fn(&mut Vec<Listener>) -> T + Send,
    ) -> Result<T, StoreError> {
        let key = Key::of_app(app, LISTENERS);
        for _ in 0..TRIES {
            let (before, revision) = self.stored_listeners(app, true).await?;
            let mut all = before.clone();
            let answer = edit(&mut all);
            if all != before {
                let json =
                    serde_json::to_string(&all).map_err(|error| key.corrupt(without_values(&error)))?;
                let mut item = key.item();
                item.insert("listeners".to_owned(), text(json));
                item.insert("revision".to_owned(), number(revision + 1));
                let as_read =
                    if revision == 0 { Expression::absent() } else { Expression::revision(revision) };
                if let Commit::Refused(refused) = self.commit(vec![Write::put(item.clone(), as_read)]).await?
                {
                    // Just this is there: its own write, and the SDK asked again as its answer was lost.
                    let present = refused.into_iter().flatten().find_map(|refusal| refusal.present);
                    if present != Some(item) {
                        continue;
                    }
                }
            }
            self.listeners.put(app.clone(), all.into(), self.clock.now());
            return Ok(answer);
        }
        Err(StoreError::Unavailable(format!("{}: {key} is written by too many at once", self.table)))
    }
}
