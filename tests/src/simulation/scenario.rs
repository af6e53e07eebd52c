//! What a seed stands for: the schedules, what users do to them and when, and the faults.

use super::dice::Dice;
use chrono::{NaiveTime, Timelike as _};
use chrono_tz::Tz;
use rondo_domain::{
    policy::{Delivery, Missed, Overlap, Policy, RetryPolicy},
    time::{Span, Timestamp},
    trigger::{Cron, Interval, PeriodUnit, Periodical, Single, Trigger},
};

/// Where wall-clock triggers live: it has both a gap and a fold.
pub const ZONE: Tz = Tz::Europe__Madrid;

/// How a target answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    Well,
    /// 500 now and then.
    Flaky,
    /// Always 500.
    Broken,
    /// Well, after 1 to 8 s.
    Slow,
    /// No answer within the timeout, now and then.
    TimesOut,
    /// 429 or 503 with a Retry-After, now and then.
    Throttles,
    /// 410 from its n-th call on.
    Gone(u32),
}

#[derive(Clone, Debug)]
pub struct Spec {
    pub create_at: Timestamp,
    pub trigger: Trigger,
    /// Of a cron trigger: every so many minutes, or at a fixed time of day. What the model reckons with.
    pub wall: Option<Wall>,
    pub occurrences: Option<u32>,
    pub delivery: Delivery,
    pub policy: Policy,
    pub answers: Answers,
    pub actions: Vec<(Timestamp, Action)>,
}

#[derive(Clone, Copy, Debug)]
pub enum Wall {
    EveryMinutes(u32),
    Daily(NaiveTime),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Action {
    Cancel,
    Pause,
    Resume,
    Every(Span),
    Occurrences(u32),
    Payload,
    RunNow,
    Redeliver,
}

/// Probabilities are per 10,000.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    pub drop: u32,
    pub double: u32,
    pub delay: u32,
    pub lost: u32,
    pub refused: u32,
    pub crash: u32,
    pub wake_never: u32,
    pub wake_twice: u32,
    pub max_skew_ms: u64,
    /// A restart may take minutes.
    pub long_restarts: bool,
    /// From, until; true: the stores are away; false: all processes are.
    pub outages: Vec<(Timestamp, Timestamp, bool)>,
}

impl Faults {
    pub fn none(&self) -> bool {
        self.drop + self.double + self.delay + self.lost + self.refused + self.crash + self.wake_never == 0
            && self.outages.is_empty()
    }
}

pub struct Scenario {
    pub base: Timestamp,
    /// From here on there are no faults, and users only wind down.
    pub calm_at: Timestamp,
    pub sweep_every: Span,
    pub dispatchers: usize,
    pub specs: Vec<Spec>,
    pub faults: Faults,
    /// Listeners: one that hears well, and perhaps one that never does.
    pub listeners: usize,
}

fn ms(millis: u64) -> Span {
    Span::from_millis(millis)
}

impl Scenario {
    pub fn of(dice: &Dice) -> Scenario {
        let instants = ["2026-03-28T22:40:00Z", "2026-10-24T22:40:00Z", "2026-06-10T07:00:00Z"];
        let base = Timestamp::parse_rfc3339(dice.one_of(&instants)).expect("an instant");
        // Now and then hours, so that a change of daylight saving falls into it; rarely days.
        let (minutes, sweep) = match dice.between(0, 39) {
            0 => (3 * 24 * 60, 900),
            1..=6 => (5 * 60, 120),
            _ => (25, 60),
        };
        let calm_at = base.plus(Span::from_secs(minutes * 60));
        let count = if minutes > 60 { dice.between(1, 3) } else { dice.between(2, 5) };
        let specs = (0..count).map(|_| spec(dice, base, minutes)).collect();
        Scenario {
            base,
            calm_at,
            sweep_every: Span::from_secs(sweep),
            dispatchers: dice.between(1, 3) as usize,
            specs,
            faults: faults(dice, base, minutes),
            listeners: dice.one_of(&[0, 1, 1, 2]),
        }
    }
}

fn faults(dice: &Dice, base: Timestamp, minutes: u64) -> Faults {
    let kind = dice.between(0, 7);
    let mut faults = Faults { max_skew_ms: dice.one_of(&[0, 20, 40]), ..Faults::default() };
    // 0: none at all. 1, 2: of messages. 3, 4: of writes. The others: everything.
    if matches!(kind, 1 | 2 | 5..) {
        faults.drop = dice.one_of(&[0, 300, 1500]);
        faults.double = dice.one_of(&[0, 500, 2000]);
        faults.delay = dice.one_of(&[0, 500, 2000]);
        faults.wake_never = dice.one_of(&[0, 1000, 3000]);
        faults.wake_twice = dice.one_of(&[0, 2000]);
    }
    if matches!(kind, 3..) {
        faults.lost = dice.one_of(&[0, 100, 500]);
        faults.refused = dice.one_of(&[0, 100, 500]);
    }
    if kind >= 4 {
        faults.crash = dice.one_of(&[0, 10, 40, 100]);
        faults.long_restarts = dice.hits(3000);
    }
    if kind >= 6 && dice.hits(5000) {
        let from = base.plus(Span::from_secs(dice.between(0, minutes * 60 / 2)));
        let until = from.plus(Span::from_secs(dice.between(30, minutes * 60 / 2)));
        faults.outages.push((from, until, dice.hits(5000)));
    }
    faults
}

fn spec(dice: &Dice, base: Timestamp, minutes: u64) -> Spec {
    let create_at = base.plus(ms(dice.between(0, 300_000)));
    let first = create_at.plus(ms(dice.one_of(&[0, 1, 800, 15_000, 300_000])));
    let mut occurrences = None;
    let mut wall = None;
    let trigger = match dice.between(0, 9) {
        0..=2 => {
            let every = ms(dice.one_of(&[100, 150, 400, 900]));
            let mut end = None;
            if dice.hits(7000) {
                occurrences = Some(dice.between(5, 45) as u32);
            } else {
                end = Some(first.plus(every.times(dice.between(5, 40))));
            }
            Trigger::Interval(Interval { every, first, end })
        }
        3..=5 => {
            let every = Span::from_secs(dice.one_of(&[3, 17, 45, 90, 280, 1200]));
            let mut end = None;
            match dice.between(0, 2) {
                0 => occurrences = Some(dice.between(2, 10) as u32),
                1 => end = Some(first.plus(every.times(dice.between(0, 10)))),
                // Without end: slow enough for the whole run.
                _ => {
                    let every = every.max(Span::from_secs(minutes * 60 / 25));
                    return finish(
                        dice,
                        minutes,
                        create_at,
                        Trigger::Interval(Interval { every, first, end }),
                        None,
                        None,
                    );
                }
            }
            Trigger::Interval(Interval { every, first, end })
        }
        6 => Trigger::Single(Single { at: first.plus(Span::from_secs(dice.one_of(&[0, 5, 700, 2400]))) }),
        7 | 8 if minutes > 60 => {
            let time =
                NaiveTime::from_hms_opt(dice.one_of(&[1, 2, 3]), dice.one_of(&[0, 30]), 0).expect("a time");
            wall = Some(Wall::Daily(time));
            occurrences = Some(dice.between(1, 2) as u32);
            if dice.hits(5000) {
                let start = base.utc().date_naive();
                let periodical = Periodical {
                    start: start.and_time(NaiveTime::MIN),
                    end: None,
                    time,
                    unit: PeriodUnit::Day,
                    frequency: 1,
                    zone: ZONE,
                };
                Trigger::Periodical(periodical)
            } else {
                let expression = format!("{} {} * * *", time.minute(), time.hour());
                Trigger::Cron(Cron { expression, zone: ZONE, start: None, end: None })
            }
        }
        _ => {
            let step = if minutes > 60 { dice.one_of(&[20, 30]) } else { dice.one_of(&[2, 3, 5]) };
            wall = Some(Wall::EveryMinutes(step));
            if dice.hits(6000) {
                occurrences = Some(dice.between(2, 8) as u32);
            }
            Trigger::Cron(Cron {
                expression: format!("*/{step} * * * *"),
                zone: ZONE,
                start: None,
                end: None,
            })
        }
    };
    finish(dice, minutes, create_at, trigger, occurrences, wall)
}

fn finish(
    dice: &Dice,
    minutes: u64,
    create_at: Timestamp,
    trigger: Trigger,
    occurrences: Option<u32>,
    wall: Option<Wall>,
) -> Spec {
    let retry = RetryPolicy {
        max_attempts: dice.one_of(&[1, 2, 3, 4]),
        initial: ms(dice.one_of(&[300, 2000, 20_000])),
        factor: dice.one_of(&[1.0, 2.0, 3.0]),
        max_interval: Span::from_secs(dice.one_of(&[5, 60, 1000])),
        max_age: Span::from_secs(dice.one_of(&[30, 86_400])),
    };
    let policy = Policy {
        missed: dice.one_of(&[None, None, Some(Missed::All), Some(Missed::Latest), Some(Missed::None)]),
        max_lateness: dice.one_of(&[None, None, Some(Span::from_secs(20)), Some(Span::from_secs(600))]),
        overlap: dice.one_of(&[Overlap::Allow, Overlap::Allow, Overlap::Skip]),
        spread: dice.one_of(&[Span::ZERO, Span::ZERO, Span::ZERO, ms(7000)]),
        ..Policy::default()
    };
    let answers = dice.one_of(&[
        Answers::Well,
        Answers::Well,
        Answers::Flaky,
        Answers::Flaky,
        Answers::Broken,
        Answers::Slow,
        Answers::TimesOut,
        Answers::Throttles,
        Answers::Gone(4),
    ]);
    let delivery = Delivery { timeout: Span::from_secs(dice.one_of(&[2, 10, 30])), retry, on_failure: None };
    let every = match &trigger {
        Trigger::Interval(_) if occurrences.is_some() => Some([200, 1000, 20_000, 100_000]),
        Trigger::Interval(_) => Some([30_000, 60_000, 100_000, 200_000]),
        _ => None,
    };
    let mut actions = Vec::new();
    if dice.hits(6000) {
        for _ in 0..dice.between(1, 4) {
            let far = if dice.hits(5000) { 30_000 } else { minutes * 60_000 * 4 / 5 };
            let at = create_at.plus(ms(dice.between(0, far)));
            let action = match dice.between(0, 11) {
                0 | 1 => Action::Cancel,
                2 | 3 => Action::Pause,
                4 | 5 => Action::Resume,
                6 if every.is_some() => Action::Every(ms(every.map_or(1000, |every| dice.one_of(&every)))),
                7 if occurrences.is_some() => {
                    Action::Occurrences(dice.between(1, if every.is_some() { 50 } else { 5 }) as u32)
                }
                8 | 6 => Action::Payload,
                9 | 7 => Action::RunNow,
                _ => Action::Redeliver,
            };
            if action == Action::Pause {
                actions.push((at.plus(ms(dice.between(0, 200_000))), Action::Resume));
            }
            actions.push((at, action));
        }
        actions.sort_by_key(|(at, _)| *at);
    }
    Spec { create_at, trigger, wall, occurrences, delivery, policy, answers, actions }
}
