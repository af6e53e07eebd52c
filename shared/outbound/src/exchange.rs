//! One HTTP exchange: on kept connections, within a time, with a bounded answer, and only where the address guard
//! allows it. It follows no redirect, asks no proxy and reads no certificate file. What is sent, and what the answer
//! means, is for others to say.

use crate::{
    client::{CallerError, CallerSettings, Now},
    destinations::Destinations,
    failure,
    guard::AddressPolicy,
    resolver::GuardedResolver,
    retry_after, target,
};
use http::header;
use reqwest::{Request, Response, redirect};
use rondo_domain::{
    call::{CallAnswer, CallFailure, CallOutcome},
    time::{Span, Timestamp},
};
use std::sync::Arc;
use url::{Position, Url};

/// An answer up to this many bytes is read to its end, so that the connection can be used again. Of a longer one
/// the rest is never read: the connection is closed, and the status counts.
pub(crate) const MAX_DRAINED: usize = 64 * 1024;

/// The HTTP client, with the guard before it and the slots of each destination.
pub(crate) struct Exchanges {
    client: reqwest::Client,
    policy: AddressPolicy,
    destinations: Destinations,
    now: Now,
}

impl Exchanges {
    pub(crate) fn new(settings: CallerSettings, now: Now) -> Result<Self, CallerError> {
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
        Ok(Exchanges {
            client,
            policy: settings.policy,
            destinations: Destinations::new(settings.max_per_destination),
            now,
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.now)()
    }

    pub(crate) fn clock(&self) -> Now {
        self.now.clone()
    }

    /// Waits for a slot of the destination, then sends what `prepare` makes and reads the answer, of which `kept`
    /// bytes (at most [`MAX_DRAINED`]) are handed on. `timeout` runs from the start of the connection to the last byte
    /// of the answer. An error of `prepare` is the outcome, and nothing was sent.
    pub(crate) async fn perform(
        &self,
        url: &Url,
        timeout: Span,
        kept: usize,
        prepare: impl FnOnce() -> Result<Request, CallFailure>,
    ) -> CallOutcome {
        let not_sent =
            |at, failure| CallOutcome { sent_at: at, first_byte_at: None, done_at: at, result: Err(failure) };
        // Names are judged where they resolve; a literal address is not resolved by anybody.
        if let Err(why) = target::check_parsed(url, &self.policy) {
            return not_sent(self.now(), failure::refused(&why));
        }
        let _slot = self.destinations.enter(&url[..Position::BeforePath]).await;
        let prepared = match prepare() {
            Ok(prepared) => prepared,
            Err(failure) => return not_sent(self.now(), failure),
        };
        let mut seen = None;
        let sent_at = self.now();
        let ended = tokio::time::timeout(timeout.std(), self.exchange(prepared, kept, &mut seen)).await;
        let done_at = self.now();
        let result =
            ended.unwrap_or_else(|_| Err(failure::timed_out(timeout.millis(), seen.map(|head| head.status))));
        CallOutcome { sent_at, first_byte_at: seen.map(|head| head.at), done_at, result }
    }

    /// Sends it and reads the answer; `seen` learns of the head as soon as that is there, for the case that time
    /// runs out afterwards.
    async fn exchange(
        &self,
        request: Request,
        kept: usize,
        seen: &mut Option<Head>,
    ) -> Result<CallAnswer, CallFailure> {
        let https = request.url().scheme() == "https";
        let mut response = match self.client.execute(request).await {
            Ok(response) => response,
            Err(error) => return Err(failure::before_the_answer(&error, https)),
        };
        let at = self.now();
        let status = response.status().as_u16();
        *seen = Some(Head { at, status });
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|value| retry_after::parse(value, at));
        let body =
            read(&mut response, kept).await.map_err(|error| failure::within_the_answer(&error, status))?;
        Ok(CallAnswer { status, retry_after, body })
    }
}

#[derive(Clone, Copy)]
struct Head {
    at: Timestamp,
    status: u16,
}

/// The first `most` bytes of the body; see [`MAX_DRAINED`] for the rest.
async fn read(response: &mut Response, most: usize) -> Result<String, reqwest::Error> {
    // Where the length is known to be too much, nothing is gained by reading on.
    let limit = match response.content_length() {
        Some(length) if length > MAX_DRAINED as u64 => most,
        _ => MAX_DRAINED,
    };
    let (mut kept, mut length) = (Vec::new(), 0);
    while length < limit
        && let Some(chunk) = response.chunk().await?
    {
        length += chunk.len();
        let room = most - kept.len();
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
