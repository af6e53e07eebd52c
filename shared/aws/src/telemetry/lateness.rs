//! How late first attempts were: a histogram that takes no room for what never happened. A process counts for
//! thousands of apps at once, and what it counted is stored, read and added up again.

use rondo_domain::ports::LatenessMillis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Later than this is counted as this late: one day, in ms.
const MAX: u64 = 86_400_000;
/// Up to 255 ms to the millisecond, above to one part in 128.
const BITS_KEPT: u32 = 8;

/// Added to itself in any order it gives the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Lateness {
    /// How many there are of each step, by its least value in ms.
    #[serde(default)]
    steps: Vec<(u64, u64)>,
    /// To the millisecond.
    #[serde(default)]
    max: u64,
}

impl Lateness {
    pub fn record(&mut self, millis: u64) {
        self.add(step(millis.min(MAX)), 1);
        self.max = self.max.max(millis.min(MAX));
    }

    pub fn merge(&mut self, other: &Lateness) {
        let mut steps: BTreeMap<u64, u64> = self.steps.drain(..).collect();
        for (step, count) in &other.steps {
            *steps.entry(*step).or_default() += count;
        }
        self.steps = steps.into_iter().collect();
        self.max = self.max.max(other.max);
    }

    /// None where nothing was recorded. Percentiles are the greatest value of their step: never too low.
    pub fn millis(&self) -> Option<LatenessMillis> {
        let count: u64 = self.steps.iter().map(|(_, count)| count).sum();
        let at = |thousandths: u64| {
            let mut left = (count * thousandths).div_ceil(1000).max(1);
            let found = self.steps.iter().find(|(_, count)| {
                let here = left <= *count;
                left -= (*count).min(left);
                here
            });
            found.map_or(self.max, |(step, _)| greatest(*step).min(self.max))
        };
        (count > 0).then(|| LatenessMillis {
            p50: at(500),
            p90: at(900),
            p99: at(990),
            p999: at(999),
            max: self.max,
        })
    }

    fn add(&mut self, step: u64, count: u64) {
        match self.steps.binary_search_by_key(&step, |(step, _)| *step) {
            Ok(place) => self.steps[place].1 += count,
            Err(place) => self.steps.insert(place, (step, count)),
        }
    }
}

/// The least value of the step in which `millis` lies: its first [`BITS_KEPT`] bits.
fn step(millis: u64) -> u64 {
    let cut = width(millis);
    millis >> cut << cut
}

fn greatest(step: u64) -> u64 {
    step + (1 << width(step)) - 1
}

fn width(millis: u64) -> u32 {
    (u64::BITS - millis.leading_zeros()).saturating_sub(BITS_KEPT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[u64]) -> Lateness {
        let mut all = Lateness::default();
        values.iter().for_each(|value| all.record(*value));
        all
    }

    #[test]
    fn percentiles_of_a_hundred() {
        let values: Vec<u64> = (1..=100).collect();
        let seen = of(&values).millis().unwrap();
        assert_eq!((seen.p50, seen.p90, seen.p99, seen.p999, seen.max), (50, 90, 99, 100, 100));
        assert_eq!(Lateness::default().millis(), None);
        let one = of(&[0]).millis().unwrap();
        assert_eq!((one.p50, one.p999, one.max), (0, 0, 0));
    }

    #[test]
    fn more_than_a_day_is_a_day() {
        assert_eq!(of(&[u64::MAX, 3]).millis().unwrap().max, MAX);
    }

    proptest! {
        #[test]
        fn steps_are_fine_enough_and_do_not_overlap(millis in 0..=MAX) {
            let (least, greatest) = (step(millis), greatest(step(millis)));
            prop_assert!(least <= millis && millis <= greatest);
            prop_assert!((greatest - least) * 128 <= millis);
            prop_assert_eq!(step(greatest + 1), greatest + 1);
        }

        #[test]
        fn parts_added_up_are_the_whole(values in prop::collection::vec(0..=MAX, 0..200), at in 0_usize..200) {
            let (one, other) = values.split_at(at.min(values.len()));
            let stored = |part: &[u64]| -> Lateness {
                serde_json::from_str(&serde_json::to_string(&of(part)).unwrap()).unwrap()
            };
            let mut sum = stored(other);
            sum.merge(&stored(one));
            prop_assert_eq!(sum, of(&values));
        }

        #[test]
        fn percentiles_are_within_a_step_of_the_true_ones(values in prop::collection::vec(0..100_000_u64, 1..300)) {
            let mut sorted = values.clone();
            sorted.sort_unstable();
            let seen = of(&values).millis().unwrap();
            for (thousandths, seen) in [(500, seen.p50), (900, seen.p90), (990, seen.p99), (999, seen.p999)] {
                let exact = sorted[(values.len() * thousandths).div_ceil(1000) - 1];
                prop_assert!(exact <= seen && seen - exact <= exact / 128, "{seen} for {exact}");
            }
        }
    }
}
