//! `ScheduleStore`: creating, loading, changing; what is overdue. Listing is in `listing`.

use super::{idempotency, listing, states::ending};
use crate::{
    batch::{Batch, Failure},
    memory::Memory,
    rows::{contract_code, keep_durable, look_of, status_code, timestamp, to_json},
    store::LocalStore,
};
use async_trait::async_trait;
use rondo_domain::{
    change::Changed,
    ids::{AppKey, ScheduleId},
    ports::{
        ChangeAnswer, ChangeWrite, Created, IdempotencyKey, NewSchedule, Page, Schedule, ScheduleQuery,
        ScheduleStore, StoreError,
    },
    schedule::{Contract, Definition},
    state::State,
    time::{Span, Timestamp},
};
use rusqlite::params;
use std::sync::Arc;

/// A schedule as it is to be written: its JSON is made before the writer's turn comes.
struct NewRows {
    definition: Arc<Definition>,
    definition_json: String,
    state: State,
    state_json: String,
    look: Option<Timestamp>,
    number_it: bool,
    limit: Option<u32>,
    push_limit: Option<u32>,
    key: Option<IdempotencyKey>,
}

#[async_trait]
impl ScheduleStore for LocalStore {
    async fn create(&self, new: NewSchedule) -> Result<Created, StoreError> {
        let NewSchedule { definition, state, number_it, limit, push_limit, idempotency: key } = new;
        let mut stored = state.clone();
        keep_durable(&mut stored);
        let rows = NewRows {
            definition_json: to_json(&definition)?,
            definition: Arc::new(definition),
            state_json: to_json(&stored)?,
            look: look_of(&stored, None),
            state,
            number_it,
            limit,
            push_limit,
            key,
        };
        self.write(move |batch| rows.create(batch)).await
    }

    async fn created_with(
        &self,
        app: &AppKey,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<Option<Created>, StoreError> {
        let (app, key) = (app.clone(), key.clone());
        self.write(move |batch| idempotency::known(batch, &app, &key, now)).await
    }

    async fn load(&self, id: ScheduleId) -> Result<Option<Schedule>, StoreError> {
        if let Some(schedule) = self.memory().schedule(id) {
            return Ok(Some(schedule));
        }
        let memory = Arc::clone(&self.inner.memory);
        self.inner.readers.read(move |connection| listing::read(connection, &memory, id)).await
    }

    async fn list(&self, query: &ScheduleQuery) -> Result<Page<Schedule, ScheduleId>, StoreError> {
        let (query, memory) = (query.clone(), Arc::clone(&self.inner.memory));
        self.inner.readers.read(move |connection| listing::list(connection, &memory, &query)).await
    }

    async fn change(&self, write: ChangeWrite) -> Result<ChangeAnswer, StoreError> {
        let id = write.id;
        let freeze = loop {
            match Freeze::of(&self.inner.memory, id) {
                Some(freeze) => break freeze,
                None if !self.bring_in(id).await? => return Ok(ChangeAnswer::Missing),
                None => {}
            }
        };
        let write = Arc::new(write);
        let definition = write.definition.clone().map(Arc::new);
        self.write(move |batch| {
            let _held = &freeze;
            change(batch, &write, definition.as_ref())
        })
        .await
    }

    async fn overdue(&self, at: Timestamp, limit: usize) -> Result<Vec<ScheduleId>, StoreError> {
        let memory = Arc::clone(&self.inner.memory);
        let mut found: Vec<(Timestamp, ScheduleId)> = self
            .inner
            .readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT id, look FROM states WHERE look IS NOT NULL AND look <= ?1 ORDER BY look, id",
                )?;
                let mut rows = statement.query([at.millis()])?;
                let mut found = Vec::new();
                while let Some(row) = rows.next()?
                    && found.len() < limit
                {
                    let id = crate::rows::id_of(row, 0)?;
                    let look = timestamp(row.get(1)?);
                    // Of a live one, the row says when it was last written, not when it is to be looked at.
                    // What has yet to be loaded is loaded as soon as there is room.
                    if !memory.is_live(id) && !memory.is_to_be_loaded(look, id) {
                        found.push((look, id));
                    }
                }
                Ok(found)
            })
            .await?;
        found.extend(self.memory().overdue(at));
        found.sort_unstable();
        found.dedup_by_key(|(_, id)| *id);
        found.truncate(limit);
        Ok(found.into_iter().map(|(_, id)| id).collect())
    }

    /// In memory alone: after a restart it is overdue again, and that is right.
    async fn look_later(&self, id: ScheduleId, grace: Span, now: Timestamp) -> Result<bool, StoreError> {
        loop {
            let moved = self.memory().with(id, |live| {
                // A write under way will have its own say.
                (live.writing == 0 && live.frozen == 0).then(|| live.state.look_later(grace, now))
            });
            match moved {
                Some(Some(moved)) => return Ok(moved),
                Some(None) => {
                    return self
                        .write(move |batch| {
                            let Some(working) = batch.state(id)? else {
                                return Ok(false);
                            };
                            Ok(working.apply(move |state| state.look_later(grace, now)))
                        })
                        .await;
                }
                None if !self.bring_in(id).await? => return Ok(false),
                None => {}
            }
        }
    }
}

impl NewRows {
    fn create(&self, batch: &mut Batch<'_>) -> Result<Created, Failure> {
        let id = self.state.id;
        if let Some(there) = batch.definition(id)? {
            return self.created_before(there);
        }
        let (app, now) = (&self.state.app, self.definition.created_at);
        if let Some(key) = &self.key
            && let Some(known) = idempotency::known(batch, app, key, now)?
        {
            return Ok(known);
        }
        if let Some(limit) = self.limit
            && batch.count_of(app)? >= limit
        {
            return Ok(Created::LimitReached);
        }
        let contract = self.definition.contract();
        if let Some(limit) = self.push_limit.filter(|_| contract == Some(Contract::Pushes))
            && batch.count_of_pushes(app)? >= limit
        {
            return Ok(Created::PushLimitReached);
        }
        let number = if self.number_it { Some(LocalStore::next_number(batch, app)?) } else { None };
        let connection = batch.connection;
        connection
            .prepare_cached("INSERT INTO definitions (id, number, json) VALUES (?1, ?2, ?3)")?
            .execute(params![id.bytes(), number, self.definition_json])?;
        connection
            .prepare_cached(
                "INSERT INTO states (id, app, status, contract, look, json) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                id.bytes(),
                app.as_str(),
                status_code(self.state.status),
                contract_code(contract),
                self.look.map(Timestamp::millis),
                self.state_json,
            ])?;
        if let Some(key) = &self.key {
            idempotency::keep(batch, app, key, id, now)?;
        }
        batch.count_created(app, contract);
        let definition = self.numbered(number);
        let (state, look, shared) = (self.state.clone(), self.look, Arc::clone(&definition));
        batch.afterwards(move |memory| announce(memory, state, shared, look));
        Ok(Created::Done(definition))
    }

    fn numbered(&self, number: Option<i64>) -> Arc<Definition> {
        let mut definition = Arc::clone(&self.definition);
        if let Some(number) = number
            && let Some(request) = &mut Arc::make_mut(&mut definition).request
        {
            request.internal_id = number as u64;
        }
        definition
    }

    /// The same once more, after a lost answer; anything else is an accident of chance.
    fn created_before(&self, there: Arc<Definition>) -> Result<Created, Failure> {
        let number = there.request.as_ref().filter(|_| self.number_it).map(|known| known.internal_id as i64);
        if *self.numbered(number) == *there {
            Ok(Created::Done(there))
        } else {
            Err(StoreError::Unavailable("the id is taken; try again".to_owned()).into())
        }
    }
}

/// A new schedule that is due soon is live at once; one for which there is no room is loaded when there is.
fn announce(memory: &Memory, state: State, definition: Arc<Definition>, look: Option<Timestamp>) {
    let Some(look) = look.filter(|look| memory.is_loaded(*look, state.id)) else {
        return;
    };
    if memory.is_full() {
        memory.unload_from(look);
        return;
    }
    let id = state.id;
    memory.bring_in(state, definition, Some(look));
    memory.with(id, |live| memory.put_wake(live, look));
}

fn change(
    batch: &mut Batch<'_>,
    write: &Arc<ChangeWrite>,
    definition: Option<&Arc<Definition>>,
) -> Result<ChangeAnswer, Failure> {
    let id = write.id;
    let Some(current) = batch.definition(id)? else {
        return Ok(ChangeAnswer::Missing);
    };
    let Some(working) = batch.state(id)? else {
        return Ok(ChangeAnswer::Missing);
    };
    let repeated = working.state.change_token == write.token;
    if !repeated && working.state.revision != write.if_revision {
        return Ok(ChangeAnswer::Conflict);
    }
    let shared = Arc::clone(write);
    let changed = working.apply(move |state| {
        let ChangeWrite { change, token, now, tell_end, .. } = &*shared;
        ending(state, *tell_end, *now, |state| state.change(change, *token, *now))
    });
    let done = matches!(changed, Changed::Done { .. });
    if done && !repeated {
        working.wakes = true;
        if let Some(definition) = definition {
            working.set_definition(Arc::clone(definition));
        }
    }
    let state = working.state.clone();
    let definition = definition.filter(|_| done).map_or(current, Arc::clone);
    let schedule = Schedule { definition, state };
    Ok(match changed {
        Changed::Done { in_flight } => ChangeAnswer::Done { schedule, in_flight },
        Changed::Already { in_flight } => ChangeAnswer::Already { schedule, in_flight },
        Changed::Refused(refused) => ChangeAnswer::Refused(refused),
    })
}

/// While it lives, nothing of its schedule is claimed.
struct Freeze {
    memory: Arc<Memory>,
    id: ScheduleId,
}

impl Freeze {
    /// None: the schedule is not live.
    fn of(memory: &Arc<Memory>, id: ScheduleId) -> Option<Self> {
        memory.with(id, |live| live.frozen += 1)?;
        Some(Freeze { memory: Arc::clone(memory), id })
    }
}

impl Drop for Freeze {
    fn drop(&mut self) {
        self.memory.with(self.id, |live| live.frozen -= 1);
        self.memory.let_go(self.id);
        self.memory.thawed.notify_waiters();
    }
}
