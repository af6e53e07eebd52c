//! The recurring-callback contract, route by route, over real HTTP.

use http::Method;
use rondo_tests::{
    api_world::{Answered, ApiWorld},
    receiver::{Answer, Received, Receiver},
};
use serde_json::{Value, json};
use std::time::Duration;

fn snapshot(name: &str, answer: &Answered, world: &ApiWorld, receiver: Option<&Receiver>) {
    let (api, target) = (world.base(), receiver.map(|receiver| receiver.url("")));
    let mut bases = vec![(api.as_str(), "http://api")];
    bases.extend(target.as_deref().map(|target| (target, "http://receiver")));
    insta::assert_json_snapshot!(name, answer.tidy(&bases));
}

async fn create(world: &ApiWorld, body: Value) -> String {
    let made = world.post("/set/notifier", body).await.expect(200);
    made["id"].as_str().expect("an id").to_owned()
}

/// Due in an hour for the first time.
fn idle() -> Value {
    json!({"interval": "1h", "delay": "1h", "return_url": "https://example.com/hook"})
}

async fn request(world: &ApiWorld, id: &str) -> Value {
    let listed = world.get(&format!("/requests/get_list?requestId={id}")).await.expect(200);
    listed[0].clone()
}

async fn until(world: &ApiWorld, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for _ in 0..500 {
        last = request(world, id).await;
        if wanted(&last) {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the request stays {last:#}");
}

fn query(call: &Received) -> Vec<(String, String)> {
    let query = call.uri.query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

#[tokio::test]
async fn a_request_is_made_called_back_and_counted() {
    let (world, receiver) = (ApiWorld::start().await, Receiver::start().await);
    let body = json!({"interval": 300, "occurrences": 2, "name": "example_task", "return_url": receiver.url("/hook"), "payload": "{\"key\": \"value\"}", "callback_type": "POST"});
    let made = world.post("/set/notifier", body).await;
    snapshot("requests_create", &made, &world, None);
    let id = made.body["id"].as_str().expect("an id");
    let calls = receiver.wait_for(2).await;
    let told = Answered { status: 0, headers: Vec::new(), body: calls[0].json() };
    snapshot("requests_callback", &told, &world, Some(&receiver));
    assert_eq!(
        (calls[0].method.clone(), calls[0].header("content-type")),
        (Method::POST, "application/json")
    );
    until(&world, id, |request| request["status"] == "FINISHED").await;
    let shown = world.get(&format!("/requests/get_list?requestId={id}")).await;
    snapshot("requests_finished", &shown, &world, Some(&receiver));
    let executions = world.post("/executions/list", json!({"requestId": id})).await;
    snapshot("requests_executions", &executions, &world, Some(&receiver));

    let dues: Vec<i64> = executions
        .body
        .as_array()
        .expect("a list")
        .iter()
        .map(|execution| {
            let due = execution["dueTime"].as_str().expect("an instant");
            chrono::DateTime::parse_from_rfc3339(due).expect("an instant").timestamp_millis()
        })
        .collect();
    let made_at = shown.body[0]["requestTime"].as_str().expect("an instant");
    let made_at = chrono::DateTime::parse_from_rfc3339(made_at).expect("an instant").timestamp_millis();
    assert_eq!(dues, [made_at, made_at + 300], "created + delay + (k-1) * interval");
}

#[tokio::test]
async fn every_form_of_an_interval_and_any_payload() {
    let world = ApiWorld::start().await;
    for (interval, delay, ms) in [
        (json!(5000), json!(0), (5000, 0)),
        (json!("5000"), json!("1h+30m"), (5000, 5_400_000)),
        (json!("1w+3h+20m"), json!("2d"), (616_800_000, 172_800_000)),
        (json!("300"), Value::Null, (300, 0)),
    ] {
        let id = create(&world, json!({"interval": interval, "delay": delay, "occurrences": 1, "return_url": "https://example.com"})).await;
        let view = request(&world, &id).await;
        assert_eq!((&view["interval"], &view["delay"]), (&json!(ms.0), &json!(ms.1)), "{interval}");
    }
    for payload in [
        json!("text"),
        json!({"a": [1, 2.5, null]}),
        json!([]),
        json!(7),
        json!(false),
        Value::Null,
        json!(""),
    ] {
        let mut body = idle();
        body["payload"] = payload.clone();
        let id = create(&world, body).await;
        let view = request(&world, &id).await;
        assert_eq!(view["payload"], payload);
        assert_eq!((&view["occurrences"], &view["name"]), (&Value::Null, &Value::Null));
    }
    let numbers = world.post("/requests/list", json!({})).await.expect(200);
    let numbers: Vec<i64> =
        numbers.as_array().expect("a list").iter().filter_map(|request| request["id"].as_i64()).collect();
    assert_eq!(numbers, (1..=11).rev().collect::<Vec<_>>(), "counted per app, newest first");
}

#[tokio::test]
async fn a_get_callback_carries_its_values_in_the_query() {
    let (world, receiver) = (ApiWorld::start().await, Receiver::start().await);
    let id = create(&world, json!({"interval": 1000, "occurrences": 1, "name": "a b", "return_url": receiver.url("/hook?x=1"), "payload": "p&q", "callback_type": "get"})).await;
    let call = receiver.wait_for(1).await.remove(0);
    assert_eq!((call.method.clone(), call.body.len()), (Method::GET, 0));
    let pairs = query(&call);
    let names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "x",
            "executionId",
            "executionNumber",
            "parentRequestId",
            "parentRequestName",
            "payload",
            "occurrences",
            "showRequest",
            "cancelink",
            "cancelLink"
        ]
    );
    let value = |name: &str| pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    assert_eq!((value("parentRequestId"), value("parentRequestName")), (Some(id.as_str()), Some("a b")));
    assert_eq!(
        (value("payload"), value("occurrences"), value("executionNumber")),
        (Some("p&q"), Some("1"), Some("1"))
    );
    assert_eq!(value("cancelink"), value("cancelLink"));
}

#[tokio::test]
async fn other_methods_and_failures() {
    let (world, receiver) = (ApiWorld::start().await, Receiver::start().await);
    receiver.always(Answer::Status(404));
    let alerts = Receiver::start().await;
    for method in ["PUT", "patch", "Delete"] {
        let id = create(&world, json!({"interval": 1000, "occurrences": 1, "return_url": receiver.url("/"), "callback_type": method, "notify_status_not_ok": alerts.url("/alert")})).await;
        let view = until(&world, &id, |request| request["status"] == "FINISHED").await;
        assert_eq!(
            (&view["failed"], &view["done"], &view["lastStatusCode"]),
            (&json!(1), &json!(1), &json!(404))
        );
        assert_eq!(view["callbackType"], method.to_ascii_uppercase());
    }
    assert_eq!(receiver.received().len(), 3, "one attempt each");
    let alert = alerts.wait_for(3).await.remove(0).json();
    assert_eq!(alert["callback_status_code"], 404);
    assert_eq!(alert["parentRequestId"], alert["requestId"]);

    let id = create(&world, json!({"interval": 60000, "occurrences": 1, "return_url": receiver.url("/"), "retry": {"max_attempts": 2, "initial": 100}})).await;
    until(&world, &id, |request| request["status"] == "FINISHED").await;
    assert_eq!(receiver.received().len(), 5, "it asked for two attempts");
}

#[tokio::test]
async fn both_links_work_as_they_stand() {
    let (world, receiver) = (ApiWorld::start().await, Receiver::start().await);
    let id = create(&world, json!({"interval": "1h", "return_url": receiver.url("/")})).await;
    let call = receiver.wait_for(1).await.remove(0).json();
    let link = |name: &str| call[name].as_str().expect("a link").to_owned();
    let (show, cancel) = (link("showRequest"), link("cancelLink"));
    let bare = async |method: &str, url: &str| world.raw(method, url, &[], b"").await;
    assert_eq!(bare("GET", &show).await.expect(200)[0]["externalId"], id);

    let other = create(&world, idle()).await;
    let foreign = cancel.replace(&id, &other);
    snapshot("requests_without_credentials", &bare("GET", &foreign).await, &world, None);
    for url in [
        format!("{cancel}x"),
        cancel.split("&token").next().expect("a part").to_owned(),
        format!("/requests/get_list?status=pending&{}", cancel.split('&').nth(1).expect("a token")),
    ] {
        assert_eq!(bare("GET", &url).await.status, 401, "{url}");
    }
    assert_eq!(bare("HEAD", &cancel).await.status, 405, "whoever only looks does not cancel");
    assert_eq!(request(&world, &id).await["status"], "ON_GOING");

    let canceled = bare("GET", &cancel).await;
    snapshot("requests_cancel", &canceled, &world, None);
    assert_eq!(request(&world, &id).await["status"], "CANCELED");
    assert_eq!(bare("GET", &cancel).await.expect(200), canceled.body, "again does no harm");
    let shown = canceled.body["show-request"].as_str().expect("a link");
    assert_eq!(bare("GET", shown).await.expect(200)[0]["status"], "CANCELED");
    assert_eq!(request(&world, &other).await["status"], "PENDING");
    let plain = world.get(&format!("/requests/cancel_task?requestId={other}")).await.expect(200);
    assert_eq!(plain["result"], "request sent");
    world.get("/requests/cancel_task").await.expect(400);
    snapshot(
        "requests_cancel_unknown",
        &world.get("/requests/cancel_task?requestId=nothing").await,
        &world,
        None,
    );
}

#[tokio::test]
async fn lists_by_id_and_status() {
    let world = ApiWorld::start().await;
    let (first, second) = (create(&world, idle()).await, create(&world, idle()).await);
    world.send("PUT", &format!("/requests/{second}"), Some(json!({"status": "paused"}))).await.expect(200);
    world.post("/v1/schedules", json!({"trigger": {"single": {"after": "1h"}}, "target": {"http": {"url": "https://example.com"}}})).await.expect(201);
    let ids = async |answer: Answered| -> Vec<String> {
        let list = answer.expect(200);
        let list = list.as_array().expect("a list").iter();
        list.map(|request| request["externalId"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(ids(world.get("/requests/get_list?status=pending").await).await, [first.as_str()]);
    assert_eq!(ids(world.get("/requests/get_list?status=PAUSED").await).await, [second.as_str()]);
    assert_eq!(
        ids(world.post("/requests/list", json!({})).await).await,
        [second.as_str(), first.as_str()],
        "native schedules are not shown"
    );
    assert_eq!(ids(world.post("/requests/list", json!({"limit": 1})).await).await, [second.as_str()]);
    assert_eq!(
        ids(world.post("/requests/list", json!({"requestId": first, "status": "PAUSED"})).await).await,
        [""; 0]
    );
    assert_eq!(ids(world.post("/requests/list", json!({"requestId": "unknown"})).await).await, [""; 0]);
    snapshot("requests_neither", &world.get("/requests/get_list").await, &world, None);
    snapshot("requests_unknown_status", &world.get("/requests/get_list?status=done").await, &world, None);
    for body in [
        json!({"status": "done"}),
        json!({"status": 1}),
        json!({"requestId": 1}),
        json!({"limit": 0}),
        json!({"limit": 1001}),
        json!([]),
    ] {
        world.post("/requests/list", body).await.expect(400);
    }
}

#[tokio::test]
async fn more_than_a_page_is_listed_where_asked_for() {
    let world = ApiWorld::start().await;
    for _ in 0..60 {
        create(&world, idle()).await;
    }
    let count =
        async |body: Value| world.post("/requests/list", body).await.expect(200).as_array().map(Vec::len);
    assert_eq!(count(json!({})).await, Some(50));
    assert_eq!(count(json!({"limit": 1000})).await, Some(60));
    assert_eq!(count(json!({"limit": 55, "status": "PENDING"})).await, Some(55));
}

#[tokio::test]
async fn an_update_answers_the_request_as_it_stands() {
    let world = ApiWorld::start().await;
    let id = create(&world, idle()).await;
    let put = async |body: Value| world.send("PUT", &format!("/requests/{id}"), Some(body)).await;
    let all = json!({"payload": {"k": 1}, "name": "new", "return_url": "https://example.com/new", "interval": "2h", "occurrences": 5, "callback_type": "put", "notify_status_not_ok": "https://example.com/alert", "status": "PAUSED"});
    snapshot("requests_update", &put(all).await, &world, None);
    assert_eq!(put(json!({"status": "on_going"})).await.expect(200)["status"], "PENDING");
    let cleared =
        put(json!({"name": null, "occurrences": null, "notify_status_not_ok": null})).await.expect(200);
    assert_eq!(
        (&cleared["name"], &cleared["occurrences"], &cleared["notifyOnStatusNotOk"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    let by_query = world.send("PUT", &format!("/requests?requestId={id}"), Some(json!({"name": "q"}))).await;
    assert_eq!(by_query.expect(200)["name"], "q");
    let before = request(&world, &id).await;
    for (body, field) in [
        (json!({"colour": 1}), "colour"),
        (json!({"delay": 1}), "delay"),
        (json!({"status": "FINISHED"}), "status"),
        (json!({"status": null}), "status"),
        (json!({"interval": 299}), "interval"),
        (json!({"interval": null}), "interval"),
        (json!({"occurrences": 0}), "occurrences"),
        (json!({"return_url": "nowhere"}), "return_url"),
        (json!({"return_url": null}), "return_url"),
        (json!({"callback_type": "HEAD"}), "callback_type"),
        (json!({"name": "n", "interval": "soon"}), "interval"),
    ] {
        let refused = put(body.clone()).await.expect(400);
        assert_eq!(refused["error"]["field"], field, "{body}: {refused:#}");
    }
    put(json!({})).await.expect(400);
    assert_eq!(request(&world, &id).await, before, "what is refused changes nothing");
    assert_eq!(put(json!({"status": "canceled"})).await.expect(200)["status"], "CANCELED");
    snapshot("requests_update_ended", &put(json!({"name": "late"})).await, &world, None);
    world.send("PUT", "/requests", Some(json!({"name": "n"}))).await.expect(400);
    world.send("PUT", "/requests/unknown", Some(json!({"name": "n"}))).await.expect(404);
}

#[tokio::test]
async fn occurrences_cannot_fall_below_what_has_started() {
    let (world, receiver) = (ApiWorld::start().await, Receiver::start().await);
    let id = create(&world, json!({"interval": 300, "return_url": receiver.url("/")})).await;
    receiver.wait_for(2).await;
    let refused = world.send("PUT", &format!("/requests/{id}"), Some(json!({"occurrences": 1}))).await;
    assert_eq!(refused.expect(400)["error"]["field"], "occurrences");
    world.get(&format!("/requests/cancel_task?requestId={id}")).await.expect(200);
}

#[tokio::test]
async fn executions_are_paged_and_commented() {
    let (world, receiver) = (ApiWorld::start().await, Receiver::start().await);
    let id =
        create(&world, json!({"interval": 300, "occurrences": 3, "return_url": receiver.url("/")})).await;
    until(&world, &id, |request| request["status"] == "FINISHED").await;
    let list = async |body: Value| world.post("/executions/list", body).await;
    let all = list(json!({"requestId": id})).await.expect(200);
    let numbers: Vec<i64> =
        all.as_array().expect("a list").iter().filter_map(|one| one["executionNumber"].as_i64()).collect();
    assert_eq!(numbers, [1, 2, 3], "oldest first");
    let first = all[0]["executionId"].as_str().expect("an id");
    let rest = list(json!({"requestId": id, "after": first})).await.expect(200);
    assert_eq!((&rest[0], rest.as_array().map(Vec::len)), (&all[1], Some(2)));
    assert_eq!(
        list(json!({"requestId": id, "after": first, "limit": 1})).await.expect(200).as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(list(json!({"requestId": "unknown"})).await.expect(200), json!([]));
    let other = create(&world, idle()).await;
    for body in [
        json!({}),
        json!({"requestId": null}),
        json!({"requestId": 1}),
        json!({"requestId": id, "after": "x"}),
        json!({"requestId": other, "after": first}),
        json!({"requestId": id, "limit": 0}),
    ] {
        list(body).await.expect(400);
    }

    let comment = async |body: Value| world.post("/set/execution/comment", body).await;
    assert_eq!(
        comment(json!({"executionId": first, "comment": "looked at"})).await.expect(200),
        json!({"result": "comment added"})
    );
    assert_eq!(list(json!({"requestId": id})).await.expect(200)[0]["comment"], "looked at");
    for (body, status) in [
        (json!({"executionId": first}), 400),
        (json!({"comment": "c"}), 400),
        (json!({"executionId": first, "comment": ""}), 400),
        (json!({"executionId": first, "comment": "c".repeat(2049)}), 400),
        (json!({"executionId": "unknown", "comment": "c"}), 404),
        (json!({"executionId": id, "comment": "c"}), 404),
        (json!({"executionId": first.replace("0000000001", "0000000009"), "comment": "c"}), 404),
    ] {
        assert_eq!(comment(body.clone()).await.status, status, "{body}");
    }
}

#[tokio::test]
async fn listeners_are_told() {
    let (world, receiver, listener) =
        (ApiWorld::start().await, Receiver::start().await, Receiver::start().await);
    let connect = async |body: Value| world.post("/set/connection", body).await;
    let made =
        connect(json!({"url": listener.url("/events"), "events": ["request_added", "REQUEST_CANCELED"]}))
            .await;
    snapshot("requests_connection", &made, &world, Some(&listener));
    let id = create(&world, json!({"interval": "1h", "return_url": receiver.url("/")})).await;
    receiver.wait_for(1).await;
    world.get(&format!("/requests/cancel_task?requestId={id}")).await.expect(200);
    let told: Vec<Value> = listener.wait_for(2).await.iter().map(Received::json).collect();
    let mut events: Vec<&str> = told.iter().filter_map(|one| one["event"].as_str()).collect();
    events.sort_unstable();
    assert_eq!(events, ["REQUEST_ADDED", "REQUEST_CANCELED"], "and nothing that it did not ask for");
    let inner: Value =
        serde_json::from_str(told[0]["json"].as_str().expect("JSON in a string")).expect("JSON");
    assert_eq!(inner["externalId"], id);
    for body in [
        json!({}),
        json!({"url": "x"}),
        json!({"url": listener.url("/"), "events": []}),
        json!({"url": listener.url("/"), "events": ["GONE"]}),
        json!({"url": listener.url("/"), "events": "ALL"}),
        json!({"url": listener.url("/"), "event": ["REQUEST_ADDED"]}),
    ] {
        connect(body).await.expect(400);
    }
}

#[tokio::test]
async fn the_public_pages_example_breaks_where_it_breaks() {
    let world = ApiWorld::start().await;
    let raw = r#"{ "interval": 5000, "occurrences": 10, "name": "example_task", "return_url": "https://example.com/post_endpoint", "payload": "{"key": "value"}", "callback_type": "POST" }"#;
    let authorization = rondo_tests::api_world::basic(world.first.key.as_str(), &world.first.secret);
    let headers = [("authorization", authorization.as_str()), ("content-type", "text/plain")];
    let broken = world.raw("POST", "/set/notifier", &headers, raw.as_bytes()).await;
    snapshot("requests_raw_example", &broken, &world, None);
    assert_eq!(world.stored().await, 0);
    let escaped = raw.replace(r#""{"key": "value"}""#, r#""{\"key\": \"value\"}""#);
    world.raw("POST", "/set/notifier", &headers, escaped.as_bytes()).await.expect(200);
    assert_eq!(world.stored().await, 1);
}

#[tokio::test]
async fn refusals_have_the_contracts_form() {
    let world = ApiWorld::start().await;
    snapshot("requests_unknown_path", &world.get("/requests/a/b").await, &world, None);
    snapshot("requests_other_method", &world.get("/set/notifier").await, &world, None);
    let slip = world
        .post(
            "/set/notifier",
            json!({"interval": 5000, "return_url": "https://example.com", "occurences": 3}),
        )
        .await;
    snapshot("requests_slip", &slip, &world, None);
    let more = json!({"interval": 5000, "delay": "1h", "return_url": "https://example.com", "internal_id": 4, "vendor": {"x": 1}});
    assert_eq!(
        world.post("/set/notifier/", more).await.expect(200)["internal_id"],
        1,
        "what other services know is left alone"
    );
}
