//! The scheduled-push contract behind API Gateway: the vendor's own SDK, and pushes that an independent push service
//! decrypts. The app goes in the end, and everything that is its own with it.

use crate::secs;
use anyhow::{Context as _, ensure};
use rondo_domain::time::{Span, Timestamp};
use rondo_tests::{
    deployed::{Credentials, Deployment},
    emulator::{checkout, python},
    push_tools::Tool,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::process::Command;

/// Pushes that were deleted while they waited for the next zone: as many messages stay in the queue for up to 15 min,
/// come then, and find nothing.
pub const LEFT: u64 = 6;

/// A page is opened ahead, and travels through the queue once more: the emulator takes its time for both.
const ARRIVES: Duration = secs(45);

pub async fn pushes(stack: &Deployment) {
    let app = stack.make_app("pushes").await;
    sdk(stack, &app).await.expect("the SDK works");
    arrive(stack, &app).await.expect("pushes arrive");
    clear(stack, &app).await;
    let removed = stack.invoke("admin", json!({"action": "remove", "key": app.key})).await;
    assert_eq!(removed["answer"], "removed", "{removed}");
}

async fn sdk(stack: &Deployment, app: &Credentials) -> anyhow::Result<()> {
    let mut command = Command::new(python("push"));
    command.arg(checkout().join("tests/push/sdk_run.py")).arg(stack.base()).args(["--fires", "nobody"]);
    command.env("RONDO_APP_KEY", &app.key).env("RONDO_APP_SECRET", &app.secret).env("PYTHONUTF8", "1");
    let output = command.output().await?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The app's public key, as an operator sees it.
async fn public_key(stack: &Deployment, app: &Credentials) -> anyhow::Result<String> {
    let listed = stack.invoke("admin", json!({"action": "list"})).await;
    let apps = listed["apps"].as_array().context("apps")?;
    let entry = apps.iter().find(|entry| entry["key"] == app.key.as_str()).context("the app")?;
    Ok(entry["push"]["public_key"].as_str().with_context(|| entry.to_string())?.to_owned())
}

async fn arrive(stack: &Deployment, app: &Credentials) -> anyhow::Result<()> {
    let push_service = Tool::push_service_apart().await?;
    let key = public_key(stack, app).await?;
    let send = async |method: &str, path: &str, body: Option<Value>| {
        stack.send_as(Some(app), method, path, body).await.expect(200)
    };
    for (device, zone, answer) in [
        ("madrid", "Europe/Madrid", 201),
        ("kathmandu", "Asia/Kathmandu", 201),
        ("gone", "Europe/Madrid", 410),
    ] {
        let (_, subscription) = push_service.subscribe(&key, &json!([{"status": answer}])).await?;
        let body =
            json!({"platform": "web", "time_zone": zone, "subscription": subscription, "alias": device});
        send("PUT", &format!("/v4/devices/{device}"), Some(body)).await;
    }
    send("POST", "/v4/tags/daily", Some(json!({"registration_ids": {"add": ["madrid", "kathmandu"]}}))).await;
    let named = send("GET", "/v4/aliases/madrid", None).await;
    ensure!(named["registration_ids"] == json!(["madrid"]), "{named}");

    let alert = |text: &str| {
        let web = json!({"alert": text, "url": "https://rondo.example/"});
        json!({"platform": "web", "notification": {"web": web}})
    };
    // For everybody at once, and by the clock in Madrid: in Kathmandu that has passed.
    let due = soon();
    let shown = |zone: chrono_tz::Tz| due.utc().with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string();
    let mut ids = Vec::new();
    for (name, zone_type, zone) in [("all", 1, chrono_tz::UTC), ("each", 2, chrono_tz::Europe::Madrid)] {
        let schedule = json!({
            "name": name,
            "enabled": true,
            "trigger": {"single": {"time": shown(zone), "zone_type": zone_type}},
            "push": {"to": {"tag": ["daily"]}, "body": alert(name)},
        });
        let made = send("POST", "/v4/schedules", Some(schedule)).await;
        ids.push(made["schedule_id"].as_str().context("an id")?.to_owned());
    }
    let all = json!({"to": "all", "body": alert("now")});
    let now = send("POST", "/v4/push", Some(all)).await;
    ensure!(now["msg_id"].is_string(), "{now}");

    let mut arrivals = Vec::new();
    let enough = async {
        loop {
            arrivals = push_service.arrivals().await?;
            if arrivals.len() >= 6 {
                return anyhow::Ok(());
            }
            tokio::time::sleep(secs(1)).await;
        }
    };
    let waited = tokio::time::timeout(ARRIVES, enough).await;
    ensure!(matches!(waited, Ok(Ok(()))), "{} of 6 arrived: {arrivals:#?}", arrivals.len());
    let mut alerts = Vec::new();
    for push in &arrivals {
        ensure!(push["fault"].is_null(), "{push}");
        let payload: Value = serde_json::from_str(push["text"].as_str().context("decrypted")?)?;
        let alert = payload["alert"].as_str().context("an alert")?.to_owned();
        let at = Timestamp::from_millis((push["at"].as_f64().context("a time")? * 1000.0) as i64);
        ensure!(alert == "now" || at >= due, "{alert} at {at}, due at {due}");
        alerts.push(alert);
    }
    alerts.sort();
    ensure!(alerts == ["all", "all", "each", "now", "now", "now"], "{alerts:?}");
    for id in &ids {
        let mut told = Value::Null;
        for _ in 0..20 {
            told = send("GET", &format!("/v4/schedules/{id}/msg-ids"), None).await;
            if told["count"] == 1 {
                break;
            }
            tokio::time::sleep(secs(1)).await;
        }
        ensure!(
            told["count"] == 1 && told["MsgIds"][0].as_str().is_some_and(|one| one.contains("\"code\":0")),
            "{told}"
        );
    }
    let mut gone = Value::Null;
    for _ in 0..20 {
        gone = send("GET", "/v4/devices/gone", None).await;
        if gone["subscribed"] == false {
            break;
        }
        tokio::time::sleep(secs(1)).await;
    }
    ensure!(gone["subscribed"] == false, "{gone}");
    for device in ["madrid", "kathmandu", "gone"] {
        send("DELETE", &format!("/v4/devices/{device}"), None).await;
    }
    Ok(())
}

fn soon() -> Timestamp {
    use rondo_domain::ports::Clock as _;
    let at = rondo_system::SystemClock.now().plus(Span::from_secs(6));
    Timestamp::from_millis(at.seconds() * 1000)
}

/// With the schedules EventBridge forgets what it holds for them.
async fn clear(stack: &Deployment, app: &Credentials) {
    loop {
        let listed = stack.send_as(Some(app), "GET", "/v4/schedules", None).await.expect(200);
        let schedules = listed["schedules"].as_array().expect("a list");
        if schedules.is_empty() {
            return;
        }
        for schedule in schedules {
            let id = schedule["schedule_id"].as_str().expect("an id");
            // One that ends just now is gone as well.
            stack.send_as(Some(app), "DELETE", &format!("/v4/schedules/{id}"), None).await;
        }
    }
}
