//! What must not pass: bad input of every kind on both creating routes, credentials, other apps' ids, and a
//! service without room or without its store. Nothing of it may be stored.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rondo_domain::{
    app::App,
    engine::NewApp,
    ids::AppKey,
    ports::{AppStore, StoreError},
    time::Span,
};
use rondo_http_api::{
    ApiSettings,
    admin::{AdminAnswer, AdminRequest, handle},
};
use rondo_tests::api_world::{Answered, ApiWorld, Setup, basic};
use serde_json::{Value, json};
use std::sync::Arc;

fn native() -> Value {
    json!({
        "name": "n",
        "trigger": {"interval": {"every": "1h", "delay": "1h", "occurrences": 3, "end": "2040-01-01T00:00:00Z"}},
        "target": {"http": {"url": "https://example.com/", "method": "POST", "headers": {"x-a": "b"}, "body": {"a": 1}}},
        "delivery": {"timeout": "10s", "retry": {"max_attempts": 5, "initial": "5s", "factor": 2, "max_interval": "1h", "max_age": "24h"}, "on_failure": "https://example.com/alert"},
        "policy": {"missed": "all", "max_lateness": "1h", "overlap": "allow", "dst_gap": "shift", "dst_fold": "first", "spread": "0s"},
        "tags": {"team": "billing"},
    })
}

fn contract() -> Value {
    json!({"interval": 5000, "delay": "1h", "occurrences": 3, "name": "n", "return_url": "https://example.com/", "payload": "p", "callback_type": "POST", "notify_status_not_ok": "https://example.com/alert", "retry": {"max_attempts": 2}})
}

/// `body` with the value at `pointer` replaced, or the member added.
fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let name = name.replace("~1", "/").replace("~0", "~");
    body.pointer_mut(parent).expect("the parent is there")[name] = value;
    body
}

fn without(mut body: Value, pointer: &str) -> Value {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = body.pointer_mut(parent).and_then(Value::as_object_mut).expect("the parent is there");
    parent.remove(name).expect("the member is there");
    body
}

fn trigger(kind: &str, inner: Value) -> Value {
    let mut body = native();
    body["trigger"] = json!({});
    body["trigger"][kind] = inner;
    body
}

fn deep(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| json!([inner]))
}

fn long(length: usize) -> Value {
    "x".repeat(length).into()
}

/// Each body is refused with 400, and the first error's pointer is this.
fn native_cases() -> Vec<(Value, String)> {
    let mut cases: Vec<(Value, &str)> = Vec::new();
    let wrong_types = |wanted: &[&str]| {
        let all = [
            ("number", json!(-7.5)),
            ("string", json!("§")),
            ("boolean", json!(true)),
            ("array", json!([1])),
            ("object", json!({"§": 1})),
        ];
        all.into_iter().filter(|(name, _)| !wanted.contains(name)).map(|(_, value)| value).collect::<Vec<_>>()
    };
    for required in ["/trigger", "/target", "/target/http", "/target/http/url", "/trigger/interval/every"] {
        cases.push((without(native(), required), required));
        cases.push((with(native(), required, Value::Null), required));
    }
    // A trigger without a kind is wrong as a whole.
    cases.push((without(native(), "/trigger/interval"), "/trigger"));
    for (pointer, wanted) in [
        ("/name", &["string"][..]),
        ("/trigger", &["object"]),
        ("/trigger/interval", &["object"]),
        ("/trigger/interval/every", &[]),
        ("/trigger/interval/delay", &[]),
        ("/trigger/interval/occurrences", &[]),
        ("/trigger/interval/end", &[]),
        ("/target", &["object"]),
        ("/target/http", &["object"]),
        ("/target/http/url", &[]),
        ("/target/http/method", &[]),
        ("/target/http/headers", &["object"]),
        ("/target/http/headers/x-a", &["string"]),
        ("/delivery", &["object"]),
        ("/delivery/timeout", &[]),
        ("/delivery/retry", &["object"]),
        ("/delivery/retry/max_attempts", &[]),
        ("/delivery/retry/initial", &[]),
        ("/delivery/retry/factor", &[]),
        ("/delivery/retry/max_interval", &[]),
        ("/delivery/retry/max_age", &[]),
        ("/delivery/on_failure", &[]),
        ("/policy", &["object"]),
        ("/policy/missed", &[]),
        ("/policy/max_lateness", &[]),
        ("/policy/overlap", &[]),
        ("/policy/dst_gap", &[]),
        ("/policy/dst_fold", &[]),
        ("/policy/spread", &[]),
        ("/tags", &["object"]),
        ("/tags/team", &["string"]),
    ] {
        cases.extend(wrong_types(wanted).into_iter().map(|value| (with(native(), pointer, value), pointer)));
    }
    for unknown in [
        "/colour",
        "/trigger/colour",
        "/trigger/interval/colour",
        "/target/colour",
        "/target/http/colour",
        "/delivery/colour",
        "/delivery/retry/colour",
        "/policy/colour",
    ] {
        cases.push((with(native(), unknown, json!(1)), unknown));
    }
    for shown in ["/id", "/status", "/created_at", "/occurrences", "/counts"] {
        cases.push((with(native(), shown, json!(1)), shown));
    }
    for (pointer, values) in [
        ("/name", vec![json!(""), long(256), json!("a\nb"), json!("é".repeat(128))]),
        ("/tags/team", vec![long(257), json!("a\u{7}")]),
        ("/tags/", vec![json!("empty key")]),
        ("/tags/a:b", vec![json!("colon")]),
        (
            "/trigger/interval/every",
            vec![
                json!(0),
                json!(99),
                json!("99ms"),
                json!(-1),
                json!("-5s"),
                json!(""),
                json!("5x"),
                json!("1M"),
                json!("P1M"),
                json!(i64::MAX),
                json!(1e300),
                json!("99999999999999999999"),
                json!("11y"),
                json!("1.5"),
                long(200),
            ],
        ),
        ("/trigger/interval/delay", vec![json!(-1), json!("-1s"), json!("600w"), json!("")]),
        (
            "/trigger/interval/occurrences",
            vec![json!(0), json!(-1), json!(1.5), json!(2_147_483_648u64), json!(u64::MAX), json!("3")],
        ),
        (
            "/trigger/interval/end",
            vec![
                json!("2020-01-01T00:00:00Z"),
                json!("2040-01-01"),
                json!("2040-01-01T00:00:00"),
                json!("2040-13-01T00:00:00Z"),
                json!("soon"),
                json!(0),
                json!(""),
            ],
        ),
        ("/target/http/method", vec![json!("HEAD"), json!(""), json!("POST ")]),
        (
            "/target/http/url",
            vec![
                json!(""),
                json!("example.com"),
                json!("ftp://example.com/"),
                json!("javascript:alert(1)"),
                json!("file:///etc/passwd"),
                json!("https://user:password@example.com/"),
                json!("https://user@example.com/"),
                json!("https://"),
                json!("https://exa mple.com/"),
                json!("https://example.com:99999/"),
                json!("https://example.com:0/"),
                json!("https://example.com/\n"),
                json!(format!("https://example.com/{}", "x".repeat(2048))),
            ],
        ),
        ("/target/http/headers/Host", vec![json!("other")]),
        ("/target/http/headers/Content-Length", vec![json!("1")]),
        ("/target/http/headers/Webhook-Id", vec![json!("1")]),
        ("/target/http/headers/a b", vec![json!("1")]),
        ("/target/http/headers/x-b", vec![json!("a\r\nb: c")]),
        ("/target/http/headers/X-A", vec![json!("again")]),
        ("/target/http/payload", vec![json!(1), Value::Null]),
        ("/target/http/body", vec![long(200 * 1024 + 1), json!(["x".repeat(200 * 1024)])]),
        ("/delivery/timeout", vec![json!(0), json!(99), json!("61s"), json!(-1), json!("")]),
        ("/delivery/retry/max_attempts", vec![json!(0), json!(101), json!(-1), json!(1.5)]),
        ("/delivery/retry/initial", vec![json!(0), json!("25h")]),
        ("/delivery/retry/factor", vec![json!(0.5), json!(11), json!(-1)]),
        ("/delivery/retry/max_interval", vec![json!("1s"), json!("25h")]),
        ("/delivery/retry/max_age", vec![json!("31d"), json!(-1)]),
        ("/delivery/on_failure", vec![json!("nowhere"), json!("")]),
        ("/policy/missed", vec![json!("some"), json!("")]),
        ("/policy/max_lateness", vec![json!(0), json!("53w")]),
        ("/policy/spread", vec![json!("25h"), json!(-1)]),
    ] {
        cases.extend(values.into_iter().map(|value| (with(native(), pointer, value), pointer)));
    }
    let zoned = |zone: &str| trigger("cron", json!({"expression": "0 0 * * *", "time_zone": zone}));
    let cron = |expression: &str| trigger("cron", json!({"expression": expression}));
    let rule = |name: &str, value: Value| {
        let rule = json!({"start": "2040-01-01", "end": "2041-01-01", "time": "09:30", "unit": "week", "points": ["mon"], "frequency": 1, "time_zone": "UTC"});
        trigger("periodical", with(rule, &format!("/{name}"), value))
    };
    cases.extend([
        (zoned("Mars/Olympus"), "/trigger/cron/time_zone"),
        (zoned("europe/madrid"), "/trigger/cron/time_zone"),
        (zoned(""), "/trigger/cron/time_zone"),
        (zoned("+01:00"), "/trigger/cron/time_zone"),
        (cron("0 0 30 2 *"), "/trigger/cron/expression"),
        (cron("0 0 * *"), "/trigger/cron/expression"),
        (cron("61 * * * *"), "/trigger/cron/expression"),
        (cron(""), "/trigger/cron/expression"),
        (cron("@reboot"), "/trigger/cron/expression"),
        (cron(&"*,".repeat(400)), "/trigger/cron/expression"),
        (trigger("cron", json!({})), "/trigger/cron/expression"),
        (trigger("cron", json!({"expression": "@daily", "start": "2041-01-01T00:00:00Z", "end": "2040-01-01T00:00:00Z"})), "/trigger/cron/end"),
        (trigger("cron", json!({"expression": "@daily", "end": "2020-01-01T00:00:00Z"})), "/trigger/cron/end"),
        (trigger("single", json!({})), "/trigger/single/time"),
        (trigger("single", json!({"time": "2020-01-01T00:00:00Z"})), "/trigger/single/time"),
        (trigger("single", json!({"time": "2040-01-01T00:00:00"})), "/trigger/single/time"),
        (trigger("single", json!({"time": 1})), "/trigger/single/time"),
        (trigger("single", json!({"after": -1})), "/trigger/single/after"),
        (trigger("single", json!({"after": "600w"})), "/trigger/single/after"),
        (trigger("single", json!({"time": "2040-01-01T00:00:00Z", "after": "1h"})), "/trigger/single/after"),
        (trigger("single", json!({"after": "1h", "occurrences": 2})), "/trigger/single/occurrences"),
        (trigger("interval", json!({"every": "1h", "delay": "1h", "first": "2040-01-01T00:00:00Z"})), "/trigger/interval/delay"),
        (trigger("weekly", json!({})), "/trigger/weekly"),
        (with(native(), "/trigger/cron", json!({"expression": "@daily"})), "/trigger"),
        (rule("start", json!("2040-02-30")), "/trigger/periodical/start"),
        (rule("start", json!("2040-01-01T00:00:00Z")), "/trigger/periodical/start"),
        (rule("end", json!("2039-01-01")), "/trigger/periodical/end"),
        (rule("time", json!("24:00")), "/trigger/periodical/time"),
        (rule("time", json!("9")), "/trigger/periodical/time"),
        (rule("time", Value::Null), "/trigger/periodical/time"),
        (rule("unit", json!("year")), "/trigger/periodical/unit"),
        (rule("unit", json!("day")), "/trigger/periodical/points"),
        (rule("unit", json!("month")), "/trigger/periodical/points/0"),
        (rule("points", json!([])), "/trigger/periodical/points"),
        (rule("points", Value::Null), "/trigger/periodical/points"),
        (rule("points", json!(["monday"])), "/trigger/periodical/points/0"),
        (rule("frequency", json!(0)), "/trigger/periodical/frequency"),
        (rule("frequency", json!(101)), "/trigger/periodical/frequency"),
    ]);
    let mut get = with(native(), "/target/http/method", json!("GET"));
    cases.push((get.clone(), "/target/http/body"));
    get["target"]["http"]["headers"] =
        (0..51).map(|i| (format!("x-{i}"), json!("v"))).collect::<serde_json::Map<_, _>>().into();
    cases.push((get, "/target/http/headers"));
    let tags = (0..51).map(|i| (format!("t{i}"), json!("v"))).collect::<serde_json::Map<_, _>>();
    cases.push((with(native(), "/tags", tags.into()), "/tags"));
    cases.push((with(native(), &format!("/tags/{}", "k".repeat(65)), json!("v")), ""));
    for whole in [json!([]), json!("text"), json!(1), json!(null), json!(true)] {
        cases.push((whole, ""));
    }
    cases.into_iter().map(|(body, pointer)| (body, pointer.to_owned())).collect()
}

#[tokio::test]
async fn the_native_api_refuses_with_the_field() {
    let world = ApiWorld::start().await;
    world.post("/v1/schedules", native()).await.expect(201);
    let cases = native_cases();
    assert!(cases.len() > 200, "{}", cases.len());
    for (body, pointer) in cases {
        let answer = world.post("/v1/schedules", body.clone()).await;
        assert_eq!(answer.status, 400, "{body}: {:#}", answer.body);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.body["code"], "invalid", "{body}");
        let errors = answer.body["errors"].as_array().expect("errors");
        let long_tag = pointer.is_empty() && body.is_object();
        let named = errors.iter().any(|error| error["pointer"] == pointer.as_str()) || long_tag;
        assert!(named, "{pointer} in {:#}", answer.body);
        assert!(errors.iter().all(|error| error["detail"].as_str().is_some_and(|detail| detail.len() > 10)));
    }
    assert_eq!(world.stored().await, 1, "nothing of it is stored");
}

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once() {
    let world = ApiWorld::start().await;
    let mut body = native();
    for (pointer, value) in [
        ("/name", json!("")),
        ("/target/http/url", json!("x")),
        ("/delivery/timeout", json!(0)),
        ("/tags/team", json!(1)),
        ("/colour", json!(1)),
    ] {
        body = with(body, pointer, value);
    }
    body["trigger"] = json!({"periodical": {"time": "9", "unit": "year"}});
    let answer = world.post("/v1/schedules", body).await;
    insta::assert_json_snapshot!("limits_many", answer.body);
}

#[tokio::test]
async fn the_contract_refuses_with_the_field() {
    let world = ApiWorld::start().await;
    world.post("/set/notifier", contract()).await.expect(200);
    let mut cases: Vec<(Value, &str)> = Vec::new();
    for required in ["interval", "return_url"] {
        cases.push((without(contract(), &format!("/{required}")), required));
        cases.push((with(contract(), &format!("/{required}"), Value::Null), required));
    }
    for (field, values) in [
        (
            "interval",
            vec![
                json!(0),
                json!(-5),
                json!(299),
                json!("299"),
                json!("0.2s"),
                json!(5000.5),
                json!(""),
                json!("soon"),
                json!("1h++2m"),
                json!("5x"),
                json!(true),
                json!([5000]),
                json!({}),
                json!(u64::MAX),
                json!(1e300),
                json!("99999999w"),
                long(500),
            ],
        ),
        ("delay", vec![json!(-1), json!("-1s"), json!(true), json!([]), json!("x"), json!("")]),
        (
            "occurrences",
            vec![json!(0), json!(-1), json!(1.5), json!("3"), json!(true), json!(1e12), json!([])],
        ),
        ("name", vec![json!(7), json!([]), long(256), json!("a\u{0}b")]),
        (
            "return_url",
            vec![
                json!(""),
                json!(7),
                json!([]),
                json!("nowhere"),
                json!("ftp://example.com"),
                json!("https://u:p@example.com/"),
                long(3000),
            ],
        ),
        ("payload", vec![long(200 * 1024 + 1)]),
        ("callback_type", vec![json!("HEAD"), json!(""), json!(1), json!([])]),
        ("notify_status_not_ok", vec![json!(""), json!("x"), json!(1)]),
        ("retry", vec![json!(1), json!([])]),
    ] {
        cases.extend(values.into_iter().map(|value| (with(contract(), &format!("/{field}"), value), field)));
    }
    cases.push((with(contract(), "/retry/max_attempts", json!(0)), "retry.max_attempts"));
    cases.push((with(contract(), "/occurences", json!(3)), "occurences"));
    cases.push((with(contract(), "/returnUrl", json!("https://example.com")), "returnUrl"));
    for (body, field) in cases {
        let answer = world.post("/set/notifier", body.clone()).await;
        assert_eq!(answer.status, 400, "{body}: {:#}", answer.body);
        let error = &answer.body["error"];
        assert_eq!(
            (&error["code"], &error["message"], &error["field"]),
            (&json!(400), &json!("Value Error"), &json!(field)),
            "{body}: {error}"
        );
        assert!(error["details"].as_str().is_some_and(|details| details.starts_with(field)), "{error}");
        assert_eq!(answer.body["isError"], true);
    }
    for whole in [json!([]), json!("x"), json!(null)] {
        world.post("/set/notifier", whole).await.expect(400);
    }
    assert_eq!(world.stored().await, 1, "nothing of it is stored");
}

#[tokio::test]
async fn bodies_that_are_no_json() {
    let world = ApiWorld::start().await;
    let authorization = basic(world.first.key.as_str(), &world.first.secret);
    let valid = native().to_string();
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{".to_vec(),
        b"{\"name\": }".to_vec(),
        b"{'name': 1}".to_vec(),
        b"name=1".to_vec(),
        format!("{valid} {valid}").into_bytes(),
        b"{\"interval\": 1, \"interval\": 2}".to_vec(),
        b"{\"name\": \"\xff\xfe\"}".to_vec(),
        b"{\"name\": \"\\ud800\"}".to_vec(),
        b"{\"a\": 1e999}".to_vec(),
        with(native(), "/target/http/body", deep(70)).to_string().into_bytes(),
        "[".repeat(100_000).into_bytes(),
    ];
    for path in ["/v1/schedules", "/set/notifier"] {
        for body in &bodies {
            let answer = world.raw("POST", path, &[("authorization", &authorization)], body).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            assert_eq!(answer.status, 400, "{shown}: {:#}", answer.body);
            let told = if path == "/set/notifier" {
                &answer.body["error"]["details"]
            } else {
                &answer.body["detail"]
            };
            let told = told.as_str().expect("a sentence");
            assert!(
                told.contains("line") || told.contains("empty") || told.contains("byte"),
                "{shown}: {told}"
            );
        }
    }
    assert_eq!(world.stored().await, 0);
    // The content type does not matter.
    let headers =
        [("authorization", authorization.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    world.raw("POST", "/v1/schedules", &headers, valid.as_bytes()).await.expect(201);
}

#[tokio::test]
async fn addresses_that_are_not_public() {
    let world = ApiWorld::with(Setup { private_targets: false, ..Setup::default() }).await;
    for host in [
        "127.0.0.1",
        "localhost",
        "10.1.2.3",
        "192.168.0.1",
        "172.16.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "[::1]",
        "[::ffff:10.0.0.1]",
        "[fe80::1]",
        "[fd00::1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "0x7f000001",
        "127.1",
        "１２７.0.0.1",
        "api.localhost",
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}/x");
            let refused =
                world.post("/v1/schedules", with(native(), "/target/http/url", json!(url))).await.expect(400);
            assert_eq!(refused["errors"][0]["pointer"], "/target/http/url", "{url}");
            let alert = world
                .post("/v1/schedules", with(native(), "/delivery/on_failure", json!(url)))
                .await
                .expect(400);
            assert_eq!(alert["errors"][0]["pointer"], "/delivery/on_failure", "{url}");
            for (path, body, field) in [
                ("/set/notifier", with(contract(), "/return_url", json!(url)), "return_url"),
                (
                    "/set/notifier",
                    with(contract(), "/notify_status_not_ok", json!(url)),
                    "notify_status_not_ok",
                ),
                ("/set/connection", json!({"url": url}), "url"),
            ] {
                assert_eq!(world.post(path, body).await.expect(400)["error"]["field"], field, "{url}");
            }
        }
    }
    assert_eq!(world.stored().await, 0);
}

/// Every route that needs credentials, for an id of a schedule and one of an execution.
fn routes(schedule: &str, execution: &str) -> Vec<(&'static str, String, Option<Value>)> {
    vec![
        ("GET", format!("/v1/schedules/{schedule}"), None),
        ("PATCH", format!("/v1/schedules/{schedule}"), Some(json!({"name": "mine"}))),
        ("DELETE", format!("/v1/schedules/{schedule}"), None),
        ("POST", format!("/v1/schedules/{schedule}/pause"), None),
        ("POST", format!("/v1/schedules/{schedule}/resume"), None),
        ("POST", format!("/v1/schedules/{schedule}/run"), None),
        ("GET", format!("/v1/schedules/{schedule}/executions"), None),
        ("GET", format!("/v1/schedules/{schedule}/upcoming"), None),
        ("GET", format!("/v1/executions/{execution}"), None),
        ("POST", format!("/v1/executions/{execution}/redeliver"), None),
        ("GET", format!("/requests/get_list?requestId={schedule}"), None),
        ("GET", format!("/requests/cancel_task?requestId={schedule}"), None),
        ("POST", "/requests/list".to_owned(), Some(json!({"requestId": schedule}))),
        ("PUT", format!("/requests/{schedule}"), Some(json!({"name": "mine"}))),
        ("PUT", format!("/requests?requestId={schedule}"), Some(json!({"status": "CANCELED"}))),
        ("POST", "/executions/list".to_owned(), Some(json!({"requestId": schedule}))),
        (
            "POST",
            "/set/execution/comment".to_owned(),
            Some(json!({"executionId": execution, "comment": "mine"})),
        ),
    ]
}

#[tokio::test]
async fn another_apps_ids_answer_like_unknown_ones() {
    let world = ApiWorld::start().await;
    let receiver = rondo_tests::receiver::Receiver::start().await;
    let body = json!({"interval": "1h", "name": "n", "return_url": receiver.url("/")});
    let made = world.post("/set/notifier", body).await.expect(200);
    let foreign = made["id"].as_str().expect("an id").to_owned();
    let call = receiver.wait_for(1).await.remove(0);
    let execution = call.header("webhook-id").to_owned();
    let mut before = Value::Null;
    for _ in 0..200 {
        before = world.get(&format!("/v1/schedules/{foreign}")).await.expect(200);
        if before["counts"]["done"] == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(before["counts"]["done"], 1);
    let record = world.get(&format!("/v1/executions/{execution}")).await.expect(200);

    // An id that nobody has, of the same form.
    let unknown = |id: &str| format!("{}{}", if id.starts_with("00") { "01" } else { "00" }, &id[2..]);
    let as_second = async |id: &str, execution: &str| {
        let mut answers = Vec::new();
        for (method, path, body) in routes(id, execution) {
            let answer = world.send_as(&world.second, method, &path, body).await;
            answers.push((
                method,
                path.replace(id, "ID").replace(execution, "EXECUTION"),
                answer.status,
                answer.body,
            ));
        }
        answers
    };
    let answers = as_second(&foreign, &execution).await;
    assert_eq!(answers, as_second(&unknown(&foreign), &unknown(&execution)).await);
    assert_eq!(answers, as_second("no-id-at-all", "none-either").await);
    for (method, path, status, body) in &answers {
        let empty = *status == 200 && *body == json!([]);
        assert!(*status == 404 || empty, "{method} {path}: {status} {body}");
    }
    for path in ["/v1/schedules", "/requests/get_list?status=PENDING"] {
        let listed = world.send_as(&world.second, "GET", path, None).await.expect(200);
        assert!(!listed.to_string().contains(&foreign));
    }
    assert_eq!(world.get(&format!("/v1/schedules/{foreign}")).await.expect(200), before, "untouched");
    assert_eq!(world.get(&format!("/v1/executions/{execution}")).await.expect(200), record);
}

#[tokio::test]
async fn broken_credentials_answer_alike() {
    let world = ApiWorld::start().await;
    let (key, secret) = (world.first.key.as_str(), world.first.secret.as_str());
    let encoded = |bytes: &[u8]| format!("Basic {}", STANDARD.encode(bytes));
    let broken = [
        None,
        Some(String::new()),
        Some("Basic".to_owned()),
        Some("Basic ".to_owned()),
        Some("Basic %%%".to_owned()),
        Some(encoded(b"no colon")),
        Some(encoded(b"\xff\xfe:\xff")),
        Some(encoded(b":")),
        Some(basic("unknown", secret)),
        Some(basic(key, "wrong")),
        Some(basic(key, "")),
        Some(basic(key, &world.second.secret)),
        Some(basic(key, &format!("{secret} "))),
        Some(basic(secret, key)),
        Some(format!("Bearer rondo_{key}")),
        Some(format!("Bearer rondo_{key}_wrong")),
        Some(format!("Bearer {secret}")),
        Some("Digest x".to_owned()),
    ];
    let mut paths = routes("ID", "EXECUTION");
    paths.extend([
        ("GET", "/v1/schedules".to_owned(), None),
        ("POST", "/v1/schedules".to_owned(), Some(native())),
        ("POST", "/v1/schedules/batch".to_owned(), Some(json!({"schedules": [native()]}))),
        ("POST", "/v1/preview".to_owned(), None),
        ("GET", "/v1/stats".to_owned(), None),
        ("GET", "/v1/app".to_owned(), None),
        ("POST", "/set/notifier".to_owned(), Some(contract())),
        ("POST", "/set/connection".to_owned(), Some(json!({"url": "https://example.com"}))),
    ]);
    let (mut native_form, mut contract_form): (Option<Answered>, Option<Answered>) = (None, None);
    for (method, path, body) in paths {
        for value in &broken {
            let headers: Vec<(&str, &str)> =
                value.iter().map(|value| ("authorization", value.as_str())).collect();
            let body = body.as_ref().map(Value::to_string).unwrap_or_default();
            let mut answer = world.raw(method, &path, &headers, body.as_bytes()).await;
            assert_eq!(answer.status, 401, "{method} {path} {value:?}: {:#}", answer.body);
            assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Basic realm=")));
            answer.headers.retain(|(name, _)| name != "date");
            let form = if path.starts_with("/v1") { &mut native_form } else { &mut contract_form };
            let first = form.get_or_insert_with(|| answer.clone());
            assert_eq!(&answer, first, "{method} {path} {value:?}");
        }
    }
    insta::assert_json_snapshot!(
        "limits_unauthorized",
        [native_form.map(|a| a.body), contract_form.map(|a| a.body)]
    );
    let bearer = format!("Bearer rondo_{key}_{secret}");
    world.raw("GET", "/v1/app", &[("authorization", &bearer)], b"").await.expect(200);
    assert_eq!(world.stored().await, 0);
}

#[tokio::test]
async fn a_rotated_secret_lives_beside_the_old_one_once() {
    let world = ApiWorld::start().await;
    let key = world.first.key.to_string();
    let ask = async |request: AdminRequest| handle(&world.engine, world.vault(), request).await;
    let rotate =
        async |end_old: bool| match ask(AdminRequest::RotateSecret { key: key.clone(), end_old }).await {
            Ok(AdminAnswer::Granted { secret, .. }) => secret,
            other => panic!("{other:?}"),
        };
    let status = async |secret: &str| {
        world.raw("GET", "/v1/app", &[("authorization", &basic(&key, secret))], b"").await.status
    };
    let old = world.first.secret.clone();
    let second = rotate(false).await;
    assert_eq!((status(&old).await, status(&second).await), (200, 200));
    let third = rotate(false).await;
    assert_eq!((status(&old).await, status(&second).await, status(&third).await), (401, 200, 200));
    let fourth = rotate(true).await;
    assert_eq!((status(&third).await, status(&fourth).await), (401, 200));

    let listed = ask(AdminRequest::List).await.expect("a list");
    let text = serde_json::to_string(&listed).expect("JSON");
    assert!(text.contains(&key) && !text.contains(&fourth), "no secret is listed");
    assert_eq!(serde_json::from_str::<AdminAnswer>(&text).expect("reads back"), listed);
    let create = |name: &str, key: Option<&str>, zone: Option<&str>| AdminRequest::Create {
        name: name.to_owned(),
        key: key.map(str::to_owned),
        secret: None,
        time_zone: zone.map(str::to_owned),
        max_schedules: None,
    };
    for request in
        [create("", None, None), create("n", Some("a_b"), None), create("n", None, Some("Mars/Olympus"))]
    {
        assert_eq!(ask(request).await.expect_err("refused").status(), 400);
    }
    assert_eq!(ask(create("n", Some(&key), None)).await.expect_err("taken").status(), 409);
    ask(AdminRequest::Remove { key: key.clone() }).await.expect("removed");
    assert_eq!(status(&fourth).await, 401);
    assert_eq!(ask(AdminRequest::Remove { key: key.clone() }).await.expect_err("gone").status(), 404);
}

#[tokio::test]
async fn a_body_over_the_limit_is_not_read() {
    let settings = ApiSettings { body_limit: 1000, ..ApiSettings::default() };
    let world = ApiWorld::with(Setup { settings, ..Setup::default() }).await;
    let authorization = basic(world.first.key.as_str(), &world.first.secret);
    let padded = |length: usize| {
        let body = contract().to_string();
        format!("{body}{}", " ".repeat(length - body.len())).into_bytes()
    };
    world.raw("POST", "/set/notifier", &[("authorization", &authorization)], &padded(1000)).await.expect(200);
    let over = world.raw("POST", "/set/notifier", &[("authorization", &authorization)], &padded(1001)).await;
    let native =
        world.raw("POST", "/v1/schedules", &[("authorization", &authorization)], &padded(1001)).await;
    insta::assert_json_snapshot!("limits_body", [over.expect(413), native.expect(413)]);
    // In chunks, so that no length is announced.
    let chunk = [format!("{:x}\r\n", 2000).into_bytes(), padded(2000), b"\r\n0\r\n\r\n".to_vec()].concat();
    let headers = [("authorization", authorization.as_str()), ("transfer-encoding", "chunked")];
    world.raw("POST", "/v1/schedules", &headers, &chunk).await.expect(413);
    assert_eq!(world.stored().await, 1);
}

#[tokio::test]
async fn the_shortest_interval_is_a_setting() {
    let settings = ApiSettings { minimum_interval: Span::from_millis(1000), ..ApiSettings::default() };
    let world = ApiWorld::with(Setup { settings, ..Setup::default() }).await;
    let refused = world.post("/set/notifier", with(contract(), "/interval", json!(999))).await.expect(400);
    assert_eq!(refused["error"]["details"], "interval must be at least 1000 ms, not 999");
    world.post("/set/notifier", with(contract(), "/interval", json!(1000))).await.expect(200);
    world.post("/v1/schedules", with(native(), "/trigger/interval/every", json!(100))).await.expect(201);
}

#[tokio::test]
async fn an_app_has_no_more_schedules_than_it_may() {
    let world = ApiWorld::start().await;
    let limited = NewApp { name: "limited".to_owned(), max_schedules: Some(2), ..NewApp::default() };
    let app = world.engine.create_app(limited, world.vault()).await.expect("an app");
    let create = async |path: &str, body: Value| world.send_as(&app, "POST", path, Some(body)).await;
    create("/v1/schedules", native()).await.expect(201);
    let second = create("/set/notifier", contract()).await.expect(200);
    assert_eq!(create("/v1/schedules", native()).await.expect(409)["code"], "schedule_limit_reached");
    assert_eq!(create("/set/notifier", contract()).await.expect(409)["error"]["message"], "Conflict");
    let path = format!("/v1/schedules/{}", second["id"].as_str().expect("an id"));
    world.send_as(&app, "DELETE", &path, None).await.expect(200);
    create("/v1/schedules", native()).await.expect(201);
}

struct Away;

#[async_trait]
impl AppStore for Away {
    async fn app(&self, _: &AppKey) -> Result<Option<Arc<App>>, StoreError> {
        Err(StoreError::Unavailable("a secret detail".to_owned()))
    }
    async fn apps(&self) -> Result<Vec<Arc<App>>, StoreError> {
        Err(StoreError::Corrupt("a secret detail".to_owned()))
    }
    async fn add_app(&self, _: App) -> Result<bool, StoreError> {
        Ok(false)
    }
    async fn replace_app(&self, _: &App, _: App) -> Result<bool, StoreError> {
        Ok(false)
    }
    async fn remove_app(&self, _: &AppKey) -> Result<bool, StoreError> {
        Ok(false)
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_no_refusal_of_credentials() {
    let world =
        ApiWorld::with(Setup { alter: |engine| engine.apps = Arc::new(Away), ..Setup::default() }).await;
    for path in ["/v1/app", "/requests/get_list?status=PENDING"] {
        let answer = world.get(path).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
        assert!(!answer.body.to_string().contains("secret detail"));
    }
    world.raw("GET", "/healthz", &[], b"").await.expect(200);
}

#[tokio::test]
async fn a_full_store_says_so_and_keeps_what_it_has() {
    let world = ApiWorld::with(Setup { max_pages: Some(120), ..Setup::default() }).await;
    let big = with(native(), "/target/http/body", long(50_000));
    let mut kept = Vec::new();
    let full = loop {
        let answer = world.post("/v1/schedules", big.clone()).await;
        if answer.status != 201 {
            break answer;
        }
        kept.push(answer.body["id"].as_str().expect("an id").to_owned());
        assert!(kept.len() < 100, "the limit holds");
    };
    assert_eq!((full.status, &full.body["code"]), (507, &json!("storage_full")), "{:#}", full.body);
    let contract = world.post("/set/notifier", with(contract(), "/payload", long(50_000))).await;
    assert_eq!(contract.expect(507)["error"]["message"], "Insufficient Storage");
    assert!(!kept.is_empty());
    for id in kept {
        assert_eq!(world.get(&format!("/v1/schedules/{id}")).await.expect(200)["status"], "pending");
    }
}
