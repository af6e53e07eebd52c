//! The HTTP caller: one exchange per call, on kept connections, within a time and with a bounded answer.
//!
//! It follows no redirect, asks no proxy, reads no certificate file, and connects only where the address guard
//! allowed. Whether a call is made again is not its business.

use crate::{
    destinations::Destinations,
    failure,
    guard::AddressPolicy,
    headers,
    resolver::{GuardedResolver, Lookup, system_lookup},
    retry_after,
    sealing::SealingKey,
    signature::{self, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP},
    signing_keys::SigningKeys,
    target,
};
use http::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
};
use reqwest::{Request, Response, redirect};
use rondo_domain::{
    call::{
        CallAnswer, CallFailure, CallOutcome, CallRequest, Caller, FailureKind, MAX_RESPONSE_KEPT, Method,
    },
    time::Timestamp,
};
use std::{sync::Arc, time::Duration};
use url::Position;

/// Sent as `User-Agent`.
pub const USER_AGENT: &str = concat!("Rondo/", env!("CARGO_PKG_VERSION"));

/// An answer up to this many bytes is read to its end, so that the connection can be used again. Of a longer one
/// the rest is never read: the connection is closed, and the status counts.
const MAX_DRAINED: usize = 64 * 1024;

/// The time now: the one clock of the process, or a test's.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

pub struct CallerSettings {
    pub policy: AddressPolicy,
    /// Opens the apps' signing secrets.
    pub sealing_key: SealingKey,
    /// How many calls may be under way to one scheme, host and port; the others wait their turn.
    pub max_per_destination: usize,
    /// How long a connection is kept without use. Less than the 5 s after which common servers (Node.js, Apache,
    /// uvicorn) close theirs: a call that meets the closing halfway is lost, and cannot be repeated safely.
    pub keep_idle: Duration,
    /// How names are resolved, before the guard sees the addresses.
    pub lookup: Lookup,
    /// Certificate authorities (DER) that are trusted beside Mozilla's, for targets inside one's own network.
    pub extra_authorities: Vec<Vec<u8>>,
}

impl CallerSettings {
    pub fn new(policy: AddressPolicy, sealing_key: SealingKey) -> Self {
        CallerSettings {
            policy,
            sealing_key,
            max_per_destination: 256,
            keep_idle: Duration::from_secs(4),
            lookup: system_lookup(),
            extra_authorities: Vec::new(),
        }
    }
}

/// The caller could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    #[error("the certificate authority given as number {number} is not usable")]
    Authority { number: usize, source: rustls::Error },
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

pub struct HttpCaller {
    client: reqwest::Client,
    policy: AddressPolicy,
    destinations: Destinations,
    keys: SigningKeys,
    now: Now,
}

impl HttpCaller {
    pub fn new(settings: CallerSettings, now: Now) -> Result<Self, CallerError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(settings.extra_authorities)?)
            .dns_resolver(GuardedResolver::new(settings.policy.clone(), settings.lookup))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .retry(reqwest::retry::never())
            .http1_only()
            .tcp_nodelay(true)
            .pool_max_idle_per_host(settings.max_per_destination)
            .pool_idle_timeout(settings.keep_idle)
            .build()
            .map_err(CallerError::Client)?;
        Ok(HttpCaller {
            client,
            policy: settings.policy,
            destinations: Destinations::new(settings.max_per_destination),
            keys: SigningKeys::new(settings.sealing_key),
            now,
        })
    }

    /// The request, signed as of now. Errors are of what was stored, so nothing was sent.
    fn prepare(&self, request: CallRequest) -> Result<Request, CallFailure> {
        let keys = self.keys.of(&request.app).map_err(|why| {
            tracing::error!(app = %request.app.key, "a signing secret {why}");
            failure::failure(FailureKind::Protocol, format!("not sent: the app's signing secret {why}"))
        })?;
        let mut map = HeaderMap::with_capacity(request.headers.len() + 8);
        map.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let at = (self.now)().seconds();
        map.insert(HeaderName::from_static(WEBHOOK_TIMESTAMP), HeaderValue::from(at));
        if !keys.is_empty() {
            let signatures = signature::sign(&keys, &request.webhook_id, at, &request.body);
            let value = HeaderValue::try_from(signatures).map_err(|_| unsendable(WEBHOOK_SIGNATURE))?;
            map.insert(HeaderName::from_static(WEBHOOK_SIGNATURE), value);
        }
        let id = HeaderValue::try_from(request.webhook_id).map_err(|_| unsendable(WEBHOOK_ID))?;
        map.insert(HeaderName::from_static(WEBHOOK_ID), id);
        for (name, value) in request.headers {
            match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::try_from(value)) {
                (Ok(known), Ok(value)) if !headers::is_framing(&known) => map.append(known, value),
                _ => return Err(unsendable(&name)),
            };
        }
        let expects_body = matches!(request.method, Method::Post | Method::Put | Method::Patch);
        if request.body.is_empty() && expects_body {
            // The client leaves it out, and some servers then answer 411 (RFC 9110, section 8.6).
            map.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
        }
        let mut prepared = Request::new(method(request.method), request.url);
        *prepared.headers_mut() = map;
        if !request.body.is_empty() {
            *prepared.body_mut() = Some(request.body.into());
        }
        Ok(prepared)
    }

    /// Sends it and reads the answer; `seen` learns of the head as soon as that is there, for the case that time
    /// runs out afterwards.
    async fn exchange(&self, request: Request, seen: &mut Option<Head>) -> Result<CallAnswer, CallFailure> {
        let https = request.url().scheme() == "https";
        let mut response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(error) => return Err(failure::before_the_answer(&error, https)),
        };
        let at = (self.now)();
        let status = response.status().as_u16();
        *seen = Some(Head { at, status });
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|value| retry_after::parse(value, at));
        let body = read(&mut response).await.map_err(|error| failure::within_the_answer(&error, status))?;
        Ok(CallAnswer { status, retry_after, body })
    }
}

#[async_trait::async_trait]
impl Caller for HttpCaller {
    async fn call(&self, request: CallRequest) -> CallOutcome {
        let not_sent =
            |at, failure| CallOutcome { sent_at: at, first_byte_at: None, done_at: at, result: Err(failure) };
        // Names are judged where they resolve; a literal address is not resolved by anybody.
        if let Err(why) = target::check_parsed(&request.url, &self.policy) {
            return not_sent((self.now)(), failure::refused(&why));
        }
        let _slot = self.destinations.enter(&request.url[..Position::BeforePath]).await;
        let timeout = request.timeout;
        let prepared = match self.prepare(request) {
            Ok(prepared) => prepared,
            Err(failure) => return not_sent((self.now)(), failure),
        };
        let mut seen = None;
        let sent_at = (self.now)();
        let ended = tokio::time::timeout(timeout.std(), self.exchange(prepared, &mut seen)).await;
        let done_at = (self.now)();
        let result =
            ended.unwrap_or_else(|_| Err(failure::timed_out(timeout.millis(), seen.map(|head| head.status))));
        CallOutcome { sent_at, first_byte_at: seen.map(|head| head.at), done_at, result }
    }
}

#[derive(Clone, Copy)]
struct Head {
    at: Timestamp,
    status: u16,
}

/// The kept part of the body; see [`MAX_DRAINED`] for the rest.
async fn read(response: &mut Response) -> Result<String, reqwest::Error> {
    // Where the length is known to be too much, nothing is gained by reading on.
    let limit = match response.content_length() {
        Some(length) if length > MAX_DRAINED as u64 => MAX_RESPONSE_KEPT,
        _ => MAX_DRAINED,
    };
    let (mut kept, mut length) = (Vec::new(), 0);
    while length < limit
        && let Some(chunk) = response.chunk().await?
    {
        length += chunk.len();
        let room = MAX_RESPONSE_KEPT - kept.len();
        kept.extend_from_slice(&chunk[..room.min(chunk.len())]);
    }
    Ok(text(kept, length))
}

/// The kept bytes as text. A character that the cut went through is left out, not shown as broken.
fn text(mut kept: Vec<u8>, length: usize) -> String {
    if length > kept.len()
        && let Some(chunk) = kept.utf8_chunks().last()
        && is_unfinished(chunk.invalid())
    {
        kept.truncate(kept.len() - chunk.invalid().len());
    }
    String::from_utf8(kept)
        .unwrap_or_else(|not_utf8| String::from_utf8_lossy(not_utf8.as_bytes()).into_owned())
}

fn is_unfinished(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

fn unsendable(header: &str) -> CallFailure {
    failure::failure(
        FailureKind::Protocol,
        format!("not sent: the header '{}' cannot be sent", header.escape_debug()),
    )
}

fn method(method: Method) -> http::Method {
    match method {
        Method::Get => http::Method::GET,
        Method::Post => http::Method::POST,
        Method::Put => http::Method::PUT,
        Method::Patch => http::Method::PATCH,
        Method::Delete => http::Method::DELETE,
    }
}

/// rustls on ring, with Mozilla's authorities as they were compiled in.
fn tls(extra_authorities: Vec<Vec<u8>>) -> Result<rustls::ClientConfig, CallerError> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for (at, authority) in extra_authorities.into_iter().enumerate() {
        roots.add(authority.into()).map_err(|source| CallerError::Authority { number: at + 1, source })?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(config.map_err(CallerError::Tls)?.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_character_is_left_out_and_a_broken_one_replaced() {
        assert_eq!(text(b"caf\xc3".to_vec(), 100), "caf");
        assert_eq!(text(b"caf\xc3".to_vec(), 4), "caf\u{fffd}");
        assert_eq!(text(b"a\xffb".to_vec(), 100), "a\u{fffd}b");
        assert_eq!(text(b"a\xff".to_vec(), 100), "a\u{fffd}");
        assert_eq!(text("añ".as_bytes().to_vec(), 100), "añ");
        assert_eq!(text(Vec::new(), 0), "");
    }
}
