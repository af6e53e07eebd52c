//! Profiles and secrets on disk: private, found again, and never overwritten unasked.

use crate::{Desk, mode};
use anyhow::Context as _;
use std::{fs, os::unix::fs::PermissionsExt as _};

#[tokio::test]
async fn the_first_start_leaves_secrets_and_a_profile_for_their_owner_alone() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let serve = desk.serve(&[]).await?;
    let secrets = desk.path("data/default-app.txt").canonicalize()?;
    serve.says(&format!("its secrets are in {}", secrets.display())).await?;
    serve.says("profile \"default\" written to").await?;
    let said = serve.said();
    let text = fs::read_to_string(&secrets)?;
    let profile = desk.profile("default")?;
    for name in ["app_key", "app_secret"] {
        let value = profile[name].as_str().context("a value")?;
        assert!(text.contains(value), "{name}");
    }
    let secret = profile["app_secret"].as_str().context("a secret")?;
    assert!(!said.contains(secret), "a log is no place for secrets: {said}");
    assert_eq!(
        (profile["host"].as_str(), profile["signing_secrets"][0].as_str().map(|s| &s[..6])),
        (Some(&*serve.url()), Some("whsec_"))
    );
    for name in ["profiles.json", "data/default-app.txt", "data/sealing.key", "data/rondo.db"] {
        assert_eq!(mode(&desk.path(name))?, 0o600, "{name}");
    }
    assert_eq!(mode(&desk.path("data"))?, 0o700);
    assert_eq!(desk.rondo(&["list"]).await?.code, 0, "client commands work at once");

    serve.terminate().await?;
    let again = desk.serve(&[]).await?;
    assert_eq!(again.said(), "", "a second start makes nothing new");
    assert_eq!(desk.profile("default")?["app_key"], profile["app_key"]);
    Ok(())
}

#[tokio::test]
async fn a_profile_is_overwritten_only_when_asked() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let before = r#"{"profiles":{"default":{"host":"https://rondo.example","app_key":"mine","app_secret":"precious"}}}"#;
    fs::write(desk.path("profiles.json"), before)?;
    let serve = desk.serve(&[]).await?;
    serve.says("is another one, and was kept\nhint: --force-profile").await?;
    assert_eq!(fs::read_to_string(desk.path("profiles.json"))?, before);

    let create = ["app", "create", "new", "--data", "data", "--save-profile", "default", "--json"];
    assert!(desk.rondo(&create).await?.err.contains("was kept"));
    assert_eq!(desk.profile("default")?["app_secret"], "precious");
    assert_eq!(desk.rondo(&[&create[..], &["--force-profile"]].concat()).await?.code, 0);
    assert_ne!(desk.profile("default")?["app_secret"], "precious");
    assert_eq!(mode(&desk.path("profiles.json"))?, 0o600, "and is private from then on");
    Ok(())
}

#[tokio::test]
async fn flag_goes_before_environment_and_environment_before_profile() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    // Nobody listens on port 1, 2 or 3: the failure says who was asked.
    let profile = r#"{"profiles":{"default":{"host":"http://127.0.0.1:1","app_key":"a","app_secret":"b"}}}"#;
    fs::write(desk.path("profiles.json"), profile)?;
    let open = desk.rondo(&["list"]).await?;
    assert!(open.err.starts_with("warning: ") && open.err.contains("\nhint: chmod 600 "), "{}", open.err);
    fs::set_permissions(desk.path("profiles.json"), fs::Permissions::from_mode(0o600))?;
    let asked = async |arguments: &[&str], environment: Option<&str>| {
        let mut command = desk.command(arguments);
        command.envs(environment.map(|host| ("RONDO_HOST", host)));
        anyhow::Ok(crate::ran(command).await?.err)
    };
    assert!(asked(&["list"], None).await?.contains("http://127.0.0.1:1\n"));
    assert!(asked(&["list"], Some("127.0.0.1:2")).await?.contains("http://127.0.0.1:2\n"));
    assert!(
        asked(&["list", "--host", "127.0.0.1:3"], Some("127.0.0.1:2"))
            .await?
            .contains("http://127.0.0.1:3\n")
    );
    let unknown = desk.rondo(&["list", "--profile", "nobody"]).await?;
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.starts_with("error: there is no profile \"nobody\" in "), "{}", unknown.err);
    Ok(())
}
