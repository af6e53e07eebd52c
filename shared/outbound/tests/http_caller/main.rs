//! The HTTP caller against real sockets on loopback. Sockets are the subject, so timeouts here are short real
//! ones (200 ms where one has to run out); no test waits for a time to pass otherwise.

#![expect(clippy::unwrap_used, reason = "a test ends where something is amiss")]

mod addresses;
mod answers;
mod failures;
mod requests;
mod target;
mod tls;

use futures_util::FutureExt as _;
use rondo_domain::{
    app::{App, AppLimits, SealedSecret},
    call::{CallAnswer, CallFailure, CallOutcome, CallRequest, Caller as _, FailureKind, Method},
    push::PushSettings,
    time::{Span, Timestamp},
};
use rondo_outbound::{
    AddressPolicy, CallerSettings, HttpCaller, SealingKey, SigningSecret, client::Now, resolver::Lookup,
};
use std::{net::IpAddr, sync::Arc, time::UNIX_EPOCH};

pub fn clock() -> Now {
    Arc::new(|| {
        #[expect(clippy::disallowed_methods, reason = "sockets take real time; this is the tests' one clock")]
        let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_millis(since.as_millis() as i64)
    })
}

pub fn settings(policy: AddressPolicy) -> CallerSettings {
    CallerSettings::new(policy, sealing_key())
}

pub fn caller_with(settings: CallerSettings) -> Arc<HttpCaller> {
    Arc::new(HttpCaller::new(settings, clock()).unwrap())
}

/// Loopback allowed, names resolved by the system.
pub fn caller() -> Arc<HttpCaller> {
    caller_with(settings(AddressPolicy::allowing_private()))
}

fn sealing_key() -> SealingKey {
    SealingKey::from_bytes([6; 32])
}

/// Newest first.
pub fn secrets() -> [SigningSecret; 2] {
    [2, 1].map(|seed| SigningSecret::from_bytes(&[seed; 32]).unwrap())
}

pub fn app() -> Arc<App> {
    let key = "tests".parse().unwrap();
    let sealed = |(at, secret): (usize, &SigningSecret)| SealedSecret {
        sealed: sealing_key().seal_signing_secret(&key, secret, [at as u8; 24]),
        created_at: Timestamp::EPOCH,
    };
    Arc::new(App {
        signing_secrets: secrets().iter().enumerate().map(sealed).collect(),
        key,
        name: "tests".to_owned(),
        time_zone: chrono_tz::Tz::UTC,
        created_at: Timestamp::EPOCH,
        secrets: vec![],
        limits: AppLimits::default(),
        push: PushSettings::default(),
    })
}

/// A POST with a small body and a timeout of 5 s, which no test lets run out.
pub fn post(url: &str) -> CallRequest {
    CallRequest {
        webhook_id: "0199d1f4-7a5b-8c4d-9a2b-5e0000000003".to_owned(),
        app: app(),
        method: Method::Post,
        url: url.parse().unwrap(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: br#"{"n":1}"#.to_vec(),
        timeout: Span::from_secs(5),
    }
}

/// The same with a timeout that is meant to run out.
pub fn post_briefly(url: &str) -> CallRequest {
    CallRequest { timeout: Span::from_millis(200), ..post(url) }
}

pub async fn call(caller: &HttpCaller, request: CallRequest) -> CallOutcome {
    let outcome = caller.call(request).await;
    assert!(outcome.sent_at <= outcome.first_byte_at.unwrap_or(outcome.done_at), "{outcome:?}");
    assert!(outcome.first_byte_at.unwrap_or(outcome.sent_at) <= outcome.done_at, "{outcome:?}");
    outcome
}

pub fn answer(outcome: CallOutcome) -> CallAnswer {
    outcome.result.unwrap_or_else(|failure| panic!("no answer: {failure:?}"))
}

#[track_caller]
pub fn failed(outcome: CallOutcome, kind: FailureKind) -> String {
    let CallFailure { kind: found, detail } = outcome.result.expect_err("a failure was expected");
    assert_eq!(found, kind, "{detail}");
    detail
}

/// Resolves each name to what `answer` says.
pub fn lookup(answer: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Lookup {
    Arc::new(move |name| {
        let found = answer(&name);
        async move { Ok(found) }.boxed()
    })
}
