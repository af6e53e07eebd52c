//! Devices, their tags and aliases, and when their owners are there.

use crate::bodies::{instant, refusal, refused, world};
use rondo_domain::time::Span;
use rondo_tests::api_world::{ApiWorld, Setup};
use serde_json::{Value, json};

/// With the keys of RFC 8291, appendix A.
pub fn subscription() -> Value {
    json!({
        "endpoint": "https://push.example/send/abc",
        "expirationTime": null,
        "keys": {
            "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "auth": "BTBZMqHH6r4Tts7J_aSIgg",
        },
    })
}

#[tokio::test]
async fn a_device_is_registered_shown_changed_and_removed() {
    let world = world().await;
    let path = "/v4/devices/phone%20of%20me";
    let device = json!({
        "platform": "web", "time_zone": "Asia/Kathmandu", "subscription": subscription(), "tags": ["b", "a"], "alias": "me",
    });
    let shown = json!({
        "tags": ["a", "b"], "alias": "me", "platform": "web", "time_zone": "Asia/Kathmandu", "subscribed": true,
        "last_active": null, "best_time": null,
    });
    assert_eq!(world.send("PUT", path, Some(device)).await.expect(200), shown);
    assert_eq!(world.get(&format!("{path}/")).await.expect(200), shown);
    world.post(path, json!({"tags": {"add": ["c"], "remove": ["a"]}, "alias": ""})).await.expect(200);
    let after = world.get(path).await.expect(200);
    assert_eq!((&after["tags"], &after["alias"]), (&json!(["b", "c"]), &json!("")));
    world.post(path, json!({"tags": ""})).await.expect(200);
    assert_eq!(world.get(path).await.expect(200)["tags"], json!([]));
    let bare = world.send("PUT", path, Some(json!({"platform": "ios"}))).await.expect(200);
    assert_eq!(
        (&bare["platform"], &bare["time_zone"], &bare["subscribed"]),
        (&json!("ios"), &json!(null), &json!(false))
    );
    // Another app has no such device.
    assert_eq!(refusal(&world.send_as(&world.second, "GET", path, None).await), refused(404, 20101, "there"));
    assert_eq!(world.send("DELETE", path, None).await.expect(200), json!({"success": true}));
    for (method, path, body) in [
        ("GET", path.to_owned(), None),
        ("DELETE", path.to_owned(), None),
        ("POST", path.to_owned(), Some(json!({"alias": "x"}))),
        ("POST", format!("{path}/activity"), None),
    ] {
        assert_eq!(
            refusal(&world.send(method, &path, body).await),
            refused(404, 20101, "there"),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_device_is_told() {
    let world = world().await;
    let put = async |path: &str, body: Value| refusal(&world.send("PUT", path, Some(body)).await);
    assert_eq!(put("/v4/devices/d", json!({})).await, refused(400, 21002, "platform"));
    assert_eq!(put("/v4/devices/d", json!([])).await, refused(400, 21016, "the"));
    let zone = json!({"platform": "web", "time_zone": "Madrid"});
    assert_eq!(put("/v4/devices/d", zone).await, refused(400, 21003, "time_zone"));
    let long = format!("/v4/devices/{}", "x".repeat(129));
    assert_eq!(put(&long, json!({"platform": "web"})).await, refused(400, 20101, "registration_id"));
    assert_eq!(
        put("/v4/devices/a%0Ab", json!({"platform": "web"})).await,
        refused(400, 20101, "registration_id")
    );
    let off_curve = format!("B{}", "A".repeat(86));
    for (pointer, value, field) in [
        ("/keys/p256dh", json!("AAAA"), "subscription.keys.p256dh"),
        ("/keys/p256dh", json!("not base64!"), "subscription.keys.p256dh"),
        ("/keys/p256dh", json!(off_curve), "subscription.keys.p256dh"),
        ("/keys/auth", json!("AAAA"), "subscription.keys.auth"),
        ("/endpoint", json!("push.example"), "subscription.endpoint"),
        ("/endpoint", json!("file:///etc/passwd"), "subscription.endpoint"),
    ] {
        let body =
            json!({"platform": "web", "subscription": crate::bodies::with(subscription(), pointer, value)});
        assert_eq!(put("/v4/devices/d", body).await, refused(400, 21003, field), "{pointer}");
    }
    world.get("/v4/devices/d").await.expect(404);
}

#[tokio::test]
async fn endpoints_are_public_addresses() {
    let world = ApiWorld::with(Setup { private_targets: false, ..Setup::default() }).await;
    for endpoint in [
        "https://127.0.0.1/x",
        "https://10.0.0.1/x",
        "https://[::1]/x",
        "https://169.254.169.254/x",
        "http://push.example/x",
    ] {
        let mut subscription = subscription();
        subscription["endpoint"] = json!(endpoint);
        let body = json!({"platform": "web", "subscription": subscription});
        let answer = world.send("PUT", "/v4/devices/d", Some(body)).await;
        assert_eq!(refusal(&answer), refused(400, 21003, "subscription.endpoint"), "{endpoint}");
    }
}

#[tokio::test]
async fn activity_makes_a_best_time() {
    let world = world().await;
    let path = "/v4/devices/d";
    world.send("PUT", path, Some(json!({"platform": "web", "time_zone": "Asia/Tokyo"}))).await.expect(200);
    let now = world.engine.now();
    // A quarter past an hour, some days ago, three times.
    let day = |days: u64| {
        let at = now
            .minus(Span::from_secs(86_400 * days))
            .utc()
            .date_naive()
            .and_hms_opt(10, 15, 0)
            .expect("a time");
        at.and_utc().to_rfc3339()
    };
    let two = world.post(&format!("{path}/activity"), json!({"events": [day(2), day(3)]})).await.expect(200);
    assert_eq!(two["best_time"], json!(null));
    let three = world.post(&format!("{path}/activity/"), json!({"at": day(4)})).await.expect(200);
    assert_eq!(three["best_time"], json!({"local": "19:00", "visits": 3}));
    let old = instant(now.minus(Span::from_secs(86_400 * 91)));
    let same = world.post(&format!("{path}/activity"), json!({"events": [old]})).await.expect(200);
    assert_eq!(same, three);
    let ahead = instant(now.plus(Span::from_secs(3600)));
    assert_eq!(
        refusal(&world.post(&format!("{path}/activity"), json!({"at": ahead})).await),
        refused(400, 21003, "at")
    );
    // Nothing said: just now.
    let here = world.send("POST", &format!("{path}/activity"), None).await.expect(200);
    assert_eq!(here["best_time"]["visits"], 4);
    assert!(here["last_active"].as_str().is_some_and(|at| at >= instant(now).as_str()), "{here}");
    // Registering again keeps what is known.
    let again = world
        .send("PUT", path, Some(json!({"platform": "web", "time_zone": "Asia/Tokyo"})))
        .await
        .expect(200);
    assert_eq!(again["best_time"]["visits"], 4);
}

#[tokio::test]
async fn tags_and_aliases_are_asked_for_by_name() {
    let world = world().await;
    for (name, platform) in [("one", "web"), ("two", "ios"), ("three", "web")] {
        let device = json!({"platform": platform, "alias": "us"});
        world.send("PUT", &format!("/v4/devices/{name}"), Some(device)).await.expect(200);
    }
    let has = async |tag: &str, id: &str| {
        world.get(&format!("/v4/tags/{tag}/registration_ids/{id}")).await.expect(200)["result"].clone()
    };
    let change = async |body: Value| world.post("/v4/tags/news", body).await;
    change(json!({"registration_ids": {"add": ["one", "two"]}})).await.expect(200);
    assert_eq!((has("news", "one").await, has("news", "three").await), (json!(true), json!(false)));
    assert_eq!((has("other", "one").await, has("news", "stranger").await), (json!(false), json!(false)));
    change(json!({"registration_ids": {"add": ["three"], "remove": ["one", "stranger"]}})).await.expect(200);
    assert_eq!((has("news", "one").await, has("news", "three").await), (json!(false), json!(true)));
    // All or nothing.
    let unknown = change(json!({"registration_ids": {"add": ["one", "stranger"]}})).await;
    assert_eq!(refusal(&unknown), refused(400, 20101, "registration_ids.add"));
    assert_eq!(has("news", "one").await, json!(false));
    let tags: Vec<String> = (0..100).map(|i| format!("tag{i}")).collect();
    world.post("/v4/devices/one", json!({"tags": {"add": tags}})).await.expect(200);
    assert_eq!(
        refusal(&change(json!({"registration_ids": {"add": ["one"]}})).await),
        refused(400, 21003, "tags")
    );
    assert_eq!(refusal(&change(json!({})).await), refused(400, 21002, "registration_ids"));
    let many: Vec<String> = (0..1001).map(|i| format!("d{i}")).collect();
    let many = change(json!({"registration_ids": {"add": many}})).await;
    assert_eq!(refusal(&many), refused(400, 21003, "registration_ids.add"));
    let alias = async |query: &str| {
        world.get(&format!("/v4/aliases/us{query}")).await.expect(200)["registration_ids"].clone()
    };
    assert_eq!(alias("").await, json!(["one", "three", "two"]));
    assert_eq!(alias("?platform=web").await, json!(["one", "three"]));
    assert_eq!(alias("/?platform=ios,web").await, json!(["one", "three", "two"]));
    assert_eq!(world.get("/v4/aliases/nobody").await.expect(200), json!({"registration_ids": []}));
    assert_eq!(refusal(&world.get("/v4/aliases/us?platform=tv").await), refused(400, 21003, "platform"));
    let long = format!("/v4/tags/{}", "é".repeat(21));
    assert_eq!(refusal(&world.post(&long, json!({})).await), refused(400, 21003, "tag"));
}
