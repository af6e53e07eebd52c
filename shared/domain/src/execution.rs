//! The record of one execution (or of a run of missed occurrences), with its attempts.

use crate::state::{State, Status, WaitingKind};
use crate::{
    call::{CallFailure, CallOutcome},
    ids::{AppKey, ExecutionId, Token},
    push::fan_out::PushRecord,
    time::{Span, Timestamp},
};
use serde::{Deserialize, Serialize};

/// Of how many attempts the answers' bodies are kept.
const BODIES_KEPT: usize = 10;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    pub id: ExecutionId,
    pub app: AppKey,
    pub generation: u32,
    /// The instant that the trigger gave.
    pub nominal_at: Timestamp,
    /// The nominal instant, moved by `spread` or by catching up: what lateness is measured against.
    pub due_at: Timestamp,
    pub status: ExecutionStatus,
    /// For a run of missed occurrences: its last number. One record stands for them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Why it ended without a call, or before its attempts were used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// Whoever attempts a waiting execution just now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<RecordClaim>,
    /// The claim under which this was written last.
    pub token: Token,
    /// The outcome that the schedule's counters know: a redelivery changes the outcome, never the count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_as: Option<ExecutionStatus>,
    /// Since when the present round of attempts counts: set by a redelivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<Round>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Present where it pushes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<Box<PushRecord>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionStatus {
    /// Claimed, and its call on the way. Never stored: a claim says it.
    Running,
    /// For its next attempt.
    Waiting,
    Succeeded,
    Failed,
    /// Due while the service was away, and not to be caught up with.
    Missed,
    /// An earlier execution still ran, and the schedule's policy is `skip`.
    Skipped,
}

impl ExecutionStatus {
    pub const ALL: [ExecutionStatus; 6] =
        [Self::Running, Self::Waiting, Self::Succeeded, Self::Failed, Self::Missed, Self::Skipped];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Missed => "missed",
            Self::Skipped => "skipped",
        }
    }

    pub fn is_final(self) -> bool {
        !matches!(self, Self::Running | Self::Waiting)
    }
}

/// The claim of a waiting execution, held by its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordClaim {
    pub token: Token,
    pub lease_until: Timestamp,
    /// How often this attempt has been claimed; three without an outcome: abandoned.
    pub tries: u8,
}

/// A new round of attempts, after a redelivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    pub since: Timestamp,
    /// How many attempts there had been before it.
    pub attempts_before: u16,
}

/// One HTTP exchange.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    pub sent_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_at: Option<Timestamp>,
    pub done_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<CallFailure>,
    /// The first 2 KiB of the answer's body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
}

impl Attempt {
    pub fn of(outcome: CallOutcome) -> Self {
        let (status, body, failure) = match outcome.result {
            Ok(answer) => (Some(answer.status), answer.body, None),
            Err(failure) => (None, String::new(), Some(failure)),
        };
        let CallOutcome { sent_at, first_byte_at, done_at, .. } = outcome;
        Attempt { sent_at, first_byte_at, done_at, status, failure, body }
    }

    pub fn duration(&self) -> Span {
        self.done_at.since(self.sent_at)
    }
}

/// The answer to whoever wants to make a waiting execution's next attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum AttemptClaim {
    Claimed {
        execution: Execution,
        tries: u8,
    },
    /// Its schedule has changed since: no further attempt starts; close it.
    ClaimedToDrop {
        execution: Execution,
    },
    HeldUntil(Timestamp),
    NotYet(Timestamp),
    /// It has its outcome, or never was.
    NotWaiting,
}

impl Execution {
    /// Claims its next attempt, where that is its turn; what is answered with the execution is to be stored. Where
    /// claims are leases, it is to be stored only over what this was, and as long as the state stays of that
    /// generation.
    pub fn claim_attempt(
        &self,
        state: &State,
        token: Token,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> AttemptClaim {
        if self.status != ExecutionStatus::Waiting {
            return AttemptClaim::NotWaiting;
        }
        // Its schedule has changed since it began to wait: no further attempt starts.
        let changed = state.generation != self.generation || state.status == Status::Canceled;
        let tries = match self.claim {
            Some(claim) if claim.token == token => claim.tries,
            Some(claim) if claim.lease_until > now => return AttemptClaim::HeldUntil(claim.lease_until),
            claim => {
                let at = self.next_attempt_at.unwrap_or(now);
                if !changed && at > now {
                    return AttemptClaim::NotYet(at);
                }
                claim.map_or(0, |claim| claim.tries).saturating_add(1)
            }
        };
        let claim = Some(RecordClaim { token, lease_until, tries });
        let execution = Execution { claim, ..self.clone() };
        if changed {
            AttemptClaim::ClaimedToDrop { execution }
        } else {
            AttemptClaim::Claimed { execution, tries }
        }
    }

    /// An occurrence (or a run by hand) of which nothing is known yet but when it is due.
    pub fn new(
        id: ExecutionId,
        app: AppKey,
        generation: u32,
        nominal_at: Timestamp,
        due_at: Timestamp,
        token: Token,
    ) -> Self {
        Execution {
            id,
            app,
            generation,
            nominal_at,
            due_at,
            status: ExecutionStatus::Running,
            through: None,
            attempts: Vec::new(),
            reason: None,
            next_attempt_at: None,
            claim: None,
            token,
            counted_as: None,
            round: None,
            comment: None,
            push: None,
        }
    }

    /// Adds an attempt; bodies are kept of the last few alone, so that the record stays small.
    pub fn add_attempt(&mut self, attempt: Attempt) {
        self.attempts.push(attempt);
        if let Some(older) = self.attempts.len().checked_sub(BODIES_KEPT + 1) {
            self.attempts[older].body.clear();
        }
    }

    /// Attempts of the present round.
    pub fn attempts_in_round(&self) -> u16 {
        let before = self.round.map_or(0, |round| usize::from(round.attempts_before));
        u16::try_from(self.attempts.len().saturating_sub(before)).unwrap_or(u16::MAX)
    }

    /// What the retry policy's `max_age` counts from.
    pub fn round_since(&self) -> Timestamp {
        self.round.map_or(self.due_at, |round| round.since)
    }

    /// The last answer's status, -1 where none came; none where nothing was sent.
    pub fn last_status(&self) -> Option<i32> {
        self.attempts.last().map(|attempt| attempt.status.map_or(-1, i32::from))
    }

    /// What its end means for the schedule's counters.
    pub fn waiting_kind(&self) -> WaitingKind {
        match self.counted_as {
            _ if self.id.is_manual() || self.id.page > 0 => WaitingKind::Uncounted,
            Some(status) => WaitingKind::Recounted { had_failed: status == ExecutionStatus::Failed },
            None => WaitingKind::Occurrence,
        }
    }

    /// Sent minus due, of the first attempt; none where nothing was sent.
    pub fn lateness(&self) -> Option<Span> {
        self.attempts.first().map(|attempt| attempt.sent_at.since(self.due_at))
    }

    /// The last number that this record stands for.
    pub fn last_number(&self) -> u32 {
        self.through.unwrap_or(self.id.number)
    }
}
