//! Planning one window: which occurrences to send, which are missed for good, when to look again.
//! Doing it twice does no harm: numbers, instants and ids come out the same.

use crate::{
    ids::{ScheduleId, Token},
    policy::{Missed, Policy},
    state::{Closed, Mark, State},
    time::{Span, Timestamp},
    trigger::Rule,
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
const REPLAN_PAUSE: Span = Span::from_millis(250);

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
    pub planned: u32,
    pub exhausted: bool,
    pub next_wake: Option<Timestamp>,
    pub look_again_at: Option<Timestamp>,
    pub next_due: Option<Timestamp>,
}

/// The planning fields of a state, written only over the version they were made from.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanWrite {
    pub id: ScheduleId,
    pub if_version: u64,
    pub token: Token,
    pub plan: Plan,
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
            upcoming.push((number, at, at.plus(spread)));
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
    /// Not claimed, not closed, and due so long ago that the policy for missed ones applies.
    late: Vec<Mark>,
    send: Vec<Occurrence>,
    /// Sent before, or claimed: on the way, with their due instants.
    open: u32,
    last_open_due: Timestamp,
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
            send: Vec::new(),
            open: 0,
            last_open_due: now,
            planned: state.planned,
        }
    }

    fn run(mut self) -> Plan {
        let end = self.walk();
        let (missed, catch_up) = self.judge_late(&end);
        let limit = self.reach.max_open.saturating_sub(self.open) as usize;
        let mut send: Vec<Occurrence> = Vec::new();
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
        let highest_missed = missed.last().map_or(0, |run: &MissedRun| run.to.number);
        let planned =
            if cut { self.state.planned.max(highest_sent).max(highest_missed) } else { self.planned };
        let exhausted = matches!(end, End::Exhausted) && !cut;
        self.outlook(end, cut, send, missed, planned, exhausted)
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
                return End::Exhausted;
            };
            mark = Mark { number, at };
            let due = at.plus(self.spread);
            if due > horizon {
                return End::Next { due, blocked: false };
            }
            if self.open + self.send.len() as u32 >= self.reach.max_open
                && !self.state.is_closed(number)
                && number > self.state.planned
            {
                return End::Next { due, blocked: true };
            }
            self.place(mark, due);
        }
        End::Next { due: self.now, blocked: false }
    }

    fn place(&mut self, mark: Mark, due: Timestamp) {
        self.planned = self.planned.max(mark.number);
        if self.state.is_closed(mark.number) {
            return;
        }
        if let Some(claim) = self.state.claim_of(mark.number) {
            if claim.lease_until > self.now {
                self.open += 1;
                self.last_open_due = self.last_open_due.max(claim.lease_until);
            } else {
                // Its claimer died: whoever takes it over reads the record first.
                self.send.push(Occurrence { number: mark.number, at: mark.at, due: claim.due });
            }
            return;
        }
        let sent_before = mark.number <= self.state.planned;
        if sent_before && due.plus(self.reach.resend_after) > self.now {
            self.open += 1;
            self.last_open_due = self.last_open_due.max(due);
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
        for &mark in &self.late {
            let fires = mark.at.plus(self.spread) >= oldest
                && match self.policy.missed(self.state.occurrences.is_some()) {
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
            End::Next { due, blocked: true } => (
                Some(wake_before(self.state.id, due, self.reach).max(self.now.plus(REPLAN_PAUSE))),
                Some(due),
            ),
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
        let next_due = send.iter().map(|occurrence| occurrence.due).min().or(beyond_window);
        Plan { send, missed, planned, exhausted, next_wake, look_again_at, next_due }
    }
}

impl State {
    /// Saves a plan over the version it was made from; anything else leaves the state as it is (`None`).
    pub fn save_plan(&mut self, write: &PlanWrite, now: Timestamp) -> Option<Closed> {
        if self.plan_token == write.token {
            return Some(Closed { applied: true, ..Closed::default() });
        }
        if self.version != write.if_version {
            return None;
        }
        for run in &write.plan.missed {
            self.close_missed(run.from, run.to);
        }
        self.planned = self.planned.max(write.plan.planned);
        self.exhausted = write.plan.exhausted;
        self.look_again_at = write.plan.look_again_at;
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
