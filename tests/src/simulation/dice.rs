//! All chance of one run: seeded, and shared by everything in it. The runtime has one thread and a virtual
//! clock, so the same seed throws the same dice in the same order.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};
use rondo_domain::ports::Entropy;
use std::sync::Mutex;

pub struct Dice(Mutex<ChaCha8Rng>);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(Mutex::new(ChaCha8Rng::seed_from_u64(seed)))
    }

    fn next(&self) -> u64 {
        self.0.lock().expect("no run goes on after a panic under this lock").next_u64()
    }

    /// In so many of 10,000 cases.
    pub fn hits(&self, per_10_000: u32) -> bool {
        per_10_000 > 0 && self.next() % 10_000 < u64::from(per_10_000)
    }

    /// `low` to `high`, both included.
    pub fn between(&self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    pub fn one_of<T: Copy>(&self, all: &[T]) -> T {
        all[self.next() as usize % all.len()]
    }
}

impl Entropy for Dice {
    fn bits(&self) -> u128 {
        (u128::from(self.next()) << 64) | u128::from(self.next())
    }
}
