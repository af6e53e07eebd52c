//! Reading: schedules, executions, what is to come. Unknown and foreign ids answer alike.

use super::{Engine, Error};
use crate::{
    execution::{Execution, ExecutionStatus},
    ids::{AppKey, ExecutionId, NO_SLOT, ScheduleId},
    plan::upcoming,
    ports::{ExecutionQuery, Page, Schedule, ScheduleQuery},
    state::State,
    time::Timestamp,
};

#[derive(Clone, Debug)]
pub struct ExecutionFilter {
    pub status: Option<ExecutionStatus>,
    pub newest_first: bool,
    pub after: Option<ExecutionId>,
    pub limit: usize,
}

impl Engine {
    pub async fn schedule(&self, app: &AppKey, id: ScheduleId) -> Result<Schedule, Error> {
        self.owned(app, id).await
    }

    pub async fn schedules(&self, query: &ScheduleQuery) -> Result<Page<Schedule, ScheduleId>, Error> {
        Ok(self.schedules.list(query).await?)
    }

    /// Records, and on the first page those that run just now and have none yet.
    pub async fn executions(
        &self,
        app: &AppKey,
        id: ScheduleId,
        filter: &ExecutionFilter,
    ) -> Result<Page<Execution, ExecutionId>, Error> {
        let schedule = self.owned(app, id).await?;
        let running = || schedule.state.claims.iter().filter(|claim| !claim.skip);
        let mut claimed: Vec<Execution> =
            running().map(|claim| running_execution(&schedule.state, claim.number)).collect();
        claimed.sort_by_key(|execution| std::cmp::Reverse(execution.id));
        if filter.status == Some(ExecutionStatus::Running) {
            return Ok(Page { items: claimed, next: None });
        }
        let query = ExecutionQuery {
            schedule: id,
            status: filter.status,
            newest_first: filter.newest_first,
            after: filter.after,
            limit: filter.limit,
        };
        let mut page = self.executions.executions(&query).await?;
        if filter.status.is_none() && filter.newest_first && filter.after.is_none() {
            claimed.retain(|running| page.items.iter().all(|record| record.id != running.id));
            claimed.append(&mut page.items);
            page.items = claimed;
        }
        Ok(page)
    }

    pub async fn execution(&self, app: &AppKey, id: ExecutionId) -> Result<Execution, Error> {
        let schedule = self.owned(app, id.schedule).await.map_err(|error| match error {
            Error::NotFound(_) => Error::NotFound("execution"),
            other => other,
        })?;
        if let Some(record) = self.executions.execution(id).await? {
            return Ok(record);
        }
        match schedule.state.claim_of(id.number) {
            Some(_) => Ok(running_execution(&schedule.state, id.number)),
            None => Err(Error::NotFound("execution")),
        }
    }

    pub async fn comment(&self, app: &AppKey, id: ExecutionId, comment: &str) -> Result<(), Error> {
        self.owned(app, id.schedule).await.map_err(|error| match error {
            Error::NotFound(_) => Error::NotFound("execution"),
            other => other,
        })?;
        if self.executions.comment(id, comment).await? { Ok(()) } else { Err(Error::NotFound("execution")) }
    }

    /// The next occurrences as they would be planned now: number, nominal and effective instant.
    pub async fn upcoming(
        &self,
        app: &AppKey,
        id: ScheduleId,
        count: usize,
    ) -> Result<Vec<(u32, Timestamp, Timestamp)>, Error> {
        let schedule = self.owned(app, id).await?;
        Ok(upcoming(&schedule.definition, &schedule.state, count))
    }
}

fn running_execution(state: &State, number: u32) -> Execution {
    let id = state.id.execution(number, NO_SLOT);
    let (at, due, token) = match state.claim_of(number) {
        Some(claim) => (claim.at, claim.due, claim.token),
        None => (state.anchor.at, state.anchor.at, state.plan_token),
    };
    Execution::new(id, state.app.clone(), state.generation, at, due, token)
}
