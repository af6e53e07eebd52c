//! The right minute where each recipient is, decrypted there by another library.

use crate::{CONTACT, Stage, arrived, at, now, shown_in, soon};
use anyhow::{Context as _, ensure};
use chrono_tz::Tz;
use rondo_domain::time::Span;
use serde_json::{Value, json};

/// Offsets of whole, half and quarter hours, on both sides of UTC; in one of them there is another date.
const ZONES: [(&str, Tz); 3] = [
    ("auckland", Tz::Pacific__Auckland),
    ("kathmandu", Tz::Asia__Kathmandu),
    ("st-johns", Tz::America__St_Johns),
];

#[tokio::test]
async fn each_zone_is_told_in_its_own_minute() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let mut subscriptions = Vec::new();
    for (name, zone) in ZONES {
        subscriptions.push(stage.device(name, zone.name(), json!([{"status": 201}])).await?);
    }
    // One for each zone's clock, each meant for all three devices: for the others its time has passed, or is to come.
    let due = soon();
    let mut schedules = Vec::new();
    for (name, zone) in ZONES {
        let web = json!({"alert": format!("it is {} in {name}", shown_in(zone, due)), "url": "https://rondo.example/"});
        let push = json!({"to": "all", "body": {"platform": "web", "notification": {"web": web}}});
        let schedule = json!({"name": name, "enabled": true, "trigger": at(zone, due, 2), "push": push});
        let made = stage.api.done("POST", "/v4/schedules", Some(&schedule)).await?;
        schedules.push(made["schedule_id"].as_str().context("an id")?.to_owned());
    }
    ensure!(now() < due, "this machine is too slow to schedule anything for {due}");
    for id in &schedules {
        let told = stage.api.messages_until(id, "one message id", |all| all.len() == 1).await?;
        ensure!(told[0]["error"]["code"] == 0 && told[0]["needRetry"] == false, "{told:?}");
    }
    let arrivals = stage.push_service.arrivals().await?;
    ensure!(arrivals.len() == ZONES.len(), "one push in each zone, and no other: {arrivals:#?}");
    for ((name, zone), subscription) in ZONES.iter().zip(&subscriptions) {
        let push = arrivals.iter().find(|push| push["subscription"] == **subscription).context(*name)?;
        ensure!(push["fault"].is_null(), "{push}");
        let payload: Value = serde_json::from_str(push["text"].as_str().context("decrypted")?)?;
        ensure!(payload["alert"] == format!("it is {} in {name}", shown_in(*zone, due)), "{payload}");
        let came = arrived(push)?;
        ensure!(came >= due, "{name}: before it was due: {came} < {due}");
        // To the minute, on the clock there.
        let minute = |at| shown_in(*zone, at)[..16].to_owned();
        assert_eq!(minute(came), minute(due), "{name}");
        println!(
            "{name}: due {} there, arrived {} ms later: {}",
            shown_in(*zone, due),
            came.since(due).millis(),
            payload["alert"]
        );
        let claims = &push["claims"];
        ensure!(claims["aud"] == stage.push_service.url() && claims["sub"] == CONTACT, "{claims}");
        ensure!(push["application_server_key"] == stage.key, "{push}");
    }
    // West of Auckland the same time is still to come.
    let shown = stage.api.done("GET", "/v4/schedules", None).await?;
    ensure!(shown["schedules"][0]["schedule_id"] == *schedules[0], "{shown}");
    stage.serve.terminate().await
}

#[tokio::test]
async fn one_token_serves_all_pushes_to_an_origin() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    for device in ["one", "two", "three"] {
        stage.device(device, "Europe/Madrid", json!([{"status": 201}])).await?;
    }
    let push = json!({"to": "all", "body": {"platform": "web", "notification": {"alert": "now"},
        "options": {"time_to_live": 0}}});
    let sent = stage.api.done("POST", "/v4/push", Some(&push)).await?;
    let began = now();
    let arrivals = stage.push_service.until("three pushes", |all| all.len() == 3).await?;
    let first = &arrivals[0];
    for push in &arrivals {
        ensure!(push["fault"].is_null(), "{push}");
        ensure!(push["token"] == first["token"], "a token of its own: {push}");
        ensure!(push["ttl"] == 0 && push["urgency"] == "high" && push["topic"].is_null(), "{push}");
        let payload: Value = serde_json::from_str(push["text"].as_str().context("decrypted")?)?;
        assert_eq!(payload, json!({"msg_id": sent["msg_id"], "alert": "now"}));
    }
    let ends = first["claims"]["exp"].as_i64().context("exp")?;
    let left = ends - began.seconds();
    ensure!((11 * 3600..=12 * 3600 + 5).contains(&left), "the token lives for {left} s");
    let twice = stage.api.done("POST", "/v4/push", Some(&push)).await?;
    ensure!(twice["msg_id"] != sent["msg_id"], "{twice}");
    let arrivals = stage.push_service.until("three more", |all| all.len() == 6).await?;
    ensure!(arrivals.iter().all(|push| push["token"] == first["token"]), "{arrivals:#?}");
    let nobody = json!({"to": {"alias": ["nobody"]}, "body": push["body"]});
    let (status, answer) = stage.api.ask("POST", "/v4/push", Some(&nobody)).await?;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(21011)), "{answer}");
    tokio::time::sleep(Span::from_millis(200).std()).await;
    assert_eq!(stage.push_service.arrivals().await?.len(), 6, "nobody was told twice");
    stage.serve.terminate().await
}
