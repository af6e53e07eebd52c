//! The whole engine under a virtual clock and seeded faults. One seed is one run: the same seed gives the
//! same run, event by event. Read [`scenario`] for what is chosen, [`world`] for what goes wrong, and
//! [`promises`] for what must hold all the same.

mod dice;
mod instants;
mod ledger;
mod promises;
pub mod pushes;
mod scenario;
mod target;
mod users;
mod world;

pub use ledger::Tally;

use dice::Dice;
use ledger::Ledger;
use promises::Case;
use rondo_domain::{
    ports::{AppStore as _, ListenerStore as _},
    time::Span,
};
use scenario::Scenario;
use std::sync::Arc;
use target::Targets;
use users::Users;
use world::{Process, World};

/// What a seed came to: counts, and a hash of all its events.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    pub tally: Tally,
    pub hash: u64,
}

/// Runs one seed; an error says which promise was broken. `verbose` prints every event to stderr.
pub fn run(seed: u64, verbose: bool) -> Result<Outcome, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.map_err(|error| error.to_string())?.block_on(one(seed, verbose))
}

async fn one(seed: u64, verbose: bool) -> Result<Outcome, String> {
    let dice = Arc::new(Dice::new(seed));
    let scenario = Scenario::of(&dice);
    let ledger = Arc::new(Ledger::new(verbose));
    ledger.note(scenario.base, &format!("seed {seed}: {:?}", scenario.faults));
    let world = World::new(&scenario, dice, Arc::clone(&ledger));
    let targets = Targets::new(scenario.specs.iter().map(|spec| spec.answers).collect());

    let app = users::app(&scenario);
    world.memory.add_app(app.clone()).await.map_err(|error| error.to_string())?;
    for listener in 0..scenario.listeners {
        let url = format!("https://listener.example/listener/{listener}").parse().expect("a URL");
        let added = world.memory.add_listener(&app.key, &url, &[], scenario.base).await;
        added.map_err(|error| error.to_string())?;
    }

    let dispatchers: Vec<_> = (0..scenario.dispatchers)
        .map(|number| Process::start(&world, &targets, &format!("dispatcher {number}")))
        .collect();
    let (sweeper, sweeping) = Process::start(&world, &targets, "sweeper");
    let (api, engine) = Process::start(&world, &targets, "api");
    let users = Users::new(&world, Arc::clone(&api), engine, Arc::new(app));
    tokio::spawn(world::pump(Arc::clone(&world), dispatchers.clone()));
    tokio::spawn(world::sweep(Arc::clone(&world), scenario.sweep_every, sweeper, sweeping));
    for (index, spec) in scenario.specs.iter().enumerate() {
        tokio::spawn(users.clone().live(index, spec.clone()));
    }
    users.wind_down().await;
    rest(&world).await?;
    judge(&world, &scenario, &ledger)?;
    ledger.tally(|tally| tally.outages += scenario.faults.outages.len() as u64);
    let (tally, hash) = ledger.end();
    Ok(Outcome { tally, hash })
}

/// Waits until nothing more is to come; a run that finds no rest is judged as it stands.
async fn rest(world: &World) -> Result<(), String> {
    let patience = world.now().plus(Span::from_secs(8 * 86_400));
    loop {
        if let Some(wrong) = world.ledger.wrong() {
            return Err(wrong);
        }
        let at_rest = world.memory.snapshot().iter().all(|(_, state, records)| {
            state.status.has_ended()
                && state.look_again_at.is_none()
                && state.waiting == 0
                && records.iter().all(|record| record.status.is_final())
        });
        if (at_rest && world.queue.is_empty()) || world.now() > patience {
            return Ok(());
        }
        let waited = world.now().since(world.calm_at) > Span::from_secs(6 * 3600);
        let pause = Span::from_secs(if waited { 3600 } else { 60 });
        world.sleep_until(world.now().plus(pause)).await;
    }
}

fn judge(world: &World, scenario: &Scenario, ledger: &Ledger) -> Result<(), String> {
    for (definition, state, records) in world.memory.snapshot() {
        let index: usize = definition.name.as_deref().unwrap_or_default().parse().unwrap_or(0);
        let case = Case {
            spec: &scenario.specs[index],
            definition: &definition,
            state: &state,
            records: &records,
            faults: &scenario.faults,
            has_wake: world.queue.has_wake(definition.id),
            sweep_every: scenario.sweep_every,
            listens: scenario.listeners > 0,
        };
        promises::judge(&case, ledger).map_err(|wrong| {
            for record in &records {
                ledger.note(world.now(), &format!("on record {record:?}"));
            }
            format!("{}: {wrong}", definition.id)
        })?;
        ledger.tally(|tally| {
            tally.schedules += 1;
            tally.executions += records.len() as u64;
            tally.missed += u64::from(state.counts.missed);
        });
    }
    ledger.wrong().map_or(Ok(()), Err)
}
