//! `rondo-bench cost`: what Rondo asks of AWS for one execution, one callback, one request, and what that costs.
//! The real engine and the real adapters work against an emulator; requests are counted as they leave, units are
//! reckoned from item sizes and indexes, and dollars come from `infra/prices.json`.

mod bill;
mod cases;
mod ledger;
mod logs;
mod tables;
mod usage;
mod world;

use anyhow::bail;
use bill::{Assumptions, One, Prices};
use clap::Args;
use rondo_domain::time::{Span, Timestamp};
use rondo_tests::emulator::Emulator;
use serde_json::{Value, json};
use world::World;

#[derive(Args)]
pub struct Options {
    /// An emulator of AWS [default: ministack from `.tools`, which `./test` installs].
    #[arg(long)]
    endpoint: Option<String>,
    /// Recurring schedules of 5 s.
    #[arg(long, default_value_t = 1_000)]
    schedules: usize,
    /// For so many minutes of theirs. From 11 on, each of them plans at least once.
    #[arg(long, default_value_t = 12)]
    minutes: u64,
    /// One-time callbacks of each kind.
    #[arg(long, default_value_t = 100)]
    callbacks: usize,
    /// Only the table of AWS's calls for each use case, as it stands in `infra/cost.md`.
    #[arg(long)]
    calls: bool,
}

/// What a figure must not exceed, for an execution or a callback.
pub struct Target {
    pub write_units: f64,
    pub read_units: f64,
    pub schedules_fired: f64,
    pub dollars: f64,
}

const RECURRING: Target = Target { write_units: 3.1, read_units: 1.1, schedules_fired: 0.0, dollars: 2.60 };
const ONE_TIME: Target =
    Target { write_units: 8.0, read_units: f64::INFINITY, schedules_fired: 1.0, dollars: 8.50 };
const LIMITED: Target =
    Target { write_units: 14.0, read_units: f64::INFINITY, schedules_fired: 1.0, dollars: 12.50 };

/// Where it misses, in words.
fn misses(one: &One, target: &Target, prices: &Prices) -> Vec<String> {
    let dollars = bill::total(&bill::bill(one, &Assumptions::default(), prices));
    let parts = [
        ("write units", one.usage.write_units, target.write_units),
        ("read units", one.usage.read_units, target.read_units),
        ("EventBridge invocations", one.usage.schedules_fired, target.schedules_fired),
        ("dollars per million at ten a batch", dollars, target.dollars),
    ];
    let over = parts.into_iter().filter(|(_, found, most)| found.is_nan() || found > most);
    over.map(|(what, found, most)| format!("{what}: {found:.3}, where {most} is the most")).collect()
}

const BEGINNING: Timestamp = Timestamp::from_millis(1_795_000_000_000);
/// More notice than a queue can delay by.
const HOUR: Span = Span::from_secs(3600);

pub async fn run(options: Options) -> anyhow::Result<()> {
    // It starts a process and waits for it.
    let endpoint = match options.endpoint.clone() {
        Some(endpoint) => endpoint,
        None => tokio::task::spawn_blocking(|| Emulator::ministack().endpoint().to_owned()).await?,
    };
    if options.calls {
        println!("{}", calls(&endpoint).await?);
        return Ok(());
    }
    let prices = Prices::read()?;
    let world = World::start(&endpoint, BEGINNING).await?;
    let requests = cases::requests(&world).await?;
    let world = World::start(&endpoint, BEGINNING).await?;
    let one_time = cases::one_time(&world, &world.free, options.callbacks, HOUR, 10).await?;
    let limited = cases::one_time(&world, &world.limited, options.callbacks, HOUR, 10).await?;
    let near = cases::one_time(&world, &world.free, options.callbacks, Span::from_secs(300), 10).await?;
    let in_25 = cases::in_batches(&world, 25, HOUR).await?;
    let in_100 = cases::in_batches(&world, 100, HOUR).await?;
    let world = World::start(&endpoint, BEGINNING).await?;
    let hourly = cases::recurring(&world, 10, "1h", Span::from_secs(4 * 3600), 10).await?;
    let world = World::start(&endpoint, BEGINNING).await?;
    let stretch = Span::from_secs(options.minutes * 60);
    let recurring = cases::recurring(&world, options.schedules, "5s", stretch, 10).await?;

    let kinds = [
        ("a recurring execution, every 5 s", &recurring),
        ("a recurring execution, every hour", &hourly),
        ("a one-time callback an hour ahead", &one_time),
        ("the same under a counted limit", &limited),
        ("a one-time callback 5 min ahead", &near),
        ("an hour ahead, created 25 at a time", &in_25),
        ("an hour ahead, created 100 at a time", &in_100),
    ];
    println!("{}", tables::assumptions(&prices));
    for (name, one) in kinds {
        println!("{}", tables::bill_of(name, one, &prices));
    }
    println!("{}", tables::memory(&recurring, &prices));
    println!("{}", tables::requests(&requests, &prices));
    println!("{}", tables::standing(&prices));
    let mut missed = Vec::new();
    for (name, one, target) in [
        ("recurring", &recurring, &RECURRING),
        ("one-time", &one_time, &ONE_TIME),
        ("limited", &limited, &LIMITED),
    ] {
        missed.extend(misses(one, target, &prices).into_iter().map(|miss| format!("{name}: {miss}")));
    }
    let summary = |one: &One| {
        let at = |batch| {
            let lines = bill::bill(one, &Assumptions { batch, ..Assumptions::default() }, &prices);
            crate::report::rounded(bill::total(&lines))
        };
        let usage = &one.usage;
        json!({
            "write_units": crate::report::rounded(usage.write_units),
            "reported_write_units": crate::report::rounded(usage.reported_write_units),
            "read_units": crate::report::rounded(usage.read_units),
            "reported_read_units": crate::report::rounded(usage.reported_read_units),
            "swept": crate::report::rounded(usage.swept),
            "dollars_per_million": {"1": at(1.0), "3": at(3.0), "10": at(10.0)},
        })
    };
    let kinds: serde_json::Map<String, Value> =
        kinds.iter().map(|(name, one)| ((*name).to_owned(), summary(one))).collect();
    println!("{}", json!({"bench": "cost", "kinds": kinds, "missed": missed}));
    if missed.is_empty() { Ok(()) } else { bail!("targets missed: {}", missed.join("; ")) }
}

/// The table of AWS's calls for each use case.
async fn calls(endpoint: &str) -> anyhow::Result<String> {
    let world = World::start(endpoint, BEGINNING).await?;
    let mut all = cases::requests(&world).await?;
    let world = World::start(endpoint, BEGINNING).await?;
    all.extend(cases::background(&world).await?);
    Ok(tables::calls(&all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_budget_holds() {
        let endpoint = Emulator::ministack().endpoint();
        let prices = Prices::read().expect("the price table is read");
        let world = World::start(endpoint, BEGINNING).await.expect("a world");
        let recurring = cases::recurring(&world, 3, "5s", Span::from_secs(660), 10).await.expect("it runs");
        assert_eq!(misses(&recurring, &RECURRING, &prices), Vec::<String>::new());
        let world = World::start(endpoint, BEGINNING).await.expect("a world");
        let one_time = cases::one_time(&world, &world.free, 5, HOUR, 10).await.expect("it runs");
        assert_eq!(misses(&one_time, &ONE_TIME, &prices), Vec::<String>::new());
        let limited = cases::one_time(&world, &world.limited, 5, HOUR, 10).await.expect("it runs");
        assert_eq!(misses(&limited, &LIMITED, &prices), Vec::<String>::new());
        for one in [&recurring, &one_time, &limited] {
            let usage = &one.usage;
            // The emulator says nothing of failed conditions, of which there are none here.
            let apart = (usage.write_units - usage.reported_write_units).abs();
            assert!(
                apart < 0.01,
                "ours {}, the emulator's {}",
                usage.write_units,
                usage.reported_write_units
            );
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_page_lists_the_calls_that_are_made() {
        let table = calls(Emulator::ministack().endpoint()).await.expect("it runs");
        let page = include_str!("../../../infra/cost.md");
        let told = "infra/cost.md is behind: put the output of `rondo-bench cost --calls` there";
        assert!(page.contains(table.trim()), "{told}\n{table}");
    }
}
