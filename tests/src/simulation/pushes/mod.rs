//! Pushes under the virtual clock: devices that come, move and go, one message for all of them, and everything going
//! wrong meanwhile. [`people`] says who there is and what they do, [`told`] sees what reaches them, [`judge`] says what
//! must hold.

mod judge;
mod people;
pub mod told;

use super::{
    dice::Dice,
    ledger::Ledger,
    scenario::Scenario,
    target::Targets,
    world::{self, Process, World},
};
use people::Plot;
use rondo_domain::{ports::AppStore as _, time::Span};
use std::sync::Arc;

/// What a seed came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub devices: u64,
    pub told: u64,
    pub twice: u64,
    pub moved: u64,
    pub pages: u64,
    pub crashes: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Tally) {
        self.devices += other.devices;
        self.told += other.told;
        self.twice += other.twice;
        self.moved += other.moved;
        self.pages += other.pages;
        self.crashes += other.crashes;
    }
}

/// Runs one seed; an error says which promise was broken. `verbose` prints every event to stderr.
pub fn run(seed: u64, verbose: bool) -> Result<(Tally, u64), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.map_err(|error| error.to_string())?.block_on(one(seed, verbose))
}

async fn one(seed: u64, verbose: bool) -> Result<(Tally, u64), String> {
    let dice = Arc::new(Dice::new(seed));
    let plot = Plot::of(&dice);
    let scenario = Scenario {
        base: plot.base,
        calm_at: plot.calm_at,
        sweep_every: Span::from_secs(60),
        dispatchers: dice.between(1, 3) as usize,
        specs: Vec::new(),
        faults: plot.faults.clone(),
        listeners: 0,
    };
    let ledger = Arc::new(Ledger::new(verbose));
    ledger.note(plot.base, &format!("seed {seed}: {plot:?}"));
    let world = World::new(&scenario, dice, Arc::clone(&ledger));
    let targets = Targets::new(Vec::new());
    world.memory.add_app(plot.app.clone()).await.map_err(|error| error.to_string())?;
    let dispatchers: Vec<_> = (0..scenario.dispatchers)
        .map(|number| Process::start(&world, &targets, &format!("dispatcher {number}")))
        .collect();
    let (sweeper, sweeping) = Process::start(&world, &targets, "sweeper");
    tokio::spawn(world::pump(Arc::clone(&world), dispatchers));
    tokio::spawn(world::sweep(Arc::clone(&world), scenario.sweep_every, sweeper, sweeping));
    let id = people::live(&world, &plot).await?;
    if let Some(wrong) = ledger.wrong() {
        return Err(wrong);
    }
    let mut tally = judge::judge(&world, &plot, id)?;
    let (all, hash) = ledger.end();
    tally.crashes = all.crashes;
    Ok((tally, hash))
}
