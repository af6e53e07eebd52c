//! Waking a schedule: plan its next window, send what falls into it, save the plan, set the next wake.

use super::{Engine, Error};
use crate::{
    ids::ScheduleId,
    message::{Delayed, Message, Segment},
    plan::{self, Occurrence, Plan, PlanWrite},
    ports::Schedule,
    state::{Closed, State},
    time::{Span, Timestamp},
};
use std::sync::Arc;

/// How long before its instant a wake may arrive: a queue delays by whole seconds, and clocks differ.
const WAKES_EARLY: Span = Span::from_secs(2);

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
        let plan = plan::plan(state, &rule, &definition.policy, &self.settings.reach, now);
        let messages = self.segments(&schedule, &plan);
        if !messages.is_empty() {
            self.queue.send(messages).await?;
        }
        let next_wake = plan.next_wake;
        let generation = state.generation;
        let tell_end = self.has_listeners(definition).await?;
        let write = PlanWrite { id, if_version: state.version, token: self.token(), plan };
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
                if let Some(at) = next_wake {
                    self.set_wake(id, generation, at).await;
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

    async fn set_wake(&self, id: ScheduleId, generation: u32, at: Timestamp) {
        let set = async {
            self.wakes.set(id, generation, at).await?;
            // A far one outlives its message: whoever changed the schedule meanwhile has not seen it.
            let far = at > self.now().plus(self.settings.reach.window);
            if far {
                match self.schedules.load(id).await?.map(|schedule| schedule.state) {
                    Some(state) if state.status.runs() && state.generation == generation => {}
                    Some(state) if state.status.runs() => {
                        self.wakes.set(id, state.generation, self.now()).await?;
                    }
                    _ => self.wakes.clear(id).await?,
                }
            }
            Ok(())
        };
        if let Err(error) = set.await {
            self.observer.trouble("a schedule's next wake could not be set", &error);
        }
    }

    /// After a write that finished the schedule: listeners are told, its wake is removed.
    pub(super) async fn finished(&self, id: ScheduleId) -> Result<(), Error> {
        self.clear_wake(id).await;
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
