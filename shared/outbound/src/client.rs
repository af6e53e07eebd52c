//! The HTTP caller: what a callback carries, signed as of the moment it goes out. Whether a call is made again is not
//! its business.

use crate::{
    exchange::Exchanges,
    failure,
    guard::AddressPolicy,
    headers,
    resolver::{Lookup, system_lookup},
    sealing::SealingKey,
    signature::{self, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP},
    signing_keys::SigningKeys,
};
use http::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
};
use reqwest::Request;
use rondo_domain::{
    call::{CallFailure, CallOutcome, CallRequest, Caller, FailureKind, MAX_RESPONSE_KEPT, Method},
    time::Timestamp,
};
use std::{sync::Arc, time::Duration};

/// Sent as `User-Agent`.
pub const USER_AGENT: &str = concat!("Rondo/", env!("CARGO_PKG_VERSION"));

/// The time now: the one clock of the process, or a test's.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

#[derive(Clone)]
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
    /// Lacks only its subject.
    #[error("the push gateway's URL {0}")]
    Gateway(&'static str),
    /// Lacks only its subject.
    #[error("the contact for push services {0}")]
    Contact(String),
}

pub struct HttpCaller {
    pub(crate) exchanges: Arc<Exchanges>,
    /// For whoever sends beside it: `push`.
    pub(crate) settings: CallerSettings,
    keys: SigningKeys,
}

impl HttpCaller {
    pub fn new(settings: CallerSettings, now: Now) -> Result<Self, CallerError> {
        Ok(HttpCaller {
            exchanges: Arc::new(Exchanges::new(settings.clone(), now)?),
            keys: SigningKeys::new(settings.sealing_key.clone()),
            settings,
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
        let at = self.exchanges.now().seconds();
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
}

#[async_trait::async_trait]
impl Caller for HttpCaller {
    async fn call(&self, request: CallRequest) -> CallOutcome {
        let (url, timeout) = (request.url.clone(), request.timeout);
        self.exchanges.perform(&url, timeout, MAX_RESPONSE_KEPT, || self.prepare(request)).await
    }
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
