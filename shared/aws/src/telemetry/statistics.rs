//! What `GET /v1/stats` answers: counts by app, hour and process, as items of the table. An item holds all that its
//! process has counted in its hour, so that writing it again does no harm; nothing is ever added up in the table.

use super::lateness::Lateness;
use crate::DynamoStore;
use async_trait::async_trait;
use rondo_domain::{
    execution::{Execution, ExecutionStatus},
    ids::AppKey,
    ports::{Statistics, StoreError},
    time::{Span, Timestamp},
};
use serde::{Deserialize, Serialize};

const HOUR: Span = Span::from_secs(3600);
/// How many hours count, the present one included: a day, so that a reader is spared thousands of items.
const HOURS: u64 = 24;

/// The statistics' items of the table.
#[async_trait]
pub trait StatisticsItems: Send + Sync {
    /// In place of what this writer has written for the hour.
    async fn put(
        &self,
        app: &AppKey,
        hour: u64,
        writer: &str,
        json: &str,
        expires_at: Timestamp,
    ) -> Result<(), StoreError>;
    /// Of all hours and writers that are still there.
    async fn all(&self, app: &AppKey) -> Result<Vec<String>, StoreError>;
}

#[async_trait]
impl StatisticsItems for DynamoStore {
    async fn put(
        &self,
        app: &AppKey,
        hour: u64,
        writer: &str,
        json: &str,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.put_statistics(app, hour, writer, json, expires_at).await
    }

    async fn all(&self, app: &AppKey) -> Result<Vec<String>, StoreError> {
        self.statistics(app).await
    }
}

/// Of one app, counted by one process in one hour.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Since 1970.
    hour: u64,
    #[serde(default)]
    succeeded: u64,
    #[serde(default)]
    failed: u64,
    #[serde(default)]
    missed: u64,
    #[serde(default)]
    skipped: u64,
    #[serde(default)]
    lateness: Lateness,
}

impl Tally {
    pub fn new(hour: u64) -> Tally {
        Tally { hour, ..Tally::default() }
    }

    pub fn count(&mut self, execution: &Execution) {
        match execution.status {
            ExecutionStatus::Succeeded => self.succeeded += 1,
            ExecutionStatus::Failed => self.failed += 1,
            ExecutionStatus::Skipped => self.skipped += 1,
            ExecutionStatus::Missed => self.missed += occurrences(execution),
            ExecutionStatus::Running | ExecutionStatus::Waiting => {}
        }
        if let Some(late) = execution.lateness() {
            self.lateness.record(late.millis());
        }
    }

    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers and lists of them")
    }

    /// TTL removes items days late: their age is looked at as they are read.
    pub fn expires_at(&self) -> Timestamp {
        start(self.hour + HOURS + 1)
    }
}

pub(super) fn hour_of(at: Timestamp) -> u64 {
    u64::try_from(at.millis()).unwrap_or_default() / HOUR.millis()
}

fn start(hour: u64) -> Timestamp {
    Timestamp::EPOCH.plus(HOUR.times(hour))
}

/// One record stands for a run of missed ones.
pub(super) fn occurrences(execution: &Execution) -> u64 {
    u64::from(execution.last_number().saturating_sub(execution.id.number)) + 1
}

/// Everything that ended in the last [`HOURS`], since the beginning of the first of them.
pub(super) fn sum(app: &AppKey, items: &[String], now: Timestamp) -> Result<Statistics, StoreError> {
    let first = hour_of(now).saturating_sub(HOURS - 1);
    let mut all = Tally::new(first);
    for item in items {
        let unreadable = |_| StoreError::Corrupt(format!("the statistics of app {app}"));
        let tally: Tally = serde_json::from_str(item).map_err(unreadable)?;
        if tally.hour >= first {
            all.succeeded += tally.succeeded;
            all.failed += tally.failed;
            all.missed += tally.missed;
            all.skipped += tally.skipped;
            all.lateness.merge(&tally.lateness);
        }
    }
    let Tally { succeeded, failed, missed, skipped, lateness, .. } = all;
    Ok(Statistics { since: start(first), succeeded, failed, missed, skipped, lateness: lateness.millis() })
}
