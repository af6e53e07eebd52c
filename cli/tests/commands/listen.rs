//! `rondo listen`: what is signed is verified, what is not is refused.

use crate::Desk;
use anyhow::{Context as _, ensure};
use std::process::Stdio;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

/// Starts it, and answers where it listens.
async fn listening(mut command: Command) -> anyhow::Result<(Child, String)> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stderr.take().context("stderr")?).lines();
    loop {
        let line = lines.next_line().await?.context("it ended early")?;
        if let Some(url) = line.strip_prefix("listening on ") {
            let url = url.to_owned();
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok((child, url));
        }
    }
}

async fn ended(mut child: Child) -> anyhow::Result<(Option<i32>, String)> {
    let mut out = String::new();
    child.stdout.take().context("stdout")?.read_to_string(&mut out).await?;
    Ok((child.wait().await?.code(), out))
}

#[tokio::test]
async fn callbacks_are_verified_with_the_profiles_secret_and_answered_as_told() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let _serve = desk.serve(&["--allow-private-targets"]).await?;
    let listen = [
        "listen",
        "--listen",
        "127.0.0.1:0",
        "--count",
        "2",
        "--json",
        "--status",
        "503",
        "--retry-after",
        "0",
    ];
    let (child, url) = listening(desk.command(&listen)).await?;
    let added =
        desk.json(&["add", "--after", "0s", "-u", &url, "-p", "x", "--retry-initial", "100ms"]).await?;
    let (code, out) = ended(child).await?;
    assert_eq!(code, Some(0), "{out}");
    let lines: Vec<serde_json::Value> = out.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(lines.len(), 2, "{out}");
    for (at, line) in lines.iter().enumerate() {
        assert_eq!((&line["signature"], &line["attempt"]), (&"verified".into(), &(at + 1).into()), "{line}");
        assert_eq!((&line["schedule"], &line["body"]["payload"]), (&added["id"], &"x".into()), "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn a_forged_callback_is_refused_and_makes_it_fail() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let mut command = desk.command(&["listen", "--listen", "127.0.0.1:0", "--count", "1"]);
    command.env("RONDO_SIGNING_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let (child, url) = listening(command).await?;
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await?;
    let forged = "POST /hook HTTP/1.1\r\nhost: x\r\nconnection: close\r\nwebhook-id: a\r\nwebhook-timestamp: 1\r\n\
                  webhook-signature: v1,AAAA\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(forged.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let (code, out) = ended(child).await?;
    assert_eq!(code, Some(1));
    assert!(out.contains("REJECTED (webhook-timestamp is") && out.contains("POST /hook {}"), "{out}");
    Ok(())
}
