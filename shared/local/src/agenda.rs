//! What is to be handled and when, in memory: three lanes, each in order of due instants, so that slow targets
//! hold up no planning and slow listeners hold up no target. It knows messages, not what they do.

use rondo_domain::{
    ids::{ExecutionId, ScheduleId},
    message::Message,
    time::Timestamp,
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Wakes,
    Calls,
    Notices,
}

impl Lane {
    pub const ALL: [Lane; 3] = [Lane::Wakes, Lane::Calls, Lane::Notices];

    fn of(message: &Message) -> Lane {
        match message {
            Message::Wake { .. } => Lane::Wakes,
            Message::Segment(_) | Message::Attempt { .. } => Lane::Calls,
            Message::Notice(_) => Lane::Notices,
        }
    }
}

/// Where a message stands in its lane: when, and in which order among those of the same instant.
pub(crate) type Slot = (Timestamp, u64);

/// Messages of which the database has a row: at most one of each is in the agenda, or being handled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Attempt(ExecutionId),
    Notice(String),
}

impl Key {
    pub fn of(message: &Message) -> Option<Key> {
        match message {
            Message::Attempt { execution, .. } => Some(Key::Attempt(*execution)),
            Message::Notice(notice) => Some(Key::Notice(notice.id.clone())),
            Message::Wake { .. } | Message::Segment(_) => None,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Agenda {
    lanes: [Timetable; 3],
}

#[derive(Debug, Default)]
struct Timetable {
    entries: Mutex<Entries>,
    /// Something is due earlier than before.
    earlier: Notify,
}

#[derive(Debug, Default)]
struct Entries {
    by_slot: BTreeMap<Slot, Message>,
    pushed: u64,
    waiting: HashMap<Key, Slot>,
    handled: HashSet<Key>,
}

/// A message that was due, and its place.
#[derive(Debug)]
pub(crate) struct Due {
    pub slot: Slot,
    pub message: Message,
}

impl Agenda {
    fn lane(&self, lane: Lane) -> &Timetable {
        &self.lanes[lane as usize]
    }

    /// Puts a message in. Where one of the same key waits already, the earlier of the two stays.
    pub fn push(&self, at: Timestamp, message: Message) {
        // Here the next attempt is whichever the database says.
        let message = match message {
            Message::Attempt { execution, .. } => Message::Attempt { execution, at: None },
            other => other,
        };
        let lane = self.lane(Lane::of(&message));
        lane.insert(at, message, |_| true);
    }

    /// The same for what was read from the database: left out where it waits or is being handled already.
    pub fn offer(&self, at: Timestamp, message: Message) {
        let lane = self.lane(Lane::of(&message));
        let known =
            |entries: &Entries, key: &Key| entries.handled.contains(key) || entries.waiting.contains_key(key);
        let key = Key::of(&message);
        lane.insert(at, message, |entries| key.as_ref().is_none_or(|key| !known(entries, key)));
    }

    /// A schedule's wake; its place, for [`Agenda::remove_wake`].
    pub fn push_wake(&self, at: Timestamp, id: ScheduleId, generation: u32) -> Slot {
        self.lane(Lane::Wakes).insert(at, Message::Wake { id, generation }, |_| true).unwrap_or((at, 0))
    }

    pub fn remove_wake(&self, slot: Slot) {
        self.lane(Lane::Wakes).lock().by_slot.remove(&slot);
    }

    /// When the lane's first message is due.
    pub fn first(&self, lane: Lane) -> Option<Timestamp> {
        self.lane(lane).lock().by_slot.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the lane's first message if it is due.
    pub fn take(&self, lane: Lane, now: Timestamp) -> Option<Due> {
        let mut entries = self.lane(lane).lock();
        let first = entries.by_slot.first_entry().filter(|first| first.key().0 <= now)?;
        let (slot, message) = first.remove_entry();
        if let Some(key) = Key::of(&message) {
            entries.waiting.remove(&key);
            entries.handled.insert(key);
        }
        Some(Due { slot, message })
    }

    /// What was taken has been handled; the same key may be offered again.
    pub fn done(&self, lane: Lane, key: &Key) {
        self.lane(lane).lock().handled.remove(key);
    }

    /// Returns once something is due earlier than before; a change since the last call counts.
    pub async fn earlier(&self, lane: Lane) {
        self.lane(lane).earlier.notified().await;
    }

    pub fn len(&self) -> usize {
        Lane::ALL.into_iter().map(|lane| self.lane(lane).lock().by_slot.len()).sum()
    }
}

impl Timetable {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, at: Timestamp, message: Message, wanted: impl FnOnce(&Entries) -> bool) -> Option<Slot> {
        let mut entries = self.lock();
        if !wanted(&entries) {
            return None;
        }
        entries.pushed += 1;
        let slot = (at, entries.pushed);
        if let Some(key) = Key::of(&message) {
            match entries.waiting.get(&key) {
                Some(there) if there.0 <= at => return None,
                _ => {}
            }
            if let Some(later) = entries.waiting.insert(key, slot) {
                entries.by_slot.remove(&later);
            }
        }
        let earlier = entries.by_slot.first_key_value().is_none_or(|(first, _)| slot < *first);
        entries.by_slot.insert(slot, message);
        drop(entries);
        if earlier {
            self.earlier.notify_one();
        }
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rondo_domain::ids::{NO_SLOT, ScheduleId};

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn attempt(number: u32) -> Message {
        Message::Attempt { execution: ScheduleId::new(at(0), 0).execution(number, NO_SLOT), at: None }
    }

    #[test]
    fn what_is_due_comes_in_order_and_nothing_before() {
        let agenda = Agenda::default();
        for (millis, number) in [(30, 3), (10, 1), (20, 2)] {
            agenda.push(at(millis), attempt(number));
        }
        assert_eq!(agenda.first(Lane::Calls), Some(at(10)));
        assert!(agenda.take(Lane::Calls, at(9)).is_none());
        let taken: Vec<_> = std::iter::from_fn(|| agenda.take(Lane::Calls, at(20))).collect();
        assert_eq!(taken.iter().map(|due| due.slot.0).collect::<Vec<_>>(), [at(10), at(20)]);
        assert_eq!(agenda.len(), 1);
    }

    #[test]
    fn one_of_each_key_waits_the_earliest() {
        let agenda = Agenda::default();
        for millis in [30, 10, 20] {
            agenda.push(at(millis), attempt(1));
        }
        assert_eq!((agenda.len(), agenda.first(Lane::Calls)), (1, Some(at(10))));
    }

    #[test]
    fn what_is_being_handled_is_not_offered_again_but_may_come_back() {
        let agenda = Agenda::default();
        agenda.push(at(10), attempt(1));
        let taken = agenda.take(Lane::Calls, at(10)).unwrap();
        agenda.offer(at(10), attempt(1));
        assert_eq!(agenda.len(), 0);
        agenda.push(at(50), attempt(1));
        agenda.done(Lane::Calls, &Key::of(&taken.message).unwrap());
        agenda.offer(at(40), attempt(1));
        assert_eq!(agenda.first(Lane::Calls), Some(at(50)), "it came back before it was done");
    }

    #[test]
    fn a_removed_wake_never_comes() {
        let agenda = Agenda::default();
        let id = ScheduleId::new(at(0), 0);
        let slot = agenda.push_wake(at(10), id, 1);
        agenda.push_wake(at(20), id, 2);
        agenda.remove_wake(slot);
        let taken = agenda.take(Lane::Wakes, at(20)).unwrap();
        assert_eq!(taken.message, Message::Wake { id, generation: 2 });
        assert!(agenda.take(Lane::Wakes, at(20)).is_none());
    }
}
