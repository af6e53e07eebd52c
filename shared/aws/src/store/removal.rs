//! Removing an app with everything that is its. First the app is marked: from then on nobody sees it. It goes last,
//! so that a removal that was cut off is carried on by asking again; asking once more later also takes what others
//! created meanwhile, who still remembered the app.

use super::{
    DynamoStore,
    apps::app_item,
    calls::{Commit, Expression, TRIES, Write, text},
    keys::{
        APP, COUNTERS, Key, LISTENERS, STATE, STATISTICS, app_pk, app_shard_at, devices_pk, groups_pk,
        schedule_pk, told_pk,
    },
    schema::{PK, SHARDS, SK},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use rondo_domain::{
    ids::{AppKey, ScheduleId},
    ports::StoreError,
};

/// So many schedules are removed at once.
const AT_ONCE: usize = 8;

impl DynamoStore {
    /// Whether there was one.
    pub(super) async fn remove_app_and_all(&self, app: &AppKey) -> Result<bool, StoreError> {
        self.apps.forget(app);
        let was_there = self.mark_going(app).await?;
        for shard in 0..SHARDS {
            let ids = self.ids_of_shard(app_shard_at(app, shard)).await?;
            let removals = stream::iter(ids.into_iter().map(|id| self.remove_schedule(id)));
            removals.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        }
        self.remove_devices(app).await?;
        let mut keys = self.keys_of(&app_pk(app), STATISTICS).await?;
        keys.extend([LISTENERS, COUNTERS, APP].map(|sk| Key::of_app(app, sk)));
        self.delete_all(&keys).await?;
        self.apps.forget(app);
        self.listeners.forget(app);
        Ok(was_there)
    }

    /// Each device's alias goes before or with the device, by which it is found.
    async fn remove_devices(&self, app: &AppKey) -> Result<(), StoreError> {
        for shard in 0..SHARDS {
            let all = Expression::new("#pk = :pk", &[PK], [("pk", text(devices_pk(app, shard)))]);
            let mut after = None;
            loop {
                let page = self.query(&all).consistent_read(true).set_exclusive_start_key(after);
                let page = page
                    .projection_expression("#pk, sk, #alias")
                    .expression_attribute_names("#alias", "alias");
                let page = page.send().await;
                let page = page.map_err(|error| self.failed(&error))?;
                let (mut devices, mut aliases) = (Vec::new(), Vec::new());
                for item in page.items() {
                    let key = Key::of_item(item)?;
                    let alias = item.get("alias").and_then(|alias| alias.as_s().ok());
                    if let Some(alias) = alias {
                        aliases.push(Key::of_alias(app, alias, &key.registration_id()?));
                    }
                    devices.push(key);
                }
                self.delete_all(&aliases).await?;
                self.delete_all(&devices).await?;
                after = page.last_evaluated_key;
                if after.is_none() {
                    break;
                }
            }
        }
        let groups = self.keys_of(&groups_pk(app), "").await?;
        self.delete_all(&groups).await
    }

    async fn mark_going(&self, app: &AppKey) -> Result<bool, StoreError> {
        for _ in 0..TRIES {
            let Some(there) = self.stored_app(app).await? else {
                return Ok(false);
            };
            if there.going {
                return Ok(true);
            }
            let item = app_item(&there.app, there.revision + 1, true)?;
            let put = Write::put(item, Expression::revision(there.revision));
            if let Commit::Done = self.commit(vec![put]).await? {
                return Ok(true);
            }
        }
        Err(StoreError::Unavailable(format!("{}: the app is written by too many at once", self.table)))
    }

    /// The state last: its entry in the index is how it is found again.
    async fn remove_schedule(&self, id: ScheduleId) -> Result<(), StoreError> {
        let pk = schedule_pk(id);
        let mut keys = self.keys_of(&pk, "").await?;
        // Where there are pages, devices were told. What they were told before any page that is left expires by itself.
        if keys.iter().any(|key| key.execution().is_ok_and(|id| id.page > 0)) {
            for shard in 0..SHARDS {
                let told = self.keys_of(&told_pk(id, shard), "").await?;
                self.delete_all(&told).await?;
            }
        }
        keys.retain(|key| key.sk != STATE);
        self.delete_all(&keys).await?;
        self.delete_all(&[Key::of_schedule(id, STATE)]).await?;
        self.states.slot(id).lock().await.state = None;
        // Outcomes that were on their way: without the state no more of them come.
        let late = self.keys_of(&pk, "").await?;
        self.delete_all(&late).await
    }

    async fn keys_of(&self, pk: &str, sk_prefix: &str) -> Result<Vec<Key>, StoreError> {
        let mut all = Expression::new("#pk = :pk", &[PK], [("pk", text(pk))]);
        if !sk_prefix.is_empty() {
            let begins = Expression::new("begins_with(#sk, :prefix)", &[SK], [("prefix", text(sk_prefix))]);
            all = all.and(begins);
        }
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let page = self.query(&all).consistent_read(true).set_exclusive_start_key(after);
            let page = page.projection_expression("#pk, sk").send().await;
            let page = page.map_err(|error| self.failed(&error))?;
            for item in page.items() {
                keys.push(Key::of_item(item)?);
            }
            after = page.last_evaluated_key;
            if after.is_none() {
                return Ok(keys);
            }
        }
    }
}
