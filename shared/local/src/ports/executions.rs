//! `ExecutionStore`: records, and the attempts of those that wait. Who attempts one just now stands in memory,
//! what became of it on disk.

use super::states::ending;
use crate::{
    batch::{Batch, Failure},
    memory::Memory,
    rows::{ExecutionRow, execution_id_of, execution_of, execution_status_code, slot_code},
    store::LocalStore,
};
use async_trait::async_trait;
use rondo_domain::{
    execution::{AttemptClaim, Execution, ExecutionStatus, RecordClaim},
    ids::{ExecutionId, Token},
    ports::{CloseWrite, ExecutionQuery, ExecutionStore, Page, StoreError},
    state::{Closed, Closing, Status},
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::Arc;

/// So many records are read at most for one page that is filtered by status.
const LOOKED_AT: usize = 2000;

#[async_trait]
impl ExecutionStore for LocalStore {
    async fn execution(&self, id: ExecutionId) -> Result<Option<Execution>, StoreError> {
        self.inner.readers.read(move |connection| read(connection, id)).await
    }

    async fn executions(&self, query: &ExecutionQuery) -> Result<Page<Execution, ExecutionId>, StoreError> {
        let query = query.clone();
        self.inner.readers.read(move |connection| list(connection, &query)).await
    }

    async fn put_record(&self, execution: &Execution) -> Result<(), StoreError> {
        let row = ExecutionRow::of(execution)?;
        self.write(move |batch| {
            // Never over another claimer's outcome: whoever took over has read this one, or made its own.
            match stored(batch, row.id)? {
                Some((_, token)) if token != row.token => Ok(()),
                _ => batch.put_execution(&row),
            }
        })
        .await
    }

    async fn open(&self, execution: &Execution, reopens: bool) -> Result<bool, StoreError> {
        let row = ExecutionRow::of(execution)?;
        let by_hand = execution.id.is_manual() && !reopens;
        self.write(move |batch| {
            match stored(batch, row.id)? {
                Some((_, token)) if token == row.token => return Ok(true),
                Some((status, _)) if reopens && status.is_final() => {}
                None if !reopens => {}
                _ => return Ok(false),
            }
            let Some(working) = batch.state(row.id.schedule)? else {
                return Ok(false);
            };
            working.apply(move |state| state.open_waiting(by_hand));
            batch.put_execution(&row)?;
            Ok(true)
        })
        .await
    }

    async fn open_pages(&self, pages: &[Execution]) -> Result<(), StoreError> {
        let Some(schedule) = pages.first().map(|page| page.id.schedule) else {
            return Ok(());
        };
        let rows: Vec<ExecutionRow> = pages.iter().map(ExecutionRow::of).collect::<Result<_, _>>()?;
        self.write(move |batch| {
            // Of an app that has been removed meanwhile nothing is to appear again.
            if batch.state(schedule)?.is_none() {
                return Ok(());
            }
            let mut opened = 0;
            for row in &rows {
                if stored(batch, row.id)?.is_none() {
                    batch.put_execution(row)?;
                    opened += 1;
                }
            }
            if opened > 0
                && let Some(working) = batch.state(schedule)?
            {
                working.apply(move |state| state.open_pages(opened));
            }
            Ok(())
        })
        .await
    }

    async fn claim_attempt(
        &self,
        id: ExecutionId,
        token: Token,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<AttemptClaim, StoreError> {
        // Claimed before it is read: what is read then is what the last one who closed it has left.
        let held = match Held::take(&self.inner.memory, id, RecordClaim { token, lease_until, tries: 1 }, now)
        {
            Ok(held) => held,
            Err(lease_until) => return Ok(AttemptClaim::HeldUntil(lease_until)),
        };
        let Some(execution) = self.execution(id).await? else {
            return Ok(AttemptClaim::NotWaiting);
        };
        let Some(next) = execution.next_attempt_at.filter(|_| execution.status == ExecutionStatus::Waiting)
        else {
            return Ok(AttemptClaim::NotWaiting);
        };
        let generation = loop {
            let mut thawed = std::pin::pin!(self.memory().thawed.notified());
            thawed.as_mut().enable();
            let generation =
                self.memory().with(id.schedule, |live| (live.frozen == 0).then_some(live.state.generation));
            match generation {
                Some(Some(generation)) => break generation,
                Some(None) => thawed.await,
                None if !self.bring_in(id.schedule).await? => return Ok(AttemptClaim::NotWaiting),
                None => {}
            }
        };
        self.memory().let_go(id.schedule);
        let drops = execution.generation != generation;
        if next > now && !drops {
            return Ok(AttemptClaim::NotYet(next));
        }
        let claim = held.keep();
        let execution = Execution { claim: Some(claim), ..execution };
        Ok(if drops {
            AttemptClaim::ClaimedToDrop { execution }
        } else {
            AttemptClaim::Claimed { execution, tries: claim.tries }
        })
    }

    async fn close_attempt(&self, write: CloseWrite) -> Result<Closed, StoreError> {
        let CloseWrite { execution, closing, last_status, now, tell_end } = write;
        let row = ExecutionRow::of(&execution)?;
        let (id, token, kind) = (execution.id, execution.token, execution.waiting_kind());
        self.write(move |batch| {
            let holds = batch.memory.attempt_claims().get(&id).is_some_and(|claim| claim.token == token);
            if !holds {
                return closed_before(batch, id, token);
            }
            let Some(working) = batch.state(id.schedule)? else {
                return Ok(Closed::default());
            };
            let closed = match closing {
                Closing::Waiting => Closed { applied: true, ..Closed::default() },
                Closing::Over(status) => working.apply(move |state| {
                    ending(state, tell_end, now, |state| state.close_waiting(kind, status, last_status, now))
                }),
            };
            batch.put_execution(&row)?;
            batch.afterwards(move |memory| {
                memory.attempt_claims().remove(&id);
            });
            Ok(closed)
        })
        .await
    }

    async fn waiting(&self, at: Timestamp, limit: usize) -> Result<Vec<ExecutionId>, StoreError> {
        let found = self.waiting_until(at, limit).await?;
        let held = self.memory().attempt_claims();
        let free = |id: &ExecutionId| held.get(id).is_none_or(|claim| claim.lease_until <= at);
        Ok(found.into_iter().map(|(_, id)| id).filter(free).collect())
    }

    async fn comment(&self, id: ExecutionId, comment: &str) -> Result<bool, StoreError> {
        let comment = comment.to_owned();
        self.write(move |batch| {
            let mut put = batch.connection.prepare_cached(
                "UPDATE executions SET comment = ?4 WHERE schedule = ?1 AND number = ?2 AND slot = ?3",
            )?;
            Ok(put.execute(params![id.schedule.bytes(), id.number, slot_code(id), comment])? > 0)
        })
        .await
    }
}

/// A claim that is taken back unless it is kept.
struct Held {
    memory: Arc<Memory>,
    id: ExecutionId,
    claim: RecordClaim,
    /// What stood there before: a claim that has lapsed, or the same one.
    before: Option<RecordClaim>,
    kept: bool,
}

impl Held {
    /// Refused, until when, where another's claim has not lapsed.
    fn take(
        memory: &Arc<Memory>,
        id: ExecutionId,
        mut claim: RecordClaim,
        now: Timestamp,
    ) -> Result<Held, Timestamp> {
        let mut claims = memory.attempt_claims();
        let before = claims.get(&id).copied();
        claim = match before {
            Some(same) if same.token == claim.token => same,
            Some(other) if other.lease_until > now => return Err(other.lease_until),
            Some(lapsed) => RecordClaim { tries: lapsed.tries.saturating_add(1), ..claim },
            None => claim,
        };
        claims.insert(id, claim);
        Ok(Held { memory: Arc::clone(memory), id, claim, before, kept: false })
    }

    fn keep(mut self) -> RecordClaim {
        self.kept = true;
        self.claim
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let mut claims = self.memory.attempt_claims();
        if claims.get(&self.id).is_some_and(|claim| claim.token == self.claim.token) {
            match self.before {
                Some(before) => claims.insert(self.id, before),
                None => claims.remove(&self.id),
            };
        }
    }
}

impl LocalStore {
    /// Waiting executions by next attempt, held ones included.
    pub(crate) async fn waiting_until(
        &self,
        at: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, ExecutionId)>, StoreError> {
        self.inner
            .readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(
                    "SELECT schedule, number, slot, next_attempt_at FROM executions
                     WHERE next_attempt_at IS NOT NULL AND next_attempt_at <= ?1
                     ORDER BY next_attempt_at LIMIT ?2",
                )?;
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                let rows = statement.query_map(params![at.millis(), limit], |row| {
                    Ok((Timestamp::from_millis(row.get(3)?), execution_id_of(row, 0)?))
                })?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }
}

fn read(connection: &Connection, id: ExecutionId) -> Result<Option<Execution>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT json, comment FROM executions WHERE schedule = ?1 AND number = ?2 AND slot = ?3",
    )?;
    let row = statement
        .query_row(params![id.schedule.bytes(), id.number, slot_code(id)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((json, comment)): Option<(String, Option<String>)> = row else {
        return Ok(None);
    };
    Ok(Some(execution_of(&json, comment)?))
}

/// The answer where the claim is gone: one's own record there says that the write had been made.
pub(super) fn closed_before(batch: &mut Batch<'_>, id: ExecutionId, token: Token) -> Result<Closed, Failure> {
    let applied = stored(batch, id)?.is_some_and(|(_, there)| there == token.0 as i64);
    let state = batch.state(id.schedule)?.map(|working| working.state.status);
    Ok(Closed { applied, first: false, finished: applied && state == Some(Status::Finished) })
}

/// A record's status and token, as this transaction sees them.
fn stored(batch: &Batch<'_>, id: ExecutionId) -> Result<Option<(ExecutionStatus, i64)>, Failure> {
    let mut statement = batch.connection.prepare_cached(
        "SELECT status, token FROM executions WHERE schedule = ?1 AND number = ?2 AND slot = ?3",
    )?;
    let row: Option<(u8, i64)> = statement
        .query_row(params![id.schedule.bytes(), id.number, slot_code(id)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((status, token)) = row else {
        return Ok(None);
    };
    let status = ExecutionStatus::ALL.get(usize::from(status)).copied();
    let status = status.ok_or_else(|| StoreError::Corrupt(format!("the status of {id}")))?;
    Ok(Some((status, token)))
}

fn list(connection: &Connection, query: &ExecutionQuery) -> Result<Page<Execution, ExecutionId>, Failure> {
    let sql = if query.newest_first {
        "SELECT schedule, number, slot, status, json, comment FROM executions
         WHERE schedule = ?1 AND (number, slot) < (?2, ?3) ORDER BY number DESC, slot DESC"
    } else {
        "SELECT schedule, number, slot, status, json, comment FROM executions
         WHERE schedule = ?1 AND (number, slot) > (?2, ?3) ORDER BY number, slot"
    };
    let start = if query.newest_first { (i64::from(u32::MAX), i64::MAX) } else { (-1, -1) };
    let (number, slot) = query.after.map_or(start, |after| (i64::from(after.number), slot_code(after)));
    let status = query.status.map(execution_status_code);
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![query.schedule.bytes(), number, slot])?;
    let mut page = Page { items: Vec::new(), next: None };
    let mut seen = 0;
    let mut last = None;
    while let Some(row) = rows.next()? {
        if page.items.len() == query.limit || seen == LOOKED_AT.max(query.limit) {
            page.next = last;
            break;
        }
        seen += 1;
        last = Some(execution_id_of(row, 0)?);
        if status.is_none_or(|status| row.get(3) == Ok(status)) {
            page.items.push(execution_of(&row.get::<_, String>(4)?, row.get(5)?)?);
        }
    }
    Ok(page)
}
