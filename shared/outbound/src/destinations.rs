//! How many calls one destination may have under way: a slow target fills its own slots and nobody else's.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Below this many destinations nobody looks for unused ones.
const FIRST_SWEEP: usize = 1024;

pub(crate) struct Destinations {
    slots_each: usize,
    known: Mutex<Known>,
}

struct Known {
    slots: HashMap<Box<str>, Arc<Semaphore>>,
    sweep_at: usize,
}

impl Destinations {
    pub(crate) fn new(slots_each: usize) -> Self {
        Destinations {
            slots_each: slots_each.max(1),
            known: Mutex::new(Known { slots: HashMap::new(), sweep_at: FIRST_SWEEP }),
        }
    }

    /// Waits for a slot of `origin` (scheme, host and port), first come, first served; dropping the permit frees it.
    pub(crate) async fn enter(&self, origin: &str) -> OwnedSemaphorePermit {
        let slots = self.slots_of(origin);
        slots.acquire_owned().await.expect("the semaphore is never closed")
    }

    fn slots_of(&self, origin: &str) -> Arc<Semaphore> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slots) = known.slots.get(origin) {
            return slots.clone();
        }
        if known.slots.len() >= known.sweep_at {
            // Permits and waiters hold the semaphore too, and get it only under this lock: alone in the map, it
            // is used by nobody. Doubling keeps the cost of sweeping constant per destination.
            known.slots.retain(|_, slots| Arc::strong_count(slots) > 1);
            known.sweep_at = FIRST_SWEEP.max(2 * known.slots.len());
        }
        let slots = Arc::new(Semaphore::new(self.slots_each));
        known.slots.insert(origin.into(), slots.clone());
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn a_full_destination_waits_and_others_do_not() {
        let destinations = Destinations::new(2);
        let first = destinations.enter("http://slow").now_or_never();
        let second = destinations.enter("http://slow").now_or_never();
        assert!(first.is_some() && second.is_some());
        assert!(destinations.enter("http://slow").now_or_never().is_none());
        assert!(destinations.enter("http://quick").now_or_never().is_some());
        drop(first);
        assert!(destinations.enter("http://slow").now_or_never().is_some());
    }

    #[test]
    fn unused_destinations_are_forgotten_and_used_ones_are_not() {
        let destinations = Destinations::new(1);
        let held = destinations.enter("http://held").now_or_never();
        assert!(held.is_some());
        for n in 0..10 * FIRST_SWEEP {
            assert!(destinations.enter(&format!("http://{n}")).now_or_never().is_some());
        }
        assert!(destinations.known.lock().unwrap().slots.len() <= FIRST_SWEEP);
        assert!(destinations.enter("http://held").now_or_never().is_none(), "its only slot is still taken");
    }
}
