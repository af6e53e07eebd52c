//! Properties of cron and periodical triggers, over random rules, zones, policies and instants. The
//! yardstick is a walk that asks nothing but which clock a zone shows at each minute.

use chrono::{Datelike, NaiveDateTime, TimeDelta, TimeZone, Timelike};
use chrono_tz::{TZ_VARIANTS, Tz};
use proptest::prelude::*;
use rondo_domain::{
    time::Timestamp,
    trigger::{
        Cron, DstFold, DstGap, DstNote, DstPolicy, MonthDays, PeriodUnit, Periodical, Rule, Trigger, Weekdays,
    },
};
use std::collections::BTreeMap;

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;

/// An expression of which the yardstick knows every set: minutes, hours, days of month, months, weekdays.
#[derive(Clone, Debug)]
struct Plain {
    text: String,
    sets: [Vec<u32>; 5],
    star_hour: bool,
    /// Day of month, day of week.
    stars: [bool; 2],
}

fn field(low: u32, high: u32) -> impl Strategy<Value = (String, Vec<u32>)> {
    prop_oneof![
        3 => Just(("*".to_owned(), (low..=high).collect())),
        1 => (2..=high).prop_map(move |step| (format!("*/{step}"), (low..=high).step_by(step as usize).collect())),
        2 => (low..=high, low..=high).prop_map(|(a, b)| { let (a, b) = (a.min(b), a.max(b)); (format!("{a}-{b}"), (a..=b).collect()) }),
        3 => prop::collection::btree_set(low..=high, 1..4).prop_map(|set| {
            let texts: Vec<String> = set.iter().map(u32::to_string).collect();
            (texts.join(","), set.into_iter().collect())
        }),
    ]
}

fn plain() -> impl Strategy<Value = Plain> {
    (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 6)).prop_map(|fields| {
        let (texts, sets): (Vec<String>, Vec<Vec<u32>>) =
            [fields.0, fields.1, fields.2, fields.3, fields.4].into_iter().unzip();
        let star = |at: usize| texts[at].starts_with('*');
        Plain {
            text: texts.join(" "),
            star_hour: star(1),
            stars: [star(2), star(4)],
            sets: sets.try_into().expect("five fields"),
        }
    })
}

impl Plain {
    fn matches(&self, wall: NaiveDateTime) -> bool {
        let [minutes, hours, days, months, weekdays] = &self.sets;
        let (day, weekday) =
            (days.contains(&wall.day()), weekdays.contains(&wall.weekday().num_days_from_sunday()));
        let date = if self.stars.contains(&true) { day && weekday } else { day || weekday };
        date && minutes.contains(&wall.minute())
            && hours.contains(&wall.hour())
            && months.contains(&wall.month())
    }
}

fn policies() -> impl Strategy<Value = DstPolicy> {
    (
        prop_oneof![Just(DstGap::Shift), Just(DstGap::Skip)],
        prop_oneof![Just(DstFold::First), Just(DstFold::Second), Just(DstFold::Both)],
    )
        .prop_map(|(gap, fold)| DstPolicy { gap, fold })
}

fn zones() -> impl Strategy<Value = Tz> {
    // Some that do odd things, more often than chance would have them.
    let odd = [
        "Europe/Madrid",
        "Australia/Lord_Howe",
        "Antarctica/Troll",
        "Africa/Cairo",
        "Asia/Beirut",
        "America/Nuuk",
        "Africa/Casablanca",
    ];
    prop_oneof![
        prop::sample::select(TZ_VARIANTS.to_vec()),
        prop::sample::select(odd.map(|name| name.parse::<Tz>().expect("a zone")).to_vec())
    ]
}

/// An instant to begin at: near a change of the zone's clock where it has one after the given day.
fn near_a_change(zone: Tz, from: i64) -> i64 {
    let offset =
        |at: i64| zone.offset_from_utc_datetime(&Timestamp::from_millis(at).utc().naive_utc()).to_string();
    let days = (0..400).map(|day| from + day * DAY);
    days.clone().find(|at| offset(*at) != offset(at + DAY)).map_or(from, |at| at - DAY / 4)
}

/// Everything due in `(after, until]` to the minute, by looking at every minute's clock.
fn walked(
    matches: impl Fn(NaiveDateTime) -> bool,
    zone: Tz,
    dst: DstPolicy,
    after: i64,
    until: i64,
) -> Vec<i64> {
    let lead = 30 * 60 * MINUTE;
    let first = (after - lead).div_euclid(MINUTE) * MINUTE;
    let clock: Vec<(i64, NaiveDateTime)> = (0..=(until + lead - first) / MINUTE)
        .map(|minute| first + minute * MINUTE)
        .map(|at| (at, zone.from_utc_datetime(&Timestamp::from_millis(at).utc().naive_utc()).naive_local()))
        .collect();
    let mut seen: BTreeMap<NaiveDateTime, (i64, i64)> = BTreeMap::new();
    for (at, wall) in &clock {
        seen.entry(*wall).or_insert((*at, *at)).1 = *at;
    }
    let mut due = Vec::new();
    let mut before = clock[0].1;
    for (at, wall) in clock {
        let (first, second) = seen[&wall];
        let counts = match dst.fold {
            DstFold::First => at == first,
            DstFold::Second => at == second,
            DstFold::Both => true,
        };
        let mut hit = counts && matches(wall);
        let mut missing = before + TimeDelta::minutes(1);
        while dst.gap == DstGap::Shift && missing < wall {
            hit |= matches(missing);
            missing += TimeDelta::minutes(1);
        }
        before = wall;
        if hit && after < at && at <= until {
            due.push(at);
        }
    }
    due
}

fn yielded(rule: &Rule, after: i64, until: i64) -> Vec<i64> {
    let next = |after: Timestamp| rule.next_after(after).filter(|at| at.millis() <= until);
    std::iter::successors(next(Timestamp::from_millis(after)), |at| next(*at))
        .map(Timestamp::millis)
        .collect()
}

/// 2020 to 2036, in milliseconds.
fn instants() -> std::ops::Range<i64> {
    1_577_836_800_000..2_082_758_400_000
}

proptest! {
    // A failing case that is worth keeping becomes a test of its own, not a line in a file of seeds.
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cron_agrees_with_a_walk_over_every_minute(plain in plain(), zone in zones(), dst in policies(), from in instants()) {
        let Ok(cron) = Cron::new(plain.text.clone(), zone, None, None) else { return Ok(()) };
        let rule = Trigger::Cron(cron).rule(dst).expect("valid");
        let after = near_a_change(zone, from);
        let until = after + 2 * DAY;
        let dst = if plain.star_hour { DstPolicy { gap: DstGap::Skip, fold: DstFold::Both } } else { dst };
        prop_assert_eq!(yielded(&rule, after, until), walked(|wall| plain.matches(wall), zone, dst, after, until));
    }

    #[test]
    fn each_is_later_and_within_the_bounds(plain in plain(), zone in zones(), dst in policies(), start in instants(), length in 0..40 * DAY, after in instants()) {
        let bounds = (Timestamp::from_millis(start), Timestamp::from_millis(start + length));
        let Ok(cron) = Cron::new(plain.text, zone, Some(bounds.0), Some(bounds.1)) else { return Ok(()) };
        let rule = Trigger::Cron(cron).rule(dst).expect("valid");
        let mut cursor = Timestamp::from_millis(after.min(start + length));
        for _ in 0..50 {
            let Some(at) = rule.next_after(cursor) else { break };
            prop_assert!(at > cursor && at >= bounds.0 && at <= bounds.1, "{cursor} {at}");
            // Nothing lies between: asking from just before gives the same.
            prop_assert_eq!(rule.next_after(Timestamp::from_millis(at.millis() - 1)), Some(at));
            cursor = at;
        }
    }

    #[test]
    fn periodical_agrees_with_a_walk_over_every_minute(
        zone in zones(), dst in policies(), from in instants(), lead in 0..60i64, stretch in 0..70i64,
        minute in 0..1440u32, frequency in 1..8u16, kind in 0..3, days in prop::collection::btree_set(0..31u32, 1..20),
    ) {
        let after = near_a_change(zone, from);
        let wall = zone.from_utc_datetime(&Timestamp::from_millis(after).utc().naive_utc()).naive_local().with_nanosecond(0).expect("a time");
        let unit = match kind {
            0 => PeriodUnit::Day,
            1 => PeriodUnit::Week(days.iter().map(|day| chrono::Weekday::try_from((day % 7) as u8).expect("below 7")).collect::<Weekdays>()),
            _ => PeriodUnit::Month(MonthDays::new(days.iter().map(|day| day + 1)).expect("1 to 31")),
        };
        let start = wall - TimeDelta::days(lead) - TimeDelta::minutes(77);
        let rule = Periodical { start, end: Some(start + TimeDelta::days(stretch)), time: chrono::NaiveTime::from_hms_opt(minute / 60, minute % 60, 0).expect("a time"), unit, frequency, zone };
        let Ok(compiled) = Trigger::Periodical(rule.clone()).rule(dst) else { return Ok(()) };
        let (anchor, every) = (start.date(), i64::from(frequency));
        let monday = |date: chrono::NaiveDate| date - TimeDelta::days(i64::from(date.weekday().num_days_from_monday()));
        let matches = |wall: NaiveDateTime| {
            let date = wall.date();
            let counted = match unit {
                PeriodUnit::Day => (date - anchor).num_days() % every == 0,
                PeriodUnit::Week(days) => (monday(date) - monday(anchor)).num_weeks() % every == 0 && days.contains(date.weekday()),
                PeriodUnit::Month(days) => (i64::from(date.year() - anchor.year()) * 12 + i64::from(date.month()) - i64::from(anchor.month())) % every == 0 && days.contains(date.day()),
            };
            counted && wall.time() == rule.time && wall >= start && rule.end.is_none_or(|end| wall <= end)
        };
        let until = after + 4 * DAY;
        prop_assert_eq!(yielded(&compiled, after, until), walked(matches, zone, dst, after, until));
    }

    #[test]
    fn what_is_shown_is_the_instant(plain in plain(), zone in zones(), dst in policies(), from in instants()) {
        let Ok(cron) = Cron::new(plain.text.clone(), zone, None, None) else { return Ok(()) };
        let rule = Trigger::Cron(cron).rule(dst).expect("valid");
        let after = near_a_change(zone, from);
        for at in yielded(&rule, after, after + DAY).into_iter().take(30) {
            let local = rule.explain(Timestamp::from_millis(at));
            prop_assert_eq!((local.wall - local.offset).and_utc().timestamp_millis(), at);
            prop_assert_eq!(local.note == Some(DstNote::ShiftedFromGap), !plain.matches(local.wall));
        }
    }
}

#[test]
fn instants_at_the_ends_of_time_do_no_harm() {
    for zone in ["Europe/Madrid", "Pacific/Apia", "America/Nuuk"] {
        let cron = Cron::new("0 0 1 1 *", zone.parse().expect("a zone"), None, None).expect("valid");
        let rule = Trigger::Cron(cron).rule(DstPolicy::default()).expect("valid");
        assert!(rule.next_after(Timestamp::from_millis(i64::MIN)).is_some_and(|at| at < Timestamp::EPOCH));
        assert_eq!(rule.next_after(Timestamp::MAX), None);
        assert_eq!(rule.next_after(Timestamp::from_millis(i64::MAX)), None);
        let _ = rule.explain(Timestamp::from_millis(i64::MIN));
        let _ = rule.explain(Timestamp::from_millis(i64::MAX));
    }
}
