//! One message for many: a rule on the wall clock that is read where each recipient is, or once for all of them.
//! What it yields is when each occasion opens: early enough to find out who is meant, and where they are. When each
//! recipient is due within an occasion is [`Occasion::due`].

use super::{
    DstPolicy, Periodical, TriggerError, instant_of,
    walk::{self, LAST_YEAR, WallPattern as _},
};
use crate::{
    push::device::Group,
    time::{Span, Timestamp},
};
use chrono::{Datelike as _, NaiveDateTime, NaiveTime, Timelike as _};
use chrono_tz::{TZ_VARIANTS, Tz};
use serde::{Deserialize, Serialize};

/// How long before an instant its recipients are looked up and their pages are opened.
pub const OPEN_AHEAD: Span = Span::from_secs(60);
/// No zone is further ahead of UTC, or behind it.
const EAST: Span = Span::from_secs(14 * 3600);
const WEST: Span = Span::from_secs(12 * 3600);
const DAY: Span = Span::from_secs(86_400);
/// Every zone's offset is a multiple of it, in ms.
const QUARTER: i64 = 900_000;
/// Occasions that should have opened before the trigger began to count open one after the other, a millisecond apart.
const CROWD: u64 = 8;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FanOut {
    pub times: Times,
    /// Counts for all, or, `per_recipient`, for those whose own zone is not known.
    #[serde(rename = "time_zone")]
    pub zone: Tz,
    #[serde(default)]
    pub per_recipient: bool,
    /// Nobody is due before: when the schedule was made, resumed or changed last.
    pub from: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Times {
    Single(NaiveDateTime),
    /// Its own zone is of no account.
    Periodical(Periodical),
    /// Each recipient's own best time in the day after `start`; the others by `backup`.
    BestTime {
        start: Timestamp,
        backup: Backup,
    },
}

/// When recipients without a history are due, in their own zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backup {
    Now,
    /// Where that has passed: at once.
    At(NaiveDateTime),
    /// Its next occurrence.
    Daily(NaiveTime),
}

/// One occurrence of such a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// All at one instant.
    At(Timestamp),
    /// Each where the clock on the wall shows this.
    Wall(NaiveDateTime),
    BestTime {
        start: Timestamp,
        backup: Backup,
    },
}

impl FanOut {
    /// The same rule, counting from `now` on.
    #[must_use]
    pub fn counting_from(&self, now: Timestamp) -> FanOut {
        FanOut { from: now, ..self.clone() }
    }
}

impl Occasion {
    /// Names it among the occasions of its schedule, whatever happens to the schedule meanwhile.
    pub fn key(self) -> Timestamp {
        match self {
            Occasion::At(at) => at,
            Occasion::Wall(wall) => Timestamp::from_utc(wall.and_utc()),
            Occasion::BestTime { start, .. } => start,
        }
    }

    /// When the recipients of a group are due; `app_zone` where theirs is not known. None: never.
    pub fn due(self, group: Group, app_zone: Tz) -> Option<Timestamp> {
        let zone = group.zone.unwrap_or(app_zone);
        match self {
            Occasion::At(at) => Some(at),
            Occasion::Wall(wall) => instant_of(zone, wall, DstPolicy::default()),
            Occasion::BestTime { start, backup } => match (group.best_hour, backup) {
                (Some(hour), _) => {
                    let best = NaiveTime::from_hms_opt(u32::from(hour), 0, 0)?;
                    Some(next_in(zone, best, start)?.min(start.plus(DAY)))
                }
                (None, Backup::Now) => Some(start),
                (None, Backup::At(wall)) => {
                    instant_of(zone, wall, DstPolicy::default()).map(|at| at.max(start))
                }
                (None, Backup::Daily(time)) => next_in(zone, time, start),
            },
        }
    }

    /// Which of the occasion's executions a recipient belongs to: for wall times the UTC offset in quarter hours and
    /// 48, for best times the quarter hour of the day in UTC.
    pub fn slot(self, group: Group, app_zone: Tz, due: Timestamp) -> u8 {
        let quarters = match self {
            Occasion::At(_) => 0,
            Occasion::Wall(_) => {
                let wall = super::wall_time(group.zone.unwrap_or(app_zone), due);
                (wall - due.utc().naive_utc()).num_seconds().div_euclid(900) + 48
            }
            Occasion::BestTime { .. } => i64::from(due.utc().num_seconds_from_midnight() / 900),
        };
        quarters.clamp(0, 255) as u8
    }

    /// The first instant after `after` at which somebody, somewhere, could be due.
    pub fn next_possible(self, app_zone: Tz, after: Timestamp) -> Option<Timestamp> {
        let later = |at: &Timestamp| *at > after;
        let anywhere = |best_hour| {
            let zones = TZ_VARIANTS.iter().map(|zone| Group { zone: Some(*zone), best_hour });
            zones.filter_map(|group| self.due(group, app_zone)).filter(later).min()
        };
        match self {
            Occasion::At(at) => Some(at).filter(later),
            Occasion::Wall(_) => anywhere(None),
            Occasion::BestTime { start, .. } => {
                let end = start.plus(DAY);
                let earliest = after.plus(Span::from_millis(1)).max(start).millis();
                let quarter = Timestamp::from_millis((earliest + QUARTER - 1).div_euclid(QUARTER) * QUARTER);
                [Some(quarter).filter(|at| *at < end), Some(end), anywhere(None)]
                    .into_iter()
                    .flatten()
                    .filter(later)
                    .min()
            }
        }
    }

    /// When it opens, were it up to the occasion alone.
    fn opens(self) -> Timestamp {
        match self {
            Occasion::At(at) => at.minus(OPEN_AHEAD),
            Occasion::Wall(_) => self.key().minus(EAST).minus(OPEN_AHEAD),
            Occasion::BestTime { start, .. } => start,
        }
    }
}

/// The first instant at or after `start` at which a clock in `zone` shows `time`.
fn next_in(zone: Tz, time: NaiveTime, start: Timestamp) -> Option<Timestamp> {
    let today = super::wall_time(zone, start).date();
    // A gap or a fold may put today's a little before the start, and tomorrow's out of reach of one day.
    [today.pred_opt()?, today, today.succ_opt()?, today.succ_opt()?.succ_opt()?]
        .into_iter()
        .filter_map(|date| instant_of(zone, date.and_time(time), DstPolicy::default()))
        .find(|at| *at >= start)
}

/// A checked one with its policy.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    fan_out: FanOut,
    dst: DstPolicy,
}

impl Compiled {
    pub fn new(fan_out: &FanOut, dst: DstPolicy) -> Result<Self, TriggerError> {
        let mut fan_out = fan_out.clone();
        match &mut fan_out.times {
            Times::Single(wall) if !(1970..=LAST_YEAR).contains(&wall.year()) => {
                return Err(TriggerError::Time);
            }
            Times::Periodical(periodical) => {
                periodical.zone = fan_out.zone;
                periodical.check()?;
            }
            _ => {}
        }
        Ok(Compiled { fan_out, dst })
    }

    /// When the next occasion opens.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        if after < self.crowd_ends() {
            return self.crowd().map(|(opens, _)| opens).find(|opens| *opens > after);
        }
        self.opening_at_or_after(after.plus(Span::from_millis(1))).map(Occasion::opens)
    }

    /// The occasion that opens at this instant.
    pub fn occasion(&self, opens: Timestamp) -> Option<Occasion> {
        if opens <= self.crowd_ends() {
            return self.crowd().find(|(at, _)| *at == opens).map(|(_, occasion)| occasion);
        }
        self.opening_at_or_after(opens).filter(|occasion| occasion.opens() == opens)
    }

    fn crowd_ends(&self) -> Timestamp {
        self.fan_out.from.plus(Span::from_millis(CROWD))
    }

    /// The first occasions in which somebody can still be due, and when they open.
    fn crowd(&self) -> impl Iterator<Item = (Timestamp, Occasion)> {
        let from = self.fan_out.from;
        let first = match &self.fan_out.times {
            _ if !self.fan_out.per_recipient => self.first_key(from),
            Times::BestTime { .. } => self.first_key(Timestamp::EPOCH),
            _ => self.first_key(from.minus(WEST)),
        };
        let mut next = first;
        (0..=CROWD).map_while(move |place| {
            let occasion = next?;
            next = self.first_key(occasion.key().plus(Span::from_millis(1)));
            Some((occasion.opens().max(from.plus(Span::from_millis(place))), occasion))
        })
    }

    fn opening_at_or_after(&self, at: Timestamp) -> Option<Occasion> {
        let key = match &self.fan_out.times {
            Times::BestTime { .. } => at,
            _ if self.fan_out.per_recipient => at.plus(EAST).plus(OPEN_AHEAD),
            _ => at.plus(OPEN_AHEAD),
        };
        self.first_key(key)
    }

    /// The first occasion whose key is not before `key`.
    fn first_key(&self, key: Timestamp) -> Option<Occasion> {
        let FanOut { times, zone, per_recipient, .. } = &self.fan_out;
        let occasion = match times {
            Times::BestTime { start, backup } => Occasion::BestTime { start: *start, backup: *backup },
            Times::Single(wall) if *per_recipient => Occasion::Wall(*wall),
            Times::Single(wall) => Occasion::At(instant_of(*zone, *wall, self.dst)?),
            Times::Periodical(periodical) if *per_recipient => {
                Occasion::Wall(periodical.at_or_after(key.utc().naive_utc())?)
            }
            Times::Periodical(periodical) => {
                let before = key.minus(Span::from_millis(1));
                Occasion::At(walk::next_after(periodical, *zone, self.dst, before)?)
            }
        };
        Some(occasion).filter(|occasion| occasion.key() >= key)
    }
}
