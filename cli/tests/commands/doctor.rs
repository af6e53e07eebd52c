//! `rondo doctor` against services that are well, and against such as are not.

use crate::Desk;
use axum::{Router, extract::State, http::header::DATE, response::IntoResponse, routing::get};
use http::StatusCode;
use rondo::receiver::{Answer, Receiver};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, Mutex},
};
use tokio::net::TcpListener;

/// What was found by the check of that name.
fn found<'r>(report: &'r Value, check: &str) -> (&'r str, &'r str) {
    let findings = report["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let finding = findings.iter().find(|finding| finding["check"] == check);
    finding.map_or(("", ""), |finding| {
        (finding["result"].as_str().unwrap_or_default(), finding["finding"].as_str().unwrap_or_default())
    })
}

impl Desk {
    /// Makes the default profile.
    fn known_as(&self, host: &str, key: &str, secret: &str) -> anyhow::Result<()> {
        let profile = json!({"host": host, "app_key": key, "app_secret": secret});
        fs::write(self.path("profiles.json"), json!({"profiles": {"default": profile}}).to_string())?;
        Ok(fs::set_permissions(self.path("profiles.json"), fs::Permissions::from_mode(0o600))?)
    }

    /// What the doctor says, whatever it is; and its exit code.
    async fn doctor(&self, arguments: &[&str]) -> anyhow::Result<(i32, Value, String)> {
        let ran = self.rondo(&[&["doctor", "--json"], arguments].concat()).await?;
        Ok((ran.code, serde_json::from_str(&ran.out)?, ran.err))
    }
}

/// With whatever differs from run to run replaced: numbers, the host, the app's key.
fn tidy(text: &str, host: &str, key: &str) -> String {
    let text = text.replace(host, "HOST").replace(key, "KEY").replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let mut tidied = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if tidied.ends_with('N') => {}
            '0'..='9' => tidied.push('N'),
            other => tidied.push(other),
        }
    }
    tidied
}

#[tokio::test]
async fn a_service_that_is_well() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let serve = desk.serve(&["--allow-private-targets"]).await?;
    let receiver = Receiver::start("127.0.0.1:0", Vec::new(), Answer::default()).await?;
    let url = receiver.server.url();
    let key = desk.profile("default")?["app_key"].take();
    let key = key.as_str().unwrap_or_default();
    let ran = desk.rondo(&["doctor", "--callback", &url, "--after", "100ms"]).await?;
    assert_eq!(ran.code, 0, "{ran:?}");
    insta::assert_snapshot!("doctor_well", tidy(&ran.out, &serve.url(), key));
    assert!(ran.err.starts_with(&format!("waiting for a callback to {url}, due at ")), "{}", ran.err);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);

    let (code, report, err) = desk.doctor(&[]).await?;
    assert_eq!((code, &report["healthy"], err.as_str()), (0, &json!(true), ""));
    assert_eq!(found(&report, "callback"), ("skipped", "not tried: name a URL with --callback"));
    assert_eq!(report["findings"][5]["figures"]["requests"], json!(9));
    let left = desk.json(&["list", "--tag", "rondo=doctor"]).await?;
    assert_eq!(left["schedules"][0]["status"], "finished");
    Ok(())
}

#[tokio::test]
async fn a_callback_that_fails_is_explained() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let serve = desk.serve(&["--allow-private-targets"]).await?;
    let answer = Answer { status: StatusCode::NOT_FOUND, ..Answer::default() };
    let receiver = Receiver::start("127.0.0.1:0", Vec::new(), answer).await?;
    let url = format!("{}/hook?secret=1", receiver.server.url());
    let (code, report, err) = desk.doctor(&["--callback", &url, "--after", "0s"]).await?;
    let (result, says) = found(&report, "callback");
    assert_eq!((code, result, &report["healthy"]), (1, "problem", &json!(false)));
    assert!(says.contains("ms late, answered 404 in "), "{says}");
    let origin = receiver.server.url();
    assert!(
        err.ends_with(&format!(
            "hint: callback: {origin} must answer a POST with 2xx\nerror: one check found a problem\n"
        )),
        "{err}"
    );
    assert!(!err.contains("secret"), "{err}");

    let (_, report, err) = desk.doctor(&["--callback", "http://127.0.0.1:1/", "--after", "0s"]).await?;
    assert!(
        found(&report, "callback").1.ends_with("nobody answered: the connection was refused"),
        "{report:#}"
    );
    assert!(err.contains("must be reachable from where the service runs"), "{err}");
    serve.terminate().await?;

    // Targets on loopback are not allowed here.
    let serve = desk.serve(&[]).await?;
    let (code, report, _) = desk.doctor(&["--callback", &url, "--host", &serve.url()]).await?;
    assert_eq!((code, found(&report, "callback").0), (1, "problem"));
    assert!(found(&report, "callback").1.starts_with("no schedule could be added: "), "{report:#}");
    let usage = desk.rondo(&["doctor", "--callback", "mailto:me@example.com"]).await?;
    assert_eq!(usage.code, 2, "{usage:?}");
    Ok(())
}

#[tokio::test]
async fn credentials_that_are_not_known() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let serve = desk.serve(&[]).await?;
    desk.known_as(&serve.url(), "some-app", "wrong")?;
    let (code, report, err) = desk.doctor(&["--callback", "https://example.com/"]).await?;
    assert_eq!((code, found(&report, "health").0, found(&report, "reach").0), (1, "ok", "ok"));
    assert_eq!(found(&report, "credentials"), ("problem", "key or secret are not known there"));
    assert_eq!(found(&report, "callback"), ("skipped", "the app must be known first"));
    assert!(err.contains("hint: credentials: choose a profile with --profile"), "{err}");
    Ok(())
}

#[tokio::test]
async fn what_is_no_rondo_is_told_apart() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    desk.known_as("http://127.0.0.1:1", "a", "b")?;
    let (code, report, err) = desk.doctor(&[]).await?;
    assert_eq!((code, found(&report, "reach")), (1, ("problem", "nobody listens at http://127.0.0.1:1")));
    assert!(err.contains("hint: reach: start one with `rondo serve`"), "{err}");

    let receiver = Receiver::start("127.0.0.1:0", Vec::new(), Answer::default()).await?;
    let host = receiver.server.url();
    let (code, report, _) = desk.doctor(&["--host", &host]).await?;
    assert_eq!((code, found(&report, "reach").0), (1, "ok"));
    assert_eq!(found(&report, "health").1, "/healthz answers 200 OK, and not as Rondo does");

    let (code, report, _) = desk.doctor(&["--host", &host.replace("http:", "https:")]).await?;
    assert_eq!((code, found(&report, "reach").0), (1, "problem"));
    assert!(found(&report, "reach").1.starts_with("no safe connection to https://127.0.0.1:"), "{report:#}");
    Ok(())
}

/// A service that says what it is told to, and whose dispatcher sleeps.
#[derive(Clone, Default)]
struct Sick {
    date: &'static str,
    version: &'static str,
    deleted: Arc<Mutex<u32>>,
}

const SCHEDULE: &str = "0199e7c8-d200-8c4d-9a2b-5e0000000000";

impl Sick {
    async fn start(self) -> anyhow::Result<String> {
        let app = async |State(sick): State<Sick>| {
            let body = json!({"key": "app", "name": "n", "time_zone": "UTC", "limits": {"max_schedules": 5}, "service": {"version": sick.version}});
            ([(DATE, sick.date)], body.to_string()).into_response()
        };
        let cancel = async |State(sick): State<Sick>| {
            *sick.deleted.lock().expect("unpoisoned") += 1;
            json!({"id": SCHEDULE}).to_string()
        };
        let routes = Router::new()
            .route("/healthz", get(async || json!({"status": "ok"}).to_string()))
            .route("/v1/app", get(app))
            .route("/v1/schedules", axum::routing::post(async || json!({"id": SCHEDULE}).to_string()))
            .route("/v1/schedules/{id}", axum::routing::delete(cancel))
            .route("/v1/schedules/{id}/executions", get(async || json!({"executions": []}).to_string()))
            .with_state(self);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(url)
    }
}

#[tokio::test]
async fn a_service_that_is_sick_in_many_ways() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    desk.known_as("http://127.0.0.1:1", "a", "b")?;
    let sick = Sick { date: "Thu, 01 Jan 1970 00:01:40 GMT", version: "99.0.0", deleted: Arc::default() };
    let deleted = Arc::clone(&sick.deleted);
    let url = sick.start().await?;
    let arguments =
        ["--host", &url, "--callback", "https://example.com/", "--after", "0s", "--patience", "0s"];
    let ran = desk.rondo(&[&["doctor"], &arguments[..]].concat()).await?;
    assert_eq!(ran.code, 1);
    insta::assert_snapshot!("doctor_sick", tidy(&ran.out, &url, "app"));
    let hints = ran.err.split_once('\n').map_or("", |(_, hints)| hints);
    insta::assert_snapshot!("doctor_sick_hints", hints);
    assert_eq!(*deleted.lock().expect("unpoisoned"), 1, "what still waited was taken back");
    Ok(())
}
