//! `StateStore`: claims and plans in memory, outcomes on disk. A call never waits for a disk.

use super::executions::closed_before;
use crate::{
    batch::Failure,
    rows::{ExecutionRow, is_open},
    store::LocalStore,
};
use async_trait::async_trait;
use rondo_domain::{
    ids::ScheduleId,
    plan::PlanWrite,
    ports::{CloseWrite, StateStore, StoreError},
    state::{ClaimAnswer, ClaimAsk, Closed, State},
    time::Timestamp,
};
use std::sync::Arc;

/// What a plan's write comes to where the schedule is.
enum InMemory {
    Done(Option<Closed>),
    /// It leaves something that must survive, or another write is under way.
    Write,
}

#[async_trait]
impl StateStore for LocalStore {
    async fn save_plan(
        &self,
        write: PlanWrite,
        now: Timestamp,
        tell_end: bool,
    ) -> Result<Option<Closed>, StoreError> {
        let id = write.id;
        let plain = write.plan.missed.is_empty();
        loop {
            let saved = self.memory().with(id, |live| {
                if live.state.plan_token != write.token && live.state.version != write.if_version {
                    return InMemory::Done(None);
                }
                if !plain || live.writing > 0 || live.frozen > 0 {
                    return InMemory::Write;
                }
                let mut planned = live.state.clone();
                let saved = planned.save_plan(&write, now);
                if planned.status != live.state.status {
                    return InMemory::Write;
                }
                live.state = planned;
                InMemory::Done(saved)
            });
            match saved {
                Some(InMemory::Done(saved)) => return Ok(saved),
                Some(InMemory::Write) => break,
                None if !self.bring_in(id).await? => return Ok(None),
                None => {}
            }
        }
        let write = Arc::new(write);
        self.write(move |batch| {
            let Some(working) = batch.state(id)? else {
                return Ok(None);
            };
            let repeated = working.state.plan_token == write.token;
            let plan = Arc::clone(&write);
            let saved =
                working.apply(move |state| ending(state, tell_end, now, |state| state.save_plan(&plan, now)));
            if saved.is_some() && !repeated {
                for record in write.missed_records(&working.state) {
                    batch.put_execution(&ExecutionRow::of(&record)?)?;
                }
            }
            Ok(saved)
        })
        .await
    }

    async fn claim(&self, ask: &ClaimAsk, now: Timestamp) -> Result<ClaimAnswer, StoreError> {
        loop {
            let mut thawed = std::pin::pin!(self.memory().thawed.notified());
            let claimed =
                self.memory().with(ask.id, |live| (live.frozen == 0).then(|| live.state.claim(ask, now)));
            match claimed {
                Some(Some(answer)) => {
                    if matches!(answer, ClaimAnswer::Stale | ClaimAnswer::AlreadyClosed) {
                        self.memory().let_go(ask.id);
                    }
                    return Ok(answer);
                }
                Some(None) => {
                    // Asked again once we are sure to be told: it may have thawed in between.
                    thawed.as_mut().enable();
                    if self.memory().with(ask.id, |live| live.frozen > 0) == Some(true) {
                        thawed.await;
                    }
                }
                None if !self.bring_in(ask.id).await? => return Ok(ClaimAnswer::Stale),
                None => {}
            }
        }
    }

    async fn close(&self, write: CloseWrite) -> Result<Closed, StoreError> {
        let CloseWrite { execution, closing, last_status, now, tell_end } = write;
        let row = ExecutionRow::of(&execution)?;
        let (number, token) = (execution.id.number, execution.token);
        let sent_at = execution.attempts.first().map(|attempt| attempt.sent_at);
        self.write(move |batch| {
            let Some(working) = batch.state(row.id.schedule)? else {
                return Ok(Closed::default());
            };
            let closed = working.apply(move |state| {
                ending(state, tell_end, now, |state| {
                    state.close(number, token, closing, last_status, sent_at, now)
                })
            });
            if !closed.applied {
                return closed_before(batch, row.id, token);
            }
            batch.put_execution(&row)?;
            Ok(closed)
        })
        .await
    }

    async fn told(&self, id: ScheduleId) -> Result<(), StoreError> {
        self.write(move |batch| {
            if let Some(working) = batch.state(id)? {
                working.apply(State::told);
            }
            Ok(())
        })
        .await
    }
}

/// A transition; where it ends the schedule and listeners are to be told, the state says so.
pub(super) fn ending<R>(
    state: &mut State,
    tell_end: bool,
    now: Timestamp,
    transition: impl FnOnce(&mut State) -> R,
) -> R {
    let had_ended = state.status.has_ended();
    let answer = transition(state);
    if tell_end && !had_ended && state.status.has_ended() {
        state.end_is_to_be_told(now);
    }
    answer
}

impl LocalStore {
    /// A wake that lies far ahead, and nothing on its way until then: the row is to say so, and memory need not.
    pub(crate) async fn rest_until(&self, id: ScheduleId) -> Result<(), StoreError> {
        self.write(move |batch| -> Result<(), Failure> {
            if let Some(working) = batch.state(id)?
                && working.state.status.runs()
                && working.wake().is_some()
                && !is_open(&working.state)
            {
                working.store();
            }
            Ok(())
        })
        .await
    }
}
