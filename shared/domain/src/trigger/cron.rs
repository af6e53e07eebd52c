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
