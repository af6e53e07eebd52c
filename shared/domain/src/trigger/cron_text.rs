//! The text of a cron expression: split into fields, checked item by item so that a refusal names the field
//! and says what would be right, and names turned into numbers. `croner` alone would take `JANFEB` for
//! December and an empty list item for nothing.

use std::fmt;

/// What a field is called, and the numbers that it may hold.
struct Field {
    name: &'static str,
    low: u8,
    high: u8,
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const DAY_OF_MONTH: usize = 3;
const DAY_OF_WEEK: usize = 5;
const FIELDS: [Field; 6] = [
    Field { name: "second", low: 0, high: 59, names: &[] },
    Field { name: "minute", low: 0, high: 59, names: &[] },
    Field { name: "hour", low: 0, high: 23, names: &[] },
    Field { name: "day of month", low: 1, high: 31, names: &[] },
    Field { name: "month", low: 1, high: 12, names: MONTHS },
    Field { name: "day of week", low: 0, high: 7, names: WEEKDAYS },
];

const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// The longest expression that is looked at, in bytes.
const MAX_LENGTH: usize = 500;

/// Six fields, seconds first, of numbers and signs. Prints as an expression.
#[derive(Debug)]
pub(super) struct Fields([String; 6]);

/// Splits, checks and normalises; the error is a sentence about the expression.
pub(super) fn read(expression: &str) -> Result<Fields, String> {
    if expression.len() > MAX_LENGTH {
        return Err(format!("it is longer than {MAX_LENGTH} characters"));
    }
    let text = expression.trim();
    let text = match NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        Some((_, meaning)) => meaning,
        None if text.starts_with('@') => {
            return Err(format!(
                "{text:?} is no nickname; @yearly, @monthly, @weekly, @daily and @hourly are"
            ));
        }
        None => text,
    };
    let mut given: Vec<&str> = text.split_ascii_whitespace().collect();
    match given.len() {
        5 => given.insert(0, "0"),
        6 => {}
        other => {
            return Err(format!(
                "it has five fields (minute, hour, day of month, month, day of week), or six with seconds first, not {other}"
            ));
        }
    }
    let mut fields: [String; 6] = Default::default();
    for (at, text) in given.into_iter().enumerate() {
        fields[at] = field(at, &text.to_ascii_uppercase())?;
    }
    Ok(Fields(fields))
}

impl Fields {
    /// Whether the hour field begins with `*`.
    pub fn every_hour(&self) -> bool {
        self.0[2].starts_with('*')
    }

    /// Where both day fields are restricted, either matches; a field that begins with `*` is not (Vixie
    /// cron, entry.c: DOM_STAR and DOW_STAR). A `+` before the day of week asks for both.
    pub fn both_days_must_match(&self) -> bool {
        self.0[DAY_OF_WEEK].starts_with(['+', '*']) || self.0[DAY_OF_MONTH].starts_with('*')
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

fn field(at: usize, text: &str) -> Result<String, String> {
    let (plus, list) = match text.strip_prefix('+') {
        Some(list) if at == DAY_OF_WEEK => ("+", list),
        _ => ("", text),
    };
    let items: Vec<String> = list.split(',').map(|part| item(at, part)).collect::<Result<_, _>>()?;
    let has = |wanted: &str| items.iter().any(|item| item == wanted);
    if has("L") && has("LW") {
        return Err("the day of month field cannot hold both L and LW".to_owned());
    }
    // `*` in a list makes it all; said alone it also counts as unrestricted.
    if has("*") {
        return Ok(format!("{plus}*"));
    }
    Ok(format!("{plus}{}", items.join(",")))
}

/// One item of a field's list.
fn item(at: usize, text: &str) -> Result<String, String> {
    let field = &FIELDS[at];
    if text.is_empty() {
        return Err(format!("the {} field holds an empty item", field.name));
    }
    match at {
        DAY_OF_MONTH if text == "?" || text == "*" => Ok("*".to_owned()),
        DAY_OF_MONTH if text == "L" || text == "LW" => Ok(text.to_owned()),
        DAY_OF_MONTH if text.ends_with('W') => Ok(format!("{}W", number(field, &text[..text.len() - 1])?)),
        DAY_OF_WEEK if text == "?" => Ok("*".to_owned()),
        DAY_OF_WEEK if text.contains('#') => {
            let (days, which) = text.split_once('#').unwrap_or((text, ""));
            if !matches!(which, "1" | "2" | "3" | "4" | "5" | "L") {
                return Err(format!("in {text:?}, # is followed by 1 to 5, or L for the last of the month"));
            }
            Ok(format!("{}#{which}", range(field, days)?))
        }
        DAY_OF_WEEK if text.len() > 1 && text.ends_with('L') => {
            Ok(format!("{}#L", range(field, &text[..text.len() - 1])?))
        }
        _ => steps(field, text),
    }
}

/// `*`, `a`, `a-b`, `*/n`, `a-b/n`.
fn steps(field: &Field, text: &str) -> Result<String, String> {
    let Some((base, step)) = text.split_once('/') else {
        return if text == "*" { Ok(text.to_owned()) } else { range(field, text) };
    };
    let step = match step.parse::<u8>() {
        Ok(step) if digits(text.rsplit('/').next().unwrap_or("")) && (1..=field.high).contains(&step) => step,
        _ => {
            return Err(format!("the step in {text:?} must be from 1 to {}", field.high));
        }
    };
    match base {
        "*" => Ok(format!("*/{step}")),
        _ if base.contains('-') => Ok(format!("{}/{step}", range(field, base)?)),
        _ => Err(format!("a step follows * or a range: write {base}-{}/{step} for {text:?}", field.high)),
    }
}

fn range(field: &Field, text: &str) -> Result<String, String> {
    let Some((from, to)) = text.split_once('-') else {
        return number(field, text).map(|number| number.to_string());
    };
    let (from, mut to) = (number(field, from)?, number(field, to)?);
    // A week that is said to end on Sunday ends on 7.
    if field.names == WEEKDAYS && to == 0 && from > 0 {
        to = 7;
    }
    if from > to {
        return Err(format!(
            "the range {text:?} of the {} field runs backwards: write it as two",
            field.name
        ));
    }
    Ok(format!("{from}-{to}"))
}

fn number(field: &Field, text: &str) -> Result<u8, String> {
    if let Some(at) = field.names.iter().position(|name| *name == text) {
        return Ok(at as u8 + field.low);
    }
    match text.parse::<u8>() {
        Ok(number) if digits(text) && (field.low..=field.high).contains(&number) => Ok(number),
        _ => {
            let names = match field.names {
                [first, .., last] => format!(" or {first} to {last}"),
                _ => String::new(),
            };
            Err(format!("{text:?} is no {}: those are {} to {}{names}", field.name, field.low, field.high))
        }
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(expression: &str) -> String {
        read(expression).unwrap_or_else(|wrong| panic!("{expression}: {wrong}")).to_string()
    }

    #[test]
    fn an_expression_becomes_six_fields_of_numbers() {
        for (given, expected) in [
            ("0 2 * * MON-FRI", "0 0 2 * * 1-5"),
            ("  */5\t* * * *  ", "0 */5 * * * *"),
            ("30 0 9 1,15 jan-mar ?", "30 0 9 1,15 1-3 *"),
            ("0 0 L * *", "0 0 0 L * *"),
            ("0 0 LW * *", "0 0 0 LW * *"),
            ("0 0 15w * *", "0 0 0 15W * *"),
            ("0 0 * * 5L", "0 0 0 * * 5#L"),
            ("0 0 * * FRI#2,SUN#L", "0 0 0 * * 5#2,0#L"),
            ("0 0 * * FRI-SUN", "0 0 0 * * 5-7"),
            ("0 0 * * SUN-SUN", "0 0 0 * * 0-0"),
            ("0 0 25 * +FRI", "0 0 0 25 * +5"),
            ("0 5,* * * *", "0 0 * * * *"),
            ("07 08 09 * *", "0 7 8 9 * *"),
            ("@Daily", "0 0 0 * * *"),
            ("@hourly", "0 0 * * * *"),
        ] {
            assert_eq!(normal(given), expected, "{given}");
        }
    }

    #[test]
    fn a_refusal_names_the_field_and_what_would_be_right() {
        for (given, part) in [
            ("", "five fields"),
            ("* * * *", "not 4"),
            ("* * * * * * *", "not 7"),
            ("@reboot", "nickname"),
            ("60 * * * *", "no minute: those are 0 to 59"),
            ("0 24 * * *", "no hour"),
            ("0 0 0 * *", "no day of month"),
            ("0 0 * 13 *", "JAN to DEC"),
            ("0 0 1 JANFEB *", "JANFEB"),
            ("MON 0 * * *", "no minute"),
            ("0 0 * * 8", "no day of week"),
            ("0 22-2 * * *", "backwards"),
            ("0 0 * * SAT-MON", "backwards"),
            ("5/10 * * * *", "write 5-59/10"),
            ("*/0 * * * *", "step"),
            ("*/+5 * * * *", "step"),
            ("1,,2 * * * *", "empty item"),
            ("0 0 * * 5#6", "1 to 5"),
            ("0 0 * * L", "no day of week"),
            ("0 0 L,LW * *", "both L and LW"),
            ("0 0 1? * *", "no day of month"),
            ("0 0 +1 * *", "no day of month"),
            ("-5 * * * *", "no minute"),
            ("0 0 ٣ * *", "no day of month"),
        ] {
            let wrong = read(given).map(|fields| fields.to_string()).expect_err(given);
            assert!(wrong.contains(part), "{given}: {wrong}");
        }
        assert!(read(&"0,".repeat(300)).is_err());
    }
}
