//! The process that is measured: this very program, started again in another role, so that its memory and its
//! start are its own.

use crate::{api::CREDENTIALS, coldstart::handshake, control, moment, push};
use anyhow::{Context as _, bail};
use clap::Subcommand;
use rondo::service::{Service, ServiceOptions};
use rondo_domain::{
    app::App,
    call::Method,
    engine::{Draft, Engine},
    policy::{Delivery, Policy},
    schedule::{Body, HttpTarget, Target},
    time::Timestamp,
    trigger::{Single, Trigger},
};
use std::{collections::BTreeMap, path::Path, path::PathBuf, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};
use url::Url;

#[derive(Subcommand)]
pub enum Role {
    /// The service itself.
    #[command(name = "serve-child", hide = true)]
    Serve {
        #[arg(long)]
        data: PathBuf,
    },
    /// Fills a data folder with schedules due far ahead, and ends.
    #[command(name = "preload-child", hide = true)]
    Preload {
        #[arg(long)]
        data: PathBuf,
        #[arg(long)]
        schedules: u64,
    },
    /// Bare timers and the HTTP client.
    #[command(name = "timers-child", hide = true)]
    Timers(control::Timers),
    /// The HTTP client in a closed loop.
    #[command(name = "loop-child", hide = true)]
    Loop(control::Loop),
    /// TLS handshakes with a server on this machine.
    #[command(name = "handshake-child", hide = true)]
    Handshake(handshake::Client),
    /// An API that answers without storing.
    #[command(name = "answer-child", hide = true)]
    Answer,
    /// Fills a data folder with devices, and ends.
    #[command(name = "push-registry-child", hide = true)]
    PushRegistry(push::Registry),
    /// One occasion of a push for them.
    #[command(name = "push-occasion-child", hide = true)]
    PushOccasion(push::Registry),
}

pub async fn play(role: Role) -> anyhow::Result<()> {
    match role {
        Role::Serve { data } => serve(&data).await,
        Role::Preload { data, schedules } => preload(&data, schedules).await,
        Role::Timers(timers) => control::timers(timers).await,
        Role::Loop(options) => control::closed_loop(options).await,
        Role::Handshake(client) => handshake::client(&client),
        Role::Answer => control::answer().await,
        Role::PushRegistry(registry) => push::fill(registry).await,
        Role::PushOccasion(registry) => push::run_occasion(registry).await,
    }
}

async fn start(data: &Path) -> anyhow::Result<Service> {
    let (key, secret) = CREDENTIALS;
    let mut options = ServiceOptions::new(data, "127.0.0.1:0");
    options.allow_private_targets = true;
    let prepared = Service::prepare(options).await?;
    let world = &prepared.world;
    world.engine.ensure_app(key.parse()?, secret, &*world.vault).await?;
    Ok(prepared.run()?)
}

async fn serve(data: &Path) -> anyhow::Result<()> {
    let begun = moment::micros();
    let service = start(data).await?;
    println!("ready {} {}", service.address, (moment::micros() - begun) / 1000);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(_)) = lines.next_line().await {}
    service.stop().await;
    Ok(())
}

async fn preload(data: &Path, schedules: u64) -> anyhow::Result<()> {
    let service = start(data).await?;
    let engine = service.engine.clone();
    let app = engine.apps.app(&CREDENTIALS.0.parse()?).await?.context("the bench's app")?;
    // Far ahead, and no two at one instant.
    let first = engine.now().millis() + 30 * 24 * 3_600_000;
    const WRITERS: u64 = 512;
    let writer = |writer: u64| {
        let (engine, app) = (engine.clone(), app.clone());
        tokio::spawn(async move {
            for number in (writer..schedules).step_by(WRITERS as usize) {
                create(&engine, &app, Timestamp::from_millis(first + number as i64)).await?;
            }
            anyhow::Ok(())
        })
    };
    for done in futures_util::future::join_all((0..WRITERS).map(writer)).await {
        done??;
    }
    service.stop().await;
    Ok(())
}

async fn create(engine: &Engine, app: &App, at: Timestamp) -> anyhow::Result<()> {
    let target = HttpTarget {
        url: Url::parse("http://127.0.0.1:9/pending")?,
        method: Method::Post,
        headers: Vec::new(),
        body: Body::Json(serde_json::json!({"pending": true})),
    };
    let draft = Draft {
        received_at: engine.now(),
        name: None,
        trigger: Trigger::Single(Single { at }),
        occurrences: None,
        target: Target::Http(target),
        delivery: Delivery::default(),
        policy: Policy::default(),
        tags: BTreeMap::new(),
        request: None,
        push: None,
    };
    engine.create(app, draft).await?;
    Ok(())
}

/// A child that has said that it is ready.
pub struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it said after `ready`.
    pub said: Vec<String>,
}

impl Running {
    pub async fn start(arguments: &[&str]) -> anyhow::Result<Running> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().context("the child's output")?;
        let mut running = Running { child, lines: BufReader::new(stdout).lines(), said: Vec::new() };
        let line = running.line().await?;
        let mut words = line.split_whitespace().map(str::to_owned);
        if words.next().as_deref() != Some("ready") {
            bail!("the child said {line:?} instead of that it is ready");
        }
        running.said = words.collect();
        Ok(running)
    }

    pub async fn line(&mut self) -> anyhow::Result<String> {
        self.lines.next_line().await?.context("the child ended early")
    }

    /// Resident memory in MB.
    pub fn resident(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap_or(0)))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS")).context("VmRSS")?;
        let kilobytes: f64 = line.split_whitespace().nth(1).context("VmRSS")?.parse()?;
        Ok((kilobytes / 102.4).round() / 10.0)
    }

    /// User and system time so far, in seconds.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id().unwrap_or(0)))?;
        let fields: Vec<&str> = stat.rsplit(") ").next().context("stat")?.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        Ok(ticks / 100.0)
    }

    pub async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        self.child.wait().await?;
        Ok(())
    }
}

/// Runs a child to its end.
pub async fn finish(arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new(std::env::current_exe()?).args(arguments).status().await?;
    if status.success() { Ok(()) } else { bail!("{} ended with {status}", arguments.join(" ")) }
}
