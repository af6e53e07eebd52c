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
        if self.time.nanosecond() >= 1_000_000_000 || !self.time.nanosecond().is_multiple_of(1_000_000) {
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

#[cfg(test)]
mod tests {
    use super::super::{DstPolicy, Trigger};
    use super::*;
    use chrono::Weekday;
    use chrono_tz::{America::New_York, Europe::Madrid, UTC};

    fn rule(start: &str, end: &str, time: &str, unit: PeriodUnit, frequency: u16) -> Periodical {
        let wall = |text: &str| text.parse::<NaiveDateTime>().expect("a wall time");
        Periodical {
            start: wall(start),
            end: Some(wall(end)),
            time: time.parse().expect("a time of day"),
            unit,
            frequency,
            zone: UTC,
        }
    }

    fn due(periodical: Periodical) -> Vec<String> {
        let rule = Trigger::Periodical(periodical).rule(DstPolicy::default()).expect("valid");
        std::iter::successors(rule.next_after(Timestamp::EPOCH), |at| rule.next_after(*at))
            .map(|at| at.to_string()[..16].to_owned())
            .collect()
    }

    #[test]
    fn the_first_time_at_or_after_the_start_and_the_end_are_included() {
        let days = rule("2026-12-01T09:00:00", "2026-12-03T09:00:00", "09:00:00", PeriodUnit::Day, 1);
        assert_eq!(due(days), ["2026-12-01T09:00", "2026-12-02T09:00", "2026-12-03T09:00"]);
        let later = rule("2026-12-01T09:00:01", "2026-12-03T08:59:59", "09:00:00", PeriodUnit::Day, 1);
        assert_eq!(due(later), ["2026-12-02T09:00"]);
    }

    #[test]
    fn every_other_day_counts_from_the_day_of_the_start_even_where_its_time_has_passed() {
        let days = rule("2026-12-01T10:00:00", "2026-12-06T00:00:00", "09:00:00", PeriodUnit::Day, 2);
        assert_eq!(due(days), ["2026-12-03T09:00", "2026-12-05T09:00"]);
    }

    #[test]
    fn weeks_begin_on_monday() {
        // 2026-12-02 is a Wednesday: its own week counts from Monday the 30th, so the Sunday after still belongs to it.
        let days = [Weekday::Mon, Weekday::Sun].into_iter().collect();
        let weeks = rule("2026-12-02T00:00:00", "2026-12-31T00:00:00", "09:00:00", PeriodUnit::Week(days), 2);
        assert_eq!(
            due(weeks),
            ["2026-12-06T09:00", "2026-12-14T09:00", "2026-12-20T09:00", "2026-12-28T09:00"]
        );
    }

    #[test]
    fn a_day_that_a_month_lacks_is_skipped() {
        let days = MonthDays::new([30, 31]).expect("days");
        let months =
            rule("2027-01-31T00:00:00", "2027-05-01T00:00:00", "09:00:00", PeriodUnit::Month(days), 1);
        assert_eq!(
            due(months.clone()),
            ["2027-01-31T09:00", "2027-03-30T09:00", "2027-03-31T09:00", "2027-04-30T09:00"]
        );
        assert_eq!(due(Periodical { frequency: 3, ..months }), ["2027-01-31T09:00", "2027-04-30T09:00"]);
    }

    #[test]
    fn another_zone_reads_the_same_wall_times() {
        let days = rule("2026-12-01T09:00:00", "2026-12-01T09:00:00", "09:00:00", PeriodUnit::Day, 1);
        assert_eq!(due(days.in_zone(Madrid)), ["2026-12-01T08:00"]);
        assert_eq!(due(days.in_zone(New_York)), ["2026-12-01T14:00"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let good = rule("2026-02-01T00:00:00", "2027-01-01T00:00:00", "09:00:00", PeriodUnit::Day, 1);
        let month = |day| PeriodUnit::Month(MonthDays::new(day).expect("days"));
        for (wrong, field) in [
            (Periodical { frequency: 0, ..good.clone() }, "frequency"),
            (Periodical { frequency: 101, ..good.clone() }, "frequency"),
            (Periodical { unit: PeriodUnit::Week(Weekdays::default()), ..good.clone() }, "points"),
            (Periodical { unit: PeriodUnit::Month(MonthDays::default()), ..good.clone() }, "points"),
            (Periodical { unit: month(vec![30]), frequency: 12, ..good.clone() }, "points"),
            (Periodical { end: Some(good.start - chrono::TimeDelta::seconds(1)), ..good.clone() }, "end"),
            (
                Periodical { start: "1969-12-31T00:00:00".parse().expect("a wall time"), ..good.clone() },
                "start",
            ),
            (
                Periodical {
                    time: NaiveTime::from_hms_nano_opt(9, 0, 0, 5).expect("a time"),
                    ..good.clone()
                },
                "time",
            ),
        ] {
            assert_eq!(wrong.check().map_err(|wrong| wrong.field()), Err(field));
        }
        let leap = Periodical { unit: month(vec![29]), frequency: 12, end: None, ..good };
        let rule = Trigger::Periodical(leap).rule(DstPolicy::default()).expect("some years have it");
        assert_eq!(
            rule.next_after(Timestamp::EPOCH).map(|at| at.to_string()),
            Some("2028-02-29T09:00:00.000Z".to_owned())
        );
    }

    #[test]
    fn it_is_stored_readably() {
        let weeks = rule(
            "2026-12-02T00:00:00",
            "2026-12-31T00:00:00",
            "09:00:00",
            PeriodUnit::Week([Weekday::Mon].into_iter().collect()),
            2,
        );
        let json = serde_json::to_string(&Trigger::Periodical(weeks.clone())).expect("JSON");
        assert_eq!(
            json,
            r#"{"periodical":{"start":"2026-12-02T00:00:00","end":"2026-12-31T00:00:00","time":"09:00:00","unit":{"week":["mon"]},"frequency":2,"time_zone":"UTC"}}"#
        );
        assert_eq!(serde_json::from_str::<Trigger>(&json).expect("stored form"), Trigger::Periodical(weeks));
    }
}
