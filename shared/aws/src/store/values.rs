//! DynamoDB's values from what serde makes of the domain's types, and back: text as S, numbers as N, lists as L,
//! objects as M. What is not there, or as usual, is left out, so that hot items stay small.

use super::calls::Item;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Number, Value};

/// An object's attributes, without those that are null.
///
/// # Errors
/// What serde says of a value that is no object; the domain's types are all ones.
pub(crate) fn attributes_of(value: &impl Serialize) -> Result<Item, serde_json::Error> {
    let object: Map<String, Value> = serde_json::from_value(serde_json::to_value(value)?)?;
    Ok(attributes(object))
}

pub(crate) fn attributes(object: Map<String, Value>) -> Item {
    object.into_iter().filter_map(|(name, value)| Some((name, attribute(value)?))).collect()
}

/// The object that these attributes say.
///
/// # Errors
/// What does not fit: the name of an attribute, never its value.
pub(crate) fn object_of<T: DeserializeOwned>(object: Map<String, Value>) -> Result<T, String> {
    serde_json::from_value(Value::Object(object)).map_err(|error| without_values(&error))
}

/// An error of serde may quote what it read; which kind of error it is may be said.
pub(crate) fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.strip_prefix("missing field ") {
        Some(_) => text,
        None => "an attribute is not of the kind expected".to_owned(),
    }
}

fn attribute(value: Value) -> Option<AttributeValue> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(yes) => AttributeValue::Bool(yes),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => AttributeValue::S(text),
        Value::Array(all) => AttributeValue::L(
            all.into_iter().map(|one| attribute(one).unwrap_or(AttributeValue::Null(true))).collect(),
        ),
        Value::Object(object) => AttributeValue::M(attributes(object)),
    })
}

/// Sorted by name, as everything in this crate that is compared.
pub(crate) fn object(item: &Item) -> Map<String, Value> {
    let mut names: Vec<&String> = item.keys().collect();
    names.sort_unstable();
    names.into_iter().map(|name| (name.clone(), json(&item[name]))).collect()
}

fn json(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => Value::String(text.clone()),
        AttributeValue::N(digits) => number(digits).map_or(Value::Null, Value::Number),
        AttributeValue::Bool(yes) => Value::Bool(*yes),
        AttributeValue::L(all) => Value::Array(all.iter().map(json).collect()),
        AttributeValue::M(all) => Value::Object(object(all)),
        _ => Value::Null,
    }
}

/// Whole numbers stay whole; DynamoDB may write one of them with an exponent.
fn number(digits: &str) -> Option<Number> {
    if let Ok(whole) = digits.parse::<u64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = digits.parse::<i64>() {
        return Some(whole.into());
    }
    Number::from_f64(digits.parse().ok()?)
}

/// Removes what is null or the same in `usual`, objects within objects alike.
pub(crate) fn prune(object: &mut Map<String, Value>, usual: &Map<String, Value>) {
    object.retain(|name, value| {
        let usual = usual.get(name);
        if let (Value::Object(inner), Some(Value::Object(usual))) = (&mut *value, usual) {
            prune(inner, usual);
            return !inner.is_empty();
        }
        !value.is_null() && Some(&*value) != usual
    });
}

/// Puts back what [`prune`] removed.
pub(crate) fn fill(object: &mut Map<String, Value>, usual: Map<String, Value>) {
    for (name, usual) in usual {
        match (object.get_mut(&name), usual) {
            (Some(Value::Object(inner)), Value::Object(usual)) => fill(inner, usual),
            (Some(_), _) => {}
            (None, usual) => {
                object.insert(name, usual);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_is_usual_is_left_out_and_comes_back() {
        let usual = map(json!({"a": 0, "b": null, "c": {"d": 0, "e": 0}, "f": 1}));
        let whole = map(json!({"a": 0, "b": 7, "c": {"d": 0, "e": 5}, "f": 2, "g": [null, 1]}));
        let mut pruned = whole.clone();
        prune(&mut pruned, &usual);
        assert_eq!(Value::Object(pruned.clone()), json!({"b": 7, "c": {"e": 5}, "f": 2, "g": [null, 1]}));
        fill(&mut pruned, usual);
        assert_eq!(Value::Object(pruned), Value::Object(whole));
    }

    #[test]
    fn tokens_keep_all_their_digits() {
        let item = attributes(map(json!({"token": u64::MAX, "at": -5, "text": "", "no": null})));
        assert_eq!(item["token"], AttributeValue::N("18446744073709551615".to_owned()));
        assert!(!item.contains_key("no"));
        assert_eq!(Value::Object(object(&item)), json!({"at": -5, "text": "", "token": u64::MAX}));
    }

    #[test]
    fn an_error_says_no_value() {
        let error = object_of::<rondo_domain::app::App>(map(json!({"key": {"secret": 1}}))).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
}
