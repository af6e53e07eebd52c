//! Reading JSON strictly: UTF-8, no member twice, not too deep, and where it breaks.

use crate::problem::{Code, Problem};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// How deep arrays and objects may lie in each other.
pub const MAX_DEPTH: usize = 64;

pub fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|wrong| {
        let at = wrong.valid_up_to();
        malformed(format!("the body must be UTF-8, and byte {} is not", at + 1))
    })?;
    if text.trim().is_empty() {
        return Err(malformed("the body is empty, and must be JSON".to_owned()));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = Strict { depth: MAX_DEPTH }.deserialize(&mut reader);
    read.and_then(|value| reader.end().map(|()| value)).map_err(|wrong| {
        let (line, column) = (wrong.line(), wrong.column());
        let message = wrong.to_string();
        let place = format!(" at line {line} column {column}");
        let reason = message.strip_suffix(&place).unwrap_or(&message);
        malformed(format!("the JSON breaks at line {line}, column {column}: {reason}"))
    })
}

fn malformed(detail: String) -> Problem {
    Problem::new(Code::MalformedJson, detail)
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Strict { depth }),
            None => Err(E::custom(format!("it is nested more than {MAX_DEPTH} deep"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(deeper)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if map.contains_key(&name) {
                return Err(A::Error::custom(format!("the member {name:?} comes twice")));
            }
            map.insert(name, members.next_value_seed(deeper)?);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(bytes: &[u8]) -> String {
        let problem = parse(bytes).expect_err("not JSON");
        assert_eq!(problem.code, Code::MalformedJson);
        problem.detail
    }

    #[test]
    fn json_is_read_as_it_stands() {
        let text = r#"{"b":[1,-2,2.5,"é",null,true],"a":{"":{}}}"#;
        assert_eq!(parse(text.as_bytes()).expect("JSON").to_string(), text);
    }

    #[test]
    fn what_breaks_is_said_with_its_place() {
        assert_eq!(
            why(b"{\n  \"a\": 1,\n  \"a\": 2}"),
            "the JSON breaks at line 3, column 5: the member \"a\" comes twice"
        );
        assert!(why(b"{\"payload\": \"{\"key\": 1}\"}").starts_with("the JSON breaks at line 1, column 16"));
        assert!(why(b"{} x").contains("trailing characters"));
        assert!(why(b"{\"a\": 1e999}").contains("number out of range"));
        assert_eq!(why(b" "), "the body is empty, and must be JSON");
        assert_eq!(why(b"{\"a\": \"\xff\"}"), "the body must be UTF-8, and byte 8 is not");
        assert!(why(b"\xef\xbb\xbf{}").contains("line 1"), "a byte order mark is no JSON");
    }

    #[test]
    fn depth_has_a_limit() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        for depth in [MAX_DEPTH + 1, 200, 100_000] {
            assert!(why(nested(depth).as_bytes()).contains("nested more than 64 deep"), "{depth}");
        }
    }
}
