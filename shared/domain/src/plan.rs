//! Planning one window: which occurrences to send, which are missed for good, when to look again.
//! Doing it twice does no harm: numbers, instants and ids come out the same.

use crate::{
    execution::{Execution, ExecutionStatus},
    ids::{NO_SLOT, ScheduleId, Token},
    policy::{Missed, Policy},
    schedule::Definition,
    state::{Claim, Closed, FarWake, Mark, State, Status},
    time::{Span, Timestamp},
    trigger::{Rule, Trigger},
};
use serde::{Deserialize, Serialize};

/// What a world can carry: how far ahead, how much at once. Settings of the two worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// How far ahead of now one plan goes.
    pub window: Span,
    /// How long before its first due instant a schedule wakes; the id's hash adds up to `lead_spread`.
    pub lead: Span,
    pub lead_spread: Span,
    /// At most so many occurrences of one schedule are sent and not closed.
    pub max_open: u32,
    /// Occurrences due within so long of the first travel in one message.
    pub segment_span: Span,
    /// What was sent, was due so long ago and has no live claim is sent again.
    pub resend_after: Span,
    /// What is found unplanned so long after it was due counts as missed; the policy decides.
    pub missed_after: Span,
    /// How long after the expected next look the schedule counts as forgotten.
    pub grace: Span,
}

/// Catching up: one occurrence in so long, per schedule.
pub const CATCH_UP_SPACING: Span = Span::from_millis(100);
/// How many unplanned instants one plan walks over; the rest is left to the next, at once.
const MAX_WALK: u32 = 5_000;
/// How long a plan that was cut short rests at least: queues delay by whole seconds.
const REPLAN_PAUSE: Span = Span::from_secs(1);

/// One occurrence on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    pub number: u32,
    /// The instant that the trigger gave.
    pub at: Timestamp,
    /// When it is to be called: nominal, moved by `spread` or by catching up.
    pub due: Timestamp,
}

/// Consecutive occurrences that are not caught up with; one record stands for the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissedRun {
    pub from: Mark,
    pub to: Mark,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In order of due instants.
    pub send: Vec<Occurrence>,
    pub missed: Vec<MissedRun>,
    /// How far this schedule's occurrences are moved.
    pub spread: Span,
    pub planned: u32,
    pub exhausted: bool,
    pub next_wake: Option<Timestamp>,
    pub look_again_at: Option<Timestamp>,
    /// As soon as all that is planned is over: where the next wake is later than the look above.
    pub look_when_idle: Option<Timestamp>,
    pub next_due: Option<Timestamp>,
}

/// The planning fields of a state, written only over the version they were made from.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanWrite {
    pub id: ScheduleId,
    pub if_version: u64,
    pub token: Token,
    pub plan: Plan,
    /// The next wake, where it is further away than a queue carries.
    pub far_wake: Option<Timestamp>,
}

impl PlanWrite {
    /// One record for each run that is not caught up with, of the state that the plan was saved over.
    pub fn missed_records(&self, state: &State) -> Vec<Execution> {
        let record = |run: &MissedRun| {
            let id = self.id.execution(run.from.number, NO_SLOT);
            let due = run.from.at.plus(self.plan.spread);
            let mut record =
                Execution::new(id, state.app.clone(), state.generation, run.from.at, due, self.token);
            record.status = ExecutionStatus::Missed;
            record.through = (run.to.number > run.from.number).then_some(run.to.number);
            record
        };
        self.plan.missed.iter().map(record).collect()
    }
}

/// How far `spread` moves this schedule.
pub fn spread_of(id: ScheduleId, spread: Span) -> Span {
    if spread.is_zero() { Span::ZERO } else { Span::from_millis(id.hash() % spread.millis()) }
}

/// When a schedule whose next effective instant is `due` wakes to plan it.
pub fn wake_before(id: ScheduleId, due: Timestamp, reach: &Reach) -> Timestamp {
    due.minus(reach.lead).minus(spread_of(id, reach.lead_spread))
}

/// The next `count` occurrences as they would be planned now: number, nominal and effective instant. What has
/// started is not among them.
pub fn upcoming(definition: &Definition, state: &State, count: usize) -> Vec<(u32, Timestamp, Timestamp)> {
    let mut upcoming = Vec::new();
    if !state.status.runs() {
        return upcoming;
    }
    let Ok(rule) = definition.trigger.rule(definition.policy.dst) else {
        return upcoming;
    };
    let spread = spread_of(definition.id, definition.policy.spread);
    let (mut number, mut at) = (state.anchor.number, state.anchor.at);
    while upcoming.len() < count {
        number += 1;
        while state.consumes_no_instant(number) {
            number += 1;
        }
        if state.occurrences.is_some_and(|limit| number > limit) {
            break;
        }
        let Some(next) = rule.next_after(at) else {
            break;
        };
        at = next;
        if !state.is_closed(number) && state.claim_of(number).is_none() {
            let (nominal, due) = match (rule.occasion(at), &definition.trigger) {
                // It opens ahead: shown is when the first of its recipients can be due.
                (Some(occasion), Trigger::FanOut(fan_out)) => {
                    let before = fan_out.from.minus(Span::from_millis(1));
                    (occasion.key(), occasion.next_possible(fan_out.zone, before).unwrap_or(at))
                }
                _ => (at, at.plus(spread)),
            };
            upcoming.push((number, nominal, due));
        }
    }
    upcoming
}

pub fn plan(state: &State, rule: &Rule, policy: &Policy, reach: &Reach, now: Timestamp) -> Plan {
    Planning::new(state, rule, policy, reach, now).run()
}

struct Planning<'a> {
    state: &'a State,
    rule: &'a Rule,
    reach: &'a Reach,
    policy: &'a Policy,
    now: Timestamp,
    spread: Span,
    /// Never sent, and due so long ago that the policy for missed ones applies.
    late: Vec<Mark>,
    /// Sent before and lost on the way: they fire whatever the policy for missed ones, unless too old.
    lost: Vec<Mark>,
    /// Claimed, and the claim lapsed: whoever takes over reads the record first.
    lapsed: Vec<Occurrence>,
    /// Holes that the trigger, now at its end, has no instant for: they will never be due.
    stranded: Vec<MissedRun>,
    send: Vec<Occurrence>,
    /// Sent before, or claimed: on the way, with their due instants.
    open: u32,
    /// By when all that is open is over, if all is well.
    last_open_due: Timestamp,
    /// The last due instant of what was sent before and has not started.
    last_sent_due: Timestamp,
    planned: u32,
}

enum End {
    Exhausted,
    /// The first instant that this plan leaves to the next.
    Next {
        due: Timestamp,
        blocked: bool,
    },
}

impl<'a> Planning<'a> {
    fn new(state: &'a State, rule: &'a Rule, policy: &'a Policy, reach: &'a Reach, now: Timestamp) -> Self {
        Planning {
            state,
            rule,
            reach,
            policy,
            now,
            spread: spread_of(state.id, policy.spread),
            late: Vec::new(),
            lost: Vec::new(),
            lapsed: Vec::new(),
            stranded: Vec::new(),
            send: Vec::new(),
            open: 0,
            last_open_due: now,
            last_sent_due: now,
            planned: state.planned,
        }
    }

    fn run(mut self) -> Plan {
        self.place_old_claims();
        let end = self.walk();
        let (mut missed, catch_up) = self.judge_late(&end);
        missed.append(&mut self.stranded);
        let limit = self.reach.max_open.saturating_sub(self.open) as usize;
        let mut send = std::mem::take(&mut self.lapsed);
        for (i, mark) in catch_up.into_iter().enumerate() {
            let due = self.now.plus(CATCH_UP_SPACING.times(i as u64)).max(mark.at.plus(self.spread));
            send.push(Occurrence { number: mark.number, at: mark.at, due });
        }
        send.append(&mut self.send);
        let cut = send.len() > limit;
        send.truncate(limit);
        send.sort_by_key(|occurrence| (occurrence.due, occurrence.number));
        // What was cut is not planned: the next plan walks over it again.
        let highest_sent = send.iter().map(|occurrence| occurrence.number).max().unwrap_or(0);
        let highest_missed = missed.iter().map(|run| run.to.number).max().unwrap_or(0);
        let planned =
            if cut { self.state.planned.max(highest_sent).max(highest_missed) } else { self.planned };
        let exhausted = matches!(end, End::Exhausted) && !cut;
        self.outlook(end, cut, send, missed, planned, exhausted)
    }

    /// Claims of instants that no walk comes by any more, since the trigger has changed: they too must end.
    fn place_old_claims(&mut self) {
        let state = self.state;
        for claim in state.claims.iter().filter(|claim| claim.at <= state.anchor.at) {
            self.place_claim(claim);
        }
    }

    fn place_claim(&mut self, claim: &Claim) {
        if claim.lease_until > self.now {
            self.open += 1;
            self.last_open_due = self.last_open_due.max(claim.lease_until);
        } else {
            self.lapsed.push(Occurrence { number: claim.number, at: claim.at, due: claim.due });
        }
    }

    /// Walks the instants after the anchor, up to the window's end.
    fn walk(&mut self) -> End {
        let mut mark = self.state.anchor;
        let horizon = self.now.plus(self.reach.window);
        for _ in 0..MAX_WALK {
            let mut number = mark.number + 1;
            while self.state.consumes_no_instant(number) {
                number += 1;
            }
            if self.state.occurrences.is_some_and(|limit| number > limit) {
                return End::Exhausted;
            }
            let Some(at) = self.rule.next_after(mark.at) else {
                self.strand(number);
                return End::Exhausted;
            };
            mark = Mark { number, at };
            let due = at.plus(self.spread);
            if due > horizon {
                return End::Next { due, blocked: false };
            }
            if let Some(run) = self.state.beyond.iter().find(|run| run.contains(number)) {
                // Closed, all of it, and its instants are known: no need to walk them one by one.
                mark = run.to;
                continue;
            }
            if self.open + self.send.len() as u32 >= self.reach.max_open
                && self.state.claim_of(number).is_none()
                && number > self.state.planned
            {
                return End::Next { due, blocked: true };
            }
            self.place(mark, due);
        }
        End::Next { due: self.now, blocked: false }
    }

    /// A change gave the holes below what had started new instants; here the trigger ends before it has any.
    fn strand(&mut self, from: u32) {
        for number in from..=self.state.started() {
            if self.state.is_closed(number) || self.state.claim_of(number).is_some() {
                continue;
            }
            let mark = Mark { number, at: self.state.anchor.at };
            match self.stranded.last_mut() {
                Some(run) if run.to.number + 1 == number => run.to = mark,
                _ => self.stranded.push(MissedRun { from: mark, to: mark }),
            }
        }
    }

    fn place(&mut self, mark: Mark, due: Timestamp) {
        self.planned = self.planned.max(mark.number);
        if let Some(claim) = self.state.claim_of(mark.number) {
            return self.place_claim(claim);
        }
        if mark.number <= self.state.planned {
            if due.plus(self.reach.resend_after) > self.now {
                self.open += 1;
                self.last_open_due = self.last_open_due.max(due);
                self.last_sent_due = self.last_sent_due.max(due);
            } else {
                self.lost.push(mark);
            }
        } else if due.plus(self.reach.missed_after) <= self.now {
            self.late.push(mark);
        } else {
            self.send.push(Occurrence { number: mark.number, at: mark.at, due });
        }
    }

    /// Which of the late ones are missed for good, and which are caught up with.
    fn judge_late(&self, end: &End) -> (Vec<MissedRun>, Vec<Mark>) {
        let oldest = self.now.minus(self.policy.max_lateness());
        let more_late_ones = matches!(end, End::Next { due, blocked: false } if *due <= self.now);
        let latest = self.late.last().map(|mark| mark.number);
        let mut missed: Vec<MissedRun> = Vec::new();
        let mut catch_up = Vec::new();
        // Numbers ascend: what was sent is lower than what was not.
        for &mark in self.lost.iter().chain(&self.late) {
            let sent_before = mark.number <= self.state.planned;
            let fires = mark.at.plus(self.spread) >= oldest
                && match self.policy.missed(self.state.occurrences.is_some()) {
                    _ if sent_before => true,
                    Missed::All => true,
                    Missed::Latest => Some(mark.number) == latest && !more_late_ones,
                    Missed::None => false,
                };
            match missed.last_mut() {
                _ if fires => catch_up.push(mark),
                Some(run) if run.to.number + 1 == mark.number => run.to = mark,
                _ => missed.push(MissedRun { from: mark, to: mark }),
            }
        }
        (missed, catch_up)
    }

    fn outlook(
        &self,
        end: End,
        cut: bool,
        send: Vec<Occurrence>,
        missed: Vec<MissedRun>,
        planned: u32,
        exhausted: bool,
    ) -> Plan {
        let last_due = send.iter().map(|occurrence| occurrence.due).max();
        let all_open_by = last_due.unwrap_or(self.now).max(self.last_open_due);
        let (next_wake, beyond_window) = match end {
            _ if cut => (Some(last_due.unwrap_or(self.now).max(self.now.plus(REPLAN_PAUSE))), None),
            End::Exhausted => (None, None),
            // As much is open as may be: the rest follows when half of it has started.
            End::Next { due, blocked: true } => {
                let last = last_due.unwrap_or(self.now).max(self.last_sent_due);
                let half = Span::from_millis(last.since(self.now).millis() / 2).max(REPLAN_PAUSE);
                (Some(wake_before(self.state.id, due, self.reach).max(self.now.plus(half))), Some(due))
            }
            End::Next { due, .. } => {
                (Some(wake_before(self.state.id, due, self.reach).max(self.now)), Some(due))
            }
        };
        // Where something is on the way, somebody must look whether it arrived.
        let on_the_way = (self.open > 0 || !send.is_empty())
            .then(|| all_open_by.plus(self.reach.resend_after).plus(self.reach.grace));
        let look_again_at = match (next_wake.map(|at| at.plus(self.reach.grace)), on_the_way) {
            (Some(wake), Some(way)) => Some(wake.min(way)),
            (wake, way) => wake.or(way),
        };
        let wake_missed = next_wake.map(|at| at.plus(self.reach.grace));
        let look_when_idle = wake_missed.filter(|at| look_again_at.is_some_and(|look| look < *at));
        let next_due = send.iter().map(|occurrence| occurrence.due).min().or(beyond_window);
        Plan {
            send,
            missed,
            spread: self.spread,
            planned,
            exhausted,
            next_wake,
            look_again_at,
            look_when_idle,
            next_due,
        }
    }
}

impl State {
    /// Saves a plan over the version it was made from; anything else leaves the state as it is (`None`).
    pub fn save_plan(&mut self, write: &PlanWrite, now: Timestamp) -> Option<Closed> {
        if self.plan_token == write.token {
            return Some(Closed { applied: true, first: false, finished: self.status == Status::Finished });
        }
        // Its last outcome may have ended it since: counting raises no version.
        if self.version != write.if_version || !self.status.runs() {
            return None;
        }
        // Claims raise no version: one may have come of a message whose plan was never saved.
        let taken = |run: &MissedRun| {
            let numbers = run.from.number..=run.to.number;
            self.claims.iter().any(|claim| numbers.contains(&claim.number))
                || numbers.clone().any(|number| self.is_closed(number))
        };
        if write.plan.missed.iter().any(taken) {
            return None;
        }
        for run in &write.plan.missed {
            self.close_missed(run.from, run.to);
        }
        self.planned = self.planned.max(write.plan.planned);
        self.exhausted = write.plan.exhausted;
        self.look_again_at = write.plan.look_again_at;
        self.look_when_idle = write.plan.look_when_idle;
        self.far_wake = write.far_wake.map(|at| FarWake { at, generation: self.generation });
        self.next_due = write.plan.next_due;
        self.plan_token = write.token;
        self.overdue_looks = 0;
        self.version += 1;
        self.revision += 1;
        Some(Closed { applied: true, first: false, finished: self.finish_if_over(now) })
    }

    /// The sweeper found it overdue: look again later, twice as much later each time in a row.
    pub fn look_later(&mut self, grace: Span, now: Timestamp) -> bool {
        if self.look_again_at.is_none_or(|at| at > now) || !self.status.runs() {
            return false;
        }
        self.look_again_at = Some(now.plus(grace.times(1 << self.overdue_looks.min(10))));
        self.overdue_looks = self.overdue_looks.saturating_add(1);
        self.revision += 1;
        true
    }
}
