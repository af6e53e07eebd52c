//! Lists of an app's schedules, newest first. The index `by_app` spreads them over shards by a hash of the id; each
//! shard is read downwards from where the page begins, and what all of them have seen is merged.
//!
//! One call does a bounded amount of work: where filters leave little of what it has looked at, its page is short
//! and says where to go on.

use super::{
    DynamoStore,
    calls::{Expression, Item, text},
    keys::{DEFINITION, Key, STATE, app_shard_at, schedule_pk},
    records::{definition_in, definition_of},
    schema::{APP_SHARD, BY_APP, CONTRACT, PK, SHARDS, STATUS},
    state_item::{StateItem, contract_name},
};
use futures_util::future::try_join_all;
use rondo_domain::{
    ids::ScheduleId,
    ports::{Page, Schedule, ScheduleQuery, StoreError},
    schedule::Definition,
};
use std::{collections::HashMap, sync::Arc};

/// How often each shard is asked for one page.
const ROUNDS: usize = 6;
/// So many entries of a shard at once, where filters may leave few of them.
const FILTERED: usize = 200;
/// So many schedules are loaded at most for one page that is filtered by what only they know.
const LOADED: usize = 500;
const LOADED_AT_ONCE: usize = 50;

/// How far down a shard has been looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    Whole,
    /// This one and everything newer.
    DownTo(ScheduleId),
    Nothing,
}

struct Shard {
    hash: String,
    found: Vec<ScheduleId>,
    seen: Seen,
    after: Option<Item>,
}

impl DynamoStore {
    pub(super) async fn list_schedules(
        &self,
        query: &ScheduleQuery,
    ) -> Result<Page<Schedule, ScheduleId>, StoreError> {
        let mut items = Vec::new();
        let (ids, horizon) = self.candidates(query).await?;
        let mut looked_at = 0;
        for some in ids.chunks(LOADED_AT_ONCE) {
            let mut loaded = self.load_all(some).await?;
            for id in some {
                looked_at += 1;
                items.extend(loaded.remove(id).filter(|schedule| fits(schedule, query)));
                let more = looked_at < ids.len() || horizon.is_some();
                if more && (items.len() >= query.limit || looked_at == LOADED) {
                    return Ok(Page { items, next: Some(*id) });
                }
            }
        }
        Ok(Page { items, next: horizon })
    }

    /// Ids, newest first, without gap down to the one in the second answer; none: to the end.
    async fn candidates(
        &self,
        query: &ScheduleQuery,
    ) -> Result<(Vec<ScheduleId>, Option<ScheduleId>), StoreError> {
        let by_content = query.name.is_some() || !query.tags.is_empty();
        // One more: it tells whether another page follows.
        let wanted = if by_content { LOADED } else { query.limit.min(LOADED) } + 1;
        // Each shard has a sixteenth of them, more or less; of those that the index filters, nobody knows.
        let even = wanted.div_ceil(SHARDS as usize) * 2 + 4;
        let filtered = query.status.is_some() || query.contract.is_some();
        let at_once = if filtered { FILTERED } else { even.min(FILTERED) };
        let mut shards: Vec<Shard> = (0..SHARDS)
            .map(|shard| {
                let hash = app_shard_at(&query.app, shard);
                Shard { hash, found: Vec::new(), seen: Seen::Nothing, after: None }
            })
            .collect();
        for _ in 0..ROUNDS {
            let mut found: Vec<ScheduleId> = shards.iter().flat_map(|shard| &shard.found).copied().collect();
            found.sort_unstable_by(|a, b| b.cmp(a));
            // What is newer than this may still hide where nobody has looked yet.
            let needed = found.get(wanted - 1).map_or(Seen::Whole, |id| Seen::DownTo(*id));
            let hides = |shard: &&mut Shard| shard.seen > needed;
            let pages =
                shards.iter_mut().filter(hides).map(|shard| self.next_of_shard(shard, query, at_once));
            if try_join_all(pages).await?.is_empty() {
                break;
            }
        }
        let seen = shards.iter().map(|shard| shard.seen).max().unwrap_or(Seen::Whole);
        let mut ids: Vec<ScheduleId> = shards.into_iter().flat_map(|shard| shard.found).collect();
        ids.retain(|id| Seen::DownTo(*id) >= seen);
        ids.sort_unstable_by(|a, b| b.cmp(a));
        let horizon = match seen {
            Seen::DownTo(id) => Some(id),
            Seen::Whole | Seen::Nothing => None,
        };
        Ok((ids, horizon))
    }

    async fn next_of_shard(
        &self,
        shard: &mut Shard,
        query: &ScheduleQuery,
        at_once: usize,
    ) -> Result<(), StoreError> {
        let mut keys = Expression::new("#app_shard = :shard", &[APP_SHARD], [("shard", text(&shard.hash))]);
        if let Some(before) = query.before {
            keys = keys.and(Expression::new("#pk < :before", &[PK], [("before", text(schedule_pk(before)))]));
        }
        let status = query.status.map(|status| {
            Expression::new("#status = :status", &[STATUS], [("status", text(status.as_str()))])
        });
        let contract = query.contract.map(|contract| {
            let named = [("contract", text(contract_name(contract)))];
            Expression::new("#contract = :contract", &[CONTRACT], named)
        });
        let filter = match (status, contract) {
            (Some(status), Some(contract)) => Some(status.and(contract)),
            (status, contract) => status.or(contract),
        };
        let page = self.filtered(&keys, filter).index_name(BY_APP).scan_index_forward(false);
        let page = page.limit(i32::try_from(at_once).unwrap_or(i32::MAX));
        let page = page.set_exclusive_start_key(shard.after.take()).send().await;
        let page = page.map_err(|error| self.failed(&error))?;
        for item in page.items() {
            shard.found.push(Key::of_item(item)?.schedule()?);
        }
        shard.seen = match &page.last_evaluated_key {
            Some(last) => Seen::DownTo(Key::of_item(last)?.schedule()?),
            None => Seen::Whole,
        };
        shard.after = page.last_evaluated_key;
        Ok(())
    }

    /// Those that are there; a definition that travels with its state is not asked for again.
    async fn load_all(&self, ids: &[ScheduleId]) -> Result<HashMap<ScheduleId, Schedule>, StoreError> {
        let states: Vec<Key> = ids.iter().map(|id| Key::of_schedule(*id, STATE)).collect();
        let mut definitions: HashMap<ScheduleId, Arc<Definition>> = HashMap::new();
        let (mut items, mut apart) = (Vec::new(), Vec::new());
        for item in self.get_all(&states, false).await? {
            let item = StateItem::read(&item)?;
            match &item.definition {
                Some(json) => {
                    definitions.insert(item.state.id, definition_of(&item.key(), json)?);
                }
                None => apart.push(Key::of_schedule(item.state.id, DEFINITION)),
            }
            items.push(item);
        }
        for item in self.get_all(&apart, false).await? {
            definitions.insert(Key::of_item(&item)?.schedule()?, definition_in(&item)?);
        }
        let whole = items.into_iter().filter_map(|item| {
            // One that is just being removed has none any more.
            let definition = definitions.remove(&item.state.id)?;
            Some((item.state.id, Schedule { definition, state: item.state }))
        });
        Ok(whole.collect())
    }

    /// All ids of an app's schedules in one shard, for removing them.
    pub(super) async fn ids_of_shard(&self, shard: String) -> Result<Vec<ScheduleId>, StoreError> {
        let keys = Expression::new("#app_shard = :shard", &[APP_SHARD], [("shard", text(shard))]);
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = self.query(&keys).index_name(BY_APP).set_exclusive_start_key(after);
            let page = page.send().await.map_err(|error| self.failed(&error))?;
            for item in page.items() {
                ids.push(Key::of_item(item)?.schedule()?);
            }
            after = page.last_evaluated_key;
            if after.is_none() {
                return Ok(ids);
            }
        }
    }
}

/// Of the index's answer too: it may be a little older than the schedule itself.
fn fits(schedule: &Schedule, query: &ScheduleQuery) -> bool {
    let Schedule { definition, state } = schedule;
    let has = |part: &str| {
        let name = definition.name.as_ref();
        name.is_some_and(|name| name.to_lowercase().contains(&part.to_lowercase()))
    };
    definition.app == query.app
        && query.status.is_none_or(|status| state.status == status)
        && query.contract.is_none_or(|contract| definition.contract() == Some(contract))
        && query.name.as_deref().is_none_or(has)
        && query.tags.iter().all(|(key, value)| {
            definition.tags.get(key).is_some_and(|known| value.is_empty() || known == value)
        })
}
