//! Both surfaces of the API behind API Gateway, and what the links in answers and callbacks lead to.

use crate::{Outcome, Stage, arrivals, exactly, occurrences, secs};
use rondo_tests::{deployed::text, receiver::Receiver};
use serde_json::{Value, json};

pub async fn native(stage: &Stage) -> Vec<Outcome> {
    let (stack, receiver) = (&stage.stack, Receiver::start_apart().await);
    refusals(stage).await;
    let created = stack.send(
        "POST",
        "/v1/schedules",
        Some(json!({
            "name": "a greeting",
            "trigger": {"single": {"after": "6s"}},
            "target": {"http": {"url": receiver.url("/hello?q=a%20b"), "method": "PUT",
                                "headers": {"x-team": "billing"}, "body": {"greeting": "¡hola!"}}},
            "tags": {"team": "billing"},
        })),
    );
    let created = created.await;
    let location = created.header("location").expect("a new schedule has an address").to_owned();
    let schedule = created.expect(201);
    let id = text(&schedule, "id");
    let address = format!("{}/v1/schedules/{id}", stack.base());
    assert_eq!((location.as_str(), &schedule["links"]["self"]), (address.as_str(), &json!(address)));
    assert_eq!(stack.get(&address).await["id"], json!(id));
    let listed = stack.get("/v1/schedules?tag=team:billing").await;
    assert_eq!(listed["schedules"][0]["id"], json!(id), "{listed}");
    let upcoming = stack.get(&format!("{address}/upcoming")).await;
    assert_eq!(upcoming["upcoming"][0]["occurrence"], 1, "{upcoming}");
    let preview = json!({"trigger": {"cron": {"expression": "0 9 * * *", "time_zone": "Europe/Madrid"}}});
    let preview = stack.send("POST", "/v1/preview", Some(preview)).await.expect(200);
    assert_eq!(preview["instants"].as_array().map(Vec::len), Some(10), "{preview}");
    assert_eq!(stack.get("/v1/app").await["key"], json!(stack.app.key));

    let received = exactly(&receiver, 1, secs(20), secs(3)).await;
    stage.ledger.note("native", &received);
    let callback = &received[0];
    assert_eq!((callback.method.as_str(), callback.uri.to_string().as_str()), ("PUT", "/hello?q=a%20b"));
    assert_eq!((callback.header("x-team"), callback.json()), ("billing", json!({"greeting": "¡hola!"})));
    let finished = stack.comes_to(&id, "finished", secs(10)).await;
    assert_eq!(finished["counts"]["succeeded"], 1, "{finished}");
    let executions = stack.executions(&id).await;
    assert_eq!(executions.len(), 1, "{executions:?}");
    assert_eq!(executions[0]["id"], json!(callback.header("webhook-id")));
    let execution = stack.get(&format!("/v1/executions/{}", text(&executions[0], "id"))).await;
    assert_eq!(execution["attempts"].as_array().map(Vec::len), Some(1), "{execution}");
    stack.get("/v1/stats").await;

    let by_hand = by_hand(stage).await;
    vec![Outcome::finished(&schedule, 1), by_hand]
}

/// Each in the form of the surface that its path belongs to.
async fn refusals(stage: &Stage) {
    let stack = &stage.stack;
    assert_eq!(stack.send_as(None, "GET", "/healthz", None).await.expect(200), json!({"status": "ok"}));
    let code = async |method: &str, path: &str, body: Option<Value>, status| {
        let answer = stack.send(method, path, body).await;
        let content_type = answer.header("content-type").unwrap_or("").to_owned();
        (answer.expect(status)["code"].clone(), content_type)
    };
    let problem = |name: &str| (json!(name), "application/problem+json".to_owned());
    assert_eq!(code("GET", "/nowhere", None, 404).await, problem("not_found"));
    assert_eq!(code("GET", "/v1/schedules/nobody", None, 404).await, problem("not_found"));
    assert_eq!(code("PUT", "/v1/schedules", Some(json!({})), 405).await, problem("method_not_allowed"));
    assert_eq!(code("POST", "/v1/schedules", Some(json!({"name": 7})), 400).await, problem("invalid"));
    stack.send_as(None, "GET", "/v1/schedules", None).await.expect(401);
    let refused = stack.send("GET", "/requests/nowhere/at-all", None).await.expect(404);
    assert_eq!(refused["isError"], true, "{refused}");
    let refused = stack.send("POST", "/set/notifier", Some(json!({"interval": 100}))).await.expect(400);
    assert_eq!(refused["isError"], true, "{refused}");
}

/// A run beside the trigger counts nowhere, and a cancelled schedule leaves nothing with EventBridge.
async fn by_hand(stage: &Stage) -> Outcome {
    let (stack, receiver) = (&stage.stack, Receiver::start_apart().await);
    let schedule = json!({
        "trigger": {"cron": {"expression": "0 0 1 1 *"}},
        "target": {"http": {"url": receiver.url("/by-hand")}},
    });
    let schedule = stack.create(schedule).await;
    let id = text(&schedule, "id");
    assert_eq!(stack.far_wakes(&id).await.len(), 1, "EventBridge holds what is far away");
    let run = stack.send("POST", &format!("/v1/schedules/{id}/run"), None).await;
    let execution = text(&run.expect(202), "id");
    let received = arrivals(&receiver, 1, secs(20)).await;
    assert_eq!(received[0].header("webhook-id"), execution);
    // Over on record as well, before the schedule ends.
    let over = async {
        while stack.get(&format!("/v1/executions/{execution}")).await["status"] != "succeeded" {
            tokio::time::sleep(secs(1) / 5).await;
        }
    };
    tokio::time::timeout(secs(10), over).await.expect("the run is on record");
    stack.send("DELETE", &format!("/v1/schedules/{id}"), None).await.expect(200);
    assert!(stack.far_wakes(&id).await.is_empty(), "cancelled");
    Outcome { records: (1, 0), ..Outcome::canceled(&schedule, 0) }
}

pub async fn recurring(stage: &Stage) -> Vec<Outcome> {
    let (stack, receiver) = (&stage.stack, Receiver::start_apart().await);
    let order = json!({
        "interval": 1000, "occurrences": 5, "delay": 4000, "name": "example_task", "callback_type": "POST",
        "return_url": receiver.url("/recurring"), "payload": "{\"key\": \"value\"}",
    });
    let made = stack.send("POST", "/set/notifier", Some(order)).await.expect(200);
    assert_eq!(made["internal_id"], 1, "{made}");
    let id = text(&made, "id");
    let received = exactly(&receiver, 5, secs(30), secs(3)).await;
    stage.ledger.note("recurring callbacks", &received);
    assert_eq!(occurrences(&received), [1, 2, 3, 4, 5]);
    let body = received[0].json();
    assert_eq!(
        (&body["parentRequestName"], &body["payload"]),
        (&json!("example_task"), &json!("{\"key\": \"value\"}"))
    );

    // The links work as they stand, at the address that callers use.
    let show = text(&body, "showRequest");
    assert!(show.starts_with(stack.base()), "{show}");
    let shown = stack.send_as(None, "GET", &show, None).await.expect(200);
    assert_eq!(shown[0]["externalId"], json!(id), "{shown}");
    let finished = async {
        loop {
            let listed =
                stack.send("POST", "/requests/list", Some(json!({"requestId": id}))).await.expect(200);
            if listed[0]["status"] == "FINISHED" {
                return listed;
            }
            tokio::time::sleep(secs(1) / 2).await;
        }
    };
    let finished = tokio::time::timeout(secs(10), finished).await.expect("it finishes");
    assert_eq!(finished[0]["done"], 5, "{finished}");
    let order = json!({"requestId": id});
    let executions = stack.send("POST", "/executions/list", Some(order)).await.expect(200);
    assert_eq!(executions.as_array().map(Vec::len), Some(5), "{executions}");
    let comment = json!({"executionId": executions[0]["executionId"], "comment": "seen"});
    stack.send("POST", "/set/execution/comment", Some(comment)).await.expect(200);
    vec![Outcome::finished(&made, 5), cancelled_by_link(stage).await, cancelled_far_away(stage).await]
}

async fn cancelled_by_link(stage: &Stage) -> Outcome {
    let (stack, receiver) = (&stage.stack, Receiver::start_apart().await);
    let order = json!({
        "interval": 4000, "occurrences": 10, "delay": 3000, "name": "cut short", "return_url": receiver.url("/short"),
    });
    let made = stack.send("POST", "/set/notifier", Some(order)).await.expect(200);
    let received = arrivals(&receiver, 1, secs(20)).await;
    let link = text(&received[0].json(), "cancelLink");
    assert!(link.starts_with(stack.base()), "{link}");
    let answer = stack.send_as(None, "GET", &link, None).await.expect(200);
    assert_eq!(answer["result"], "request sent", "{answer}");
    exactly(&receiver, 1, secs(1), secs(6)).await;
    Outcome::canceled(&made, 1)
}

/// Listed by status, and cancelled while EventBridge holds it.
async fn cancelled_far_away(stage: &Stage) -> Outcome {
    let (stack, receiver) = (&stage.stack, Receiver::start_apart().await);
    let order = json!({"interval": 60_000, "delay": 600_000, "return_url": receiver.url("/far-away")});
    let made = stack.send("POST", "/set/notifier", Some(order)).await.expect(200);
    let id = text(&made, "id");
    assert_eq!(stack.far_wakes(&id).await.len(), 1, "EventBridge holds it");
    let listed = stack.get("/requests/get_list?status=pending").await;
    let mut ids = listed.as_array().expect("an array").iter().map(|request| text(request, "externalId"));
    assert!(ids.any(|listed| listed == id), "{listed}");
    stack.get(&format!("/requests/cancel_task?requestId={id}")).await;
    assert!(stack.far_wakes(&id).await.is_empty(), "EventBridge holds nothing of it any more");
    Outcome::canceled(&made, 0)
}

/// A listener hears everything of its app, and only of its own.
pub async fn listeners(stage: &Stage) -> Vec<Outcome> {
    let (stack, receiver, listener) =
        (&stage.stack, Receiver::start_apart().await, Receiver::start_apart().await);
    let app = stack.make_app("listening").await;
    let send =
        async |path: &str, body: Value| stack.send_as(Some(&app), "POST", path, Some(body)).await.expect(200);
    send("/set/connection", json!({"url": listener.url("/heard")})).await;
    let order =
        json!({"interval": 1000, "occurrences": 2, "delay": 4000, "return_url": receiver.url("/listened")});
    let made = send("/set/notifier", order).await;
    exactly(&receiver, 2, secs(30), secs(2)).await;
    let told = arrivals(&listener, 5, secs(20)).await;
    let mut events: Vec<String> = told.iter().map(|event| text(&event.json(), "event")).collect();
    events.sort();
    let expected =
        ["EXECUTION_FIRED", "EXECUTION_FIRED", "REQUEST_ADDED", "REQUEST_FINISHED", "REQUEST_STARTED"];
    assert_eq!(events, expected);
    vec![Outcome::finished(&made, 2)]
}
