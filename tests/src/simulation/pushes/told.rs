//! What reaches devices: the sender of a run, and the record of everything it was given.

use super::super::world::Process;
use async_trait::async_trait;
use rondo_domain::{
    ids::{ExecutionId, ScheduleId},
    ports::Clock,
    push::{
        device::RegistrationId,
        outcome::PushError,
        sender::{Fate, PushJob, PushReport, PushSender, Recipients},
    },
    time::{Span, Timestamp},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, Weak},
};

/// One message that reached one device.
#[derive(Clone, Debug)]
pub struct Told {
    pub at: Timestamp,
    pub execution: ExecutionId,
}

#[derive(Default)]
pub struct Reached {
    pub told: BTreeMap<(ScheduleId, RegistrationId), Vec<Told>>,
    /// One request for all.
    pub whole: BTreeMap<ScheduleId, Vec<Told>>,
    /// Whose subscription is gone as soon as somebody tries it, and who has been tried.
    pub gone: BTreeSet<RegistrationId>,
    pub tried: BTreeSet<RegistrationId>,
    /// Of 10,000: how often a push service says "not now".
    pub busy: u32,
}

#[derive(Default)]
pub struct PushLedger(Mutex<Reached>);

impl PushLedger {
    pub fn reached(&self) -> MutexGuard<'_, Reached> {
        self.0.lock().expect("no run goes on after a panic under this lock")
    }
}

pub struct From(pub Weak<Process>);

#[async_trait]
impl PushSender for From {
    async fn send(&self, job: PushJob<'_>) -> PushReport {
        let process = self.0.upgrade().expect("a process outlives what it sends");
        let world = process.world();
        let sent_at = process.now();
        process.perhaps_crash().await;
        let later = || Fate::Later { at: None, error: PushError::new(21030, "not now") };
        let note = |what: &str| world.ledger.note(world.now(), &format!("{}: {what}", job.execution));
        let mut fates = Vec::new();
        let told = Told { at: world.now(), execution: job.execution };
        match job.to {
            Recipients::AsAddressed => {
                let busy = world.hits(world.pushes.reached().busy);
                note(if busy { "the gateway is busy" } else { "the gateway takes it" });
                if !busy {
                    world.pushes.reached().whole.entry(job.execution.schedule).or_default().push(told);
                }
                fates.push(if busy { later() } else { Fate::Accepted });
            }
            Recipients::These(devices) => {
                for device in devices {
                    let busy = world.hits(world.pushes.reached().busy);
                    let mut reached = world.pushes.reached();
                    let known = job.app.push.upstream.is_none() && reached.gone.contains(&device.id);
                    if known && device.subscription.is_some() {
                        note(&format!("{} is gone", device.id));
                        if !reached.tried.insert(device.id.clone()) && world.faults.none() {
                            world.ledger.violated(|| format!("{} was tried again", device.id));
                        }
                        fates.push(Fate::Gone);
                    } else if busy {
                        fates.push(later());
                    } else {
                        note(&format!("{} is told", device.id));
                        let key = (job.execution.schedule, device.id.clone());
                        reached.told.entry(key).or_default().push(told.clone());
                        fates.push(Fate::Accepted);
                    }
                }
            }
        }
        world.sleep_until(world.now().plus(Span::from_millis(world.dice.between(1, 200)))).await;
        // It has arrived; whether anybody here still hears the answer is another question.
        process.perhaps_crash().await;
        let msg_id = Some(job.msg_id.to_owned());
        PushReport { sent_at, done_at: process.now(), status: Some(201), msg_id, fates }
    }
}
