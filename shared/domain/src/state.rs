//! What a schedule is doing: a small, hot item, and every change that may be made to it, as pure
//! transitions. An adapter loads, applies and stores (or says the same in one conditional write); the rules
//! are here and nowhere else.
//!
//! Occurrences are numbered from 1. The anchor says up to where all are closed; what is closed out of order
//! stands in `beyond`, run by run, what runs in `claims`. Numbers after the anchor belong to the trigger's instants after
//! the anchor's instant, one by one, except those that an earlier generation has already used.

use crate::{
    execution::ExecutionStatus,
    ids::{AppKey, ScheduleId, Token},
    policy::Overlap,
    time::{Span, Timestamp},
};
use serde::{Deserialize, Serialize};

/// How long one claim may go without an outcome before another takes it over.
pub const LEASE: Span = Span::from_secs(75);
/// How often one attempt is claimed without an outcome before it counts as failed, `abandoned`.
pub const MAX_TRIES: u8 = 3;
/// The same for what pushes: each try goes on where the one before it stopped, and nobody may be left out for a crash.
pub const MAX_PUSH_TRIES: u8 = 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing has run yet.
    Pending,
    Active,
    Paused,
    /// Every occurrence is over.
    Finished,
    Canceled,
}

impl Status {
    pub const ALL: [Status; 5] = [Self::Pending, Self::Active, Self::Paused, Self::Finished, Self::Canceled];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Finished => "finished",
            Self::Canceled => "canceled",
        }
    }

    pub fn runs(self) -> bool {
        matches!(self, Self::Pending | Self::Active)
    }

    pub fn has_ended(self) -> bool {
        matches!(self, Self::Finished | Self::Canceled)
    }
}

/// A number, and the nominal instant that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub number: u32,
    pub at: Timestamp,
}

/// Consecutive numbers that are closed; either all of them belong to instants after the anchor's, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub from: Mark,
    pub to: Mark,
}

impl Run {
    pub fn contains(&self, number: u32) -> bool {
        (self.from.number..=self.to.number).contains(&number)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub number: u32,
    /// Nominal.
    pub at: Timestamp,
    pub due: Timestamp,
    /// Of the message that claimed it: an older one must not take it over, with what it still carries.
    #[serde(default)]
    pub generation: u32,
    pub token: Token,
    pub lease_until: Timestamp,
    pub tries: u8,
    /// Claimed only to be recorded as skipped.
    #[serde(default)]
    pub skip: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Occurrences that are over, whatever their outcome.
    pub done: u32,
    pub failed: u32,
    pub missed: u32,
    pub skipped: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub id: ScheduleId,
    pub app: AppKey,
    pub status: Status,
    /// Raised by cancel, pause, resume and update; messages carry it, stale ones are dropped.
    pub generation: u32,
    /// Raised by every plan and every change: a plan is saved only over the one that it was made from.
    pub version: u64,
    /// Raised by every write.
    pub revision: u64,
    pub occurrences: Option<u32>,
    pub anchor: Mark,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beyond: Vec<Run>,
    /// The highest number that has been sent.
    pub planned: u32,
    /// The trigger yields nothing after what is planned.
    #[serde(default)]
    pub exhausted: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Claim>,
    /// The highest number ever claimed, with its instant.
    pub last_claimed: Option<Mark>,
    /// Executions whose record waits for another attempt.
    #[serde(default)]
    pub waiting: u32,
    /// Runs by hand so far.
    #[serde(default)]
    pub manual_runs: u32,
    pub counts: Counts,
    /// By when somebody must have looked at this schedule again.
    pub look_again_at: Option<Timestamp>,
    /// The same, as soon as nothing that is planned is open: the next wake is further away than what is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look_when_idle: Option<Timestamp>,
    /// The last wake that was set further ahead than a queue carries; it may have come since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub far_wake: Option<FarWake>,
    /// The next due instant as far as planning knows, for showing.
    pub next_due: Option<Timestamp>,
    pub first_sent_at: Option<Timestamp>,
    /// Status of the last answer; -1 where none came.
    pub last_status: Option<i32>,
    pub ended_at: Option<Timestamp>,
    /// Why it ended, where neither its last occurrence nor a user ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_because: Option<String>,
    /// Its end has yet to be told to the app's listeners.
    #[serde(default)]
    pub untold: bool,
    /// The last change's and the last plan's own tokens: finding one's own means that the write had succeeded.
    pub change_token: Token,
    pub plan_token: Token,
    /// Looks that found it overdue in a row: the grace doubles with each.
    #[serde(default)]
    pub overdue_looks: u8,
}

/// A wake that waits outside the queue: with the schedule's id, this names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FarWake {
    pub at: Timestamp,
    pub generation: u32,
}

/// Asks to start one occurrence.
#[derive(Clone, Debug)]
pub struct ClaimAsk {
    pub id: ScheduleId,
    pub number: u32,
    pub at: Timestamp,
    pub due: Timestamp,
    pub generation: u32,
    pub token: Token,
    pub lease_until: Timestamp,
    pub overlap: Overlap,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimAnswer {
    /// Yours until the lease ends. `tries` above 1: an earlier claim lapsed; its record may be there already.
    Claimed {
        tries: u8,
    },
    /// Yours, to be recorded as skipped: an earlier execution still runs.
    ClaimedToSkip,
    /// Yours, to be recorded as failed: [`MAX_TRIES`] claims brought no outcome.
    ClaimedToAbandon,
    AlreadyClosed,
    HeldUntil(Timestamp),
    /// Of an older generation, or of a schedule that does not run.
    Stale,
}

/// How a claimed number leaves the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    Over(ExecutionStatus),
    /// Its record waits for another attempt.
    Waiting,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// False where it had been closed before: nothing was counted.
    pub applied: bool,
    /// It was the schedule's first.
    pub first: bool,
    /// The schedule ended with it.
    pub finished: bool,
}

impl State {
    pub fn new(
        id: ScheduleId,
        app: AppKey,
        occurrences: Option<u32>,
        anchor_at: Timestamp,
        token: Token,
    ) -> Self {
        State {
            id,
            app,
            status: Status::Pending,
            generation: 1,
            version: 1,
            revision: 1,
            occurrences,
            anchor: Mark { number: 0, at: anchor_at },
            beyond: Vec::new(),
            planned: 0,
            exhausted: false,
            claims: Vec::new(),
            last_claimed: None,
            waiting: 0,
            manual_runs: 0,
            counts: Counts::default(),
            look_again_at: None,
            look_when_idle: None,
            far_wake: None,
            next_due: None,
            first_sent_at: None,
            last_status: None,
            ended_at: None,
            ended_because: None,
            untold: false,
            change_token: token,
            plan_token: token,
            overdue_looks: 0,
        }
    }

    pub fn is_closed(&self, number: u32) -> bool {
        number <= self.anchor.number || self.beyond.iter().any(|run| run.contains(number))
    }

    pub fn claim_of(&self, number: u32) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.number == number)
    }

    /// Used up by an earlier generation: no instant after the anchor belongs to it.
    pub(crate) fn consumes_no_instant(&self, number: u32) -> bool {
        let old = |at: Timestamp| at <= self.anchor.at;
        self.beyond.iter().any(|run| run.contains(number) && old(run.to.at))
            || self.claims.iter().any(|claim| claim.number == number && old(claim.at))
    }

    /// How many executions have started and may still arrive.
    pub fn in_flight(&self) -> u32 {
        self.claims.iter().filter(|claim| !claim.skip).count() as u32
    }

    /// One conditional write: starts an occurrence, or says why not.
    pub fn claim(&mut self, ask: &ClaimAsk, now: Timestamp) -> ClaimAnswer {
        if self.is_closed(ask.number) {
            return ClaimAnswer::AlreadyClosed;
        }
        let held = self.claims.iter().position(|claim| claim.number == ask.number);
        if let Some(held) = held.map(|at| &self.claims[at]) {
            if held.token == ask.token {
                return answer(held.skip, held.tries);
            }
            if held.lease_until > now {
                return ClaimAnswer::HeldUntil(held.lease_until);
            }
            if ask.generation < held.generation {
                return ClaimAnswer::Stale;
            }
        } else if !self.status.runs() || ask.generation != self.generation {
            return ClaimAnswer::Stale;
        }
        // A lapsed claim is taken over even after a change: it had started, and must get an outcome.
        let tries = held.map_or(1, |at| self.claims[at].tries.saturating_add(1));
        let runs_elsewhere = self.waiting > 0
            || self
                .claims
                .iter()
                .any(|claim| claim.number != ask.number && !claim.skip && claim.lease_until > now);
        // What was to be skipped stays so: it never started, and is not among those in flight.
        let skip = match held {
            Some(at) => self.claims[at].skip,
            None => ask.overlap == Overlap::Skip && runs_elsewhere,
        };
        let claim = Claim {
            number: ask.number,
            at: held.map_or(ask.at, |at| self.claims[at].at),
            due: held.map_or(ask.due, |at| self.claims[at].due),
            generation: ask.generation,
            token: ask.token,
            lease_until: ask.lease_until,
            tries,
            skip,
        };
        match held {
            Some(at) => self.claims[at] = claim,
            None => self.claims.push(claim),
        }
        if self.last_claimed.is_none_or(|last| last.number < ask.number) {
            self.last_claimed = Some(Mark { number: ask.number, at: ask.at });
        }
        self.revision += 1;
        answer(skip, tries)
    }

    /// Closes a claimed number and counts it, once: the write that removes the claim is the one that counts.
    pub fn close(
        &mut self,
        number: u32,
        token: Token,
        closing: Closing,
        last_status: Option<i32>,
        sent_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Closed {
        let Some(held) = self.claims.iter().position(|claim| claim.number == number && claim.token == token)
        else {
            return Closed::default();
        };
        let claim = self.claims.swap_remove(held);
        let first = self.counts.done == 0 && self.waiting == 0 && self.first_sent_at.is_none();
        let mark = Mark { number, at: claim.at };
        self.mark_closed(Run { from: mark, to: mark });
        match closing {
            Closing::Over(status) => self.count(status, 1),
            Closing::Waiting => self.waiting += 1,
        }
        self.last_status = last_status.or(self.last_status);
        self.first_sent_at = self.first_sent_at.or(sent_at);
        if self.status == Status::Pending {
            self.status = Status::Active;
        }
        self.revision += 1;
        let finished = self.finish_if_over(now);
        self.rest_if_idle();
        Closed { applied: true, first, finished }
    }

    /// Nothing is on its way any more: nobody need look before the next wake.
    fn rest_if_idle(&mut self) {
        let idle = self.claims.is_empty() && self.beyond.is_empty() && self.anchor.number >= self.planned;
        if idle && self.status.runs() && self.look_again_at.is_some() {
            self.look_again_at = self.look_again_at.max(self.look_when_idle.take());
        }
    }

    /// Whoever held this claim is known to be gone: the next may take it over at once.
    pub fn lapse(&mut self, number: u32, now: Timestamp) {
        for claim in self.claims.iter_mut().filter(|claim| claim.number == number) {
            claim.lease_until = claim.lease_until.min(now);
        }
    }

    /// Closes a run of occurrences that are not to be caught up with; none of them is closed or claimed.
    pub(crate) fn close_missed(&mut self, from: Mark, to: Mark) {
        self.mark_closed(Run { from, to });
        self.count(ExecutionStatus::Missed, to.number - from.number + 1);
    }

    fn count(&mut self, status: ExecutionStatus, occurrences: u32) {
        self.counts.done += occurrences;
        match status {
            ExecutionStatus::Failed => self.counts.failed += occurrences,
            ExecutionStatus::Missed => self.counts.missed += occurrences,
            ExecutionStatus::Skipped => self.counts.skipped += occurrences,
            _ => {}
        }
    }

    fn mark_closed(&mut self, run: Run) {
        let at = self.beyond.partition_point(|other| other.from.number < run.from.number);
        self.beyond.insert(at, run);
        self.absorb();
        let anchor = self.anchor.at;
        self.beyond.dedup_by(|later, earlier| {
            let same_side = (later.from.at > anchor) == (earlier.to.at > anchor);
            let joins = earlier.to.number + 1 == later.from.number && same_side;
            if joins {
                earlier.to = Mark { number: later.to.number, at: earlier.to.at.max(later.to.at) };
            }
            joins
        });
    }

    /// Moves the anchor over what is closed right after it.
    fn absorb(&mut self) {
        let mut taken = 0;
        for run in &self.beyond {
            if run.from.number > self.anchor.number + 1 {
                break;
            }
            self.anchor = Mark { number: run.to.number, at: self.anchor.at.max(run.to.at) };
            taken += 1;
        }
        self.beyond.drain(..taken);
    }

    /// A waiting execution has got its outcome, or its record was counted before and only changed it.
    pub fn close_waiting(
        &mut self,
        was: WaitingKind,
        status: ExecutionStatus,
        last_status: Option<i32>,
        now: Timestamp,
    ) -> Closed {
        self.waiting = self.waiting.saturating_sub(1);
        match was {
            WaitingKind::Occurrence => self.count(status, 1),
            WaitingKind::Uncounted => {}
            WaitingKind::Recounted { had_failed } => {
                let fails = status == ExecutionStatus::Failed;
                if had_failed && !fails {
                    self.counts.failed = self.counts.failed.saturating_sub(1);
                } else if !had_failed && fails {
                    self.counts.failed += 1;
                }
            }
        }
        self.last_status = last_status.or(self.last_status);
        self.revision += 1;
        Closed { applied: true, first: false, finished: self.finish_if_over(now) }
    }

    /// A run by hand, or a redelivery, now waits for its attempt.
    pub fn open_waiting(&mut self, by_hand: bool) {
        self.waiting += 1;
        self.manual_runs += u32::from(by_hand);
        self.revision += 1;
    }

    /// So many pages of one occurrence now wait for theirs.
    pub fn open_pages(&mut self, pages: u32) {
        self.waiting += pages;
        self.revision += 1;
    }

    /// All planned, all closed, nothing to come: the schedule ends here.
    pub(crate) fn finish_if_over(&mut self, now: Timestamp) -> bool {
        let limit_reached = self.occurrences.is_some_and(|limit| self.anchor.number >= limit);
        let all_closed = limit_reached || (self.exhausted && self.anchor.number >= self.planned);
        if !self.status.runs() || !all_closed || !self.claims.is_empty() || self.waiting > 0 {
            return false;
        }
        self.end(Status::Finished, now);
        true
    }

    pub(crate) fn end(&mut self, status: Status, now: Timestamp) {
        self.status = status;
        self.ended_at = Some(now);
        self.next_due = None;
        self.look_again_at = None;
    }

    /// It has ended and listeners are to be told: it stays overdue until they have been ([`State::told`]).
    pub fn end_is_to_be_told(&mut self, now: Timestamp) {
        self.untold = true;
        self.look_again_at = Some(now);
    }

    pub fn told(&mut self) {
        if self.untold {
            self.untold = false;
            self.look_again_at = None;
            self.revision += 1;
        }
    }
}

fn answer(skip: bool, tries: u8) -> ClaimAnswer {
    match () {
        () if skip => ClaimAnswer::ClaimedToSkip,
        () if tries > MAX_TRIES => ClaimAnswer::ClaimedToAbandon,
        () => ClaimAnswer::Claimed { tries },
    }
}

/// What a waiting execution means for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitingKind {
    Occurrence,
    /// A run by hand, or a page of an occurrence that is counted itself.
    Uncounted,
    /// Delivered again after it had been counted.
    Recounted {
        had_failed: bool,
    },
}
