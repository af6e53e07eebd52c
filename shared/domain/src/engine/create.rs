//! Creating a schedule: checked, written with its state, and its first wake set.

use super::{Engine, Error, Invalid};
use crate::{
    app::App,
    ids::ScheduleId,
    message::{Delayed, Message},
    notice::{self, Event},
    plan::{spread_of, wake_before},
    policy::{Delivery, Policy},
    ports::{Created, NewSchedule, Schedule},
    schedule::{Definition, RequestFields, Target},
    state::State,
    time::{Span, Timestamp},
    trigger::{Rule, Trigger},
};
use std::collections::BTreeMap;

/// A schedule as asked for, its fields checked one by one already.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// When the request came in: what `after` and `delay` count from, and when the schedule was created.
    pub received_at: Timestamp,
    pub name: Option<String>,
    pub trigger: Trigger,
    pub occurrences: Option<u32>,
    pub target: Target,
    pub delivery: Delivery,
    pub policy: Policy,
    pub tags: BTreeMap<String, String>,
    /// Given by the recurring-callback contract; the store fills in the number.
    pub request: Option<RequestFields>,
}

impl Engine {
    pub async fn create(&self, app: &App, draft: Draft) -> Result<Schedule, Error> {
        // Not the time now: a later instant than the trigger was reckoned from would lose a first occurrence
        // that is due at once.
        let now = draft.received_at;
        let id = ScheduleId::new(now, self.entropy.bits());
        let anchor = now.minus(Span::from_millis(1));
        let rule = check_trigger(&draft.trigger, &draft.policy, draft.occurrences, anchor)?;
        let mut state = State::new(id, app.key.clone(), draft.occurrences, anchor, self.token());
        let wake_at = self.expect_first(&mut state, &rule, &draft.policy, now);
        let definition = definition_of(id, app, draft, now);
        let new = NewSchedule {
            number_it: definition.request.is_some(),
            definition,
            state: state.clone(),
            limit: app.limits.max_schedules,
        };
        let definition = match self.schedules.create(new).await? {
            Created::Done(definition) => definition,
            Created::LimitReached => {
                return Err(Error::LimitReached(app.limits.max_schedules.unwrap_or(0)));
            }
        };
        // Not fatal: whoever looks at what is overdue has it.
        if let Err(error) = self.wakes.set(id, state.generation, wake_at).await {
            self.observer.trouble("a new schedule's wake could not be set", &error);
        }
        if let Err(Error::Store(error)) = self.tell_added(&definition, &state, now).await {
            self.observer.trouble("listeners could not be told of a new schedule", &error);
        }
        Ok(Schedule { definition, state })
    }

    async fn tell_added(&self, definition: &Definition, state: &State, now: Timestamp) -> Result<(), Error> {
        let listeners = self.listeners.listeners(&definition.app).await?;
        let notices = notice::of_schedule(Event::RequestAdded, definition, state, &listeners, now);
        self.send_notices(notices).await
    }

    /// Writes into a state when it is next due and to be looked at; answers when it is to wake.
    pub(super) fn expect_first(
        &self,
        state: &mut State,
        rule: &Rule,
        policy: &Policy,
        now: Timestamp,
    ) -> Timestamp {
        let spread = spread_of(state.id, policy.spread);
        let due = rule.next_after(state.anchor.at).map(|at| at.plus(spread));
        let wake_at = due.map_or(now, |due| wake_before(state.id, due, &self.settings.reach).max(now));
        state.next_due = due;
        state.look_again_at = Some(wake_at.plus(self.settings.reach.grace));
        wake_at
    }

    pub(super) async fn send_notices(&self, notices: Vec<notice::Notice>) -> Result<(), Error> {
        if notices.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let messages =
            notices.into_iter().map(|notice| Delayed { at: now, message: Message::Notice(notice) });
        Ok(self.queue.send(messages.collect()).await?)
    }
}

fn definition_of(id: ScheduleId, app: &App, draft: Draft, now: Timestamp) -> Definition {
    let Draft { name, trigger, occurrences, target, delivery, policy, tags, request, .. } = draft;
    Definition {
        id,
        app: app.key.clone(),
        name,
        trigger,
        occurrences,
        target,
        delivery,
        policy,
        tags,
        created_at: now,
        updated_at: now,
        request,
    }
}

/// A trigger that is well-formed and still has something to come.
pub(super) fn check_trigger(
    trigger: &Trigger,
    policy: &Policy,
    occurrences: Option<u32>,
    anchor: Timestamp,
) -> Result<Rule, Invalid> {
    let path = |field: &str| format!("trigger.{}.{field}", trigger.kind());
    let rule =
        trigger.rule(policy.dst).map_err(|error| Invalid::new(path(error.field()), error.to_string()))?;
    if occurrences == Some(0) {
        return Err(Invalid::new(
            "occurrences",
            "must be at least 1; leave it out for a schedule without end",
        ));
    }
    if occurrences.is_some_and(|limit| limit >= crate::ids::FIRST_MANUAL_NUMBER) {
        return Err(Invalid::new("occurrences", "must be below 2147483648"));
    }
    if rule.next_after(anchor).is_none() {
        let (field, what) = match trigger {
            Trigger::Single(_) => ("time", "is in the past"),
            _ => ("end", "comes before the first due instant, or is in the past"),
        };
        return Err(Invalid::new(path(field), format!("{what}: the schedule would never come due")));
    }
    Ok(rule)
}

/// What a definition would yield next, nothing stored.
pub fn preview(rule: &Rule, spread: Span, after: Timestamp, count: usize) -> Vec<(Timestamp, Timestamp)> {
    let mut instants = Vec::with_capacity(count);
    let mut at = after;
    while instants.len() < count
        && let Some(next) = rule.next_after(at)
    {
        instants.push((next, next.plus(spread)));
        at = next;
    }
    instants
}
