//! Through the gateway: what it is sent, and what its answers mean. `endings` has the answers without a message id.

use crate::{
    UPSTREAM_SECRET, execution, push, refused, settings,
    target::{Target, reply},
    upstream_app, world, world_with,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rondo_domain::{
    app::App,
    push::{
        Upstream,
        device::{Device, Platform},
        sender::{Fate, Recipients},
    },
    time::Timestamp,
};
use rondo_outbound::{AddressPolicy, CallerError, SenderSettings};
use serde_json::{Value, json};

pub fn devices(names: &[&str]) -> Vec<Device> {
    names.iter().map(|name| Device::new(name.parse().unwrap(), Platform::Android, Timestamp::EPOCH)).collect()
}

#[tokio::test]
async fn one_request_with_the_apps_credentials_says_it_all() {
    let gateway =
        Target::answering(reply("200 OK", "", r#"{"request_id":"r-1","msg_id":"1828256757"}"#)).await;
    let world = world(Some(&gateway.url("/base/")));
    let push = push(json!({"time_to_live": 60}));
    let report = world.send(upstream_app(), &push, Recipients::AsAddressed).await;
    assert_eq!(report.fates, [Fate::Accepted]);
    assert_eq!((report.status, report.msg_id.as_deref()), (Some(200), Some("1828256757")));
    let request = &gateway.requests()[0];
    assert_eq!(request.line, "POST /base/v4/push HTTP/1.1");
    let credentials = STANDARD.encode(format!("upstream-key:{UPSTREAM_SECRET}"));
    assert_eq!(request.header("authorization"), Some(&*format!("Basic {credentials}")));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("rondo-execution-id"), Some(&*execution().to_string()));
    assert_eq!(request.body, push.push.to_string().into_bytes(), "as it is stored, member for member");
}

#[tokio::test]
async fn some_are_named_and_share_one_fate() {
    let gateway = Target::answering(reply("200 OK", "", r#"{"msg_id":"1"}"#)).await;
    let world = world(Some(&gateway.url("")));
    let some = devices(&["a", "b", "c"]);
    let push = push(json!({}));
    let report = world.send(upstream_app(), &push, Recipients::These(&some)).await;
    assert_eq!(report.fates, vec![Fate::Accepted; 3]);
    let sent: Value = serde_json::from_slice(&gateway.requests()[0].body).unwrap();
    let mut expected = push.push.clone();
    expected["to"] = json!({"registration_id": ["a", "b", "c"]});
    assert_eq!(sent, expected);
    let nobody = world.send(upstream_app(), &push, Recipients::These(&[])).await;
    assert_eq!((nobody.fates.len(), gateway.requests().len()), (0, 1));
}

#[tokio::test]
async fn message_ids_come_in_several_forms() {
    for (body, id) in [
        (r#"{"msg_id":"1828256757"}"#, "1828256757"),
        (r#"{"msg_id":1828256757}"#, "1828256757"),
        (r#"{"msg_id":18446744073709551615}"#, "18446744073709551615"),
        (r#"{"message_id":"18"}"#, "18"),
        (r#"{"msg_id":null,"message_id":18}"#, "18"),
        (r#"{"msg_id":"18","error":{"code":0,"message":""}}"#, "18"),
        (r#"{"msg_id":"18","code":0}"#, "18"),
    ] {
        for status in ["200 OK", "201 Created"] {
            let gateway = Target::answering(reply(status, "", body)).await;
            let world = world(Some(&gateway.url("")));
            let report = world.send(upstream_app(), &push(json!({})), Recipients::AsAddressed).await;
            assert_eq!(report.fates, [Fate::Accepted], "{body}");
            assert_eq!(report.msg_id.as_deref(), Some(id), "{body}");
        }
    }
}

#[tokio::test]
async fn without_a_gateway_or_a_usable_secret_nothing_is_sent() {
    let some = devices(&["a", "b"]);
    let report = world(None).send(upstream_app(), &push(json!({})), Recipients::These(&some)).await;
    assert_eq!(report.fates.len(), 2);
    for fate in &report.fates {
        assert_eq!(refused(fate).code, 21008);
        assert!(refused(fate).message.contains("RONDO_PUSH_GATEWAY"));
    }
    let gateway = Target::answering(reply("200 OK", "", r#"{"msg_id":"1"}"#)).await;
    let thief = App { key: "thief".parse().unwrap(), ..upstream_app() };
    let report = world(Some(&gateway.url(""))).send(thief, &push(json!({})), Recipients::AsAddressed).await;
    assert_eq!(refused(&report.fates[0]).code, 21004);
    assert!(refused(&report.fates[0]).message.contains("does not open"));
    let mut odd = upstream_app();
    odd.push.upstream =
        odd.push.upstream.map(|upstream| Upstream { key: "with\nline".to_owned(), ..upstream });
    let report = world(Some(&gateway.url(""))).send(odd, &push(json!({})), Recipients::AsAddressed).await;
    assert_eq!(report.fates, [Fate::Accepted], "base64 carries whatever the key is");
    assert_eq!(gateway.requests().len(), 1);
}

/// Where users' own URLs may not lead, the operator's may.
#[tokio::test]
async fn the_gateway_may_be_private_but_never_link_local() {
    let gateway = Target::answering(reply("200 OK", "", r#"{"msg_id":"1"}"#)).await;
    let of = |base: &str| {
        let settings = settings(AddressPolicy::public_only());
        let gateway = Some(base.parse().unwrap());
        world_with(settings, SenderSettings { gateway, contact: None })
    };
    let world = of(&gateway.url(""));
    let report = world.send(upstream_app(), &push(json!({})), Recipients::AsAddressed).await;
    assert_eq!(report.fates, [Fate::Accepted]);
    let world = of("http://169.254.169.254/");
    let report = world.send(upstream_app(), &push(json!({})), Recipients::AsAddressed).await;
    assert!(refused(&report.fates[0]).message.contains("link-local"));
}

#[test]
fn settings_that_cannot_be_are_an_error_at_once() {
    let caller = rondo_outbound::HttpCaller::new(
        settings(AddressPolicy::public_only()),
        std::sync::Arc::new(|| Timestamp::EPOCH),
    )
    .unwrap();
    let made = |gateway: Option<&str>, contact: Option<&str>| {
        let settings = SenderSettings {
            gateway: gateway.map(|url| url.parse().unwrap()),
            contact: contact.map(str::to_owned),
        };
        rondo_outbound::PushSenders::beside(
            &caller,
            settings,
            std::sync::Arc::new(crate::Counting::default()),
        )
        .err()
    };
    assert!(made(Some("https://push.example"), Some("mailto:ops@rondo.example")).is_none());
    assert!(matches!(made(Some("ftp://push.example"), None), Some(CallerError::Gateway(_))));
    assert!(matches!(made(None, Some("mailto:ops@localhost")), Some(CallerError::Contact(_))));
}
