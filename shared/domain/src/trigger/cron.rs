//! Cron expressions. `croner` reads the day fields and says which days match; the walk over days and times
//! and everything about daylight saving is Rondo's own.

use super::{
    TriggerError,
    cron_text::{self, Fields},
    walk::{self, LAST_YEAR, WallPattern},
    zone::{DstFold, DstGap, DstPolicy, Local},
};
use crate::time::Timestamp;
use chrono::{Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike as _};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};
use serde::{Deserialize, Serialize};

/// Due whenever the clock of `zone` matches `expression`, from `start` to `end` inclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cron {
    /// Five fields (minute, hour, day of month, month, day of week), six with seconds first, or a nickname
    /// such as `@daily`. Kept as it was given.
    pub expression: String,
    #[serde(rename = "time_zone")]
    pub zone: Tz,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
}

impl Cron {
    /// Checks everything that [`Trigger::rule`](super::Trigger::rule) would.
    pub fn new(
        expression: impl Into<String>,
        zone: Tz,
        start: Option<Timestamp>,
        end: Option<Timestamp>,
    ) -> Result<Self, TriggerError> {
        let cron = Cron { expression: expression.into(), zone, start, end };
        Compiled::new(&cron, DstPolicy::default())?;
        Ok(cron)
    }
}

/// A parsed expression with its zone, bounds and policy.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    times: WallTimes,
    zone: Tz,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    dst: DstPolicy,
}

/// The wall times that an expression matches.
#[derive(Clone, Debug)]
struct WallTimes {
    days: Box<croner::CronPattern>,
    /// Bit n: the number n matches.
    months: u64,
    hours: u64,
    minutes: u64,
    seconds: u64,
}

impl Compiled {
    pub fn new(cron: &Cron, dst: DstPolicy) -> Result<Self, TriggerError> {
        if matches!((cron.start, cron.end), (Some(start), Some(end)) if end < start) {
            return Err(TriggerError::EndBeforeStart);
        }
        let fields = cron_text::read(&cron.expression).map_err(TriggerError::Expression)?;
        let times = WallTimes::new(&fields)?;
        if !times.matches_some_day() {
            return Err(TriggerError::NeverMatches(cron.expression.clone()));
        }
        // As in Vixie cron: who says "every hour", or "every second hour", means time as it passes.
        let dst =
            if fields.every_hour() { DstPolicy { gap: DstGap::Skip, fold: DstFold::Both } } else { dst };
        Ok(Compiled { times, zone: cron.zone, start: cron.start, end: cron.end, dst })
    }

    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let after = match self.start {
            Some(start) => after.max(Timestamp::from_millis(start.millis().saturating_sub(1))),
            None => after,
        };
        walk::next_after(&self.times, self.zone, self.dst, after)
            .filter(|at| self.end.is_none_or(|end| *at <= end))
    }

    pub fn explain(&self, at: Timestamp) -> Local {
        walk::explain(&self.times, self.zone, at)
    }
}

impl WallTimes {
    fn new(fields: &Fields) -> Result<Self, TriggerError> {
        let parsed = CronParser::builder()
            .seconds(Seconds::Required)
            .year(Year::Disallowed)
            .dom_and_dow(fields.both_days_must_match())
            .alternative_weekdays(false)
            .sloppy_ranges(false)
            .build()
            .parse(&fields.to_string())
            .map_err(|wrong| TriggerError::Expression(wrong.to_string()))?;
        let pattern = parsed.pattern;
        let bits = |component: &croner::CronComponent| {
            component.values().into_iter().fold(0u64, |set, value| set | 1 << value)
        };
        Ok(WallTimes {
            months: bits(&pattern.months),
            hours: bits(&pattern.hours),
            minutes: bits(&pattern.minutes),
            seconds: bits(&pattern.seconds),
            days: Box::new(pattern),
        })
    }

    /// Any 28 years of which none is a century hold every kind of year: leap or not, begun on each weekday.
    fn matches_some_day(&self) -> bool {
        let first = NaiveDate::from_ymd_opt(2001, 1, 1);
        self.hours != 0
            && self.minutes != 0
            && self.seconds != 0
            && first.and_then(|first| self.day_at_or_after(first, 2028)).is_some()
    }

    fn day_at_or_after(&self, mut date: NaiveDate, last_year: i32) -> Option<NaiveDate> {
        while date.year() <= last_year {
            if self.months & (1 << date.month()) == 0 {
                let (year, month) =
                    if date.month() == 12 { (date.year() + 1, 1) } else { (date.year(), date.month() + 1) };
                date = NaiveDate::from_ymd_opt(year, month, 1)?;
                continue;
            }
            let weekday = croner::Weekday::from_days_from_sunday(date.weekday().num_days_from_sunday());
            if self.days.day_match(date.year(), date.month(), date.day(), weekday).unwrap_or(false) {
                return Some(date);
            }
            date = date.succ_opt()?;
        }
        None
    }

    /// The first matching time of day at or after the given one, which is of whole seconds.
    fn time_at_or_after(&self, from: NaiveTime) -> Option<NaiveTime> {
        let (hour, minute, second) = (from.hour(), from.minute(), from.second());
        let (first_minute, first_second) = (next_bit(self.minutes, 0)?, next_bit(self.seconds, 0)?);
        if self.hours & (1 << hour) != 0 {
            if self.minutes & (1 << minute) != 0
                && let Some(second) = next_bit(self.seconds, second)
            {
                return NaiveTime::from_hms_opt(hour, minute, second);
            }
            if let Some(minute) = next_bit(self.minutes, minute + 1) {
                return NaiveTime::from_hms_opt(hour, minute, first_second);
            }
        }
        NaiveTime::from_hms_opt(next_bit(self.hours, hour + 1)?, first_minute, first_second)
    }
}

/// The lowest set bit that is not below `from`.
fn next_bit(set: u64, from: u32) -> Option<u32> {
    let left = set.checked_shr(from)?;
    (left != 0).then(|| from + left.trailing_zeros())
}

impl WallPattern for WallTimes {
    fn at_or_after(&self, from: NaiveDateTime) -> Option<NaiveDateTime> {
        let whole = from.with_nanosecond(0)?;
        let from = if whole < from { whole + TimeDelta::seconds(1) } else { whole };
        let date = self.day_at_or_after(from.date(), LAST_YEAR)?;
        if date == from.date()
            && let Some(time) = self.time_at_or_after(from.time())
        {
            return Some(date.and_time(time));
        }
        let date =
            if date == from.date() { self.day_at_or_after(date.succ_opt()?, LAST_YEAR)? } else { date };
        Some(date.and_time(self.time_at_or_after(NaiveTime::MIN)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::{Europe::Madrid, UTC};
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).expect("RFC 3339")
    }

    /// The next `count` instants in UTC, as text.
    fn next(expression: &str, zone: Tz, after: &str, count: usize) -> Vec<String> {
        let cron = Cron::new(expression, zone, None, None).expect("valid");
        let compiled = Compiled::new(&cron, DstPolicy::default()).expect("valid");
        let mut cursor = at(after);
        let mut found = Vec::new();
        while let Some(due) = compiled.next_after(cursor).filter(|_| found.len() < count) {
            found.push(due.to_string()[..16].to_owned());
            cursor = due;
        }
        found
    }

    #[test]
    fn either_day_matches_where_both_are_restricted() {
        let either = ["2026-11-01T00:00", "2026-11-06T00:00", "2026-11-13T00:00"];
        assert_eq!(
            next("0 0 13 * FRI", UTC, "2026-10-31T12:00:00Z", 3),
            ["2026-11-06T00:00", "2026-11-13T00:00", "2026-11-20T00:00"]
        );
        assert_eq!(next("0 0 1 * FRI", UTC, "2026-10-31T12:00:00Z", 3), either);
        assert_eq!(
            next("0 0 1 * 5#2", UTC, "2026-10-31T12:00:00Z", 3),
            ["2026-11-01T00:00", "2026-11-13T00:00", "2026-12-01T00:00"]
        );
        // Both: by `+`, and as in Vixie cron where one begins with `*`.
        assert_eq!(
            next("0 0 13 * +FRI", UTC, "2026-10-31T12:00:00Z", 2),
            ["2026-11-13T00:00", "2027-08-13T00:00"]
        );
        assert_eq!(
            next("0 0 */2 * FRI", UTC, "2026-10-31T12:00:00Z", 2),
            ["2026-11-13T00:00", "2026-11-27T00:00"]
        );
    }

    #[test]
    fn sunday_is_0_and_7() {
        let sundays = ["2026-11-01T09:00", "2026-11-08T09:00"];
        assert_eq!(next("0 9 * * 0", UTC, "2026-10-31T12:00:00Z", 2), sundays);
        assert_eq!(next("0 9 * * 7", UTC, "2026-10-31T12:00:00Z", 2), sundays);
        assert_eq!(next("0 9 * * SUN", UTC, "2026-10-31T12:00:00Z", 2), sundays);
    }

    #[test]
    fn an_instant_between_two_seconds_is_later_than_the_first() {
        let compiled = Compiled::new(
            &Cron::new("* * * * * *", Madrid, None, None).expect("valid"),
            DstPolicy::default(),
        )
        .expect("valid");
        let second = at("2026-12-01T08:00:00Z");
        assert_eq!(compiled.next_after(Timestamp::from_millis(second.millis() - 1)), Some(second));
        assert_eq!(
            compiled.next_after(Timestamp::from_millis(second.millis() + 1)),
            Some(at("2026-12-01T08:00:01Z"))
        );
        assert_eq!(compiled.next_after(Timestamp::from_millis(-1)), Some(Timestamp::EPOCH));
    }

    #[test]
    fn start_and_end_are_included() {
        let (start, end) = (at("2026-12-01T08:00:00Z"), at("2026-12-01T10:00:00Z"));
        let cron = Cron::new("0 * * * *", UTC, Some(start), Some(end)).expect("valid");
        let compiled = Compiled::new(&cron, DstPolicy::default()).expect("valid");
        assert_eq!(compiled.next_after(Timestamp::EPOCH), Some(start));
        assert_eq!(compiled.next_after(at("2026-12-01T09:00:00Z")), Some(end));
        assert_eq!(compiled.next_after(end), None);
        assert_eq!(Cron::new("0 * * * *", UTC, Some(end), Some(start)), Err(TriggerError::EndBeforeStart));
    }

    #[test]
    fn what_never_matches_is_refused() {
        // The day search is exact and bounded: 28 years of days at most, in whatever build.
        for never in ["0 0 31 2 *", "0 0 30 FEB *", "0 0 31 4,6,9,11 *", "0 0 1 * +MON#2", "0 0 30W 2 *"] {
            let wrong = Cron::new(never, UTC, None, None).expect_err(never);
            assert_eq!(
                (wrong.clone(), wrong.field()),
                (TriggerError::NeverMatches(never.to_owned()), "expression")
            );
        }
        assert_eq!(next("0 0 29 2 *", UTC, "2096-03-01T00:00:00Z", 1), ["2104-02-29T00:00"]);
        assert_eq!(next("0 0 29 2 +MON", UTC, "2090-01-01T00:00:00Z", 1), ["2112-02-29T00:00"]);
    }

    #[test]
    fn it_ends_with_the_year_9999() {
        assert_eq!(next("0 0 1 1 *", UTC, "9998-06-01T00:00:00Z", 5), ["9999-01-01T00:00"]);
        assert_eq!(
            next("59 23 31 12 *", chrono_tz::Pacific::Honolulu, "9998-12-31T12:00:00Z", 5),
            ["9999-01-01T09:59"]
        );
    }

    #[test]
    fn it_is_stored_as_it_was_given() {
        let cron = Cron::new("@Daily", Madrid, None, None).expect("valid");
        let json = serde_json::to_string(&cron).expect("JSON");
        assert_eq!(json, r#"{"expression":"@Daily","time_zone":"Europe/Madrid"}"#);
        assert_eq!(serde_json::from_str::<Cron>(&json).expect("stored form"), cron);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,20}|([0-9*/,#LW+?-]{1,5} ){4}[0-9A-Z*/,#L+?-]{1,5}") {
            let _ = Cron::new(text, UTC, None, None);
        }
    }
}
