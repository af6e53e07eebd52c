//! `ExecutionStore`: records, wherever they stand. The attempts of waiting ones are in `attempts`, pages in `pages`.

use super::{
    DynamoStore,
    calls::{Commit, Expression, TRIES, Write, text},
    keys::{EXECUTION, Key, execution_sk, schedule_pk},
    records::{held_under, record_of, unchanged},
    schema::{PK, SK, STATUS},
    state_item::is_only,
    transition::{Outcome, Source, Step},
};
use async_trait::async_trait;
use rondo_domain::{
    execution::{AttemptClaim, Execution},
    ids::{ExecutionId, Token},
    ports::{CloseWrite, ExecutionQuery, ExecutionStore, Page, StoreError},
    state::Closed,
    time::Timestamp,
};

/// So many records are looked at for one page that is filtered by status, and so many at once.
const LOOKED_AT: usize = 2000;
const AT_ONCE: usize = 250;

#[async_trait]
impl ExecutionStore for DynamoStore {
    /// The state first: a record moves out of it, and never back.
    async fn execution(&self, id: ExecutionId) -> Result<Option<Execution>, StoreError> {
        if is_only(id)
            && let Some(item) = self.present(id.schedule, Source::Certain).await?
            && let Some(record) = item.record_of(id)
        {
            return Ok(Some(record.clone()));
        }
        self.record(id).await
    }

    async fn executions(&self, query: &ExecutionQuery) -> Result<Page<Execution, ExecutionId>, StoreError> {
        self.list_executions(query).await
    }

    async fn put_record(&self, execution: &Execution) -> Result<(), StoreError> {
        let id = execution.id;
        if is_only(id) {
            let put = self.transition(id.schedule, Source::Known, |item| {
                if !item.takes_record_of(id) {
                    return Ok(Step::Keep(false));
                }
                if item.record_of(id).is_some_and(|known| known.token != execution.token) {
                    return Ok(Step::Keep(true));
                }
                item.record = Some(execution.clone());
                item.state.revision += 1;
                Ok(Step::Write(true))
            });
            if matches!(put.await?, Outcome::Done(true, _)) {
                return Ok(());
            }
        }
        let mut mine = Expression::written_with(execution.token);
        if let Some(claim) = execution.claim {
            mine = mine.and(held_under(claim.token));
        }
        let put = Write::put(self.record_item(execution)?, Expression::absent().or(mine));
        match (self.commit(vec![put]).await?, execution.claim) {
            // Somebody else goes on with it: whoever would act on what could not be put must not.
            (Commit::Refused(_), Some(_)) => Err(self.keeps_changing(id)),
            // Where another's is there, it stays.
            _ => Ok(()),
        }
    }

    async fn open(&self, execution: &Execution, reopens: bool) -> Result<bool, StoreError> {
        let id = execution.id;
        for _ in 0..TRIES {
            let record = self.record(id).await?;
            // What became of it, where it is in an item of its own; none where the state has to say.
            let known = record.as_ref().map(|record| fate(record, execution.token, reopens));
            if let Some(Some(answer)) = known {
                return Ok(answer);
            }
            let opened = self.transition(id.schedule, Source::Known, |item| {
                let condition = match (&record, item.record_of(id)) {
                    (Some(record), _) => unchanged(record),
                    (None, None) if reopens => return Ok(Step::Keep(false)),
                    (None, None) => Expression::absent(),
                    (None, Some(here)) => {
                        if let Some(answer) = fate(here, execution.token, reopens) {
                            return Ok(Step::Keep(answer));
                        }
                        item.record = None;
                        Expression::absent()
                    }
                };
                // On record and not yet counted: whoever takes its claim over has to count it first.
                if reopens && !id.is_manual() && !item.state.is_closed(id.number) {
                    return Ok(Step::Keep(false));
                }
                item.state.open_waiting(!reopens);
                let put = Write::put(self.record_item(execution)?, condition);
                Ok(Step::WriteWith(true, vec![put]))
            });
            match opened.await? {
                Outcome::Done(false, _) if reopens && record.is_none() && is_only(id) => {
                    // It may have moved out of the state between the two reads.
                    match self.record(id).await? {
                        Some(_) => {}
                        None => return Ok(false),
                    }
                }
                Outcome::Done(answer, _) => return Ok(answer),
                Outcome::Missing => return Ok(false),
                Outcome::Refused => {}
            }
        }
        Err(self.keeps_changing(id))
    }

    async fn open_pages(&self, pages: &[Execution]) -> Result<(), StoreError> {
        self.put_pages(pages).await
    }

    async fn claim_attempt(
        &self,
        id: ExecutionId,
        token: Token,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<AttemptClaim, StoreError> {
        self.claim_waiting(id, token, lease_until, now).await
    }

    async fn close_attempt(&self, write: CloseWrite) -> Result<Closed, StoreError> {
        self.close_waiting(&write).await
    }

    async fn waiting(&self, at: Timestamp, limit: usize) -> Result<Vec<ExecutionId>, StoreError> {
        self.waiting_executions(at, limit).await
    }

    async fn comment(&self, id: ExecutionId, comment: &str) -> Result<bool, StoreError> {
        if is_only(id) {
            let put = self.transition(id.schedule, Source::Known, |item| {
                let Some(record) = item.record.as_mut().filter(|record| record.id == id) else {
                    return Ok(Step::Keep(false));
                };
                record.comment = Some(comment.to_owned());
                item.state.revision += 1;
                Ok(Step::Write(true))
            });
            if matches!(put.await?, Outcome::Done(true, _)) {
                return Ok(true);
            }
        }
        for _ in 0..TRIES {
            let Some(record) = self.record(id).await? else {
                return Ok(false);
            };
            let as_read = unchanged(&record);
            let record = Execution { comment: Some(comment.to_owned()), ..record };
            let put = Write::put(self.record_item(&record)?, as_read);
            if let Commit::Done = self.commit(vec![put]).await? {
                return Ok(true);
            }
        }
        Err(self.keeps_changing(id))
    }
}

/// Whether a record that is there answers `open`: one's own token says that it was opened, another state of things
/// that it cannot be. None: it can.
fn fate(record: &Execution, token: Token, reopens: bool) -> Option<bool> {
    if record.token == token {
        return Some(true);
    }
    (!reopens || !record.status.is_final()).then_some(false)
}

impl DynamoStore {
    async fn list_executions(
        &self,
        query: &ExecutionQuery,
    ) -> Result<Page<Execution, ExecutionId>, StoreError> {
        let id = query.schedule;
        // Before the others: it moves out of the state, and never back.
        let state = self.present(id, Source::Certain).await?;
        let Some((from, to)) = range(query) else {
            return Ok(Page { items: Vec::new(), next: None });
        };
        let keys = Expression::new(
            "#pk = :pk AND #sk BETWEEN :from AND :to",
            &[PK, SK],
            [("pk", text(schedule_pk(id))), ("from", text(from)), ("to", text(to))],
        );
        let (mut items, mut seen, mut last, mut after) = (Vec::new(), 0, None, None);
        loop {
            let status = query.status.map(|status| {
                Expression::new("#status = :status", &[STATUS], [("status", text(status.as_str()))])
            });
            let wanted = query.limit.saturating_add(1) - items.len();
            let most = if status.is_some() { wanted.max(AT_ONCE) } else { wanted };
            let page =
                self.filtered(&keys, status).consistent_read(true).scan_index_forward(!query.newest_first);
            let page = page.limit(i32::try_from(most).unwrap_or(i32::MAX)).set_exclusive_start_key(after);
            let page = page.send().await.map_err(|error| self.failed(&error))?;
            seen += usize::try_from(page.scanned_count()).unwrap_or_default();
            for item in page.items().iter().filter(|item| self.is_alive(item)) {
                items.push(record_of(item)?);
            }
            after = page.last_evaluated_key;
            last = after.as_ref().map(|key| Key::of_item(key)?.execution()).transpose()?.or(last);
            if after.is_none() || items.len() > query.limit || seen >= LOOKED_AT {
                break;
            }
        }
        let whole = after.is_none();
        if let Some(record) = state.and_then(|item| item.record)
            && query.status.is_none_or(|status| record.status == status)
            && query.after.is_none_or(|after| query.newest_first && record.id < after)
            && (whole || !query.newest_first)
            && !items.iter().any(|known: &Execution| known.id == record.id)
        {
            // The first of all numbers.
            let place = if query.newest_first { items.len() } else { 0 };
            items.insert(place, record);
        }
        let next = if items.len() > query.limit {
            items.truncate(query.limit);
            items.last().map(|last| last.id)
        } else {
            last.filter(|_| !whole)
        };
        Ok(Page { items, next })
    }
}

/// The keys that a page may have, both ends included; none where nothing can follow.
fn range(query: &ExecutionQuery) -> Option<(String, String)> {
    let (first, end) = (EXECUTION.to_owned(), format!("{EXECUTION}~"));
    let Some(after) = query.after else {
        return Some((first, end));
    };
    if !query.newest_first {
        return Some((format!("{}!", execution_sk(after)), end));
    }
    let before = match (after.number, after.slot, after.page) {
        (0, 0, 0) => return None,
        (number, 0, 0) => after.schedule.execution(number - 1, 0).page(u8::MAX, u16::MAX),
        (_, slot, 0) => after.page(slot - 1, u16::MAX),
        (_, slot, page) => after.page(slot, page - 1),
    };
    Some((first, execution_sk(before)))
}
