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

#[cfg(test)]
mod tests {
    use super::super::{Cron, DstFold, DstGap, DstNote, DstPolicy, Trigger, parse_zone};
    use crate::time::Timestamp;

    /// The instants of one local day and a bit, on the wall, with their notes.
    fn shown(
        expression: &str,
        zone: &str,
        gap: DstGap,
        fold: DstFold,
        after: &str,
        until: &str,
    ) -> Vec<String> {
        let zone = parse_zone(zone).expect("a zone");
        let trigger = Trigger::Cron(Cron::new(expression, zone, None, None).expect("valid"));
        let rule = trigger.rule(DstPolicy { gap, fold }).expect("valid");
        let parse = |text| Timestamp::parse_rfc3339(text).expect("RFC 3339");
        let mut cursor = parse(after);
        let mut found = Vec::new();
        while let Some(at) = rule.next_after(cursor).filter(|at| *at <= parse(until)) {
            let local = rule.explain(at);
            let note = match local.note {
                None => "",
                Some(DstNote::ShiftedFromGap) => " shifted",
                Some(DstNote::FirstOfFold) => " first",
                Some(DstNote::SecondOfFold) => " second",
            };
            found.push(format!("{}{note}", &local.to_string()[8..16]));
            cursor = at;
        }
        found
    }

    const SPRING: (&str, &str) = ("2026-03-29T00:00:00+01:00", "2026-03-29T05:00:00+02:00");
    const AUTUMN: (&str, &str) = ("2026-10-25T00:00:00+02:00", "2026-10-25T05:00:00+01:00");

    #[test]
    fn wall_times_shifted_out_of_a_gap_fire_once() {
        let madrid =
            |expression, gap| shown(expression, "Europe/Madrid", gap, DstFold::First, SPRING.0, SPRING.1);
        assert_eq!(madrid("30 2 * * *", DstGap::Shift), ["29T03:00 shifted"]);
        assert_eq!(madrid("30 2 * * *", DstGap::Skip), [""; 0]);
        assert_eq!(madrid("*/20 2 * * *", DstGap::Shift), ["29T03:00 shifted"]);
        // 03:00 is due by itself: nothing was shifted that would not have fired.
        assert_eq!(madrid("0,30 2,3 * * *", DstGap::Shift), ["29T03:00", "29T03:30"]);
    }

    #[test]
    fn a_repeated_wall_time_fires_as_the_policy_says() {
        let madrid = |fold| shown("30 1,2,3 * * *", "Europe/Madrid", DstGap::Shift, fold, AUTUMN.0, AUTUMN.1);
        assert_eq!(madrid(DstFold::First), ["25T01:30", "25T02:30 first", "25T03:30"]);
        assert_eq!(madrid(DstFold::Second), ["25T01:30", "25T02:30 second", "25T03:30"]);
        assert_eq!(madrid(DstFold::Both), ["25T01:30", "25T02:30 first", "25T02:30 second", "25T03:30"]);
    }

    #[test]
    fn both_runs_through_the_whole_first_pass_before_the_second() {
        let found = shown("0,30 2 * * *", "Europe/Madrid", DstGap::Shift, DstFold::Both, AUTUMN.0, AUTUMN.1);
        assert_eq!(found, ["25T02:00 first", "25T02:30 first", "25T02:00 second", "25T02:30 second"]);
    }

    #[test]
    fn hours_that_begin_with_a_star_follow_the_time_that_passes() {
        // Whatever the policy says.
        let (gap, fold) = (DstGap::Shift, DstFold::First);
        assert_eq!(
            shown(
                "30 * * * *",
                "Europe/Madrid",
                gap,
                fold,
                "2026-10-25T01:00:00+02:00",
                "2026-10-25T04:00:00+01:00"
            ),
            ["25T01:30", "25T02:30 first", "25T02:30 second", "25T03:30"]
        );
        assert_eq!(
            shown("30 */2 * * *", "Europe/Madrid", gap, fold, SPRING.0, SPRING.1),
            ["29T00:30", "29T04:30"]
        );
    }

    #[test]
    fn a_day_that_a_zone_skipped_shifts_to_the_next_midnight() {
        let found = shown(
            "0 9 * * *",
            "Pacific/Apia",
            DstGap::Shift,
            DstFold::First,
            "2011-12-29T00:00:00-10:00",
            "2011-12-31T12:00:00+14:00",
        );
        assert_eq!(found, ["29T09:00", "31T00:00 shifted", "31T09:00"]);
    }
}
