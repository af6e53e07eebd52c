//! `rondo serve` as a process: signals, locks, ports, credentials from the environment.

use crate::{BINARY, Desk};
use rondo::receiver::{Answer, Receiver};
use rondo_tests::serve::{CREDENTIALS, Serve};
use std::{path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[tokio::test]
async fn sigterm_and_sigint_end_it_with_0_within_ten_seconds() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    // Both fail unless it ends with 0 within 10 s.
    desk.serve(&[]).await?.terminate().await?;
    desk.serve(&[]).await?.end_by("INT").await?;

    // Nor does a callback that nobody answers keep it.
    let silent = Answer { after: Duration::from_secs(60), ..Answer::default() };
    let mut receiver = Receiver::start("127.0.0.1:0", Vec::new(), silent).await?;
    let serve = desk.serve(&["--allow-private-targets", "--force-profile"]).await?;
    let host = serve.url();
    desk.json(&["add", "--after", "0s", "-u", &receiver.server.url(), "--timeout", "30s", "--host", &host])
        .await?;
    assert!(receiver.arrivals.recv().await.is_some());
    serve.terminate().await
}

#[tokio::test]
async fn a_held_folder_and_a_busy_port_are_told_apart() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let serve = desk.serve(&[]).await?;
    let held = desk.rondo(&["serve", "--listen", "127.0.0.1:0", "--data", "data"]).await?;
    assert_eq!((held.code, held.out.as_str()), (1, ""));
    assert!(
        held.err.contains("is in use by another process") && held.err.contains("hint: one process at a time"),
        "{}",
        held.err
    );
    let address = serve.url().replace("http://", "");
    let busy = desk.rondo(&["serve", "--listen", &address, "--data", "other"]).await?;
    assert_eq!(busy.code, 1);
    assert!(busy.err.contains(&format!("cannot listen on {address}: ")), "{}", busy.err);
    assert!(busy.err.contains("hint: another process listens there"), "{}", busy.err);
    assert!(!desk.path("other").exists(), "the port is taken first, and then the folder");
    serve.terminate().await
}

#[tokio::test]
async fn credentials_of_the_environment_are_made_sure_of() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let data = desk.path("data");
    let first = Serve::start(&data).await?;
    let list = |url: String, secret: &'static str| {
        let mut command = desk.command(&["list", "--host", &url]);
        command.env("RONDO_APP_KEY", CREDENTIALS.0).env("RONDO_APP_SECRET", secret);
        crate::ran(command)
    };
    assert_eq!(list(first.url(), CREDENTIALS.1).await?.code, 0);
    first.terminate().await?;

    let mut changed = Serve::command(Path::new(BINARY), &data);
    changed.args(["--listen", "127.0.0.1:0"]);
    changed.env("RONDO_APP_KEY", CREDENTIALS.0).env("RONDO_APP_SECRET", "another-secret-of-24-characters");
    let second = Serve::spawn(changed).await?;
    assert_eq!(list(second.url(), CREDENTIALS.1).await?.code, 1, "just these credentials, and no others");
    assert_eq!(list(second.url(), "another-secret-of-24-characters").await?.code, 0);
    second.terminate().await?;

    for (key, secret, why) in [
        ("test-app", "too-short", "at least 24"),
        ("", "another-secret-of-24-characters", "go together"),
        ("not a key", "another-secret-of-24-characters", "RONDO_APP_KEY"),
    ] {
        let mut wrong = Serve::command(Path::new(BINARY), &data);
        wrong.args(["--listen", "127.0.0.1:0"]).env("RONDO_APP_KEY", key).env("RONDO_APP_SECRET", secret);
        let ran = crate::ran(wrong).await?;
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.err.contains(why) && !ran.err.contains(secret), "{}", ran.err);
    }
    Ok(())
}

#[tokio::test]
async fn private_targets_are_refused_unless_allowed() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let serve = desk.serve(&[]).await?;
    let add = ["add", "-i", "1h", "-u", "http://127.0.0.1:9/"];
    let refused = desk.rondo(&add).await?;
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("--return-url is the loopback address"), "{}", refused.err);
    serve.terminate().await?;
    let mut allowed = Serve::command(Path::new(BINARY), &desk.path("data"));
    allowed.args(["--listen", "127.0.0.1:0"]).env("RONDO_ALLOW_PRIVATE_TARGETS", "1");
    let serve = Serve::spawn(allowed).await?;
    assert_eq!(desk.rondo(&[&add[..], &["--host", &serve.url()]].concat()).await?.code, 0);
    Ok(())
}

#[tokio::test]
async fn metrics_have_a_listener_of_their_own() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let serve = desk.serve(&["--metrics-listen", "127.0.0.1:0"]).await?;
    serve.says("metrics at http://127.0.0.1:").await?;
    let said = serve.said();
    let url = said.lines().find_map(|line| line.strip_prefix("metrics at ")).unwrap_or_default();
    let get = async |address: &str| {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let page = get(url.trim_start_matches("http://").trim_end_matches("/metrics")).await?;
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("\nrondo_troubles_total 0\n"), "{page}");
    let api = get(serve.url().trim_start_matches("http://")).await?;
    assert!(api.starts_with("HTTP/1.1 404 "), "nothing of it on the public port: {api}");
    serve.terminate().await
}
