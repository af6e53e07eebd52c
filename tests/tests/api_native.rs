//! `/v1`, route by route, over real HTTP.

use rondo_tests::{
    api_world::{Answered, ApiWorld},
    receiver::{Answer, Receiver},
};
use serde_json::{Value, json};
use std::time::Duration;

const FAR: &str = "2040-12-01T09:00:00Z";

fn snapshot(name: &str, answer: &Answered, world: &ApiWorld, receiver: Option<&Receiver>) {
    let (api, target) = (world.base(), receiver.map(|receiver| receiver.url("")));
    let mut bases = vec![(api.as_str(), "http://api")];
    bases.extend(target.as_deref().map(|target| (target, "http://receiver")));
    bases.push((world.first.key.as_str(), "[key]"));
    insta::assert_json_snapshot!(name, answer.tidy(&bases));
}

fn far(url: &str) -> Value {
    json!({"trigger": {"single": {"time": FAR}}, "target": {"http": {"url": url}}})
}

fn id(view: &Value) -> &str {
    view["id"].as_str().expect("it has an id")
}

/// Asks until `wanted` holds; a test that waits in vain fails with what was last seen.
async fn until(world: &ApiWorld, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for _ in 0..500 {
        last = world.get(path).await.expect(200);
        if wanted(&last) {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{path} stays {last:#}");
}

#[tokio::test]
async fn everything_that_can_be_said_is_shown() {
    let world = ApiWorld::start().await;
    let made = world
        .post(
            "/v1/schedules",
            json!({
                "name": "nightly report",
                "trigger": {"cron": {"expression": "0 2 * * MON-FRI", "time_zone": "Europe/Madrid", "start": "2040-01-01T00:00:00Z", "end": "2041-01-01T00:00:00Z", "occurrences": 9}},
                "target": {"http": {"url": "https://example.com/hook", "method": "put", "headers": {"X-Team": "billing"}, "body": {"report": 7}}},
                "delivery": {"timeout": "5s", "retry": {"max_attempts": 3, "initial": 1000, "factor": 1.5, "max_interval": "PT1H", "max_age": "1d"}, "on_failure": "https://example.com/alert"},
                "policy": {"missed": "latest", "max_lateness": "1h", "overlap": "skip", "dst_gap": "skip", "dst_fold": "both", "spread": "10m"},
                "tags": {"team": "billing"},
            }),
        )
        .await;
    let mut shown = made.clone();
    shown.body["next_due_at"] = "[within the spread]".into();
    snapshot("create_whole", &shown, &world, None);
    let link = made.body["links"]["self"].as_str().expect("a link").to_owned();
    assert_eq!(made.header("location"), Some(link.as_str()));
    assert_eq!(world.get(&link).await.expect(200), made.body);
    let (nominal, due) = (&made.body["next_nominal_at"], &made.body["next_due_at"]);
    assert_eq!(nominal, "2040-01-02T01:00:00.000Z");
    assert!(due.as_str() >= nominal.as_str() && due.as_str() < Some("2040-01-02T01:10:00.000Z"), "{due}");
}

#[tokio::test]
async fn what_is_left_out_has_its_defaults() {
    let world = ApiWorld::start().await;
    let made = world.post("/v1/schedules/", far("https://example.com/hook")).await;
    snapshot("create_least", &made, &world, None);
    let interval = json!({"trigger": {"interval": {"every": "1h", "delay": "30m"}}, "target": {"http": {"url": "https://example.com", "payload": null}}});
    snapshot("create_interval", &world.post("/v1/schedules", interval).await, &world, None);
    let zoned = json!({"trigger": {"periodical": {"start": "2040-01-01", "time": "09:30", "unit": "week", "points": ["MON", "fri"], "frequency": 2}}, "target": {"http": {"url": "https://example.com", "body": "plain text"}}});
    snapshot("create_periodical", &world.post("/v1/schedules", zoned).await, &world, None);
}

#[tokio::test]
async fn what_is_shown_can_be_sent_back() {
    let world = ApiWorld::start().await;
    for trigger in [
        json!({"single": {"after": "1h"}}),
        json!({"interval": {"every": 100, "delay": "1h", "occurrences": 3}}),
        json!({"periodical": {"time": "09:30:00.250", "unit": "month", "points": [31, 1]}}),
        json!({"cron": {"expression": "@daily"}}),
    ] {
        let body = json!({"name": "n", "tags": {"a": ""}, "trigger": trigger, "target": {"http": {"url": "https://example.com/", "payload": {"a": [1]}}}});
        let made = world.post("/v1/schedules", body).await.expect(201);
        let members = ["name", "trigger", "target", "delivery", "policy", "tags"];
        let again: Value = members
            .map(|name| (name.to_owned(), made[name].clone()))
            .into_iter()
            .collect::<serde_json::Map<_, _>>()
            .into();
        let second = world.post("/v1/schedules", again.clone()).await.expect(201);
        for name in members {
            assert_eq!(second[name], made[name], "{name}");
        }
        let patched = world.send("PATCH", &format!("/v1/schedules/{}", id(&made)), Some(again)).await;
        assert_eq!(patched.expect(200)["trigger"], made["trigger"]);
    }
}

#[tokio::test]
async fn a_schedule_runs_and_is_on_record() {
    let (world, receiver) = (ApiWorld::start().await, Receiver::start().await);
    receiver.then([Answer::Full(503, ("retry-after", "0".to_owned()), "busy".to_owned())]);
    let body = json!({
        "name": "three times",
        "trigger": {"interval": {"every": "150ms", "occurrences": 3}},
        "target": {"http": {"url": receiver.url("/hook?a=b"), "headers": {"x-team": "billing"}, "body": {"n": 1}}},
        "delivery": {"retry": {"max_attempts": 2, "initial": "100ms"}},
    });
    let made = world.post("/v1/schedules", body).await.expect(201);
    let path = format!("/v1/schedules/{}", id(&made));
    until(&world, &path, |view| view["status"] == "finished").await;
    snapshot("finished", &world.get(&path).await, &world, Some(&receiver));
    snapshot("executions", &world.get(&format!("{path}/executions")).await, &world, Some(&receiver));
    let calls = receiver.received();
    assert_eq!(calls.len(), 4, "three occurrences, one of them twice");
    assert!(calls.iter().all(|call| call.json() == json!({"n": 1}) && call.header("x-team") == "billing"));
    let first = calls[0].header("webhook-id");
    assert_eq!(calls.iter().filter(|call| call.header("webhook-id") == first).count(), 2);
    snapshot("execution", &world.get(&format!("/v1/executions/{first}")).await, &world, Some(&receiver));
    let failed = world.get(&format!("{path}/executions?status=failed")).await.expect(200);
    assert_eq!(failed["executions"], json!([]));
    let stats = until(&world, "/v1/stats", |stats| stats["executions"]["succeeded"] == 3).await;
    assert!(stats["lateness_ms"]["p99"].is_u64(), "{stats}");

    let again = world.post(&format!("/v1/executions/{first}/redeliver"), json!({})).await;
    assert_eq!(again.status, 202, "{:?}", again.body);
    assert!(again.header("location").is_some_and(|link| link.ends_with(first)));
    receiver.wait_for(5).await;
    let path = format!("/v1/executions/{first}");
    until(&world, &path, |view| view["status"] == "succeeded" && view["attempt_count"] == 3).await;
}

#[tokio::test]
async fn a_run_by_hand_counts_nowhere() {
    let (world, receiver) = (ApiWorld::start().await, Receiver::start().await);
    let made = world.post("/v1/schedules", far(&receiver.url("/"))).await.expect(201);
    let path = format!("/v1/schedules/{}", id(&made));
    let run = world.send("POST", &format!("{path}/run"), None).await;
    snapshot("run", &run, &world, Some(&receiver));
    receiver.wait_for(1).await;
    let execution = run.header("location").expect("where it is").to_owned();
    until(&world, execution.strip_prefix(&world.base()).expect("here"), |view| view["status"] == "succeeded")
        .await;
    assert_eq!(world.get(&path).await.expect(200)["counts"]["done"], 0);
}

#[tokio::test]
async fn pause_resume_and_cancel() {
    let world = ApiWorld::start().await;
    let made = world.post("/v1/schedules", far("https://example.com/")).await.expect(201);
    let path = format!("/v1/schedules/{}", id(&made));
    let step = async |action: &str| world.send("POST", &format!("{path}/{action}"), None).await;
    let paused = step("pause").await.expect(200);
    assert_eq!((&paused["status"], &paused["in_flight"]), (&json!("paused"), &json!(0)));
    assert_eq!(paused["next_due_at"], Value::Null);
    assert_eq!(step("pause").await.expect(200)["generation"], paused["generation"], "it was so already");
    assert_eq!(step("resume").await.expect(200)["status"], "pending");
    let canceled = world.send("DELETE", &path, None).await;
    snapshot("canceled", &canceled, &world, None);
    assert_eq!(world.send("DELETE", &path, None).await.expect(200), canceled.body, "again does no harm");
    for action in ["pause", "resume"] {
        assert_eq!(step(action).await.expect(409)["code"], "schedule_ended");
    }
    assert_eq!(step("run").await.expect(409)["code"], "conflict");
    let patch = world.send("PATCH", &path, Some(json!({"name": "late"}))).await;
    snapshot("patch_of_ended", &patch, &world, None);
}

#[tokio::test]
async fn a_merge_patch_changes_what_it_names() {
    let world = ApiWorld::start().await;
    let made = world
        .post("/v1/schedules", json!({"name": "old", "tags": {"a": "1", "b": "2"}, "trigger": {"interval": {"every": "1h", "delay": "1h"}}, "target": {"http": {"url": "https://example.com/", "headers": {"x-a": "1"}, "body": "text"}}}))
        .await
        .expect(201);
    let path = format!("/v1/schedules/{}", id(&made));
    let patch = async |body: Value| world.send("PATCH", &path, Some(body)).await;
    let view = patch(json!({"name": null, "tags": {"a": null, "c": "3"}, "policy": {"overlap": "skip"}}))
        .await
        .expect(200);
    assert_eq!(view["name"], Value::Null);
    assert_eq!(view["tags"], json!({"b": "2", "c": "3"}));
    assert_eq!((&view["policy"]["overlap"], &view["policy"]["dst_gap"]), (&json!("skip"), &json!("shift")));
    assert_eq!(view["trigger"], made["trigger"], "a trigger that is not named keeps its instants");
    let view = patch(json!({"target": {"http": {"payload": {"k": 1}, "headers": null}}})).await.expect(200);
    assert_eq!(
        view["target"],
        json!({"http": {"url": "https://example.com/", "method": "POST", "payload": {"k": 1}}})
    );
    let view = patch(json!({"trigger": {"interval": {"occurrences": 5}}})).await.expect(200);
    assert_eq!((&view["occurrences"], &view["policy"]["missed"]), (&json!(5), &json!("all")));
    assert_eq!(view["next_due_at"], made["next_due_at"]);
    let view = patch(json!({"trigger": {"interval": {"occurrences": null}}})).await.expect(200);
    assert_eq!((&view["occurrences"], &view["policy"]["missed"]), (&Value::Null, &json!("latest")));
    let view = patch(json!({"trigger": {"cron": {"expression": "0 0 1 1 *"}}})).await.expect(200);
    assert_eq!(view["trigger"], json!({"cron": {"expression": "0 0 1 1 *", "time_zone": "UTC"}}));
    assert!(view["next_due_at"].as_str().is_some_and(|at| at.ends_with("-01-01T00:00:00.000Z")));

    let before = world.get(&path).await.body;
    for (body, pointer) in [
        (json!({"trigger": null}), "/trigger"),
        (json!({"trigger": {"cron": {"expression": "soon"}}}), "/trigger/cron/expression"),
        (json!({"target": {"http": {"url": null}}}), "/target/http/url"),
        (json!({"status": "paused"}), "/status"),
        (json!([]), ""),
    ] {
        let refused = patch(body.clone()).await.expect(400);
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{body}: {refused:#}");
    }
    assert_eq!(world.get(&path).await.body, before, "what is refused changes nothing");
}

#[tokio::test]
async fn a_patch_cannot_take_back_what_has_started() {
    let (world, receiver) = (ApiWorld::start().await, Receiver::start().await);
    let body =
        json!({"trigger": {"interval": {"every": "100ms"}}, "target": {"http": {"url": receiver.url("/")}}});
    let made = world.post("/v1/schedules", body).await.expect(201);
    receiver.wait_for(3).await;
    let path = format!("/v1/schedules/{}", id(&made));
    let refused =
        world.send("PATCH", &path, Some(json!({"trigger": {"interval": {"occurrences": 2}}}))).await;
    assert_eq!(refused.expect(409)["code"], "fewer_than_started");
    world.send("DELETE", &path, None).await.expect(200);
}

#[tokio::test]
async fn a_preview_shows_what_daylight_saving_does() {
    let world = ApiWorld::start().await;
    let ask = async |body: Value| world.post("/v1/preview", body).await;
    let gap = ask(json!({"trigger": {"cron": {"expression": "30 2 * 3 *", "time_zone": "Europe/Madrid", "start": "2040-03-24T00:00:00Z"}}, "count": 3, "policy": {"spread": "5m"}})).await;
    snapshot("preview_gap", &gap, &world, None);
    let fold = ask(json!({"trigger": {"periodical": {"start": "2040-10-28", "time": "02:30", "unit": "day", "time_zone": "Europe/Madrid"}}, "policy": {"dst_fold": "both"}, "occurrences": 3})).await;
    snapshot("preview_fold", &fold, &world, None);
    let short = ask(json!({"trigger": {"interval": {"every": "1d", "first": "2040-01-01T00:00:00Z", "occurrences": 2}}, "count": 50})).await;
    assert_eq!(short.expect(200)["instants"].as_array().map(Vec::len), Some(2));
    let both = json!({"trigger": {"interval": {"every": "1d", "occurrences": 2}}, "occurrences": 2});
    assert_eq!(ask(both).await.expect(400)["errors"][0]["pointer"], "/occurrences");
    for count in [json!(0), json!(1001), json!(-1), json!("x")] {
        let refused = ask(json!({"trigger": {"interval": {"every": "1d"}}, "count": count})).await;
        assert_eq!(refused.expect(400)["errors"][0]["pointer"], "/count");
    }
    assert_eq!(world.stored().await, 0);
}

#[tokio::test]
async fn what_is_to_come_is_numbered() {
    let world = ApiWorld::start().await;
    let body = json!({"trigger": {"interval": {"every": "1d", "first": "2040-01-01T00:00:00Z", "occurrences": 5}}, "target": {"http": {"url": "https://example.com"}}});
    let made = world.post("/v1/schedules", body).await.expect(201);
    let path = format!("/v1/schedules/{}/upcoming", id(&made));
    snapshot("upcoming", &world.get(&format!("{path}?count=2")).await, &world, None);
    assert_eq!(world.get(&path).await.expect(200)["upcoming"].as_array().map(Vec::len), Some(5));
    for query in ["count=0", "count=1001", "count=x", "count=", "count=1&count=1", "many=1"] {
        world.get(&format!("{path}?{query}")).await.expect(400);
    }
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let world = ApiWorld::start().await;
    for number in 1..=5 {
        let mut body = far("https://example.com/");
        body["name"] = format!("Report {number}").into();
        body["tags"] =
            json!({"team": if number % 2 == 0 { "even" } else { "odd" }, "nr": number.to_string()});
        world.post("/v1/schedules", body).await.expect(201);
    }
    let names = async |query: &str| -> Vec<String> {
        let listed = world.get(&format!("/v1/schedules?{query}")).await.expect(200);
        let items = listed["schedules"].as_array().expect("a list").clone();
        items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names("").await.len(), 5);
    assert_eq!(names("tag=team:even").await.len(), 2);
    assert_eq!(names("tag=team&tag=nr:3").await, ["Report 3"]);
    assert_eq!(names("name=rEPORT%204").await, ["Report 4"]);
    assert_eq!(names("status=paused").await, [""; 0]);

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("/v1/schedules?limit=2&status=pending{cursor}")).await.expect(200);
        let items = page["schedules"].as_array().expect("a list");
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    sorted.reverse();
    assert_eq!((seen.len(), &seen), (5, &sorted), "newest first, each once");

    let page = world.get("/v1/schedules?limit=2").await.expect(200);
    let cursor = page["next_cursor"].as_str().expect("there is more");
    let refused = world.get(&format!("/v1/schedules?status=pending&cursor={cursor}")).await;
    snapshot("cursor_of_another_query", &refused, &world, None);
    let foreign = world
        .send_as(&world.second, "GET", &format!("/v1/schedules?cursor={cursor}"), None)
        .await
        .expect(400);
    assert_eq!(foreign["code"], "invalid_cursor");
    for query in [
        "cursor=%20",
        "cursor=AAAA",
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=1.5",
        "status=done",
        "tag=:x",
        "nme=x",
        "limit=1&limit=2",
    ] {
        world.get(&format!("/v1/schedules?{query}")).await.expect(400);
    }
}

#[tokio::test]
async fn an_envelope_tells_who_calls() {
    let (world, receiver) = (ApiWorld::start().await, Receiver::start().await);
    let body = json!({"name": "e", "trigger": {"single": {"after": 0}}, "target": {"http": {"url": receiver.url("/"), "payload": {"k": [1]}}}});
    let made = world.post("/v1/schedules", body).await.expect(201);
    let call = receiver.wait_for(1).await.remove(0).json();
    assert_eq!((&call["payload"], &call["requestedTimes"]), (&json!({"k": [1]}), &json!(1)));
    assert_eq!(call["parentRequestId"], made["id"]);
    // Its links work as they stand, whichever API made the schedule.
    let link = call["showRequest"].as_str().expect("a link");
    let shown = world.raw("GET", link, &[], b"").await.expect(200);
    assert_eq!(shown[0]["externalId"], made["id"]);
    assert_eq!(
        world.get(&format!("/requests/get_list?requestId={}", id(&made))).await.expect(200),
        json!([])
    );
}

#[tokio::test]
async fn the_calling_app_and_the_service_itself() {
    let world = ApiWorld::start().await;
    let mut app = world.get("/v1/app").await;
    assert_eq!(app.body["service"]["version"], env!("CARGO_PKG_VERSION"));
    app.body["service"]["version"] = "[version]".into();
    let public_key = app.body["push"]["public_key"].take();
    assert_eq!(public_key, json!(world.first.push_key));
    snapshot("app", &app, &world, None);
    assert_eq!(world.raw("GET", "/healthz", &[], b"").await.expect(200), json!({"status": "ok"}));
    assert_eq!(world.get("/v1/stats").await.expect(200)["lateness_ms"], Value::Null);
}

#[tokio::test]
async fn methods_and_paths_that_are_not() {
    let world = ApiWorld::start().await;
    snapshot("unknown_path", &world.get("/v1/nothing").await, &world, None);
    let other = world.send("PUT", "/v1/schedules", None).await;
    snapshot("other_method", &other, &world, None);
    let allowed = |answer: &Answered| answer.header("allow").map(str::to_owned).unwrap_or_default();
    assert!(allowed(&other).contains("GET") && allowed(&other).contains("POST"), "{:?}", other.headers);
    let options = world.raw("OPTIONS", "/v1/schedules/", &[], b"").await;
    assert_eq!((options.status, &options.body), (204, &Value::Null));
    assert!(allowed(&options).contains("POST"));
    let head = world.send("HEAD", "/v1/schedules", None).await;
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-type"), Some("application/json"));
}
