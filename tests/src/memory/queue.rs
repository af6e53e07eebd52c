//! The queue, as SQS is one: delay, visibility timeout, redelivery. And far wakes, as one-time EventBridge
//! schedules are. Who receives, and when, is decided outside.

use rondo_domain::{
    ids::ScheduleId,
    message::{Delayed, Message},
    state::FarWake,
    time::{Span, Timestamp},
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

/// What the queue can delay a message by.
const MAX_DELAY: Span = Span::from_secs(900);

/// One delivery of a message; acknowledging it by `receipt` ends the message.
#[derive(Clone, Debug)]
pub struct Received {
    pub receipt: u64,
    pub message: Message,
}

#[derive(Default)]
struct Held {
    next: u64,
    /// By the instant of becoming visible, then in order of sending.
    waiting: BTreeMap<(Timestamp, u64), Message>,
    wakes: BTreeMap<(ScheduleId, Timestamp, u32), (Timestamp, Message)>,
}

#[derive(Default)]
pub struct MemoryQueue {
    held: Mutex<Held>,
}

impl MemoryQueue {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("no test goes on after a panic under this lock")
    }

    /// `later`: how much longer than asked it takes to become visible. Delays are whole seconds, rounded
    /// down, so that a message comes up to a second early, and 15 min at most.
    pub fn send(&self, message: Delayed, later: Span, now: Timestamp) {
        let delay = message.at.since(now).millis().min(MAX_DELAY.millis()) / 1000;
        let visible = now.plus(Span::from_secs(delay)).plus(later);
        let mut held = self.held();
        held.next += 1;
        let key = (visible, held.next);
        held.waiting.insert(key, message.message);
    }

    /// When the next message becomes visible.
    pub fn next_visible(&self) -> Option<Timestamp> {
        self.held().waiting.keys().next().map(|(at, _)| *at)
    }

    /// The next visible message; it becomes visible again after `visibility` unless acknowledged.
    pub fn receive(&self, now: Timestamp, visibility: Span) -> Option<Received> {
        let mut held = self.held();
        let key = *held.waiting.keys().next().filter(|(at, _)| *at <= now)?;
        let message = held.waiting.remove(&key)?;
        let receipt = key.1;
        held.waiting.insert((now.plus(visibility), receipt), message.clone());
        Some(Received { receipt, message })
    }

    pub fn acknowledge(&self, receipt: u64) {
        self.held().waiting.retain(|(_, known), _| *known != receipt);
    }

    pub fn is_empty(&self) -> bool {
        self.held().waiting.is_empty()
    }

    /// `fires`: when it really does. The same wake again is the same one-time schedule.
    pub fn set_wake(&self, id: ScheduleId, wake: FarWake, fires: Timestamp, message: Message) {
        self.held().wakes.entry((id, wake.at, wake.generation)).or_insert((fires, message));
    }

    pub fn clear_wake(&self, id: ScheduleId, wake: FarWake) {
        self.held().wakes.remove(&(id, wake.at, wake.generation));
    }

    pub fn has_wake(&self, id: ScheduleId) -> bool {
        self.held().wakes.keys().any(|(schedule, ..)| *schedule == id)
    }

    /// Takes out the wakes that are due; a one-time schedule removes itself as it fires.
    pub fn due_wakes(&self, now: Timestamp) -> Vec<Message> {
        let due = self.held().wakes.extract_if(.., |_, (fires, _)| *fires <= now).collect::<Vec<_>>();
        due.into_iter().map(|(_, (_, message))| message).collect()
    }

    pub fn next_wake(&self) -> Option<Timestamp> {
        self.held().wakes.values().map(|(fires, _)| *fires).min()
    }
}
