//! `rondo-bench`: what Rondo costs and how late it is, each figure beside a control measured in the same run.
//! Every subcommand prints one JSON object on its last line. Build it with `--release`.

mod api;
mod bursts;
mod child;
mod coldstart;
mod control;
mod cost;
mod creates;
mod lateness;
mod moment;
mod push;
mod report;
mod scale;
mod sink;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "rondo-bench", about, version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lateness at a steady rate with many schedules pending, against bare timers and the same HTTP client.
    Lateness(lateness::Options),
    /// Durably completed callbacks per second, against the same HTTP loop without Rondo.
    Throughput(bursts::Throughput),
    /// Many schedules due at one instant: how long they take, against the ideal.
    Burst(bursts::Burst),
    /// Durable creates per second, against the disk's fdatasync rate and the same HTTP loop without storing.
    Creates(creates::Options),
    /// How large the Lambda functions are and what their start takes, against one that does nothing.
    Coldstart(coldstart::Options),
    /// What AWS is asked for, and what that costs: for each execution, callback and request.
    Cost(cost::Options),
    /// Callbacks due at one instant on AWS: what its quotas make of them, reckoned and simulated.
    Scale(scale::Options),
    /// One push for many devices in every zone: planning it, telling them, and what encryption costs.
    Push(push::Options),
    #[command(flatten)]
    Child(child::Role),
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match Arguments::parse().command {
            Command::Lateness(options) => lateness::run(options).await,
            Command::Throughput(options) => bursts::throughput(options).await,
            Command::Burst(options) => bursts::burst(options).await,
            Command::Creates(options) => creates::run(options).await,
            Command::Coldstart(options) => coldstart::run(options).await,
            Command::Cost(options) => cost::run(options).await,
            Command::Scale(options) => tokio::task::spawn_blocking(|| scale::run(options)).await?,
            Command::Push(options) => push::run(options).await,
            Command::Child(role) => child::play(role).await,
        }
    })
}

/// A folder for one run's data, gone afterwards.
fn child_folder(parent: Option<&std::path::Path>) -> anyhow::Result<tempfile::TempDir> {
    Ok(match parent {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    })
}
