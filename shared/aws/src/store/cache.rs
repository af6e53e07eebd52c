//! What a process remembers between requests: apps and listeners for a few seconds, and the last states that it
//! wrote. All of it is a shortcut: a write is conditional, so what is remembered wrongly costs a retry.

use super::state_item::StateItem;
use rondo_domain::{
    ids::ScheduleId,
    time::{Span, Timestamp},
};
use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// So many apps are remembered at most; then all are forgotten.
const MAX_REMEMBERED: usize = 1000;
/// Of so many schedules: what one process has under way at once, with room to spare.
const MAX_STATES: usize = 1024;

/// Values that are good for some time after they were read.
pub(crate) struct Remembered<K, V> {
    keep: Span,
    values: Mutex<HashMap<K, (V, Timestamp)>>,
}

impl<K: Eq + Hash, V: Clone> Remembered<K, V> {
    pub fn new(keep: Span) -> Self {
        Remembered { keep, values: Mutex::default() }
    }

    fn values(&self) -> MutexGuard<'_, HashMap<K, (V, Timestamp)>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, key: &K, now: Timestamp) -> Option<V> {
        let values = self.values();
        let (value, since) = values.get(key)?;
        // A clock that was set back makes nothing younger.
        let age = now.since(*since).max(since.since(now));
        (age < self.keep).then(|| value.clone())
    }

    pub fn put(&self, key: K, value: V, now: Timestamp) {
        if self.keep.is_zero() {
            return;
        }
        let mut values = self.values();
        if values.len() >= MAX_REMEMBERED {
            values.clear();
        }
        values.insert(key, (value, now));
    }

    pub fn forget(&self, key: &K) {
        self.values().remove(key);
    }
}

/// A schedule's state as this process knows it. Whoever holds its lock is the only one here who writes it, so that
/// a segment's occurrences do not meet each other at the table.
#[derive(Default)]
pub(crate) struct Known {
    pub state: Option<StateItem>,
    /// When it was certain.
    pub at: Timestamp,
}

impl Known {
    /// Keeps whichever is newer.
    pub fn learn(&mut self, state: &StateItem, now: Timestamp) {
        if self.state.as_ref().is_none_or(|known| known.state.revision <= state.state.revision) {
            self.state = Some(state.clone());
            self.at = now;
        }
    }
}

pub(crate) type Slot = Arc<tokio::sync::Mutex<Known>>;

#[derive(Default)]
pub(crate) struct States {
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    by_id: HashMap<ScheduleId, Slot>,
    /// Oldest first.
    order: VecDeque<ScheduleId>,
}

impl States {
    pub fn slot(&self, id: ScheduleId) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.by_id.get(&id) {
            return Arc::clone(slot);
        }
        let slot = Slot::default();
        slots.by_id.insert(id, Arc::clone(&slot));
        slots.order.push_back(id);
        slots.shrink();
        slot
    }
}

impl Slots {
    /// Never one that is in use: its lock orders this process's writes.
    fn shrink(&mut self) {
        for _ in 0..self.by_id.len() {
            if self.by_id.len() <= MAX_STATES {
                return;
            }
            let Some(oldest) = self.order.pop_front() else {
                return;
            };
            if self.by_id.get(&oldest).is_some_and(|slot| Arc::strong_count(slot) > 1) {
                self.order.push_back(oldest);
            } else {
                self.by_id.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH.plus(Span::from_secs(seconds))
    }

    #[test]
    fn what_was_read_is_good_for_a_while() {
        let cache = Remembered::new(Span::from_secs(10));
        cache.put("a", 1, at(100));
        assert_eq!((cache.get(&"a", at(109)), cache.get(&"a", at(110))), (Some(1), None));
        assert_eq!(cache.get(&"a", at(80)), None, "the clock was set back");
        cache.forget(&"a");
        assert_eq!(cache.get(&"a", at(100)), None);
        let none = Remembered::new(Span::ZERO);
        none.put("a", 1, at(100));
        assert_eq!(none.get(&"a", at(100)), None);
    }

    #[test]
    fn the_states_are_bounded_and_those_in_use_stay() {
        let states = States::default();
        let id = |n: u128| ScheduleId::new(at(1), n << 41);
        let held = states.slot(id(0));
        for n in 1..3 * MAX_STATES as u128 {
            states.slot(id(n));
        }
        assert!(Arc::ptr_eq(&held, &states.slot(id(0))));
        let slots = states.slots.lock().unwrap();
        assert!(slots.by_id.len() <= MAX_STATES, "{}", slots.by_id.len());
        assert_eq!(slots.by_id.len(), slots.order.len());
    }
}
