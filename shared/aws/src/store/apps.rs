//! `AppStore`: apps, each one item. Removing one is in `removal`.

use super::{
    DynamoStore,
    calls::{Commit, Expression, Item, TRIES, Write, number, text},
    keys::{ALL_APPS, APP, Key, app_of},
    schema::{APP_SHARD, BY_APP, PK},
    values::without_values,
};
use async_trait::async_trait;
use rondo_domain::{
    app::App,
    ids::AppKey,
    ports::{AppStore, StoreError},
};
use std::sync::Arc;

/// An app's item as it was read.
pub(super) struct Stored {
    pub app: App,
    pub revision: u64,
    /// It is being removed: nobody sees it any more.
    pub going: bool,
}

#[async_trait]
impl AppStore for DynamoStore {
    async fn app(&self, key: &AppKey) -> Result<Option<Arc<App>>, StoreError> {
        let now = self.clock.now();
        if let Some(app) = self.apps.get(key, now) {
            return Ok(Some(app));
        }
        let app =
            self.stored_app(key).await?.filter(|stored| !stored.going).map(|stored| Arc::new(stored.app));
        if let Some(app) = &app {
            self.apps.put(key.clone(), Arc::clone(app), now);
        }
        Ok(app)
    }

    async fn apps(&self) -> Result<Vec<Arc<App>>, StoreError> {
        let all = Expression::new("#app_shard = :apps", &[APP_SHARD], [("apps", text(ALL_APPS))]);
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let page = self.query(&all).index_name(BY_APP).set_exclusive_start_key(after);
            let page = page.send().await.map_err(|error| self.failed(&error))?;
            let names = page.items().iter().filter_map(|item| app_of(item.get(PK)?.as_s().ok()?));
            keys.extend(names.map(|app| Key::of_app(&app, APP)));
            after = page.last_evaluated_key;
            if after.is_none() {
                break;
            }
        }
        let items = self.get_all(&keys, true).await?;
        let stored = items.iter().map(stored_in).collect::<Result<Vec<_>, _>>()?;
        let there = stored.into_iter().filter(|stored| !stored.going);
        let mut apps: Vec<Arc<App>> = there.map(|stored| Arc::new(stored.app)).collect();
        apps.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(apps)
    }

    async fn add_app(&self, app: App) -> Result<bool, StoreError> {
        let item = app_item(&app, 1, false)?;
        match self.commit(vec![Write::put(item, Expression::absent())]).await? {
            Commit::Done => Ok(true),
            // The very same app: an earlier answer was lost.
            Commit::Refused(_) => {
                let there = self.stored_app(&app.key).await?;
                Ok(there.is_some_and(|there| !there.going && there.app == app))
            }
        }
    }

    async fn replace_app(&self, old: &App, new: App) -> Result<bool, StoreError> {
        for _ in 0..TRIES {
            let Some(there) = self.stored_app(&old.key).await?.filter(|there| !there.going) else {
                return Ok(false);
            };
            if there.app == new {
                self.apps.put(new.key.clone(), Arc::new(new), self.clock.now());
                return Ok(true);
            }
            if there.app != *old {
                return Ok(false);
            }
            let item = app_item(&new, there.revision + 1, false)?;
            self.apps.forget(&old.key);
            self.commit(vec![Write::put(item, Expression::revision(there.revision))]).await?;
            // Done or refused: the next look tells whose it is now.
        }
        Err(StoreError::Unavailable(format!("{}: the app is written by too many at once", self.table)))
    }

    async fn remove_app(&self, key: &AppKey) -> Result<bool, StoreError> {
        self.remove_app_and_all(key).await
    }
}

impl DynamoStore {
    pub(super) async fn stored_app(&self, key: &AppKey) -> Result<Option<Stored>, StoreError> {
        self.get(&Key::of_app(key, APP), true).await?.map(|item| stored_in(&item)).transpose()
    }
}

pub(super) fn app_item(app: &App, revision: u64, going: bool) -> Result<Item, StoreError> {
    let key = Key::of_app(&app.key, APP);
    let json = serde_json::to_string(app).map_err(|error| key.corrupt(without_values(&error)))?;
    let mut item = key.item();
    item.insert("app".to_owned(), text(json));
    item.insert("revision".to_owned(), number(revision));
    item.insert(APP_SHARD.to_owned(), text(ALL_APPS));
    if going {
        item.insert("going".to_owned(), aws_sdk_dynamodb::types::AttributeValue::Bool(true));
    }
    Ok(item)
}

fn stored_in(item: &Item) -> Result<Stored, StoreError> {
    let key = Key::of_item(item)?;
    let json = item.get("app").and_then(|value| value.as_s().ok());
    let json = json.ok_or_else(|| key.corrupt("it holds no app"))?;
    let app = serde_json::from_str(json).map_err(|error| key.corrupt(without_values(&error)))?;
    let revision = item.get("revision").and_then(|value| value.as_n().ok()?.parse().ok());
    let revision = revision.ok_or_else(|| key.corrupt("its revision is no number"))?;
    Ok(Stored { app, revision, going: item.contains_key("going") })
}
