//! What comes back, and what it does to the connection.

use crate::{
    answer, call, caller, caller_with, post, settings,
    target::{Target, receive, reply},
};
use rondo_domain::{
    call::{CallRequest, Caller as _, MAX_RESPONSE_KEPT},
    time::{Span, Timestamp},
};
use rondo_outbound::{AddressPolicy, CallerSettings, HttpCaller};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{io::AsyncWriteExt as _, sync::Semaphore};

#[tokio::test]
async fn every_status_is_an_answer() {
    let caller = caller();
    for status in [200, 201, 204, 301, 302, 307, 400, 404, 410, 418, 429, 500, 503, 599] {
        let body = if status == 204 { "" } else { "text" };
        let target = Target::answering(reply(&format!("{status} Whatever"), "", body)).await;
        let outcome = call(&caller, post(&target.url("/"))).await;
        assert!(outcome.first_byte_at.is_some());
        let answer = answer(outcome);
        assert_eq!((answer.status, answer.body.as_str()), (status, body));
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let other = Target::answering(reply("200 OK", "", "moved here")).await;
    let target =
        Target::answering(reply("302 Found", &format!("location: {}\r\n", other.url("/")), "elsewhere"))
            .await;
    let answer = answer(call(&caller(), post(&target.url("/"))).await);
    assert_eq!((answer.status, answer.body.as_str()), (302, "elsewhere"));
    assert_eq!((target.requests().len(), other.connections()), (1, 0));
}

#[tokio::test]
async fn retry_after_is_seconds_or_a_date() {
    let caller = caller();
    let target = Target::answering(reply("429 Slow Down", "retry-after: 120\r\n", "")).await;
    let outcome = call(&caller, post(&target.url("/"))).await;
    let (head, answer) = (outcome.first_byte_at.unwrap(), answer(outcome));
    assert_eq!(answer.retry_after, Some(head.plus(Span::from_secs(120))));

    let target =
        Target::answering(reply("503 Later", "Retry-After: Fri, 31 Dec 2100 23:59:59 GMT\r\n", "")).await;
    let answer = crate::answer(call(&caller, post(&target.url("/"))).await);
    assert_eq!(answer.retry_after, Timestamp::parse_rfc3339("2100-12-31T23:59:59Z"));

    let target = Target::answering(reply("503 Later", "retry-after: in a while\r\n", "")).await;
    assert_eq!(crate::answer(call(&caller, post(&target.url("/"))).await).retry_after, None);
}

#[tokio::test]
async fn only_the_beginning_of_a_body_is_kept() {
    let caller = caller();
    let exact = "x".repeat(MAX_RESPONSE_KEPT);
    let target = Target::answering(reply("200 OK", "", &exact)).await;
    assert_eq!(answer(call(&caller, post(&target.url("/"))).await).body, exact);
    // The limit falls into the middle of a character.
    let target =
        Target::answering(reply("200 OK", "", &format!("{}€uro", "x".repeat(MAX_RESPONSE_KEPT - 1)))).await;
    assert_eq!(answer(call(&caller, post(&target.url("/"))).await).body, "x".repeat(MAX_RESPONSE_KEPT - 1));
    let target = Target::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\na\xffb".to_vec()).await;
    assert_eq!(answer(call(&caller, post(&target.url("/"))).await).body, "a\u{fffd}b");
}

#[tokio::test]
async fn one_connection_serves_call_after_call() {
    let caller = caller();
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        40_000,
        "y".repeat(40_000)
    );
    for answer_bytes in [
        reply("200 OK", "", ""),
        reply("500 Oops", "", "text"),
        reply("200 OK", "", &"x".repeat(64 * 1024)),
        chunked,
    ] {
        let target = Target::answering(answer_bytes).await;
        for _ in 0..20 {
            answer(call(&caller, post(&target.url("/"))).await);
        }
        assert_eq!((target.requests().len(), target.connections()), (20, 1));
    }
}

/// What never ends is not read to its end; each such answer costs its connection, and no more.
#[tokio::test]
async fn endless_and_huge_bodies_are_dropped_and_their_status_counts() {
    let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    let huge = format!("HTTP/1.1 201 Created\r\ncontent-length: {}\r\n\r\n", 5_000_000_000_u64);
    let until_closed = "HTTP/1.0 202 Accepted\r\n\r\n".to_owned();
    for (head, status) in [(endless, 200), (huge, 201), (until_closed, 202)] {
        let (written, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (count, end) = (written.clone(), ended.clone());
        let target = Target::raw(move |mut stream| {
            let (head, written, ended) = (head.clone(), count.clone(), end.clone());
            async move {
                let mut buffer = Vec::new();
                receive(&mut stream, &mut buffer).await;
                stream.write_all(head.as_bytes()).await.unwrap();
                let chunk = format!("1000\r\n{}\r\n", "z".repeat(4096));
                while stream.write_all(chunk.as_bytes()).await.is_ok() {
                    written.fetch_add(chunk.len(), Ordering::SeqCst);
                }
                ended.add_permits(1);
            }
        })
        .await;
        let answer = answer(call(&caller(), post(&target.url("/"))).await);
        assert_eq!((answer.status, answer.body.len()), (status, MAX_RESPONSE_KEPT));
        // The target notices that nobody listens any more, long before 5 GB.
        ended.acquire().await.unwrap().forget();
        assert!(written.load(Ordering::SeqCst) < 64 * 1024 * 1024);
    }
}

#[tokio::test]
async fn a_slow_destination_keeps_its_slots_and_others_go_on() {
    let gate = Arc::new(Semaphore::new(0));
    let (arrived, arriving) = tokio::sync::mpsc::unbounded_channel();
    let mut arriving = arriving;
    let inside = gate.clone();
    let slow = Target::raw(move |mut stream| {
        let (gate, arrived) = (inside.clone(), arrived.clone());
        async move {
            let mut buffer = Vec::new();
            while receive(&mut stream, &mut buffer).await.is_some() {
                arrived.send(()).unwrap();
                gate.acquire().await.unwrap().forget();
                stream.write_all(reply("200 OK", "", "").as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let caller =
        caller_with(CallerSettings { max_per_destination: 2, ..settings(AddressPolicy::allowing_private()) });
    let calls: Vec<_> = (0..5)
        .map(|_| {
            let (caller, request) = (caller.clone(), post(&slow.url("/")));
            tokio::spawn(async move { caller.call(request).await })
        })
        .collect();
    for _ in 0..2 {
        let arrival = tokio::time::timeout(Duration::from_secs(10), arriving.recv()).await;
        assert_eq!(arrival, Ok(Some(())));
    }
    let quick = Target::answering(reply("200 OK", "", "quick")).await;
    assert_eq!(answer(call(&caller, post(&quick.url("/"))).await).body, "quick");
    assert!(arriving.try_recv().is_err(), "a third call got through to the slow target");
    gate.add_permits(5);
    for call in calls {
        assert_eq!(answer(call.await.unwrap()).status, 200);
    }
    assert_eq!(slow.connections(), 2);
}

/// The wait for a slot is not the target's fault: it is neither in the times nor in the timeout.
#[tokio::test]
async fn times_count_from_the_sending_not_from_the_wait_for_a_slot() {
    let slow = Target::raw(|mut stream| async move {
        let mut buffer = Vec::new();
        receive(&mut stream, &mut buffer).await;
        tokio::time::sleep(Duration::from_millis(800)).await;
        stream.write_all(reply("200 OK", "", "").as_bytes()).await.unwrap();
        receive(&mut stream, &mut buffer).await;
        stream.write_all(reply("200 OK", "", "").as_bytes()).await.unwrap();
    })
    .await;
    // A clock that counts its readings puts all that happens in one order.
    let readings = AtomicI64::new(0);
    let settings = CallerSettings { max_per_destination: 1, ..settings(AddressPolicy::allowing_private()) };
    let counting = Arc::new(move || Timestamp::from_millis(readings.fetch_add(1, Ordering::SeqCst)));
    let caller = HttpCaller::new(settings, counting).unwrap();
    let waiting = CallRequest { timeout: Span::from_millis(700), ..post(&slow.url("/")) };
    let (first, second) = tokio::join!(caller.call(post(&slow.url("/"))), caller.call(waiting));
    assert!(second.sent_at > first.done_at, "{first:?} {second:?}");
    assert_eq!((answer(first).status, answer(second).status), (200, 200));
}
