//! How far this machine's clock is from the service's, as far as answers can tell. A `Date` header is cut to the
//! second, and the answer was under way for some part of the exchange: each answer leaves a stretch of offsets
//! that are possible, and several answers together a shorter one.

use rondo_domain::time::Timestamp;

/// In ms; positive where this machine is ahead. The true offset lies from `least` to `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    pub least: i64,
    pub most: i64,
}

impl Offset {
    /// Of one exchange, by this machine's clock, whose answer bears `date`.
    pub fn of(asked: Timestamp, heard: Timestamp, date: Timestamp) -> Offset {
        // The server wrote its date between the two, at any instant of the second that the date names.
        // This machine's instants are cut to the millisecond.
        Offset { least: asked.millis() - date.millis() - 1000, most: heard.millis() - date.millis() + 1 }
    }

    /// What both leave possible. None where they contradict each other: more than one clock answers, or one of
    /// them was set meanwhile.
    pub fn and(self, other: Offset) -> Option<Offset> {
        let both = Offset { least: self.least.max(other.least), most: self.most.min(other.most) };
        (both.least <= both.most).then_some(both)
    }

    /// The clocks differ by no less than this, in ms.
    pub fn surely(self) -> u64 {
        if self.least <= 0 && self.most >= 0 {
            0
        } else {
            self.least.unsigned_abs().min(self.most.unsigned_abs())
        }
    }

    pub fn is_ahead(self) -> bool {
        self.least > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn clocks_that_agree_cannot_be_told_apart() {
        let offset = Offset::of(at(10_400), at(10_440), at(10_000));
        assert_eq!((offset, offset.surely()), (Offset { least: -600, most: 441 }, 0));
    }

    #[test]
    fn a_difference_is_no_more_than_is_sure() {
        let ahead = Offset::of(at(15_400), at(15_440), at(10_000));
        assert_eq!((ahead.surely(), ahead.is_ahead()), (4400, true));
        let behind = Offset::of(at(5400), at(5440), at(10_000));
        assert_eq!((behind.surely(), behind.is_ahead()), (4559, false));
    }

    #[test]
    fn several_answers_say_more_than_one() {
        // 300 ms ahead: the second begins between these two answers.
        let first = Offset::of(at(10_290), at(10_295), at(9000));
        let second = Offset::of(at(10_305), at(10_310), at(10_000));
        assert_eq!(first.and(second), Some(Offset { least: 290, most: 311 }));
        assert_eq!(first.and(Offset { least: 5000, most: 6000 }), None);
    }
}
