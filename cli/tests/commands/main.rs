//! The command line against a real `rondo serve`, over a real socket: what a user types, and what comes back.

mod apps;
mod demo;
mod doctor;
mod listen;
mod process;
mod profiles;
mod pushes;
mod schedules;

use anyhow::{Context as _, ensure};
use rondo_tests::serve::Serve;
use serde_json::Value;
use std::{env, fs, os::unix::fs::MetadataExt as _, path::Path, path::PathBuf, process::Stdio};
use tokio::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_rondo");

/// A folder of the test's own, with a data folder and a profile file in it.
struct Desk {
    folder: tempfile::TempDir,
}

/// What a command left behind.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> anyhow::Result<Desk> {
        Ok(Desk { folder: tempfile::tempdir()? })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `rondo serve` on a free port, at its first start: it makes the default app and the default profile.
    async fn serve(&self, arguments: &[&str]) -> anyhow::Result<Serve> {
        let mut command = Serve::command(Path::new(BINARY), &self.path("data"));
        command.env("RONDO_CONFIG", self.path("profiles.json"));
        command.args(["--listen", "127.0.0.1:0"]).args(arguments);
        Serve::spawn(command).await
    }

    /// The command, with no environment but this desk's profiles.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RONDO_")) {
            command.env_remove(name);
        }
        command.env("RONDO_CONFIG", self.path("profiles.json")).current_dir(self.folder.path());
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn rondo(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        ran(self.command(arguments)).await
    }

    /// Must succeed; answers what it printed, as JSON.
    async fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let ran = self.rondo(&[arguments, &["--json"]].concat()).await?;
        ensure!(ran.code == 0, "{arguments:?}: {ran:?}");
        serde_json::from_str(&ran.out).with_context(|| format!("{arguments:?}: {ran:?}"))
    }

    fn profile(&self, name: &str) -> anyhow::Result<Value> {
        let text = fs::read_to_string(self.path("profiles.json"))?;
        Ok(serde_json::from_str::<Value>(&text)?["profiles"][name].take())
    }
}

async fn ran(mut command: Command) -> anyhow::Result<Ran> {
    let output = command.output().await?;
    Ok(Ran {
        code: output.status.code().context("it ended by itself")?,
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}

fn mode(path: &Path) -> anyhow::Result<u32> {
    Ok(fs::metadata(path)?.mode() & 0o777)
}
