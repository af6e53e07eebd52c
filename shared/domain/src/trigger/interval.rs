//! Triggers that need no calendar: one instant, and a fixed rate.

use super::{MAX_EVERY, MIN_EVERY, TriggerError};
use crate::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// Due once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Single {
    pub at: Timestamp,
}

impl Single {
    pub(super) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        (self.at > after).then_some(self.at)
    }
}

/// Due at `first + k * every`, k = 0, 1, …, up to and including `end`: a fixed rate, so nothing drifts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    pub every: Span,
    pub first: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
}

impl Interval {
    pub fn new(every: Span, first: Timestamp, end: Option<Timestamp>) -> Result<Self, TriggerError> {
        let interval = Interval { every, first, end };
        interval.check()?;
        Ok(interval)
    }

    pub(super) fn check(&self) -> Result<(), TriggerError> {
        if self.every < MIN_EVERY {
            return Err(TriggerError::EveryTooShort(self.every));
        }
        if self.every > MAX_EVERY {
            return Err(TriggerError::EveryTooLong(self.every));
        }
        if self.end.is_some_and(|end| end < self.first) {
            return Err(TriggerError::EndBeforeStart);
        }
        Ok(())
    }

    pub(super) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let at = i128::from(self.first.millis())
            + i128::from(self.started_by(after)) * i128::from(self.every.millis());
        let at = i64::try_from(at).ok().map(Timestamp::from_millis)?;
        (at <= self.last()).then_some(at)
    }

    pub(super) fn count_until(&self, after: Timestamp, until: Timestamp) -> u64 {
        self.started_by(until.min(self.last())).saturating_sub(self.started_by(after))
    }

    fn last(&self) -> Timestamp {
        self.end.unwrap_or(Timestamp::MAX).min(Timestamp::MAX)
    }

    /// How many instants of the endless interval are not later than `at`.
    fn started_by(&self, at: Timestamp) -> u64 {
        let elapsed = i128::from(at.millis()) - i128::from(self.first.millis());
        if elapsed < 0 {
            return 0;
        }
        // At most 2^65 / 100: the quotient fits.
        (elapsed / i128::from(self.every.millis()) + 1) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn an_interval_counts_from_its_first_instant() {
        let interval = Interval::new(Span::from_millis(300), ms(1000), Some(ms(1600))).expect("valid");
        assert_eq!(interval.next_after(ms(-5)), Some(ms(1000)));
        assert_eq!(interval.next_after(ms(999)), Some(ms(1000)));
        assert_eq!(interval.next_after(ms(1000)), Some(ms(1300)));
        assert_eq!(interval.next_after(ms(1599)), Some(ms(1600)), "the end is included");
        assert_eq!(interval.next_after(ms(1600)), None);
        assert_eq!(interval.count_until(ms(0), ms(9000)), 3);
        assert_eq!(interval.count_until(ms(1000), ms(1600)), 2);
        assert_eq!(interval.count_until(ms(1600), ms(1000)), 0);
    }

    #[test]
    fn the_bounds_of_every_and_end_hold() {
        assert_eq!(
            Interval::new(Span::from_millis(99), ms(0), None),
            Err(TriggerError::EveryTooShort(Span::from_millis(99)))
        );
        assert!(Interval::new(Span::from_millis(100), ms(0), None).is_ok());
        assert!(Interval::new(MAX_EVERY, ms(0), None).is_ok());
        let wrong = Interval::new(Span::from_millis(u64::MAX), ms(0), None).expect_err("too long");
        assert_eq!(wrong.field(), "every");
        assert_eq!(Interval::new(MIN_EVERY, ms(5), Some(ms(4))).map_err(|wrong| wrong.field()), Err("end"));
    }

    #[test]
    fn nothing_is_due_after_the_last_instant_that_can_be_written() {
        let interval = Interval::new(MAX_EVERY, ms(0), None).expect("valid");
        assert_eq!(interval.next_after(Timestamp::MAX), None);
        assert_eq!(interval.next_after(ms(i64::MAX)), None);
        assert_eq!(interval.next_after(ms(i64::MIN)), Some(ms(0)));
    }

    proptest! {
        #[test]
        fn arithmetic_agrees_with_a_loop(every in 100u64..5000, first in -5000i64..5000, end in proptest::option::of(0i64..20_000), after in -10_000i64..25_000, length in 0i64..30_000) {
            let interval = Interval { every: Span::from_millis(every), first: ms(first), end: end.map(|end| ms(first + end)) };
            let due: Vec<i64> = (0..).map(|k| first + k * every as i64).take_while(|at| *at <= end.map_or(80_000, |end| first + end)).collect();
            prop_assert_eq!(interval.next_after(ms(after)), due.iter().find(|at| **at > after).map(|at| ms(*at)));
            let counted = due.iter().filter(|at| **at > after && **at <= after + length).count() as u64;
            prop_assert_eq!(interval.count_until(ms(after), ms(after + length)), counted);
        }
    }
}
