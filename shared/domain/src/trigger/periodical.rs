//! Every n-th day, week or month at one time of day, between two wall times.

use super::{
    MAX_FREQUENCY, MonthDays, TriggerError, Weekdays,
    walk::{self, LAST_YEAR, WallPattern},
    zone::{DstPolicy, Local},
};
use crate::time::Timestamp;
use chrono::{Datelike as _, Days, NaiveDate, NaiveDateTime, NaiveTime, Timelike as _};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// Due at `time` on the days that `unit` names, in every `frequency`-th day, week or month counted from the
/// one that holds `start`; from the first `time` at or after `start`, up to and including `end`. Weeks begin
/// on Monday. A day that a month lacks is skipped, never clamped.
///
/// Start and end are wall times, like `time`: so the same rule can be read in another zone ([`in_zone`]).
///
/// [`in_zone`]: Periodical::in_zone
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Periodical {
    pub start: NaiveDateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<NaiveDateTime>,
    /// To the millisecond.
    pub time: NaiveTime,
    pub unit: PeriodUnit,
    /// 1 to [`MAX_FREQUENCY`].
    #[serde(default = "every_one")]
    pub frequency: u16,
    #[serde(rename = "time_zone")]
    pub zone: Tz,
}

fn every_one() -> u16 {
    1
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeriodUnit {
    Day,
    Week(Weekdays),
    Month(MonthDays),
}

impl Periodical {
    /// The same wall times in another zone.
    #[must_use]
    pub fn in_zone(&self, zone: Tz) -> Periodical {
        Periodical { zone, ..self.clone() }
    }

    /// Whether [`Trigger::rule`](super::Trigger::rule) would take it. That something is due between start
    /// and end is not asked here.
    pub fn check(&self) -> Result<(), TriggerError> {
        let years = 1970..=LAST_YEAR;
        if !years.contains(&self.start.year()) {
            return Err(TriggerError::StartOutOfRange);
        }
        if self.end.is_some_and(|end| !years.contains(&end.year())) {
            return Err(TriggerError::EndOutOfRange);
        }
        if self.end.is_some_and(|end| end < self.start) {
            return Err(TriggerError::EndBeforeStart);
        }
        // From 1e9 ns on chrono means a leap second, which wall clocks do not show.
        if self.time.nanosecond() >= 1_000_000_000 || self.time.nanosecond() % 1_000_000 != 0 {
            return Err(TriggerError::Time);
        }
        if !(1..=MAX_FREQUENCY).contains(&self.frequency) {
            return Err(TriggerError::Frequency(self.frequency));
        }
        match self.unit {
            PeriodUnit::Week(days) if days.is_empty() => Err(TriggerError::NoWeekday),
            PeriodUnit::Month(days) if days.is_empty() => Err(TriggerError::NoMonthDay),
            // Say, the 30th of every twelfth month, counted from a February.
            PeriodUnit::Month(_) if self.day_at_or_after(self.start.date()).is_none() => {
                Err(TriggerError::NoSuchDay)
            }
            _ => Ok(()),
        }
    }

    /// The first day of the rule that is not before `date`, whatever the time of day and the end.
    fn day_at_or_after(&self, date: NaiveDate) -> Option<NaiveDate> {
        let anchor = self.start.date();
        let mut date = date.max(anchor);
        let step = i64::from(self.frequency);
        while date.year() <= LAST_YEAR {
            // How many units after the last counted one `date` lies; 0: its unit counts.
            let over = match self.unit {
                PeriodUnit::Day => (date - anchor).num_days().rem_euclid(step),
                PeriodUnit::Week(_) => ((monday(date)? - monday(anchor)?).num_days() / 7).rem_euclid(step),
                PeriodUnit::Month(_) => (month_number(date) - month_number(anchor)).rem_euclid(step),
            };
            let skip = if over == 0 { 0 } else { step - over };
            date = match self.unit {
                PeriodUnit::Day => {
                    return date
                        .checked_add_days(Days::new(skip as u64))
                        .filter(|date| date.year() <= LAST_YEAR);
                }
                PeriodUnit::Week(days) if skip == 0 && days.contains(date.weekday()) => {
                    return Some(date);
                }
                PeriodUnit::Month(days) if skip == 0 && days.contains(date.day()) => {
                    return Some(date);
                }
                _ if skip == 0 => date.succ_opt()?,
                PeriodUnit::Week(_) => monday(date)?.checked_add_days(Days::new(7 * skip as u64))?,
                PeriodUnit::Month(_) => first_of_month(month_number(date) + skip)?,
            };
        }
        None
    }
}

fn monday(date: NaiveDate) -> Option<NaiveDate> {
    date.checked_sub_days(Days::new(u64::from(date.weekday().num_days_from_monday())))
}

fn month_number(date: NaiveDate) -> i64 {
    i64::from(date.year()) * 12 + i64::from(date.month0())
}

fn first_of_month(number: i64) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(number.div_euclid(12) as i32, number.rem_euclid(12) as u32 + 1, 1)
}

impl WallPattern for Periodical {
    fn at_or_after(&self, from: NaiveDateTime) -> Option<NaiveDateTime> {
        let from = from.max(self.start);
        let late = from.time() > self.time;
        let date = if late { from.date().succ_opt()? } else { from.date() };
        let wall = self.day_at_or_after(date)?.and_time(self.time);
        (self.end.is_none_or(|end| wall <= end)).then_some(wall)
    }
}

/// A checked periodical trigger with its policy.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    periodical: Periodical,
    dst: DstPolicy,
}

impl Compiled {
    pub fn new(periodical: Periodical, dst: DstPolicy) -> Result<Self, TriggerError> {
        periodical.check()?;
        Ok(Compiled { periodical, dst })
    }

    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        walk::next_after(&self.periodical, self.periodical.zone, self.dst, after)
    }

    pub fn explain(&self, at: Timestamp) -> Local {
        walk::explain(&self.periodical, self.periodical.zone, at)
    }
}
