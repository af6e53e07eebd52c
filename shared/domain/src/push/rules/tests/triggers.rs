//! When a schedule pushes.

use super::{Broken, around, broken, check_all, push};
use crate::{
    push::{
        outcome::PushError,
        rules::{Around, schedule, trigger::has_more},
    },
    time::{Span, Timestamp},
    trigger::{Backup, FanOut, Times},
};
use serde_json::{Value, json};

fn read_at(trigger: &Value, around: &Around) -> Result<FanOut, PushError> {
    let body = json!({"name": "n", "enabled": true, "trigger": trigger, "push": push()});
    schedule::read(&body, around).map(|wanted| wanted.fan_out)
}

fn read(trigger: &Value) -> Result<FanOut, PushError> {
    read_at(trigger, &around())
}

fn single(time: &str, zone_type: Value) -> Value {
    json!({"single": {"time": time, "zone_type": zone_type}})
}

fn code(trigger: &Value) -> Result<(), u32> {
    read(trigger).map(|_| ()).map_err(|error| error.code)
}

fn periodical() -> Value {
    json!({"periodical": {
        "start": "2026-12-01 00:00:00", "end": "2027-03-01 00:00:00", "time": "09:00:00",
        "time_unit": "week", "point": ["MON", "fri"], "zone_type": 1,
    }})
}

fn with(mut trigger: Value, name: &str, value: Value) -> Value {
    let inner = trigger.as_object_mut().and_then(|kinds| kinds.values_mut().next()).expect("a kind");
    inner[name] = value;
    trigger
}

const NEVER: [&str; 12] = [
    "2026-2-15 13:16:59",
    "2026-12-15 13:16",
    "2026-12-15T13:16:59",
    " 2026-12-15 13:16:59",
    "2026-12-15 13:16:59 ",
    "2026-02-30 09:00:00",
    "2027-02-29 09:00:00",
    "2026-13-01 09:00:00",
    "2026-12-01 24:00:00",
    "2026-12-01 09:00:60",
    "30 February",
    "",
];

fn of_single() -> Vec<Broken> {
    let at = "trigger.single.time";
    let mut rules = vec![
        broken("/single/time", Value::Null, 28100, at),
        broken("/single/time", json!(1_764_547_200), 28100, at),
        broken("/single/time", json!("2026-11-23 13:00:00"), 28103, at),
        broken("/single/time", json!("2026-11-23 12:59:59"), 28103, at),
        broken("/single/time", json!("2027-11-23 13:00:01"), 28103, at),
        broken("/single", json!("2026-12-01 09:00:00"), 28100, "trigger.single"),
        broken("/cron", json!({}), 28100, "trigger.cron"),
        broken("/intelligent", json!({"backup_time": "now"}), 28100, "trigger"),
    ];
    rules.extend(NEVER.map(|time| broken("/single/time", json!(time), 28103, at)));
    rules
}

fn of_periodical() -> Vec<Broken> {
    let mut rules = Vec::new();
    for (pointer, names) in [
        ("/periodical/start", "trigger.periodical.start"),
        ("/periodical/end", "trigger.periodical.end"),
        ("/periodical/time", "trigger.periodical.time"),
        ("/periodical/time_unit", "trigger.periodical.time_unit"),
    ] {
        rules.push(broken(pointer, Value::Null, 28100, names));
        rules.push(broken(pointer, json!(5), 28100, names));
    }
    rules.extend(
        NEVER.map(|time| broken("/periodical/start", json!(time), 28103, "trigger.periodical.start")),
    );
    rules.extend(NEVER.map(|time| broken("/periodical/end", json!(time), 28103, "trigger.periodical.end")));
    for time in ["9:00:00", "09:00", "24:00:00", "09:00:60", "09:00:00.5", "2026-12-01 09:00:00", ""] {
        rules.push(broken("/periodical/time", json!(time), 28103, "trigger.periodical.time"));
    }
    let end = "trigger.periodical.end";
    for wrong in ["2026-12-01 00:00:00", "2026-11-30 00:00:00", "2027-12-01 00:00:01"] {
        rules.push(broken("/periodical/end", json!(wrong), 28103, end));
    }
    rules.extend([
        broken("/periodical/time_unit", json!("year"), 28103, "trigger.periodical.time_unit"),
        broken("/periodical/point", json!("MON"), 28100, "trigger.periodical.point"),
        broken("/periodical/point", json!([1]), 28100, "trigger.periodical.point[0]"),
        broken("/periodical/point", json!([]), 28103, "trigger.periodical.point"),
        broken("/periodical/point", Value::Null, 28103, "trigger.periodical.point"),
        broken("/periodical/point", json!(["MON", "Monday"]), 28103, "trigger.periodical.point"),
        broken("/periodical/point", json!(["01"]), 28103, "trigger.periodical.point"),
        broken("/periodical/frequency", json!(0), 28103, "trigger.periodical.frequency"),
        broken("/periodical/frequency", json!(101), 28103, "trigger.periodical.frequency"),
        broken("/periodical/frequency", json!("2"), 28100, "trigger.periodical.frequency"),
        broken("/periodical/frequency", json!(1.5), 28100, "trigger.periodical.frequency"),
    ]);
    rules
}

#[test]
fn each_rule_is_told_by_its_code_and_field() {
    let read = |trigger: &Value| read(trigger).map(|_| ());
    check_all(&single("2026-12-01 09:00:00", json!(1)), &of_single(), read);
    check_all(&periodical(), &of_periodical(), read);
    let intelligent = json!({"intelligent": {"backup_time": "now"}});
    let at = "trigger.intelligent.backup_time";
    let mut rules = vec![
        broken("/intelligent/backup_time", Value::Null, 28100, at),
        broken("/intelligent/backup_time", json!(9), 28100, at),
        broken("/intelligent/backup_time", json!("NOW"), 28103, at),
        broken("/intelligent/backup_time", json!("9:00:00"), 28103, at),
        broken("/intelligent/backup_time", json!("2026-11-22 23:59:59"), 28103, at),
        broken("/intelligent/backup_time", json!("2027-11-25 00:00:00"), 28103, at),
        broken("/intelligent", json!([]), 28100, "trigger.intelligent"),
    ];
    rules.extend(NEVER.map(|time| broken("/intelligent/backup_time", json!(time), 28103, at)));
    check_all(&intelligent, &rules, read);
}

#[test]
fn a_trigger_is_of_one_kind() {
    for (trigger, wanted) in [
        (json!({}), Err(28100)),
        (json!("single"), Err(28100)),
        (json!([]), Err(28100)),
        (json!({"single": null}), Err(28100)),
        (json!({"cron": {"expression": "@daily"}}), Err(28100)),
        (json!({"single": {"time": "2026-12-01 09:00:00"}, "periodical": null}), Ok(())),
    ] {
        assert_eq!(code(&trigger), wanted, "{trigger}");
    }
    let body = json!({"name": "n", "enabled": true, "push": push()});
    assert_eq!(schedule::read(&body, &around()).map_err(|error| error.code), Err(28100));
}

/// Missing, or anything but 2, is the app's zone.
#[test]
fn the_zone_type_is_never_an_error() {
    let per_recipient =
        |zone_type: Value| read(&single("2026-12-01 09:00:00", zone_type)).expect("a trigger").per_recipient;
    for app in [json!(1), json!(null), json!(0), json!(3), json!("2"), json!(-2), json!([2]), json!(true)] {
        assert!(!per_recipient(app.clone()), "{app}");
    }
    assert!(per_recipient(json!(2)));
    let bare = read(&json!({"single": {"time": "2026-12-01 09:00:00"}})).expect("a trigger");
    assert!(!bare.per_recipient);
    assert_eq!((bare.zone, bare.from), (chrono_tz::Europe::Madrid, around().now));
}

/// In the app's zone to the second; where the recipients are, until it has passed everywhere.
#[test]
fn a_single_time_lies_ahead() {
    assert_eq!(code(&single("2026-11-23 13:00:01", json!(1))), Ok(()));
    assert_eq!(code(&single("2026-11-23 13:00:00", json!(1))), Err(28103));
    assert_eq!(code(&single("2027-11-23 13:00:00", json!(1))), Ok(()));
    // It is midnight twelve hours behind UTC.
    assert_eq!(code(&single("2026-11-23 00:00:01", json!(2))), Ok(()));
    assert_eq!(code(&single("2026-11-22 23:59:59", json!(2))), Err(28103));
    assert_eq!(code(&single("2027-11-24 02:00:00", json!(2))), Ok(()));
    assert_eq!(code(&single("2027-11-24 02:00:01", json!(2))), Err(28103));
}

#[test]
fn a_window_holds_an_occurrence_that_is_still_to_come() {
    let month = |point: Value| with(with(periodical(), "time_unit", json!("Month")), "point", point);
    assert_eq!(code(&month(json!(["30", "31"]))), Ok(()));
    for wrong in [json!(["1"]), json!(["32"]), json!(["00"]), json!(["30 February"]), json!(["MON"])] {
        assert_eq!(code(&month(wrong.clone())), Err(28103), "{wrong}");
    }
    // February alone has no 30th.
    let february = with(month(json!(["30"])), "start", json!("2027-02-01 00:00:00"));
    let error =
        read(&with(february.clone(), "end", json!("2027-02-28 23:59:59"))).expect_err("no 30 February");
    assert_eq!(
        (error.code, error.message.starts_with("trigger.periodical.point ")),
        (28103, true),
        "{error}"
    );
    assert_eq!(code(&with(february, "end", json!("2027-03-30 09:00:00"))), Ok(()), "the end is included");
    // A leap day.
    let leap = with(month(json!(["29"])), "start", json!("2028-02-01 00:00:00"));
    assert_eq!(code(&with(leap, "end", json!("2028-02-29 23:00:00"))), Ok(()));
    // From the first time at or after the start.
    let day = |start: &str, end: &str| {
        let day = with(with(periodical(), "time_unit", json!("DAY")), "point", json!([]));
        code(&with(with(day, "start", json!(start)), "end", json!(end)))
    };
    assert_eq!(day("2026-12-01 09:00:01", "2026-12-02 08:59:59"), Err(28103));
    assert_eq!(day("2026-12-01 09:00:01", "2026-12-02 09:00:00"), Ok(()));
    assert_eq!(day("2026-12-01 09:00:00", "2027-12-01 09:00:00"), Ok(()), "a year, to the second");
    // The window is open, and its last time has passed.
    assert_eq!(day("2026-11-20 00:00:00", "2026-11-23 23:00:00"), Err(28103));
    assert_eq!(day("2026-11-20 00:00:00", "2026-11-24 09:00:00"), Ok(()));
    assert_eq!(day("2026-11-20 00:00:00", "2026-11-23 12:59:59"), Err(28103), "it has ended");
}

#[test]
fn a_day_has_no_points() {
    let day = with(periodical(), "time_unit", json!("day"));
    for (point, wanted) in [
        (json!([]), Ok(())),
        (json!(null), Ok(())),
        (json!(["MON"]), Err(28103)),
        (json!("NULL"), Err(28100)),
    ] {
        assert_eq!(code(&with(day.clone(), "point", point.clone())), wanted, "{point}");
    }
}

#[test]
fn an_intelligent_one_begins_at_once() {
    let of = |text: &str| read(&json!({"intelligent": {"backup_time": text}})).expect("a trigger");
    let backup = |text: &str| match of(text).times {
        Times::BestTime { start, backup } => {
            assert_eq!(start, around().now);
            backup
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(backup("now"), Backup::Now);
    assert_eq!(backup("09:00:00"), Backup::Daily("09:00:00".parse().expect("a time")));
    assert_eq!(
        backup("2026-12-01 09:00:00"),
        Backup::At("2026-12-01T09:00:00".parse().expect("a wall time"))
    );
    assert!(of("now").per_recipient);
}

#[test]
fn what_has_nothing_left_has_expired() {
    let later = |hours: i64| Timestamp::from_millis(around().now.millis() + hours * 3_600_000);
    let fixed = read(&single("2026-11-24 13:00:00", json!(1))).expect("a trigger");
    assert!(has_more(&fixed, later(24)) && !has_more(&fixed, later(24).plus(Span::from_millis(1))));
    let moving = read(&single("2026-11-24 13:00:00", json!(2))).expect("a trigger");
    // 13:00 twelve hours behind UTC is 25:00 UTC.
    assert!(has_more(&moving, later(37)) && !has_more(&moving, later(38)));
    let best = read(&json!({"intelligent": {"backup_time": "now"}})).expect("a trigger");
    assert!(has_more(&best, later(24)) && !has_more(&best, later(25)));
    let daily = with(with(periodical(), "time_unit", json!("day")), "point", json!([]));
    let daily = read(&daily).expect("a trigger");
    assert!(has_more(&daily, later(24 * 90)) && !has_more(&daily, later(24 * 100)));
}
