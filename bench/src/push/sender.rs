//! Takes every push at once, and keeps count of who was told, and when.

use super::{devices::Registry, timetable::VirtualClock};
use async_trait::async_trait;
use chrono_tz::Tz;
use rondo_domain::{
    ports::Clock as _,
    push::sender::{Fate, PushJob, PushReport, PushSender, Recipients},
    time::Timestamp,
    trigger::Occasion,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

pub struct Counter {
    clock: Arc<VirtualClock>,
    /// By the device's number: when it is due.
    due: Vec<Timestamp>,
    /// By the device's number: how often it was told.
    told: Vec<AtomicU8>,
    at_another_time: AtomicU64,
    jobs: AtomicU64,
}

impl Counter {
    /// None: somebody would never be due.
    pub fn new(registry: &Registry, occasion: Occasion, clock: Arc<VirtualClock>) -> Option<Self> {
        let due = |number| occasion.due(registry.group(number), Tz::UTC);
        Some(Counter {
            clock,
            due: (0..registry.devices).map(due).collect::<Option<_>>()?,
            told: (0..registry.devices).map(|_| AtomicU8::new(0)).collect(),
            at_another_time: AtomicU64::new(0),
            jobs: AtomicU64::new(0),
        })
    }

    /// At how many instants anybody is due.
    pub fn instants(&self) -> usize {
        self.due.iter().collect::<BTreeSet<_>>().len()
    }

    pub fn jobs(&self) -> u64 {
        self.jobs.load(Ordering::SeqCst)
    }

    /// What became of the devices.
    pub fn judge(&self) -> Value {
        let count = |wanted: fn(u8) -> bool| {
            self.told.iter().filter(|told| wanted(told.load(Ordering::SeqCst))).count()
        };
        json!({
            "once": count(|times| times == 1),
            "missing": count(|times| times == 0),
            "doubled": count(|times| times > 1),
            "at_another_time": self.at_another_time.load(Ordering::SeqCst),
        })
    }
}

#[async_trait]
impl PushSender for Counter {
    async fn send(&self, job: PushJob<'_>) -> PushReport {
        let now = self.clock.now();
        self.jobs.fetch_add(1, Ordering::SeqCst);
        let devices = match job.to {
            Recipients::These(devices) => devices,
            Recipients::AsAddressed => &[],
        };
        for device in devices {
            let number = Registry::number(&device.id).filter(|number| *number < self.told.len());
            let right = number.is_some_and(|number| {
                self.told[number].fetch_add(1, Ordering::SeqCst);
                self.due[number] == now
            });
            if !right {
                self.at_another_time.fetch_add(1, Ordering::SeqCst);
            }
        }
        PushReport {
            sent_at: now,
            done_at: now,
            status: Some(201),
            msg_id: Some(job.msg_id.to_owned()),
            fates: vec![Fate::Accepted; devices.len()],
        }
    }
}
