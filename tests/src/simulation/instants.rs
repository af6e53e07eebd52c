//! Due instants, reckoned the slow way: minute by minute on the wall, interval by addition. Independent of
//! the triggers that it checks.

use super::scenario::{Spec, Wall, ZONE};
use chrono::{NaiveDateTime, NaiveTime, TimeZone as _, Timelike as _};
use rondo_domain::{
    time::{Span, Timestamp},
    trigger::Trigger,
};

fn wall(at: Timestamp) -> NaiveDateTime {
    ZONE.from_utc_datetime(&at.utc().naive_utc()).naive_local()
}

const MINUTE: Span = Span::from_secs(60);

/// The first instants of `spec` at or after `from`: all of them, or at least `count`.
pub fn due(spec: &Spec, from: Timestamp, count: usize) -> Vec<Timestamp> {
    let mut due = Vec::new();
    match (&spec.trigger, spec.wall) {
        (Trigger::Single(single), _) => due.push(single.at),
        (Trigger::Interval(interval), _) => {
            let mut at = interval.first;
            while due.len() < count && interval.end.is_none_or(|end| at <= end) {
                if at >= from {
                    due.push(at);
                }
                at = at.plus(interval.every);
            }
        }
        (_, Some(Wall::EveryMinutes(step))) => {
            let mut at = next_minute(from);
            while due.len() < count {
                if wall(at).minute().is_multiple_of(step) {
                    due.push(at);
                }
                at = at.plus(MINUTE);
            }
        }
        (_, Some(Wall::Daily(time))) => {
            let mut day = wall(from).date();
            while due.len() < count {
                let at = daily(day.and_time(time));
                if at >= from {
                    due.push(at);
                }
                day = day.succ_opt().expect("a day");
            }
        }
        (_, None) => unreachable!("a wall-clock trigger has its wall times beside it"),
    }
    due
}

fn next_minute(from: Timestamp) -> Timestamp {
    let over = from.millis().rem_euclid(60_000);
    if over == 0 { from } else { Timestamp::from_millis(from.millis() - over + 60_000) }
}

/// The first minute whose clock shows `wanted`; where none does, the first that shows more.
fn daily(wanted: NaiveDateTime) -> Timestamp {
    let midnight = wanted.date().and_time(NaiveTime::MIN);
    let mut at = Timestamp::from_utc(midnight.and_utc()).minus(Span::from_secs(6 * 3600));
    while wall(at) < wanted {
        at = at.plus(MINUTE);
    }
    at
}
