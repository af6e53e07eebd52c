//! Schedules and their states: created, listed, changed, planned, claimed, closed.

use super::{Applied, Kept, Memory, Row, Tables};
use async_trait::async_trait;
use rondo_domain::{
    change::Changed,
    ids::{AppKey, ScheduleId},
    plan::PlanWrite,
    ports::{
        ChangeAnswer, ChangeWrite, CloseWrite, Created, IdempotencyKey, NewSchedule, Page, Schedule,
        ScheduleQuery, ScheduleStore, StateStore, StoreError,
    },
    schedule::Contract,
    state::{ClaimAnswer, ClaimAsk, Closed, Closing, Status},
    time::{Span, Timestamp},
};
use std::sync::Arc;

fn whole(row: &Row) -> Schedule {
    Schedule { definition: Arc::clone(&row.definition), state: row.state.clone() }
}

impl Tables {
    /// What the key made, if it is taken.
    fn known(&self, app: &AppKey, key: &IdempotencyKey, now: Timestamp) -> Option<Created> {
        let kept = self.keys.get(&(app.clone(), key.key.clone())).filter(|kept| kept.expires_at > now)?;
        let row = self.rows.get(&kept.schedule)?;
        let is_same = kept.fingerprint == key.fingerprint;
        Some(if is_same { Created::Replayed(whole(row)) } else { Created::KeyReused })
    }
}

#[async_trait]
impl ScheduleStore for Memory {
    async fn create(&self, new: NewSchedule) -> Result<Created, StoreError> {
        let mut tables = self.tables();
        let NewSchedule { mut definition, state, number_it, limit, push_limit, idempotency } = new;
        if let Some(row) = tables.rows.get(&state.id).filter(|row| row.created_with == state.change_token) {
            return Ok(Created::Done(Arc::clone(&row.definition)));
        }
        if let Some(key) = &idempotency
            && let Some(known) = tables.known(&state.app, key, definition.created_at)
        {
            return Ok(known);
        }
        let lives = |row: &&Row| row.state.app == state.app && !row.state.status.has_ended();
        if limit.is_some_and(|limit| tables.rows.values().filter(lives).count() >= limit as usize) {
            return Ok(Created::LimitReached);
        }
        let pushes = |row: &&Row| lives(row) && row.definition.contract() == Some(Contract::Pushes);
        let push_limit = push_limit.filter(|_| definition.contract() == Some(Contract::Pushes));
        if push_limit.is_some_and(|limit| tables.rows.values().filter(pushes).count() >= limit as usize) {
            return Ok(Created::PushLimitReached);
        }
        if number_it && let Some(request) = &mut definition.request {
            let last = tables.numbers.entry(state.app.clone()).or_default();
            *last += 1;
            request.internal_id = *last;
        }
        if let Some(IdempotencyKey { key, fingerprint, expires_at }) = idempotency {
            let kept = Kept { fingerprint, expires_at, schedule: state.id };
            tables.keys.insert((state.app.clone(), key), kept);
        }
        let definition = Arc::new(definition);
        let row = Row { definition: Arc::clone(&definition), created_with: state.change_token, state };
        tables.rows.insert(row.state.id, row);
        Ok(Created::Done(definition))
    }

    async fn created_with(
        &self,
        app: &AppKey,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<Option<Created>, StoreError> {
        Ok(self.tables().known(app, key, now))
    }

    async fn load(&self, id: ScheduleId) -> Result<Option<Schedule>, StoreError> {
        Ok(self.tables().rows.get(&id).map(whole))
    }

    async fn list(&self, query: &ScheduleQuery) -> Result<Page<Schedule, ScheduleId>, StoreError> {
        let tables = self.tables();
        let name = query.name.as_ref().map(|name| name.to_lowercase());
        let fits = |row: &&Row| {
            let definition = &row.definition;
            definition.app == query.app
                && query.before.is_none_or(|before| definition.id < before)
                && query.status.is_none_or(|status| row.state.status == status)
                && query.contract.is_none_or(|contract| definition.contract() == Some(contract))
                && name.as_ref().is_none_or(|part| {
                    definition.name.as_ref().is_some_and(|name| name.to_lowercase().contains(part))
                })
                && query.tags.iter().all(|(key, value)| {
                    definition.tags.get(key).is_some_and(|known| value.is_empty() || known == value)
                })
        };
        let mut items: Vec<Schedule> =
            tables.rows.values().rev().filter(fits).take(query.limit + 1).map(whole).collect();
        let more = items.len() > query.limit;
        items.truncate(query.limit);
        let next = items.last().filter(|_| more).map(|last| last.definition.id);
        Ok(Page { items, next })
    }

    async fn change(&self, write: ChangeWrite) -> Result<ChangeAnswer, StoreError> {
        let mut tables = self.tables();
        let Some(row) = tables.rows.get_mut(&write.id) else {
            return Ok(ChangeAnswer::Missing);
        };
        let repeated = row.state.change_token == write.token;
        if !repeated && row.state.revision != write.if_revision {
            return Ok(ChangeAnswer::Conflict);
        }
        let had_ended = row.state.status.has_ended();
        match row.state.change(&write.change, write.token, write.now) {
            Changed::Refused(refused) => Ok(ChangeAnswer::Refused(refused)),
            Changed::Already { in_flight } => Ok(ChangeAnswer::Already { schedule: whole(row), in_flight }),
            Changed::Done { in_flight } => {
                if !repeated {
                    if let Some(definition) = write.definition {
                        row.definition = Arc::new(definition);
                    }
                    if write.tell_end && !had_ended && row.state.status.has_ended() {
                        row.state.end_is_to_be_told(write.now);
                    }
                    self.tell(&Applied::Changed { id: write.id, generation: row.state.generation });
                }
                Ok(ChangeAnswer::Done { schedule: whole(row), in_flight })
            }
        }
    }

    async fn overdue(&self, at: Timestamp, limit: usize) -> Result<Vec<ScheduleId>, StoreError> {
        let tables = self.tables();
        let looks = tables.rows.values().filter_map(|row| Some((row.state.look_again_at?, row.state.id)));
        let mut overdue: Vec<(Timestamp, ScheduleId)> = looks.filter(|(look, _)| *look <= at).collect();
        overdue.sort_unstable();
        Ok(overdue.into_iter().take(limit).map(|(_, id)| id).collect())
    }

    async fn look_later(&self, id: ScheduleId, grace: Span, now: Timestamp) -> Result<bool, StoreError> {
        Ok(self.tables().rows.get_mut(&id).is_some_and(|row| row.state.look_later(grace, now)))
    }
}

#[async_trait]
impl StateStore for Memory {
    async fn save_plan(
        &self,
        write: PlanWrite,
        now: Timestamp,
        tell_end: bool,
    ) -> Result<Option<Closed>, StoreError> {
        let mut tables = self.tables();
        let Tables { rows, executions, .. } = &mut *tables;
        let Some(row) = rows.get_mut(&write.id) else {
            return Ok(None);
        };
        let repeated = row.state.plan_token == write.token;
        let Some(closed) = row.state.save_plan(&write, now) else {
            return Ok(None);
        };
        if !repeated {
            for record in write.missed_records(&row.state) {
                executions.insert(record.id, record);
            }
            if closed.finished && tell_end {
                row.state.end_is_to_be_told(now);
            }
        }
        Ok(Some(closed))
    }

    async fn claim(&self, ask: &ClaimAsk, now: Timestamp) -> Result<ClaimAnswer, StoreError> {
        let mut tables = self.tables();
        let Some(row) = tables.rows.get_mut(&ask.id) else {
            return Ok(ClaimAnswer::Stale);
        };
        let before = row.state.revision;
        let answer = row.state.claim(ask, now);
        if row.state.revision != before {
            let ClaimAsk { id, number, generation, token, .. } = *ask;
            self.tell(&Applied::Claim { id, number, generation, token, answer: answer.clone() });
        }
        Ok(answer)
    }

    async fn close(&self, write: CloseWrite) -> Result<Closed, StoreError> {
        if let Closing::Over(_) = write.closing
            && !self.record_outcome(&write)
        {
            return Ok(self.closed_before(&write));
        }
        Ok(self.count_outcome(&write))
    }

    async fn told(&self, id: ScheduleId) -> Result<(), StoreError> {
        if let Some(row) = self.tables().rows.get_mut(&id) {
            row.state.told();
        }
        Ok(())
    }
}

impl Memory {
    /// The first half of `close`: the record. False where the claim is gone, and nothing was written.
    pub fn record_outcome(&self, write: &CloseWrite) -> bool {
        let mut tables = self.tables();
        let execution = &write.execution;
        let held = tables.rows.get(&execution.id.schedule).is_some_and(|row| {
            row.state.claim_of(execution.id.number).is_some_and(|claim| claim.token == execution.token)
        });
        if held {
            tables.executions.insert(execution.id, execution.clone());
            self.tell(&Applied::Recorded { id: execution.id });
        }
        held
    }

    /// The second half: the count, by the same write that removes the claim. Where the execution goes on to
    /// wait, its record is written with it.
    pub fn count_outcome(&self, write: &CloseWrite) -> Closed {
        let mut tables = self.tables();
        let Tables { rows, executions, .. } = &mut *tables;
        let execution = &write.execution;
        let Some(row) = rows.get_mut(&execution.id.schedule) else {
            return Closed::default();
        };
        let sent_at = execution.attempts.first().map(|attempt| attempt.sent_at);
        let (number, token) = (execution.id.number, execution.token);
        let closed = row.state.close(number, token, write.closing, write.last_status, sent_at, write.now);
        if closed.applied && write.closing == Closing::Waiting {
            executions.insert(execution.id, execution.clone());
        }
        if closed.finished && write.tell_end {
            row.state.end_is_to_be_told(write.now);
        }
        drop(tables);
        if closed.applied { closed } else { self.closed_before(write) }
    }

    /// The answer to a close whose claim is gone: one's own record says that it had been applied.
    fn closed_before(&self, write: &CloseWrite) -> Closed {
        let tables = self.tables();
        let record = tables.executions.get(&write.execution.id);
        let applied = record.is_some_and(|record| record.token == write.execution.token);
        let row = tables.rows.get(&write.execution.id.schedule);
        let finished = applied && row.is_some_and(|row| row.state.status == Status::Finished);
        Closed { applied, first: false, finished }
    }
}
