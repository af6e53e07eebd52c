//! `StateStore`: plans, claims, and the end that has been told. Closing is in `closing`.

use super::{
    DynamoStore,
    calls::Write,
    state_item::StateItem,
    transition::{Outcome, Source, Step},
};
use async_trait::async_trait;
use rondo_domain::{
    ids::ScheduleId,
    plan::PlanWrite,
    ports::{CloseWrite, StateStore, StoreError},
    state::{ClaimAnswer, ClaimAsk, Closed, Closing},
    time::Timestamp,
};

#[async_trait]
impl StateStore for DynamoStore {
    async fn save_plan(
        &self,
        write: PlanWrite,
        now: Timestamp,
        tell_end: bool,
    ) -> Result<Option<Closed>, StoreError> {
        let saved = self.transition(write.id, Source::Known, |item| {
            let repeated = item.state.plan_token == write.token;
            let Some(closed) = item.state.save_plan(&write, now) else {
                return Ok(Step::Keep(None));
            };
            if repeated {
                return Ok(Step::Keep(Some(closed)));
            }
            if closed.finished && tell_end {
                item.state.end_is_to_be_told(now);
            }
            Ok(Step::WriteWith(Some(closed), self.missed_records(item, &write)?))
        });
        match saved.await? {
            Outcome::Done(closed, _) => Ok(closed),
            Outcome::Missing | Outcome::Refused => Ok(None),
        }
    }

    async fn claim(&self, ask: &ClaimAsk, now: Timestamp) -> Result<ClaimAnswer, StoreError> {
        let claimed = self.transition(ask.id, Source::Recent, |item| {
            let before = item.state.revision;
            let answer = item.state.claim(ask, now);
            Ok(match answer {
                _ if item.state.revision != before => Step::Write(answer),
                ClaimAnswer::AlreadyClosed => Step::Settled(answer),
                answer => Step::Keep(answer),
            })
        });
        match claimed.await? {
            Outcome::Done(answer, _) => Ok(answer),
            Outcome::Missing | Outcome::Refused => Ok(ClaimAnswer::Stale),
        }
    }

    async fn close(&self, write: CloseWrite) -> Result<Closed, StoreError> {
        match write.closing {
            Closing::Over(_) => self.close_over(&write).await,
            Closing::Waiting => self.close_to_wait(&write).await,
        }
    }

    async fn told(&self, id: ScheduleId) -> Result<(), StoreError> {
        let told = self.transition(id, Source::Known, |item| {
            let before = item.state.revision;
            item.state.told();
            Ok(if item.state.revision == before { Step::Keep(()) } else { Step::Write(()) })
        });
        told.await.map(drop)
    }
}

impl DynamoStore {
    /// None of these numbers is closed or claimed: nobody else writes their records.
    fn missed_records(&self, item: &mut StateItem, write: &PlanWrite) -> Result<Vec<Write>, StoreError> {
        let mut writes = Vec::new();
        for record in write.missed_records(&item.state) {
            if item.takes_record_of(record.id) {
                item.record = Some(record);
            } else {
                writes.push(Write::Put { item: self.record_item(&record)?, condition: None });
            }
        }
        Ok(writes)
    }
}
