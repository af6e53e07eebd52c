//! Closing a claimed occurrence: its record, then its count. A record is written under its claim's token, over
//! nothing or over one's own. Where another's record is there although one's own claim stands, its claimer died
//! before it could count: its outcome is adopted, and the count follows the record. So whatever was told of an
//! outcome that is on record stays true.

use super::{
    DynamoStore,
    calls::{Commit, Expression, TRIES, Write},
    keys::Key,
    records::{record_of, unchanged},
    state_item::StateItem,
    transition::{Outcome, Source, Step},
};
use rondo_domain::{
    execution::Execution,
    ids::{ExecutionId, Token},
    ports::{CloseWrite, StoreError},
    state::{Closed, Status},
};

/// What came of a transition that closes.
enum Count {
    Done(Closed),
    /// The claim is gone.
    Gone,
}

impl DynamoStore {
    pub(super) async fn close_over(&self, write: &CloseWrite) -> Result<Closed, StoreError> {
        let execution = &write.execution;
        let (id, token) = (execution.id, execution.token);
        let mut item = self.present(id.schedule, Source::Known).await?;
        // Only a state that is certain may say that the claim is gone.
        if !item.as_ref().is_some_and(|item| stands(item, id, token)) {
            item = self.present(id.schedule, Source::Certain).await?;
        }
        let Some(item) = item else {
            return Ok(Closed::default());
        };
        if !stands(&item, id, token) {
            return self.closed_before(&item, execution).await;
        }
        if item.takes_record_of(id) {
            return self.count(write, false).await;
        }
        match self.put_outcome(execution).await? {
            Some(record) if record == *execution => self.count(write, true).await,
            Some(adopted) => self.count(&of_record(adopted, write), true).await,
            None => match self.present(id.schedule, Source::Certain).await? {
                Some(item) => self.closed_before(&item, execution).await,
                None => Ok(Closed::default()),
            },
        }
    }

    /// The record and the state's count of waiting ones: both or neither.
    pub(super) async fn close_to_wait(&self, write: &CloseWrite) -> Result<Closed, StoreError> {
        self.count(write, false).await
    }

    /// Writes a record under its claim's token. Answers the record that is there then: this one, or another's that
    /// was adopted; none where the claim is gone.
    async fn put_outcome(&self, execution: &Execution) -> Result<Option<Execution>, StoreError> {
        let (id, token) = (execution.id, execution.token);
        let mut record = execution.clone();
        let mut condition = Expression::absent().or(Expression::written_with(token));
        for _ in 0..TRIES {
            let put = Write::put(self.record_item(&record)?, condition);
            let Commit::Refused(mut refused) = self.commit(vec![put]).await? else {
                return Ok(Some(record));
            };
            let item = self.present(id.schedule, Source::Certain).await?;
            if !item.is_some_and(|item| stands(&item, id, token)) {
                return Ok(None);
            }
            match refused.pop().flatten().and_then(|refusal| refusal.present) {
                Some(present) => {
                    let other = record_of(&present)?;
                    condition = unchanged(&other);
                    record = Execution { token, ..other };
                }
                // It has expired meanwhile.
                None => {
                    record = execution.clone();
                    condition = Expression::absent().or(Expression::written_with(token));
                }
            }
        }
        Err(self.keeps_changing(id))
    }

    /// The write that removes the claim is the one that counts. The record goes with it, in the state's item or
    /// beside it, unless it is `on_record` already.
    async fn count(&self, write: &CloseWrite, on_record: bool) -> Result<Closed, StoreError> {
        let id = write.execution.id;
        // Of an earlier claimer, where there is one: it is adopted, see above.
        let mut left: Option<Execution> = None;
        for _ in 0..TRIES {
            let counted = self.transition(id.schedule, Source::Known, |item| {
                let mut write = write.clone();
                let here = item.takes_record_of(id);
                let other = left.as_ref().or(item.record_of(id));
                if let Some(other) = other.filter(|other| other.token != write.execution.token) {
                    write = of_record(Execution { token: write.execution.token, ..other.clone() }, &write);
                }
                let closed = close(item, &write);
                if !closed.applied {
                    return Ok(Step::Keep(Count::Gone));
                }
                let record = &write.execution;
                if on_record && left.is_none() {
                    return Ok(Step::Write(Count::Done(closed)));
                }
                if here && left.is_none() && record.status.is_final() {
                    item.record = Some(record.clone());
                    return Ok(Step::Write(Count::Done(closed)));
                }
                let condition = match &left {
                    Some(left) => unchanged(left),
                    None => Expression::absent().or(Expression::written_with(record.token)),
                };
                let put = Write::put(self.record_item(record)?, condition);
                Ok(Step::WriteWith(Count::Done(closed), vec![put]))
            });
            match counted.await? {
                Outcome::Done(Count::Done(closed), _) => return Ok(closed),
                Outcome::Done(Count::Gone, item) => return self.closed_before(&item, &write.execution).await,
                Outcome::Missing => return Ok(Closed::default()),
                Outcome::Refused => left = self.record(id).await?,
            }
        }
        Err(self.keeps_changing(id))
    }

    /// The answer where the claim is gone: closed, and one's own record there, says that the write had been done.
    async fn closed_before(&self, item: &StateItem, execution: &Execution) -> Result<Closed, StoreError> {
        let (id, token) = (execution.id, execution.token);
        let mine = match item.record_of(id) {
            Some(record) => record.token == token,
            None => {
                let record = self.get(&Key::of_execution(id), true).await?;
                let record = record.map(|item| record_of(&item)).transpose()?;
                record.is_some_and(|record| record.token == token)
            }
        };
        let applied = mine && item.state.is_closed(id.number);
        let finished = applied && item.state.status == Status::Finished;
        Ok(Closed { applied, first: false, finished })
    }
}

fn stands(item: &StateItem, id: ExecutionId, token: Token) -> bool {
    item.state.claim_of(id.number).is_some_and(|claim| claim.token == token)
}

/// The same closing, with what this record says.
fn of_record(record: Execution, write: &CloseWrite) -> CloseWrite {
    CloseWrite::of(&record, write.now, write.tell_end)
}

fn close(item: &mut StateItem, write: &CloseWrite) -> Closed {
    let CloseWrite { execution, closing, last_status, now, tell_end } = write;
    let sent_at = execution.attempts.first().map(|attempt| attempt.sent_at);
    let (number, token) = (execution.id.number, execution.token);
    let closed = item.state.close(number, token, *closing, *last_status, sent_at, *now);
    if closed.finished && *tell_end {
        item.state.end_is_to_be_told(*now);
    }
    closed
}
