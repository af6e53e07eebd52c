//! `rondo app`: through the socket of a running `serve`, and on the folder itself.

use crate::{Desk, mode};
use anyhow::Context as _;
use std::fs;

#[tokio::test]
async fn apps_are_made_listed_rotated_and_removed_while_serve_runs() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let serve = desk.serve(&[]).await?;
    assert_eq!(mode(&desk.path("data/admin.sock"))?, 0o600);
    let made =
        desk.json(&["app", "create", "billing", "--data", "data", "--save-profile", "billing"]).await?;
    let key = made["key"].as_str().context("a key")?;
    assert!(made["signing_secret"].as_str().is_some_and(|secret| secret.starts_with("whsec_")), "{made}");
    assert_eq!(desk.profile("billing")?["host"], serve.url(), "the profile knows where serve listens");
    assert_eq!(desk.json(&["list", "--profile", "billing"]).await?["schedules"], serde_json::json!([]));

    let list = desk.rondo(&["app", "list", "--data", "data"]).await?;
    assert!(list.out.contains(&format!("{key}  ")) && list.out.contains("  billing "), "{}", list.out);
    assert!(!list.out.contains(made["secret"].as_str().context("a secret")?), "lists hold no secrets");

    let rotated = desk.json(&["app", "rotate-secret", key, "--end-old", "--data", "data"]).await?;
    assert_ne!(rotated["secret"], made["secret"]);
    assert_eq!(desk.rondo(&["list", "--profile", "billing"]).await?.code, 1, "the old secret has ended");
    let kept = desk.rondo(&["app", "remove", key, "--data", "data"]).await?;
    assert_eq!(kept.code, 1);
    assert!(kept.err.contains("hint: if that is what you want, say --yes"), "{}", kept.err);
    assert_eq!(desk.rondo(&["app", "remove", key, "--yes", "--data", "data"]).await?.code, 0);
    assert!(!desk.rondo(&["app", "list", "--data", "data"]).await?.out.contains(key));
    let again = desk.rondo(&["app", "remove", key, "--yes", "--data", "data"]).await?;
    assert_eq!((again.code, again.err.as_str()), (1, "error: there is no such app\n"));
    Ok(())
}

#[tokio::test]
async fn without_a_running_serve_the_folder_itself_is_opened() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let missing = desk.rondo(&["app", "list", "--data", "data"]).await?;
    assert_eq!(missing.code, 1);
    assert!(missing.err.starts_with("error: there is no data folder data\nhint: "), "{}", missing.err);
    assert!(!desk.path("data").exists(), "a slip of the pen makes no folder");

    desk.serve(&[]).await?.terminate().await?;
    assert!(!desk.path("data/admin.sock").exists());
    let made = desk.rondo(&["app", "create", "offline", "--key", "offline", "--data", "data"]).await?;
    assert_eq!((made.code, made.out.as_str()), (0, ""), "secrets do not go into pipes unasked: {made:?}");
    let file = desk.path("data/app-offline.txt");
    assert_eq!(mode(&file)?, 0o600);
    let text = fs::read_to_string(file)?;
    assert!(text.starts_with("RONDO_APP_KEY=offline\nRONDO_APP_SECRET="), "{text}");
    let taken = desk.rondo(&["app", "create", "again", "--key", "offline", "--data", "data"]).await?;
    assert_eq!((taken.code, taken.err.as_str()), (1, "error: there is an app offline already\n"));

    // What was made offline is known to the next serve.
    let serve = desk.serve(&[]).await?;
    let secret = text.lines().nth(1).and_then(|line| line.split_once('=')).context("a secret")?.1;
    let mut list = desk.command(&["list", "--host", &serve.url()]);
    list.env("RONDO_APP_KEY", "offline").env("RONDO_APP_SECRET", secret);
    assert_eq!(crate::ran(list).await?.code, 0);
    Ok(())
}

#[tokio::test]
async fn apps_of_a_deployment_are_managed_there() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let arguments = ["app", "create", "the boss's", "--host", "https://rondo.example/stage"];
    let ran = desk.rondo(&arguments).await?;
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    insta::assert_snapshot!("app_of_a_deployment", ran.err);
    // So says the profile, too, where there is no flag.
    let profile =
        r#"{"profiles":{"default":{"host":"https://rondo.example","app_key":"a","app_secret":"b"}}}"#;
    fs::write(desk.path("profiles.json"), profile)?;
    let ran = desk.rondo(&["app", "list"]).await?;
    assert!(ran.err.contains(r#"--payload '{"action":"list"}' /dev/stdout"#), "{}", ran.err);
    let here = desk.rondo(&["app", "list", "--host", "http://localhost:8080"]).await?;
    assert!(!here.err.contains("aws lambda"), "{}", here.err);
    Ok(())
}
