//! Compares triggers with `calendar/vectors.jsonl`, which `calendar/generate.py` computed in another language
//! with other libraries. Both sides use the IANA rules of the same version, so that no zone is left out.

use chrono_tz::{IANA_TZDB_VERSION, TZ_VARIANTS, Tz};
use rondo_domain::{
    time::Timestamp,
    trigger::{Cron, DstPolicy, Trigger},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

struct Case {
    line: &'static str,
    source: &'static str,
    zone: Tz,
    trigger: Trigger,
    dst: DstPolicy,
    after: Timestamp,
    until: Timestamp,
    due: Vec<Timestamp>,
}

/// The line's parts, as the head of `generate.py` describes them.
type Parts = (&'static str, Tz, Value, &'static str, i64, i64, Vec<i64>);

fn case(line: &'static str) -> Case {
    let (source, zone, rule, policy, after, length, due): Parts =
        serde_json::from_str(line).unwrap_or_else(|wrong| panic!("{wrong}: {line}"));
    let trigger = match rule {
        Value::String(expression) => Trigger::Cron(
            Cron::new(expression, zone, None, None).unwrap_or_else(|wrong| panic!("{wrong}: {line}")),
        ),
        mut fields => {
            fields["time_zone"] = json!(zone);
            serde_json::from_value(json!({"periodical": fields}))
                .unwrap_or_else(|wrong| panic!("{wrong}: {line}"))
        }
    };
    let (gap, fold) = policy.split_once(' ').expect("gap and fold");
    let dst = serde_json::from_value(json!({"gap": gap, "fold": fold})).expect("a policy");
    let at = |seconds: i64| Timestamp::from_millis((after + seconds) * 1000);
    Case {
        line,
        source,
        zone,
        trigger,
        dst,
        after: at(0),
        until: at(length),
        due: due.into_iter().map(at).collect(),
    }
}

fn cases() -> impl Iterator<Item = Case> {
    include_str!("calendar/vectors.jsonl").lines().map(case)
}

/// Everything due in `(after, until]`; stops at one more than `enough`, so that a wrong rule cannot run on.
fn due(case: &Case, enough: usize) -> Vec<Timestamp> {
    let rule = case.trigger.rule(case.dst).expect("a valid trigger");
    let mut cursor = case.after;
    let mut due = Vec::new();
    while let Some(at) = rule.next_after(cursor) {
        assert!(at > cursor, "later each time");
        if at > case.until || due.len() > enough {
            break;
        }
        due.push(at);
        cursor = at;
    }
    due
}

#[test]
fn every_vector_agrees() {
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in cases() {
        let found = due(&case, case.due.len());
        if found != case.due {
            wrong.push(format!("{}\n  wants {:?}\n  found {found:?}", case.line, case.due));
        }
        *counted.entry(case.source).or_default() += 1;
    }
    println!("calendar vectors compared: {counted:?}");
    assert!(
        wrong.is_empty(),
        "{} of {counted:?} differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
    assert!(counted.values().sum::<usize>() > 10_000, "the file is cut off: {counted:?}");
}

#[test]
fn every_zone_is_covered() {
    // tzdata 2025.2, which the vectors are made with, is this version.
    assert_eq!(IANA_TZDB_VERSION, "2025b", "make the vectors again with the tzdata of this version");
    let covered: BTreeSet<&str> = cases().map(|case| case.zone.name()).collect();
    let missing: Vec<&Tz> = TZ_VARIANTS.iter().filter(|zone| !covered.contains(zone.name())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
