//! Schedules and their executions, from `add` to `redeliver`.

use crate::Desk;
use anyhow::Context as _;
use http::StatusCode;
use rondo::{
    client::Client,
    profile::Account,
    receiver::{Answer, Receiver},
};
use serde_json::{Value, json};
use std::{fs, time::Duration};
use tokio::time::timeout;

async fn started() -> anyhow::Result<(Desk, rondo_tests::serve::Serve, Receiver)> {
    let desk = Desk::new()?;
    let serve = desk.serve(&["--allow-private-targets"]).await?;
    Ok((desk, serve, Receiver::start("127.0.0.1:0", Vec::new(), Answer::default()).await?))
}

/// Until the schedule is so; the service needs a moment to get there.
async fn until(desk: &Desk, id: &str, status: &str) -> anyhow::Result<Value> {
    for _ in 0..200 {
        let schedule = desk.json(&["show", id]).await?;
        if schedule["status"] == status {
            return Ok(schedule);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("{id} does not become {status}: {}", desk.json(&["show", id]).await?)
}

fn id(value: &Value) -> anyhow::Result<String> {
    Ok(value["id"].as_str().context("an id")?.to_owned())
}

#[tokio::test]
async fn a_request_is_added_called_back_listed_and_shown() -> anyhow::Result<()> {
    let (desk, _serve, mut receiver) = started().await?;
    let url = receiver.server.url();
    let added = desk
        .json(&[
            "add-request",
            "-i",
            "300",
            "-o",
            "2",
            "-u",
            &url,
            "-n",
            "tick",
            "-p",
            "hello",
            "--tag",
            "team=a",
        ])
        .await?;
    let id = id(&added)?;
    let finished = until(&desk, &id, "finished").await?;
    assert_eq!((&finished["counts"]["succeeded"], &finished["tags"]["team"]), (&json!(2), &json!("a")));
    let mut bodies = Vec::new();
    while let Ok(arrival) = receiver.arrivals.try_recv() {
        bodies.push(serde_json::from_slice::<Value>(&arrival.body)?);
    }
    assert_eq!(bodies.len(), 2, "{bodies:?}");
    assert_eq!((&bodies[1]["executionNumber"], &bodies[1]["payload"]), (&json!(2), &json!("hello")));

    let list = desk.rondo(&["show-requests", "-s", "FINISHED"]).await?;
    assert_eq!((list.code, list.err.as_str()), (0, ""));
    let lines: Vec<&str> = list.out.lines().collect();
    assert!(lines[0].starts_with("ID ") && lines[0].contains("  NEXT DUE"), "{}", list.out);
    assert!(lines[1].starts_with(&id) && lines[1].contains("every 300ms  2 of 2"), "{}", list.out);
    let none = desk.json(&["list", "-s", "paused"]).await?;
    assert_eq!(none["schedules"], json!([]));
    assert_eq!(desk.json(&["list", "--tag", "team=a"]).await?["schedules"].as_array().map(Vec::len), Some(1));
    assert_eq!(desk.json(&["list", "--tag", "team=b"]).await?["schedules"].as_array().map(Vec::len), Some(0));

    let shown = desk.rondo(&["show", &id]).await?;
    assert!(
        shown.out.contains("name         tick\n") && shown.out.contains("payload      hello\n"),
        "{}",
        shown.out
    );

    let file = desk.path("executions.txt");
    let saved = desk.rondo(&["show-executions", &id, "-f", file.to_str().context("a path")?]).await?;
    assert_eq!((saved.code, saved.out.as_str()), (0, ""));
    let text = fs::read_to_string(file)?;
    assert!(text.starts_with("NO  STATUS     DUE"), "{text}");
    assert!(
        text.lines().nth(1).is_some_and(|line| line.starts_with("2   succeeded")),
        "newest first: {text}"
    );
    let stats = desk.json(&["stats"]).await?;
    assert_eq!(stats["executions"]["succeeded"], json!(2));
    Ok(())
}

#[tokio::test]
async fn an_execution_is_shown_and_delivered_again() -> anyhow::Result<()> {
    let (desk, _serve, _receiver) = started().await?;
    let answer = Answer { status: StatusCode::NOT_FOUND, ..Answer::default() };
    let receiver = Receiver::start("127.0.0.1:0", Vec::new(), answer).await?;
    let url = receiver.server.url();
    let added = desk.json(&["add", "--after", "0s", "-u", &url, "--max-attempts", "1"]).await?;
    let schedule = id(&added)?;
    let finished = until(&desk, &schedule, "finished").await?;
    assert_eq!(finished["counts"]["failed"], json!(1));
    let executions = desk.json(&["executions", &schedule, "-s", "failed"]).await?;
    let execution = id(&executions["executions"][0])?;
    let again = desk.json(&["redeliver", &execution]).await?;
    assert_eq!(again["id"], json!(execution));
    let mut shown = Value::Null;
    for _ in 0..200 {
        shown = desk.json(&["show", &execution]).await?;
        if shown["attempt_count"] == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(shown["status"], "failed");
    let whole = desk.rondo(&["show", &execution]).await?;
    let attempts: Vec<&str> = whole.out.lines().skip_while(|line| !line.starts_with("ATTEMPT")).collect();
    assert_eq!(attempts.len(), 3, "a header and two attempts: {}", whole.out);
    Ok(())
}

#[tokio::test]
async fn an_execution_is_commented_on() -> anyhow::Result<()> {
    let (desk, serve, receiver) = started().await?;
    let profile = desk.profile("default")?;
    let text = |name: &str| profile[name].as_str().unwrap_or_default().to_owned();
    let account = Account { host: serve.url(), app_key: text("app_key"), app_secret: text("app_secret") };
    let client = Client::new(&account).map_err(|failure| anyhow::anyhow!("{failure}"))?;
    let request = json!({"interval": "1h", "occurrences": 1, "return_url": receiver.server.url()});
    let created = client.post("set/notifier", Some(&request)).await;
    let schedule = id(&created.map_err(|failure| anyhow::anyhow!("{failure}"))?)?;
    until(&desk, &schedule, "finished").await?;
    let executions = desk.json(&["executions", &schedule]).await?;
    let execution = id(&executions["executions"][0])?;
    let commented = desk.rondo(&["comment", &execution, "the target was slow"]).await?;
    assert_eq!((commented.code, commented.err.as_str()), (0, "comment added\n"));
    assert_eq!(desk.json(&["show", &execution]).await?["comment"], "the target was slow");
    let list = desk.rondo(&["executions", &schedule]).await?;
    assert!(list.out.contains("  the target was slow  "), "{}", list.out);
    Ok(())
}

#[tokio::test]
async fn a_schedule_is_paused_updated_resumed_run_and_cancelled() -> anyhow::Result<()> {
    let (desk, _serve, mut receiver) = started().await?;
    let added = desk
        .json(&["add", "-i", "1h", "-l", "30m", "-u", &receiver.server.url(), "--body", r#"{"n":1}"#])
        .await?;
    let id = id(&added)?;
    assert_eq!(added["target"]["http"]["body"], json!({"n": 1}));
    assert_eq!(desk.json(&["pause", &id]).await?["status"], "paused");
    let updated =
        desk.json(&["update", &id, "-o", "7", "-n", "later", "--timeout", "3s", "--tag", "a=b"]).await?;
    assert_eq!((&updated["occurrences"], &updated["name"]), (&json!(7), &json!("later")));
    assert_eq!(
        (&updated["trigger"]["interval"]["every"], &updated["delivery"]["timeout"]),
        (&json!("1h"), &json!("3s"))
    );
    assert_eq!(desk.json(&["update", &id, "--untag", "a"]).await?["tags"], json!({}));
    assert_eq!(desk.json(&["update", &id, "-p", "text"]).await?["target"]["http"]["payload"], "text");
    assert_eq!(desk.json(&["resume", &id]).await?["status"], "pending");
    let run = desk.json(&["run", &id]).await?;
    assert_eq!(run["by_hand"], true);
    let arrival =
        timeout(Duration::from_secs(10), receiver.arrivals.recv()).await?.context("the run by hand")?;
    assert_eq!(serde_json::from_slice::<Value>(&arrival.body)?["payload"], "text");
    assert_eq!(desk.json(&["cancel", &id]).await?["status"], "canceled");
    let again = desk.rondo(&["cancel", &id]).await?;
    assert_eq!(again.code, 0, "cancelling again is harmless: {again:?}");
    let refused = desk.rondo(&["resume", &id]).await?;
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    assert_eq!(refused.err, "error: the schedule is canceled and stays so\n");
    Ok(())
}

#[tokio::test]
async fn a_preview_shows_instants_and_what_daylight_saving_does() -> anyhow::Result<()> {
    let (desk, _serve, _receiver) = started().await?;
    let cron = [
        "preview",
        "--cron",
        "30 2 28 3 *",
        "--time-zone",
        "Europe/Madrid",
        "--start",
        "2027-01-01T00:00:00Z",
    ];
    // In 2027 the clocks of Madrid go forward on 28 March at 02:00.
    let preview = desk.json(&[&cron[..], &["-c", "1"]].concat()).await?;
    assert_eq!(preview["instants"][0]["at"], "2027-03-28T01:00:00.000Z");
    let text = desk.rondo(&[&cron[..], &["-c", "1"]].concat()).await?.out;
    assert!(text.starts_with("NO  DUE") && text.contains("the first instant after the gap"), "{text}");
    let weekly = ["preview", "--every", "week", "--time", "09:00", "--on", "mon,fri", "-c", "2"];
    assert_eq!(desk.json(&weekly).await?["instants"].as_array().map(Vec::len), Some(2));
    Ok(())
}

#[tokio::test]
async fn refusals_name_the_flag_and_exit_codes_tell_kinds_apart() -> anyhow::Result<()> {
    let (desk, serve, _receiver) = started().await?;
    let refused = desk.rondo(&["add", "-i", "50", "-u", "http://169.254.169.254/x"]).await?;
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    assert!(refused.err.contains("\n  --interval must be at least 100ms"), "{}", refused.err);
    assert!(refused.err.contains("\n  --return-url is the link-local address"), "{}", refused.err);
    for wrong in [
        &["add", "-i", "5x", "-u", "http://localhost/"][..],
        &["add", "-u", "http://localhost/"],
        &["add", "-i", "5s", "--cron", "* * * * *", "-u", "http://localhost/"],
        &["show", "no-id"],
        &["list", "-s", "done"],
        &["nothing"],
    ] {
        let ran = desk.rondo(wrong).await?;
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{wrong:?}: {ran:?}");
    }
    let unknown = "01a20167-70c4-8281-8e60-5a0000000000";
    let missing = desk.rondo(&["show", unknown]).await?;
    assert_eq!((missing.code, missing.err.as_str()), (1, "error: there is no such schedule\n"));
    let nothing = desk.rondo(&["update", unknown]).await?;
    assert_eq!(nothing.code, 2, "{nothing:?}");

    let mut stranger = desk.command(&["list"]);
    stranger.env("RONDO_APP_SECRET", "another-secret-altogether");
    let refused = crate::ran(stranger).await?;
    assert_eq!(refused.code, 1);
    assert!(
        refused.err.contains("does not know these credentials\nhint: choose a profile"),
        "{}",
        refused.err
    );
    serve.terminate().await?;
    let away = desk.rondo(&["list"]).await?;
    assert_eq!(away.code, 1);
    assert!(away.err.starts_with("error: no Rondo answers at http://127.0.0.1:"), "{}", away.err);
    assert!(away.err.contains("\nhint: start one with `rondo serve`"), "{}", away.err);
    Ok(())
}

#[tokio::test]
async fn with_a_key_it_is_added_once() -> anyhow::Result<()> {
    let (desk, _serve, receiver) = started().await?;
    let url = receiver.server.url();
    let add = ["add", "-i", "1h", "-u", &url, "--idempotency-key", "deploy-7"];
    let first = desk.json(&add).await?;
    assert_eq!(desk.json(&add).await?["id"], first["id"]);
    let other = desk.rondo(&[&add[..], &["-n", "other"]].concat()).await?;
    assert_eq!(other.code, 1);
    assert!(other.err.starts_with("error: this key came with other content before"), "{}", other.err);
    let wrong = desk.rondo(&["add", "-i", "1h", "-u", &url, "--idempotency-key", "two words"]).await?;
    assert!(wrong.err.contains("--idempotency-key must be 1 to 255 visible ASCII"), "{}", wrong.err);
    Ok(())
}
