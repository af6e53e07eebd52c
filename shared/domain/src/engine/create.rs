//! Creating schedules, one or many: checked, written with their states, and their first wakes set.

use super::{Engine, Error, Invalid, wake::Outgoing};
use crate::{
    app::{App, MAX_PUSHES},
    ids::ScheduleId,
    message::{Delayed, Message},
    notice::{self, Event},
    plan::{self, Plan, spread_of, wake_before},
    policy::{Delivery, Policy},
    ports::{Created, IdempotencyKey, NewSchedule, Schedule, Wake},
    push::PushFields,
    schedule::{Contract, Definition, RequestFields, Target},
    state::{FarWake, State},
    time::{Span, Timestamp},
    trigger::{Rule, Trigger},
};
use futures_util::{StreamExt as _, stream};
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
    /// Given by the scheduled-push contract.
    pub push: Option<PushFields>,
}

/// So many of a batch are written, or so many wakes set, at once.
const AT_ONCE: usize = 20;

/// A schedule that was asked for, and is there now.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    pub schedule: Schedule,
    /// Its idempotency key had made it before; it is shown as it is now.
    pub replayed: bool,
}

/// A schedule that is there; with a plan, something has to be sent for it.
struct Written {
    made: Made,
    plan: Option<Plan>,
    /// When it was created.
    at: Timestamp,
}

impl Engine {
    pub async fn create(&self, app: &App, draft: Draft) -> Result<Schedule, Error> {
        Ok(self.create_once(app, draft, None).await?.schedule)
    }

    /// With a key: the first time; from then on it answers what that made.
    pub async fn create_once(
        &self,
        app: &App,
        draft: Draft,
        key: Option<IdempotencyKey>,
    ) -> Result<Made, Error> {
        let written = self.write_new(app, draft, key).await?;
        self.send_new(app, std::slice::from_ref(&written)).await;
        Ok(written.made)
    }

    /// Each by itself, and answered in the order given; what they send goes through the queue together. Where a
    /// limit holds, the first of them have what room there is.
    pub async fn create_many(
        &self,
        app: &App,
        drafts: Vec<(Draft, Option<IdempotencyKey>)>,
    ) -> Vec<Result<Made, Error>> {
        // Writes that count against a limit share one counter, and would only be in each other's way.
        let at_once = if app.limits.max_schedules.is_some() { 1 } else { AT_ONCE };
        let writes = drafts.into_iter().map(|(draft, key)| self.write_new(app, draft, key));
        let answers: Vec<_> = stream::iter(writes).buffered(at_once).collect().await;
        let mut order = Vec::with_capacity(answers.len());
        let mut written = Vec::with_capacity(answers.len());
        for answer in answers {
            order.push(answer.map(|new| written.push(new)));
        }
        self.send_new(app, &written).await;
        let mut written = written.into_iter();
        let mut made = || written.next().map(|new| new.made);
        order.into_iter().filter_map(|answer| answer.map(|()| made()).transpose()).collect()
    }

    async fn write_new(
        &self,
        app: &App,
        draft: Draft,
        key: Option<IdempotencyKey>,
    ) -> Result<Written, Error> {
        // Not the time now: a later instant than the trigger was reckoned from would lose a first occurrence
        // that is due at once.
        let now = draft.received_at;
        let id = ScheduleId::new(now, self.entropy.bits());
        let anchor = anchor_of(now);
        let rule = match check_trigger(&draft.trigger, &draft.policy, draft.occurrences, anchor) {
            Ok(rule) => rule,
            // What was to come when it was asked for first may have passed.
            Err(invalid) => return self.written_before(app, key, now).await?.ok_or(Error::Invalid(invalid)),
        };
        let mut state = State::new(id, app.key.clone(), draft.occurrences, anchor, self.token());
        let definition = definition_of(id, app, draft, now);
        let plan = self.first_plan(&definition, &rule, &state, now);
        state.planned = plan.planned;
        state.exhausted = plan.exhausted;
        state.next_due = plan.next_due;
        state.look_again_at = plan.look_again_at;
        let generation = state.generation;
        state.far_wake = self.far_wake_of(id, &plan, now).map(|at| FarWake { at, generation });
        let scheduled_push = definition.contract() == Some(Contract::Pushes);
        let new = NewSchedule {
            number_it: definition.request.is_some(),
            definition,
            state: state.clone(),
            limit: app.limits.max_schedules,
            push_limit: scheduled_push.then(|| app.limits.max_pushes.unwrap_or(MAX_PUSHES)),
            idempotency: key,
        };
        match self.schedules.create(new).await? {
            Created::Done(definition) => {
                let made = Made { schedule: Schedule { definition, state }, replayed: false };
                Ok(Written { made, plan: Some(plan), at: now })
            }
            Created::LimitReached => Err(Error::LimitReached(app.limits.max_schedules.unwrap_or(0))),
            Created::PushLimitReached => {
                Err(Error::PushLimitReached(app.limits.max_pushes.unwrap_or(MAX_PUSHES)))
            }
            Created::Replayed(schedule) => Ok(self.replayed(schedule, now)),
            Created::KeyReused => Err(Error::KeyReused),
        }
    }

    async fn written_before(
        &self,
        app: &App,
        key: Option<IdempotencyKey>,
        now: Timestamp,
    ) -> Result<Option<Written>, Error> {
        let Some(key) = key else { return Ok(None) };
        match self.schedules.created_with(&app.key, &key, now).await? {
            Some(Created::Replayed(schedule)) => Ok(Some(self.replayed(schedule, now))),
            Some(Created::KeyReused) => Err(Error::KeyReused),
            _ => Ok(None),
        }
    }

    /// The first request may have ended before it sent anything. As long as nobody has looked at the schedule, it
    /// begins once more: twice does no harm, and it need not wait for whoever looks at what is overdue.
    fn replayed(&self, schedule: Schedule, now: Timestamp) -> Written {
        let (definition, state) = (&*schedule.definition, &schedule.state);
        let at = definition.created_at;
        let fresh =
            State::new(state.id, state.app.clone(), state.occurrences, anchor_of(at), state.change_token);
        let is_untouched = state.revision == fresh.revision && now < at.plus(self.settings.reach.grace);
        let rule = definition.trigger.rule(definition.policy.dst).ok().filter(|_| is_untouched);
        let plan = rule.map(|rule| self.first_plan(definition, &rule, &fresh, at));
        Written { made: Made { schedule, replayed: true }, plan, at }
    }

    /// Nothing in here is fatal: whoever looks at what is overdue has it.
    async fn send_new(&self, app: &App, written: &[Written]) {
        let (mut messages, mut far) = (Vec::new(), Vec::new());
        for Written { made, plan, at } in written {
            let Some(plan) = plan else { continue };
            let Outgoing { soon, later } = self.outgoing(&made.schedule, plan, *at);
            messages.extend(soon);
            match later {
                Some(wake) if wake.far => far.push(wake),
                Some(Wake { at, message, .. }) => messages.push(Delayed { at, message }),
                None => {}
            }
        }
        if !messages.is_empty()
            && let Err(error) = self.queue.send(messages).await
        {
            self.observer.trouble("what new schedules begin with could not be sent", &error);
        }
        let wakes = far.into_iter().map(|wake| self.set_wake(wake));
        stream::iter(wakes).buffer_unordered(AT_ONCE).collect::<()>().await;
        if let Err(Error::Store(error)) = self.tell_added(app, written).await {
            self.observer.trouble("listeners could not be told of new schedules", &error);
        }
    }

    async fn tell_added(&self, app: &App, written: &[Written]) -> Result<(), Error> {
        let new: Vec<&Written> = written.iter().filter(|written| !written.made.replayed).collect();
        if new.is_empty() {
            return Ok(());
        }
        let listeners = self.listeners.listeners(&app.key).await?;
        let notices = new.into_iter().flat_map(|Written { made, at, .. }| {
            let Schedule { definition, state } = &made.schedule;
            notice::of_schedule(Event::RequestAdded, definition, state, &listeners, *at)
        });
        self.send_notices(notices.collect()).await
    }

    fn first_plan(&self, definition: &Definition, rule: &Rule, state: &State, now: Timestamp) -> Plan {
        let reach = self.reach_of(definition);
        if reach == self.settings.reach {
            self.expect_first(state, rule, &definition.policy, now)
        } else {
            plan::plan(state, rule, &definition.policy, &reach, now)
        }
    }

    /// Nothing is planned before the first wake.
    fn expect_first(&self, state: &State, rule: &Rule, policy: &Policy, now: Timestamp) -> Plan {
        let spread = spread_of(state.id, policy.spread);
        let due = rule.next_after(state.anchor.at).map(|at| at.plus(spread));
        let wake_at = due.map_or(now, |due| wake_before(state.id, due, &self.settings.reach).max(now));
        Plan {
            send: Vec::new(),
            missed: Vec::new(),
            spread,
            planned: 0,
            exhausted: false,
            next_wake: Some(wake_at),
            look_again_at: Some(wake_at.plus(self.settings.reach.grace)),
            look_when_idle: None,
            next_due: due,
        }
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

/// Due instants come after it.
fn anchor_of(created: Timestamp) -> Timestamp {
    created.minus(Span::from_millis(1))
}

fn definition_of(id: ScheduleId, app: &App, draft: Draft, now: Timestamp) -> Definition {
    let Draft { name, trigger, occurrences, target, delivery, policy, tags, request, push, .. } = draft;
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
        push,
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
