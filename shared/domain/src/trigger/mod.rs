//! Triggers: stored rules, and the due instants that they yield. Pure: `after` is an argument, no clock is
//! read. A trigger knows nothing of occurrence limits, missed instants or pauses; those are policies.
//!
//! Read on in [`zone`] for what daylight saving does, [`interval`], [`periodical`] and [`cron`] for the rules.

mod cron;
mod cron_text;
mod days;
mod error;
mod fan_out;
mod interval;
mod periodical;
mod walk;
mod zone;

pub use cron::Cron;
pub use days::{MonthDays, Weekdays};
pub use error::TriggerError;
pub use fan_out::{Backup, FanOut, OPEN_AHEAD, Occasion, Times};
pub use interval::{Interval, Single};
pub use periodical::{PeriodUnit, Periodical};
pub use zone::{DstFold, DstGap, DstNote, DstPolicy, Local, instant_of, parse_zone, wall_time};

use crate::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// The shortest interval that can be kept to the millisecond.
pub const MIN_EVERY: Span = Span::from_millis(100);
/// Ten years of 365 days.
pub const MAX_EVERY: Span = Span::from_secs(10 * 365 * 86_400);
/// Every n-th day, week or month: n is at most this.
pub const MAX_FREQUENCY: u16 = 100;

/// The rule of a schedule, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    Single(Single),
    Interval(Interval),
    Periodical(Periodical),
    Cron(Cron),
    FanOut(FanOut),
}

impl Trigger {
    /// The kind's name, as the API writes it.
    pub fn kind(&self) -> &'static str {
        match self {
            Trigger::Single(_) => "single",
            Trigger::Interval(_) => "interval",
            Trigger::Periodical(_) => "periodical",
            Trigger::Cron(_) => "cron",
            Trigger::FanOut(_) => "fan_out",
        }
    }

    /// Checks the trigger and compiles it, so that asking for instants is cheap. `dst` matters to zoned
    /// triggers only.
    pub fn rule(&self, dst: DstPolicy) -> Result<Rule, TriggerError> {
        Ok(Rule(match self {
            Trigger::Single(single) => Kind::Single(*single),
            Trigger::Interval(interval) => {
                interval.check()?;
                Kind::Interval(*interval)
            }
            Trigger::Periodical(periodical) => {
                Kind::Periodical(periodical::Compiled::new(periodical.clone(), dst)?)
            }
            Trigger::Cron(cron) => Kind::Cron(cron::Compiled::new(cron, dst)?),
            Trigger::FanOut(fan_out) => Kind::FanOut(fan_out::Compiled::new(fan_out, dst)?),
        }))
    }
}

/// A trigger that was checked and compiled.
#[derive(Clone, Debug)]
pub struct Rule(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Single(Single),
    Interval(Interval),
    Periodical(periodical::Compiled),
    Cron(cron::Compiled),
    FanOut(fan_out::Compiled),
}

impl Rule {
    /// The first due instant later than `after`; none: the trigger has ended. The cost does not grow with
    /// the number of instants before it.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.0 {
            Kind::Single(single) => single.next_after(after),
            Kind::Interval(interval) => interval.next_after(after),
            Kind::Periodical(periodical) => periodical.next_after(after),
            Kind::Cron(cron) => cron.next_after(after),
            Kind::FanOut(fan_out) => fan_out.next_after(after),
        }
    }

    /// How many instants lie in `(after, until]`, where that is arithmetic; none where it takes a walk.
    pub fn count_until(&self, after: Timestamp, until: Timestamp) -> Option<u64> {
        match &self.0 {
            Kind::Single(single) => Some(u64::from(after < single.at && single.at <= until)),
            Kind::Interval(interval) => Some(interval.count_until(after, until)),
            Kind::Periodical(_) | Kind::Cron(_) | Kind::FanOut(_) => None,
        }
    }

    /// What the clock on the wall shows at `at`, an instant that this rule yielded, and what daylight saving
    /// had to do with it. A trigger without a zone is shown in UTC.
    pub fn explain(&self, at: Timestamp) -> Local {
        match &self.0 {
            Kind::Single(_) | Kind::Interval(_) | Kind::FanOut(_) => zone::local(chrono_tz::UTC, at),
            Kind::Periodical(periodical) => periodical.explain(at),
            Kind::Cron(cron) => cron.explain(at),
        }
    }

    /// Where one message is for many: the occasion that opens at `at`, an instant that this rule yielded.
    pub fn occasion(&self, at: Timestamp) -> Option<Occasion> {
        match &self.0 {
            Kind::FanOut(fan_out) => fan_out.occasion(at),
            _ => None,
        }
    }
}
