//! The next attempt of an execution that waits: a retry, a run by hand, or a redelivery.

use super::{Engine, Error, Handled};
use crate::{
    execution::{AttemptClaim, Execution, ExecutionStatus, Round},
    ids::{AppKey, ExecutionId, FIRST_MANUAL_NUMBER, NO_SLOT, ScheduleId},
    message::{Delayed, Message},
    notice,
    ports::CloseWrite,
    push::{fan_out::PushRecord, outcome::PushError},
    schedule::Definition,
    settle::Verdict,
    state::{MAX_PUSH_TRIES, MAX_TRIES, Status},
    time::{Span, Timestamp},
};
use std::sync::Arc;

/// What is due later than this comes back, wherever there is no other reason: it would take somebody's place.
const LONGEST_HOLD: Span = Span::from_secs(15);
/// Of the contract's codes: it timed out.
const ABANDONED: u32 = 21030;

impl Engine {
    /// `meant`: the attempt that the message is for. `until`: what is due later comes back instead of being held.
    pub async fn attempt(
        &self,
        id: ExecutionId,
        meant: Option<Timestamp>,
        until: Timestamp,
    ) -> Result<Handled, Error> {
        // Read before it is claimed: a claim that cannot be used would count as a try.
        let Some(mut schedule) = self.schedules.load(id.schedule).await? else {
            return Ok(Handled::Done);
        };
        let app = self.apps.app(&schedule.definition.app).await?;
        let token = self.token();
        let come_back = |at| {
            Ok(Handled::ComeBack(Delayed { at, message: Message::Attempt { execution: id, at: meant } }))
        };
        let (mut execution, tries, drops, lease_until) = loop {
            let now = self.now();
            let lease_until = now.plus(self.settings.lease);
            match self.executions.claim_attempt(id, token, lease_until, now).await? {
                AttemptClaim::NotWaiting => return Ok(Handled::Done),
                // It has been attempted since, and whoever did sent a message for the next. Were this one kept, doubled
                // messages would be with it as long as it waits.
                AttemptClaim::NotYet(at) if meant.is_some_and(|meant| meant != at) => {
                    return Ok(Handled::Done);
                }
                // A queue brings it up to a second or two early.
                AttemptClaim::NotYet(at) if at <= until && at.since(now) <= LONGEST_HOLD => {
                    self.clock.sleep_until(at).await;
                }
                AttemptClaim::HeldUntil(at) | AttemptClaim::NotYet(at) => return come_back(at),
                AttemptClaim::Claimed { execution, tries } => break (execution, tries, false, lease_until),
                AttemptClaim::ClaimedToDrop { execution } => break (execution, 1, true, lease_until),
            }
        };
        if !drops && execution.generation != schedule.state.generation {
            match self.schedules.load(id.schedule).await? {
                Some(changed) => schedule = changed,
                None => return Ok(Handled::Done),
            }
        }
        let definition = schedule.definition;
        let mut verdict = Verdict::Failed;
        let most = if definition.fans_out() { MAX_PUSH_TRIES } else { MAX_TRIES };
        if drops || tries > most {
            execution.status = ExecutionStatus::Failed;
            execution.next_attempt_at = None;
            let reason = if drops {
                "no further attempt: the schedule was changed, paused or cancelled"
            } else {
                "abandoned: every claim of it lapsed without an outcome"
            };
            execution.reason = Some(reason.to_owned());
            if let (false, Some(PushRecord::Page(page))) = (drops, execution.push.as_deref_mut()) {
                page.result.error.get_or_insert_with(|| PushError::new(ABANDONED, reason));
            }
        } else if definition.fans_out() {
            verdict = self.attempt_push(&definition, &mut execution, app, lease_until).await;
        } else {
            verdict = self.attempt_call(&definition, &mut execution, app).await;
        }
        execution.token = token;
        let status = schedule.state.status;
        self.until_lease_ends(lease_until, || self.close_attempt(&definition, &execution, status)).await?;
        if verdict == Verdict::Gone {
            self.end_gone(&definition).await?;
        }
        Ok(Handled::Done)
    }

    async fn close_attempt(
        &self,
        definition: &Arc<Definition>,
        execution: &Execution,
        status: Status,
    ) -> Result<(), Error> {
        let now = self.now();
        let listeners = self.listeners.listeners(&definition.app).await?;
        let tell_end = notice::anybody_listens(&listeners);
        let waits = execution.status == ExecutionStatus::Waiting;
        if !waits && status != Status::Canceled {
            let notices = notice::of_execution(definition, execution, false, None, &listeners, now);
            self.send_notices(notices).await?;
        }
        let write = CloseWrite::of(execution, now, tell_end);
        let closed = self.executions.close_attempt(write).await?;
        self.after_close(definition, execution, closed, tell_end).await
    }

    /// Runs once, now, beside the trigger's own occurrences; numbered from 2^31, counted nowhere.
    pub async fn run_now(&self, app: &AppKey, id: ScheduleId) -> Result<Execution, Error> {
        for _ in 0..20 {
            let schedule = self.owned(app, id).await?;
            if schedule.state.status.has_ended() {
                let status = schedule.state.status.as_str();
                return Err(Error::Conflict(format!(
                    "the schedule is {status}: redeliver one of its executions instead"
                )));
            }
            if schedule.definition.fans_out() {
                return Err(Error::Conflict(
                    "a push is not run by hand: send it with POST /v4/push".to_owned(),
                ));
            }
            let now = self.now();
            let number = FIRST_MANUAL_NUMBER.saturating_add(schedule.state.manual_runs);
            let execution_id = id.execution(number, NO_SLOT);
            let token = self.token();
            let mut execution =
                Execution::new(execution_id, app.clone(), schedule.state.generation, now, now, token);
            execution.status = ExecutionStatus::Waiting;
            execution.next_attempt_at = Some(now);
            if self.executions.open(&execution, false).await? {
                self.attempt_soon(&execution).await;
                return Ok(execution);
            }
        }
        Err(Error::Conflict("too many runs at once; try again".to_owned()))
    }

    /// Delivers an execution that is over once more, under the same id, with a new round of attempts.
    pub async fn redeliver(&self, app: &AppKey, id: ExecutionId) -> Result<Execution, Error> {
        let schedule = self.owned(app, id.schedule).await.map_err(|_| Error::NotFound("execution"))?;
        let mut execution = self.executions.execution(id).await?.ok_or(Error::NotFound("execution"))?;
        if schedule.state.status == Status::Canceled {
            return Err(Error::Conflict(
                "the schedule is canceled, and nothing of it starts again".to_owned(),
            ));
        }
        // Recorded and not yet counted: whoever takes its claim over has to count it first.
        let counted = id.is_manual() || schedule.state.is_closed(id.number);
        if !execution.status.is_final() || !counted {
            return Err(Error::Conflict("the execution is not over: it has attempts to come".to_owned()));
        }
        if execution.push.is_some() {
            return Err(Error::Conflict(
                "a push is not delivered again: send it with POST /v4/push".to_owned(),
            ));
        }
        if execution.through.is_some() {
            return Err(Error::Conflict(
                "this record stands for a run of missed occurrences; run the schedule instead".to_owned(),
            ));
        }
        let now = self.now();
        if !id.is_manual() {
            execution.counted_as = Some(execution.status);
        }
        execution.round = Some(Round { since: now, attempts_before: execution.attempts.len() as u16 });
        execution.generation = schedule.state.generation;
        execution.status = ExecutionStatus::Waiting;
        execution.next_attempt_at = Some(now);
        execution.reason = None;
        execution.token = self.token();
        if !self.executions.open(&execution, true).await? {
            return Err(Error::Conflict(
                "the execution has just been redelivered by somebody else".to_owned(),
            ));
        }
        self.attempt_soon(&execution).await;
        Ok(execution)
    }

    /// It is on record as waiting: where the message is lost, the sweeper sends another.
    async fn attempt_soon(&self, execution: &Execution) {
        let message = Message::Attempt { execution: execution.id, at: execution.next_attempt_at };
        if let Err(error) = self.queue.send(vec![Delayed { at: self.now(), message }]).await {
            self.observer.trouble("a run by hand could not be sent at once", &error);
        }
    }
}
