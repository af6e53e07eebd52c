//! Executions' records, and the claims of those that wait for an attempt.

use super::{Applied, Memory, Tables};
use async_trait::async_trait;
use rondo_domain::{
    execution::ExecutionStatus,
    execution::{AttemptClaim, Execution},
    ids::AppKey,
    ids::{ExecutionId, ScheduleId, Token},
    ports::{
        CloseWrite, ExecutionQuery, ExecutionStore, LatenessMillis, Page, Statistics, StatisticsStore,
        StoreError,
    },
    state::{Closed, Closing, Status},
    time::Timestamp,
};
use std::ops::RangeInclusive;

/// All ids of a schedule's executions.
pub(super) fn of(id: ScheduleId) -> RangeInclusive<ExecutionId> {
    id.execution(0, 0)..=id.execution(u32::MAX, 0).page(u8::MAX, u16::MAX)
}

#[async_trait]
impl ExecutionStore for Memory {
    async fn execution(&self, id: ExecutionId) -> Result<Option<Execution>, StoreError> {
        Ok(self.tables().executions.get(&id).cloned())
    }

    async fn executions(&self, query: &ExecutionQuery) -> Result<Page<Execution, ExecutionId>, StoreError> {
        let tables = self.tables();
        let fits = |record: &&Execution| {
            query.status.is_none_or(|status| record.status == status)
                && query.after.is_none_or(|after| {
                    if query.newest_first { record.id < after } else { record.id > after }
                })
        };
        let all = tables.executions.range(of(query.schedule)).map(|(_, record)| record);
        let mut items: Vec<Execution> = if query.newest_first {
            all.rev().filter(fits).take(query.limit + 1).cloned().collect()
        } else {
            all.filter(fits).take(query.limit + 1).cloned().collect()
        };
        let more = items.len() > query.limit;
        items.truncate(query.limit);
        let next = items.last().filter(|_| more).map(|last| last.id);
        Ok(Page { items, next })
    }

    /// Never over another claimer's outcome: whoever took over has read this one, or made its own.
    async fn put_record(&self, execution: &Execution) -> Result<(), StoreError> {
        let mut tables = self.tables();
        let known = tables.executions.get(&execution.id);
        let claimed = known.and_then(|known| known.claim);
        if claimed.is_some_and(|claim| execution.claim.is_none_or(|own| own.token != claim.token)) {
            return Err(StoreError::Unavailable("another attempts it by now".to_owned()));
        }
        if known.is_none_or(|known| known.token == execution.token) {
            tables.executions.insert(execution.id, execution.clone());
            self.tell(&Applied::Recorded { id: execution.id });
        }
        Ok(())
    }

    async fn open(&self, execution: &Execution, reopens: bool) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        let Tables { rows, executions, .. } = &mut *tables;
        let Some(row) = rows.get_mut(&execution.id.schedule) else {
            return Ok(false);
        };
        let known = executions.get(&execution.id);
        if known.is_some_and(|known| known.token == execution.token) {
            return Ok(true);
        }
        let as_expected = match known {
            None => !reopens,
            Some(known) => reopens && known.status.is_final(),
        };
        if as_expected {
            row.state.open_waiting(!reopens);
            executions.insert(execution.id, execution.clone());
        }
        Ok(as_expected)
    }

    async fn open_pages(&self, pages: &[Execution]) -> Result<(), StoreError> {
        let mut tables = self.tables();
        let Tables { rows, executions, .. } = &mut *tables;
        let mut opened = 0;
        for page in pages {
            executions.entry(page.id).or_insert_with(|| {
                opened += 1;
                page.clone()
            });
        }
        let row = pages.first().and_then(|page| rows.get_mut(&page.id.schedule));
        if let Some(row) = row.filter(|_| opened > 0) {
            row.state.open_pages(opened);
        }
        Ok(())
    }

    async fn claim_attempt(
        &self,
        id: ExecutionId,
        token: Token,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<AttemptClaim, StoreError> {
        let mut tables = self.tables();
        let Tables { rows, executions, .. } = &mut *tables;
        let (Some(row), Some(record)) = (rows.get(&id.schedule), executions.get_mut(&id)) else {
            return Ok(AttemptClaim::NotWaiting);
        };
        let claim = record.claim_attempt(&row.state, token, lease_until, now);
        if let AttemptClaim::Claimed { execution, .. } | AttemptClaim::ClaimedToDrop { execution } = &claim {
            record.clone_from(execution);
        }
        if let AttemptClaim::Claimed { tries, .. } = claim {
            self.tell(&Applied::AttemptClaim { id, generation: record.generation, token, tries });
        }
        Ok(claim)
    }

    async fn close_attempt(&self, write: CloseWrite) -> Result<Closed, StoreError> {
        let mut tables = self.tables();
        let Tables { rows, executions, .. } = &mut *tables;
        let execution = &write.execution;
        let (Some(row), Some(record)) =
            (rows.get_mut(&execution.id.schedule), executions.get_mut(&execution.id))
        else {
            return Ok(Closed::default());
        };
        if record.claim.is_none_or(|claim| claim.token != execution.token) {
            let applied = record.claim.is_none() && record.token == execution.token;
            let finished = applied && row.state.status == Status::Finished;
            return Ok(Closed { applied, first: false, finished });
        }
        let kind = record.waiting_kind();
        *record = Execution { claim: None, ..execution.clone() };
        let Closing::Over(status) = write.closing else {
            return Ok(Closed { applied: true, ..Closed::default() });
        };
        let closed = row.state.close_waiting(kind, status, write.last_status, write.now);
        if closed.finished && write.tell_end {
            row.state.end_is_to_be_told(write.now);
        }
        Ok(closed)
    }

    async fn waiting(&self, at: Timestamp, limit: usize) -> Result<Vec<ExecutionId>, StoreError> {
        let tables = self.tables();
        let mut due: Vec<(Timestamp, ExecutionId)> = tables
            .executions
            .values()
            .filter(|record| record.status == ExecutionStatus::Waiting)
            .filter(|record| record.claim.is_none_or(|claim| claim.lease_until <= at))
            .filter_map(|record| Some((record.next_attempt_at?, record.id)))
            .filter(|(next, _)| *next <= at)
            .collect();
        due.sort_unstable();
        Ok(due.into_iter().take(limit).map(|(_, id)| id).collect())
    }

    async fn comment(&self, id: ExecutionId, comment: &str) -> Result<bool, StoreError> {
        let mut tables = self.tables();
        let record = tables.executions.get_mut(&id);
        Ok(record.map(|record| record.comment = Some(comment.to_owned())).is_some())
    }
}

#[async_trait]
impl StatisticsStore for Memory {
    async fn statistics(&self, app: &AppKey) -> Result<Statistics, StoreError> {
        let tables = self.tables();
        let mut statistics = Statistics::default();
        let mut lateness: Vec<u64> = Vec::new();
        for record in tables.executions.values().filter(|record| record.app == *app) {
            match record.status {
                ExecutionStatus::Succeeded => statistics.succeeded += 1,
                ExecutionStatus::Failed => statistics.failed += 1,
                ExecutionStatus::Missed => {
                    statistics.missed += u64::from(record.last_number() - record.id.number + 1);
                }
                ExecutionStatus::Skipped => statistics.skipped += 1,
                ExecutionStatus::Running | ExecutionStatus::Waiting => {}
            }
            lateness.extend(record.lateness().map(|span| span.millis()));
        }
        lateness.sort_unstable();
        let at = |part: f64| lateness[((lateness.len() - 1) as f64 * part).round() as usize];
        statistics.lateness = lateness.last().map(|max| LatenessMillis {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: *max,
        });
        Ok(statistics)
    }
}
