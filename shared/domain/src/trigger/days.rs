//! Sets of days: of the week, and of the month. Stored as lists that a person can read.

use chrono::Weekday;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

const WEEK: [(Weekday, &str); 7] = [
    (Weekday::Mon, "mon"),
    (Weekday::Tue, "tue"),
    (Weekday::Wed, "wed"),
    (Weekday::Thu, "thu"),
    (Weekday::Fri, "fri"),
    (Weekday::Sat, "sat"),
    (Weekday::Sun, "sun"),
];

/// Days of the week; stored as `["mon", "fri"]`, Monday first.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Weekdays(u8);

impl Weekdays {
    pub fn contains(self, day: Weekday) -> bool {
        self.0 & (1 << day.num_days_from_monday()) != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Monday first.
    pub fn iter(self) -> impl Iterator<Item = Weekday> {
        WEEK.into_iter().map(|(day, _)| day).filter(move |day| self.contains(*day))
    }

    /// One day by its three-letter English name, in any case.
    pub fn parse_day(name: &str) -> Option<Weekday> {
        WEEK.into_iter().find(|(_, known)| known.eq_ignore_ascii_case(name)).map(|(day, _)| day)
    }
}

impl FromIterator<Weekday> for Weekdays {
    fn from_iter<I: IntoIterator<Item = Weekday>>(days: I) -> Self {
        Weekdays(days.into_iter().fold(0, |set, day| set | 1 << day.num_days_from_monday()))
    }
}

impl fmt::Debug for Weekdays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for Weekdays {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(WEEK.into_iter().filter(|(day, _)| self.contains(*day)).map(|(_, name)| name))
    }
}

impl<'de> Deserialize<'de> for Weekdays {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(from)?;
        names
            .iter()
            .map(|name| {
                Self::parse_day(name)
                    .ok_or_else(|| D::Error::custom(format!("{name:?} is no day of the week")))
            })
            .collect()
    }
}

/// Days of the month, 1 to 31; stored as `[1, 15, 31]`.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct MonthDays(u32);

impl MonthDays {
    pub fn contains(self, day: u32) -> bool {
        (1..=31).contains(&day) && self.0 & (1 << day) != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// In ascending order.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        (1..=31).filter(move |day| self.contains(*day))
    }

    /// None where one of them is not from 1 to 31.
    pub fn new(days: impl IntoIterator<Item = u32>) -> Option<Self> {
        days.into_iter()
            .try_fold(0, |set, day| (1..=31).contains(&day).then(|| set | 1 << day))
            .map(MonthDays)
    }
}

impl fmt::Debug for MonthDays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for MonthDays {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for MonthDays {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(Vec::<u32>::deserialize(from)?)
            .ok_or_else(|| D::Error::custom("a day of the month is from 1 to 31"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weekdays_are_stored_as_names() {
        let days: Weekdays = [Weekday::Sun, Weekday::Mon, Weekday::Sun].into_iter().collect();
        assert_eq!(serde_json::to_string(&days).unwrap(), r#"["mon","sun"]"#);
        assert_eq!(serde_json::from_str::<Weekdays>(r#"["SUN","Mon"]"#).unwrap(), days);
        assert!(serde_json::from_str::<Weekdays>(r#"["monday"]"#).is_err());
        assert!(!days.contains(Weekday::Tue));
    }

    #[test]
    fn days_of_the_month_are_stored_as_numbers() {
        let days = MonthDays::new([31, 1, 31]).unwrap();
        assert_eq!(serde_json::to_string(&days).unwrap(), "[1,31]");
        assert_eq!(serde_json::from_str::<MonthDays>("[31,1]").unwrap(), days);
        assert!(MonthDays::new([0]).is_none() && MonthDays::new([32]).is_none());
        assert!(serde_json::from_str::<MonthDays>("[40]").is_err());
    }
}
