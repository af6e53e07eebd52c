//! What a scheduled push costs on one machine: planning one occasion for many devices in every zone, telling them, and
//! encrypting and signing what a browser gets.

mod crypto;
mod devices;
mod memory;
mod occasion;
mod sender;
mod timetable;

use crate::{child::Running, child::finish, report};
use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::{Value, json};

pub use devices::{Registry, fill};
pub use occasion::run as run_occasion;

#[derive(Args)]
pub struct Options {
    /// Devices, evenly over all zones; one in a hundred has none of its own.
    #[arg(long, default_value_t = 100_000)]
    devices: usize,
    /// So many in a hundred have a best time. Devices are kept by zone and best hour: with histories there are some 25
    /// times as many groups of them.
    #[arg(long, default_value_t = 0)]
    histories: usize,
    /// Where the data folder is made; its disk is what is measured.
    #[arg(long)]
    folder: Option<std::path::PathBuf>,
    #[command(flatten)]
    crypto: crypto::Crypto,
}

pub async fn run(options: Options) -> anyhow::Result<()> {
    let crypto = crypto::measure(&options.crypto)?;
    let folder = super::child_folder(options.folder.as_deref())?;
    let data = folder.path().join("data").to_string_lossy().into_owned();
    let (devices, histories) = (options.devices.to_string(), options.histories.to_string());
    let registry = ["--data", &data, "--devices", &devices, "--histories", &histories];
    finish(&[&["push-registry-child"], &registry[..]].concat()).await?;
    let mut child = Running::start(&[&["push-occasion-child"], &registry[..]].concat()).await?;
    let found: Value = serde_json::from_str(&child.line().await?)?;
    child.stop().await?;
    let seconds = |name: &str| found[name].as_f64().with_context(|| format!("the child did not say {name}"));
    let (planned, read) = (seconds("planned_s")?, seconds("control_s")?);
    report::print(
        "push",
        "s",
        planned,
        read,
        json!({
            "value_is": "planning one occasion for all devices",
            "control_is": "reading every device once, group by group",
            "occasion": found,
            "crypto": crypto,
            "settings": {"devices": options.devices, "histories": options.histories},
        }),
    );
    for name in ["missing", "doubled", "at_another_time", "unfinished"] {
        let count = found["told"][name].as_u64().context("what became of the devices")?;
        ensure!(count == 0, "{name}: {count}; every device is to be told exactly once, when it is due");
    }
    Ok(())
}
