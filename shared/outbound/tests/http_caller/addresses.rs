//! The address guard where it matters: no socket is opened to a forbidden address, however it is reached.

use crate::{
    answer, call, caller_with, failed, lookup, post, settings,
    target::{Target, receive, reply},
};
use rondo_domain::call::FailureKind;
use rondo_outbound::{AddressPolicy, CallerSettings};
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::io::AsyncWriteExt as _;

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[tokio::test]
async fn literals_in_any_spelling_are_refused_before_a_socket_is_opened() {
    let target = Target::answering(reply("200 OK", "", "reached")).await;
    let port = target.address.port();
    let (strict, lenient) = [AddressPolicy::public_only(), AddressPolicy::allowing_private()]
        .map(|policy| caller_with(settings(policy)))
        .into();
    for host in [
        "127.0.0.1",
        "0x7f.1",
        "2130706433",
        "017700000001",
        "127.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0x7f000001",
        "127.0.0.1.",
        "localhost",
    ] {
        let url = format!("http://{host}:{port}/?token=secret");
        let detail = failed(call(&strict, post(&url)).await, FailureKind::ForbiddenAddress);
        assert!(detail.starts_with("the URL is ") && !detail.contains("secret"), "{host}: {detail}");
        assert_eq!(target.connections(), 0, "{host}");
    }
    // They do lead to the target: what is refused above is the address, not the spelling.
    for host in ["0x7f.1", "2130706433", "017700000001", "127.1", "[::ffff:127.0.0.1]"] {
        assert_eq!(
            answer(call(&lenient, post(&format!("http://{host}:{port}/"))).await).body,
            "reached",
            "{host}"
        );
    }
}

#[tokio::test]
async fn names_that_lead_to_forbidden_addresses_are_refused_before_a_socket_is_opened() {
    let target = Target::answering(reply("200 OK", "", "reached")).await;
    let answers: [(&[&str], &str); 6] = [
        (&["127.0.0.1"], "the loopback address 127.0.0.1"),
        (&["::ffff:127.0.0.1"], "the loopback address ::ffff:127.0.0.1"),
        (&["93.184.215.14", "127.0.0.1"], "the loopback address 127.0.0.1"),
        (&["127.0.0.1", "93.184.215.14"], "the loopback address 127.0.0.1"),
        (&["2606:4700::1", "fd00:ec2::254"], "the metadata address fd00:ec2::254"),
        (&["169.254.169.254"], "the link-local address 169.254.169.254"),
    ];
    for (addresses, why) in answers {
        let caller = caller_with(CallerSettings {
            lookup: lookup(move |_| ips(addresses)),
            ..settings(AddressPolicy::public_only())
        });
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://innocent.example:{}/?token=secret", target.address.port());
            let detail = failed(call(&caller, post(&url)).await, FailureKind::ForbiddenAddress);
            assert_eq!(detail, format!("the name innocent.example leads to {why}"));
        }
    }
    assert_eq!(target.connections(), 0);
}

/// The first lookup gives an allowed address, every later one a forbidden one. The connection goes to what was
/// checked, without asking again; the next connection is checked anew.
#[tokio::test]
async fn a_name_that_is_rebound_between_calls_is_refused() {
    let target = Target::raw(|mut stream| async move {
        receive(&mut stream, &mut Vec::new()).await;
        stream.write_all(reply("200 OK", "connection: close\r\n", "reached").as_bytes()).await.unwrap();
    })
    .await;
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    // Loopback stands for the public address here, and link-local for the forbidden one.
    let rebinding = lookup(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => ips(&["127.0.0.1"]),
        _ => ips(&["169.254.169.254"]),
    });
    let caller =
        caller_with(CallerSettings { lookup: rebinding, ..settings(AddressPolicy::allowing_private()) });
    let url = format!("http://rebinding.example:{}/", target.address.port());
    assert_eq!(answer(call(&caller, post(&url)).await).body, "reached");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "resolved once for one connection");
    failed(call(&caller, post(&url)).await, FailureKind::ForbiddenAddress);
    assert_eq!(target.connections(), 1);
}

#[tokio::test]
async fn the_runtimes_endpoint_is_refused_by_address_and_by_name() {
    let target = Target::answering(reply("200 OK", "", "reached")).await;
    let policy = AddressPolicy::allowing_private().refusing(&target.address.to_string());
    let caller = caller_with(CallerSettings { lookup: lookup(|_| ips(&["127.0.0.1"])), ..settings(policy) });
    for host in ["127.0.0.1", "runtime.example"] {
        let url = format!("http://{host}:{}/2018-06-01/runtime/invocation/next", target.address.port());
        failed(call(&caller, post(&url)).await, FailureKind::ForbiddenAddress);
    }
    assert_eq!(target.connections(), 0);
}

/// The system's resolver, for once: it knows this name everywhere.
#[tokio::test]
async fn localhost_works_where_private_targets_are_allowed() {
    let target = Target::answering(reply("200 OK", "", "reached")).await;
    let url = format!("http://localhost:{}/", target.address.port());
    assert_eq!(answer(call(&crate::caller(), post(&url)).await).body, "reached");
}
