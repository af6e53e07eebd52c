//! How a schedule wants to be treated: timeouts, retries, what was missed, what overlaps.

use crate::{time::Span, trigger::DstPolicy};
use serde::{Deserialize, Serialize};
use url::Url;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// From the start of the connection to the last byte of the answer.
    pub timeout: Span,
    pub retry: RetryPolicy,
    /// Told by POST when an execution has failed for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<Url>,
}

impl Delivery {
    pub const DEFAULT_TIMEOUT: Span = Span::from_secs(10);
    pub const MIN_TIMEOUT: Span = Span::from_millis(100);
    /// Part of the chain of timeouts: hold + attempt < lease < function < visibility.
    pub const MAX_TIMEOUT: Span = Span::from_secs(60);
}

impl Default for Delivery {
    fn default() -> Self {
        Delivery { timeout: Self::DEFAULT_TIMEOUT, retry: RetryPolicy::default(), on_failure: None }
    }
}

/// Attempt k+1 follows attempt k after `initial * factor^(k-1)`, at most `max_interval`, within ±20 %,
/// until `max_attempts` are used up or `max_age` after the due instant has passed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    pub max_attempts: u16,
    pub initial: Span,
    pub factor: f64,
    pub max_interval: Span,
    pub max_age: Span,
}

impl RetryPolicy {
    pub const MAX_ATTEMPTS: u16 = 100;
    /// One attempt and no more: what the recurring-callback contract gives unless asked otherwise.
    pub const ONCE: RetryPolicy = RetryPolicy { max_attempts: 1, ..Self::STANDARD };
    pub const STANDARD: RetryPolicy = RetryPolicy {
        max_attempts: 5,
        initial: Span::from_secs(5),
        factor: 2.0,
        max_interval: Span::from_secs(3600),
        max_age: Span::from_secs(24 * 3600),
    };
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::STANDARD
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// None: `all` where occurrences are limited, `latest` otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<Missed>,
    /// What is later than this never fires; none: 24 h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_lateness: Option<Span>,
    #[serde(default)]
    pub overlap: Overlap,
    #[serde(default)]
    pub dst: DstPolicy,
    /// The window in which the id's hash places the schedule.
    #[serde(default)]
    pub spread: Span,
}

impl Policy {
    pub const DEFAULT_MAX_LATENESS: Span = Span::from_secs(24 * 3600);
    pub const MAX_SPREAD: Span = Span::from_secs(24 * 3600);

    pub fn max_lateness(&self) -> Span {
        self.max_lateness.unwrap_or(Self::DEFAULT_MAX_LATENESS)
    }

    pub fn missed(&self, limited: bool) -> Missed {
        self.missed.unwrap_or(if limited { Missed::All } else { Missed::Latest })
    }
}

/// What becomes of occurrences that were due while the service was away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    All,
    Latest,
    None,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    #[default]
    Allow,
    /// An occurrence that comes due while an earlier one runs or waits for a retry is recorded as `skipped`.
    Skip,
}
