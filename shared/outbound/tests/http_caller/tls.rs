//! TLS: what is trusted, and how it fails.
//!
//! `certificates` holds an authority, and a server's certificate for `rondo.test` and 127.0.0.1 with its key,
//! valid from 2020 to 2120, made with `openssl ca`. They guard nothing; the authority's key was not kept.

use crate::{
    answer, call, caller, caller_with, failed, lookup, post, settings,
    target::{Target, reply},
};
use rondo_domain::call::FailureKind;
use rondo_outbound::{AddressPolicy, CallerError, CallerSettings, HttpCaller};
use rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::ring, pki_types::PrivateKeyDer};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const AUTHORITY: &[u8] = include_bytes!("certificates/authority.der");

/// A TLS server on a thread of its own, which answers every connection's first bytes with a 200.
fn tls_target() -> SocketAddr {
    let certificate = include_bytes!("certificates/server.der").to_vec().into();
    let key = PrivateKeyDer::Pkcs8(include_bytes!("certificates/server-key.der").to_vec().into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
            // A client that does not trust the certificate breaks off here.
            if stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                stream.write_all(reply("200 OK", "connection: close\r\n", "in private").as_bytes()).unwrap();
            }
        }
    });
    address
}

fn trusting(authorities: &[&[u8]]) -> CallerSettings {
    CallerSettings {
        extra_authorities: authorities.iter().map(|authority| authority.to_vec()).collect(),
        lookup: lookup(|_| vec!["127.0.0.1".parse().unwrap()]),
        ..settings(AddressPolicy::allowing_private())
    }
}

#[tokio::test]
async fn a_certificate_must_come_from_a_trusted_authority_and_name_the_host() {
    let port = tls_target().port();
    let trusting_one = caller_with(trusting(&[AUTHORITY]));
    for host in ["127.0.0.1", "rondo.test"] {
        let url = format!("https://{host}:{port}/?token=secret");
        assert_eq!(answer(call(&trusting_one, post(&url)).await).body, "in private", "{host}");
        let detail = failed(call(&caller_with(trusting(&[])), post(&url)).await, FailureKind::Tls);
        assert!(
            detail.starts_with("TLS: invalid peer certificate") && !detail.contains("secret"),
            "{detail}"
        );
    }
    failed(call(&trusting_one, post(&format!("https://other.test:{port}/"))).await, FailureKind::Tls);
}

#[test]
fn an_authority_that_is_no_certificate_is_an_error_at_once() {
    let result = HttpCaller::new(trusting(&[AUTHORITY, b"not a certificate"]), crate::clock());
    assert!(matches!(result.err(), Some(CallerError::Authority { number: 2, .. })));
}

fn https(target: &Target) -> String {
    format!("https://{}/?token=secret", target.address)
}

#[tokio::test]
async fn a_plaintext_port_fails_as_tls() {
    let plain = Target::raw(|mut stream| async move {
        stream.read_exact(&mut [0; 64]).await.unwrap();
        stream.write_all(reply("400 Bad Request", "", "").as_bytes()).await.unwrap();
    })
    .await;
    let detail = failed(call(&caller(), post(&https(&plain))).await, FailureKind::Tls);
    assert!(detail.starts_with("TLS: ") && !detail.contains("secret"), "{detail}");
}

#[tokio::test]
async fn a_handshake_that_is_cut_off_fails_as_tls() {
    let closing = Target::raw(|mut stream| async move {
        // All of the client's hello, so that closing does not reset the connection.
        let mut header = [0; 5];
        stream.read_exact(&mut header).await.unwrap();
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        stream.read_exact(&mut vec![0; length]).await.unwrap();
    })
    .await;
    let detail = failed(call(&caller(), post(&https(&closing))).await, FailureKind::Tls);
    assert_eq!(detail, "TLS: the connection was closed during the handshake");
}
