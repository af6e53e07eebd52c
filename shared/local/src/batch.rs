//! One transaction, shared by many writes: working copies of the states that they touch, each row written once
//! at the end, and what is to happen in memory once the commit is through. The transitions themselves are the
//! domain's; here they are applied to the copy, and after the commit to the live schedule, which may have been
//! given claims meanwhile.

use crate::{
    memory::{Live, Memory, Wake},
    rows::{
        ExecutionRow, contract_code, definition_of, is_open, keep_durable, look_of, slot_code, state_of,
        status_code, timestamp, to_json,
    },
};
use rondo_domain::{
    ids::{AppKey, ScheduleId},
    ports::StoreError,
    schedule::{Contract, Definition},
    state::State,
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension, params};
use std::{collections::HashMap, sync::Arc};

/// Why a write could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

type AfterCommit = Box<dyn FnOnce(&Memory) + Send>;
type Transition = Box<dyn FnOnce(&mut State) + Send>;

/// Schedules that have not ended, of the apps where that was asked.
pub(crate) type Counts = HashMap<AppKey, LiveCounts>;

/// Of one app; none: not asked for so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LiveCounts {
    all: Option<u32>,
    /// Its scheduled pushes.
    pushes: Option<u32>,
}

pub(crate) struct Batch<'a> {
    pub connection: &'a Connection,
    pub memory: &'a Memory,
    counts: &'a mut Counts,
    states: HashMap<ScheduleId, Working>,
    after: Vec<AfterCommit>,
}

/// A state as this transaction has it.
pub(crate) struct Working {
    pub state: State,
    stored_look: Option<Timestamp>,
    wake: Option<Wake>,
    had_ended: bool,
    was_live: bool,
    dirty: bool,
    /// It is to be woken once this is committed.
    pub wakes: bool,
    definition: Option<Arc<Definition>>,
    transitions: Vec<Transition>,
}

impl Working {
    fn of_live(live: &Live) -> Self {
        Working { wake: live.wake, was_live: true, ..Working::of_row(live.state.clone(), live.stored_look) }
    }

    fn of_row(state: State, stored_look: Option<Timestamp>) -> Self {
        Working {
            had_ended: state.status.has_ended(),
            state,
            stored_look,
            wake: None,
            was_live: false,
            dirty: false,
            wakes: false,
            definition: None,
            transitions: Vec::new(),
        }
    }

    /// Applies a transition here and, once committed, to the live schedule.
    pub fn apply<R>(&mut self, transition: impl Fn(&mut State) -> R + Send + 'static) -> R {
        let before = self.state.revision;
        let answer = transition(&mut self.state);
        if self.state.revision != before {
            self.dirty = true;
            self.transitions.push(Box::new(move |state| drop(transition(state))));
        }
        answer
    }

    /// Has the row written even though no transition applies.
    pub fn store(&mut self) {
        self.dirty = true;
    }

    pub fn set_definition(&mut self, definition: Arc<Definition>) {
        self.definition = Some(definition);
    }

    pub fn wake(&self) -> Option<Wake> {
        self.wake
    }
}

/// Where nothing is on its way any more, the next wake is all that the schedule waits for.
fn rest(state: &mut State, wake: Option<Wake>) {
    if let Some(wake) = wake
        && state.status.runs()
        && wake.generation == state.generation
        && !is_open(state)
    {
        state.look_again_at = Some(wake.at);
    }
}

impl<'a> Batch<'a> {
    pub fn new(connection: &'a Connection, memory: &'a Memory, counts: &'a mut Counts) -> Self {
        Batch { connection, memory, counts, states: HashMap::new(), after: Vec::new() }
    }

    /// The working copy of a state; none: there is no such schedule.
    pub fn state(&mut self, id: ScheduleId) -> Result<Option<&mut Working>, Failure> {
        if !self.states.contains_key(&id) {
            let live = self.memory.with(id, |live| {
                live.writing += 1;
                Working::of_live(live)
            });
            let working = match live {
                Some(working) => working,
                None => match self.read_state(id)? {
                    Some((state, look)) => Working::of_row(state, look),
                    None => return Ok(None),
                },
            };
            self.states.insert(id, working);
        }
        Ok(self.states.get_mut(&id))
    }

    fn read_state(&self, id: ScheduleId) -> Result<Option<(State, Option<Timestamp>)>, Failure> {
        let mut statement = self.connection.prepare_cached("SELECT json, look FROM states WHERE id = ?1")?;
        let row = statement.query_row([id.bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((json, look)): Option<(String, Option<i64>)> = row else {
            return Ok(None);
        };
        Ok(Some((state_of(&json, look, id)?, look.map(timestamp))))
    }

    /// The definition, live or from its row.
    pub fn definition(&self, id: ScheduleId) -> Result<Option<Arc<Definition>>, Failure> {
        if let Some(definition) = self.states.get(&id).and_then(|working| working.definition.clone()) {
            return Ok(Some(definition));
        }
        if let Some(definition) = self.memory.with(id, |live| Arc::clone(&live.definition)) {
            return Ok(Some(definition));
        }
        let mut statement =
            self.connection.prepare_cached("SELECT json, number FROM definitions WHERE id = ?1")?;
        let row = statement.query_row([id.bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((json, number)): Option<(String, Option<i64>)> = row else {
            return Ok(None);
        };
        Ok(Some(Arc::new(definition_of(&json, number, id)?)))
    }

    /// Brings a schedule into memory as it is after this transaction. False: there is none.
    pub fn bring_in(&mut self, id: ScheduleId) -> Result<bool, Failure> {
        if self.memory.is_live(id) {
            return Ok(true);
        }
        let (Some((state, look)), Some(definition)) = (self.read_state(id)?, self.definition(id)?) else {
            return Ok(false);
        };
        // Transitions of this transaction are not in the row that was read; they are applied afterwards.
        self.afterwards(move |memory| {
            memory.bring_in(state, definition, look);
        });
        Ok(true)
    }

    /// Has something done in memory once this is committed.
    pub fn afterwards(&mut self, act: impl FnOnce(&Memory) + Send + 'static) {
        self.after.push(Box::new(act));
    }

    pub fn put_execution(&self, row: &ExecutionRow) -> Result<(), Failure> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO executions (schedule, number, slot, status, token, next_attempt_at, comment, json)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT DO UPDATE SET status = excluded.status, token = excluded.token,
                 next_attempt_at = excluded.next_attempt_at, json = excluded.json,
                 comment = coalesce(comment, excluded.comment)",
        )?;
        statement.execute(params![
            row.id.schedule.bytes(),
            row.id.number,
            slot_code(row.id),
            row.status,
            row.token,
            row.next_attempt_at,
            row.comment,
            row.json,
        ])?;
        Ok(())
    }

    /// How many schedules of the app have not ended; exact, this transaction's own included.
    pub fn count_of(&mut self, app: &AppKey) -> Result<u32, Failure> {
        if let Some(count) = self.counts.get(app).and_then(|counts| counts.all) {
            return Ok(count);
        }
        // What has ended in this transaction is taken off as its row is written.
        let count =
            self.counted("SELECT count(*) FROM states WHERE app = ?1 AND status IN (0, 1, 2)", app)?;
        self.counts.entry(app.clone()).or_default().all = Some(count);
        Ok(count)
    }

    /// The same, of its scheduled pushes alone.
    pub fn count_of_pushes(&mut self, app: &AppKey) -> Result<u32, Failure> {
        if let Some(count) = self.counts.get(app).and_then(|counts| counts.pushes) {
            return Ok(count);
        }
        let sql = "SELECT count(*) FROM states INDEXED BY pushes_by_status
                   WHERE app = ?1 AND status IN (0, 1, 2) AND contract = 2";
        let count = self.counted(sql, app)?;
        self.counts.entry(app.clone()).or_default().pushes = Some(count);
        Ok(count)
    }

    fn counted(&self, sql: &str, app: &AppKey) -> Result<u32, Failure> {
        Ok(self.connection.prepare_cached(sql)?.query_row([app.as_str()], |row| row.get(0))?)
    }

    pub fn count_created(&mut self, app: &AppKey, contract: Option<Contract>) {
        if let Some(counts) = self.counts.get_mut(app) {
            let pushes = counts.pushes.as_mut().filter(|_| contract == Some(Contract::Pushes));
            counts.all.iter_mut().chain(pushes).for_each(|count| *count += 1);
        }
    }

    pub fn forget_count(&mut self, app: &AppKey) {
        self.counts.remove(app);
    }

    /// Writes the rows of all states that were changed; the transaction is then ready to be committed.
    pub fn write_states(&mut self) -> Result<(), Failure> {
        let mut put = self
            .connection
            .prepare_cached("UPDATE states SET status = ?2, look = ?3, json = ?4 WHERE id = ?1")?;
        let mut redefine =
            self.connection.prepare_cached("UPDATE definitions SET json = ?2 WHERE id = ?1")?;
        let mut contract_of = self.connection.prepare_cached("SELECT contract FROM states WHERE id = ?1")?;
        for (id, working) in &mut self.states {
            if let Some(definition) = &working.definition {
                redefine.execute(params![id.bytes(), to_json(definition)?])?;
            }
            if !working.dirty {
                continue;
            }
            rest(&mut working.state, working.wake);
            let look = look_of(&working.state, working.stored_look);
            working.stored_look = look;
            keep_durable(&mut working.state);
            let state = &working.state;
            let status = status_code(state.status);
            put.execute(params![id.bytes(), status, look.map(Timestamp::millis), to_json(state)?])?;
            if state.status.has_ended()
                && !working.had_ended
                && let Some(counts) = self.counts.get_mut(&state.app)
            {
                let mut is_push = false;
                if counts.pushes.is_some() {
                    let contract: i64 = contract_of.query_row([id.bytes()], |row| row.get(0))?;
                    is_push = contract == contract_code(Some(Contract::Pushes));
                }
                let pushes = counts.pushes.as_mut().filter(|_| is_push);
                counts.all.iter_mut().chain(pushes).for_each(|count| *count = count.saturating_sub(1));
            }
        }
        Ok(())
    }

    /// After the commit: what was written becomes what is seen.
    pub fn publish(self) {
        let memory = self.memory;
        for act in self.after {
            act(memory);
        }
        for (id, working) in self.states {
            memory.with(id, |live| working.publish(live, memory));
            memory.let_go(id);
        }
    }

    /// The transaction was undone.
    pub fn abandon(self) {
        for (id, working) in self.states {
            if working.was_live {
                self.memory.with(id, |live| live.writing -= 1);
            }
        }
    }
}

impl Working {
    fn publish(self, live: &mut Live, memory: &Memory) {
        if self.was_live {
            live.writing -= 1;
        }
        if !self.dirty {
            return;
        }
        for transition in self.transitions {
            transition(&mut live.state);
        }
        rest(&mut live.state, live.wake);
        live.stored_look = self.stored_look;
        live.stored_revision = self.state.revision;
        if let Some(definition) = self.definition {
            live.definition = definition;
        }
        if !live.state.status.runs() {
            memory.drop_wake(live);
        } else if self.wakes {
            let at = live.state.look_again_at.unwrap_or(live.woken_at);
            memory.put_wake(live, at);
        }
    }
}
