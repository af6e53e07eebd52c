//! Limits of size, rate and number, and a store that is away or full.

use crate::bodies::{contract, long, native, with};
use async_trait::async_trait;
use rondo_domain::{
    app::App,
    engine::NewApp,
    ids::AppKey,
    ports::{AppStore, StoreError},
    time::Span,
};
use rondo_http_api::ApiSettings;
use rondo_tests::api_world::{ApiWorld, Setup, basic};
use serde_json::{Value, json};
use std::sync::Arc;

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
