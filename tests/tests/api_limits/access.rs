//! Credentials, other apps' ids, and secrets that rotate.

use crate::bodies::{contract, native};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rondo_http_api::admin::{AdminAnswer, AdminRequest, handle};
use rondo_tests::{
    api_world::{Answered, ApiWorld, basic},
    receiver::Receiver,
};
use serde_json::{Value, json};

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
    let receiver = Receiver::start().await;
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
        max_pushes: None,
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
