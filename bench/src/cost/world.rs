//! The real engine on the real AWS adapters against an emulator, under a clock that is set instead of waited for.
//! The other ends of the queue and of EventBridge Scheduler are played here, from what the adapters really sent.

use super::{
    ledger::{Ledger, Posted},
    logs,
    usage::Usage,
};
use crate::sink::Sink;
use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use axum::Router;
use base64::Engine as _;
use http_body_util::BodyExt as _;
use rondo_aws::{
    AwsSettings, Clients, DynamoStore, Meter, SchedulerWakes, SqsQueue, Telemetry, envelope,
    settings::AwsCredentials, wakes::SchedulePlace,
};
use rondo_domain::{
    callback::Links,
    engine::{AppGrant, Engine, NewApp},
    execution::Execution,
    ids::AppKey,
    message::Message,
    ports::{Clock, Entropy, Observer, Statistics, StatisticsStore, StoreError},
    time::{Span, Timestamp},
};
use rondo_http_api::{Api, ApiSettings};
use rondo_lambda::dispatch::{Dispatcher, EventSource, SqsRecord};
use rondo_outbound::{AddressPolicy, HttpCaller, SealingKey, UrlGuard, client::CallerSettings};
use serde_json::Value;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicI64, AtomicU64, Ordering},
};
use tower::ServiceExt as _;

/// As deployed: what is due within so long of its receipt is held.
const HOLD: Span = Span::from_secs(15);
/// One for each shard of the schedules and of the waiting executions, at half a read unit.
const QUERIES_OF_A_ROUND: f64 = 32.0;
/// How late EventBridge Scheduler fires: half of its minute.
const FIRES_LATE: Span = Span::from_secs(30);

/// Time goes on where somebody waits for it, and nowhere else.
pub struct SetClock {
    now: AtomicI64,
    /// Who waits for longer than this waits for ever: a deadline that is not to be met.
    horizon: AtomicI64,
}

impl SetClock {
    fn set(&self, at: Timestamp) {
        self.now.fetch_max(at.millis(), Ordering::SeqCst);
        self.horizon.store(self.now().plus(Span::from_secs(20)).millis(), Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    async fn sleep_until(&self, at: Timestamp) {
        if at.millis() > self.horizon.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.now.fetch_max(at.millis(), Ordering::SeqCst);
    }
}

/// The same bits in each run: which shard an id falls into decides how often a listing asks.
struct Sequence(AtomicU64);

impl Entropy for Sequence {
    fn bits(&self) -> u128 {
        let draw = || {
            let mut x = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^ (x >> 31)
        };
        u128::from(draw()) << 64 | u128::from(draw())
    }
}

/// Tells the functions' own telemetry, counts what ended, and keeps what went wrong.
struct Ended {
    telemetry: Telemetry,
    executions: AtomicU64,
    troubles: Mutex<Vec<String>>,
}

impl Observer for Ended {
    fn ended(&self, execution: &Execution) {
        self.executions.fetch_add(1, Ordering::Relaxed);
        self.telemetry.ended(execution);
    }

    fn trouble(&self, what: &str, error: &StoreError) {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{what}: {error}"));
    }
}

#[async_trait]
impl StatisticsStore for Ended {
    async fn statistics(&self, app: &AppKey) -> Result<Statistics, StoreError> {
        self.telemetry.statistics(app).await
    }
}

pub struct World {
    pub engine: Engine,
    pub ledger: Arc<Ledger>,
    pub sink: Sink,
    clock: Arc<SetClock>,
    ended: Arc<Ended>,
    dispatcher: Dispatcher,
    api: Router,
    /// May have as many schedules as it likes.
    pub free: AppGrant,
    /// Has a limit, which is counted.
    pub limited: AppGrant,
}

impl World {
    /// With a table, a queue and a schedule group of its own.
    pub async fn start(endpoint: &str, from: Timestamp) -> anyhow::Result<World> {
        logs::count();
        let clock = Arc::new(SetClock { now: AtomicI64::new(0), horizon: AtomicI64::new(0) });
        clock.set(from);
        let meter = Meter::default();
        let settings = settings(endpoint);
        let clients = Clients::new(&settings, rondo_aws::http::client(), Some(meter.clone()));
        let settings = prepare(settings, &clients).await?;
        let ledger = Arc::new(Ledger::default());
        let (seen, time) = (Arc::clone(&ledger), Arc::clone(&clock));
        meter.watch(move |exchange| seen.saw(exchange, time.now()));
        let (engine, ended, key) = engine(&settings, &clients, &clock)?;
        let new =
            |name: &str, max_schedules| NewApp { name: name.to_owned(), max_schedules, ..NewApp::default() };
        let free = engine.create_app(new("free", None), &key).await?;
        let limited = engine.create_app(new("limited", Some(1_000_000)), &key).await?;
        let api = Arc::new(Api {
            engine: engine.clone(),
            rules: Arc::new(UrlGuard::new(AddressPolicy::allowing_private())),
            settings: ApiSettings {
                public_url: Some("https://api.example".to_owned()),
                ..ApiSettings::default()
            },
        });
        Ok(World {
            dispatcher: Dispatcher { engine: engine.clone(), hold: HOLD },
            engine,
            ledger,
            sink: Sink::start().await?,
            clock,
            ended,
            api: rondo_http_api::native::router(api),
            free,
            limited,
        })
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn pass(&self, span: Span) {
        self.clock.set(self.now().plus(span));
    }

    pub fn executions(&self) -> u64 {
        self.ended.executions.load(Ordering::Relaxed)
    }

    /// What a piece of work asks of AWS.
    pub async fn measure<T>(
        &self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<(T, Usage)> {
        let (before, logged) = (self.ledger.usage(), logs::bytes());
        let done = work.await?;
        let mut usage = self.ledger.usage() - &before;
        usage.log_bytes = (logs::bytes() - logged) as f64;
        let faults = self.ledger.faults();
        ensure!(faults.is_empty(), "not understood: {faults:?}");
        let troubles = self.ended.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(troubles.is_empty(), "something went wrong: {troubles:?}");
        Ok((done, usage))
    }

    /// One request to the API as that app; the answer's status and body.
    pub async fn call(
        &self,
        app: &AppGrant,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let credentials =
            base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", app.key, app.secret));
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Basic {credentials}"))
            .header("content-type", "application/json")
            .header("host", "api.example")
            .body(axum::body::Body::from(body.map(|body| body.to_string()).unwrap_or_default()))?;
        let answer = self.api.clone().oneshot(request).await?;
        self.ended.telemetry.flush().await;
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await?.to_bytes();
        Ok((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    /// The same, where only success will do.
    pub async fn ask(
        &self,
        app: &AppGrant,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let (status, answer) = self.call(app, method, path, body).await?;
        ensure!((200..300).contains(&status), "{method} {path} answered {status}: {answer}");
        Ok(answer)
    }

    /// Lets the dispatcher have all that becomes visible until then, in batches of so many. What it asks for is
    /// given apart: for planning (wakes), and for everything else.
    pub async fn deliver(&self, until: Timestamp, batch: usize) -> anyhow::Result<Delivered> {
        let mut delivered = Delivered::default();
        while let Some(at) = self.ledger.next_visible().filter(|at| *at <= until) {
            self.clock.set(at);
            let before = self.ledger.usage();
            let mut received = self.ledger.receive(self.now(), batch);
            if received.iter().any(|posted| posted.far) {
                self.clock.set(self.now().plus(FIRES_LATE));
            }
            let mut received_usage = self.ledger.usage() - &before;
            // Apart, so that what each asks for can be told.
            let wakes: Vec<Posted> = received.extract_if(.., |posted| is_wake(posted)).collect();
            let share = wakes.len() as f64 / (wakes.len() + received.len()).max(1) as f64;
            let ((), mut usage) = self.measure(self.hand_over(wakes, true)).await?;
            usage.messages_received += received_usage.messages_received * share;
            received_usage.messages_received *= 1.0 - share;
            delivered.planning += &usage;
            let ((), mut usage) = self.measure(self.hand_over(received, false)).await?;
            usage += &received_usage;
            delivered.calling += &usage;
        }
        self.clock.set(until);
        Ok(delivered)
    }

    /// The same with the sweeper's round each minute. What a round costs that finds nothing is a deployment's, not
    /// an execution's; what it wakes is somebody's.
    pub async fn deliver_and_sweep(&self, until: Timestamp, batch: usize) -> anyhow::Result<Delivered> {
        let mut all = Delivered::default();
        while self.now() < until {
            let minute = self.now().plus(Span::from_secs(60)).min(until);
            let part = self.deliver(minute, batch).await?;
            all.planning += &part.planning;
            all.calling += &part.calling;
            let (swept, mut usage) = self.measure(async { Ok(self.engine.sweep(1_000).await?) }).await?;
            if swept.schedules + swept.attempts > 0 {
                usage.read_units -= QUERIES_OF_A_ROUND * 0.5;
                usage.reported_read_units -= QUERIES_OF_A_ROUND * 0.5;
                usage.swept += (swept.schedules + swept.attempts) as f64;
                all.calling += &usage;
            }
        }
        Ok(all)
    }

    /// One invocation. `plans`: what it sends is new; else it is what came too early, going back.
    async fn hand_over(&self, posted: Vec<Posted>, plans: bool) -> anyhow::Result<()> {
        if posted.is_empty() {
            return Ok(());
        }
        let count = posted.len() as f64;
        let records = posted.into_iter().enumerate().map(|(place, posted)| SqsRecord {
            message_id: place.to_string(),
            body: posted.body,
            event_source: EventSource::Sqs,
        });
        let before = self.ledger.usage();
        let deadline = self.now().plus(Span::from_secs(90));
        let answer = self.dispatcher.handle(records.collect(), deadline).await;
        self.ended.telemetry.flush().await;
        ensure!(answer.batch_item_failures.is_empty(), "the dispatcher left {answer:?}");
        if !plans {
            let more = self.ledger.usage() - &before;
            self.ledger.note(|usage| {
                usage.messages_again += more.messages_sent;
                usage.sends_again += more.sends;
                usage.messages_held += count - more.messages_sent;
            });
        }
        Ok(())
    }
}

/// What deliveries asked for.
#[derive(Default)]
pub struct Delivered {
    pub planning: Usage,
    pub calling: Usage,
}

fn is_wake(posted: &Posted) -> bool {
    envelope::read(&posted.body).is_ok_and(|delayed| matches!(delayed.message, Message::Wake { .. }))
}

fn settings(endpoint: &str) -> AwsSettings {
    let name = format!("rondo-cost-{}", crate::moment::micros());
    let arn = |service: &str, rest: &str| Some(format!("arn:aws:{service}:us-east-1:000000000000:{rest}"));
    AwsSettings {
        region: "us-east-1".to_owned(),
        endpoint: Some(endpoint.to_owned()),
        credentials: AwsCredentials::of_an_emulator(),
        table: name.clone(),
        queue_url: None,
        queue_arn: arn("sqs", &name),
        dead_letter_arn: arn("sqs", "dead-letters"),
        schedule_group: Some(name),
        scheduler_role_arn: arn("iam", "role/scheduler"),
        sealing_secret: None,
        retention: Span::from_secs(30 * 24 * 3600),
        // Longer than any of this takes: each process reads its apps once in ten seconds, not once in a call.
        cache: Span::from_secs(10_000_000),
    }
}

async fn prepare(mut settings: AwsSettings, clients: &Clients) -> anyhow::Result<AwsSettings> {
    rondo_aws::store::schema::create_table(&clients.dynamodb, &settings.table).await?;
    let queue = clients.sqs.create_queue().queue_name(&settings.table).send().await?;
    settings.queue_url = queue.queue_url;
    let group = settings.schedule_group.clone().unwrap_or_default();
    clients.scheduler.create_schedule_group().name(group).send().await?;
    Ok(settings)
}

fn engine(
    settings: &AwsSettings,
    clients: &Clients,
    clock: &Arc<SetClock>,
) -> anyhow::Result<(Engine, Arc<Ended>, SealingKey)> {
    let time = Arc::clone(clock) as Arc<dyn Clock>;
    let store = Arc::new(DynamoStore::new(clients.dynamodb.clone(), settings, Arc::clone(&time)));
    let url = settings.queue_url.clone().context("the queue's address")?;
    let queue = SqsQueue::new(clients.sqs.clone(), url, Arc::clone(&time));
    let place = SchedulePlace {
        group: settings.schedule_group.clone().unwrap_or_default(),
        queue_arn: settings.queue_arn.clone().unwrap_or_default(),
        role_arn: settings.scheduler_role_arn.clone().unwrap_or_default(),
        dead_letter_arn: settings.dead_letter_arn.clone(),
    };
    let wakes = SchedulerWakes::new(clients.scheduler.clone(), queue.clone(), place);
    let key = SealingKey::from_bytes([7; 32]);
    let policy = AddressPolicy::allowing_private();
    let now = Arc::clone(clock);
    let caller = HttpCaller::new(CallerSettings::new(policy, key.clone()), Arc::new(move || now.now()))?;
    let entropy = Arc::new(Sequence(AtomicU64::new(1)));
    let telemetry =
        Telemetry::new(store.as_ref().clone(), settings.table.clone(), entropy.bits(), Arc::clone(&time));
    let ended = Arc::new(Ended {
        telemetry: telemetry.writing_to(logs::Counting),
        executions: AtomicU64::new(0),
        troubles: Mutex::default(),
    });
    let engine = Engine {
        clock: time,
        entropy,
        apps: store.clone(),
        schedules: store.clone(),
        states: store.clone(),
        executions: store.clone(),
        listeners: store.clone(),
        devices: store,
        queue: Arc::new(queue),
        wakes: Arc::new(wakes),
        caller: Arc::new(caller),
        pusher: Arc::new(rondo_domain::push::sender::NoSender),
        observer: ended.clone(),
        statistics: ended.clone(),
        links: Links::new("https://api.example", key.derive("links")),
        settings: rondo_aws::settings(),
    };
    Ok((engine, ended, key))
}
