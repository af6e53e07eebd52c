//! Pushes through a gateway that knows its devices itself.

use crate::{at, shown_in, soon};
use anyhow::{Context as _, ensure};
use chrono_tz::Tz;
use rondo_tests::{
    push_tools::{Api, Tool, UPSTREAM, set_push},
    serve::{CREDENTIALS, Serve, binary},
};
use serde_json::{Value, json};
use tempfile::TempDir;

struct Stage {
    gateway: Tool,
    serve: Serve,
    api: Api,
    folder: TempDir,
}

impl Stage {
    async fn start() -> anyhow::Result<Stage> {
        let (folder, gateway) = (tempfile::tempdir()?, Tool::gateway().await?);
        let mut command = Serve::command(&binary()?, folder.path());
        command.args(["--listen", "127.0.0.1:0"]).env("RONDO_PUSH_GATEWAY", gateway.url());
        command.env("RONDO_APP_KEY", CREDENTIALS.0).env("RONDO_APP_SECRET", CREDENTIALS.1);
        let serve = Serve::spawn(command).await?;
        let shown =
            set_push(folder.path(), CREDENTIALS.0, &["--upstream-key", UPSTREAM.0], Some(UPSTREAM.1)).await?;
        ensure!(shown["push"]["way"] == "gateway" && !shown.to_string().contains(UPSTREAM.1), "{shown}");
        let api = Api::new(serve.url(), CREDENTIALS)?;
        Ok(Stage { gateway, serve, api, folder })
    }

    async fn schedule(&self, trigger: Value, push: &Value) -> anyhow::Result<String> {
        let schedule = json!({"name": "n", "enabled": true, "trigger": trigger, "push": push});
        let made = self.api.done("POST", "/v4/schedules", Some(&schedule)).await?;
        Ok(made["schedule_id"].as_str().context("an id")?.to_owned())
    }
}

fn push(to: &Value) -> Value {
    json!({
        "from": "push", "to": to, "request_id": "r-7",
        "body": {"platform": ["android", "ios"], "notification": {"android": {"alert": "hé"}, "ios": {"alert": "hé"}},
                 "options": {"time_to_live": 60, "third_party_channel": {"x": {"y": 1}}}},
        "custom_args": {"a": [1, null]}
    })
}

#[tokio::test]
async fn a_push_goes_out_as_it_was_given_and_its_message_id_comes_back() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let (push, due) = (push(&json!({"seg": {"id": "s-1"}})), soon());
    let id = stage.schedule(at(Tz::UTC, due, 1), &push).await?;
    let messages = stage.api.messages_until(&id, "a message id", |all| !all.is_empty()).await?;
    let arrivals = stage.gateway.arrivals().await?;
    let [arrival] = &arrivals[..] else { anyhow::bail!("one request says it all: {arrivals:#?}") };
    assert_eq!(arrival["push"], push);
    ensure!(
        arrival["execution"].as_str().is_some_and(|execution| execution.starts_with(&id[..30])),
        "{arrival}"
    );
    ensure!(
        arrival["content_type"].as_str().is_some_and(|kind| kind.starts_with("application/json")),
        "{arrival}"
    );
    assert_eq!(messages[0]["msg_id"], arrival["msg_id"]);
    assert_eq!(messages[0]["error"], json!({"code": 0, "message": ""}));

    // At once, and refused at once: the gateway's own words.
    let sent = stage.api.done("POST", "/v4/push", Some(&push)).await?;
    assert_eq!(sent, json!({"request_id": "r-7", "msg_id": stage.gateway.arrivals().await?[1]["msg_id"]}));
    let refusal = json!({"code": 21051, "message": "for live activities only"});
    stage.gateway.answer_with(&json!([{"status": 400, "error": refusal}])).await?;
    let (status, answer) = stage.api.ask("POST", "/v4/push", Some(&push)).await?;
    assert_eq!((status, &answer["error"]), (400, &refusal));
    stage.serve.terminate().await
}

#[tokio::test]
async fn errors_are_recorded_and_some_are_tried_again() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let error = |status: u16, code: u32| json!({"status": status, "error": {"code": code, "message": "no"}});
    let over = |all: &[Value]| all.len() == 1 && all[0]["needRetry"] == false;
    for (answers, code, attempts) in [
        (json!([error(400, 21003)]), 21003, 1),
        (json!([{"status": 200, "text": "{}"}]), 21009, 1),
        (json!([error(400, 23008)]), 0, 2),
        (json!([error(503, 21030), error(500, 27000)]), 0, 3),
        (json!([{"status": 502, "text": "<html>bad gateway</html>"}]), 0, 2),
        (json!([{"status": 429, "retry_after": 1, "text": ""}]), 0, 2),
    ] {
        let before = stage.gateway.arrivals().await?.len();
        stage.gateway.answer_with(&answers).await?;
        let id = stage.schedule(at(Tz::UTC, soon(), 1), &push(&json!("all"))).await?;
        let messages = stage.api.messages_until(&id, "it is over", over).await?;
        println!("{answers}: {}", messages[0]);
        assert_eq!(messages[0]["error"]["code"], code, "{answers}: {messages:?}");
        assert_eq!(messages[0]["msg_id"] == "0", code != 0, "{answers}: {messages:?}");
        assert_eq!(stage.gateway.arrivals().await?.len() - before, attempts, "{answers}");
    }
    stage.serve.terminate().await
}

#[tokio::test]
async fn in_each_recipients_time_the_gateway_is_told_which_devices_are_due() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    for (device, zone) in [("tokyo-1", "Asia/Tokyo"), ("tokyo-2", "Asia/Tokyo"), ("lima", "America/Lima")] {
        let body = json!({"platform": "android", "time_zone": zone});
        stage.api.done("PUT", &format!("/v4/devices/{device}"), Some(&body)).await?;
    }
    let due = soon();
    // One that the registry does not know is sent to in the app's zone, UTC, where this has yet to come.
    let to = json!({"registration_id": ["tokyo-1", "tokyo-2", "lima", "unknown"]});
    let id = stage.schedule(at(Tz::Asia__Tokyo, due, 2), &push(&to)).await?;
    stage.api.messages_until(&id, "a message id", |all| !all.is_empty()).await?;
    let arrivals = stage.gateway.arrivals().await?;
    let [arrival] = &arrivals[..] else { anyhow::bail!("one request: {arrivals:#?}") };
    let mut told: Vec<&str> = arrival["push"]["to"]["registration_id"]
        .as_array()
        .context("ids")?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    told.sort_unstable();
    assert_eq!(told, ["tokyo-1", "tokyo-2"], "at {} in Tokyo", shown_in(Tz::Asia__Tokyo, due));
    let mut expected = push(&to);
    expected["to"] = arrival["push"]["to"].clone();
    assert_eq!(arrival["push"], expected, "all else is as it was given");
    stage.serve.terminate().await
}

#[tokio::test]
async fn wrong_credentials_are_the_apps_own_fault_and_are_said() -> anyhow::Result<()> {
    let stage = Stage::start().await?;
    let wrong = ["--upstream-key", UPSTREAM.0];
    set_push(stage.folder.path(), CREDENTIALS.0, &wrong, Some("another-secret")).await?;
    let (status, answer) = stage.api.ask("POST", "/v4/push", Some(&push(&json!("all")))).await?;
    ensure!((400..500).contains(&status) && answer["error"]["code"] == 21004, "{status} {answer}");
    ensure!(
        !stage.serve.said().contains("another-secret") && !answer.to_string().contains("another-secret"),
        "{answer}"
    );
    // Straight to the devices from now on, and there is none.
    set_push(stage.folder.path(), CREDENTIALS.0, &["--direct"], None).await?;
    let all = json!({"to": "all", "body": {"platform": "all", "notification": {"alert": "a"}}});
    let (status, answer) = stage.api.ask("POST", "/v4/push", Some(&all)).await?;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(21011)), "{answer}");
    stage.serve.terminate().await
}
