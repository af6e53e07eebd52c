//! What is overdue: schedules, and executions that wait for an attempt. Read from all shards of the index `due` at
//! once, and merged.

use super::{
    DynamoStore,
    calls::{Expression, number, text},
    keys::{Due, Key},
    schema::{DUE, DUE_SHARD, LOOK_AGAIN_AT, SHARDS},
};
use futures_util::future::try_join_all;
use rondo_domain::{
    ids::{ExecutionId, ScheduleId},
    ports::StoreError,
    time::Timestamp,
};

impl DynamoStore {
    pub(super) async fn overdue_schedules(
        &self,
        at: Timestamp,
        limit: usize,
    ) -> Result<Vec<ScheduleId>, StoreError> {
        self.due(Due::States, at, limit, Key::schedule).await
    }

    pub(super) async fn waiting_executions(
        &self,
        at: Timestamp,
        limit: usize,
    ) -> Result<Vec<ExecutionId>, StoreError> {
        self.due(Due::Attempts, at, limit, Key::execution).await
    }

    async fn due<T: Ord + Copy>(
        &self,
        what: Due,
        at: Timestamp,
        limit: usize,
        id: impl Fn(&Key) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let shards = (0..SHARDS).map(|shard| self.due_of_shard(what.shard_at(shard), at, limit));
        let mut found = Vec::new();
        for (look, key) in try_join_all(shards).await?.into_iter().flatten() {
            match id(&key) {
                Ok(id) => found.push((look, id)),
                // One that cannot be read must not hide all the others.
                Err(error) => tracing::error!(%error, "an entry of the index of what is due"),
            }
        }
        found.sort_unstable();
        found.truncate(limit);
        Ok(found.into_iter().map(|(_, id)| id).collect())
    }

    /// The most overdue first.
    async fn due_of_shard(
        &self,
        shard: String,
        at: Timestamp,
        limit: usize,
    ) -> Result<Vec<(i64, Key)>, StoreError> {
        let overdue = Expression::new(
            "#due_shard = :shard AND #look_again_at <= :at",
            &[DUE_SHARD, LOOK_AGAIN_AT],
            [("shard", text(shard)), ("at", number(at.millis()))],
        );
        let mut found = Vec::new();
        let mut after = None;
        while found.len() < limit {
            let most = i32::try_from(limit - found.len()).unwrap_or(i32::MAX);
            let query = self.query(&overdue).index_name(DUE).limit(most).set_exclusive_start_key(after);
            let page = query.send().await.map_err(|error| self.failed(&error))?;
            for item in page.items() {
                let look = item.get(LOOK_AGAIN_AT).and_then(|look| look.as_n().ok()?.parse().ok());
                found.push((look.unwrap_or_default(), Key::of_item(item)?));
            }
            after = page.last_evaluated_key;
            if after.is_none() {
                break;
            }
        }
        Ok(found)
    }
}
