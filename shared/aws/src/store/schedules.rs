//! `ScheduleStore`: loading and changing. Creating is in `creating`, listing in `listing`, what is overdue in `due`.

use super::{
    DynamoStore,
    calls::Write,
    records::{definition_item, json_of},
    state_item::travels,
    transition::{Outcome, Source, Step},
};
use async_trait::async_trait;
use rondo_domain::{
    change::Changed,
    ids::{AppKey, ScheduleId},
    ports::{
        ChangeAnswer, ChangeWrite, Created, IdempotencyKey, NewSchedule, Page, Schedule, ScheduleQuery,
        ScheduleStore, StoreError,
    },
    time::{Span, Timestamp},
};
use std::sync::Arc;

#[async_trait]
impl ScheduleStore for DynamoStore {
    async fn create(&self, new: NewSchedule) -> Result<Created, StoreError> {
        self.create_schedule(new).await
    }

    async fn created_with(
        &self,
        app: &AppKey,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<Option<Created>, StoreError> {
        self.made_by_key(app, key, now).await
    }

    async fn load(&self, id: ScheduleId) -> Result<Option<Schedule>, StoreError> {
        let Some(item) = self.present(id, Source::Certain).await? else {
            return Ok(None);
        };
        let definition = self.definition(&item).await?;
        Ok(Some(Schedule { definition, state: item.state }))
    }

    async fn list(&self, query: &ScheduleQuery) -> Result<Page<Schedule, ScheduleId>, StoreError> {
        self.list_schedules(query).await
    }

    async fn change(&self, write: ChangeWrite) -> Result<ChangeAnswer, StoreError> {
        let json = write.definition.as_ref().map(|definition| Ok((definition, json_of(definition)?)));
        let new: Option<(_, String)> = json.transpose()?;
        let changed = self.transition(write.id, Source::Known, |item| {
            let repeated = item.state.change_token == write.token;
            if !repeated && item.state.revision != write.if_revision {
                return Ok(Step::Keep(None));
            }
            let had_ended = item.state.status.has_ended();
            let changed = item.state.change(&write.change, write.token, write.now);
            if repeated || !matches!(changed, Changed::Done { .. }) {
                return Ok(Step::Keep(Some(changed)));
            }
            if write.tell_end && !had_ended && item.state.status.has_ended() {
                item.state.end_is_to_be_told(write.now);
            }
            let Some((definition, json)) = &new else {
                return Ok(Step::Write(Some(changed)));
            };
            if item.definition.is_some() && travels(definition, json) {
                item.definition = Some(Arc::from(json.as_str()));
                return Ok(Step::Write(Some(changed)));
            }
            item.definition = None;
            let stored = definition_item(write.id, json, item.expires_at(self.retention));
            Ok(Step::WriteWith(Some(changed), vec![Write::Put { item: stored, condition: None }]))
        });
        let (changed, item) = match changed.await? {
            Outcome::Done(Some(changed), item) => (changed, item),
            Outcome::Done(None, _) | Outcome::Refused => return Ok(ChangeAnswer::Conflict),
            Outcome::Missing => return Ok(ChangeAnswer::Missing),
        };
        if let Changed::Refused(refused) = changed {
            return Ok(ChangeAnswer::Refused(refused));
        }
        let definition = match (&changed, write.definition) {
            (Changed::Done { .. }, Some(new)) => Arc::new(new),
            _ => self.definition(&item).await?,
        };
        let schedule = Schedule { definition, state: item.state };
        Ok(match changed {
            Changed::Done { in_flight } => ChangeAnswer::Done { schedule, in_flight },
            Changed::Already { in_flight } => ChangeAnswer::Already { schedule, in_flight },
            Changed::Refused(refused) => ChangeAnswer::Refused(refused),
        })
    }

    async fn overdue(&self, at: Timestamp, limit: usize) -> Result<Vec<ScheduleId>, StoreError> {
        self.overdue_schedules(at, limit).await
    }

    async fn look_later(&self, id: ScheduleId, grace: Span, now: Timestamp) -> Result<bool, StoreError> {
        let moved = self.transition(id, Source::Known, |item| {
            let moved = item.state.look_later(grace, now);
            Ok(if moved { Step::Write(true) } else { Step::Keep(false) })
        });
        Ok(matches!(moved.await?, Outcome::Done(true, _)))
    }
}
