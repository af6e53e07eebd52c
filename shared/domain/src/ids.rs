//! Names of things. A schedule's id is a UUID of version 8 with a zero tail; an execution's id is the same
//! UUID with the tail filled: 8 bits slot, 32 bits number. So ids sort by creation, an execution id names
//! its schedule and number without an index, and the same occurrence always has the same id.

use crate::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// The last 40 bits: slot and occurrence number.
const TAIL: u128 = (1 << 40) - 1;
const VERSION_AND_VARIANT: u128 = (0xf << 76) | (0b11 << 62);

/// A text that is no id of the kind asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not the id of {0}")]
pub struct NotAnId(&'static str);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScheduleId(u128);

impl ScheduleId {
    /// 48 bits of milliseconds, then random bits; the tail stays zero.
    pub fn new(created: Timestamp, random: u128) -> Self {
        let millis = (created.millis().max(0) as u128) & ((1 << 48) - 1);
        let bits = (millis << 80) | (random & ((1 << 80) - 1) & !TAIL);
        ScheduleId(bits & !VERSION_AND_VARIANT | (8 << 76) | (0b10 << 62))
    }

    pub fn created(self) -> Timestamp {
        Timestamp::from_millis((self.0 >> 80) as i64)
    }

    /// Sixteen bytes that sort as the ids do.
    pub fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    pub fn from_bytes(bytes: [u8; 16]) -> Result<Self, NotAnId> {
        Self::check(u128::from_be_bytes(bytes))
    }

    fn check(bits: u128) -> Result<Self, NotAnId> {
        if bits & VERSION_AND_VARIANT == (8 << 76) | (0b10 << 62) && bits & TAIL == 0 {
            Ok(ScheduleId(bits))
        } else {
            Err(NotAnId("a schedule"))
        }
    }

    /// A stable number for spreading: the same id always gives the same.
    pub fn hash(self) -> u64 {
        let mut x = (self.0 >> 64) as u64 ^ (self.0 as u64);
        for _ in 0..2 {
            x = (x ^ (x >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        x ^ (x >> 29)
    }

    pub fn execution(self, number: u32, slot: u8) -> ExecutionId {
        ExecutionId { schedule: self, number, slot, page: 0 }
    }
}

/// Which of an occurrence's executions: 0, except where one occurrence fans out.
pub const NO_SLOT: u8 = 0;
/// Executions started by hand are numbered from here and do not count towards `occurrences`.
pub const FIRST_MANUAL_NUMBER: u32 = 1 << 31;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionId {
    pub schedule: ScheduleId,
    pub number: u32,
    pub slot: u8,
    /// Where one occurrence is for many: counted through the occurrence, from 1; 0 is the occurrence itself.
    pub page: u16,
}

impl ExecutionId {
    pub fn is_manual(self) -> bool {
        self.number >= FIRST_MANUAL_NUMBER
    }

    /// One page of the same occurrence.
    #[must_use]
    pub fn page(self, slot: u8, page: u16) -> ExecutionId {
        ExecutionId { slot, page, ..self }
    }

    /// The occurrence that a page belongs to.
    #[must_use]
    pub fn occurrence(self) -> ExecutionId {
        self.page(NO_SLOT, 0)
    }
}

impl fmt::Display for ScheduleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u128(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.schedule.0 | (u128::from(self.slot) << 32) | u128::from(self.number);
        Uuid::from_u128(bits).hyphenated().fmt(f)?;
        if self.page > 0 { write!(f, ".{}", self.page) } else { Ok(()) }
    }
}

impl FromStr for ScheduleId {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        Self::check(Uuid::parse_str(text).map_err(|_| NotAnId("a schedule"))?.as_u128())
    }
}

impl FromStr for ExecutionId {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let wrong = NotAnId("an execution");
        let (text, page) = match text.split_once('.') {
            Some((text, page)) => {
                let plain = !page.starts_with(['0', '+']);
                (text, page.parse().ok().filter(|_| plain).ok_or_else(|| wrong.clone())?)
            }
            None => (text, 0),
        };
        let bits = Uuid::parse_str(text).map_err(|_| wrong.clone())?.as_u128();
        let schedule = ScheduleId::check(bits & !TAIL).map_err(|_| wrong.clone())?;
        match bits as u32 {
            0 => Err(wrong),
            number => Ok(schedule.execution(number, 0).page((bits >> 32) as u8, page)),
        }
    }
}

macro_rules! text_form {
    ($($kind:ty),*) => {$(
        impl fmt::Debug for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
text_form!(ScheduleId, ExecutionId);

/// Names an app, and is the user name of its credentials: 24 hexadecimal digits where Rondo chose it;
/// any 3 to 64 letters, digits, `-` where an operator did (`_` would blur the Bearer form).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AppKey(String);

impl AppKey {
    pub fn from_random(random: u128) -> Self {
        AppKey(format!("{:024x}", random & ((1 << 96) - 1)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AppKey {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let fits =
            (3..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if fits {
            Ok(AppKey(text.to_owned()))
        } else {
            Err(NotAnId("an app: 3 to 64 letters, digits or '-'"))
        }
    }
}

impl fmt::Display for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one claim, or one write: whoever finds its own token there knows that its write had succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_execution_id_is_its_schedule_id_with_the_tail_filled() {
        let schedule = ScheduleId::new(Timestamp::from_millis(1_764_547_200_123), u128::MAX);
        let third = schedule.execution(3, 0).to_string();
        assert_eq!(third[..26], schedule.to_string()[..26]);
        assert!(third.ends_with("0000000003"));
        assert_eq!(third.parse(), Ok(schedule.execution(3, 0)));
        assert_eq!(schedule.to_string().parse(), Ok(schedule));
        assert_eq!(schedule.created().millis(), 1_764_547_200_123);
        let page = schedule.execution(3, 0).page(52, 7);
        assert!(page.to_string().ends_with("3400000003.7"));
        assert_eq!(page.to_string().parse(), Ok(page));
        assert_eq!(page.occurrence(), schedule.execution(3, 0));
        assert!(format!("{third}.0").parse::<ExecutionId>().is_err());
    }

    #[test]
    fn other_uuids_are_no_ids() {
        assert!("6d2f103f-8720-4c8e-b841-3ff5ace52481".parse::<ScheduleId>().is_err());
        let schedule = ScheduleId::new(Timestamp::from_millis(5), 77);
        assert!(schedule.to_string().parse::<ExecutionId>().is_err(), "an execution's number begins at 1");
        assert!(schedule.execution(9, 1).to_string().parse::<ScheduleId>().is_err());
    }

    #[test]
    fn ids_sort_by_creation() {
        let early = ScheduleId::new(Timestamp::from_millis(1000), u128::MAX);
        let late = ScheduleId::new(Timestamp::from_millis(1001), 0);
        assert!(early < late && early.bytes() < late.bytes());
    }
}
