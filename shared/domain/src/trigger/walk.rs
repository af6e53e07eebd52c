//! The walk from one due instant of a wall-clock pattern to the next, through gaps and folds.
//!
//! Each pass of the clock maps wall times to instants without ever going back: taking the first of every
//! repeated wall time is one such mapping, taking the second is the other. So a policy is the merge of one
//! or two of them, and "strictly later" holds by itself.

use super::zone::{self, DstFold, DstGap, DstNote, DstPolicy, Local, Resolved};
use crate::time::Timestamp;
use chrono::{NaiveDateTime, TimeDelta};
use chrono_tz::Tz;

/// No wall time is looked for after this year.
pub(super) const LAST_YEAR: i32 = 9999;

/// A set of wall times.
pub(super) trait WallPattern {
    /// The first of them that is not before `from`, to the millisecond; none after [`LAST_YEAR`].
    fn at_or_after(&self, from: NaiveDateTime) -> Option<NaiveDateTime>;
}

/// The first instant later than `after` that `pattern` names in `zone`.
pub(super) fn next_after(
    pattern: &impl WallPattern,
    zone: Tz,
    dst: DstPolicy,
    after: Timestamp,
) -> Option<Timestamp> {
    let found = match dst.fold {
        DstFold::First => next_in_pass(pattern, zone, dst.gap, Pass::First, after),
        DstFold::Second => next_in_pass(pattern, zone, dst.gap, Pass::Second, after),
        DstFold::Both => {
            let first = next_in_pass(pattern, zone, dst.gap, Pass::First, after);
            let second = next_in_pass(pattern, zone, dst.gap, Pass::Second, after);
            first.into_iter().chain(second).min()
        }
    };
    found.filter(|at| *at <= Timestamp::MAX)
}

/// `at`, which `pattern` named, as the clock shows it.
pub(super) fn explain(pattern: &impl WallPattern, zone: Tz, at: Timestamp) -> Local {
    let mut local = zone::local(zone, at);
    let matches = pattern.at_or_after(local.wall) == Some(local.wall);
    if !matches && let Some(gap) = zone::gap_ending_at(zone, at) {
        let swallowed = pattern.at_or_after(gap.begin).is_some_and(|wall| wall < gap.end);
        local.note = swallowed.then_some(DstNote::ShiftedFromGap);
    }
    local
}

/// Which instant of a repeated wall time counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    First,
    Second,
}

fn next_in_pass(
    pattern: &impl WallPattern,
    zone: Tz,
    gap_policy: DstGap,
    pass: Pass,
    after: Timestamp,
) -> Option<Timestamp> {
    let wall = zone::wall_time(zone, after);
    let mut from = match zone::resolve(zone, wall) {
        // All of the fold's second pass still lies ahead.
        Resolved::Twice(fold) if pass == Pass::Second && fold.first == after => fold.begin,
        _ => wall + TimeDelta::milliseconds(1),
    };
    loop {
        let wall = pattern.at_or_after(from)?;
        // Each turn either answers or leaves a whole fold or gap behind; a zone has at most a few hundred.
        let (at, passed) = match zone::resolve(zone, wall) {
            Resolved::Once(at) => (at, wall + TimeDelta::milliseconds(1)),
            Resolved::Twice(fold) if pass == Pass::First => (fold.first, fold.end),
            Resolved::Twice(fold) => (fold.second, fold.end),
            Resolved::Never(gap) if gap_policy == DstGap::Shift => (gap.ends_at, gap.end),
            Resolved::Never(gap) => {
                from = gap.end;
                continue;
            }
        };
        if at > after {
            return Some(at);
        }
        from = passed;
    }
}
