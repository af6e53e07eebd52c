//! What is kept in memory: the live schedules with their claims and plans, the agenda, apps and listeners. For
//! a live schedule this is the truth, and the row is what survives. Only the writer brings schedules in, after
//! a commit or from what it has read, so that nothing is ever brought in older than a write it has missed.

use crate::{
    agenda::{Agenda, Slot},
    rows::is_open,
};
use rondo_domain::{
    app::App,
    execution::RecordClaim,
    ids::{AppKey, ExecutionId, ScheduleId},
    message::Message,
    notice::Listener,
    ports::Schedule,
    schedule::Definition,
    state::State,
    time::Timestamp,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
};
use tokio::sync::Notify;

const SHARDS: usize = 64;
const NOTHING_LOADED: (Timestamp, [u8; 16]) = (Timestamp::from_millis(i64::MIN), [0; 16]);

/// One schedule in memory.
#[derive(Debug)]
pub(crate) struct Live {
    pub state: State,
    pub definition: Arc<Definition>,
    /// What the row says of it: when to look, and which revision it is of.
    pub stored_look: Option<Timestamp>,
    pub stored_revision: u64,
    pub wake: Option<Wake>,
    /// When it was last woken; a wake set for earlier than that has been served.
    pub woken_at: Timestamp,
    /// Batches that hold a copy of the state: plans are kept in order with them.
    pub writing: u32,
    /// Changes on their way: claims wait for them.
    pub frozen: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wake {
    pub generation: u32,
    pub at: Timestamp,
    slot: Slot,
}

#[derive(Debug)]
pub(crate) struct Memory {
    shards: Vec<Mutex<HashMap<ScheduleId, Live>>>,
    count: AtomicUsize,
    max_loaded: usize,
    /// A schedule is no longer frozen.
    pub thawed: Notify,
    pub agenda: Agenda,
    pub apps: RwLock<HashMap<AppKey, Arc<App>>>,
    pub listeners: RwLock<HashMap<AppKey, Arc<[Listener]>>>,
    pub attempt_claims: Mutex<HashMap<ExecutionId, RecordClaim>>,
    /// Every row whose look is not after this is live. Moved by the writer alone.
    loaded: Mutex<(Timestamp, [u8; 16])>,
    /// Waiting executions, and notices, that are due by then are in the agenda (ms).
    attempts_until: AtomicI64,
    notices_until: AtomicI64,
}

impl Memory {
    pub fn new(max_loaded: usize) -> Self {
        Memory {
            shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
            count: AtomicUsize::new(0),
            max_loaded,
            thawed: Notify::new(),
            agenda: Agenda::default(),
            apps: RwLock::default(),
            listeners: RwLock::default(),
            attempt_claims: Mutex::default(),
            loaded: Mutex::new(NOTHING_LOADED),
            attempts_until: AtomicI64::new(i64::MIN),
            notices_until: AtomicI64::new(i64::MIN),
        }
    }

    fn shard(&self, id: ScheduleId) -> MutexGuard<'_, HashMap<ScheduleId, Live>> {
        let shard = &self.shards[id.hash() as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with a live schedule, shortly; none: it is not live.
    pub fn with<R>(&self, id: ScheduleId, act: impl FnOnce(&mut Live) -> R) -> Option<R> {
        self.shard(id).get_mut(&id).map(act)
    }

    pub fn schedule(&self, id: ScheduleId) -> Option<Schedule> {
        self.with(id, |live| Schedule { definition: Arc::clone(&live.definition), state: live.state.clone() })
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// So many more schedules may be loaded.
    pub fn room(&self) -> usize {
        self.max_loaded.saturating_sub(self.count())
    }

    /// Brings a schedule in as its row is, unless it is there. Answers whether it was brought in.
    pub fn bring_in(&self, state: State, definition: Arc<Definition>, look: Option<Timestamp>) -> bool {
        let id = state.id;
        let mut shard = self.shard(id);
        if shard.contains_key(&id) {
            return false;
        }
        let live = Live {
            stored_look: look,
            stored_revision: state.revision,
            state,
            definition,
            wake: None,
            woken_at: Timestamp::from_millis(i64::MIN),
            writing: 0,
            frozen: 0,
        };
        shard.insert(id, live);
        self.count.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Sets or replaces a live schedule's wake. One that has been served, or is of another generation, is
    /// left out. False: it is not live.
    pub fn set_wake(&self, id: ScheduleId, generation: u32, at: Timestamp) -> bool {
        self.with(id, |live| {
            if live.state.generation == generation && at >= live.woken_at {
                self.put_wake(live, at);
            }
        })
        .is_some()
    }

    pub fn put_wake(&self, live: &mut Live, at: Timestamp) {
        self.drop_wake(live);
        let generation = live.state.generation;
        let slot = self.agenda.push_wake(at, live.state.id, generation);
        live.wake = Some(Wake { generation, at, slot });
    }

    pub fn drop_wake(&self, live: &mut Live) {
        if let Some(wake) = live.wake.take() {
            self.agenda.remove_wake(wake.slot);
        }
    }

    /// Takes the wake that stood in `slot`. False: it has been replaced since.
    pub fn take_wake(&self, id: ScheduleId, slot: Slot, now: Timestamp) -> bool {
        let taken = self.with(id, |live| {
            let current = live.wake.is_some_and(|wake| wake.slot == slot);
            if current {
                live.wake = None;
                live.woken_at = now;
            }
            current
        });
        taken.unwrap_or(false)
    }

    /// Lets a schedule go that need not be in memory: its row says all there is to say.
    pub fn let_go(&self, id: ScheduleId) {
        let mut shard = self.shard(id);
        if let Some(live) = shard.get_mut(&id)
            && self.may_go(live)
        {
            self.drop_wake(live);
            shard.remove(&id);
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn may_go(&self, live: &Live) -> bool {
        let used = live.writing > 0 || live.frozen > 0 || is_open(&live.state);
        if used || live.stored_revision != live.state.revision {
            return false;
        }
        match (live.stored_look, live.wake) {
            (None, _) => true,
            (Some(look), Some(wake)) if wake.at < look => false,
            (Some(look), _) => !self.is_loaded(look, live.state.id),
        }
    }

    /// Removes a schedule whatever it is doing: its app is gone.
    pub fn forget(&self, id: ScheduleId) {
        let mut shard = self.shard(id);
        if let Some(mut live) = shard.remove(&id) {
            self.drop_wake(&mut live);
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Live schedules to be looked at by `at`, in no order.
    pub fn overdue(&self, at: Timestamp) -> Vec<(Timestamp, ScheduleId)> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let looks = shard.iter().filter_map(|(id, live)| Some((live.state.look_again_at?, *id)));
            found.extend(looks.filter(|(look, _)| *look <= at));
        }
        found
    }

    pub fn is_live(&self, id: ScheduleId) -> bool {
        self.shard(id).contains_key(&id)
    }

    pub fn is_loaded(&self, look: Timestamp, id: ScheduleId) -> bool {
        (look, id.bytes()) <= *self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody loads ahead, and has not come to this one.
    pub fn is_to_be_loaded(&self, look: Timestamp, id: ScheduleId) -> bool {
        let loaded = self.loaded();
        loaded != NOTHING_LOADED && (look, id.bytes()) > loaded
    }

    pub fn loaded(&self) -> (Timestamp, [u8; 16]) {
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_loaded(&self, to: (Timestamp, [u8; 16])) {
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }

    /// There was no room for this one: what lies from it on is to be loaded again.
    pub fn unload_from(&self, look: Timestamp) {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        *loaded = (*loaded).min((look, [0; 16]));
    }

    pub fn attempts_until(&self) -> Timestamp {
        Timestamp::from_millis(self.attempts_until.load(Ordering::Acquire))
    }

    pub fn set_attempts_until(&self, at: Timestamp) {
        self.attempts_until.store(at.millis(), Ordering::Release);
    }

    pub fn notices_until(&self) -> Timestamp {
        Timestamp::from_millis(self.notices_until.load(Ordering::Acquire))
    }

    pub fn set_notices_until(&self, at: Timestamp) {
        self.notices_until.store(at.millis(), Ordering::Release);
    }

    /// Whoever handled this message is gone, without an outcome: its claims may be taken over at once.
    pub fn lapse(&self, message: &Message, now: Timestamp) {
        match message {
            Message::Segment(segment) => {
                self.with(segment.id, |live| {
                    segment.occurrences.iter().for_each(|one| live.state.lapse(one.number, now));
                });
            }
            Message::Attempt { execution, .. } => {
                if let Some(claim) = self.attempt_claims().get_mut(execution) {
                    claim.lease_until = claim.lease_until.min(now);
                }
            }
            Message::Wake { .. } | Message::Notice(_) => {}
        }
    }

    pub fn attempt_claims(&self) -> MutexGuard<'_, HashMap<ExecutionId, RecordClaim>> {
        self.attempt_claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
