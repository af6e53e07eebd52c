//! How people write a span, and how Rondo writes one back. Every surface accepts the same forms; what JSON
//! type a span may have is the surface's business.
//!
//! Accepted: milliseconds as digits (`5000`), parts with units joined by nothing, spaces or `+` (`1h30m`,
//! `1h+30m`, `1w 3h`), and ISO 8601 durations (`PT1H30M`, `P2W`). Days have 24 hours and weeks 7 days.

use crate::time::Span;

/// Milliseconds of each unit, the largest first.
const UNITS: [(&str, u64); 6] =
    [("w", 7 * 86_400_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// The longest span that can be written: what a signed 64-bit number of milliseconds holds.
const MAX_MILLIS: u64 = i64::MAX as u64;

/// Why a text is no span; each message is a predicate ("… must be …") that says what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    #[error("must not be empty: write milliseconds (5000) or parts with units (1h30m)")]
    Empty,
    #[error("must not be negative")]
    Negative,
    #[error(
        "must be milliseconds (5000), parts with units ms, s, m, h, d, w (1h30m) or an ISO 8601 duration (PT1H30M), not {0:?}"
    )]
    Malformed(String),
    #[error("must have a unit ms, s, m, h, d or w after each number, not {0:?}")]
    UnknownUnit(String),
    #[error("must not hold years or months, whose length varies: write weeks, days or hours")]
    VaryingLength,
    #[error("must come out to whole milliseconds, which {0:?} does not")]
    TooFine(String),
    #[error("must be shorter: it is more milliseconds than 64 bits hold")]
    TooLong,
}

/// Reads any of the forms above. Units are lower or upper case alike in ISO 8601, lower case elsewhere.
pub fn parse_span(text: &str) -> Result<Span, SpanError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(SpanError::Empty);
    }
    if text.starts_with(['-', '\u{2212}']) {
        return Err(SpanError::Negative);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return whole(text.parse().map_err(|_| SpanError::TooLong)?);
    }
    if text.starts_with(['P', 'p']) { iso_8601(text) } else { parts(text) }
}

/// The shortest canonical form: largest units first, no zero parts (`1h30m`, `100ms`, `0s`).
pub fn write_span(span: Span) -> String {
    if span.is_zero() {
        return "0s".to_owned();
    }
    let mut rest = span.millis();
    let mut text = String::new();
    for (unit, millis) in UNITS {
        let count = rest / millis;
        rest %= millis;
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    text
}

fn whole(millis: u64) -> Result<Span, SpanError> {
    if millis <= MAX_MILLIS { Ok(Span::from_millis(millis)) } else { Err(SpanError::TooLong) }
}

/// `1h+30m`, `1h30m`, `1h 30m`: each unit may come once, in any order.
fn parts(text: &str) -> Result<Span, SpanError> {
    let malformed = || SpanError::Malformed(text.to_owned());
    let mut total = 0u64;
    let mut seen = [false; UNITS.len()];
    let mut rest = text;
    loop {
        let (number, after) = split_number(rest).ok_or_else(malformed)?;
        let end = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let at = UNITS
            .iter()
            .position(|(name, _)| *name == unit)
            .ok_or_else(|| SpanError::UnknownUnit(text.to_owned()))?;
        if std::mem::replace(&mut seen[at], true) {
            return Err(malformed());
        }
        total = total.checked_add(scaled(number, UNITS[at].1, text)?).ok_or(SpanError::TooLong)?;
        let spaceless = after.trim_start();
        rest = match spaceless.strip_prefix('+') {
            Some(more) => more.trim_start(),
            None if spaceless.is_empty() => return whole(total),
            None => spaceless,
        };
    }
}

/// `PnW`, `PnDTnHnMnS`: designators in that order, a fraction only in the last part (ISO 8601-1, 5.5.2).
fn iso_8601(text: &str) -> Result<Span, SpanError> {
    let malformed = || SpanError::Malformed(text.to_owned());
    let upper = text.to_ascii_uppercase();
    let (date, time) = match upper[1..].split_once('T') {
        Some((_, "")) => return Err(malformed()),
        Some((date, time)) => (date, time),
        None => (&upper[1..], ""),
    };
    if date.is_empty() && time.is_empty() {
        return Err(malformed());
    }
    let mut total = 0u64;
    let mut fraction_seen = false;
    for (mut rest, designators) in [(date, ['Y', 'M', 'W', 'D'].as_slice()), (time, &['H', 'M', 'S'])] {
        let mut next = 0;
        while !rest.is_empty() {
            let (number, after) = split_number(rest)
                .ok_or_else(|| if rest.starts_with('-') { SpanError::Negative } else { malformed() })?;
            let designator = after.chars().next().ok_or_else(malformed)?;
            let at =
                designators.iter().skip(next).position(|known| *known == designator).ok_or_else(malformed)?
                    + next;
            next = at + 1;
            if fraction_seen {
                return Err(malformed());
            }
            fraction_seen = number.contains(['.', ',']);
            let millis = match designator {
                'W' => UNITS[0].1,
                'D' => UNITS[1].1,
                'H' => UNITS[2].1,
                'M' if designators.len() == 3 => UNITS[3].1,
                'S' => UNITS[4].1,
                _ => return Err(SpanError::VaryingLength),
            };
            total = total.checked_add(scaled(number, millis, text)?).ok_or(SpanError::TooLong)?;
            rest = &after[1..];
        }
    }
    whole(total)
}

/// The leading number, with or without a fraction, and what follows it.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ',')).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let sound = match number.split_once(['.', ',']) {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(number),
    };
    sound.then_some((number, rest))
}

/// `number` times `unit` milliseconds, exactly.
fn scaled(number: &str, unit: u64, text: &str) -> Result<u64, SpanError> {
    let (whole, fraction) = number.split_once(['.', ',']).unwrap_or((number, ""));
    let millis =
        whole.parse::<u64>().ok().and_then(|whole| whole.checked_mul(unit)).ok_or(SpanError::TooLong)?;
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        return Ok(millis);
    }
    let too_fine = || SpanError::TooFine(text.to_owned());
    // A unit is at most 6.048e8 ms, whose prime factors allow 10 decimals at most: more never come out whole.
    if fraction.len() > 10 {
        return Err(too_fine());
    }
    let scale = 10u64.pow(fraction.len() as u32);
    let part =
        fraction.parse::<u64>().map_err(|_| too_fine())?.checked_mul(unit).ok_or(SpanError::TooLong)?;
    if !part.is_multiple_of(scale) {
        return Err(too_fine());
    }
    millis.checked_add(part / scale).ok_or(SpanError::TooLong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn millis(text: &str) -> Result<u64, SpanError> {
        parse_span(text).map(Span::millis)
    }

    #[test]
    fn every_form_of_a_span_is_read() {
        for (text, expected) in [
            ("5000", 5000),
            ("0", 0),
            (" 300 ", 300),
            ("100ms", 100),
            ("1h+30m", 5_400_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("1h + 30m", 5_400_000),
            ("30m1h", 5_400_000),
            ("1w+3h+20m", 604_800_000 + 12_000_000),
            ("1.5s", 1500),
            ("2d", 172_800_000),
            ("1m500ms", 60_500),
            ("PT1H30M", 5_400_000),
            ("P1DT12H", 129_600_000),
            ("P2W", 1_209_600_000),
            ("PT0.5S", 500),
            ("PT0,5S", 500),
            ("pt5m", 300_000),
            ("PT0S", 0),
            ("P1W2D", 777_600_000),
        ] {
            assert_eq!(millis(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_span_is_refused_with_the_reason() {
        assert_eq!(millis("  "), Err(SpanError::Empty));
        assert_eq!(millis("-5s"), Err(SpanError::Negative));
        assert_eq!(millis("PT-5S"), Err(SpanError::Negative));
        assert_eq!(millis("P1M"), Err(SpanError::VaryingLength));
        assert_eq!(millis("P1Y2D"), Err(SpanError::VaryingLength));
        assert_eq!(millis("99999999999999999999"), Err(SpanError::TooLong));
        assert_eq!(millis("9223372036854775808"), Err(SpanError::TooLong));
        assert_eq!(millis("99999999999999w"), Err(SpanError::TooLong));
        assert_eq!(millis("1.0005s"), Err(SpanError::TooFine("1.0005s".into())));
        for text in ["5x", "1h30", "5 minutes", "5000.5", "1H"] {
            assert!(matches!(millis(text), Err(SpanError::UnknownUnit(_))), "{text}: {:?}", millis(text));
        }
        for text in [
            "abc", "+5s", "1h+", "1h++5m", "h", "1..5s", ".5s", "5.s", "1h1h", "P", "PT", "P1DT", "PT1M1H",
            "PT1.5H3M", "P1H", "1h,5m", "1e3", "٣s",
        ] {
            assert!(
                matches!(millis(text), Err(SpanError::Malformed(_) | SpanError::UnknownUnit(_))),
                "{text}: {:?}",
                millis(text)
            );
        }
        let message = millis("soon").expect_err("no span").to_string();
        assert!(message.contains("1h30m") && message.contains("soon"), "{message}");
    }

    #[test]
    fn the_canonical_form_is_short() {
        for (span, text) in
            [(0, "0s"), (100, "100ms"), (5000, "5s"), (5_400_000, "1h30m"), (90_061_001, "1d1h1m1s1ms")]
        {
            assert_eq!(write_span(Span::from_millis(span)), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(span in prop_oneof![0..=MAX_MILLIS, 0..1_000_000_000u64]) {
            let span = Span::from_millis(span);
            prop_assert_eq!(parse_span(&write_span(span)), Ok(span));
            prop_assert_eq!(parse_span(&span.millis().to_string()), Ok(span));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,12}|[PT0-9YMWDHSmshdw.,+ -]{0,12}") {
            let _ = parse_span(&text);
        }
    }
}
