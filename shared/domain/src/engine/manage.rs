//! Cancel, pause, resume, update. Each is made from the state as it was read, and made again from a newer
//! one where somebody else wrote in between.

use super::{Engine, Error, Invalid, create::check_trigger};
use crate::{
    app::App,
    change::{Change, ChangeRefused, Changed},
    ids::{AppKey, ScheduleId},
    message::Message,
    notice::{self, Event},
    ports::{ChangeAnswer, ChangeWrite, Schedule, Wake},
    schedule::Definition,
    state::Status,
    time::{Span, Timestamp},
    trigger::Trigger,
};

/// How often a change is made anew before it gives up.
const TRIES: usize = 50;

/// A schedule after a change, and how many executions had started before it and may still arrive.
#[derive(Clone, Debug, PartialEq)]
pub struct Managed {
    pub schedule: Schedule,
    pub in_flight: u32,
}

impl Engine {
    pub async fn cancel(
        &self,
        app: &AppKey,
        id: ScheduleId,
        because: Option<String>,
    ) -> Result<Managed, Error> {
        let change = Change::Cancel { because };
        let managed = self.change(app, id, self.now(), |_, _| Ok((change.clone(), None))).await?;
        self.clear_wake(id, managed.schedule.state.far_wake).await;
        self.tell_end_soon(&managed.schedule).await;
        Ok(managed)
    }

    pub async fn pause(&self, app: &AppKey, id: ScheduleId) -> Result<Managed, Error> {
        let managed = self.change(app, id, self.now(), |_, _| Ok((Change::Pause, None))).await?;
        self.clear_wake(id, managed.schedule.state.far_wake).await;
        Ok(managed)
    }

    /// Time paused is not missed: an interval goes on from here, a calendar with its next instant.
    pub async fn resume(&self, app: &AppKey, id: ScheduleId) -> Result<Managed, Error> {
        let resumed = |current: &Schedule, now: Timestamp| {
            let trigger = current.state.goes_on(&current.definition.trigger, now);
            let mut definition = Definition::clone(&current.definition);
            let moved = definition.trigger != trigger;
            definition.trigger = trigger;
            Ok((Change::Resume, moved.then_some(definition)))
        };
        let managed = self.change(app, id, self.now(), resumed).await?;
        self.wake_soon(&managed.schedule).await;
        Ok(managed)
    }

    /// `edit` makes the new definition from the present one; it may be asked more than once. `received_at` is
    /// when the request came in: what the new definition's `after` and `delay` count from.
    pub async fn update<F>(
        &self,
        app: &App,
        id: ScheduleId,
        received_at: Timestamp,
        edit: F,
    ) -> Result<Managed, Error>
    where
        F: Fn(&Schedule) -> Result<Definition, Invalid> + Send + Sync,
    {
        let edited = |current: &Schedule, now: Timestamp| {
            let mut definition = edit(current)?;
            if definition.fans_out() && definition.trigger == current.definition.trigger {
                definition.updated_at = now;
                return Ok((Change::Edit, Some(definition)));
            }
            if let Trigger::FanOut(fan_out) = &mut definition.trigger {
                // What was opened before is dropped, and whoever is still to come is opened anew.
                fan_out.from = now;
            }
            let zoned = matches!(definition.trigger, Trigger::Cron(_) | Trigger::Periodical(_));
            let rebase = definition.trigger != current.definition.trigger
                || zoned && definition.policy.dst != current.definition.policy.dst;
            if rebase {
                // Where only the rate changed, it counts from the last start; a new beginning is kept as given.
                definition.trigger = match (&definition.trigger, &current.definition.trigger) {
                    (Trigger::Interval(new), Trigger::Interval(old)) if new.first == old.first => {
                        current.state.goes_on(&definition.trigger, now)
                    }
                    (other, _) => other.clone(),
                };
                let anchor = now.minus(Span::from_millis(1));
                check_trigger(&definition.trigger, &definition.policy, definition.occurrences, anchor)?;
            } else if definition.occurrences == Some(0) {
                return Err(Invalid::new("occurrences", "must be at least 1").into());
            }
            definition.updated_at = now;
            let change = Change::Update { occurrences: definition.occurrences, rebase };
            Ok((change, Some(definition)))
        };
        let managed = self.change(&app.key, id, received_at, edited).await?;
        self.wake_soon(&managed.schedule).await;
        Ok(managed)
    }

    /// One `now` for the trigger and for the write: between two, a first occurrence would be lost.
    async fn change<F>(&self, app: &AppKey, id: ScheduleId, now: Timestamp, make: F) -> Result<Managed, Error>
    where
        F: Fn(&Schedule, Timestamp) -> Result<(Change, Option<Definition>), Error> + Send + Sync,
    {
        for _ in 0..TRIES {
            let listeners = self.listeners.listeners(app).await?;
            let current = self.owned(app, id).await?;
            let (change, definition) = make(&current, now)?;
            // What cannot be is refused before anything is held back for it.
            let token = self.token();
            if let Changed::Refused(refused) = current.state.clone().change(&change, token, now) {
                return Err(refused.into());
            }
            let write = ChangeWrite {
                id,
                if_revision: current.state.revision,
                token,
                change,
                definition,
                now,
                tell_end: notice::anybody_listens(&listeners),
            };
            match self.schedules.change(write).await? {
                ChangeAnswer::Done { schedule, in_flight }
                | ChangeAnswer::Already { schedule, in_flight } => {
                    return Ok(Managed { schedule, in_flight });
                }
                ChangeAnswer::Refused(refused) => return Err(refused.into()),
                ChangeAnswer::Missing => return Err(Error::NotFound("schedule")),
                ChangeAnswer::Conflict => {}
            }
        }
        Err(ChangeRefused::Contended.into())
    }

    /// The schedule, if it is this app's.
    pub(super) async fn owned(&self, app: &AppKey, id: ScheduleId) -> Result<Schedule, Error> {
        let schedule = self.schedules.load(id).await?;
        schedule.filter(|schedule| schedule.definition.app == *app).ok_or(Error::NotFound("schedule"))
    }

    async fn wake_soon(&self, schedule: &Schedule) {
        let Schedule { definition, state } = schedule;
        let (id, generation) = (definition.id, state.generation);
        // Where nothing was changed, the wake is of this generation, and stays.
        let outdated = state.far_wake.is_some_and(|far| far.generation != generation);
        if !state.status.runs() || outdated {
            self.clear_wake(id, state.far_wake).await;
        }
        if state.status.runs() {
            let message = Message::Wake { id, generation };
            self.set_wake(Wake { id, generation, at: self.now(), far: false, message }).await;
        }
        self.tell_end_soon(schedule).await;
    }

    /// After a change that was made: what goes wrong now is no failure of the change, and not forgotten.
    async fn tell_end_soon(&self, schedule: &Schedule) {
        if schedule.state.untold
            && let Err(Error::Store(error)) = self.tell_end(schedule).await
        {
            self.observer.trouble("a schedule's end could not be told yet", &error);
        }
    }

    /// Tells the app's listeners that the schedule has ended, and then notes that they know.
    pub(super) async fn tell_end(&self, schedule: &Schedule) -> Result<(), Error> {
        let Schedule { definition, state } = schedule;
        let event =
            if state.status == Status::Canceled { Event::RequestCanceled } else { Event::RequestFinished };
        let listeners = self.listeners.listeners(&definition.app).await?;
        self.send_notices(notice::of_schedule(event, definition, state, &listeners, self.now())).await?;
        Ok(self.states.told(definition.id).await?)
    }
}
