//! An engine over the world in memory, the queue and the target as the test says, and the runtime's paused clock.

use async_trait::async_trait;
use rondo_aws::envelope;
use rondo_domain::{
    app::{App, AppLimits},
    call::{CallAnswer, CallFailure, CallOutcome, CallRequest, Caller, FailureKind, Method},
    callback::Links,
    engine::{Draft, Engine},
    execution::Execution,
    ids::{AppKey, ScheduleId},
    message::{Delayed, Message},
    policy::{Delivery, Policy},
    ports::{
        AppStore as _, Clock, Entropy, Observer, Queue, Statistics, StatisticsStore, StoreError, Wake, Wakes,
    },
    schedule::{Body, HttpTarget, Target},
    state::{FarWake, State},
    time::{Span, Timestamp},
    trigger::{Interval, Single, Trigger},
};
use rondo_lambda::{
    absent::NoCaller,
    dispatch::{BatchAnswer, Dispatcher, SqsBatch},
    event::Incoming,
};
use rondo_tests::{
    faults::{Faulty, Gate, Op, Stores},
    memory::Memory,
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::time::Instant;

pub const START: Timestamp = Timestamp::from_millis(1_900_000_000_000);
/// Of the deployed dispatcher.
pub const TIMEOUT: Span = Span::from_secs(90);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test goes on after a panic under this lock")
}

/// The runtime's paused clock, from [`START`] on.
pub struct PausedClock(Instant);

impl PausedClock {
    fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the runtime's paused clock is the virtual one")]
        let start = Instant::now();
        PausedClock(start)
    }
}

#[async_trait]
impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        START.plus(Span::from_millis(self.0.elapsed().as_millis() as u64))
    }

    async fn sleep_until(&self, at: Timestamp) {
        while self.now() < at {
            tokio::time::sleep(at.since(self.now()).std()).await;
        }
    }
}

#[derive(Default)]
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn bits(&self) -> u128 {
        // Spread over all bits: ids take some of them, tokens others.
        let next = u128::from(self.0.fetch_add(1, Ordering::SeqCst) + 1);
        next.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
    }
}

/// What the queue does with what it is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueMood {
    #[default]
    Takes,
    Refuses,
    /// Never answers.
    Hangs,
}

/// Keeps what it is sent: a list for each sending, with its instant.
pub struct Sent {
    clock: Arc<PausedClock>,
    mood: Mutex<QueueMood>,
    sendings: Mutex<Vec<(Timestamp, Vec<Delayed>)>>,
    far: Mutex<Vec<Wake>>,
}

#[async_trait]
impl Queue for Sent {
    async fn send(&self, messages: Vec<Delayed>) -> Result<(), StoreError> {
        let mood = *lock(&self.mood);
        match mood {
            QueueMood::Takes => lock(&self.sendings).push((self.clock.now(), messages)),
            QueueMood::Refuses => return Err(StoreError::Unavailable("the queue is away".to_owned())),
            QueueMood::Hangs => std::future::pending().await,
        }
        Ok(())
    }
}

#[async_trait]
impl Wakes for Sent {
    async fn set(&self, wake: Wake) -> Result<(), StoreError> {
        if wake.far {
            lock(&self.far).push(wake);
            return Ok(());
        }
        self.send(vec![Delayed { at: wake.at, message: wake.message }]).await
    }

    async fn clear(&self, _id: ScheduleId, _far: Option<FarWake>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// What is called: the path says what becomes of it.
pub struct Targets {
    clock: Arc<PausedClock>,
    calls: Mutex<Vec<(String, Timestamp)>>,
}

#[async_trait]
impl Caller for Targets {
    async fn call(&self, request: CallRequest) -> CallOutcome {
        let sent_at = self.clock.now();
        lock(&self.calls).push((request.webhook_id.clone(), sent_at));
        let result = match request.url.path() {
            "/panics" => panic!("as intended"),
            "/hangs" => std::future::pending().await,
            "/slow" => {
                self.clock.sleep_until(sent_at.plus(request.timeout)).await;
                Err(CallFailure { kind: FailureKind::Timeout, detail: "no answer in time".to_owned() })
            }
            "/fails" => Ok(CallAnswer { status: 500, retry_after: None, body: String::new() }),
            _ => Ok(CallAnswer { status: 200, retry_after: None, body: String::new() }),
        };
        CallOutcome { sent_at, first_byte_at: None, done_at: self.clock.now(), result }
    }
}

/// Refuses the operations that are named.
#[derive(Default)]
pub struct Refusals(Mutex<BTreeSet<&'static str>>);

#[async_trait]
impl Gate for Refusals {
    async fn before(&self, op: Op) -> Result<(), StoreError> {
        if lock(&self.0).contains(op.name) {
            return Err(StoreError::Unavailable(format!("{} was refused", op.name)));
        }
        Ok(())
    }

    async fn after(&self, _op: Op) -> Result<(), StoreError> {
        Ok(())
    }
}

struct Silent;

impl Observer for Silent {
    fn ended(&self, _execution: &Execution) {}
    fn trouble(&self, _what: &str, _error: &StoreError) {}
}

#[async_trait]
impl StatisticsStore for Silent {
    async fn statistics(&self, _app: &AppKey) -> Result<Statistics, StoreError> {
        Ok(Statistics::default())
    }
}

pub struct World {
    pub engine: Engine,
    pub memory: Arc<Memory>,
    pub app: App,
    sent: Arc<Sent>,
    targets: Arc<Targets>,
    refusals: Arc<Refusals>,
}

impl World {
    /// With the clock of a paused runtime.
    pub async fn start() -> World {
        let clock = Arc::new(PausedClock::start());
        let memory = Arc::new(Memory::new());
        let refusals = Arc::new(Refusals::default());
        let faulty = Arc::new(Faulty {
            inner: Stores::of(&memory),
            queue: None,
            gate: Arc::clone(&refusals) as Arc<dyn Gate>,
            torn_close: None,
        });
        let stores = Stores::of(&faulty);
        let sent = Arc::new(Sent {
            clock: Arc::clone(&clock),
            mood: Mutex::default(),
            sendings: Mutex::default(),
            far: Mutex::default(),
        });
        let targets = Arc::new(Targets { clock: Arc::clone(&clock), calls: Mutex::default() });
        let engine = Engine {
            clock,
            entropy: Arc::new(Counting::default()),
            apps: stores.apps,
            schedules: stores.schedules,
            states: stores.states,
            executions: stores.executions,
            listeners: stores.listeners,
            devices: stores.devices,
            queue: sent.clone(),
            wakes: sent.clone(),
            caller: targets.clone(),
            pusher: Arc::new(rondo_domain::push::sender::NoSender),
            observer: Arc::new(Silent),
            statistics: Arc::new(Silent),
            links: Links::new("https://rondo.example", [7; 32]),
            settings: rondo_aws::settings(),
        };
        let app = App {
            key: "tested".parse().expect("a key"),
            name: "tested".to_owned(),
            time_zone: chrono_tz::UTC,
            created_at: START,
            secrets: Vec::new(),
            signing_secrets: Vec::new(),
            limits: AppLimits::default(),
            push: Default::default(),
        };
        memory.add_app(app.clone()).await.expect("the memory takes it");
        World { engine, memory, app, sent, targets, refusals }
    }

    /// The engine as an API function has it: it calls nobody.
    pub fn api_engine(&self) -> Engine {
        Engine { caller: Arc::new(NoCaller(self.engine.clock.clone())), ..self.engine.clone() }
    }

    pub fn now(&self) -> Timestamp {
        self.engine.now()
    }

    pub async fn sleep(&self, span: Span) {
        self.engine.clock.sleep_until(self.now().plus(span)).await;
    }

    pub fn queue_mood(&self, mood: QueueMood) {
        *lock(&self.sent.mood) = mood;
    }

    /// The store refuses these operations of its ports from now on, and no others.
    pub fn refuse(&self, operations: &[&'static str]) {
        *lock(&self.refusals.0) = operations.iter().copied().collect();
    }

    /// What was sent since the last time, sending by sending.
    pub fn take_sendings(&self) -> Vec<(Timestamp, Vec<Delayed>)> {
        std::mem::take(&mut lock(&self.sent.sendings))
    }

    /// The same, as one list.
    pub fn take_sent(&self) -> Vec<Delayed> {
        self.take_sendings().into_iter().flat_map(|(_, messages)| messages).collect()
    }

    /// Webhook ids and instants of the calls so far.
    pub fn calls(&self) -> Vec<(String, Timestamp)> {
        lock(&self.targets.calls).clone()
    }

    pub fn draft(&self, trigger: Trigger, path: &str) -> Draft {
        Draft {
            received_at: self.now(),
            name: None,
            trigger,
            occurrences: None,
            target: Target::Http(HttpTarget {
                url: format!("https://target.example{path}").parse().expect("a URL"),
                method: Method::Post,
                headers: Vec::new(),
                body: Body::Empty,
            }),
            delivery: Delivery { timeout: Span::from_secs(60), ..Delivery::default() },
            policy: Policy::default(),
            tags: BTreeMap::new(),
            request: None,
            push: None,
        }
    }

    /// A one-time callback in so long; its segment, as it went to the queue.
    pub async fn single(&self, after: Span, path: &str) -> Delayed {
        let at = self.now().plus(after);
        let draft = self.draft(Trigger::Single(Single { at }), path);
        self.engine.create(&self.app, draft).await.expect("a schedule");
        let mut sent = self.take_sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }

    /// A schedule that is due every so often; its first wake, as it went to the queue.
    pub async fn interval(&self, every: Span, path: &str) -> Delayed {
        let first = self.now().plus(every);
        let draft = self.draft(Trigger::Interval(Interval { every, first, end: None }), path);
        self.engine.create(&self.app, draft).await.expect("a schedule");
        let mut sent = self.take_sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }

    pub fn states(&self) -> Vec<(State, Vec<Execution>)> {
        self.memory.snapshot().into_iter().map(|(_, state, records)| (state, records)).collect()
    }

    /// As the event source mapping hands them over; the ids of the messages are `m0`, `m1`, ….
    pub async fn dispatch(&self, bodies: &[String]) -> BatchAnswer {
        self.dispatch_within(bodies, TIMEOUT).await
    }

    pub async fn dispatch_within(&self, bodies: &[String], left: Span) -> BatchAnswer {
        let dispatcher = Dispatcher { engine: self.engine.clone(), hold: rondo_lambda::settings::HOLD };
        let deadline = self.now().plus(left);
        let batch = sqs_batch(bodies);
        dispatcher.answer(Incoming::Event(batch), deadline).await.expect("a batch")
    }
}

pub fn bodies(messages: &[Delayed]) -> Vec<String> {
    messages.iter().map(envelope::write).collect()
}

pub fn sqs_batch(bodies: &[String]) -> SqsBatch {
    let records: Vec<_> = bodies
        .iter()
        .enumerate()
        .map(|(index, body)| {
            json!({
                "messageId": format!("m{index}"),
                "receiptHandle": "AQEB",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:rondo-delivery",
                "awsRegion": "eu-west-1",
            })
        })
        .collect();
    serde_json::from_value(json!({"Records": records})).expect("an event of SQS")
}

/// The ids of the records that failed.
pub fn failed(answer: &BatchAnswer) -> Vec<&str> {
    answer.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect()
}

pub fn is_segment(message: &Delayed) -> bool {
    matches!(message.message, Message::Segment(_))
}
