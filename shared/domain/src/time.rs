//! Instants and spans, to the millisecond. Nothing here reads a clock.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An instant in UTC: milliseconds since the Unix epoch. Stored as that number; shown as RFC 3339.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 9999-12-31T23:59:59.999Z, the last instant that RFC 3339 can write.
    pub const MAX: Timestamp = Timestamp(253_402_300_799_999);
    pub const EPOCH: Timestamp = Timestamp(0);

    pub const fn from_millis(millis: i64) -> Self {
        Timestamp(millis)
    }

    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How long after `earlier` this is; zero where it is not after it.
    pub fn since(self, earlier: Timestamp) -> Span {
        Span(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    #[must_use]
    pub fn plus(self, span: Span) -> Self {
        Timestamp(self.0.saturating_add(i64::try_from(span.0).unwrap_or(i64::MAX))).min(Self::MAX)
    }

    #[must_use]
    pub fn minus(self, span: Span) -> Self {
        Timestamp(self.0.saturating_sub(i64::try_from(span.0).unwrap_or(i64::MAX)))
    }

    pub fn from_utc(at: DateTime<Utc>) -> Self {
        Timestamp(at.timestamp_millis())
    }

    /// The same instant for the calendar library; out-of-range values are clamped to [`Timestamp::MAX`].
    pub fn utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0.clamp(-62_135_596_800_000, Self::MAX.0)).unwrap_or_default()
    }

    /// Any RFC 3339 instant, with its offset; fractions finer than a millisecond are cut off.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc3339(text).ok().map(|at| Self::from_utc(at.to_utc()))
    }
}

/// RFC 3339 in UTC, to the millisecond: `2026-12-01T08:00:00.000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.utc().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

/// A length of time in milliseconds. How people write one is the business of `span_text`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(u64);

impl Span {
    pub const ZERO: Span = Span(0);

    pub const fn from_millis(millis: u64) -> Self {
        Span(millis)
    }

    pub const fn from_secs(seconds: u64) -> Self {
        Span(seconds.saturating_mul(1000))
    }

    pub const fn millis(self) -> u64 {
        self.0
    }

    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub const fn times(self, factor: u64) -> Self {
        Span(self.0.saturating_mul(factor))
    }

    pub const fn std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}
