//! A device: where it is, what it is called, how it can be reached, and when its owner is there.

use super::best_time::{self, BestTime};
use crate::time::Timestamp;
use chrono::{NaiveDateTime, Timelike as _};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, str::FromStr};

/// The longest registration id, tag or alias, in bytes.
pub const MAX_NAME: usize = 128;
/// How many tags a device may have.
pub const MAX_TAGS: usize = 100;

/// Chosen by whoever registers the device: 1 to [`MAX_NAME`] bytes without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RegistrationId(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to {MAX_NAME} bytes and no control characters")]
pub struct NotAName;

/// Whether this may be a registration id, a tag or an alias.
pub fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && !text.chars().any(char::is_control)
}

impl RegistrationId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where it stands among all: ids spread evenly over the whole range, and stay where they are.
    pub fn position(&self) -> u32 {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in self.0.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        // FNV alone leaves similar names close together.
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        (hash ^ (hash >> 33)) as u32
    }
}

impl FromStr for RegistrationId {
    type Err = NotAName;
    fn from_str(text: &str) -> Result<Self, NotAName> {
        if is_name(text) { Ok(RegistrationId(text.to_owned())) } else { Err(NotAName) }
    }
}

impl fmt::Display for RegistrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RegistrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    Android,
    Ios,
    Hmos,
    Web,
}

impl Platform {
    pub const ALL: [Platform; 4] = [Self::Android, Self::Ios, Self::Hmos, Self::Web];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Android => "android",
            Self::Ios => "ios",
            Self::Hmos => "hmos",
            Self::Web => "web",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|platform| platform.as_str() == text)
    }
}

/// What a browser's `PushSubscription` says (W3C Push API); checked when it was registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    pub endpoint: String,
    /// The browser's public key: an uncompressed P-256 point in base64url.
    pub p256dh: String,
    /// Sixteen bytes in base64url.
    pub auth: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Device {
    pub id: RegistrationId,
    pub platform: Platform,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Tz>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<Subscription>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Local hours in which its owner was seen: hours since 1970 on the wall, ascending, one for each visit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub visits: Vec<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_active: Option<Timestamp>,
    /// The local hour in which its owner is there most; derived from the visits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_hour: Option<u8>,
    pub created_at: Timestamp,
    /// When its group was last another one.
    pub moved_at: Timestamp,
    /// Raised by every write.
    pub revision: u64,
}

/// Devices that are due together, whatever the schedule: those of one zone with one best hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// None: not known, and the app's counts.
    pub zone: Option<Tz>,
    pub best_hour: Option<u8>,
}

impl Group {
    pub const UNKNOWN: Group = Group { zone: None, best_hour: None };
}

/// Sorts as stores keep them: by the zone's name, then by the hour; `Europe/Madrid|19`, `|-`.
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.zone.map_or("", |zone| zone.name()))?;
        match self.best_hour {
            Some(hour) => write!(f, "|{hour:02}"),
            None => f.write_str("|-"),
        }
    }
}

impl FromStr for Group {
    type Err = NotAName;
    fn from_str(text: &str) -> Result<Self, NotAName> {
        let (zone, hour) = text.rsplit_once('|').ok_or(NotAName)?;
        let zone = match zone {
            "" => None,
            name => Some(name.parse().map_err(|_| NotAName)?),
        };
        let best_hour = match hour {
            "-" => None,
            digits => Some(digits.parse().ok().filter(|hour| *hour < 24).ok_or(NotAName)?),
        };
        Ok(Group { zone, best_hour })
    }
}

impl Device {
    pub fn new(id: RegistrationId, platform: Platform, now: Timestamp) -> Self {
        Device {
            id,
            platform,
            zone: None,
            subscription: None,
            tags: BTreeSet::new(),
            alias: None,
            visits: Vec::new(),
            last_active: None,
            best_hour: None,
            created_at: now,
            moved_at: now,
            revision: 0,
        }
    }

    pub fn group(&self) -> Group {
        Group { zone: self.zone, best_hour: self.best_hour }
    }

    pub fn best_time(&self) -> Option<BestTime> {
        best_time::of(&self.visits)
    }

    /// Its owner was seen at these instants. Those older than [`best_time::MEMORY`], or in the future, count for
    /// nothing; `app_zone` where the device's own is not known.
    pub fn visited(&mut self, at: &[Timestamp], app_zone: Tz, now: Timestamp) {
        let zone = self.zone.unwrap_or(app_zone);
        let before = self.group();
        let oldest = now.minus(best_time::MEMORY);
        for at in at.iter().filter(|at| oldest <= **at && **at <= now) {
            self.last_active = self.last_active.max(Some(*at));
            let hour = local_hour(zone, *at);
            let place = self.visits.partition_point(|other| *other <= hour);
            self.visits.insert(place, hour);
        }
        best_time::forget(&mut self.visits, local_hour(zone, now));
        self.best_hour = self.best_time().map(|best| best.hour);
        self.moved(before, now);
    }

    pub fn set_zone(&mut self, zone: Option<Tz>, now: Timestamp) {
        let before = self.group();
        self.zone = zone;
        self.moved(before, now);
    }

    fn moved(&mut self, before: Group, now: Timestamp) {
        if self.group() != before {
            self.moved_at = now;
        }
    }
}

fn local_hour(zone: Tz, at: Timestamp) -> i32 {
    let wall: NaiveDateTime = crate::trigger::wall_time(zone, at);
    let hours = wall.and_utc().timestamp().div_euclid(3600);
    debug_assert_eq!(hours.rem_euclid(24), i64::from(wall.hour()));
    hours as i32
}
