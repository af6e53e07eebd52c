//! Delivering a segment: hold each occurrence until it is due, claim it, call, record, count.

use super::{Engine, Error, Handled};
use crate::{
    app::App,
    callback::compose,
    execution::{Attempt, Execution, ExecutionStatus},
    ids::NO_SLOT,
    message::{Delayed, Message, Segment},
    notice,
    plan::{Occurrence, spread_of},
    policy::Overlap,
    ports::{CloseWrite, StoreError},
    schedule::Definition,
    settle::{Verdict, settle},
    state::{ClaimAnswer, ClaimAsk, Closed},
    time::{Span, Timestamp},
};
use futures_util::future::join_all;
use std::sync::Arc;

impl Engine {
    /// Every occurrence runs for itself: a slow answer holds up none of its successors. What is due after
    /// `until`, or held by somebody else's claim, comes back.
    pub async fn deliver(&self, segment: Segment, until: Timestamp) -> Result<Handled, Error> {
        let definition = match &segment.definition {
            Some(definition) => Arc::clone(definition),
            None => match self.schedules.load(segment.id).await? {
                Some(schedule) => schedule.definition,
                None => return Ok(Handled::Done),
            },
        };
        // Read before anything is claimed: a claim that cannot be used would count as a try.
        let app = self.apps.app(&segment.app).await?;
        let one = |occurrence| self.deliver_one(&segment, &definition, app.clone(), occurrence, until);
        let back = match segment.occurrences.as_slice() {
            [only] => vec![one(*only).await],
            many => join_all(many.iter().copied().map(one)).await,
        };
        let mut again: Option<(Timestamp, Vec<Occurrence>)> = None;
        let mut failure = None;
        for (occurrence, outcome) in segment.occurrences.iter().zip(back) {
            match outcome {
                Ok(None) => {}
                Ok(Some(at)) => {
                    let (first, occurrences) = again.get_or_insert((at, Vec::new()));
                    *first = at.min(*first);
                    occurrences.push(*occurrence);
                }
                Err(error) => failure = Some(error),
            }
        }
        match (failure, again) {
            (Some(error), _) => Err(error),
            (None, None) => Ok(Handled::Done),
            (None, Some((at, occurrences))) => {
                let message = Message::Segment(Segment { occurrences, ..segment });
                Ok(Handled::ComeBack(Delayed { at, message }))
            }
        }
    }

    /// Answers when the occurrence is to be tried again, if it is.
    async fn deliver_one(
        &self,
        segment: &Segment,
        definition: &Arc<Definition>,
        app: Option<Arc<App>>,
        occurrence: Occurrence,
        until: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        if occurrence.due > until {
            return Ok(Some(occurrence.due));
        }
        // Whether an earlier one still runs is asked at the due instant itself.
        let ahead = match definition.policy.overlap {
            Overlap::Allow => self.settings.claim_ahead,
            Overlap::Skip => Span::ZERO,
        };
        self.clock.sleep_until(occurrence.due.minus(ahead)).await;
        let now = self.now();
        let ask = ClaimAsk {
            id: segment.id,
            number: occurrence.number,
            at: occurrence.at,
            due: occurrence.due,
            generation: segment.generation,
            token: self.token(),
            lease_until: now.plus(self.settings.lease),
            overlap: definition.policy.overlap,
        };
        let id = segment.id.execution(occurrence.number, NO_SLOT);
        let (at, due) = (occurrence.at, occurrence.due);
        let mut execution = Execution::new(id, segment.app.clone(), segment.generation, at, due, ask.token);
        match self.states.claim(&ask, now).await? {
            ClaimAnswer::AlreadyClosed | ClaimAnswer::Stale => return Ok(None),
            ClaimAnswer::HeldUntil(lapses) => return Ok(Some(lapses)),
            ClaimAnswer::ClaimedToSkip => {
                execution.status = ExecutionStatus::Skipped;
                execution.reason = Some("an earlier execution was still running".to_owned());
            }
            ClaimAnswer::Claimed { tries: 1 } if is_too_late(definition, occurrence, now) => {
                execution.status = ExecutionStatus::Missed;
                execution.reason = Some("it came later than the schedule allows".to_owned());
            }
            ClaimAnswer::Claimed { tries: 1 } => {
                return self.call(definition, execution, app, ask.lease_until).await.map(|()| None);
            }
            // Whoever held it before may have left the record, and lacked only the count.
            taken_over => {
                if let Some(record) = self.executions.execution(id).await? {
                    let record = Execution { token: ask.token, ..record };
                    self.close(definition, record, ask.lease_until).await?;
                    return Ok(None);
                }
                if taken_over != ClaimAnswer::ClaimedToAbandon || definition.fans_out() {
                    return self.call(definition, execution, app, ask.lease_until).await.map(|()| None);
                }
                execution.status = ExecutionStatus::Failed;
                execution.reason = Some("abandoned: every claim of it lapsed without an outcome".to_owned());
            }
        }
        self.close(definition, execution, ask.lease_until).await?;
        Ok(None)
    }

    async fn call(
        &self,
        definition: &Arc<Definition>,
        mut execution: Execution,
        app: Option<Arc<App>>,
        lease_until: Timestamp,
    ) -> Result<(), Error> {
        if definition.fans_out() {
            self.begin_spreading(definition, &mut execution);
            return self.close(definition, execution, lease_until).await;
        }
        self.clock.sleep_until(execution.due_at).await;
        let verdict = self.attempt_call(definition, &mut execution, app).await;
        self.close(definition, execution, lease_until).await?;
        if verdict == Verdict::Gone {
            self.end_gone(definition).await?;
        }
        Ok(())
    }

    /// One attempt, from the call to what it means; the execution says it all afterwards.
    pub(super) async fn attempt_call(
        &self,
        definition: &Definition,
        execution: &mut Execution,
        app: Option<Arc<App>>,
    ) -> Verdict {
        let (Some(app), Some(target)) = (app, definition.http()) else {
            execution.status = ExecutionStatus::Failed;
            execution.reason = Some("the app is gone".to_owned());
            return Verdict::Failed;
        };
        let outcome = self.caller.call(compose(definition, target, execution, app, &self.links)).await;
        let attempts = execution.attempts_in_round() + 1;
        let since = execution.round_since();
        let verdict =
            settle(&outcome, attempts, since, &definition.delivery.retry, self.now(), self.chance());
        execution.add_attempt(Attempt::of(outcome));
        execution.claim = None;
        execution.next_attempt_at = None;
        execution.status = match verdict {
            Verdict::Succeeded => ExecutionStatus::Succeeded,
            Verdict::Failed | Verdict::Gone => ExecutionStatus::Failed,
            Verdict::RetryAt(at) => {
                execution.next_attempt_at = Some(at);
                ExecutionStatus::Waiting
            }
        };
        verdict
    }

    /// Records and counts a claimed occurrence.
    async fn close(
        &self,
        definition: &Arc<Definition>,
        execution: Execution,
        lease_until: Timestamp,
    ) -> Result<(), Error> {
        self.until_lease_ends(lease_until, || self.close_once(definition, &execution)).await
    }

    /// An outcome is never given up while its claim holds: it exists nowhere else.
    pub(super) async fn until_lease_ends<F>(
        &self,
        lease_until: Timestamp,
        mut write: impl FnMut() -> F,
    ) -> Result<(), Error>
    where
        F: Future<Output = Result<(), Error>>,
    {
        let mut pause = Span::from_millis(50);
        loop {
            match write().await {
                Err(Error::Store(StoreError::Unavailable(_) | StoreError::Full(_)))
                    if self.now().plus(pause) < lease_until =>
                {
                    self.clock.sleep_until(self.now().plus(pause)).await;
                    pause = pause.times(2).min(Span::from_secs(5));
                }
                other => return other,
            }
        }
    }

    async fn close_once(&self, definition: &Arc<Definition>, execution: &Execution) -> Result<(), Error> {
        let now = self.now();
        let listeners = self.listeners.listeners(&definition.app).await?;
        let tell_end = notice::anybody_listens(&listeners);
        let waits = execution.status == ExecutionStatus::Waiting;
        if !waits && (tell_end || definition.delivery.on_failure.is_some()) {
            let first = execution.id.number == 1;
            let state = if first {
                self.schedules.load(definition.id).await?.map(|schedule| schedule.state)
            } else {
                None
            };
            let notices = notice::of_execution(definition, execution, first, state.as_ref(), &listeners, now);
            if !notices.is_empty() {
                // On record first: whoever takes over after a crash tells it again.
                self.executions.put_record(execution).await?;
                self.send_notices(notices).await?;
            }
        }
        let write = CloseWrite::of(execution, now, tell_end);
        let closed = self.states.close(write).await?;
        self.after_close(definition, execution, closed, tell_end).await
    }

    pub(super) async fn after_close(
        &self,
        definition: &Definition,
        execution: &Execution,
        closed: Closed,
        tell_end: bool,
    ) -> Result<(), Error> {
        if closed.applied && execution.status.is_final() {
            self.observer.ended(execution);
        }
        if let (ExecutionStatus::Waiting, Some(at)) = (execution.status, execution.next_attempt_at) {
            self.queue
                .send(vec![Delayed {
                    at,
                    message: Message::Attempt { execution: execution.id, at: Some(at) },
                }])
                .await?;
        }
        match closed.finished {
            true if tell_end => self.finished(definition.id).await,
            // Nobody is to be told: it need not be read again.
            true => {
                self.clear_wake(definition.id, None).await;
                Ok(())
            }
            false => Ok(()),
        }
    }

    pub(super) async fn has_listeners(&self, definition: &Definition) -> Result<bool, Error> {
        let listeners = self.listeners.listeners(&definition.app).await?;
        Ok(notice::anybody_listens(&listeners))
    }

    pub(super) async fn end_gone(&self, definition: &Definition) -> Result<(), Error> {
        let because = "its target answered 410 Gone".to_owned();
        match self.cancel(&definition.app, definition.id, Some(because)).await {
            Err(Error::NotFound(_)) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Planned in time, and so long on the way that it must not fire any more.
fn is_too_late(definition: &Definition, occurrence: Occurrence, now: Timestamp) -> bool {
    let effective = occurrence.at.plus(spread_of(definition.id, definition.policy.spread));
    now.since(effective) > definition.policy.max_lateness()
}
