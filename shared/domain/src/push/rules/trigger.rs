//! When a schedule pushes: `single`, `periodical` or `intelligent`, as the contract writes them, turned into
//! [`FanOut`]. All times are wall times without an offset: the app's, or each recipient's own.

use super::{
    Around,
    reading::{Fault, Object, Sort, quoted},
};
use crate::{
    time::{Span, Timestamp},
    trigger::{
        Backup, DstPolicy, FanOut, MAX_FREQUENCY, MonthDays, Occasion, PeriodUnit, Periodical, Times,
        Trigger, Weekdays, instant_of, wall_time,
    },
};
use chrono::{Months, NaiveDateTime, NaiveTime, TimeDelta};
use chrono_tz::Tz;
use serde_json::Value;

/// How far ahead a time may lie, and how long a window may last: a calendar year.
const YEAR: Months = Months::new(12);
/// No clock on a wall is further ahead of UTC than this.
const EAST: TimeDelta = TimeDelta::hours(14);
/// So many occasions are looked at for one that still has somebody to come. One that has begun may go on for a day.
const LOOKED_AT: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Single,
    Periodical,
    Intelligent,
}

impl Kind {
    pub const ALL: [Kind; 3] = [Kind::Single, Kind::Periodical, Kind::Intelligent];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Single => "single",
            Kind::Periodical => "periodical",
            Kind::Intelligent => "intelligent",
        }
    }

    /// Of a trigger that was read before.
    pub fn of(fan_out: &FanOut) -> Kind {
        match fan_out.times {
            Times::Single(_) => Kind::Single,
            Times::Periodical(_) => Kind::Periodical,
            Times::BestTime { .. } => Kind::Intelligent,
        }
    }
}

/// A trigger whose structure is sound; its times are still to be read.
pub(super) struct Shape<'v> {
    pub kind: Kind,
    /// Each where the recipient is; otherwise the app's zone counts for all.
    pub per_recipient: bool,
    inner: Object<'v>,
}

impl<'v> Shape<'v> {
    /// Of the member `trigger` of a schedule.
    pub fn of(trigger: &'v Value) -> Result<Self, Fault> {
        let object = Object::of(trigger, "trigger")?;
        let kinds = || Kind::ALL.map(Kind::as_str).join(", ");
        for name in object.members().keys() {
            if !Kind::ALL.iter().any(|kind| kind.as_str() == name) {
                let detail = format!("is unknown: trigger must have exactly one of {}", kinds());
                return Err(Fault::new(Sort::Unexpected, object.at(name), detail));
            }
        }
        let given: Vec<(Kind, &Value)> =
            Kind::ALL.into_iter().filter_map(|kind| Some((kind, object.get(kind.as_str())?))).collect();
        let [(kind, inner)] = given[..] else {
            return Err(Fault::new(
                Sort::Missing,
                "trigger",
                format!("must have exactly one of {}", kinds()),
            ));
        };
        let inner = Object::of(inner, object.at(kind.as_str()))?;
        // Whatever else it is, the contract takes it for the app's zone.
        let own_zone = inner.get("zone_type").and_then(Value::as_f64) == Some(2.0);
        Ok(Shape { kind, per_recipient: own_zone || kind == Kind::Intelligent, inner })
    }

    pub fn read(&self, around: &Around) -> Result<FanOut, Fault> {
        let times = match self.kind {
            Kind::Single => self.single(around)?,
            Kind::Periodical => self.periodical(around)?,
            Kind::Intelligent => self.intelligent(around)?,
        };
        let Around { zone, now, .. } = *around;
        let fan_out = FanOut { times, zone, per_recipient: self.per_recipient, from: now };
        if let Err(wrong) = Trigger::FanOut(fan_out.clone()).rule(DstPolicy::default()) {
            let field = if wrong.field() == "points" { "point" } else { wrong.field() };
            return Err(self.inner.wrong(field, wrong.to_string()));
        }
        if self.kind == Kind::Periodical {
            self.check_window(&fan_out, now)?;
        }
        Ok(fan_out)
    }

    fn single(&self, around: &Around) -> Result<Times, Fault> {
        let time = self.wall("time")?;
        self.check_ahead("time", time, around)?;
        Ok(Times::Single(time))
    }

    fn periodical(&self, around: &Around) -> Result<Times, Fault> {
        let inner = &self.inner;
        let (start, end) = (self.wall("start")?, self.wall("end")?);
        let text = inner.required_text("time")?;
        let time = time_of(text).ok_or_else(|| inner.wrong("time", wrong_time(text)))?;
        let unit = self.unit()?;
        let frequency = inner.whole("frequency", 1..=MAX_FREQUENCY.into())?.unwrap_or(1);
        if end <= start {
            return Err(inner.wrong("end", "must come after start"));
        }
        if self.is_over(end, around) {
            return Err(inner.wrong("end", "must not be in the past"));
        }
        if start.checked_add_months(YEAR).is_none_or(|last| last < end) {
            return Err(inner.wrong("end", "must come at most one year after start"));
        }
        let zone = around.zone;
        let frequency = u16::try_from(frequency).unwrap_or(MAX_FREQUENCY);
        Ok(Times::Periodical(Periodical { start, end: Some(end), time, unit, frequency, zone }))
    }

    fn unit(&self) -> Result<PeriodUnit, Fault> {
        let inner = &self.inner;
        let unit = inner.required_text("time_unit")?;
        let points = inner.texts("point")?.unwrap_or_default();
        match unit.to_ascii_lowercase().as_str() {
            "day" if points.is_empty() => Ok(PeriodUnit::Day),
            "day" => Err(inner.wrong("point", "must be left out, or be empty, where time_unit is day")),
            "week" => {
                let right = "must name at least one of MON, TUE, WED, THU, FRI, SAT, SUN";
                let day =
                    |point: &&str| Weekdays::parse_day(point).ok_or_else(|| self.wrong_point(right, point));
                let days: Weekdays = points.iter().map(day).collect::<Result<_, Fault>>()?;
                if days.is_empty() { Err(inner.wrong("point", right)) } else { Ok(PeriodUnit::Week(days)) }
            }
            "month" => {
                let right = "must name at least one day of the month, 01 to 31";
                let day = |point: &&str| month_day(point).ok_or_else(|| self.wrong_point(right, point));
                let days: Vec<u32> = points.iter().map(day).collect::<Result<_, Fault>>()?;
                let days = MonthDays::new(days).filter(|days| !days.is_empty());
                days.map(PeriodUnit::Month).ok_or_else(|| inner.wrong("point", right))
            }
            _ => Err(inner.wrong("time_unit", format!("must be day, week or month, not {}", quoted(unit)))),
        }
    }

    fn wrong_point(&self, right: &str, given: &str) -> Fault {
        self.inner.wrong("point", format!("{right}, not {}", quoted(given)))
    }

    fn intelligent(&self, around: &Around) -> Result<Times, Fault> {
        let inner = &self.inner;
        let text = inner.required_text("backup_time")?;
        let backup = if text == "now" {
            Backup::Now
        } else if let Some(time) = time_of(text) {
            Backup::Daily(time)
        } else if let Some(wall) = wall_of(text) {
            self.check_ahead("backup_time", wall, around)?;
            Backup::At(wall)
        } else {
            let detail = format!(
                "must be now, a time such as \"2030-12-01 09:00:00\", or a time of day such as \"09:00:00\", not {}",
                quoted(text)
            );
            return Err(inner.wrong("backup_time", detail));
        };
        Ok(Times::BestTime { start: around.now, backup })
    }

    fn wall(&self, name: &str) -> Result<NaiveDateTime, Fault> {
        let text = self.inner.required_text(name)?;
        wall_of(text).ok_or_else(|| {
            let detail = format!(
                "must be a date and time that exist, written yyyy-MM-dd HH:mm:ss such as \"2030-12-01 09:00:00\", not {}",
                quoted(text)
            );
            self.inner.wrong(name, detail)
        })
    }

    /// In the future (of somebody, where it is read where each recipient is), and at most a year ahead.
    fn check_ahead(&self, name: &str, wall: NaiveDateTime, around: &Around) -> Result<(), Fault> {
        let Around { zone, now, .. } = *around;
        if self.is_over(wall, around) || !self.per_recipient && self.instant(wall, zone) == Some(now) {
            let whose = if self.per_recipient { "everywhere on earth" } else { zone.name() };
            return Err(self.inner.wrong(name, format!("must be in the future; it has passed ({whose})")));
        }
        let today = if self.per_recipient { now.utc().naive_utc() + EAST } else { wall_time(zone, now) };
        if today.checked_add_months(YEAR).is_none_or(|last| last < wall) {
            return Err(self.inner.wrong(name, "must be at most one year ahead"));
        }
        Ok(())
    }

    fn instant(&self, wall: NaiveDateTime, zone: Tz) -> Option<Timestamp> {
        instant_of(zone, wall, DstPolicy::default())
    }

    /// Whether a wall time has passed: where recipients have their own, everywhere.
    fn is_over(&self, wall: NaiveDateTime, around: &Around) -> bool {
        let Around { zone, now, .. } = *around;
        let just_before = now.minus(Span::from_millis(1));
        if self.per_recipient {
            Occasion::Wall(wall).next_possible(zone, just_before).is_none()
        } else {
            self.instant(wall, zone).is_none_or(|at| at < now)
        }
    }

    /// That there is an occurrence in the window, and that one of them is still to come.
    fn check_window(&self, fan_out: &FanOut, now: Timestamp) -> Result<(), Fault> {
        let whole = FanOut { zone: Tz::UTC, per_recipient: false, ..fan_out.counting_from(Timestamp::EPOCH) };
        if !has_more(&whole, Timestamp::EPOCH) {
            let (name, detail) = match &fan_out.times {
                Times::Periodical(Periodical { unit: PeriodUnit::Day, .. }) => {
                    ("end", "must leave room for an occurrence: time does not come between start and end")
                }
                _ => ("point", "must name a day that comes, at time, between start and end: none does"),
            };
            return Err(self.inner.wrong(name, detail));
        }
        if !has_more(fan_out, now) {
            return Err(self
                .inner
                .wrong("end", "must leave an occurrence that is still to come: the last has passed"));
        }
        Ok(())
    }
}

/// Whether anybody could still be due, were it to count from `now`.
pub fn has_more(fan_out: &FanOut, now: Timestamp) -> bool {
    let just_before = now.minus(Span::from_millis(1));
    let trigger = Trigger::FanOut(fan_out.counting_from(now));
    let Ok(rule) = trigger.rule(DstPolicy::default()) else { return false };
    std::iter::successors(rule.next_after(just_before), |opens| rule.next_after(*opens))
        .take(LOOKED_AT)
        .filter_map(|opens| rule.occasion(opens))
        .any(|occasion| occasion.next_possible(fan_out.zone, just_before).is_some())
}

/// `yyyy-MM-dd HH:mm:ss`, every digit there, of a day and a second that exist.
fn wall_of(text: &str) -> Option<NaiveDateTime> {
    let fits = follows(text, "0000-00-00 00:00:00");
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok().filter(|wall| fits && shows(wall.time()))
}

/// `HH:mm:ss`.
fn time_of(text: &str) -> Option<NaiveTime> {
    let fits = follows(text, "00:00:00");
    NaiveTime::parse_from_str(text, "%H:%M:%S").ok().filter(|time| fits && shows(*time))
}

/// `01` to `31`.
fn month_day(text: &str) -> Option<u32> {
    text.parse().ok().filter(|day| follows(text, "00") && (1..=31).contains(day))
}

fn follows(text: &str, pattern: &str) -> bool {
    let same =
        |(given, wanted): (u8, u8)| if wanted == b'0' { given.is_ascii_digit() } else { given == wanted };
    text.len() == pattern.len() && text.bytes().zip(pattern.bytes()).all(same)
}

/// A second 60 is a leap second, which clocks on walls do not show.
fn shows(time: NaiveTime) -> bool {
    use chrono::Timelike as _;
    time.nanosecond() < 1_000_000_000
}

fn wrong_time(text: &str) -> String {
    format!("must be a time of day written HH:mm:ss, such as \"09:00:00\", not {}", quoted(text))
}
