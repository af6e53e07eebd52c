//! The API behind API Gateway: what its events can hold reaches the routers as it does on a machine, and answers have
//! the form that the gateway takes.

use super::world::World;
use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use rondo_domain::engine::NewApp;
use rondo_http_api::{Api, ApiSettings, native, pushes, requests};
use rondo_lambda::{api::answer, event::Incoming};
use rondo_outbound::{AddressPolicy, SealingKey, UrlGuard};
use serde_json::{Value, json};
use std::sync::Arc;

const HOST: &str = "api.example";
const SECRET: &str = "a-secret-of-the-tests-alone";

pub struct Gateway {
    pub native: Router,
    pub requests: Router,
    pub pushes: Router,
}

impl Gateway {
    pub fn before(world: &World) -> Gateway {
        let api = Arc::new(Api {
            engine: world.api_engine(),
            rules: Arc::new(UrlGuard::new(AddressPolicy::public_only())),
            settings: ApiSettings::default(),
        });
        let (native, requests) = (native::router(Arc::clone(&api)), requests::router(Arc::clone(&api)));
        Gateway { native, requests, pushes: pushes::router(api) }
    }

    /// Status, headers and body of the answer, as the gateway gets them.
    pub async fn send(&self, event: Value) -> Value {
        let path = event["rawPath"].as_str().unwrap_or_default();
        let routes = match path.split('/').nth(1) {
            Some("set" | "requests" | "executions") => &self.requests,
            Some("v4") => &self.pushes,
            _ => &self.native,
        };
        let event: Incoming<ApiGatewayV2httpRequest> =
            serde_json::from_value(event).expect("reading an event never fails");
        let answer = answer(routes.clone(), event).await.expect("an event of the gateway");
        serde_json::to_value(answer).expect("an answer is JSON")
    }
}

async fn start() -> Gateway {
    let world = World::start().await;
    let new = NewApp {
        key: Some("ours".parse().expect("a key")),
        secret: Some(SECRET.to_owned()),
        name: "ours".to_owned(),
        ..NewApp::default()
    };
    world.engine.create_app(new, &SealingKey::from_bytes([7; 32])).await.expect("a new app");
    Gateway::before(&world)
}

fn event(method: &str, path: &str, body: Option<&str>) -> Value {
    let basic = format!("Basic {}", STANDARD.encode(format!("ours:{SECRET}")));
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": HOST, "x-forwarded-proto": "https", "authorization": basic},
        "requestContext": {
            "domainName": HOST, "stage": "$default", "requestId": "r", "timeEpoch": 1_900_000_000_000_u64,
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
        },
        "isBase64Encoded": false,
    });
    if let Some(body) = body {
        event["body"] = body.into();
    }
    event
}

const SCHEDULE: &str =
    r#"{"trigger":{"interval":{"every":"1h"}},"target":{"http":{"url":"https://example.com/é"}}}"#;

fn body_of(answer: &Value) -> Value {
    serde_json::from_str(answer["body"].as_str().expect("a text")).expect("JSON")
}

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_in_the_gateways_form() {
    let gateway = start().await;
    let made = gateway.send(event("POST", "/v1/schedules", Some(SCHEDULE))).await;
    assert_eq!((&made["statusCode"], &made["isBase64Encoded"]), (&201.into(), &false.into()), "{made}");
    assert_eq!(made["headers"]["content-type"], "application/json");
    let body = body_of(&made);
    let id = body["id"].as_str().unwrap();
    assert!(body["links"].to_string().contains(&format!("https://{HOST}/v1/schedules/{id}")), "{body}");
    assert!(made["headers"]["location"].as_str().unwrap().ends_with(id));
    let got = gateway.send(event("GET", &format!("/v1/schedules/{id}"), None)).await;
    assert_eq!(got["statusCode"], 200);
    let gone = gateway.send(event("DELETE", &format!("/v1/schedules/{id}/"), None)).await;
    assert_eq!(gone["statusCode"], 200, "a slash at the end does not matter");
}

#[tokio::test(start_paused = true)]
async fn a_body_in_base64_is_the_same_body() {
    let gateway = start().await;
    let mut encoded = event("POST", "/v1/schedules", Some(&STANDARD.encode(SCHEDULE)));
    encoded["isBase64Encoded"] = true.into();
    assert_eq!(gateway.send(encoded).await["statusCode"], 201);
    let mut binary = event("POST", "/v1/schedules", Some(&STANDARD.encode([0xff, 0x00])));
    binary["isBase64Encoded"] = true.into();
    let refused = gateway.send(binary).await;
    assert_eq!((&refused["statusCode"], &body_of(&refused)["code"]), (&400.into(), &"malformed_json".into()));
}

#[tokio::test(start_paused = true)]
async fn paths_as_the_gateway_decodes_them_break_nothing() {
    let gateway = start().await;
    let odd = [
        "/v1/schedules/a b",
        "/v1/schedules/a/b",
        "/v1/schedules/%",
        "/v1/schedules/ü\"<>",
        "/v1/schedules/a?b#c",
        "/v1/schedules/\u{0}",
        "/v1/schedules/%zz",
        "/v1//schedules",
        "/v1/../healthz",
        "//",
        "",
    ];
    for path in odd {
        let answer = gateway.send(event("GET", path, None)).await;
        assert_eq!(answer["statusCode"], 404, "{path:?}: {answer}");
        assert_eq!(body_of(&answer)["code"], "not_found");
    }
    let mut query = event("GET", "/v1/schedules", None);
    query["rawQueryString"] = "name=a b\"|é&limit=5".into();
    assert_eq!(gateway.send(query.clone()).await["statusCode"], 200);
    query["rawQueryString"] = "limit=%zz".into();
    assert_eq!(gateway.send(query).await["statusCode"], 400);
    let unknown = gateway.send(event("GET", "/requests/no such", None)).await;
    assert!(unknown["statusCode"].as_u64().is_some_and(|status| (400..500).contains(&status)), "{unknown}");
}

#[tokio::test(start_paused = true)]
async fn a_stage_before_the_path_is_seen_through() {
    let gateway = start().await;
    let mut staged = event("POST", "/prod/v1/schedules", Some(SCHEDULE));
    staged["requestContext"]["stage"] = "prod".into();
    let own = gateway.send(staged.clone()).await;
    assert_eq!(own["statusCode"], 201);
    let links = |answer: &Value| body_of(answer)["links"].to_string();
    assert!(links(&own).contains("https://api.example/v1/schedules/"), "{own}");
    // The gateway's own domain shows the stage, and so must the links.
    let domain = "a1.execute-api.eu-west-1.amazonaws.com";
    staged["requestContext"]["domainName"] = domain.into();
    staged["headers"]["host"] = domain.into();
    let theirs = gateway.send(staged).await;
    assert!(links(&theirs).contains(&format!("https://{domain}/prod/v1/schedules/")), "{theirs}");
}

#[tokio::test(start_paused = true)]
async fn credentials_are_asked_for_in_both_forms() {
    let gateway = start().await;
    let mut anonymous = event("GET", "/v1/app", None);
    anonymous["headers"] = json!({"host": HOST});
    let refused = gateway.send(anonymous).await;
    assert_eq!(refused["statusCode"], 401);
    let asked = refused["headers"]["www-authenticate"].as_str().unwrap();
    assert!(asked.contains("Basic realm") && asked.contains(", Bearer realm"), "{asked}");
    let mut bearer = event("GET", "/v1/app", None);
    bearer["headers"]["authorization"] = format!("Bearer rondo_ours_{SECRET}").into();
    assert_eq!(gateway.send(bearer).await["statusCode"], 200);
    // As the gateway joins two headers of one name.
    let mut twice = event("GET", "/v1/app", None);
    let once = twice["headers"]["authorization"].as_str().unwrap().to_owned();
    twice["headers"]["authorization"] = format!("{once},{once}").into();
    assert_eq!(gateway.send(twice).await["statusCode"], 401);
}

#[tokio::test(start_paused = true)]
async fn what_the_event_lacks_or_breaks_is_survived() {
    let gateway = start().await;
    // No Host: the domain stands in for it.
    let mut hostless = event("POST", "/v1/schedules", Some(SCHEDULE));
    hostless["headers"].as_object_mut().unwrap().remove("host");
    let made = gateway.send(hostless).await;
    assert!(body_of(&made)["links"].to_string().contains("https://api.example/"), "{made}");
    // A Host that is none goes into no link, and breaks nothing.
    let mut odd = event("GET", "/v1/app", None);
    odd["headers"]["host"] = "a b\"/\\".into();
    odd["headers"]["x-forwarded-proto"] = "gopher:".into();
    odd["cookies"] = json!(["a=1", "b=2"]);
    assert_eq!(gateway.send(odd).await["statusCode"], 200);
    let large = format!("\"{}\"", "x".repeat(300 * 1024));
    let refused = gateway.send(event("POST", "/v1/schedules", Some(&large))).await;
    assert_eq!((&refused["statusCode"], &body_of(&refused)["code"]), (&413.into(), &"body_too_large".into()));
    assert!(refused["headers"].get("connection").is_none(), "the connection is the gateway's");
}

#[tokio::test(start_paused = true)]
async fn methods_are_answered_as_on_a_machine() {
    let gateway = start().await;
    let other = gateway.send(event("PUT", "/v1/schedules", None)).await;
    assert_eq!(other["statusCode"], 405);
    assert!(other["headers"]["allow"].as_str().unwrap().contains("POST"));
    assert_eq!(gateway.send(event("OPTIONS", "/v1/schedules", None)).await["statusCode"], 204);
    let head = gateway.send(event("HEAD", "/healthz", None)).await;
    assert_eq!((&head["statusCode"], &head["body"]), (&200.into(), &"".into()));
    let contract = gateway.send(event("DELETE", "/set/notifier", None)).await;
    assert_eq!(contract["statusCode"], 405);
}

#[tokio::test(start_paused = true)]
async fn events_of_another_kind_are_refused_in_words() {
    let gateway = start().await;
    let mut rest = event("GET", "/v1/app", None);
    rest["version"] = "1.0".into();
    let mut no_base64 = event("POST", "/v1/schedules", Some("%%%"));
    no_base64["isBase64Encoded"] = true.into();
    let sqs = json!({"Records": [{"eventSource": "aws:sqs", "messageId": "m", "body": "sesame"}]});
    for wrong in [json!({}), json!("sesame"), rest, no_base64, sqs] {
        let event: Incoming<ApiGatewayV2httpRequest> = serde_json::from_value(wrong.clone()).unwrap();
        let refused = answer(gateway.native.clone(), event).await.unwrap_err().to_string();
        assert!(refused.contains("HTTP API of API Gateway") && !refused.contains("sesame"), "{wrong}");
    }
}
