//! Between the clock on the wall and UTC: which instants a wall time names in an IANA zone. Cron and
//! periodical triggers say wall times; everything else in Rondo is UTC. The zone's rules are those compiled
//! in (`chrono_tz::IANA_TZDB_VERSION`); after 2099 its last offset holds.

use super::TriggerError;
use crate::time::Timestamp;
use chrono::{FixedOffset, NaiveDateTime, Offset as _, SecondsFormat, TimeDelta, TimeZone as _};
use chrono_tz::{GapInfo, TZ_VARIANTS, Tz};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What happens to a wall time that daylight saving swallows or repeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DstPolicy {
    #[serde(default)]
    pub gap: DstGap,
    #[serde(default)]
    pub fold: DstFold,
}

/// A wall time that the clock jumps over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DstGap {
    /// It fires at the first valid instant after the gap; several that end up there fire once.
    #[default]
    Shift,
    /// It does not fire.
    Skip,
}

/// A wall time that the clock shows twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DstFold {
    #[default]
    First,
    Second,
    Both,
}

/// A due instant as the clock on the wall shows it. Prints as RFC 3339 with that offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// From UTC, positive to the east.
    pub offset: FixedOffset,
    pub wall: NaiveDateTime,
    /// None: daylight saving has nothing to do with this instant.
    pub note: Option<DstNote>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DstNote {
    /// The wall time that was asked for does not exist that day; this is the first instant after the gap.
    ShiftedFromGap,
    /// The wall time comes twice that day; this is the first.
    FirstOfFold,
    /// The wall time comes twice that day; this is the second.
    SecondOfFold,
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = self.wall - self.offset;
        f.write_str(&self.offset.from_utc_datetime(&utc).to_rfc3339_opts(SecondsFormat::Millis, false))
    }
}

/// A zone by its IANA name, spelt exactly.
pub fn parse_zone(name: &str) -> Result<Tz, TriggerError> {
    name.parse().map_err(|_| match TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(name)) {
        Some(zone) => TriggerError::ZoneSpelling { given: name.to_owned(), right: zone.name() },
        None => TriggerError::UnknownZone(name.to_owned()),
    })
}

/// What the clock shows at `at`.
pub fn wall_time(zone: Tz, at: Timestamp) -> NaiveDateTime {
    let utc = at.utc().naive_utc();
    utc + offset_at(zone, at)
}

/// The instant that `wall` names; none where a gap swallows it and the policy is to skip. Where it comes
/// twice and both count, the first.
pub fn instant_of(zone: Tz, wall: NaiveDateTime, dst: DstPolicy) -> Option<Timestamp> {
    match resolve(zone, wall) {
        Resolved::Once(at) => Some(at),
        Resolved::Twice(fold) if dst.fold == DstFold::Second => Some(fold.second),
        Resolved::Twice(fold) => Some(fold.first),
        Resolved::Never(gap) if dst.gap == DstGap::Shift => Some(gap.ends_at),
        Resolved::Never(_) => None,
    }
}

/// The instants that a wall time names.
pub(super) enum Resolved {
    Once(Timestamp),
    Twice(Fold),
    Never(Gap),
}

/// Wall times from `begin` up to `end` come twice; `first` and `second` are those of the one asked for.
pub(super) struct Fold {
    pub first: Timestamp,
    pub second: Timestamp,
    pub begin: NaiveDateTime,
    pub end: NaiveDateTime,
}

/// No wall time from `begin` up to `end` exists; `ends_at` shows `end`.
pub(super) struct Gap {
    pub begin: NaiveDateTime,
    pub end: NaiveDateTime,
    pub ends_at: Timestamp,
}

pub(super) fn resolve(zone: Tz, wall: NaiveDateTime) -> Resolved {
    match zone.from_local_datetime(&wall) {
        chrono::MappedLocalTime::Single(at) => Resolved::Once(Timestamp::from_utc(at.to_utc())),
        chrono::MappedLocalTime::Ambiguous(first, second) => {
            let (first, second) = (Timestamp::from_utc(first.to_utc()), Timestamp::from_utc(second.to_utc()));
            let turn = turn_between(zone, first, second);
            Resolved::Twice(Fold {
                first,
                second,
                begin: wall_time(zone, turn),
                end: turn.utc().naive_utc() + offset_at(zone, first),
            })
        }
        chrono::MappedLocalTime::None => {
            let gap = GapInfo::new(&wall, &zone).and_then(|gap| gap.begin).map(|(begin, before)| {
                let ends_at = Timestamp::from_utc((begin - before.fix()).and_utc());
                Gap { begin, end: wall_time(zone, ends_at), ends_at }
            });
            Resolved::Never(
                gap.expect("a wall time that does not exist lies in a gap, and a gap has a beginning"),
            )
        }
    }
}

/// The gap that ends at `at` exactly.
pub(super) fn gap_ending_at(zone: Tz, at: Timestamp) -> Option<Gap> {
    let before = Timestamp::from_millis(at.millis().checked_sub(1)?);
    let begin = at.utc().naive_utc() + offset_at(zone, before);
    let end = wall_time(zone, at);
    (begin < end).then_some(Gap { begin, end, ends_at: at })
}

/// `at` on the wall, with a note where that wall time comes twice.
pub(super) fn local(zone: Tz, at: Timestamp) -> Local {
    let wall = wall_time(zone, at);
    let note = match resolve(zone, wall) {
        Resolved::Twice(fold) if fold.first == at => Some(DstNote::FirstOfFold),
        Resolved::Twice(_) => Some(DstNote::SecondOfFold),
        _ => None,
    };
    Local { offset: fixed_offset_at(zone, at), wall, note }
}

fn fixed_offset_at(zone: Tz, at: Timestamp) -> FixedOffset {
    zone.offset_from_utc_datetime(&at.utc().naive_utc()).fix()
}

fn offset_at(zone: Tz, at: Timestamp) -> TimeDelta {
    TimeDelta::seconds(i64::from(fixed_offset_at(zone, at).local_minus_utc()))
}

/// The instant, to the second, at which the offset of `from` has given way to that of `to`.
fn turn_between(zone: Tz, from: Timestamp, to: Timestamp) -> Timestamp {
    let old = offset_at(zone, from);
    let (mut before, mut turned) = (from.seconds(), to.seconds());
    while turned - before > 1 {
        let middle = before + (turned - before) / 2;
        if offset_at(zone, Timestamp::from_millis(middle * 1000)) == old {
            before = middle
        } else {
            turned = middle
        }
    }
    Timestamp::from_millis(turned * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::{
        America::Sao_Paulo, Antarctica::Troll, Asia::Kathmandu, Australia::Lord_Howe, Europe::Madrid,
        Pacific::Apia,
    };

    fn wall(text: &str) -> NaiveDateTime {
        text.parse().expect("a wall time")
    }

    fn instant(zone: Tz, text: &str, gap: DstGap, fold: DstFold) -> Option<String> {
        instant_of(zone, wall(text), DstPolicy { gap, fold }).map(|at| local(zone, at).to_string())
    }

    #[test]
    fn a_swallowed_wall_time_goes_to_the_end_of_its_gap_or_nowhere() {
        for (zone, swallowed, after) in [
            (Madrid, "2026-03-29T02:00:00", "2026-03-29T03:00:00.000+02:00"),
            (Madrid, "2026-03-29T02:59:59.999", "2026-03-29T03:00:00.000+02:00"),
            (Lord_Howe, "2026-10-04T02:10:00", "2026-10-04T02:30:00.000+11:00"),
            (Troll, "2026-03-29T02:30:00", "2026-03-29T03:00:00.000+02:00"),
            (Sao_Paulo, "2018-11-04T00:00:00", "2018-11-04T01:00:00.000-02:00"),
            (Apia, "2011-12-30T09:00:00", "2011-12-31T00:00:00.000+14:00"),
        ] {
            assert_eq!(
                instant(zone, swallowed, DstGap::Shift, DstFold::First).as_deref(),
                Some(after),
                "{zone}"
            );
            assert_eq!(instant(zone, swallowed, DstGap::Skip, DstFold::First), None, "{zone}");
        }
    }

    #[test]
    fn a_repeated_wall_time_has_two_instants() {
        for (zone, twice, first, second) in [
            (Madrid, "2026-10-25T02:30:00", "+02:00", "+01:00"),
            (Lord_Howe, "2026-04-05T01:45:00", "+11:00", "+10:30"),
            (Sao_Paulo, "2018-02-17T23:30:00", "-02:00", "-03:00"),
        ] {
            let with = |fold| instant(zone, twice, DstGap::Shift, fold).expect("it exists");
            assert_eq!(with(DstFold::First), format!("{twice}.000{first}"));
            assert_eq!(with(DstFold::Both), format!("{twice}.000{first}"));
            assert_eq!(with(DstFold::Second), format!("{twice}.000{second}"));
        }
    }

    #[test]
    fn the_edges_of_a_fold_are_to_the_second() {
        let Resolved::Twice(fold) = resolve(Madrid, wall("2026-10-25T02:30:00")) else {
            panic!("it comes twice")
        };
        assert_eq!((fold.begin, fold.end), (wall("2026-10-25T02:00:00"), wall("2026-10-25T03:00:00")));
        assert_eq!(fold.second.since(fold.first).millis(), 3_600_000);
    }

    #[test]
    fn an_ordinary_wall_time_needs_no_policy() {
        assert_eq!(
            instant(Kathmandu, "2026-01-01T09:00:00", DstGap::Skip, DstFold::Second).as_deref(),
            Some("2026-01-01T09:00:00.000+05:45")
        );
        let at = Timestamp::parse_rfc3339("2026-01-01T03:15:00Z").expect("RFC 3339");
        assert_eq!(wall_time(Kathmandu, at), wall("2026-01-01T09:00:00"));
        assert_eq!(local(Kathmandu, at).note, None);
    }

    #[test]
    fn a_zone_has_its_iana_name() {
        assert_eq!(parse_zone("Europe/Madrid"), Ok(Madrid));
        assert_eq!(
            parse_zone("europe/madrid").map_err(|wrong| wrong.to_string()),
            Err(r#"must be an IANA time zone name: "europe/madrid" is spelt Europe/Madrid"#.to_owned())
        );
        assert_eq!(parse_zone("Mars/Olympus").map_err(|wrong| wrong.field()), Err("time_zone"));
    }
}
