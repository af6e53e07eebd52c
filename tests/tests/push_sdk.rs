//! The vendor's own SDK, unmodified, against a real `rondo serve`: all six schedule calls, errors included
//! (`tests/push/sdk_run.py` checks every answer). Once with an app that pushes through a gateway, once with one that
//! pushes directly and has nobody to push to.

use anyhow::{Context as _, ensure};
use rondo_tests::{
    emulator::{checkout, python},
    push_tools::{Tool, UPSTREAM, set_push},
    serve::{CREDENTIALS, Serve, binary},
};
use tokio::process::Command;

/// The transcript, where every check was good.
async fn run(url: &str, fires: &str) -> anyhow::Result<String> {
    let mut command = Command::new(python("push"));
    command.arg(checkout().join("tests/push/sdk_run.py")).arg(url).args(["--fires", fires]);
    command.env("RONDO_APP_KEY", CREDENTIALS.0).env("RONDO_APP_SECRET", CREDENTIALS.1).env("PYTHONUTF8", "1");
    let output = command.output().await?;
    let (said, troubles) = (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{said}\n{troubles}");
    Ok(said)
}

/// The last line says how many there were.
fn checks(transcript: &str) -> anyhow::Result<u32> {
    let last = transcript.lines().last().context("a transcript")?;
    let count = last.strip_suffix(" checks, 0 wrong").with_context(|| last.to_owned())?;
    Ok(count.parse()?)
}

#[tokio::test]
async fn it_works_through_a_gateway() -> anyhow::Result<()> {
    let (folder, gateway) = (tempfile::tempdir()?, Tool::gateway().await?);
    let mut command = Serve::command(&binary()?, folder.path());
    command.args(["--listen", "127.0.0.1:0", "--push-gateway", gateway.url()]);
    command.env("RONDO_APP_KEY", CREDENTIALS.0).env("RONDO_APP_SECRET", CREDENTIALS.1);
    let serve = Serve::spawn(command).await?;
    set_push(folder.path(), CREDENTIALS.0, &["--upstream-key", UPSTREAM.0], Some(UPSTREAM.1)).await?;
    let transcript = run(&serve.url(), "gateway").await?;
    ensure!(checks(&transcript)? >= 200, "{transcript}");
    // The one that was sent at once, and the one that came due.
    let arrivals = gateway.arrivals().await?;
    ensure!(arrivals.len() == 2 && arrivals.iter().all(|push| push["status"] == 200), "{arrivals:#?}");
    serve.terminate().await
}

#[tokio::test]
async fn it_works_where_nobody_is_registered() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let serve = Serve::start(folder.path()).await?;
    let transcript = run(&serve.url(), "nobody").await?;
    ensure!(checks(&transcript)? >= 200, "{transcript}");
    serve.terminate().await
}
