//! What goes out.

use crate::{
    answer, app, call, caller, clock, failed, post, secrets,
    target::{Target, reply},
};
use rondo_domain::{
    app::App,
    call::{CallRequest, FailureKind, Method},
    time::Span,
};
use rondo_outbound::{AddressPolicy, CallerSettings, SealingKey, signature};
use std::{process::Command, sync::Arc};

#[tokio::test]
async fn a_call_carries_method_headers_body_and_signature() {
    let target = Target::answering(reply("200 OK", "", "fine")).await;
    let mut request = post(&target.url("/hook?a=b"));
    request.headers.extend(
        [("Rondo-Attempt", "1"), ("x-twice", "1"), ("x-twice", "2")]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let outcome = call(&caller(), request).await;
    assert_eq!(answer(outcome).body, "fine");

    let received = target.requests().remove(0);
    assert_eq!(received.line, "POST /hook?a=b HTTP/1.1");
    assert_eq!(received.body, br#"{"n":1}"#);
    assert_eq!(received.header("host"), Some(target.address.to_string().as_str()));
    assert_eq!(received.header("user-agent"), Some(concat!("Rondo/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(received.header("content-type"), Some("application/json"));
    assert_eq!(received.header("rondo-attempt"), Some("1"));
    assert_eq!(received.header("webhook-id"), Some("0199d1f4-7a5b-8c4d-9a2b-5e0000000003"));
    let twice: Vec<_> = received
        .headers
        .iter()
        .filter(|(name, _)| name == "x-twice")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(twice, ["1", "2"]);

    // Either live secret verifies it, alone.
    let [id, timestamp, signatures] =
        [signature::WEBHOOK_ID, signature::WEBHOOK_TIMESTAMP, signature::WEBHOOK_SIGNATURE]
            .map(|name| received.header(name).unwrap());
    assert_eq!(signatures.split(' ').count(), 2);
    for secret in secrets() {
        let verified = signature::verify(
            &[secret],
            id,
            timestamp,
            signatures,
            &received.body,
            clock()(),
            Span::from_secs(5),
        );
        assert_eq!(verified, Ok(()));
    }
}

#[tokio::test]
async fn every_method_goes_out_and_an_empty_body_has_no_bytes() {
    let target =
        Target::answering(reply("204 No Content", "", "").replace("content-length: 0\r\n", "")).await;
    let caller = caller();
    for method in Method::ALL {
        let request = CallRequest { method, body: vec![], headers: vec![], ..post(&target.url("/")) };
        assert_eq!(answer(call(&caller, request).await).status, 204);
    }
    let received = target.requests();
    let lines: Vec<_> = received.iter().map(|request| request.line.split(' ').next().unwrap()).collect();
    assert_eq!(lines, ["GET", "POST", "PUT", "PATCH", "DELETE"]);
    let lengths: Vec<_> = received.iter().map(|request| request.header("content-length")).collect();
    assert_eq!(
        lengths[..4],
        [None, Some("0"), Some("0"), Some("0")],
        "a body that could be expected is declared empty"
    );
    assert!(
        received
            .iter()
            .all(|request| request.header("transfer-encoding").is_none() && request.body.is_empty())
    );
    assert_eq!(target.connections(), 1);
}

#[tokio::test]
async fn what_cannot_be_signed_or_would_break_the_framing_is_not_sent() {
    let target = Target::answering(reply("200 OK", "", "")).await;
    let with_header = |name: &str, value: &str| CallRequest {
        headers: vec![(name.to_owned(), value.to_owned())],
        ..post(&target.url("/"))
    };
    for (name, value) in [
        ("content-length", "3"),
        ("Transfer-Encoding", "chunked"),
        ("Host", "other"),
        ("x", "a\r\nb: c"),
        ("x y", "1"),
    ] {
        let detail = failed(call(&caller(), with_header(name, value)).await, FailureKind::Protocol);
        assert_eq!(detail, format!("not sent: the header '{name}' cannot be sent"));
    }
    let settings = CallerSettings::new(AddressPolicy::allowing_private(), SealingKey::from_bytes([1; 32]));
    let detail =
        failed(call(&crate::caller_with(settings), post(&target.url("/"))).await, FailureKind::Protocol);
    assert!(detail.starts_with("not sent: the app's signing secret does not open"), "{detail}");
    assert_eq!(target.connections(), 0);

    // Without a live secret there is nothing to sign with; the call still goes out.
    let unsigned = App { signing_secrets: vec![], ..App::clone(&app()) };
    let request = CallRequest { app: Arc::new(unsigned), ..post(&target.url("/")) };
    assert_eq!(answer(call(&caller(), request).await).status, 200);
    assert_eq!(target.requests()[0].header("webhook-signature"), None);
}

/// The environment is the process's own, so the test runs itself again in one with proxies set.
#[tokio::test]
async fn proxies_of_the_environment_are_ignored() {
    const INSIDE: &str = "RONDO_TEST_WITH_PROXIES";
    if std::env::var_os(INSIDE).is_some() {
        let target = Target::answering(reply("200 OK", "", "direct")).await;
        assert_eq!(answer(call(&caller(), post(&target.url("/"))).await).body, "direct");
        return;
    }
    let proxy = Target::answering(reply("200 OK", "", "through the proxy")).await;
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "requests::proxies_of_the_environment_are_ignored"]).env(INSIDE, "1");
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        again.env(name, proxy.url(""));
    }
    for name in ["NO_PROXY", "no_proxy"] {
        again.env_remove(name);
    }
    let output = tokio::task::spawn_blocking(move || again.output().unwrap()).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert_eq!(proxy.connections(), 0);
}
