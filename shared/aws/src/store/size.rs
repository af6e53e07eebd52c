//! How large an item is, by DynamoDB's own rules ("DynamoDB item sizes and formats" in its developer guide): the
//! UTF-8 bytes of names and values; a number takes a byte for each two significant digits and one more; lists and
//! maps take 3 bytes, and one more for each element.

use super::calls::Item;
use aws_sdk_dynamodb::types::AttributeValue;

/// What an item may have, in bytes. DynamoDB's limit is 400 KB; its rule for numbers is said to be approximate.
pub const MAX_ITEM: usize = 400_000;

/// Bytes of an item, or of a part of one.
pub fn item(item: &Item) -> usize {
    item.iter().map(|(name, value)| attribute(name, value)).sum()
}

/// Bytes of an attribute, name and value.
pub fn attribute(name: &str, value: &AttributeValue) -> usize {
    name.len() + self::value(value)
}

fn value(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => number(digits),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::Ss(all) => all.iter().map(String::len).sum(),
        AttributeValue::Ns(all) => all.iter().map(|digits| number(digits)).sum(),
        AttributeValue::Bs(all) => all.iter().map(|bytes| bytes.as_ref().len()).sum(),
        AttributeValue::L(all) => 3 + all.iter().map(|element| 1 + self::value(element)).sum::<usize>(),
        AttributeValue::M(all) => {
            3 + all.iter().map(|(name, element)| 1 + attribute(name, element)).sum::<usize>()
        }
        _ => 1,
    }
}

/// Zeros at both ends are no significant digits; the sign, DynamoDB does not say, is taken for one.
fn number(digits: &str) -> usize {
    let exponent = digits.find(['e', 'E']).unwrap_or(digits.len());
    let (negative, digits) = match digits[..exponent].strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, &digits[..exponent]),
    };
    let plain: String = digits.chars().filter(char::is_ascii_digit).collect();
    let significant = plain.trim_matches('0').len() + usize::from(negative);
    significant.div_ceil(2) + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use AttributeValue::{Bool, L, M, N, S};

    fn size(value: AttributeValue) -> usize {
        attribute("", &value)
    }

    #[test]
    fn numbers_take_a_byte_for_two_digits_and_one_more() {
        for (digits, bytes) in [
            ("0", 1),
            ("7", 2),
            ("12", 2),
            ("123", 3),
            ("1000", 2),
            ("0.0050", 2),
            ("1764547200123", 8),
            ("18446744073709551615", 11),
            ("-12", 3),
            ("1.5e300", 2),
        ] {
            assert_eq!(size(N(digits.to_owned())), bytes, "{digits}");
        }
    }

    #[test]
    fn names_and_values_count_in_bytes() {
        assert_eq!(attribute("name", &S("Zürich".to_owned())), 4 + 7);
        assert_eq!(size(Bool(true)), 1);
        assert_eq!(size(L(Vec::new())), 3);
        assert_eq!(size(L(vec![S("ab".to_owned()), N("1".to_owned())])), 3 + (1 + 2) + (1 + 2));
        let map = [("at".to_owned(), N("12".to_owned()))].into();
        assert_eq!(size(M(map)), 3 + (1 + 2 + 2));
        let whole = Item::from([("a".to_owned(), S("b".to_owned())), ("c".to_owned(), Bool(false))]);
        assert_eq!(item(&whole), 4);
    }
}
