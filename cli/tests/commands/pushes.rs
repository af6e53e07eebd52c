//! `rondo push`, `rondo device` and `rondo app push`, from a file on the desk to what comes back.

use crate::{Desk, ran};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::{fs, process::Stdio};
use tokio::io::AsyncWriteExt as _;

fn schedule(name: &str) -> Value {
    json!({
        "name": name, "enabled": true,
        "trigger": {"periodical": {"start": "2030-01-01 00:00:00", "end": "2030-06-30 23:59:59", "time": "09:00:00",
                                   "time_unit": "week", "point": ["MON"], "zone_type": 2}},
        "push": push(),
    })
}

fn push() -> Value {
    let web = json!({"alert": "Good morning", "url": "https://example.com/"});
    json!({"to": {"tag": ["news"]}, "body": {"platform": "web", "notification": {"web": web}}})
}

impl Desk {
    fn put(&self, name: &str, content: &Value) -> anyhow::Result<()> {
        Ok(fs::write(self.path(name), content.to_string())?)
    }
}

/// Within the year in which schedules may lie, wherever the clock of this machine stands.
fn soon(mut schedule: Value, now: &str) -> anyhow::Result<Value> {
    let year: i32 = now.get(..4).context("a year")?.parse()?;
    let rule = &mut schedule["trigger"]["periodical"];
    rule["start"] = format!("{}-01-01 00:00:00", year + 1).into();
    rule["end"] = format!("{}-06-30 23:59:59", year + 1).into();
    Ok(schedule)
}

#[tokio::test]
async fn a_push_is_scheduled_listed_changed_paused_and_deleted() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let serve = desk.serve(&[]).await?;
    let apps = desk.json(&["app", "list", "--data", "data"]).await?;
    let now = apps["apps"][0]["created_at"].as_str().context("when the app was made")?;
    desk.put("s.json", &soon(schedule("mornings"), now)?)?;
    let made = desk.json(&["push", "schedule", "s.json"]).await?;
    let id = made["schedule_id"].as_str().context("an id")?;
    assert_eq!(made["name"], "mornings");

    let list = desk.rondo(&["push", "list"]).await?;
    assert_eq!((list.code, list.err.as_str()), (0, ""));
    assert!(
        list.out.starts_with("ID ") && list.out.contains(&format!("\n{id}  mornings  yes  ")),
        "{}",
        list.out
    );
    assert!(
        list.out.contains("every week on MON at 09:00:00") && list.out.contains("tag news"),
        "{}",
        list.out
    );
    let beyond = desk.rondo(&["push", "list", "--page", "7"]).await?;
    assert_eq!((beyond.code, beyond.err.as_str()), (0, "note: page 7 of 1; there are 1 in all\n"));
    assert_eq!(desk.json(&["push", "list"]).await?["total_count"], 1);

    let shown = desk.rondo(&["push", "show", id]).await?;
    assert!(shown.out.contains("enabled       yes\n") && shown.out.contains("Good morning"), "{}", shown.out);
    assert_eq!(desk.json(&["push", "show", id]).await?[0]["push"], push(), "as it was given");
    assert_eq!(desk.json(&["push", "messages", id]).await?, json!({"count": 0, "MsgIds": []}));

    desk.put("c.json", &json!({"name": "early"}))?;
    assert_eq!(desk.json(&["push", "update", id, "c.json"]).await?["name"], "early");
    assert_eq!(desk.json(&["push", "disable", id]).await?["enabled"], false);
    assert!(desk.rondo(&["push", "show", id]).await?.out.contains("enabled       no\n"));
    assert_eq!(desk.json(&["push", "enable", id]).await?["enabled"], true);
    let deleted = desk.rondo(&["push", "delete", id]).await?;
    assert_eq!((deleted.code, deleted.out.as_str()), (0, ""));
    assert_eq!(deleted.err, format!("scheduled push {id} deleted\n"));
    let again = desk.rondo(&["push", "show", id]).await?;
    assert_eq!((again.code, again.err.as_str()), (1, "error: there is no such schedule\n  code 28104\n"));
    serve.terminate().await
}

#[tokio::test]
async fn a_push_is_checked_and_sent_from_a_file_or_stdin() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let _serve = desk.serve(&[]).await?;
    let mut from_stdin = desk.command(&["push", "validate", "-"]);
    from_stdin.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = from_stdin.spawn()?;
    let mut stdin = child.stdin.take().context("its input")?;
    stdin.write_all(push().to_string().as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    assert_eq!((output.status.code(), String::from_utf8(output.stdout)?.as_str()), (Some(0), "valid\n"));

    desk.put("p.json", &push())?;
    let sent = desk.rondo(&["push", "send", "p.json"]).await?;
    assert_eq!((sent.code, sent.out.as_str()), (1, ""));
    assert!(sent.err.ends_with("\n  code 21011\n"), "nobody is registered: {}", sent.err);
    desk.put("bad.json", &json!({"to": "all"}))?;
    let refused = desk.rondo(&["push", "validate", "bad.json"]).await?;
    assert_eq!((refused.code, refused.err.as_str()), (1, "error: body is required\n  code 21002\n"));
    fs::write(desk.path("broken.json"), "{")?;
    for (arguments, why) in [
        (&["push", "send", "broken.json"][..], "error: broken.json is not JSON: "),
        (&["push", "show", "no-id"], "error: invalid value 'no-id'"),
        (&["push", "list", "--page", "0"], "error: invalid value '0'"),
    ] {
        let wrong = desk.rondo(arguments).await?;
        assert_eq!((wrong.code, wrong.out.as_str()), (2, ""), "{wrong:?}");
        assert!(wrong.err.starts_with(why), "{}", wrong.err);
    }
    let missing = desk.rondo(&["push", "send", "nowhere.json"]).await?;
    assert_eq!(missing.code, 1);
    assert!(missing.err.starts_with("error: cannot read nowhere.json: "), "{}", missing.err);
    Ok(())
}

#[tokio::test]
async fn a_device_is_registered_seen_tagged_and_removed() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let _serve = desk.serve(&["--allow-private-targets"]).await?;
    // The public key and secret of RFC 8291, appendix A.
    let subscription = json!({
        "endpoint": "https://push.example.com/1", "expirationTime": null,
        "keys": {"p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
                 "auth": "BTBZMqHH6r4Tts7J_aSIgg"},
    });
    desk.put("subscription.json", &subscription)?;
    let id = "a browser/1";
    let put = ["device", "put", id, "--time-zone", "Europe/Madrid", "--subscription", "subscription.json"];
    let made = desk.json(&[&put[..], &["--tag", "news", "--tag", "vip", "--alias", "ana"]].concat()).await?;
    assert_eq!((&made["platform"], &made["time_zone"]), (&json!("web"), &json!("Europe/Madrid")));
    assert_eq!(
        (&made["tags"], &made["alias"], &made["subscribed"]),
        (&json!(["news", "vip"]), &json!("ana"), &json!(true))
    );
    assert_eq!(made["best_time"], Value::Null);

    let tagged = desk.json(&["device", "tag", id, "--add", "sports", "--remove", "vip"]).await?;
    assert_eq!(tagged["tags"], json!(["news", "sports"]));
    let seen = desk.json(&["device", "visit", id]).await?;
    assert!(seen["last_active"].is_string() && seen["best_time"].is_null(), "{seen}");
    let first = seen["last_active"].as_str().context("when it was seen")?;
    let seen = desk.json(&["device", "visit", id, "--at", first, "--at", first]).await?;
    assert_eq!(seen["best_time"]["visits"], 3, "{seen}");
    let shown = desk.rondo(&["device", "show", id]).await?;
    assert!(
        shown.out.contains("id           a browser/1\n") && shown.out.contains("(of 3 visits)"),
        "{}",
        shown.out
    );

    let kept = desk.json(&put).await?;
    assert_eq!(
        (&kept["tags"], &kept["best_time"]["visits"]),
        (&json!([]), &json!(3)),
        "replaced, but for its visits"
    );
    let removed = desk.rondo(&["device", "remove", id]).await?;
    assert_eq!((removed.code, removed.err.as_str()), (0, "device a browser/1 removed\n"));
    let gone = desk.rondo(&["device", "show", id]).await?;
    assert_eq!((gone.code, gone.err.as_str()), (1, "error: there is no such device\n  code 20101\n"));

    let nowhere = desk.rondo(&["device", "put", "d", "--time-zone", "Mars/Base"]).await?;
    assert_eq!(nowhere.code, 1);
    assert!(nowhere.err.contains("time_zone"), "{}", nowhere.err);
    for wrong in
        [&["device", "put", "d", "--platform", "fax"][..], &["device", "tag", "d"], &["device", "show", ".."]]
    {
        assert_eq!(desk.rondo(wrong).await?.code, 2, "{wrong:?}");
    }
    Ok(())
}

#[tokio::test]
async fn how_pushes_leave_is_shown_and_set_and_the_secret_never_is() -> anyhow::Result<()> {
    const SECRET: &str = "the-upstream-secret";
    let desk = Desk::new()?;
    let serve = desk.serve(&["--push-gateway", "https://gateway.example/base/"]).await?;
    let made =
        desk.json(&["app", "create", "--key", "pushing", "--max-pushes", "5", "--data", "data"]).await?;
    let key = made["push_key"].as_str().context("a public key")?;
    assert_eq!(key.len(), 87, "an uncompressed point in base64url: {key}");
    let push = ["app", "push", "pushing", "--data", "data"];
    let shown = desk.json(&push).await?;
    assert_eq!(
        shown["push"],
        json!({"way": "direct", "public_key": key, "upstream_key": null, "contact": null})
    );

    let mut command =
        desk.command(&[&push[..], &["--upstream-key", "up", "--contact", "mailto:a@b.example"]].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().context("its input")?;
    stdin.write_all(format!("{SECRET}\n").as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    let text = String::from_utf8(output.stdout)?;
    assert!(output.status.success() && text.contains("pushes        gateway\n"), "{text}");
    assert!(
        text.contains("upstream key  up\n") && text.contains("contact       mailto:a@b.example"),
        "{text}"
    );
    let list = desk.rondo(&["app", "list", "--data", "data"]).await?;
    assert!(list.out.contains("  gateway  ") && list.out.contains(key), "{}", list.out);
    for path in ["data/rondo.db", "data/rondo.db-wal"] {
        let bytes = fs::read(desk.path(path))?;
        assert!(
            !bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()),
            "{path} holds the secret"
        );
    }
    assert!(!serve.said().contains(SECRET) && !list.out.contains(SECRET) && !text.contains(SECRET));

    let direct = desk.json(&[&push[..], &["--direct"]].concat()).await?;
    assert_eq!((&direct["push"]["way"], &direct["push"]["upstream_key"]), (&json!("direct"), &Value::Null));
    assert_eq!(direct["push"]["contact"], "mailto:a@b.example", "what is not said stays");
    assert_eq!(desk.rondo(&[&push[..], &["--upstream-key", "up"]].concat()).await?.code, 2, "no secret");
    let wrong = desk.rondo(&[&push[..], &["--contact", "mailto:me@localhost"]].concat()).await?;
    assert_eq!(wrong.code, 1);
    assert!(wrong.err.starts_with("error: contact must be mailto:NAME@HOST"), "{}", wrong.err);
    serve.terminate().await?;
    for (flag, value) in [("--push-gateway", "ftp://x"), ("--push-contact", "me")] {
        let refused =
            desk.rondo(&["serve", "--listen", "127.0.0.1:0", "--data", "data", flag, value]).await?;
        assert_ne!(refused.code, 0, "{refused:?}");
    }
    Ok(())
}

#[tokio::test]
async fn the_line_for_a_deployment_leaves_the_secret_out() -> anyhow::Result<()> {
    let desk = Desk::new()?;
    let arguments = ["app", "push", "k-1", "--upstream-key", "up", "--host", "https://rondo.example"];
    let mut command = desk.command(&arguments);
    command.env("RONDO_UPSTREAM_SECRET", "the-upstream-secret");
    let ran = ran(command).await?;
    let payload = r#"'{"action":"push","key":"k-1","way":{"gateway":{"key":"up","secret":"SECRET"}}}'"#;
    assert!(ran.code == 1 && ran.err.contains(payload), "{}", ran.err);
    assert!(!ran.err.contains("the-upstream-secret"), "{}", ran.err);
    Ok(())
}
