//! Thousands of seeded runs of the whole engine: `RONDO_SIM_SEEDS=n` sets how many, `RONDO_SIM_SEED=s` runs
//! one and prints its events; `RONDO_PUSH_SEEDS` and `RONDO_PUSH_SEED` are the same for the runs with pushes.

use rondo_tests::simulation::{self, Tally, pushes};
use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

const SEEDS: u64 = 4000;
/// A run with pushes takes days of virtual time, and so much longer.
const PUSH_SEEDS: u64 = 200;
/// So many broken seeds tell enough: what never comes to rest takes long to give up on.
const ENOUGH: usize = 10;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// Runs the seeds on all processors; answers the sum of what they came to, and those that broke a promise.
fn all<T: Default + Send>(
    seeds: u64,
    run: impl Fn(u64) -> Result<T, String> + Sync,
    add: impl Fn(&mut T, &T) + Sync,
) -> (T, Vec<(u64, String)>) {
    let next = AtomicU64::new(0);
    let sum = Mutex::new((T::default(), Vec::<(u64, String)>::new()));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let enough = sum.lock().expect("no thread panics under this lock").1.len() >= ENOUGH;
                    if seed >= seeds || enough {
                        return;
                    }
                    let outcome = run(seed);
                    let mut sum = sum.lock().expect("no thread panics under this lock");
                    match outcome {
                        Ok(tally) => add(&mut sum.0, &tally),
                        Err(wrong) => sum.1.push((seed, wrong)),
                    }
                }
            });
        }
    });
    let (tally, mut broken) = sum.into_inner().expect("no thread panics under this lock");
    broken.sort();
    (tally, broken)
}

fn judge(seeds: u64, broken: &[(u64, String)], again: &str) {
    for (seed, wrong) in broken {
        println!("seed {seed}: {wrong}");
        println!("  again: {again}={seed} cargo test -p rondo-tests --test simulation -- --nocapture");
    }
    assert!(broken.is_empty(), "{} of {seeds} seeds broke a promise", broken.len());
}

#[test]
fn the_promises_hold_whatever_goes_wrong() {
    if let Some(seed) = number("RONDO_SIM_SEED") {
        let outcome = simulation::run(seed, true);
        eprintln!("seed {seed}: {outcome:?}");
        assert!(outcome.is_ok(), "seed {seed} broke a promise");
        return;
    }
    let seeds = number("RONDO_SIM_SEEDS").unwrap_or(SEEDS);
    let run = |seed| simulation::run(seed, false).map(|outcome| outcome.tally);
    let (tally, broken) = all(seeds, run, |sum: &mut Tally, more| sum.add(more));
    println!("{seeds} seeds: {tally:?}");
    judge(seeds, &broken, "RONDO_SIM_SEED");
}

#[test]
fn everybody_who_is_meant_is_told_once_whatever_goes_wrong() {
    if let Some(seed) = number("RONDO_PUSH_SEED") {
        let outcome = pushes::run(seed, true);
        eprintln!("seed {seed}: {outcome:?}");
        assert!(outcome.is_ok(), "seed {seed} broke a promise");
        return;
    }
    let seeds = number("RONDO_PUSH_SEEDS").unwrap_or(PUSH_SEEDS);
    let run = |seed| pushes::run(seed, false).map(|(tally, _)| tally);
    let (tally, broken) = all(seeds, run, |sum: &mut pushes::Tally, more| sum.add(more));
    println!("{seeds} seeds with pushes: {tally:?}");
    judge(seeds, &broken, "RONDO_PUSH_SEED");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [3, 14, 159, 265, 358, 979] {
        let [first, second] = [simulation::run(seed, false), simulation::run(seed, false)];
        let hash = |outcome: Result<simulation::Outcome, String>| outcome.map(|outcome| outcome.hash);
        assert_eq!(hash(first), hash(second), "seed {seed}");
    }
    let hash = |seed| simulation::run(seed, false).map(|outcome| outcome.hash);
    assert_ne!(hash(1), hash(2));
    for seed in [7, 69] {
        let [first, second] = [pushes::run(seed, false), pushes::run(seed, false)];
        let hash = |outcome: Result<(pushes::Tally, u64), String>| outcome.map(|(_, hash)| hash);
        assert_eq!(hash(first), hash(second), "seed {seed} with pushes");
    }
}
