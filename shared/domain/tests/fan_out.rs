//! When one message for many opens, and when each of its recipients is due.

use chrono::{NaiveDateTime, NaiveTime};
use chrono_tz::{TZ_VARIANTS, Tz};
use proptest::prelude::*;
use rondo_domain::{
    push::device::Group,
    time::{Span, Timestamp},
    trigger::{
        Backup, DstPolicy, FanOut, OPEN_AHEAD, Occasion, PeriodUnit, Periodical, Rule, Times, Trigger,
        Weekdays,
    },
};

const DAY: Span = Span::from_secs(86_400);

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).expect("RFC 3339")
}

fn wall(text: &str) -> NaiveDateTime {
    text.parse().expect("a wall time")
}

fn zone(zone: Tz) -> Group {
    Group { zone: Some(zone), best_hour: None }
}

fn rule(times: Times, per_recipient: bool, from: Timestamp) -> Rule {
    let fan_out = FanOut { times, zone: Tz::Europe__Madrid, per_recipient, from };
    Trigger::FanOut(fan_out).rule(DstPolicy::default()).expect("a valid trigger")
}

fn daily(start: &str, end: &str, time: &str) -> Times {
    Times::Periodical(Periodical {
        start: wall(start),
        end: Some(wall(end)),
        time: time.parse().expect("a time of day"),
        unit: PeriodUnit::Day,
        frequency: 1,
        zone: Tz::UTC,
    })
}

/// Every opening with its occasion.
fn openings(rule: &Rule, from: Timestamp) -> Vec<(Timestamp, Occasion)> {
    let first = rule.next_after(from.minus(Span::from_millis(1)));
    std::iter::successors(first, |at| rule.next_after(*at))
        .map(|at| (at, rule.occasion(at).expect("each opening has its occasion")))
        .collect()
}

#[test]
fn a_wall_time_opens_a_minute_before_the_east_reaches_it() {
    let from = at("2026-11-01T00:00:00Z");
    let rule = rule(Times::Single(wall("2026-12-01T09:00:00")), true, from);
    let opens = at("2026-11-30T18:59:00Z");
    assert_eq!(openings(&rule, from), [(opens, Occasion::Wall(wall("2026-12-01T09:00:00")))]);
}

#[test]
fn an_instant_for_all_opens_a_minute_before_or_at_once() {
    let times = || Times::Single(wall("2026-12-01T09:00:00"));
    let due = at("2026-12-01T08:00:00Z");
    for (from, opens) in [
        ("2026-11-01T00:00:00Z", "2026-12-01T07:59:00Z"),
        ("2026-12-01T07:59:58Z", "2026-12-01T07:59:58Z"),
        ("2026-12-01T08:00:00Z", "2026-12-01T08:00:00Z"),
    ] {
        assert_eq!(openings(&rule(times(), false, at(from)), at(from)), [(at(opens), Occasion::At(due))]);
    }
    let past = at("2026-12-01T08:00:00.001Z");
    assert_eq!(openings(&rule(times(), false, past), past), []);
}

#[test]
fn what_should_have_opened_already_opens_at_once_one_after_the_other() {
    // At 11:00 in UTC it is still 23:00 of the day before in the far west, and 01:00 of the next day in the far east.
    let from = at("2026-12-02T11:00:00Z");
    let rule = rule(daily("2026-12-01T00:00:00", "2026-12-04T23:59:59", "23:30:00"), true, from);
    let shown: Vec<_> =
        openings(&rule, from).into_iter().map(|(at, occasion)| (at, occasion.key())).collect();
    let ms = Span::from_millis(1);
    assert_eq!(
        shown,
        [
            (from, at("2026-12-01T23:30:00Z")),
            (from.plus(ms), at("2026-12-02T23:30:00Z")),
            (at("2026-12-03T09:29:00Z"), at("2026-12-03T23:30:00Z")),
            (at("2026-12-04T09:29:00Z"), at("2026-12-04T23:30:00Z")),
        ]
    );
}

#[test]
fn each_zone_is_due_at_its_own_nine_o_clock() {
    let nine = Occasion::Wall(wall("2026-03-29T02:30:00"));
    let due = |group| nine.due(group, Tz::UTC).map(|at| at.to_string());
    let slot = |group: Group| nine.slot(group, Tz::UTC, nine.due(group, Tz::UTC).expect("due"));
    for (of, instant, quarters) in [
        (Tz::Asia__Kathmandu, "2026-03-28T20:45:00.000Z", 48 + 23),
        (Tz::Asia__Tokyo, "2026-03-28T17:30:00.000Z", 48 + 36),
        (Tz::Pacific__Kiritimati, "2026-03-28T12:30:00.000Z", 48 + 56),
        (Tz::America__New_York, "2026-03-29T06:30:00.000Z", 48 - 16),
        (Tz::Etc__GMTPlus12, "2026-03-29T14:30:00.000Z", 0),
        // The clocks of Madrid jump over it, to 03:00.
        (Tz::Europe__Madrid, "2026-03-29T01:00:00.000Z", 48 + 8),
    ] {
        assert_eq!(due(zone(of)).as_deref(), Some(instant), "{of}");
        assert_eq!(slot(zone(of)), quarters, "{of}");
    }
    assert_eq!(due(Group::UNKNOWN).as_deref(), Some("2026-03-29T02:30:00.000Z"));
}

#[test]
fn those_without_a_history_are_told_by_the_backup_time() {
    let start = at("2026-12-01T10:07:30Z");
    let due = |backup, group: Group| Occasion::BestTime { start, backup }.due(group, Tz::UTC);
    let madrid = zone(Tz::Europe__Madrid);
    assert_eq!(due(Backup::Now, madrid), Some(start));
    assert_eq!(due(Backup::At(wall("2026-12-24T09:00:00")), madrid), Some(at("2026-12-24T08:00:00Z")));
    assert_eq!(due(Backup::At(wall("2026-12-01T11:00:00")), madrid), Some(start), "it has passed");
    let daily = |time: &str| Backup::Daily(time.parse::<NaiveTime>().expect("a time"));
    assert_eq!(due(daily("11:07:30"), madrid), Some(start));
    assert_eq!(due(daily("11:07:29"), madrid), Some(at("2026-12-02T10:07:29Z")));
    let at_nineteen = Group { best_hour: Some(19), ..madrid };
    assert_eq!(due(Backup::Now, at_nineteen), Some(at("2026-12-01T18:00:00Z")));
    let slot = Occasion::BestTime { start, backup: Backup::Now }.slot(
        at_nineteen,
        Tz::UTC,
        at("2026-12-01T18:00:00Z"),
    );
    assert_eq!(slot, 72);
}

fn any_group() -> impl Strategy<Value = Group> {
    (0..TZ_VARIANTS.len(), prop::option::of(0u8..24))
        .prop_map(|(zone, best_hour)| Group { zone: Some(TZ_VARIANTS[zone]), best_hour })
}

fn any_instant() -> impl Strategy<Value = Timestamp> {
    // 2025 to 2029, to the millisecond.
    (1_735_689_600_000i64..1_861_920_000_000).prop_map(Timestamp::from_millis)
}

fn any_backup(start: Timestamp) -> impl Strategy<Value = Backup> {
    let later = move |minutes: i64| start.utc().naive_utc() + chrono::TimeDelta::minutes(minutes);
    prop_oneof![
        Just(Backup::Now),
        (-2000i64..10_000).prop_map(move |minutes| Backup::At(later(minutes))),
        (0u32..86_400).prop_map(|second| {
            Backup::Daily(NaiveTime::from_num_seconds_from_midnight_opt(second, 0).expect("a time"))
        }),
    ]
}

fn every_day() -> Weekdays {
    use chrono::Weekday::{Fri, Mon, Sat, Sun, Thu, Tue, Wed};
    [Mon, Tue, Wed, Thu, Fri, Sat, Sun].into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_best_time_lies_within_the_day_after_the_start(start in any_instant(), group in any_group()) {
        let occasion = Occasion::BestTime { start, backup: Backup::Now };
        let due = occasion.due(group, Tz::UTC).expect("everybody is due");
        prop_assert!(start <= due && due <= start.plus(DAY), "{due}");
        prop_assert_eq!(Some(due), occasion.due(group, Tz::UTC));
    }

    /// Whoever looks at each possible instant comes by every recipient.
    #[test]
    fn nobody_is_due_at_an_instant_that_is_not_looked_at(
        (start, backup) in any_instant().prop_flat_map(|start| (Just(start), any_backup(start))),
        group in any_group(), by_wall in any::<bool>(),
    ) {
        let occasion =
            if by_wall { Occasion::Wall(start.utc().naive_utc()) } else { Occasion::BestTime { start, backup } };
        let due = occasion.due(group, Tz::UTC).expect("no gap swallows a whole day");
        let before = due.minus(Span::from_millis(1));
        prop_assert_eq!(occasion.next_possible(Tz::UTC, before), Some(due));
        let mut looked = 0;
        let mut at = occasion.next_possible(Tz::UTC, Timestamp::EPOCH);
        while let Some(here) = at {
            looked += 1;
            at = occasion.next_possible(Tz::UTC, here);
        }
        prop_assert!(looked < 300, "{looked} looks at one occasion");
    }

    /// Each occasion in which somebody can still be due opens once, in order, before anybody is due.
    #[test]
    fn every_occasion_opens_once_and_in_time(
        from in any_instant(), first_day in -3i64..3, days in 1i64..6, minute in 0i64..1440,
        per_recipient in any::<bool>(), weekly in any::<bool>(),
    ) {
        let start = from.utc().date_naive() + chrono::TimeDelta::days(first_day);
        let time = NaiveTime::MIN + chrono::TimeDelta::minutes(minute);
        let unit = if weekly { PeriodUnit::Week(every_day()) } else { PeriodUnit::Day };
        let end = start + chrono::TimeDelta::days(days);
        let periodical = Periodical {
            start: start.and_time(NaiveTime::MIN),
            // Itself included: a second before midnight, after the last whole day.
            end: Some(end.and_time(NaiveTime::MIN) - chrono::TimeDelta::seconds(1)),
            time, unit, frequency: 1, zone: Tz::UTC,
        };
        let fan_out = FanOut { times: Times::Periodical(periodical), zone: Tz::UTC, per_recipient, from };
        let rule = Trigger::FanOut(fan_out).rule(DstPolicy::default()).expect("a valid trigger");
        let found = openings(&rule, from);
        let last = |key: Timestamp| if per_recipient { key.plus(Span::from_secs(12 * 3600)) } else { key };
        let expected: Vec<Timestamp> = (0..days)
            .map(|day| Timestamp::from_utc((start + chrono::TimeDelta::days(day)).and_time(time).and_utc()))
            .filter(|key| last(*key) >= from)
            .collect();
        prop_assert_eq!(found.iter().map(|(_, occasion)| occasion.key()).collect::<Vec<_>>(), expected);
        for (opens, occasion) in found {
            let first = occasion.next_possible(Tz::UTC, Timestamp::EPOCH).expect("somebody is due");
            prop_assert!(opens >= from);
            prop_assert!(opens <= first.minus(OPEN_AHEAD).max(from.plus(Span::from_millis(8))));
        }
    }
}
