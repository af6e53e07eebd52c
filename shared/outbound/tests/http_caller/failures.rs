//! What goes wrong, by kind.

use crate::{
    call, caller, caller_with, failed, post, post_briefly, settings,
    target::{Target, receive, reply},
};
use futures_util::FutureExt as _;
use rondo_domain::{
    call::{CallOutcome, FailureKind},
    time::Span,
};
use rondo_outbound::{AddressPolicy, CallerSettings, HttpCaller};
use std::{future::pending, io, sync::Arc, time::Duration};
use tokio::io::AsyncWriteExt as _;

/// Reads the request, writes these bytes, and closes.
async fn writing(bytes: impl Into<Vec<u8>>) -> Target {
    let bytes = Arc::new(bytes.into());
    Target::raw(move |mut stream| {
        let bytes = bytes.clone();
        async move {
            receive(&mut stream, &mut Vec::new()).await;
            stream.write_all(&bytes).await.unwrap();
        }
    })
    .await
}

async fn outcome(caller: &HttpCaller, target: &Target) -> CallOutcome {
    call(caller, post(&target.url("/secret-path?token=secret"))).await
}

#[tokio::test]
async fn a_target_that_never_answers_times_out() {
    let silent = Target::raw(|stream| async move {
        let _open = stream;
        pending::<()>().await;
    })
    .await;
    let outcome = call(&caller(), post_briefly(&silent.url("/"))).await;
    assert_eq!(outcome.first_byte_at, None);
    let took = outcome.done_at.since(outcome.sent_at);
    assert!((Span::from_millis(199)..Span::from_secs(3)).contains(&took), "{took:?}");
    assert_eq!(failed(outcome, FailureKind::Timeout), "no answer within 200 ms");
}

#[tokio::test]
async fn the_timeout_runs_until_the_last_byte() {
    let dribble = Target::raw(|mut stream| async move {
        receive(&mut stream, &mut Vec::new()).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await.unwrap();
        while stream.write_all(b".").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let outcome = call(&caller(), post_briefly(&dribble.url("/"))).await;
    assert!(outcome.first_byte_at.is_some());
    assert_eq!(
        failed(outcome, FailureKind::Timeout),
        "the answer (status 200) was not complete within 200 ms"
    );
}

#[tokio::test]
async fn a_name_that_hangs_times_out_too() {
    let hanging =
        CallerSettings { lookup: Arc::new(|_| pending().boxed()), ..settings(AddressPolicy::public_only()) };
    let outcome = call(&caller_with(hanging), post_briefly("http://hanging.example/")).await;
    failed(outcome, FailureKind::Timeout);
}

#[tokio::test]
async fn a_name_that_does_not_resolve() {
    let unknown = CallerSettings {
        lookup: Arc::new(|_| async { Err(io::Error::other("no such name")) }.boxed()),
        ..settings(AddressPolicy::public_only())
    };
    let outcome = call(&caller_with(unknown), post("https://unknown.example/?token=secret")).await;
    assert_eq!(failed(outcome, FailureKind::Dns), "the name unknown.example did not resolve: no such name");
}

#[tokio::test]
async fn a_port_where_nobody_listens_refuses() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/?token=secret", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(failed(call(&caller(), post(&url)).await, FailureKind::Connect), "the connection was refused");
}

#[tokio::test]
async fn connections_that_end_before_an_answer() {
    let caller = caller();
    let reset = Target::raw(|mut stream| async move {
        receive(&mut stream, &mut Vec::new()).await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    assert_eq!(
        failed(outcome(&caller, &reset).await, FailureKind::Connect),
        "the connection was reset before an answer came"
    );
    for beginning in ["", "HTTP/1.1 200 OK\r\ncontent-"] {
        let closing = writing(beginning).await;
        assert_eq!(
            failed(outcome(&caller, &closing).await, FailureKind::Connect),
            "the connection was closed before an answer came"
        );
        assert_eq!(closing.connections(), 1, "nothing is sent twice");
    }
}

#[tokio::test]
async fn what_is_not_http() {
    let caller = caller();
    let many_headers = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(5000));
    let long_header = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(1 << 20));
    let garbage = [
        "SSH-2.0-OpenSSH_9.6\r\n\r\n".to_owned(),
        "\0\u{1}\u{2}\u{3}\u{4}\r\n\r\n".to_owned(),
        "HTTP/9.9 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 abc OK\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n".to_owned(),
        reply("200 OK", "content-length: 3\r\n", "12345"),
        many_headers,
        long_header,
    ];
    for bytes in garbage {
        let target = writing(bytes.clone()).await;
        let detail = failed(outcome(&caller, &target).await, FailureKind::Protocol);
        assert!(detail.starts_with("what came is not HTTP/1.1: "), "{detail}");
        assert!(!detail.contains("secret"), "{detail}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off() {
    let caller = caller();
    let bodies = [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnot hex\r\n",
    ];
    for bytes in bodies {
        let target = writing(bytes).await;
        let outcome = outcome(&caller, &target).await;
        assert!(outcome.first_byte_at.is_some());
        let detail = failed(outcome, FailureKind::Protocol);
        assert!(detail.starts_with("the answer (status 200) broke off: "), "{detail}");
        assert!(!detail.contains("secret"), "{detail}");
    }
}

/// A target that closes idle connections costs no call: the next one is made on a new connection.
#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    let (closed, mut closing) = tokio::sync::mpsc::unbounded_channel();
    let target = Target::raw(move |mut stream| {
        let closed = closed.clone();
        async move {
            receive(&mut stream, &mut Vec::new()).await;
            stream.write_all(reply("200 OK", "", "").as_bytes()).await.unwrap();
            drop(stream);
            closed.send(()).unwrap();
        }
    })
    .await;
    let caller = caller();
    for round in 1..=20 {
        let outcome = outcome(&caller, &target).await;
        assert_eq!(crate::answer(outcome).status, 200, "round {round}");
        closing.recv().await.unwrap();
        // The client learns of the closing from its own side of the socket, some scheduling later.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(target.connections(), 20);
}
