//! Compares when scheduled pushes are due with `calendar/pushes.jsonl`, which `calendar/generate_pushes.py` computed in
//! another language with other libraries. Both sides use the IANA rules of the same version, 2025b, and know the same
//! zones: none is left out, and no difference is allowed for.

use chrono::{DateTime, NaiveDateTime, NaiveTime};
use chrono_tz::{IANA_TZDB_VERSION, TZ_VARIANTS, Tz};
use rondo_domain::{
    push::{
        device::Group,
        rules::{Around, TIME_INVALID, schedule},
        sender::Way,
    },
    time::{Span, Timestamp},
    trigger::{Backup, DstPolicy, Occasion, Trigger},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The lines of one kind, as the head of `generate_pushes.py` describes them.
fn lines<T: DeserializeOwned>(kind: &str) -> impl Iterator<Item = T> {
    let begins = format!("[\"{kind}\",");
    let lines = include_str!("calendar/pushes.jsonl").lines();
    lines
        .filter(move |line| line.starts_with(&begins))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|wrong| panic!("{wrong}: {line}")))
}

/// Seconds as if they were UTC.
fn wall(seconds: i64) -> NaiveDateTime {
    DateTime::from_timestamp(seconds, 0).expect("within chrono's range").naive_utc()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn group(zone: Tz, best_hour: Option<u8>) -> Group {
    Group { zone: Some(zone), best_hour }
}

/// Fails with the first few differences.
fn none(differing: &[String], compared: usize) {
    let shown = differing[..differing.len().min(20)].join("\n");
    assert!(differing.is_empty(), "{} of {compared} differ:\n{shown}", differing.len());
}

type Walls = (String, Vec<Tz>, Vec<Vec<i64>>);

/// `(zone, wall, due, offset)`.
fn walls() -> impl Iterator<Item = (Tz, i64, i64, i64)> {
    lines("wall").flat_map(|(_, zones, groups): Walls| {
        let all = move |zone| {
            groups.clone().into_iter().flat_map(move |group| {
                let (east, offset) = (group[0], group[1]);
                group.into_iter().skip(2).map(move |wall| (zone, wall, wall - east, offset))
            })
        };
        zones.into_iter().flat_map(all)
    })
}

#[test]
fn both_sides_know_the_same_zones_by_the_same_rules() {
    // tzdata 2025.2, which the vectors are made with, is this version.
    assert_eq!(IANA_TZDB_VERSION, "2025b", "make the vectors again with the tzdata of this version");
    let covered: BTreeSet<&str> = walls().map(|(zone, ..)| zone.name()).collect();
    let known: BTreeSet<&str> = TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
    assert_eq!(covered, known);
    let covered: BTreeSet<&str> =
        lines("best").flat_map(|line: Best| line.1).map(|zone: Tz| zone.name()).collect();
    assert_eq!(covered, known);
}

#[test]
fn every_zone_is_due_when_its_own_clock_says_so() {
    let (mut compared, mut differing) = (0, Vec::new());
    for (zone, seconds, due, offset) in walls() {
        let occasion = Occasion::Wall(wall(seconds));
        // Where a device's zone is not known, the app's is as good.
        for (group, app_zone) in [(group(zone, Some(3)), Tz::UTC), (Group::UNKNOWN, zone)] {
            let found = occasion.due(group, app_zone);
            let slot = found.map(|due| occasion.slot(group, app_zone, due));
            if (found, slot) != (Some(at(due)), u8::try_from(offset.div_euclid(900) + 48).ok()) {
                differing.push(format!("{zone} {occasion:?}: {found:?} in {slot:?}, not {}", at(due)));
            }
            compared += 1;
        }
    }
    println!("wall times compared: {compared}");
    none(&differing, compared);
    assert!(compared > 80_000, "the file is cut off: {compared}");
}

/// Whoever goes from one possible instant to the next comes by each of these, and by no other.
#[test]
fn the_instants_of_one_wall_time_are_those_of_all_zones() {
    let mut instants: BTreeMap<i64, HashMap<Tz, Timestamp>> = BTreeMap::new();
    for (zone, wall, due, _) in walls() {
        instants.entry(wall).or_default().insert(zone, at(due));
    }
    instants.retain(|_, of_zones| of_zones.len() == TZ_VARIANTS.len());
    assert!(instants.len() >= 60, "{}", instants.len());
    for (seconds, of_zones) in instants {
        let occasion = Occasion::Wall(wall(seconds));
        let next = |after: &Timestamp| occasion.next_possible(Tz::UTC, *after);
        let walked: Vec<Timestamp> = std::iter::successors(next(&Timestamp::EPOCH), next).collect();
        let expected: BTreeSet<Timestamp> = of_zones.into_values().collect();
        assert_eq!(walked, Vec::from_iter(expected), "{}", wall(seconds));
    }
}

type Best = (String, Vec<Tz>, i64, Vec<i64>, Vec<(u32, i64)>);

#[test]
fn every_zone_has_its_best_times_and_backup_times() {
    let (mut compared, mut differing) = (0, Vec::new());
    for (_, zones, start, hours, backups) in lines::<Best>("best") {
        let mut compare = |group: Group, backup, due: i64| {
            let found = Occasion::BestTime { start: at(start), backup }.due(group, Tz::UTC);
            if found != Some(at(start + due)) {
                differing
                    .push(format!("{group} {backup:?} from {}: {found:?}, not {due} s later", at(start)));
            }
            compared += 1;
        };
        for zone in zones {
            for (hour, due) in (0..).zip(&hours) {
                compare(group(zone, Some(hour)), Backup::Now, *due);
            }
            for (time, due) in &backups {
                let time = NaiveTime::from_num_seconds_from_midnight_opt(*time, 0).expect("a time of day");
                compare(group(zone, None), Backup::Daily(time), *due);
            }
        }
    }
    println!("best times compared: {compared}");
    none(&differing, compared);
    assert!(compared > 30_000, "the file is cut off: {compared}");
}

type Triggers = (String, Tz, i64, Value, Option<HashMap<Tz, Vec<i64>>>);

fn read(zone: Tz, now: Timestamp, trigger: &Value) -> Result<Trigger, u32> {
    let body = json!({
        "name": "a calendar",
        "enabled": true,
        "trigger": trigger,
        "push": {"to": "all", "body": {"platform": "all", "notification": {"alert": "it is time"}}},
    });
    let around = Around { zone, now, way: Way::Gateway };
    schedule::read(&body, &around).map(|wanted| Trigger::FanOut(wanted.fan_out)).map_err(|error| error.code)
}

/// When recipients in a zone are due, over all occasions of a trigger that was made at `from`.
fn due_in(trigger: &Trigger, zone: Tz, app_zone: Tz, from: Timestamp) -> Vec<Timestamp> {
    let rule = trigger.rule(DstPolicy::default()).expect("a valid trigger");
    let first = rule.next_after(from.minus(Span::from_millis(1)));
    let opens = std::iter::successors(first, |opens| rule.next_after(*opens));
    let occasions = opens.map(|opens| (opens, rule.occasion(opens).expect("each opening has its occasion")));
    let mut due = Vec::new();
    for (opens, occasion) in occasions {
        let at = occasion.due(group(zone, None), app_zone).expect("every wall time has its instant");
        // An occasion may be over for those further east, and still to come for others.
        if at >= from {
            // Several that should have opened before open one after the other, a millisecond apart.
            assert!(
                opens <= at.max(from.plus(Span::from_millis(8))),
                "{occasion:?} opens too late for {zone}"
            );
            due.push(at);
        }
    }
    due.sort();
    due
}

#[test]
fn triggers_as_clients_send_them_are_due_where_each_recipient_is() {
    let (mut compared, mut refused, mut differing) = (0, 0, Vec::new());
    for (_, app_zone, now, trigger, expected) in lines::<Triggers>("trigger") {
        compared += 1;
        let now = at(now);
        match (read(app_zone, now, &trigger), expected) {
            (Err(TIME_INVALID), None) => refused += 1,
            (Ok(read), Some(expected)) => {
                for (zone, instants) in expected {
                    let expected: Vec<_> =
                        instants.iter().map(|due| now.plus(Span::from_secs(*due as u64))).collect();
                    let found = due_in(&read, zone, app_zone, now);
                    if found != expected {
                        differing.push(format!(
                            "{trigger} of {app_zone} at {now} in {zone}\n  found {found:?}\n  wants {expected:?}"
                        ));
                    }
                }
            }
            (found, expected) => {
                differing.push(format!("{trigger} of {app_zone} at {now}: {found:?}, wants {expected:?}"));
            }
        }
    }
    println!("triggers compared: {compared}, of which refused: {refused}");
    none(&differing, compared);
    assert!(compared > 600 && refused > 20, "the file is cut off: {compared}, {refused}");
}
