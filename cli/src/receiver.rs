//! A receiver of callbacks on this machine: answers as told, verifies signatures, and passes on what arrived.
//! For `rondo listen` and `rondo demo`; a real server on a real socket.

use crate::server::{ListenError, Server, ServerLimits, listen, read_body};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rondo_domain::{
    ports::Clock as _,
    time::{Span, Timestamp},
};
use rondo_local::SystemClock;
use rondo_outbound::signature::{
    SigningSecret, TOLERANCE, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP, verify,
};
use std::{io, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// Callbacks up to so many bytes are read.
const MAX_BODY: usize = 1 << 20;

/// How every callback is answered.
#[derive(Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub after: Duration,
    pub retry_after: Option<HeaderValue>,
    pub body: String,
}

impl Default for Answer {
    fn default() -> Self {
        Answer { status: StatusCode::OK, after: Duration::ZERO, retry_after: None, body: String::new() }
    }
}

/// One callback as it arrived.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub at: Timestamp,
    pub method: String,
    /// With its query.
    pub path: String,
    pub webhook_id: Option<String>,
    pub schedule: Option<String>,
    pub occurrence: Option<u32>,
    pub attempt: Option<u32>,
    pub due_at: Option<Timestamp>,
    pub signature: Signature,
    pub body: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    Verified,
    /// Answered with 401.
    Rejected(String),
    /// No secret to verify with was given.
    NotChecked,
}

impl Arrival {
    /// From due to arrival; none where the callback does not say when it was due.
    pub fn lateness(&self) -> Option<Span> {
        self.due_at.map(|due| self.at.since(due))
    }
}

pub struct Receiver {
    pub server: Server,
    pub arrivals: mpsc::UnboundedReceiver<Arrival>,
}

struct Desk {
    secrets: Vec<SigningSecret>,
    answer: Answer,
    arrived: mpsc::UnboundedSender<Arrival>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("cannot listen: {0}")]
    Socket(#[from] io::Error),
}

impl Receiver {
    /// Callbacks that none of `secrets` has signed are refused; with no secrets nothing is verified.
    pub async fn start(
        address: &str,
        secrets: Vec<SigningSecret>,
        answer: Answer,
    ) -> Result<Receiver, ReceiverError> {
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let desk = Arc::new(Desk { secrets, answer, arrived });
        let router = Router::new().fallback(receive).with_state(desk);
        let server = Server::start(listen(address).await?, router, ServerLimits::default())?;
        Ok(Receiver { server, arrivals })
    }
}

async fn receive(State(desk): State<Arc<Desk>>, request: Request<Body>) -> Response {
    let at = SystemClock.now();
    let (parts, body) = request.into_parts();
    let Some(body) = read_body(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let signature = desk.check(&parts.headers, &body, at);
    let rejected = matches!(signature, Signature::Rejected(_));
    let number = |name| text(&parts.headers, name)?.parse().ok();
    let arrival = Arrival {
        at,
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map_or("/".to_owned(), ToString::to_string),
        webhook_id: text(&parts.headers, WEBHOOK_ID).map(str::to_owned),
        schedule: text(&parts.headers, "rondo-schedule-id").map(str::to_owned),
        occurrence: number("rondo-occurrence"),
        attempt: number("rondo-attempt"),
        due_at: text(&parts.headers, "rondo-due-at").and_then(Timestamp::parse_rfc3339),
        signature,
        body,
    };
    // Nobody listens any more where the receiver is about to stop.
    let _ = desk.arrived.send(arrival);
    if rejected {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    tokio::time::sleep(desk.answer.after).await;
    let mut response = (desk.answer.status, desk.answer.body.clone()).into_response();
    if let Some(retry_after) = &desk.answer.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, retry_after.clone());
    }
    response
}

impl Desk {
    fn check(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Signature {
        if self.secrets.is_empty() {
            return Signature::NotChecked;
        }
        let three = [WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE].map(|name| text(headers, name));
        let [Some(id), Some(timestamp), Some(signatures)] = three else {
            return Signature::Rejected("a webhook header is missing".to_owned());
        };
        match verify(&self.secrets, id, timestamp, signatures, body, now, TOLERANCE) {
            Ok(()) => Signature::Verified,
            Err(why) => Signature::Rejected(why.to_string()),
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desk(secrets: Vec<SigningSecret>) -> Desk {
        Desk { secrets, answer: Answer::default(), arrived: mpsc::unbounded_channel().0 }
    }

    fn headers(signature: &str) -> HeaderMap {
        [(WEBHOOK_ID, "id"), (WEBHOOK_TIMESTAMP, "1000"), (WEBHOOK_SIGNATURE, signature)]
            .into_iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn only_what_one_of_the_secrets_signed_is_verified() {
        let secret = SigningSecret::from_bytes(&[1; 32]).unwrap();
        let other = SigningSecret::from_bytes(&[2; 32]).unwrap();
        let now = Timestamp::from_millis(1_001_000);
        let signed = headers(&secret.sign("id", 1000, b"body"));
        let check =
            |secrets: Vec<_>, headers: &HeaderMap, body: &[u8]| desk(secrets).check(headers, body, now);
        assert_eq!(check(vec![other.clone(), secret.clone()], &signed, b"body"), Signature::Verified);
        assert!(matches!(check(vec![other], &signed, b"body"), Signature::Rejected(_)));
        assert!(matches!(check(vec![secret.clone()], &signed, b"bod"), Signature::Rejected(_)));
        assert!(matches!(check(vec![secret], &HeaderMap::new(), b"body"), Signature::Rejected(_)));
        assert_eq!(check(vec![], &HeaderMap::new(), b"body"), Signature::NotChecked);
    }
}
