//! `rondo-bench scale`: a burst of callbacks due at one instant, through AWS's quotas: what arithmetic says, and
//! what the real engine does in a simulation of them, side by side.

mod arithmetic;
mod cloud;
mod quotas;

use crate::report::rounded;
use arithmetic::{Reckoned, Steady, Work};
use clap::{Args, ValueEnum};
use cloud::{Cloud, Load};
use quotas::Quotas;
use rondo_domain::{
    app::{App, AppLimits},
    call::Method,
    callback::Links,
    engine::{Draft, Engine},
    policy::{Delivery, Policy, RetryPolicy},
    ports::Clock as _,
    schedule::{Body, HttpTarget, Target},
    time::{Span, Timestamp},
    trigger::{Interval, Single, Trigger},
};
use rondo_tests::faults::{Faulty, Gate, Stores};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, atomic::Ordering},
};
use url::Url;

#[derive(Args)]
pub struct Options {
    /// One-time callbacks due at one instant, made well ahead.
    #[arg(long, default_value_t = 1_000_000)]
    callbacks: usize,
    /// Runs so many times fewer callbacks through so many times smaller quotas: the same ratios, less memory.
    #[arg(long, default_value_t = 10.0)]
    shrink: f64,
    /// Which quotas.
    #[arg(long, value_enum, default_value_t = Account::New)]
    account: Account,
    /// Instead of EventBridge Scheduler's quota, in invocations a second.
    #[arg(long)]
    scheduler: Option<f64>,
    /// Instead of the table's warm write units, a second; its indexes follow, up to what their shards take.
    #[arg(long)]
    table_writes: Option<f64>,
    /// Instead of one instant: as many recurring schedules, one occurrence in so many seconds, their phases spread
    /// evenly.
    #[arg(long)]
    every: Option<u64>,
    /// Leaves the sweeper away: what the ladder does by itself.
    #[arg(long)]
    without_sweeper: bool,
    /// Gives the callbacks a `spread` of so many seconds.
    #[arg(long, default_value_t = 0)]
    spread: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Account {
    /// Nothing raised.
    New,
    /// EventBridge Scheduler and Lambda raised, the table warmed.
    Raised,
    /// The same, with provisioned pollers.
    Pollers,
}

impl Options {
    fn quotas(&self) -> Quotas {
        let mut quotas = match self.account {
            Account::New => Quotas::new_account(),
            Account::Raised => Quotas::raised(),
            Account::Pollers => Quotas::raised_with_pollers(),
        };
        if let Some(scheduler) = self.scheduler {
            quotas.scheduler = scheduler;
        }
        if let Some(writes) = self.table_writes {
            quotas.table_writes = writes;
            quotas.index_writes = writes.min(16_000.0);
        }
        quotas
    }
}

/// What one round of the sweeper wakes: its function goes on, page by page, for most of a minute.
const SWEPT_IN_A_ROUND: usize = 1_000;

/// On a runtime of its own, whose clock is a virtual one.
pub fn run(options: Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let report = match options.every {
        Some(every) => runtime.block_on(steady(&options, every))?,
        None => runtime.block_on(simulate(&options))?,
    };
    println!("{report}");
    Ok(())
}

async fn simulate(options: &Options) -> anyhow::Result<Value> {
    let quotas = options.quotas();
    let settings = rondo_aws::settings();
    let latency = |spans: &[Span]| spans.iter().map(|span| span.millis()).sum::<u64>() as f64 / 1000.0;
    let work = Work {
        callbacks: options.callbacks as f64,
        lead: settings.reach.lead.millis() as f64 / 1000.0,
        lead_spread: settings.reach.lead_spread.millis() as f64 / 1000.0,
        // The claim, the call, the close.
        batch_seconds: latency(&[cloud::TABLE_LATENCY, cloud::TARGET_LATENCY, cloud::TABLE_LATENCY]) + 0.016,
        table_units: 2.0,
        index_units: 1.0,
    };
    let reckoned = Reckoned::of(&work, &quotas);
    let (bends, last) = reckoned.worst();

    let callbacks = (options.callbacks as f64 / options.shrink).round() as usize;
    let base = Timestamp::from_millis(1_795_000_000_000);
    let cloud = Cloud::new(quotas.shrunk(options.shrink), Load::OneTime, base);
    let engine = engine(&cloud);
    let due = base.plus(Span::from_secs(3600));
    let app = new_app(&engine, base).await?;
    // Made an hour ahead, outside the quotas: what is looked at is the instant.
    let free = Engine { schedules: Arc::clone(&cloud.memory) as _, ..engine.clone() };
    for number in 0..callbacks {
        // An id has 34 random bits beside its millisecond: a million made in one would not all differ.
        let made = base.plus(Span::from_millis(number as u64 / 100));
        let trigger = Trigger::Single(Single { at: due });
        free.create(&app, draft(made, trigger, Span::from_secs(options.spread))?).await?;
    }
    let mut tasks = start(&cloud, &engine, options);
    let begun = cloud.now();
    let patience = Span::from_secs(4 * 3600);
    while (cloud.tally.calls.load(Ordering::Relaxed) as usize) < callbacks
        && cloud.now() < begun.plus(patience)
    {
        cloud.sleep_until(cloud.now().plus(Span::from_secs(1))).await;
    }
    // What is under way may still be counted.
    cloud.sleep_until(cloud.now().plus(Span::from_secs(300))).await;
    tasks.shutdown().await;
    let arithmetic = json!({
        "scheduler_s": reckoned.scheduler,
        "pollers_s": rounded(reckoned.pollers),
        "table_s": reckoned.table,
        "indexes_s": reckoned.indexes,
        "bends_first": bends,
        "last_after_s": rounded(last),
    });
    Ok(report(options, &quotas, &cloud, callbacks, &arithmetic))
}

/// Two rounds of recurring schedules that have been running for long.
async fn steady(options: &Options, every: u64) -> anyhow::Result<Value> {
    let quotas = options.quotas();
    let reach = rondo_aws::settings().reach;
    let seconds = |span: Span| span.millis() as f64 / 1000.0;
    let lead = seconds(reach.lead) + seconds(reach.lead_spread) / 2.0;
    let held = 1.5 + seconds(cloud::TARGET_LATENCY) + 3.0 * seconds(cloud::TABLE_LATENCY);
    let schedules = (options.callbacks as f64 / options.shrink).round() as usize;
    let reckoned =
        Steady::of(options.callbacks as f64, every as f64, seconds(reach.window), lead, held, &quotas);

    let base = Timestamp::from_millis(1_795_000_000_000);
    let load = if Span::from_secs(every) > reach.window { Load::Seldom } else { Load::Often };
    let cloud = Cloud::new(quotas.shrunk(options.shrink), load, base);
    let engine = engine(&cloud);
    let app = new_app(&engine, base).await?;
    let free = Engine { schedules: Arc::clone(&cloud.memory) as _, ..engine.clone() };
    let every = Span::from_secs(every);
    // Far enough ahead that the first of them, too, come as all later ones do.
    let begin = base.plus(Span::from_secs(1_800));
    for number in 0..schedules {
        let phase = every.millis() * number as u64 / schedules.max(1) as u64;
        let interval = Interval::new(every, begin.plus(Span::from_millis(phase)), None)?;
        let made = base.plus(Span::from_millis(number as u64 / 100));
        free.create(&app, draft(made, Trigger::Interval(interval), Span::ZERO)?).await?;
    }
    let mut tasks = start(&cloud, &engine, options);
    cloud.sleep_until(begin.plus(every.times(2))).await;
    tasks.shutdown().await;
    let arithmetic = json!({
        "executions_per_second": rounded(reckoned.executions_per_second),
        "share_of_the_scheduler": rounded(reckoned.scheduler),
        "share_of_the_pollers": rounded(reckoned.pollers),
        "share_of_the_table": rounded(reckoned.table),
        "share_of_the_indexes": rounded(reckoned.indexes),
    });
    // Of two rounds, each schedule has had both.
    Ok(report(options, &quotas, &cloud, 2 * schedules, &arithmetic))
}

async fn new_app(engine: &Engine, now: Timestamp) -> anyhow::Result<Arc<App>> {
    let app = App {
        key: "scale".parse()?,
        name: "scale".to_owned(),
        time_zone: chrono_tz::UTC,
        created_at: now,
        secrets: Vec::new(),
        signing_secrets: Vec::new(),
        limits: AppLimits::default(),
        push: Default::default(),
    };
    engine.apps.add_app(app.clone()).await?;
    Ok(Arc::new(app))
}

fn start(cloud: &Arc<Cloud>, engine: &Engine, options: &Options) -> tokio::task::JoinSet<()> {
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(Arc::clone(cloud).fire());
    tasks.spawn(Arc::clone(cloud).poll(engine.clone()));
    if !options.without_sweeper {
        tasks.spawn(Arc::clone(cloud).sweep(engine.clone(), SWEPT_IN_A_ROUND));
    }
    tasks
}

fn report(options: &Options, quotas: &Quotas, cloud: &Cloud, expected: usize, arithmetic: &Value) -> Value {
    let tally = &cloud.tally;
    let mut lateness = tally.lateness.lock().unwrap_or_else(PoisonError::into_inner).clone();
    lateness.sort_unstable();
    let seconds = |part: f64| {
        let at = ((lateness.len().max(1) - 1) as f64 * part).round() as usize;
        lateness.get(at).map_or(Value::Null, |millis| json!(f64::from(*millis) / 1000.0))
    };
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let (left, dead) = cloud.left();
    let recorded: u32 = cloud.memory.snapshot().iter().map(|(_, state, _)| state.counts.done).sum();
    json!({
        "bench": "scale",
        "callbacks": options.callbacks,
        "shrunk_by": options.shrink,
        "account": format!("{:?}", options.account).to_lowercase(),
        "quotas": format!("{quotas:?}"),
        "every_s": options.every,
        "arithmetic": arithmetic,
        "simulation": {
            "expected": expected,
            "lateness_s": {"p50": seconds(0.5), "p90": seconds(0.9), "p99": seconds(0.99), "max": seconds(1.0)},
            "calls": count(&tally.calls),
            "counted": recorded,
            "early": count(&tally.early),
            "throttled": count(&tally.throttled),
            "messages_that_came_back": count(&tally.failed_messages),
            "dead_letters": dead,
            "swept": count(&tally.swept),
            "left_over": left,
            "most_invocations_at_once": count(&tally.most_at_once),
            "invocations": count(&tally.invocations),
        },
    })
}

fn engine(cloud: &Arc<Cloud>) -> Engine {
    let ports = Arc::new(Faulty {
        inner: Stores::of(&cloud.memory),
        queue: None,
        gate: Arc::clone(cloud) as Arc<dyn Gate>,
        torn_close: None,
    });
    let stores = Stores::of(&ports);
    Engine {
        clock: Arc::clone(cloud) as _,
        entropy: Arc::clone(cloud) as _,
        apps: stores.apps,
        schedules: stores.schedules,
        states: stores.states,
        executions: stores.executions,
        listeners: stores.listeners,
        devices: stores.devices,
        queue: Arc::clone(cloud) as _,
        wakes: Arc::clone(cloud) as _,
        caller: Arc::clone(cloud) as _,
        pusher: Arc::new(rondo_domain::push::sender::NoSender),
        observer: Arc::clone(cloud) as _,
        statistics: Arc::clone(&cloud.memory) as _,
        links: Links::new("https://rondo.example", [7; 32]),
        settings: rondo_aws::settings(),
    }
}

fn draft(received_at: Timestamp, trigger: Trigger, spread: Span) -> anyhow::Result<Draft> {
    let target = HttpTarget {
        url: Url::parse("https://example.com/hook")?,
        method: Method::Post,
        headers: Vec::new(),
        body: Body::Empty,
    };
    Ok(Draft {
        received_at,
        name: None,
        trigger,
        occurrences: None,
        target: Target::Http(target),
        delivery: Delivery { retry: RetryPolicy::ONCE, ..Delivery::default() },
        policy: Policy { spread, ..Policy::default() },
        tags: BTreeMap::new(),
        request: None,
        push: None,
    })
}
