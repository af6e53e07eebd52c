//! As much as goes: throughput under a load above it, and many schedules due at one instant.

use crate::{
    api::{self, Connection},
    child::Running,
    moment, report,
    sink::{Sink, judge},
};
use anyhow::ensure;
use clap::Args;
use serde_json::json;

#[derive(Args)]
pub struct Throughput {
    /// Callbacks in all.
    #[arg(long, default_value_t = 60_000)]
    calls: usize,
    /// Rondo and the control take turns so often; the figures are of the middle one by ratio.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many calls the control has under way at once: as many as Rondo allows one destination.
    #[arg(long, default_value_t = 256)]
    concurrency: usize,
    #[arg(long)]
    folder: Option<std::path::PathBuf>,
}

#[derive(Args)]
pub struct Burst {
    /// Schedules due at the one instant.
    #[arg(long, default_value_t = 20_000)]
    schedules: usize,
    /// Callbacks of the throughput run that makes the ideal.
    #[arg(long, default_value_t = 60_000)]
    calls: usize,
    #[arg(long)]
    folder: Option<std::path::PathBuf>,
}

pub async fn throughput(options: Throughput) -> anyhow::Result<()> {
    let folder = super::child_folder(options.folder.as_deref())?;
    let data = folder.path().join("data").to_string_lossy().into_owned();
    let sink = Sink::start().await?;
    let service = Running::start(&["serve-child", "--data", &data]).await?;
    let mut rounds = Vec::new();
    for _ in 0..options.rounds.max(1) {
        // Offered within half a second: far above what goes, yet not all at one instant.
        let drained = drain(&service, &sink, options.calls, 500).await?;
        let control = control_rate(&sink, options.calls, options.concurrency).await?;
        eprintln!("{:.0}/s against {control:.0}/s: {:.3}", drained.rate, drained.rate / control);
        rounds.push((drained, control));
    }
    service.stop().await?;
    let lost = |of: fn(&Drained) -> usize| rounds.iter().map(|(drained, _)| of(drained)).sum::<usize>();
    let (missing, doubled, early) = (lost(|d| d.missing), lost(|d| d.doubled), lost(|d| d.early));
    rounds.sort_by(|(a, x), (b, y)| (a.rate / x).total_cmp(&(b.rate / y)));
    let ratios: Vec<f64> =
        rounds.iter().map(|(drained, control)| report::rounded(drained.rate / control)).collect();
    let (middle, control) = &rounds[rounds.len() / 2];
    report::print(
        "throughput",
        "callbacks/s",
        middle.rate,
        *control,
        json!({
            "ratios": ratios, "missing": missing, "doubled": doubled, "early": early,
            "cpu_s_per_1000": report::rounded(middle.cpu / options.calls as f64 * 1000.0),
            "settings": {"calls": options.calls, "concurrency": options.concurrency, "rounds": options.rounds},
        }),
    );
    Ok(())
}

pub async fn burst(options: Burst) -> anyhow::Result<()> {
    let folder = super::child_folder(options.folder.as_deref())?;
    let data = folder.path().join("data").to_string_lossy().into_owned();
    let sink = Sink::start().await?;
    let service = Running::start(&["serve-child", "--data", &data]).await?;
    let steady = drain(&service, &sink, options.calls, 500).await?;
    let burst = drain(&service, &sink, options.schedules, 0).await?;
    service.stop().await?;
    let ideal = options.schedules as f64 / steady.rate;
    report::print(
        "burst",
        "s",
        burst.seconds,
        ideal,
        json!({
            "missing": burst.missing, "doubled": burst.doubled, "early": burst.early,
            "lateness": burst.lateness, "throughput": report::rounded(steady.rate),
            "settings": {"schedules": options.schedules, "calls": options.calls},
        }),
    );
    Ok(())
}

struct Drained {
    /// From the first due instant to the last durable completion.
    seconds: f64,
    rate: f64,
    /// Processor time of the service meanwhile, in seconds.
    cpu: f64,
    missing: usize,
    doubled: usize,
    early: usize,
    lateness: serde_json::Value,
}

/// Registers `calls` schedules due over `spread` ms, and waits until the service has recorded every one.
async fn drain(service: &Running, sink: &Sink, calls: usize, spread: i64) -> anyhow::Result<Drained> {
    let authority = &service.said[0];
    let mut connection = Connection::open(authority).await?;
    let before = recorded(&mut connection).await?;
    let first = moment::millis() + 8_000 + calls as i64 / 4;
    let due = |number: usize| first + spread * number as i64 / calls as i64;
    api::register(authority, (0..calls).map(|number| api::once(&sink.url(), due(number))).collect()).await?;
    ensure!(first - moment::millis() > 5_000, "registering took too long");
    sink.take();
    moment::sleep_until(first * 1000).await;
    let cpu = service.cpu()?;
    let give_up = moment::micros() + 120_000_000;
    while recorded(&mut connection).await? - before < calls as u64 {
        ensure!(moment::micros() < give_up, "not drained within two minutes: {} arrived", sink.count());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let seconds = (moment::micros() - first * 1000) as f64 / 1e6;
    let cpu = service.cpu()? - cpu;
    let judged = judge(&sink.take(), calls);
    Ok(Drained {
        cpu,
        seconds,
        rate: calls as f64 / seconds,
        missing: judged.missing,
        doubled: judged.doubled,
        early: judged.early,
        lateness: report::percentiles(&judged.lateness),
    })
}

/// How many executions the service has recorded as over: durable, as it counts none before its commit.
async fn recorded(connection: &mut Connection) -> anyhow::Result<u64> {
    let statistics = connection.get("/v1/stats").await?;
    let count = |name: &str| statistics["executions"][name].as_u64().unwrap_or(0);
    Ok(count("succeeded") + count("failed") + count("missed") + count("skipped"))
}

async fn control_rate(sink: &Sink, calls: usize, concurrency: usize) -> anyhow::Result<f64> {
    let (number, concurrency) = (calls.to_string(), concurrency.to_string());
    let arguments = ["loop-child", "--url", &sink.url(), "--calls", &number, "--concurrency", &concurrency];
    let rate = Running::start(&arguments).await?.line().await?.parse()?;
    sink.take();
    Ok(rate)
}
