//! Thousands of seeded runs of the whole engine: `RONDO_SIM_SEEDS=n` sets how many, `RONDO_SIM_SEED=s` runs
//! one and prints its events.

use rondo_tests::simulation::{self, Tally};
use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

const SEEDS: u64 = 4000;
/// So many broken seeds tell enough: what never comes to rest takes long to give up on.
const ENOUGH: usize = 10;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
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
    let next = AtomicU64::new(0);
    let sum = Mutex::new((Tally::default(), Vec::<(u64, String)>::new()));
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
                    let outcome = simulation::run(seed, false);
                    let mut sum = sum.lock().expect("no thread panics under this lock");
                    match outcome {
                        Ok(outcome) => sum.0.add(&outcome.tally),
                        Err(wrong) => sum.1.push((seed, wrong)),
                    }
                }
            });
        }
    });
    let (tally, mut broken) = sum.into_inner().expect("no thread panics under this lock");
    broken.sort();
    println!("{seeds} seeds: {tally:?}");
    for (seed, wrong) in &broken {
        println!("seed {seed}: {wrong}");
        println!(
            "  again: RONDO_SIM_SEED={seed} cargo test -p rondo-tests --test simulation promises -- --nocapture"
        );
    }
    assert!(broken.is_empty(), "{} of {seeds} seeds broke a promise", broken.len());
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
}
