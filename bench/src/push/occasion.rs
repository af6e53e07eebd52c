//! One occasion of one schedule for all devices, each at its own nine o'clock: the real engine on a real data folder,
//! under a clock that does not wait. What plans runs by itself and is timed by itself; the pages of one instant run all
//! at once, as the service has them.

use super::{
    devices::{REGISTERED, Registry},
    memory,
    sender::Counter,
    timetable::{Timetable, VirtualClock},
};
use crate::{api::CREDENTIALS, moment, report::rounded};
use anyhow::{Context as _, ensure};
use chrono_tz::Tz;
use rondo_domain::{
    app::App,
    callback::Links,
    engine::{Draft, Engine, Handled},
    execution::ExecutionStatus,
    ids::{ExecutionId, ScheduleId},
    message::Message,
    policy::{Delivery, Policy},
    ports::{Clock as _, DeviceStore as _, ExecutionQuery, ExecutionStore as _, Scan, ScheduleStore as _},
    push::{PushFields, PushTarget, audience::Audience, fan_out::Range},
    schedule::Target,
    state::Status,
    time::{Span, Timestamp},
    trigger::{FanOut, Occasion, Times, Trigger},
};
use rondo_local::{LocalStore, Metrics, Options, SystemEntropy};
use rondo_outbound::{AddressPolicy, HttpCaller, SealingKey, client::CallerSettings};
use serde_json::json;
use std::{collections::BTreeMap, io::BufRead as _, sync::Arc};
use tokio::task::JoinSet;

/// The schedule is made so long before its wall time.
const AHEAD: Span = Span::from_secs(3 * 86_400);
/// As many devices as the control reads in one go.
const READ_AT_ONCE: usize = 500;

struct World {
    engine: Engine,
    store: LocalStore,
    clock: Arc<VirtualClock>,
    timetable: Arc<Timetable>,
    counter: Arc<Counter>,
}

/// What planning and telling took, as far as they have come.
#[derive(Default)]
struct Course {
    /// µs, one for each message that plans.
    steps: Vec<i64>,
    /// The most memory while one of them ran, in MB.
    planning_peak: f64,
    /// µs of telling, in all.
    telling: i64,
    /// Executions of pages, each with its attempts.
    pages: BTreeMap<ExecutionId, u32>,
}

pub async fn run(registry: Registry) -> anyhow::Result<()> {
    let start = REGISTERED.plus(Span::from_secs(86_400));
    let wall = start.plus(AHEAD).utc().naive_utc();
    let world = World::open(&registry, start, Occasion::Wall(wall))?;
    let app = world.engine.apps.app(&CREDENTIALS.0.parse()?).await?.context("the bench's app")?;
    println!("ready");
    let before = memory::resident()?;
    let mut course = Course::default();
    let schedule = course.create(&world, &app, start, wall).await?;
    course.take(&world).await?;
    let peak = course.planning_peak.max(memory::peak()?);
    let unfinished = world.unfinished(schedule).await?;
    let (groups, read) = read_all(&world.store, &app, registry.devices).await?;
    let planned = course.steps.iter().sum::<i64>();
    let mut told = world.counter.judge();
    told["unfinished"] = json!(unfinished);
    let found = json!({
        "planned_s": rounded(planned as f64 / 1e6),
        "largest_step_ms": rounded(course.steps.iter().max().copied().unwrap_or(0) as f64 / 1e3),
        "steps": course.steps.len(),
        "groups": groups,
        "instants": world.counter.instants(),
        "pages": course.pages.len(),
        "attempts": course.pages.values().sum::<u32>(),
        "resident_mb_before": before,
        "more_mb_while_planning": rounded(course.planning_peak - before),
        "more_mb_in_all": rounded(peak - before),
        "told": told,
        "told_s": rounded(course.telling as f64 / 1e6),
        "told_per_s": (registry.devices as f64 / course.telling as f64 * 1e6).round(),
        "jobs": world.counter.jobs(),
        "control_s": rounded(read as f64 / 1e6),
    });
    println!("{found}");
    world.store.close().await;
    // Ends as the others do, when nobody asks any more.
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().lock().lines().next().is_none()).await;
    Ok(())
}

impl World {
    fn open(registry: &Registry, now: Timestamp, occasion: Occasion) -> anyhow::Result<World> {
        let clock = Arc::new(VirtualClock::new(now));
        let store = LocalStore::open(Options::new(&registry.data, clock.clone()))?;
        let timetable = Arc::new(Timetable::default());
        let counter = Counter::new(registry, occasion, clock.clone()).context("somebody is never due")?;
        let counter = Arc::new(counter);
        let settings = CallerSettings::new(AddressPolicy::public_only(), SealingKey::from_bytes([7; 32]));
        let caller = HttpCaller::new(settings, {
            let clock = clock.clone();
            Arc::new(move || clock.now())
        })?;
        let shared = Arc::new(store.clone());
        let metrics = Arc::new(Metrics::new(now));
        let engine = Engine {
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy::new()),
            apps: shared.clone(),
            schedules: shared.clone(),
            states: shared.clone(),
            executions: shared.clone(),
            listeners: shared.clone(),
            devices: shared,
            queue: timetable.clone(),
            wakes: timetable.clone(),
            caller: Arc::new(caller),
            pusher: counter.clone(),
            observer: metrics.clone(),
            statistics: metrics,
            links: Links::new("http://127.0.0.1", [7; 32]),
            settings: rondo_local::settings(),
        };
        Ok(World { engine, store, clock, timetable, counter })
    }

    /// Executions that have not succeeded, and the schedule itself where it has not ended.
    async fn unfinished(&self, id: ScheduleId) -> anyhow::Result<usize> {
        let schedule = self.store.load(id).await?.context("the schedule")?;
        let mut query =
            ExecutionQuery { schedule: id, status: None, newest_first: false, after: None, limit: 500 };
        let mut unfinished = usize::from(schedule.state.status != Status::Finished);
        loop {
            let page = self.store.executions(&query).await?;
            let ended = |status| status == ExecutionStatus::Succeeded;
            unfinished += page.items.iter().filter(|execution| !ended(execution.status)).count();
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(unfinished),
            }
        }
    }
}

impl Course {
    async fn create(
        &mut self,
        world: &World,
        app: &App,
        now: Timestamp,
        wall: chrono::NaiveDateTime,
    ) -> anyhow::Result<ScheduleId> {
        let push = json!({
            "to": "all",
            "body": {"platform": "web", "notification": {"web": {"alert": "Good morning", "url": "https://example.com/"}}},
        });
        let given = json!({"single": {"time": wall.format("%Y-%m-%d %H:%M:%S").to_string(), "zone_type": 2}});
        let fan_out = FanOut { times: Times::Single(wall), zone: Tz::UTC, per_recipient: true, from: now };
        let draft = Draft {
            received_at: now,
            name: Some("good morning".to_owned()),
            trigger: Trigger::FanOut(fan_out),
            occurrences: None,
            target: Target::Push(PushTarget { push }),
            delivery: Delivery::default(),
            policy: Policy::default(),
            tags: BTreeMap::new(),
            request: None,
            push: Some(PushFields { trigger: Some(given), extra: serde_json::Map::new() }),
        };
        let made = self.plan(async { Ok(world.engine.create(app, draft).await?) }).await?;
        Ok(made.definition.id)
    }

    /// Handles everything, instant by instant, until nothing is to come.
    async fn take(&mut self, world: &World) -> anyhow::Result<()> {
        while let Some((at, messages)) = world.timetable.take() {
            world.clock.set(at);
            let mut pages = JoinSet::new();
            let mut telling = Vec::new();
            for message in messages {
                match &message {
                    Message::Attempt { execution, .. } if execution.page > 0 => {
                        *self.pages.entry(*execution).or_default() += 1;
                        telling.push(message);
                    }
                    _ => self.plan(handle(&world.engine, &world.timetable, message)).await?,
                }
            }
            let begun = moment::micros();
            for message in telling {
                let (engine, timetable) = (world.engine.clone(), Arc::clone(&world.timetable));
                pages.spawn(async move { handle(&engine, &timetable, message).await });
            }
            while let Some(done) = pages.join_next().await {
                done??;
            }
            self.telling += moment::micros() - begun;
        }
        Ok(())
    }

    async fn plan<T>(&mut self, step: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        memory::forget_peak()?;
        let begun = moment::micros();
        let done = step.await;
        self.steps.push(moment::micros() - begun);
        self.planning_peak = self.planning_peak.max(memory::peak()?);
        done
    }
}

async fn handle(engine: &Engine, timetable: &Timetable, message: Message) -> anyhow::Result<()> {
    if let Handled::ComeBack(later) = engine.handle(message, Timestamp::MAX).await? {
        timetable.put(later);
    }
    Ok(())
}

/// The control: every device comes once out of the same store. Answers how many groups there are, and the µs.
async fn read_all(store: &LocalStore, app: &App, expected: usize) -> anyhow::Result<(usize, i64)> {
    let begun = moment::micros();
    let audience = Audience::default();
    let groups = store.groups(&app.key).await?;
    let mut read = 0;
    for group in &groups {
        let mut after = None;
        loop {
            let scan = Scan {
                app: &app.key,
                group: *group,
                audience: &audience,
                range: Range::ALL,
                moved_since: None,
                after: after.as_ref(),
                limit: READ_AT_ONCE,
            };
            let page = store.scan(&scan).await?;
            read += page.items.len();
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
    }
    ensure!(read == expected, "{read} devices are there, not {expected}");
    Ok((groups.len(), moment::micros() - begun))
}
