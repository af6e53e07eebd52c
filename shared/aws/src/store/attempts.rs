//! Executions that wait for an attempt: claimed and closed on their own record. A claim checks the schedule's
//! generation in the same transaction, so that none of an older one starts once a change has answered.

use super::{
    DynamoStore,
    calls::{Commit, Expression, TRIES, Write, number, text},
    keys::{Key, STATE},
    records::unchanged,
    schema::STATUS,
    transition::{Outcome, Source, Step},
};
use rondo_domain::{
    execution::{AttemptClaim, Execution, ExecutionStatus},
    ids::{ExecutionId, Token},
    ports::{CloseWrite, StoreError},
    state::{Closed, Closing, State, Status},
    time::Timestamp,
};

impl DynamoStore {
    pub(super) async fn claim_waiting(
        &self,
        id: ExecutionId,
        token: Token,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<AttemptClaim, StoreError> {
        for _ in 0..TRIES {
            let Some(record) = self.record(id).await? else {
                return Ok(AttemptClaim::NotWaiting);
            };
            // A message that came twice: the state need not be read for that.
            if record.status != ExecutionStatus::Waiting {
                return Ok(AttemptClaim::NotWaiting);
            }
            let Some(item) = self.present(id.schedule, Source::Certain).await? else {
                return Ok(AttemptClaim::NotWaiting);
            };
            let claim = record.claim_attempt(&item.state, token, lease_until, now);
            let (AttemptClaim::Claimed { execution, .. } | AttemptClaim::ClaimedToDrop { execution }) =
                &claim
            else {
                return Ok(claim);
            };
            let mut writes = vec![Write::put(self.record_item(execution)?, unchanged(&record))];
            if let AttemptClaim::Claimed { .. } = claim {
                let key = Key::of_schedule(id.schedule, STATE);
                writes.push(Write::Check { key, condition: still_runs(&item.state) });
            }
            if let Commit::Done = self.commit(writes).await? {
                return Ok(claim);
            }
        }
        Err(self.keeps_changing(id))
    }

    pub(super) async fn close_waiting(&self, write: &CloseWrite) -> Result<Closed, StoreError> {
        let CloseWrite { execution, closing, last_status, now, tell_end } = write;
        let id = execution.id;
        for _ in 0..TRIES {
            let Some(record) = self.record(id).await? else {
                return Ok(Closed::default());
            };
            if record.claim.is_none_or(|claim| claim.token != execution.token) {
                return self.attempt_closed_before(&record, execution.token).await;
            }
            let kind = record.waiting_kind();
            // A remark may have been made while it was under way.
            let new = Execution { claim: None, comment: record.comment.clone(), ..execution.clone() };
            let put = Write::put(self.record_item(&new)?, unchanged(&record));
            let Closing::Over(status) = *closing else {
                if let Commit::Done = self.commit(vec![put]).await? {
                    return Ok(Closed { applied: true, ..Closed::default() });
                }
                continue;
            };
            let counted = self.transition(id.schedule, Source::Known, |item| {
                let closed = item.state.close_waiting(kind, status, *last_status, *now);
                if closed.finished && *tell_end {
                    item.state.end_is_to_be_told(*now);
                }
                Ok(Step::WriteWith(closed, vec![put.clone()]))
            });
            match counted.await? {
                Outcome::Done(closed, _) => return Ok(closed),
                Outcome::Missing => return Ok(Closed::default()),
                Outcome::Refused => {}
            }
        }
        Err(self.keeps_changing(id))
    }

    /// The answer where the claim is gone: one's own token on the record says that it had been closed.
    async fn attempt_closed_before(&self, record: &Execution, token: Token) -> Result<Closed, StoreError> {
        let applied = record.claim.is_none() && record.token == token;
        if !applied {
            return Ok(Closed::default());
        }
        let item = self.present(record.id.schedule, Source::Certain).await?;
        let finished = item.is_some_and(|item| item.state.status == Status::Finished);
        Ok(Closed { applied, first: false, finished })
    }

    pub(super) fn keeps_changing(&self, id: ExecutionId) -> StoreError {
        StoreError::Unavailable(format!("{}: the record of {id} keeps changing", self.table))
    }
}

fn still_runs(state: &State) -> Expression {
    Expression::new(
        "#generation = :generation AND #status <> :canceled",
        &["generation", STATUS],
        [("generation", number(state.generation)), ("canceled", text(Status::Canceled.as_str()))],
    )
}
