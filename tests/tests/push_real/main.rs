//! Pushes that really leave and really arrive: a real `rondo serve`, and at the other end a push service and a gateway
//! that share no code with it (`tests/push/*.py`). Real time passes here on purpose.

mod gateway;
mod statuses;
mod zones;

use anyhow::{Context as _, ensure};
use chrono_tz::Tz;
use rondo_domain::{
    ports::Clock as _,
    time::{Span, Timestamp},
};
use rondo_system::SystemClock;
use rondo_tests::{
    emulator::{checkout, python},
    push_tools::{Api, Tool, set_push},
    serve::{CREDENTIALS, Serve, binary},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

const CONTACT: &str = "mailto:push@rondo.example";

/// A service whose app pushes directly, and the push service that its devices have their subscriptions from.
struct Stage {
    push_service: Tool,
    serve: Serve,
    api: Api,
    /// The app's public key.
    key: String,
    _folder: TempDir,
}

impl Stage {
    async fn start() -> anyhow::Result<Stage> {
        let (folder, push_service) = (tempfile::tempdir()?, Tool::push_service().await?);
        let mut command = Serve::command(&binary()?, folder.path());
        command.args(["--listen", "127.0.0.1:0", "--allow-private-targets", "--push-contact", CONTACT]);
        command.env("RONDO_APP_KEY", CREDENTIALS.0).env("RONDO_APP_SECRET", CREDENTIALS.1);
        let serve = Serve::spawn(command).await?;
        let shown = set_push(folder.path(), CREDENTIALS.0, &[], None).await?;
        let key = shown["push"]["public_key"].as_str().context("the app's public key")?.to_owned();
        let api = Api::new(serve.url(), CREDENTIALS)?;
        Ok(Stage { push_service, serve, api, key, _folder: folder })
    }

    /// A device with a subscription of its own, whose pushes are answered like this; its id at the push service.
    async fn device(&self, id: &str, zone: &str, answers: Value) -> anyhow::Result<String> {
        let (name, subscription) = self.push_service.subscribe(&self.key, &answers).await?;
        let device =
            json!({"platform": "web", "time_zone": zone, "subscription": subscription, "tags": [id]});
        self.api.done("PUT", &format!("/v4/devices/{id}"), Some(&device)).await?;
        Ok(name)
    }

    async fn is_subscribed(&self, id: &str) -> anyhow::Result<bool> {
        let device = self.api.done("GET", &format!("/v4/devices/{id}"), None).await?;
        device["subscribed"].as_bool().with_context(|| device.to_string())
    }

    /// Schedules a push for all with this tag, and answers its id.
    async fn schedule(&self, tag: &str, trigger: Value, options: Value) -> anyhow::Result<String> {
        let web = json!({"alert": format!("for {tag}"), "title": "Rondo", "url": "https://rondo.example/"});
        let push = json!({
            "to": {"tag": [tag]},
            "body": {"platform": "web", "notification": {"web": web}, "options": options},
            "custom_args": {"order": 7},
        });
        let schedule = json!({"name": tag, "enabled": true, "trigger": trigger, "push": push});
        let made = self.api.done("POST", "/v4/schedules", Some(&schedule)).await?;
        Ok(made["schedule_id"].as_str().context("an id")?.to_owned())
    }
}

fn now() -> Timestamp {
    SystemClock.now()
}

/// What a clock in this zone shows then, as the contract writes it.
fn shown_in(zone: Tz, at: Timestamp) -> String {
    at.utc().with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// A whole second, soon; and not so late in its minute that a little lateness would end in the next one.
fn soon() -> Timestamp {
    let at = now().plus(Span::from_secs(3)).utc();
    let second = Timestamp::from_millis(at.timestamp() * 1000);
    if at.timestamp() % 60 > 50 { second.plus(Span::from_secs(11)) } else { second }
}

fn at(zone: Tz, at: Timestamp, zone_type: u8) -> Value {
    json!({"single": {"time": shown_in(zone, at), "zone_type": zone_type}})
}

/// When the push service had it.
fn arrived(push: &Value) -> anyhow::Result<Timestamp> {
    let seconds = push["at"].as_f64().context("a time")?;
    Ok(Timestamp::from_millis((seconds * 1000.0) as i64))
}

#[tokio::test]
async fn the_push_service_tells_good_pushes_from_bad_ones() -> anyhow::Result<()> {
    let mut check = Command::new(python("push"));
    let output = check.arg(checkout().join("tests/push/self_check.py")).output().await?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
