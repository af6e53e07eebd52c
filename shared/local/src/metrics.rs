//! What this process has seen end: counts per app, and how late first attempts were. In memory, from start to
//! stop; it knows nothing of the database.

use async_trait::async_trait;
use hdrhistogram::Histogram;
use rondo_domain::{
    execution::{Execution, ExecutionStatus},
    ids::AppKey,
    ports::{LatenessMillis, Observer, Statistics, StatisticsStore, StoreError},
    time::Timestamp,
};
use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Later than this is counted as this late: one day, in ms.
const MAX_LATENESS: u64 = 86_400_000;

#[derive(Debug)]
pub struct Metrics {
    since: Timestamp,
    apps: Mutex<HashMap<AppKey, PerApp>>,
    troubles: AtomicU64,
}

#[derive(Debug)]
struct PerApp {
    succeeded: u64,
    failed: u64,
    missed: u64,
    skipped: u64,
    /// ms, to two digits: some 20 KB for each app.
    lateness: Histogram<u64>,
}

impl Metrics {
    /// Counts from `since`, which is now.
    pub fn new(since: Timestamp) -> Self {
        Metrics { since, apps: Mutex::default(), troubles: AtomicU64::new(0) }
    }

    /// Of every app that something has ended of, sorted by key.
    pub fn all(&self) -> Vec<(AppKey, Statistics)> {
        let apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> =
            apps.iter().map(|(key, app)| (key.clone(), app.statistics(self.since))).collect();
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        all
    }

    /// How often something went wrong that costs punctuality, not promises.
    pub fn troubles(&self) -> u64 {
        self.troubles.load(Ordering::Relaxed)
    }
}

impl PerApp {
    fn new() -> Self {
        let lateness = Histogram::new_with_max(MAX_LATENESS, 2).expect("constant bounds that fit");
        PerApp { succeeded: 0, failed: 0, missed: 0, skipped: 0, lateness }
    }

    fn statistics(&self, since: Timestamp) -> Statistics {
        let at = |quantile| self.lateness.value_at_quantile(quantile).min(self.lateness.max());
        let lateness = (!self.lateness.is_empty()).then(|| LatenessMillis {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.lateness.max(),
        });
        let PerApp { succeeded, failed, missed, skipped, .. } = *self;
        Statistics { since, succeeded, failed, missed, skipped, lateness }
    }
}

impl Observer for Metrics {
    fn ended(&self, execution: &Execution) {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if !apps.contains_key(&execution.app) {
            apps.insert(execution.app.clone(), PerApp::new());
        }
        let Some(app) = apps.get_mut(&execution.app) else {
            return;
        };
        match execution.status {
            ExecutionStatus::Succeeded => app.succeeded += 1,
            ExecutionStatus::Failed => app.failed += 1,
            ExecutionStatus::Skipped => app.skipped += 1,
            // One record stands for a run of them.
            ExecutionStatus::Missed => {
                app.missed += u64::from(execution.last_number() - execution.id.number) + 1;
            }
            ExecutionStatus::Running | ExecutionStatus::Waiting => {}
        }
        if let Some(lateness) = execution.lateness() {
            app.lateness.saturating_record(lateness.millis());
        }
    }

    fn trouble(&self, what: &str, error: &StoreError) {
        self.troubles.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%error, "{what}");
    }
}

#[async_trait]
impl StatisticsStore for Metrics {
    async fn statistics(&self, app: &AppKey) -> Result<Statistics, StoreError> {
        let apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(apps.get(app).map_or_else(
            || Statistics { since: self.since, ..Statistics::default() },
            |app| app.statistics(self.since),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rondo_domain::{
        execution::Attempt,
        ids::{NO_SLOT, ScheduleId, Token},
    };

    #[tokio::test]
    async fn counts_by_app_and_measures_lateness() {
        let at = Timestamp::from_millis;
        let metrics = Metrics::new(at(5));
        let app: AppKey = "ours".parse().unwrap();
        let id = ScheduleId::new(at(5), 9);
        for (number, late) in [(1, 3), (2, 40)] {
            let due = at(1000);
            let mut one = Execution::new(id.execution(number, NO_SLOT), app.clone(), 1, due, due, Token(1));
            one.status = ExecutionStatus::Succeeded;
            one.attempts.push(Attempt {
                sent_at: at(1000 + late),
                first_byte_at: None,
                done_at: at(1100),
                status: Some(200),
                failure: None,
                body: String::new(),
            });
            metrics.ended(&one);
        }
        let mut run = Execution::new(id.execution(3, NO_SLOT), app.clone(), 1, at(1), at(1), Token(1));
        run.status = ExecutionStatus::Missed;
        run.through = Some(7);
        metrics.ended(&run);

        let seen = metrics.statistics(&app).await.unwrap();
        assert_eq!((seen.since, seen.succeeded, seen.failed, seen.missed), (at(5), 2, 0, 5));
        let lateness = seen.lateness.unwrap();
        assert_eq!((lateness.p50, lateness.p99, lateness.max), (3, 40, 40));
        let other = metrics.statistics(&"other".parse().unwrap()).await.unwrap();
        assert_eq!((other.succeeded, other.lateness), (0, None));
        assert_eq!(metrics.all().len(), 1);
    }
}
