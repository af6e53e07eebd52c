//! Waking a schedule: plan its next window, send what falls into it, save the plan, set the next wake.

use super::{Engine, Error};
use crate::{
    ids::ScheduleId,
    message::{Delayed, Message, Segment},
    plan::{self, Occurrence, Plan, PlanWrite, Reach, wake_before},
    ports::{Schedule, Wake},
    schedule::Definition,
    state::{Closed, FarWake, State},
    time::{Span, Timestamp},
    trigger::Trigger,
};
use std::sync::Arc;

/// Longer than any schedule waits.
const FOR_EVER: Span = Span::from_secs(10_000 * 366 * 86_400);
/// How long before its instant a wake may arrive: a queue delays by whole seconds, and clocks differ.
const WAKES_EARLY: Span = Span::from_secs(2);

pub(super) struct Outgoing {
    pub soon: Vec<Delayed>,
    pub later: Option<Wake>,
}

impl Engine {
    /// Does nothing where the wake is of an older generation: that change has sent a wake of its own.
    pub async fn wake(&self, id: ScheduleId, generation: Option<u32>) -> Result<(), Error> {
        let Some(schedule) = self.schedules.load(id).await? else {
            return Ok(());
        };
        let state = &schedule.state;
        if state.untold {
            return self.tell_end(&schedule).await;
        }
        if !state.status.runs() || generation.is_some_and(|generation| generation != state.generation) {
            return Ok(());
        }
        let now = self.now();
        if generation.is_some() && self.has_been_planned(state, now) {
            return Ok(());
        }
        let definition = &schedule.definition;
        let Ok(rule) = definition.trigger.rule(definition.policy.dst) else {
            let because = "its trigger is no longer understood".to_owned();
            return self.cancel(&definition.app.clone(), id, Some(because)).await.map(drop);
        };
        let reach = self.reach_of(definition);
        let plan = plan::plan(state, &rule, &definition.policy, &reach, now);
        let Outgoing { soon, later } = self.outgoing(&schedule, &plan, now);
        if !soon.is_empty() {
            self.queue.send(soon).await?;
        }
        let tell_end = self.has_listeners(definition).await?;
        let far_wake = later.as_ref().filter(|wake| wake.far).map(|wake| wake.at);
        // Woken before its time, by a change or a doubled message: what waits outside the queue is replaced.
        let replaced = state.far_wake.filter(|old| old.at > now && Some(old.at) != far_wake);
        let write = PlanWrite { id, if_version: state.version, token: self.token(), plan, far_wake };
        let missed = write.missed_records(state);
        let saved = self.states.save_plan(write, now, tell_end).await?;
        if saved.is_some() {
            missed.iter().for_each(|record| self.observer.ended(record));
        }
        match saved {
            // Somebody else planned or changed it meanwhile, and saw to the next wake.
            None => Ok(()),
            Some(Closed { finished: true, .. }) => self.finished(id).await,
            Some(_) => {
                if replaced.is_some() {
                    self.clear_wake(id, replaced).await;
                }
                if let Some(wake) = later {
                    self.set_wake(wake).await;
                }
                Ok(())
            }
        }
    }

    /// Another wake came first, and the one that it set is still to come. Were this one to set another, each
    /// doubled message would begin a chain of wakes that never ends.
    fn has_been_planned(&self, state: &State, now: Timestamp) -> bool {
        let early = now.plus(WAKES_EARLY).plus(self.settings.reach.grace);
        state.overdue_looks == 0 && state.look_again_at.is_some_and(|look| early < look)
    }

    /// A schedule of one occurrence may be planned whole, however far away that is.
    pub(super) fn reach_of(&self, definition: &Definition) -> Reach {
        let single = definition.occurrences == Some(1) || matches!(definition.trigger, Trigger::Single(_));
        if self.settings.plan_singles && single {
            Reach { window: FOR_EVER, ..self.settings.reach }
        } else {
            self.settings.reach
        }
    }

    /// When the wake comes that is too far away for the queue, if a plan has one.
    pub(super) fn far_wake_of(&self, id: ScheduleId, plan: &Plan, now: Timestamp) -> Option<Timestamp> {
        let only = match plan.send.as_slice() {
            [only] if plan.exhausted => Some(wake_before(id, only.due, &self.settings.reach)),
            _ => None,
        };
        plan.next_wake.or(only).filter(|at| *at > now.plus(self.settings.reach.window))
    }

    /// What a plan sends through the queue, and what comes up later: the next wake, or the only segment
    /// itself where it is too far away for the queue.
    pub(super) fn outgoing(&self, schedule: &Schedule, plan: &Plan, now: Timestamp) -> Outgoing {
        let (id, generation) = (schedule.definition.id, schedule.state.generation);
        let far = self.far_wake_of(id, plan, now);
        let mut soon = self.segments(schedule, plan);
        let wake = |at, message| Wake { id, generation, at, far: far.is_some(), message };
        let later = match (plan.next_wake, far) {
            (Some(at), _) => Some(wake(at, Message::Wake { id, generation })),
            (None, Some(at)) => soon.pop().map(|only| wake(at, only.message)),
            (None, None) => None,
        };
        Outgoing { soon, later }
    }

    /// Not fatal: whoever looks at what is overdue has it.
    pub(super) async fn set_wake(&self, wake: Wake) {
        let Wake { id, generation, at, far, .. } = wake;
        let set = async {
            self.wakes.set(wake).await?;
            // A far one outlives its message: whoever changed the schedule meanwhile has not seen it.
            if far {
                let state = self.schedules.load(id).await?.map(|schedule| schedule.state);
                if state.is_none_or(|state| !state.status.runs() || state.generation != generation) {
                    self.wakes.clear(id, Some(FarWake { at, generation })).await?;
                }
            }
            Ok(())
        };
        if let Err(error) = set.await {
            self.observer.trouble("a schedule's next wake could not be set", &error);
        }
    }

    pub(super) async fn clear_wake(&self, id: ScheduleId, far: Option<FarWake>) {
        if let Err(error) = self.wakes.clear(id, far).await {
            self.observer.trouble("a schedule's wake could not be removed", &error);
        }
    }

    /// After a write that finished the schedule: listeners are told, its wake is removed.
    pub(super) async fn finished(&self, id: ScheduleId) -> Result<(), Error> {
        // All is planned: no wake of it waits outside the queue any more.
        self.clear_wake(id, None).await;
        match self.schedules.load(id).await? {
            Some(schedule) if schedule.state.untold => self.tell_end(&schedule).await,
            _ => Ok(()),
        }
    }

    /// Messages that become visible as the first of their occurrences falls due.
    fn segments(&self, schedule: &Schedule, plan: &Plan) -> Vec<Delayed> {
        let Schedule { definition, state } = schedule;
        let carried = self.carries(schedule).then(|| Arc::clone(definition));
        group(&plan.send, self.settings.reach.segment_span)
            .map(|occurrences| Delayed {
                at: occurrences[0].due,
                message: Message::Segment(Segment {
                    id: definition.id,
                    app: definition.app.clone(),
                    generation: state.generation,
                    occurrences: occurrences.to_vec(),
                    definition: carried.clone(),
                }),
            })
            .collect()
    }

    fn carries(&self, schedule: &Schedule) -> bool {
        match self.settings.carry_definition {
            0 => false,
            usize::MAX => true,
            limit => serde_json::to_vec(&*schedule.definition).is_ok_and(|json| json.len() <= limit),
        }
    }
}

/// Consecutive occurrences that fall due within `span` of the first.
fn group(occurrences: &[Occurrence], span: Span) -> impl Iterator<Item = &[Occurrence]> {
    let mut rest = occurrences;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let end = first.due.plus(span);
        let count =
            rest.iter().take_while(|occurrence| occurrence.due == first.due || occurrence.due < end).count();
        let (group, more) = rest.split_at(count);
        rest = more;
        Some(group)
    })
}
