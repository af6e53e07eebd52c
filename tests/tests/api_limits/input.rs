//! Bad input: refused with the field, and nothing stored.

use crate::{
    bodies::{contract, deep, long, native, with, without},
    native_cases::native_cases,
};
use rondo_tests::api_world::{ApiWorld, Setup, basic};
use serde_json::{Value, json};

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
