//! Time and the queue as the bench drives them: an instant comes when everything before it is done with.

use async_trait::async_trait;
use rondo_domain::{
    ids::ScheduleId,
    message::{Delayed, Message},
    ports::{Clock, Queue, StoreError, Wake, Wakes},
    state::FarWake,
    time::Timestamp,
};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

/// Time goes on where somebody waits for it, and nowhere else.
pub struct VirtualClock(AtomicI64);

impl VirtualClock {
    pub fn new(now: Timestamp) -> Self {
        VirtualClock(AtomicI64::new(now.millis()))
    }

    /// Never goes back.
    pub fn set(&self, to: Timestamp) {
        self.0.fetch_max(to.millis(), Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    async fn sleep_until(&self, at: Timestamp) {
        self.set(at);
    }
}

/// Messages by when they are due.
#[derive(Default)]
pub struct Timetable(Mutex<BTreeMap<Timestamp, Vec<Message>>>);

impl Timetable {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Timestamp, Vec<Message>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn put(&self, Delayed { at, message }: Delayed) {
        self.lock().entry(at).or_default().push(message);
    }

    /// Everything of the first instant; none: nothing is to come.
    pub fn take(&self) -> Option<(Timestamp, Vec<Message>)> {
        self.lock().pop_first()
    }
}

#[async_trait]
impl Queue for Timetable {
    async fn send(&self, messages: Vec<Delayed>) -> Result<(), StoreError> {
        messages.into_iter().for_each(|message| self.put(message));
        Ok(())
    }
}

#[async_trait]
impl Wakes for Timetable {
    async fn set(&self, wake: Wake) -> Result<(), StoreError> {
        self.put(Delayed { at: wake.at, message: wake.message });
        Ok(())
    }

    /// One that comes all the same does no harm.
    async fn clear(&self, _: ScheduleId, _: Option<FarWake>) -> Result<(), StoreError> {
        Ok(())
    }
}
