//! A store in a temporary folder, a clock that the test sets, a target that answers at once, and schedules.

use async_trait::async_trait;
use rondo_domain::{
    app::{App, AppLimits},
    call::{CallAnswer, CallOutcome, CallRequest, Caller, Method},
    callback::Links,
    engine::{Draft, Engine},
    execution::{Attempt, Execution, ExecutionStatus},
    ids::{AppKey, NO_SLOT, ScheduleId, Token},
    policy::{Delivery, Overlap, Policy},
    ports::{
        AppStore, Clock, CloseWrite, Created, Entropy, NewSchedule, ScheduleStore, StateStore, StoreError,
    },
    push::sender::NoSender,
    schedule::{Body, Definition, HttpTarget, Target},
    state::{ClaimAnswer, ClaimAsk, Closed, Closing, State},
    time::{Span, Timestamp},
    trigger::{Interval, Trigger},
};
use rondo_local::{LocalStore, Metrics, OpenError, Options, settings};
use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
};
use tempfile::TempDir;
use tokio::sync::Notify;

pub const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

pub fn at(millis: u64) -> Timestamp {
    START.plus(Span::from_millis(millis))
}

pub fn app_key() -> AppKey {
    "ours".parse().unwrap()
}

/// Stands still until it is set.
pub struct HandClock {
    now: AtomicI64,
    moved: Notify,
}

impl HandClock {
    pub fn new() -> Arc<Self> {
        Arc::new(HandClock { now: AtomicI64::new(START.millis()), moved: Notify::new() })
    }

    pub fn set(&self, to: Timestamp) {
        self.now.store(to.millis(), Ordering::SeqCst);
        self.moved.notify_waiters();
    }
}

#[async_trait]
impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst))
    }

    async fn sleep_until(&self, at: Timestamp) {
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            if self.now() >= at {
                return;
            }
            moved.await;
        }
    }
}

/// Counts up: every bit pattern once.
#[derive(Default)]
pub struct Counting(AtomicU64);

impl Entropy for Counting {
    fn bits(&self) -> u128 {
        let next = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        (u128::from(next) << 64) | (u128::from(next) << 41) | u128::from(next)
    }
}

/// What one call carried: its id, and when it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub id: String,
    pub at: Timestamp,
}

/// Answers every call, and keeps it.
pub struct Recorder {
    clock: Arc<dyn Clock>,
    calls: Mutex<Vec<Call>>,
    pub arrived: Notify,
    /// Calls that are answered 500 before all others succeed.
    pub refusals: AtomicUsize,
    /// Calls that panic before all others are answered.
    pub panics: AtomicUsize,
    /// Calls wait here for as long as it is held.
    pub gate: tokio::sync::RwLock<()>,
}

impl Recorder {
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Recorder {
            clock,
            calls: Mutex::default(),
            arrived: Notify::new(),
            refusals: AtomicUsize::new(0),
            panics: AtomicUsize::new(0),
            gate: tokio::sync::RwLock::default(),
        })
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub async fn until(&self, count: usize) -> Vec<Call> {
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            arrived.as_mut().enable();
            let calls = self.calls();
            if calls.len() >= count {
                return calls;
            }
            arrived.await;
        }
    }
}

#[async_trait]
impl Caller for Recorder {
    async fn call(&self, request: CallRequest) -> CallOutcome {
        let sent_at = self.clock.now();
        self.calls.lock().unwrap().push(Call { id: request.webhook_id, at: sent_at });
        self.arrived.notify_waiters();
        let _open = self.gate.read().await;
        let refuse = |left: usize| left.checked_sub(1);
        if self.panics.fetch_update(Ordering::SeqCst, Ordering::SeqCst, refuse).is_ok() {
            panic!("a bug, as the test asked for");
        }
        let refused = self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, refuse).is_ok();
        let status = if refused { 500 } else { 200 };
        let answer = CallAnswer { status, retry_after: None, body: String::new() };
        CallOutcome { sent_at, first_byte_at: None, done_at: self.clock.now(), result: Ok(answer) }
    }
}

pub struct World {
    pub folder: TempDir,
    pub clock: Arc<HandClock>,
    pub store: LocalStore,
    next: AtomicU64,
}

pub fn options(folder: &Path, clock: Arc<dyn Clock>) -> Options {
    Options::new(folder, clock)
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(set: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = HandClock::new();
        let mut options = options(folder.path(), clock.clone());
        set(&mut options);
        let store = LocalStore::open(options).unwrap();
        World { folder, clock, store, next: AtomicU64::new(1) }
    }

    /// The process dies, and another one starts.
    pub fn crash(self) -> Self {
        let World { folder, clock, store, next } = self;
        drop(store);
        let store = LocalStore::open(options(folder.path(), clock.clone())).unwrap();
        World { folder, clock, store, next }
    }

    pub fn open_again(&self) -> Result<LocalStore, OpenError> {
        LocalStore::open(options(self.folder.path(), self.clock.clone()))
    }

    pub fn token(&self) -> Token {
        Token(self.next.fetch_add(1, Ordering::SeqCst))
    }

    pub async fn create(&self, edit: impl FnOnce(&mut Definition, &mut State)) -> ScheduleId {
        self.try_create(edit).await.unwrap()
    }

    pub async fn try_create(
        &self,
        edit: impl FnOnce(&mut Definition, &mut State),
    ) -> Result<ScheduleId, StoreError> {
        let token = self.token();
        let id = ScheduleId::new(self.clock.now(), u128::from(token.0) << 64);
        let anchor = self.clock.now().minus(Span::from_millis(1));
        let mut definition = definition(id, self.clock.now());
        let mut state = State::new(id, app_key(), None, anchor, token);
        state.look_again_at = Some(at(0));
        edit(&mut definition, &mut state);
        definition.app = state.app.clone();
        let new = NewSchedule {
            definition,
            state,
            number_it: false,
            limit: None,
            push_limit: None,
            idempotency: None,
        };
        match self.store.create(new).await? {
            Created::Done(_) => Ok(id),
            refused => panic!("neither limit nor key was given: {refused:?}"),
        }
    }

    pub async fn state(&self, id: ScheduleId) -> State {
        self.store.load(id).await.unwrap().unwrap().state
    }

    pub async fn claim(&self, id: ScheduleId, number: u32) -> (ClaimAnswer, Token) {
        let token = self.token();
        let generation = self.state(id).await.generation;
        let due = at(u64::from(number) * 1000);
        let lease_until = self.clock.now().plus(settings().lease);
        let overlap = Overlap::Allow;
        let ask = ClaimAsk { id, number, at: due, due, generation, token, lease_until, overlap };
        (self.store.claim(&ask, self.clock.now()).await.unwrap(), token)
    }

    pub async fn close(&self, id: ScheduleId, number: u32, token: Token) -> Result<Closed, StoreError> {
        self.record(self.outcome(id, number, token, ExecutionStatus::Succeeded)).await
    }

    /// The port's `close`; the store's own ends it.
    pub async fn record(&self, write: CloseWrite) -> Result<Closed, StoreError> {
        StateStore::close(&self.store, write).await
    }

    /// The writer's thread and the tasks that wait for it have had a turn: it answers in order.
    pub async fn turn(&self) {
        let nobody = ScheduleId::new(START, 0);
        self.store.told(nobody).await.unwrap();
        tokio::task::yield_now().await;
    }

    pub fn outcome(&self, id: ScheduleId, number: u32, token: Token, status: ExecutionStatus) -> CloseWrite {
        let due = at(u64::from(number) * 1000);
        let mut execution = Execution::new(id.execution(number, NO_SLOT), app_key(), 1, due, due, token);
        execution.status = status;
        let waits = status == ExecutionStatus::Waiting;
        execution.next_attempt_at = waits.then(|| self.clock.now().plus(Span::from_secs(5)));
        execution.attempts.push(Attempt {
            sent_at: due,
            first_byte_at: None,
            done_at: due,
            status: Some(200),
            failure: None,
            body: String::new(),
        });
        let closing = if waits { Closing::Waiting } else { Closing::Over(status) };
        CloseWrite { execution, closing, last_status: Some(200), now: self.clock.now(), tell_end: false }
    }

    pub fn engine(&self, caller: Arc<dyn Caller>) -> Engine {
        engine(&self.store, self.clock.clone(), caller)
    }
}

pub fn engine(store: &LocalStore, clock: Arc<dyn Clock>, caller: Arc<dyn Caller>) -> Engine {
    let shared = Arc::new(store.clone());
    let metrics = Arc::new(Metrics::new(clock.now()));
    Engine {
        clock,
        entropy: Arc::new(Counting::default()),
        apps: shared.clone(),
        schedules: shared.clone(),
        states: shared.clone(),
        executions: shared.clone(),
        listeners: shared.clone(),
        devices: shared.clone(),
        queue: shared.clone(),
        wakes: shared,
        caller,
        pusher: Arc::new(NoSender),
        observer: metrics.clone(),
        statistics: metrics,
        links: Links::new("http://localhost", [7; 32]),
        settings: settings(),
    }
}

pub async fn add_app(store: &LocalStore) -> App {
    let app = App {
        key: app_key(),
        name: "ours".to_owned(),
        time_zone: chrono_tz::UTC,
        created_at: START,
        secrets: Vec::new(),
        signing_secrets: Vec::new(),
        limits: AppLimits::default(),
        push: Default::default(),
    };
    assert!(store.add_app(app.clone()).await.unwrap());
    app
}

pub fn every(millis: u64, first: Timestamp) -> Trigger {
    Trigger::Interval(Interval { first, every: Span::from_millis(millis), end: None })
}

pub fn target() -> Target {
    Target::Http(HttpTarget {
        url: "https://example.com/hook".parse().unwrap(),
        method: Method::Post,
        headers: Vec::new(),
        body: Body::Empty,
    })
}

pub fn draft(trigger: Trigger, occurrences: Option<u32>) -> Draft {
    Draft {
        received_at: START,
        name: None,
        trigger,
        occurrences,
        target: target(),
        delivery: Delivery::default(),
        policy: Policy::default(),
        tags: Default::default(),
        request: None,
        push: None,
    }
}

fn definition(id: ScheduleId, now: Timestamp) -> Definition {
    Definition {
        id,
        app: app_key(),
        name: None,
        trigger: every(1000, at(1000)),
        occurrences: None,
        target: target(),
        delivery: Delivery::default(),
        policy: Policy::default(),
        tags: Default::default(),
        created_at: now,
        updated_at: now,
        request: None,
        push: None,
    }
}
