//! Who there is in a run, and what they do: devices of many zones and habits that register, move, come back and leave,
//! and a user who schedules pushes for them, and perhaps stops one for a while.

use super::super::{
    dice::Dice,
    scenario::Faults,
    world::{World, settings},
};
use chrono::{NaiveDateTime, NaiveTime, TimeDelta};
use chrono_tz::Tz;
use rondo_domain::{
    app::{App, AppLimits},
    callback::Links,
    engine::{Draft, Engine, Error},
    ids::{AppKey, ScheduleId},
    policy::{Delivery, Policy},
    ports::{Clock, Schedule},
    push::{
        PushFields, PushSettings, PushTarget, Upstream,
        device::{Device, Platform, RegistrationId, Subscription},
        sender::NoSender,
    },
    schedule::{Definition, Target},
    time::{Span, Timestamp},
    trigger::{Backup, FanOut, PeriodUnit, Periodical, Times, Trigger},
};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};

const HOUR: u64 = 3600;
const ZONES: [Option<Tz>; 11] = [
    None,
    Some(Tz::Europe__Madrid),
    Some(Tz::Europe__London),
    Some(Tz::Asia__Kathmandu),
    Some(Tz::Asia__Tokyo),
    Some(Tz::Australia__Lord_Howe),
    Some(Tz::Pacific__Kiritimati),
    Some(Tz::America__New_York),
    Some(Tz::America__St_Johns),
    Some(Tz::Pacific__Honolulu),
    Some(Tz::Etc__GMTPlus12),
];

/// What a seed stands for.
#[derive(Clone, Debug)]
pub struct Plot {
    pub base: Timestamp,
    pub calm_at: Timestamp,
    pub ends_at: Timestamp,
    pub app: App,
    pub faults: Faults,
    pub trigger: Trigger,
    /// A tag that the push asks for.
    pub tag: bool,
    pub devices: Vec<Story>,
    /// From, until.
    pub pause: Option<(Timestamp, Timestamp)>,
    /// When the user gives it another name.
    pub edits: Vec<Timestamp>,
    pub busy: u32,
}

/// One device's life: what it is from which instant on; none: it is not registered.
#[derive(Clone, Debug)]
pub struct Story {
    pub id: RegistrationId,
    pub tagged: bool,
    pub stages: Vec<(Timestamp, Option<Stage>)>,
    pub gone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    pub zone: Option<Tz>,
    pub best_hour: Option<u8>,
}

fn hours(hours: u64) -> Span {
    Span::from_secs(hours * HOUR)
}

impl Plot {
    pub fn of(dice: &Dice) -> Plot {
        let base = Timestamp::parse_rfc3339(dice.one_of(&["2026-03-28T05:00:00Z", "2026-06-10T07:00:00Z"]));
        let base = base.expect("an instant");
        let calm_at = base.plus(hours(dice.one_of(&[6, 20, 40])));
        let ends_at = base.plus(hours(120));
        let direct = dice.hits(6000);
        let upstream = Upstream { key: "key".to_owned(), sealed: String::new() };
        let app = App {
            key: AppKey::from_random(7),
            name: "pushes".to_owned(),
            time_zone: Tz::Europe__Madrid,
            created_at: base,
            secrets: Vec::new(),
            signing_secrets: Vec::new(),
            limits: AppLimits::default(),
            push: PushSettings { upstream: (!direct).then_some(upstream), ..PushSettings::default() },
        };
        let count = dice.between(3, 30);
        let devices = (0..count).map(|number| story(dice, number, base)).collect();
        let edits = dice.one_of(&[0, 0, 1, 5]);
        let edits = (0..edits).map(|_| base.plus(Span::from_secs(dice.between(700, 40 * HOUR)))).collect();
        let pause_at = base.plus(hours(dice.between(2, 40)));
        Plot {
            base,
            calm_at,
            ends_at,
            app,
            faults: faults(dice, base),
            trigger: trigger(dice, base),
            tag: dice.hits(3000),
            devices,
            pause: dice.hits(2000).then(|| (pause_at, pause_at.plus(hours(dice.between(1, 8))))),
            edits,
            busy: dice.one_of(&[0, 0, 1000]),
        }
    }
}

fn faults(dice: &Dice, base: Timestamp) -> Faults {
    let mut faults = Faults { max_skew_ms: dice.one_of(&[0, 20]), ..Faults::default() };
    match dice.between(0, 3) {
        0 => {}
        1 => {
            faults.drop = 1500;
            faults.double = 2000;
            faults.delay = 1000;
        }
        2 => {
            faults.lost = dice.one_of(&[100, 500]);
            faults.refused = dice.one_of(&[100, 500]);
        }
        _ => {
            faults.drop = 500;
            faults.double = 1000;
            faults.lost = 100;
            faults.refused = 100;
            faults.crash = dice.one_of(&[20, 100]);
            faults.long_restarts = dice.hits(3000);
            if dice.hits(3000) {
                let from = base.plus(hours(dice.between(1, 30)));
                faults.outages.push((
                    from,
                    from.plus(Span::from_secs(dice.between(60, 3 * HOUR))),
                    dice.hits(5000),
                ));
            }
        }
    }
    faults
}

fn trigger(dice: &Dice, base: Timestamp) -> Trigger {
    let from = base.plus(Span::from_secs(600));
    let day = from.utc().date_naive() + TimeDelta::days(dice.between(0, 1) as i64);
    let time =
        NaiveTime::from_hms_opt(dice.one_of(&[0, 2, 9, 23]), dice.one_of(&[0, 30]), 0).expect("a time");
    let wall: NaiveDateTime = day.and_time(time);
    let (times, per_recipient) = match dice.between(0, 5) {
        0 => (Times::Single((from.utc() + TimeDelta::hours(26)).naive_utc()), false),
        1 | 2 => (Times::Single(wall + TimeDelta::days(1)), true),
        3 => {
            let end = wall + TimeDelta::days(dice.between(1, 2) as i64);
            let start = day.and_time(NaiveTime::MIN);
            let unit = PeriodUnit::Day;
            (
                Times::Periodical(Periodical {
                    start,
                    end: Some(end),
                    time,
                    unit,
                    frequency: 1,
                    zone: Tz::UTC,
                }),
                true,
            )
        }
        _ => {
            let backup = match dice.between(0, 2) {
                0 => Backup::Now,
                1 => Backup::Daily(time),
                _ => Backup::At(wall + TimeDelta::days(1)),
            };
            (Times::BestTime { start: from, backup }, true)
        }
    };
    Trigger::FanOut(FanOut { times, zone: Tz::Europe__Madrid, per_recipient, from })
}

fn story(dice: &Dice, number: u64, base: Timestamp) -> Story {
    let stage = |dice: &Dice| Stage {
        zone: dice.one_of(&ZONES),
        best_hour: dice.hits(6000).then(|| dice.between(0, 23) as u8),
    };
    // Most are there from the beginning.
    let born = if dice.hits(8000) { base } else { base.plus(Span::from_secs(dice.between(60, 60 * HOUR))) };
    let mut stages = vec![(born, Some(stage(dice)))];
    let mut at = born;
    while dice.hits(2500) {
        at = at.plus(Span::from_secs(dice.between(60, 30 * HOUR)));
        stages.push((at, Some(stage(dice))));
    }
    if dice.hits(1000) {
        stages.push((at.plus(Span::from_secs(dice.between(60, 40 * HOUR))), None));
    }
    let id = format!("device-{number}").parse().expect("a name");
    Story { id, tagged: dice.hits(7000), stages, gone: dice.hits(500) }
}

fn put(
    story: &Story,
    stage: Stage,
) -> impl Fn(Option<Device>, Timestamp) -> Result<Option<Device>, Error> + use<> {
    let (id, tagged) = (story.id.clone(), story.tagged);
    move |present, now| {
        let mut device = present.unwrap_or_else(|| Device::new(id.clone(), Platform::Web, now));
        device.set_zone(stage.zone, now);
        if tagged {
            device.tags.insert("asked".to_owned());
        }
        if device.revision == 0 {
            let text = |text: &str| text.to_owned();
            device.subscription = Some(Subscription {
                endpoint: text("https://push.example/"),
                p256dh: text(""),
                auth: text(""),
            });
        }
        if device.best_hour != stage.best_hour {
            device.visits.clear();
            let zone = stage.zone.unwrap_or(Tz::Europe__Madrid);
            let seen = stage.best_hour.map(|hour| {
                let wall = rondo_domain::trigger::wall_time(zone, now).date() - TimeDelta::days(3);
                let time = NaiveTime::from_hms_opt(u32::from(hour), 20, 0).expect("a time");
                rondo_domain::trigger::instant_of(zone, wall.and_time(time), Default::default())
            });
            let seen: Vec<Timestamp> = seen.flatten().into_iter().flat_map(|at| [at; 3]).collect();
            device.visited(&seen, Tz::Europe__Madrid, now);
        }
        Ok(Some(device))
    }
}

/// The users' engine: nothing goes wrong between them and the store, so that it is known what they did.
fn engine(world: &Arc<World>) -> Engine {
    let stores = crate::faults::Stores::of(&world.memory);
    Engine {
        clock: Arc::new(True(Arc::clone(world))),
        entropy: Arc::clone(&world.dice) as _,
        apps: stores.apps,
        schedules: stores.schedules,
        states: stores.states,
        executions: stores.executions,
        listeners: stores.listeners,
        devices: stores.devices,
        queue: Arc::clone(world) as _,
        wakes: Arc::clone(world) as _,
        caller: Arc::new(Nobody),
        pusher: Arc::new(NoSender),
        observer: Arc::new(Nobody),
        statistics: Arc::clone(&world.memory) as _,
        links: Links::new("https://rondo.example", [7; 32]),
        settings: settings(),
    }
}

/// Everybody lives their lives; answers which schedule the user made.
pub async fn live(world: &Arc<World>, plot: &Plot) -> Result<ScheduleId, String> {
    let engine = engine(world);
    let app = Arc::new(plot.app.clone());
    {
        let mut reached = world.pushes.reached();
        reached.busy = plot.busy;
        reached.gone = plot.devices.iter().filter(|story| story.gone).map(|story| story.id.clone()).collect();
    }
    for story in plot.devices.clone() {
        let (world, engine, key) = (Arc::clone(world), engine.clone(), plot.app.key.clone());
        tokio::spawn(async move {
            for (at, stage) in &story.stages {
                world.sleep_until(*at).await;
                world.ledger.note(world.now(), &format!("{}: {stage:?}", story.id));
                let done = match stage {
                    Some(stage) => engine.change_device(&key, &story.id, put(&story, *stage)).await.map(drop),
                    None => engine.remove_device(&key, &story.id).await.map(drop),
                };
                if let Err(error) = done {
                    world.ledger.violated(|| format!("{}: {error}", story.id));
                }
            }
        });
    }
    let Trigger::FanOut(fan_out) = &plot.trigger else { return Err("no push".to_owned()) };
    world.sleep_until(fan_out.from).await;
    let draft = draft(plot, engine.now());
    let created = engine.create(&app, draft).await.map_err(|error| format!("not created: {error}"))?;
    let id = created.definition.id;
    for at in plot.edits.clone() {
        let (world, engine, app) = (Arc::clone(world), engine.clone(), Arc::clone(&app));
        tokio::spawn(async move {
            world.sleep_until(at).await;
            let edit = |current: &Schedule| {
                let name = Some(format!("as of {at}"));
                Ok(Definition { name, ..Definition::clone(&current.definition) })
            };
            let edited = engine.update(&app, id, at, edit).await;
            world.ledger.note(world.now(), &format!("edited: {}", edited.is_ok()));
        });
    }
    if let Some((from, until)) = plot.pause {
        world.sleep_until(from).await;
        let paused = engine.pause(&app.key, id).await.is_ok();
        world.ledger.note(world.now(), &format!("paused: {paused}"));
        world.sleep_until(until).await;
        let resumed = paused && engine.resume(&app.key, id).await.is_ok();
        world.ledger.note(world.now(), &format!("resumed: {resumed}"));
    }
    world.sleep_until(plot.ends_at).await;
    Ok(id)
}

fn draft(plot: &Plot, now: Timestamp) -> Draft {
    let to = if plot.tag { json!({"tag": ["asked"]}) } else { json!("all") };
    let push = json!({"to": to, "body": {"platform": "web", "notification": {"alert": "hello"}}});
    let max_lateness = Some(Span::from_secs(50 * HOUR));
    let mut trigger = plot.trigger.clone();
    if let Trigger::FanOut(fan_out) = &mut trigger {
        fan_out.from = now;
        if let Times::BestTime { start, .. } = &mut fan_out.times {
            *start = now;
        }
    }
    Draft {
        received_at: now,
        name: None,
        trigger,
        occurrences: None,
        target: Target::Push(PushTarget { push }),
        delivery: Delivery::default(),
        policy: Policy { max_lateness, ..Policy::default() },
        tags: BTreeMap::new(),
        request: None,
        push: Some(PushFields { trigger: Some(json!({})), extra: serde_json::Map::new() }),
    }
}

struct True(Arc<World>);

#[async_trait::async_trait]
impl Clock for True {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn sleep_until(&self, at: Timestamp) {
        self.0.sleep_until(at).await;
    }
}

struct Nobody;

#[async_trait::async_trait]
impl rondo_domain::call::Caller for Nobody {
    async fn call(&self, _request: rondo_domain::call::CallRequest) -> rondo_domain::call::CallOutcome {
        unreachable!("users call nobody")
    }
}

impl rondo_domain::ports::Observer for Nobody {
    fn ended(&self, _execution: &rondo_domain::execution::Execution) {}
    fn trouble(&self, _what: &str, _error: &rondo_domain::ports::StoreError) {}
}
