//! `rondo-bench coldstart`: how large each function is and what its start takes, beside a function that does nothing
//! and is built in the same way.

pub mod handshake;
mod standin;
mod start;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::{Value, json};
use standin::StandIn;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// What the functions are held against.
const EMPTY: &str = "empty-function";
const FUNCTIONS: [&str; 6] = ["schedules", "requests", "pushes", "dispatcher", "sweeper", "admin"];
/// What `cargo lambda build --release` sets where the profile does not say otherwise.
const AS_CARGO_LAMBDA: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_STRIP", "symbols"),
    ("CARGO_PROFILE_RELEASE_LTO", "thin"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
];
const MOST_ZIPPED: u64 = 5_000_000;
const MOST_INSTRUCTIONS: f64 = 4.0;

#[derive(Args)]
pub struct Options {
    /// Starts of each function; the empty one takes turns with it.
    #[arg(long, default_value_t = 15)]
    runs: usize,
    /// Binaries that are built already, in place of building them.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Only these functions.
    #[arg(long, value_delimiter = ',')]
    functions: Vec<String>,
}

/// One function's figures.
struct Measured {
    name: String,
    binary: u64,
    zipped: u64,
    instructions: Option<u64>,
    /// ms from exec to the first request for work: the middle one, and the empty function's in the same rounds.
    time: f64,
    empty_time: f64,
    /// What it asked of AWS meanwhile.
    asked: Vec<String>,
}

pub async fn run(options: Options) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let built = match &options.folder {
        Some(folder) => folder.clone(),
        None => build().await?,
    };
    let mut names: Vec<String> = options.functions.clone();
    if names.is_empty() {
        names = FUNCTIONS.map(str::to_owned).to_vec();
    }
    let stand_in = StandIn::start().await?;
    let empty = built.join(EMPTY);
    let empty_instructions = start::instructions(&empty, EMPTY, &stand_in, scratch.path()).await?;
    let mut all = vec![Measured {
        name: EMPTY.to_owned(),
        binary: size(&empty)?,
        zipped: zipped(&empty, scratch.path()).await?,
        instructions: empty_instructions,
        time: f64::NAN,
        empty_time: f64::NAN,
        asked: Vec::new(),
    }];
    for name in names {
        all.push(measure(name, &built, &stand_in, scratch.path(), options.runs).await?);
    }
    let handshake = handshake::instructions(scratch.path()).await?;
    print(&all, handshake);
    Ok(())
}

async fn build() -> anyhow::Result<PathBuf> {
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => PathBuf::from(target),
        None => PathBuf::from("target"),
    };
    let target = target.join("coldstart");
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--locked", "--target-dir"]).arg(&target);
    for package in FUNCTIONS.iter().chain([&EMPTY]) {
        command.args(["-p", package]);
    }
    let status = command.envs(AS_CARGO_LAMBDA).status().await.context("cargo cannot be run")?;
    ensure!(status.success(), "the functions cannot be built");
    Ok(target.join("release"))
}

async fn measure(
    name: String,
    built: &Path,
    stand_in: &StandIn,
    scratch: &Path,
    runs: usize,
) -> anyhow::Result<Measured> {
    let (binary, empty) = (built.join(&name), built.join(EMPTY));
    let (mut times, mut empty_times) = (Vec::new(), Vec::new());
    let mut asked = Vec::new();
    for _ in 0..runs.max(1) {
        empty_times.push(start::time(&empty, EMPTY, stand_in).await?);
        times.push(start::time(&binary, &name, stand_in).await?);
        asked = stand_in.asked();
    }
    Ok(Measured {
        binary: size(&binary)?,
        zipped: zipped(&binary, scratch).await?,
        instructions: start::instructions(&binary, &name, stand_in, scratch).await?,
        time: middle(times),
        empty_time: middle(empty_times),
        asked,
        name,
    })
}

fn middle(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn size(binary: &Path) -> anyhow::Result<u64> {
    Ok(std::fs::metadata(binary).with_context(|| format!("{} is not there", binary.display()))?.len())
}

/// As it is uploaded: one file named `bootstrap`, deflated.
async fn zipped(binary: &Path, scratch: &Path) -> anyhow::Result<u64> {
    const ZIP: &str = "import sys, zipfile\n\
        with zipfile.ZipFile(sys.argv[2], 'w', zipfile.ZIP_DEFLATED, compresslevel=6) as z:\n\
        \x20   z.write(sys.argv[1], 'bootstrap')";
    let target = scratch.join("function.zip");
    let status = Command::new("python3").args(["-c", ZIP]).arg(binary).arg(&target).status().await?;
    ensure!(status.success(), "Python cannot zip it");
    size(&target)
}

fn print(all: &[Measured], handshake: Option<u64>) {
    let empty = all[0].instructions;
    let megabytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1e6);
    println!(
        "| function | binary, MB | zip, MB | instructions to its first request for work | × empty | ms | empty, ms | asked of AWS |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|---|");
    let mut functions = serde_json::Map::new();
    let mut missed = Vec::new();
    for one in all {
        let ratio = one.instructions.zip(empty).map(|(mine, empty)| mine as f64 / empty as f64);
        let millions =
            one.instructions.map_or("not run".to_owned(), |count| format!("{:.2} M", count as f64 / 1e6));
        let times = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
        let ms = |value: f64| if value.is_nan() { String::new() } else { format!("{value:.1}") };
        println!(
            "| {} | {} | {} | {millions} | {times} | {} | {} | {} |",
            one.name,
            megabytes(one.binary),
            megabytes(one.zipped),
            ms(one.time),
            ms(one.empty_time),
            one.asked.iter().filter_map(|name| name.rsplit('.').next()).collect::<Vec<_>>().join(", "),
        );
        if one.zipped > MOST_ZIPPED {
            missed.push(format!("{}: {} MB zipped", one.name, megabytes(one.zipped)));
        }
        if let Some(ratio) = ratio.filter(|ratio| *ratio > MOST_INSTRUCTIONS) {
            missed.push(format!("{}: {ratio:.2} times the empty function's instructions", one.name));
        }
        functions.insert(
            one.name.clone(),
            json!({
                "binary": one.binary,
                "zip": one.zipped,
                "instructions": one.instructions,
                "ratio": ratio.map(crate::report::rounded),
                "ms": (!one.time.is_nan()).then_some(one.time),
                "empty_ms": (!one.empty_time.is_nan()).then_some(one.empty_time),
            }),
        );
    }
    match handshake {
        Some(count) => println!(
            "\nTLS is not in these figures: a handshake takes {:.2} M instructions more for each service reached{}.",
            count as f64 / 1e6,
            if cfg!(debug_assertions) { " (counted without optimisation: build with --release)" } else { "" }
        ),
        None => println!("\nNot run: instructions, as there is no valgrind here."),
    }
    let handshake = handshake.map_or(Value::Null, |count| json!(count));
    println!(
        "{}",
        json!({"bench": "coldstart", "functions": functions, "tls_handshake_instructions": handshake, "missed": missed})
    );
}
