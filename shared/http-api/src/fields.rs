//! Taking a JSON object apart, field by field: each reader answers a value or notes what would be right. All
//! faults of a body are collected, so that a client can mend them at once.

use crate::problem::{FieldFault, Place, Problem};
use rondo_domain::{
    span_text::parse_span,
    time::{Span, Timestamp},
};
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// So many faults are told; more help nobody.
const MAX_FAULTS: usize = 20;

/// A place in the body; it becomes a JSON pointer only where something is wrong.
#[derive(Clone, Copy)]
pub struct At<'p> {
    parent: Option<&'p At<'p>>,
    name: &'p str,
}

impl<'p> At<'p> {
    pub const ROOT: At<'static> = At { parent: None, name: "" };

    pub fn child(&'p self, name: &'p str) -> At<'p> {
        At { parent: Some(self), name }
    }

    fn pointer(&self) -> String {
        match self.parent {
            None => String::new(),
            Some(parent) => {
                let name = self.name.replace('~', "~0").replace('/', "~1");
                format!("{}/{name}", parent.pointer())
            }
        }
    }
}

#[derive(Debug, Default)]
pub struct Faults(Vec<FieldFault>);

impl Faults {
    /// `detail` goes on from the field's name: "must be …".
    pub fn add(&mut self, at: At<'_>, detail: impl Into<String>) {
        if self.0.len() < MAX_FAULTS {
            self.0.push(FieldFault { place: Place::Pointer(at.pointer()), detail: detail.into() });
        }
    }

    pub fn append(&mut self, other: Faults) {
        self.0.extend(other.0);
        self.0.truncate(MAX_FAULTS);
    }

    pub fn none(&self) -> bool {
        self.0.is_empty()
    }

    pub fn into_problem(self) -> Problem {
        Problem::invalid(self.0)
    }

    /// `value`, if nothing was wrong.
    pub fn check<T>(self, value: Option<T>) -> Result<T, Problem> {
        match value {
            Some(value) if self.none() => Ok(value),
            _ => Err(self.into_problem()),
        }
    }
}

/// An object and where it stands. `null` is as good as absent, except where a reader says otherwise.
#[derive(Clone, Copy)]
pub struct Object<'v> {
    members: &'v Map<String, Value>,
    at: At<'v>,
}

impl<'v> Object<'v> {
    pub fn of(value: &'v Value, at: At<'v>, faults: &mut Faults) -> Option<Self> {
        match value {
            Value::Object(members) => Some(Object { members, at }),
            other => {
                faults.add(at, format!("must be an object, not {}", kind(other)));
                None
            }
        }
    }

    pub fn at<'p>(&'p self, name: &'p str) -> At<'p> {
        self.at.child(name)
    }

    pub fn members(&self) -> &'v Map<String, Value> {
        self.members
    }

    /// Notes every member that is not one of `known`.
    pub fn allow_only(&self, known: &[&str], faults: &mut Faults) {
        self.allow_only_beside(known, &[], faults);
    }

    /// The same; `judged` are not known either, but somebody else says what is wrong with them.
    pub fn allow_only_beside(&self, known: &[&str], judged: &[&str], faults: &mut Faults) {
        let unknown = |name: &&String| !known.contains(&name.as_str()) && !judged.contains(&name.as_str());
        for name in self.members.keys().filter(unknown) {
            let detail = match meant(name, known) {
                Some(meant) => format!("is unknown here; did you mean {meant}?"),
                None => format!("is unknown here; known are {}", known.join(", ")),
            };
            faults.add(self.at.child(name), detail);
        }
    }

    /// The member as it stands, `null` included.
    pub fn raw(&self, name: &str) -> Option<&'v Value> {
        self.members.get(name)
    }

    pub fn get(&self, name: &str) -> Option<&'v Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    pub fn required(&self, name: &str, faults: &mut Faults) -> Option<&'v Value> {
        let value = self.get(name);
        if value.is_none() {
            let detail = if self.members.contains_key(name) { "must not be null" } else { "is required" };
            faults.add(self.at.child(name), detail);
        }
        value
    }

    pub fn text(&self, name: &str, faults: &mut Faults) -> Option<&'v str> {
        match self.get(name)? {
            Value::String(text) => Some(text),
            other => {
                faults.add(self.at.child(name), format!("must be a string, not {}", kind(other)));
                None
            }
        }
    }

    /// A string of 1 to `max` bytes without control characters.
    pub fn line(&self, name: &str, max: usize, faults: &mut Faults) -> Option<&'v str> {
        let text = self.text(name, faults)?;
        match check_line(text, max) {
            Ok(()) => Some(text),
            Err(detail) => {
                faults.add(self.at.child(name), detail);
                None
            }
        }
    }

    pub fn span(&self, name: &str, faults: &mut Faults) -> Option<Span> {
        match span_of(self.get(name)?) {
            Ok(span) => Some(span),
            Err(detail) => {
                faults.add(self.at.child(name), detail);
                None
            }
        }
    }

    pub fn span_in(&self, name: &str, range: RangeInclusive<Span>, faults: &mut Faults) -> Option<Span> {
        let span = self.span(name, faults)?;
        if range.contains(&span) {
            return Some(span);
        }
        let write = rondo_domain::span_text::write_span;
        let (low, high) = (write(*range.start()), write(*range.end()));
        faults.add(self.at.child(name), format!("must be from {low} to {high}, not {}", write(span)));
        None
    }

    pub fn whole(&self, name: &str, range: RangeInclusive<u64>, faults: &mut Faults) -> Option<u64> {
        let value = self.get(name)?;
        let detail = match whole_of(value) {
            Some(number) if range.contains(&number) => return Some(number),
            _ if value.is_number() => {
                format!("must be a whole number from {} to {}, not {value}", range.start(), range.end())
            }
            _ => format!("must be a number, not {}", kind(value)),
        };
        faults.add(self.at.child(name), detail);
        None
    }

    /// An RFC 3339 instant with its offset.
    pub fn instant(&self, name: &str, faults: &mut Faults) -> Option<Timestamp> {
        let text = self.text(name, faults)?;
        let at = Timestamp::parse_rfc3339(text).filter(|at| (Timestamp::EPOCH..=Timestamp::MAX).contains(at));
        if at.is_none() {
            let detail = format!(
                "must be an instant with its offset, such as 2030-12-01T09:00:00+01:00, from 1970 to 9999, not {}",
                quoted(text)
            );
            faults.add(self.at.child(name), detail);
        }
        at
    }

    pub fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)], faults: &mut Faults) -> Option<T> {
        let text = self.text(name, faults)?;
        let chosen = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if chosen.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            let detail = format!("must be one of {}, not {}", words.join(", "), quoted(text));
            faults.add(self.at.child(name), detail);
        }
        chosen
    }
}

pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// What a client wrote, cut to a length that fits into a message.
pub fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(60).collect();
    if cut.len() < text.len() { format!("{cut:?}…") } else { format!("{cut:?}") }
}

pub fn check_line(text: &str, max: usize) -> Result<(), String> {
    if text.is_empty() {
        Err("must not be empty".to_owned())
    } else if text.len() > max {
        Err(format!("must have at most {max} bytes, not {}", text.len()))
    } else if text.chars().any(char::is_control) {
        Err("must not hold control characters".to_owned())
    } else {
        Ok(())
    }
}

/// Milliseconds as a number, or any text form of a span.
pub fn span_of(value: &Value) -> Result<Span, String> {
    match value {
        Value::String(text) if text.len() > 100 => {
            Err("must be a duration of at most 100 characters".to_owned())
        }
        Value::String(text) => parse_span(text).map_err(|wrong| wrong.to_string()),
        Value::Number(number) if number.as_f64().is_some_and(|number| number < 0.0) => {
            Err("must not be negative".to_owned())
        }
        Value::Number(number) => match whole_of(value) {
            Some(millis) if millis <= i64::MAX as u64 => Ok(Span::from_millis(millis)),
            _ => Err(format!("must be whole milliseconds that 64 bits hold, not {number}")),
        },
        other => {
            Err(format!("must be milliseconds (5000) or a duration such as \"1h30m\", not {}", kind(other)))
        }
    }
}

/// Some clients write every number with a fraction: 5000.0 is 5000.
fn whole_of(value: &Value) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    value.as_u64().or_else(|| {
        let number = value.as_f64()?;
        (number.fract() == 0.0 && (0.0..EXACT).contains(&number)).then_some(number as u64)
    })
}

/// The known name that an unknown one was probably meant to be.
pub fn meant<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = |text: &str| text.replace(['_', '-'], "").to_ascii_lowercase();
    let given = plain(name);
    if given.len() > 64 {
        return None;
    }
    let close = known.iter().map(|word| (distance(&given, &plain(word)), *word)).min()?;
    let allowed = if close.1.len() > 5 { 2 } else { 1 };
    (close.0 <= allowed).then_some(close.1)
}

/// Levenshtein's, over bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pointer_escapes_what_rfc_6901_escapes() {
        let outer = At::ROOT.child("a/b");
        assert_eq!(outer.child("c~d").pointer(), "/a~1b/c~0d");
        assert_eq!(At::ROOT.pointer(), "");
    }

    #[test]
    fn spans_come_as_numbers_or_texts() {
        assert_eq!(span_of(&json!(5000)), Ok(Span::from_millis(5000)));
        assert_eq!(span_of(&json!(5000.0)), Ok(Span::from_millis(5000)));
        assert_eq!(span_of(&json!("PT5S")), Ok(Span::from_millis(5000)));
        for wrong in [json!(-1), json!(1.5), json!(1e300), json!(true), json!([1]), json!("soon"), json!("")]
        {
            assert!(span_of(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        let known = ["interval", "occurrences", "return_url", "name"];
        assert_eq!(meant("occurences", &known), Some("occurrences"));
        assert_eq!(meant("returnUrl", &known), Some("return_url"));
        assert_eq!(meant("colour", &known), None);
        assert_eq!(meant("note", &known), None);
    }
}
