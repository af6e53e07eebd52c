//! `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date in any of HTTP's three forms.

use chrono::NaiveDateTime;
use rondo_domain::time::{Span, Timestamp};

/// RFC 9110, section 5.6.7: the preferred form, and the two obsolete ones that a recipient has to accept.
const DATE_FORMS: [&str; 3] =
    ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// The instant it names, counted from `answered_at` where it is in seconds; may lie in the past. None where it
/// is neither.
pub(crate) fn parse(value: &str, answered_at: Timestamp) -> Option<Timestamp> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a very long time, not a mistake.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(answered_at.plus(Span::from_secs(seconds)));
    }
    let date = DATE_FORMS.iter().find_map(|form| NaiveDateTime::parse_from_str(value, form).ok())?;
    Some(Timestamp::from_utc(date.and_utc()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_count_from_the_answer() {
        let now = Timestamp::from_millis(1_000_500);
        assert_eq!(parse("120", now), Some(Timestamp::from_millis(1_120_500)));
        assert_eq!(parse(" 0 ", now), Some(now));
        assert_eq!(parse("99999999999999999999999", now), Some(Timestamp::MAX));
        assert_eq!(parse("9223372036854775807", now), Some(Timestamp::MAX));
    }

    #[test]
    fn dates_come_in_three_forms() {
        let expected = Timestamp::parse_rfc3339("1994-11-06T08:49:37Z");
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(parse(text, Timestamp::EPOCH), expected, "{text}");
        }
    }

    #[test]
    fn anything_else_is_passed_over() {
        for text in [
            "",
            "-5",
            "1.5",
            "soon",
            "5 minutes",
            "Sun, 06 Nov 1994 08:49:37 PST",
            "1994-11-06T08:49:37Z",
            "٣",
        ] {
            assert_eq!(parse(text, Timestamp::EPOCH), None, "{text}");
        }
    }
}
