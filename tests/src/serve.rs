//! A real `rondo serve`: the built binary as a process of its own, on a free port, with the data folder that the
//! test gives it. So what is tested is what is run: the process, its disk, its sockets and its signals.
//!
//! The binary is `RONDO_BINARY`, or `rondo` beside the test's own executable, built anew where it is older than
//! the sources.

use anyhow::{Context as _, bail, ensure};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, Command},
    time::{sleep, timeout},
};

/// Key and secret of the app that [`Serve::start`] makes sure of.
pub const CREDENTIALS: (&str, &str) = ("test-app", "a-secret-for-tests-of-the-process");

/// How long a start may take; a debug build on a busy machine, with a folder to repair.
const START_WITHIN: Duration = Duration::from_secs(30);
/// How long an ordinary stop may take.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// A running service. Dropping it kills it.
pub struct Serve {
    child: Child,
    url: String,
    said: Arc<Mutex<String>>,
}

impl Serve {
    /// With [`CREDENTIALS`], and targets on loopback allowed.
    pub async fn start(data: &Path) -> anyhow::Result<Serve> {
        let mut command = Serve::command(&binary()?, data);
        command.args(["--listen", "127.0.0.1:0", "--allow-private-targets"]);
        command.env("RONDO_APP_KEY", CREDENTIALS.0).env("RONDO_APP_SECRET", CREDENTIALS.1);
        Serve::spawn(command).await
    }

    /// `serve --data DIR` with nothing of this process's own settings or profiles; profiles go beside the data.
    pub fn command(binary: &Path, data: &Path) -> Command {
        let mut command = Command::new(binary);
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RONDO_")) {
            command.env_remove(name);
        }
        command.env("RONDO_CONFIG", data.with_extension("profiles.json"));
        command.arg("serve").arg("--data").arg(data);
        command
    }

    /// Starts it, and waits until it listens.
    pub async fn spawn(mut command: Command) -> anyhow::Result<Serve> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("`rondo serve` cannot be started")?;
        let stdout = child.stdout.take().context("its output")?;
        let stderr = child.stderr.take().context("its messages")?;
        let said = Arc::new(Mutex::new(String::new()));
        let listening = Arc::clone(&said);
        let messages = tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let mut said = listening.lock().unwrap_or_else(PoisonError::into_inner);
                said.push_str(&line);
                said.push('\n');
            }
        });
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let read = timeout(START_WITHIN, stdout.read_line(&mut line)).await;
        let Some(url) = line.trim().strip_prefix("listening on ").map(str::to_owned) else {
            // It has ended, or is about to: what it said is whole.
            let _ = timeout(Duration::from_secs(2), messages).await;
            let said = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
            read.context("`rondo serve` did not listen in time")??;
            bail!("`rondo serve` does not listen, it says {line:?}:\n{said}");
        };
        // Whatever else it prints is read and let go, so that it never waits for a reader.
        tokio::spawn(async move {
            let mut rest = Vec::new();
            let _ = stdout.read_to_end(&mut rest).await;
        });
        Ok(Serve { child, url, said })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// What it has said on stderr so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has said this on stderr, which is read beside stdout and so may come a moment later.
    pub async fn says(&self, text: &str) -> anyhow::Result<()> {
        for _ in 0..500 {
            if self.said().contains(text) {
                return Ok(());
            }
            sleep(Duration::from_millis(10)).await;
        }
        bail!("it has not said {text:?}, but:\n{}", self.said())
    }

    /// `kill -9`: no farewell of any kind.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// SIGTERM; fails unless it ends with 0 within 10 s.
    pub async fn terminate(self) -> anyhow::Result<()> {
        self.end_by("TERM").await
    }

    /// The same by any signal that asks for an end.
    pub async fn end_by(mut self, signal: &str) -> anyhow::Result<()> {
        self.signal(signal).await?;
        let ended: ExitStatus = timeout(STOP_WITHIN, self.child.wait()).await.with_context(|| {
            format!("still running {STOP_WITHIN:?} after SIG{signal}:\n{}", self.said())
        })??;
        ensure!(ended.success(), "ended with {ended} after SIG{signal}:\n{}", self.said());
        Ok(())
    }

    /// Sends a signal by name, by way of the shell's own `kill`.
    pub async fn signal(&self, name: &str) -> anyhow::Result<()> {
        let pid = self.pid().context("it has ended already")?;
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status().await?;
        ensure!(sent.success(), "signal {name} cannot be sent to {pid}");
        Ok(())
    }
}

/// The binary under test, built once per process where that is needed.
pub fn binary() -> anyhow::Result<PathBuf> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = BINARY.get_or_init(|| find_or_build().map_err(|error| format!("{error:#}")));
    found.clone().map_err(anyhow::Error::msg)
}

fn find_or_build() -> anyhow::Result<PathBuf> {
    if let Some(given) = env::var_os("RONDO_BINARY") {
        return Ok(given.into());
    }
    // target/PROFILE/deps/TEST-hash
    let test = env::current_exe()?;
    let folder = test.ancestors().nth(2).context("the test lies in target/PROFILE/deps")?;
    let binary = folder.join("rondo");
    let built = fs::metadata(&binary).and_then(|metadata| metadata.modified()).ok();
    if built.is_none_or(|built| newest_source().is_some_and(|newest| newest > built)) {
        let mut cargo = std::process::Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--package", "rondo"]).current_dir(workspace());
        cargo.arg("--target-dir").arg(folder.parent().context("the target folder")?);
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        ensure!(cargo.status()?.success(), "the `rondo` binary cannot be built");
    }
    Ok(binary)
}

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// When a source of the binary was changed last.
fn newest_source() -> Option<SystemTime> {
    let shared =
        ["domain", "http-api", "local", "outbound"].map(|name| workspace().join("shared").join(name));
    let mut folders: Vec<PathBuf> = shared.map(|folder| folder.join("src")).into();
    folders.push(workspace().join("cli/src"));
    let mut newest = None;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => newest = newest.max(metadata.modified().ok()),
                Err(_) => {}
            }
        }
    }
    newest
}
