//! Taking a JSON object apart, member by member, until the first that is wrong.

use super::{BAD_VALUE, INVALID, MISSING, PUSH_INVALID, TIME_INVALID, TOO_LARGE, UNEXPECTED, WRONG_TYPE};
use crate::push::outcome::PushError;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// What is wrong with a member: each place in the contract has its own code for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Missing,
    Type,
    Value,
    TooLarge,
    Unexpected,
}

/// A rule that was broken: where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    sort: Sort,
    /// The dotted path; empty: the whole body.
    at: String,
    /// Goes on from the field's name: "must be …".
    detail: String,
}

impl Fault {
    pub fn new(sort: Sort, at: impl Into<String>, detail: impl Into<String>) -> Self {
        Fault { sort, at: at.into(), detail: detail.into() }
    }

    fn with(self, code: u32) -> PushError {
        let at = if self.at.is_empty() { "the body" } else { &self.at };
        PushError::new(code, format!("{at} {}", self.detail))
    }

    /// Of a schedule, its trigger's times and its push apart.
    pub fn in_schedule(self) -> PushError {
        self.with(INVALID)
    }

    /// Of a trigger: its structure is the schedule's, its times have a code of their own.
    pub fn in_trigger(self) -> PushError {
        let code = match self.sort {
            Sort::Missing | Sort::Type | Sort::Unexpected => INVALID,
            Sort::Value | Sort::TooLarge => TIME_INVALID,
        };
        self.with(code)
    }

    /// Of a push that is to be sent at once.
    pub fn in_push(self) -> PushError {
        let code = match self.sort {
            Sort::Missing => MISSING,
            Sort::Type => WRONG_TYPE,
            Sort::Value => BAD_VALUE,
            Sort::TooLarge => TOO_LARGE,
            Sort::Unexpected => UNEXPECTED,
        };
        self.with(code)
    }

    /// Of a push that is to be scheduled.
    pub fn in_scheduled_push(mut self) -> PushError {
        self.at = if self.at.is_empty() { "push".to_owned() } else { format!("push.{}", self.at) };
        self.with(PUSH_INVALID)
    }
}

/// An object and where it stands. `null` is as good as absent.
pub(super) struct Object<'v> {
    members: &'v Map<String, Value>,
    /// Its own path.
    pub path: String,
}

impl<'v> Object<'v> {
    pub fn of(value: &'v Value, at: impl Into<String>) -> Result<Self, Fault> {
        let at = at.into();
        match value {
            Value::Object(members) => Ok(Object { members, path: at }),
            other => Err(wrong_type(at, "an object", other)),
        }
    }

    pub fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub fn members(&self) -> &'v Map<String, Value> {
        self.members
    }

    pub fn get(&self, name: &str) -> Option<&'v Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    pub fn required(&self, name: &str) -> Result<&'v Value, Fault> {
        self.get(name).ok_or_else(|| self.missing(name, "is required"))
    }

    pub fn missing(&self, name: &str, detail: impl Into<String>) -> Fault {
        Fault::new(Sort::Missing, self.at(name), detail)
    }

    pub fn wrong(&self, name: &str, detail: impl Into<String>) -> Fault {
        Fault::new(Sort::Value, self.at(name), detail)
    }

    pub fn text(&self, name: &str) -> Result<Option<&'v str>, Fault> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type(self.at(name), "a string", other)),
        }
    }

    pub fn required_text(&self, name: &str) -> Result<&'v str, Fault> {
        self.required(name)?;
        self.text(name).map(Option::unwrap_or_default)
    }

    pub fn flag(&self, name: &str) -> Result<Option<bool>, Fault> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(wrong_type(self.at(name), "true or false", other)),
        }
    }

    pub fn whole(&self, name: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, Fault> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let (low, high) = (range.start(), range.end());
        let out_of_range = || self.wrong(name, format!("must be from {low} to {high}, not {value}"));
        match value.as_i64() {
            Some(number) if range.contains(&number) => Ok(Some(number)),
            Some(_) => Err(out_of_range()),
            None if value.is_u64() => Err(out_of_range()),
            None => Err(wrong_type(self.at(name), "a whole number", value)),
        }
    }

    /// A member that is an object; an empty one is as good as absent.
    pub fn object(&self, name: &str) -> Result<Option<Object<'v>>, Fault> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let object = Object::of(value, self.at(name))?;
        Ok(Some(object).filter(|object| !object.members.is_empty()))
    }

    /// A member that is a list of strings; an empty one is as good as absent.
    pub fn texts(&self, name: &str) -> Result<Option<Vec<&'v str>>, Fault> {
        let items = match self.get(name) {
            None => return Ok(None),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(wrong_type(self.at(name), "an array of strings", other)),
        };
        let text = |(index, item): (usize, &'v Value)| match item {
            Value::String(text) => Ok(text.as_str()),
            other => Err(wrong_type(format!("{}[{index}]", self.at(name)), "a string", other)),
        };
        let texts: Vec<&str> = items.iter().enumerate().map(text).collect::<Result<_, Fault>>()?;
        Ok(Some(texts).filter(|texts| !texts.is_empty()))
    }
}

pub(super) fn wrong_type(at: impl Into<String>, right: &str, given: &Value) -> Fault {
    let given = match given {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    Fault::new(Sort::Type, at, format!("must be {right}, not {given}"))
}

/// What a client wrote, cut to a length that fits into a message.
pub(super) fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(60).collect();
    if cut.len() < text.len() { format!("{cut:?}…") } else { format!("{cut:?}") }
}

/// Bytes as compact JSON.
pub(super) fn size(value: &Value) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |json| json.len())
}
