//! Which headers a schedule may carry: judged when it is created. What frames a message, or is Rondo's own to
//! say, is not the user's to set.

use http::header::{self, HeaderName, HeaderValue};

/// The most headers that a schedule may carry.
pub const MAX_HEADERS: usize = 50;
/// The most bytes that they may have, names and values together.
pub const MAX_HEADER_BYTES: usize = 8 * 1024;

/// What decides where a message ends and whom it is for. With these in a user's hand, one request could be made
/// to look like two.
const FRAMING: [HeaderName; 8] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::EXPECT,
];
const RESERVED: [&str; 3] = ["user-agent", "keep-alive", "proxy-connection"];
const RESERVED_PREFIXES: [&str; 2] = ["webhook-", "rondo-"];

/// Whether a schedule may carry this header; the error is a sentence that lacks only its subject.
pub fn check_header(name: &str, value: &str) -> Result<(), String> {
    let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
        return Err(format!("'{}' is not a header name", name.escape_debug()));
    };
    let lower = parsed.as_str();
    let reserved = is_framing(&parsed)
        || RESERVED.contains(&lower)
        || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix));
    if reserved {
        return Err(format!("'{lower}' is set by Rondo"));
    }
    // Only what every receiver reads alike: visible ASCII, space and tab.
    let plain = value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    if !plain || HeaderValue::from_str(value).is_err() {
        return Err(format!("the value of '{lower}' has characters other than visible ASCII, space and tab"));
    }
    Ok(())
}

/// [`check_header`] for all, and their number and size together.
pub fn check_headers<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(), String> {
    let (mut count, mut bytes) = (0, 0);
    for (name, value) in headers {
        check_header(name, value)?;
        count += 1;
        bytes += name.len() + value.len();
    }
    if count > MAX_HEADERS {
        return Err(format!("there are {count} headers; at most {MAX_HEADERS} are allowed"));
    }
    if bytes > MAX_HEADER_BYTES {
        return Err(format!(
            "the headers have {bytes} bytes together; at most {MAX_HEADER_BYTES} are allowed"
        ));
    }
    Ok(())
}

/// Checked once more where the request is sent, whoever put it together.
pub(crate) fn is_framing(name: &HeaderName) -> bool {
    FRAMING.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_set_their_own_headers() {
        for (name, value) in [
            ("x-team", "billing"),
            ("Authorization", "Bearer a.b-c"),
            ("content-type", "text/plain; charset=utf-8"),
            ("X-Empty", ""),
            ("accept", "a\tb"),
        ] {
            assert_eq!(check_header(name, value), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_frames_a_message_or_is_rondos_own_is_refused() {
        for name in [
            "Host",
            "content-length",
            "Transfer-Encoding",
            "connection",
            "UPGRADE",
            "te",
            "trailer",
            "expect",
            "user-agent",
            "Keep-Alive",
            "proxy-connection",
            "webhook-id",
            "Webhook-Signature",
            "webhook-anything",
            "rondo-due-at",
            "Rondo-X",
        ] {
            assert_eq!(check_header(name, "1"), Err(format!("'{}' is set by Rondo", name.to_lowercase())));
        }
    }

    #[test]
    fn no_header_is_smuggled_in() {
        for name in ["", "a b", "a:b", "a\r\nb", "é", "a\0"] {
            assert!(check_header(name, "1").unwrap_err().ends_with("is not a header name"), "{name:?}");
        }
        for value in ["a\r\nx: y", "a\n", "\0", "é", "\u{7f}"] {
            assert!(check_header("x", value).unwrap_err().starts_with("the value of 'x'"), "{value:?}");
        }
    }

    #[test]
    fn number_and_size_are_limited() {
        let many: Vec<String> = (0..51).map(|n| format!("x-{n}")).collect();
        let all = |count: usize| check_headers(many[..count].iter().map(|name| (name.as_str(), "v")));
        assert_eq!(all(50), Ok(()));
        assert_eq!(all(51), Err("there are 51 headers; at most 50 are allowed".to_owned()));
        let value = "v".repeat(MAX_HEADER_BYTES - 1);
        assert_eq!(check_headers([("x", value.as_str())]), Ok(()));
        assert_eq!(
            check_headers([("xy", value.as_str())]),
            Err("the headers have 8193 bytes together; at most 8192 are allowed".to_owned())
        );
    }
}
