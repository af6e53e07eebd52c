//! When a device's owner is there: hours of local activity, weighted down with age, smoothed around the clock; the
//! fullest hour wins. A function of the visits alone: the same visits give the same hour, on whatever day it is asked.

use crate::time::Span;

/// Visits older than this are forgotten.
pub const MEMORY: Span = Span::from_secs(90 * 86_400);
/// So many of the latest visits are kept.
pub const KEPT: usize = 200;
/// Fewer are no history.
pub const LEAST: usize = 3;
/// A visit counts half as much after so many hours.
const HALF_LIFE: f64 = 14.0 * 24.0;
/// What an hour takes over from itself and from its neighbours, one and two hours away.
const SMOOTHING: [f64; 3] = [0.5, 0.2, 0.05];

/// The hour on the wall, and how many visits say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BestTime {
    /// 0 to 23.
    pub hour: u8,
    pub visits: usize,
}

/// Of visits, each the hour since 1970 on the wall. None: too few.
pub fn of(visits: &[i32]) -> Option<BestTime> {
    if visits.len() < LEAST {
        return None;
    }
    let day = smoothed(&histogram(visits));
    // The first of equals: the earliest hour of the day.
    let mut hour = 0;
    for other in 1..24 {
        if day[other] > day[hour] * (1.0 + 1e-9) {
            hour = other;
        }
    }
    Some(BestTime { hour: hour as u8, visits: visits.len() })
}

/// Weights of the hours of the day, against the latest visit: ages shrink all weights alike, so that it does not matter
/// when this is asked.
pub fn histogram(visits: &[i32]) -> [f64; 24] {
    let mut day = [0.0; 24];
    let latest = visits.iter().copied().max().unwrap_or(0);
    for visit in visits {
        let age = f64::from(latest) - f64::from(*visit);
        day[visit.rem_euclid(24) as usize] += (-age / HALF_LIFE).exp2();
    }
    day
}

/// Around the clock: 23:00 is a neighbour of 00:00.
pub fn smoothed(day: &[f64; 24]) -> [f64; 24] {
    std::array::from_fn(|hour| {
        let near = |distance: usize| day[(hour + distance) % 24] + day[(hour + 24 - distance) % 24];
        SMOOTHING[0] * day[hour] + SMOOTHING[1] * near(1) + SMOOTHING[2] * near(2)
    })
}

/// Leaves the visits (ascending) of the last [`MEMORY`] before the hour `now`, and of these the latest [`KEPT`].
pub fn forget(visits: &mut Vec<i32>, now: i32) {
    let oldest = i64::from(now) - (MEMORY.millis() / 3_600_000) as i64;
    let from =
        visits.partition_point(|visit| i64::from(*visit) < oldest).max(visits.len().saturating_sub(KEPT));
    visits.drain(..from);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `times` visits at `hour`, `days` ago.
    fn seen(hour: i32, days: i32, times: usize) -> Vec<i32> {
        vec![(20_000 - days) * 24 + hour; times]
    }

    #[test]
    fn three_visits_are_a_history() {
        assert_eq!(of(&seen(19, 0, 2)), None);
        assert_eq!(of(&seen(19, 0, 3)), Some(BestTime { hour: 19, visits: 3 }));
    }

    #[test]
    fn what_is_recent_counts_more() {
        let visits = [seen(8, 60, 10), seen(21, 0, 3)].concat();
        assert_eq!(of(&visits).map(|best| best.hour), Some(21));
        let visits = [seen(8, 10, 10), seen(21, 0, 3)].concat();
        assert_eq!(of(&visits).map(|best| best.hour), Some(8));
    }

    #[test]
    fn neighbours_hold_together_around_midnight() {
        // Nine visits around midnight against five at noon: the middle of the night wins, no single hour does.
        let visits = [seen(23, 0, 3), seen(0, 0, 3), seen(1, 0, 3), seen(12, 0, 5)].concat();
        assert_eq!(of(&visits).map(|best| best.hour), Some(0));
    }

    #[test]
    fn the_old_and_the_many_are_forgotten() {
        let mut visits: Vec<i32> = (0..300).collect();
        forget(&mut visits, 299);
        assert_eq!((visits.len(), visits[0]), (KEPT, 100));
        forget(&mut visits, 150 + 90 * 24);
        assert_eq!(visits[0], 150);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_when_it_is_asked_nor_in_what_order(
            visits in prop::collection::vec(480_000i32..482_000, 0..120), days in 0i32..1000
        ) {
            let later: Vec<i32> = visits.iter().rev().map(|visit| visit + 24 * days).collect();
            prop_assert_eq!(of(&visits), of(&later));
            if let Some(best) = of(&visits) {
                prop_assert!(best.hour < 24);
                // Within two hours of the winner somebody was there.
                let near = visits.iter().any(|visit| {
                    let distance = (visit.rem_euclid(24) - i32::from(best.hour)).rem_euclid(24);
                    distance <= 2 || distance >= 22
                });
                prop_assert!(near);
            }
        }
    }
}
