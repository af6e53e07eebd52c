//! When callbacks came, against when they were due, by the receiver's own clock and not by what the service says.

use crate::receiver::Received;
use chrono::{DateTime, Utc};
use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Instant, SystemTime},
};

/// Lateness of many callbacks, in ms; negative where one was early.
#[derive(Debug, Default)]
pub struct Ledger {
    lateness: Mutex<Vec<(f64, String)>>,
}

impl Ledger {
    /// Takes first attempts as they came in.
    pub fn note(&self, what: &str, received: &[Received]) {
        let mut lateness = self.lateness.lock().unwrap_or_else(PoisonError::into_inner);
        let first = received.iter().filter(|callback| callback.header("rondo-attempt") == "1");
        lateness.extend(first.map(|callback| {
            let number = callback.header("rondo-occurrence");
            (lateness_ms(callback), format!("{what}, occurrence {number}"))
        }));
    }

    pub fn read(&self) -> Lateness {
        let mut sorted = self.lateness.lock().unwrap_or_else(PoisonError::into_inner).clone();
        sorted.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        Lateness { sorted }
    }
}

/// From the due instant to the arrival of the whole request.
fn lateness_ms(callback: &Received) -> f64 {
    let due: DateTime<Utc> = callback.header("rondo-due-at").parse().expect("an instant");
    let arrived: DateTime<Utc> = instant_of(callback.at).into();
    (arrived - due).num_microseconds().map_or(f64::INFINITY, |micros| micros as f64 / 1000.0)
}

#[expect(clippy::disallowed_methods, reason = "a real service is measured against the real clock")]
fn instant_of(at: Instant) -> SystemTime {
    SystemTime::now() - at.elapsed()
}

pub struct Lateness {
    sorted: Vec<(f64, String)>,
}

impl Lateness {
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The smallest value that so many hundredths of all values do not exceed.
    pub fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.sorted.len() * percent).div_ceil(100).max(1);
        self.sorted.get(rank - 1).map_or(f64::NAN, |(lateness, _)| *lateness)
    }

    pub fn early(&self) -> usize {
        self.sorted.iter().take_while(|(lateness, _)| *lateness < 0.0).count()
    }

    /// The latest ones, the last of them the latest.
    pub fn latest(&self, count: usize) -> &[(f64, String)] {
        &self.sorted[self.sorted.len().saturating_sub(count)..]
    }
}

impl fmt::Display for Lateness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p90, p99, max] = [50, 90, 99, 100].map(|percent| self.percentile(percent));
        let (count, early) = (self.count(), self.early());
        write!(
            f,
            "{count} callbacks, {early} early; lateness p50 {p50:.1} ms, p90 {p90:.1} ms, p99 {p99:.1} ms, max {max:.1} ms"
        )
    }
}
