//! What AWS allows, as numbers and as buckets that fill at a rate. It knows no schedule and no engine.
//!
//! Sources: the quota pages of EventBridge Scheduler, SQS, Lambda ("SQS scaling behavior") and DynamoDB ("warm
//! throughput in different scenarios"), as read in November 2026.

use rondo_domain::time::Span;
use std::sync::{Mutex, PoisonError};
use tokio::time::{Duration, Instant};

/// Limits of one account and one deployment, each a second unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quotas {
    /// Invocations of EventBridge Scheduler; adjustable.
    pub scheduler: f64,
    /// How late EventBridge Scheduler fires at most, before any quota: it promises the minute.
    pub scheduler_late: Span,
    /// Invocations that the event source mapping keeps running at once: where it starts, how many it adds each
    /// second while there is a backlog, and where it ends.
    pub pollers_start: f64,
    pub pollers_added: f64,
    pub pollers_max: f64,
    /// Concurrent executions of the account; adjustable.
    pub concurrency: f64,
    /// Messages of one batch.
    pub batch: usize,
    /// Messages received and neither deleted nor visible again.
    pub in_flight: usize,
    /// Write units of the table itself, and of each of its indexes: what it is warm for.
    pub table_writes: f64,
    pub index_writes: f64,
}

impl Quotas {
    /// A new account and a new table, nothing raised.
    pub fn new_account() -> Quotas {
        Quotas {
            scheduler: 1_000.0,
            scheduler_late: Span::from_secs(59),
            pollers_start: 5.0,
            pollers_added: 5.0,
            pollers_max: 1_250.0,
            concurrency: 1_000.0,
            batch: 10,
            in_flight: 120_000,
            table_writes: 4_000.0,
            index_writes: 4_000.0,
        }
    }

    /// Asked for and granted: the scheduler's rate, and a table warmed up to its default quota.
    pub fn raised() -> Quotas {
        Quotas {
            scheduler: 5_000.0,
            concurrency: 3_000.0,
            table_writes: 40_000.0,
            // Sixteen shards of one app, a thousand writes a second each.
            index_writes: 16_000.0,
            ..Quotas::new_account()
        }
    }

    /// The same, and pollers that wait for the instant instead of starting when it has come: 60 of ten
    /// invocations each.
    pub fn raised_with_pollers() -> Quotas {
        Quotas {
            pollers_start: 600.0,
            pollers_added: 1_000.0 / 60.0,
            pollers_max: 3_000.0,
            ..Quotas::raised()
        }
    }

    /// The same ratios for so much fewer callbacks.
    #[must_use]
    pub fn shrunk(self, by: f64) -> Quotas {
        Quotas {
            scheduler: self.scheduler / by,
            pollers_start: (self.pollers_start / by).max(1.0),
            pollers_added: self.pollers_added / by,
            pollers_max: self.pollers_max / by,
            concurrency: self.concurrency / by,
            in_flight: (self.in_flight as f64 / by) as usize,
            table_writes: self.table_writes / by,
            index_writes: self.index_writes / by,
            ..self
        }
    }

    /// The most invocations at once, whichever limit comes first.
    pub fn most_at_once(&self) -> f64 {
        self.pollers_max.min(self.concurrency)
    }
}

/// Fills at a rate, holds one second's worth at most; who comes waits for a turn.
pub struct Bucket {
    per_second: f64,
    /// When all that was taken so far has been filled in again.
    paid_until: Mutex<Instant>,
}

impl Bucket {
    pub fn new(per_second: f64, now: Instant) -> Bucket {
        Bucket { per_second, paid_until: Mutex::new(now) }
    }

    /// Takes so many and answers from when on they are one's own; `None`, and nothing taken, where that is more
    /// than `patience` away.
    pub fn take(&self, units: f64, now: Instant, patience: Duration) -> Option<Instant> {
        let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        let from = (*paid_until).max(now - Duration::from_secs(1));
        let until = from + Duration::from_secs_f64(units / self.per_second);
        if until > now + patience {
            return None;
        }
        *paid_until = until;
        Some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_gives_its_rate_and_a_second_ahead() {
        #[expect(clippy::disallowed_methods, reason = "the runtime's paused clock is the virtual one")]
        let now = Instant::now() + Duration::from_secs(10);
        let bucket = Bucket::new(100.0, now - Duration::from_secs(10));
        let never = Duration::from_secs(3600);
        let turns: Vec<_> = (0..300).filter_map(|_| bucket.take(1.0, now, never)).collect();
        assert_eq!(turns.iter().filter(|turn| **turn <= now).count(), 100);
        let last = turns.last().map(|turn| turn.duration_since(now).as_millis());
        assert!(last.is_some_and(|last| (1_990..=2_010).contains(&last)), "{last:?}");
        assert_eq!(bucket.take(1.0, now, Duration::from_millis(100)), None);
    }
}
