//! What an error of the HTTP client means: which kind of failure, and one sentence for the record. Judged by the
//! types of the error and of its causes, never by a message. The sentence names no URL: its query may be secret.

use crate::{resolver::ResolveError, target::UrlRefused};
use rondo_domain::call::{CallFailure, FailureKind};
use std::{error::Error, io};

/// A longer detail helps nobody, and it is stored with every attempt (bytes).
const MAX_DETAIL: usize = 300;

pub(crate) fn failure(kind: FailureKind, detail: impl Into<String>) -> CallFailure {
    let mut detail = detail.into();
    if detail.len() > MAX_DETAIL {
        let end = (0..=MAX_DETAIL).rev().find(|at| detail.is_char_boundary(*at)).unwrap_or(0);
        detail.truncate(end);
        detail.push('…');
    }
    CallFailure { kind, detail }
}

pub(crate) fn refused(why: &UrlRefused) -> CallFailure {
    failure(FailureKind::ForbiddenAddress, format!("the URL {why}"))
}

/// No answer came: `error` is from the request. `https` tells whether a handshake was to be made.
pub(crate) fn before_the_answer(error: &reqwest::Error, https: bool) -> CallFailure {
    for cause in causes(error) {
        if let Some(why) = cause.downcast_ref::<ResolveError>() {
            let kind = match why {
                ResolveError::NotFound { .. } => FailureKind::Dns,
                ResolveError::Forbidden { .. } => FailureKind::ForbiddenAddress,
            };
            return failure(kind, why.to_string());
        }
        if let Some(why) = cause.downcast_ref::<rustls::Error>() {
            return failure(FailureKind::Tls, format!("TLS: {why}"));
        }
    }
    if error.is_builder() {
        return failure(FailureKind::Protocol, "not sent: the URL cannot be put into an HTTP request");
    }
    let io_kind =
        causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind).last();
    let http = causes(error).find_map(|cause| cause.downcast_ref::<hyper::Error>());
    match (io_kind, http) {
        (Some(io::ErrorKind::UnexpectedEof), _) if https && error.is_connect() => {
            failure(FailureKind::Tls, "TLS: the connection was closed during the handshake")
        }
        (Some(kind), _) => failure(FailureKind::Connect, connection_detail(kind)),
        (None, Some(http)) if http.is_incomplete_message() || http.is_canceled() || http.is_closed() => {
            failure(FailureKind::Connect, "the connection was closed before an answer came")
        }
        (None, None) if error.is_connect() => {
            failure(FailureKind::Connect, format!("no connection: {}", root(error)))
        }
        _ => failure(FailureKind::Protocol, format!("what came is not HTTP/1.1: {}", root(error))),
    }
}

/// The status had come, the body broke off.
pub(crate) fn within_the_answer(error: &reqwest::Error, status: u16) -> CallFailure {
    failure(FailureKind::Protocol, format!("the answer (status {status}) broke off: {}", root(error)))
}

pub(crate) fn timed_out(millis: u64, status: Option<u16>) -> CallFailure {
    let detail = match status {
        Some(status) => format!("the answer (status {status}) was not complete within {millis} ms"),
        None => format!("no answer within {millis} ms"),
    };
    failure(FailureKind::Timeout, detail)
}

fn connection_detail(kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::ConnectionRefused => "the connection was refused".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            "the connection was reset before an answer came".to_owned()
        }
        io::ErrorKind::UnexpectedEof => "the connection was closed before an answer came".to_owned(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "the address is unreachable".to_owned()
        }
        io::ErrorKind::TimedOut => "the connection attempt got no reply".to_owned(),
        // The kind's own text, such as "address not available".
        other => format!("no connection: {other}"),
    }
}

/// The error and what caused it, outermost first. An `io::Error` that wraps another error has it inside, not as
/// its source.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause| {
        let cause: &'a (dyn Error + 'static) = *cause;
        match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => cause.source(),
        }
    })
}

/// The first cause's own words; those of the outer errors would bring the URL.
fn root(error: &reqwest::Error) -> String {
    causes(error)
        .skip(1)
        .last()
        .map_or_else(|| "the request could not be sent".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_cut_at_a_character() {
        let long = failure(FailureKind::Connect, "é".repeat(400));
        assert_eq!(long.detail, format!("{}…", "é".repeat(150)));
        assert_eq!(failure(FailureKind::Connect, "short").detail, "short");
    }

    #[test]
    fn causes_are_found_inside_io_errors() {
        let inner = io::Error::other(io::Error::other(rustls::Error::DecryptError));
        assert!(causes(&inner).any(|cause| cause.is::<rustls::Error>()));
    }
}
