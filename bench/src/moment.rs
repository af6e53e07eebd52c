//! The real clock: what is measured here is real time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub fn micros() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

pub fn millis() -> i64 {
    micros() / 1000
}

/// Sleeps until the given microsecond of wall time, by the timers that anybody would use.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
pub async fn sleep_until(at: i64) {
    let ahead = Duration::from_micros((at - micros()).max(0) as u64);
    tokio::time::sleep_until(tokio::time::Instant::now() + ahead).await;
}
