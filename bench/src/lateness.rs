//! Lateness at a steady rate, with many schedules pending far ahead.

use crate::{
    api,
    child::{Running, finish},
    moment, report,
    sink::{Sink, judge},
};
use clap::Args;
use serde_json::json;
use std::time::Duration;

#[derive(Args)]
pub struct Options {
    /// Callbacks per second.
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    /// Seconds of load.
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// Schedules pending far ahead.
    #[arg(long, default_value_t = 100_000)]
    pending: u64,
    /// Where the data folder is made; its disk is what is measured.
    #[arg(long)]
    folder: Option<std::path::PathBuf>,
}

pub async fn run(options: Options) -> anyhow::Result<()> {
    let folder = super::child_folder(options.folder.as_deref())?;
    let data = folder.path().join("data").to_string_lossy().into_owned();
    let sink = Sink::start().await?;
    let begun = moment::micros();
    finish(&["preload-child", "--data", &data, "--schedules", &options.pending.to_string()]).await?;
    let preload_seconds = (moment::micros() - begun) as f64 / 1e6;
    eprintln!("{} schedules pending, created in {preload_seconds:.1} s", options.pending);

    let service = Running::start(&["serve-child", "--data", &data]).await?;
    let startup: f64 = service.said[1].parse()?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let resident_at_start = service.resident()?;

    let calls = (options.rate * options.seconds) as usize;
    let first = moment::millis() + 8_000 + (calls as f64 / 4.0) as i64;
    let due = |number: usize| first + (number as f64 / options.rate * 1000.0) as i64;
    api::register(&service.said[0], (0..calls).map(|number| api::once(&sink.url(), due(number))).collect())
        .await?;
    let spare = first - moment::millis();
    anyhow::ensure!(spare > 3_000, "registering took too long: {spare} ms left before the first is due");
    let cpu_before = service.cpu()?;
    moment::sleep_until((due(calls) + 3_000) * 1000).await;
    let cpu = service.cpu()? - cpu_before;
    let resident = service.resident()?;
    let rondo = judge(&sink.take(), calls);
    service.stop().await?;

    let (rate, number) = (options.rate.to_string(), calls.to_string());
    let arguments =
        ["timers-child", "--url", &sink.url(), "--calls", &number, "--rate", &rate, "--concurrency", "256"];
    let mut timers = Running::start(&arguments).await?;
    timers.line().await?;
    let control = judge(&sink.take(), calls);

    let (ours, theirs) = (report::percentiles(&rondo.lateness), report::percentiles(&control.lateness));
    let p99 = |of: &serde_json::Value| of["p99"].as_f64().unwrap_or(f64::NAN);
    report::print(
        "lateness",
        "ms (p99)",
        p99(&ours),
        p99(&theirs),
        json!({
            "percentiles": ours, "control_percentiles": theirs,
            "early": rondo.early, "missing": rondo.missing, "doubled": rondo.doubled,
            "startup_ms": startup, "resident_mb_at_start": resident_at_start, "resident_mb": resident,
            "cpu_s_per_1000": report::rounded(cpu / calls as f64 * 1000.0),
            "settings": {"rate": options.rate, "seconds": options.seconds, "pending": options.pending},
        }),
    );
    Ok(())
}
