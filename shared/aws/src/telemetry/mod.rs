//! What is told of executions: CloudWatch's embedded metrics by app and outcome, one structured line for each
//! execution, and the statistics of `GET /v1/stats`, gathered in memory and written now and then.
//!
//! Metrics and lines are exact. Statistics lack what a process had counted in its last minute before it ended
//! without another invocation: they are worth no write for each execution.

mod embedded;
mod lateness;
mod statistics;

pub use statistics::StatisticsItems;

use async_trait::async_trait;
use embedded::Happened;
use futures_util::{StreamExt as _, stream};
use rondo_domain::{
    execution::{Execution, ExecutionStatus},
    ids::AppKey,
    ports::{Clock, Observer, Statistics, StatisticsStore, StoreError},
    time::{Span, Timestamp},
};
use statistics::{Tally, hour_of, occurrences, sum};
use std::{
    collections::BTreeMap,
    io::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// An app's statistics are written this often at most: a write unit a minute for each process that works for it.
const WRITTEN_EVERY: Span = Span::from_secs(60);
const WRITES_AT_ONCE: usize = 8;

pub struct Telemetry {
    items: Arc<dyn StatisticsItems>,
    stack: String,
    writer: String,
    clock: Arc<dyn Clock>,
    output: Mutex<Box<dyn Write + Send>>,
    gathered: Mutex<Gathered>,
    /// One at a time writes statistics: an older state never comes after a newer one.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Gathered {
    happened: Happened,
    tallies: BTreeMap<(AppKey, u64), Counted>,
    /// When an app's statistics were written last.
    written: BTreeMap<AppKey, Timestamp>,
}

struct Counted {
    tally: Tally,
    /// Not written yet as it stands.
    changed: bool,
}

impl Telemetry {
    /// `items`: the table, a `DynamoStore`. `stack`: what the metrics' `Stack` says, which is the table's name
    /// (`AwsSettings::table`). `writer`: random bits of this process, which no other has.
    pub fn new(
        items: impl StatisticsItems + 'static,
        stack: impl Into<String>,
        writer: u128,
        clock: Arc<dyn Clock>,
    ) -> Telemetry {
        Telemetry {
            items: Arc::new(items),
            stack: stack.into(),
            writer: format!("{writer:032x}"),
            clock,
            output: Mutex::new(Box::new(std::io::stdout())),
            gathered: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// Metrics go to `output` in place of standard output.
    #[must_use]
    pub fn writing_to(self, output: impl Write + Send + 'static) -> Telemetry {
        Telemetry { output: Mutex::new(Box::new(output)), ..self }
    }

    /// Adds to a metric of the whole deployment: `SweptSchedules` and the like. Zero counts too: it shows that
    /// somebody looked.
    pub fn count(&self, metric: &'static str, by: u64) {
        *self.gathered().happened.counts.entry(metric).or_default() += by;
    }

    /// Writes what has been gathered: metrics lines at once, statistics where the last time is long enough ago.
    /// Called at the end of each invocation.
    pub async fn flush(&self) {
        let now = self.clock.now();
        let happened = std::mem::take(&mut self.gathered().happened);
        let mut lines = happened.lines(&self.stack, now).join("\n");
        if !lines.is_empty() {
            lines.push('\n');
            // Whole, so that no other line comes between. Where there is no output, nobody reads metrics.
            let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = output.write_all(lines.as_bytes()).and_then(|()| output.flush());
        }
        self.write_statistics(now, None).await;
    }

    /// Of one app whatever has changed, or of all those whose turn it is.
    async fn write_statistics(&self, now: Timestamp, only: Option<&AppKey>) {
        let _one_at_a_time = self.writing.lock().await;
        let due = self.gathered().take_due(now, only);
        let writes = due.into_iter().map(|(app, hour, tally)| async move {
            let put = self.items.put(&app, hour, &self.writer, &tally.json(), tally.expires_at()).await;
            if let Err(error) = put {
                tracing::warn!(%app, %error, "statistics could not be written, and will be tried again");
                if let Some(counted) = self.gathered().tallies.get_mut(&(app, hour)) {
                    counted.changed = true;
                }
            }
        });
        stream::iter(writes).buffer_unordered(WRITES_AT_ONCE).collect::<Vec<()>>().await;
        self.gathered().forget_past(now);
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathered {
    /// What is to be written now, and counts as written from here on.
    fn take_due(&mut self, now: Timestamp, only: Option<&AppKey>) -> Vec<(AppKey, u64, Tally)> {
        let mut due = Vec::new();
        for ((app, hour), counted) in &mut self.tallies {
            let turn = match only {
                Some(only) => only == app,
                None => self.written.get(app).is_none_or(|last| now.since(*last) >= WRITTEN_EVERY),
            };
            if counted.changed && turn {
                counted.changed = false;
                due.push((app.clone(), *hour, counted.tally.clone()));
            }
        }
        self.written.extend(due.iter().map(|(app, ..)| (app.clone(), now)));
        due
    }

    fn forget_past(&mut self, now: Timestamp) {
        self.tallies.retain(|(_, hour), counted| counted.changed || *hour >= hour_of(now));
        self.written.retain(|_, last| now.since(*last) < WRITTEN_EVERY);
    }
}

impl Observer for Telemetry {
    fn ended(&self, execution: &Execution) {
        let status = execution.status.as_str();
        let lateness = execution.lateness().map(Span::millis);
        tracing::info!(
            schedule.id = %execution.id.schedule,
            execution.id = %execution.id,
            app = %execution.app,
            status,
            attempts = execution.attempts.len(),
            lateness_ms = lateness,
            "an execution ended"
        );
        let count = match execution.status {
            ExecutionStatus::Missed => occurrences(execution),
            _ => 1,
        };
        let hour = hour_of(self.clock.now());
        let mut gathered = self.gathered();
        let ended = gathered.happened.ended.entry((execution.app.clone(), status)).or_default();
        ended.executions += count;
        ended.lateness.extend(lateness);
        let counted = gathered
            .tallies
            .entry((execution.app.clone(), hour))
            .or_insert_with(|| Counted { tally: Tally::new(hour), changed: true });
        counted.tally.count(execution);
        counted.changed = true;
    }

    fn trouble(&self, what: &str, error: &StoreError) {
        tracing::warn!(%error, "{what}");
        self.count("Trouble", 1);
    }
}

#[async_trait]
impl StatisticsStore for Telemetry {
    /// Of the last 24 hours, the present one included, whoever counted; what this process has counted is written
    /// first.
    async fn statistics(&self, app: &AppKey) -> Result<Statistics, StoreError> {
        let now = self.clock.now();
        self.write_statistics(now, Some(app)).await;
        sum(app, &self.items.all(app).await?, now)
    }
}

#[cfg(test)]
mod tests;
