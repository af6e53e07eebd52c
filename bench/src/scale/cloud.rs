//! AWS as its quotas make it, under a virtual clock: EventBridge Scheduler, the queue, the pollers, the table's
//! write units. The engine is the real one; stores are the tests' in-memory ones, behind a gate that charges for
//! them.

use super::quotas::{Bucket, Quotas};
use async_trait::async_trait;
use rondo_domain::{
    call::{CallAnswer, CallOutcome, CallRequest, Caller},
    engine::{Engine, Handled},
    execution::Execution,
    ids::ScheduleId,
    message::{Delayed, Message},
    ports::{Clock, Entropy, Observer, Queue, StoreError, Wake, Wakes},
    state::FarWake,
    time::{Span, Timestamp},
};
use rondo_tests::{
    faults::{Gate, Op},
    memory::Memory,
};
use std::{
    collections::{BTreeMap, BinaryHeap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    sync::Notify,
    time::{Duration, Instant},
};

/// How long each thing takes when nothing is in its way: one write or read of the table, one request to the
/// queue, the target's answer, the way from the queue to a function, a function's first start.
pub const TABLE_LATENCY: Span = Span::from_millis(5);
pub const QUEUE_LATENCY: Span = Span::from_millis(10);
pub const TARGET_LATENCY: Span = Span::from_millis(100);
const POLL_LATENCY: Span = Span::from_millis(16);
const COLD_START: Span = Span::from_millis(120);
/// As the template says: messages come back after so long, at most so often.
const VISIBILITY: Span = Span::from_secs(100);
const MAX_RECEIVES: u32 = 5;
const HOLD: Span = Span::from_secs(15);
/// How long the adapter goes on repeating what the table throttles before it gives the message back.
const PATIENCE: Duration = Duration::from_secs(2);

struct Waiting {
    message: Message,
    receives: u32,
}

#[derive(Default)]
struct Held {
    sent: u64,
    /// By the instant of becoming visible, then in order of sending.
    messages: BTreeMap<(Timestamp, u64), Waiting>,
    in_flight: usize,
    dead: u64,
    /// One-time schedules by name; `heap` may hold what has been removed here.
    wakes: BTreeMap<(ScheduleId, u32), Message>,
    fires: BinaryHeap<std::cmp::Reverse<(Timestamp, ScheduleId, u32)>>,
}

/// What runs, which decides what a close takes of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// One-time callbacks: one item, which leaves `due` and changes its status in `by_app` as it closes.
    OneTime,
    /// Recurring schedules: a record, and the count on the state; no index sees either.
    Often,
    /// Ones that plan anew for each occurrence: its end also moves the state's instant in `due`.
    Seldom,
}

/// What happened, counted.
#[derive(Default)]
pub struct Tally {
    pub calls: AtomicU64,
    pub early: AtomicU64,
    pub throttled: AtomicU64,
    pub failed_messages: AtomicU64,
    pub most_at_once: AtomicU64,
    pub invocations: AtomicU64,
    pub swept: AtomicU64,
    /// ms, one for each call.
    pub lateness: Mutex<Vec<u32>>,
}

pub struct Cloud {
    start: Instant,
    base: Timestamp,
    quotas: Quotas,
    load: Load,
    held: Mutex<Held>,
    changed: Notify,
    scheduled: Notify,
    scheduler: Bucket,
    table: Bucket,
    due_index: Bucket,
    app_index: Bucket,
    dice: AtomicU64,
    pub memory: Arc<Memory>,
    pub tally: Tally,
}

impl Cloud {
    pub fn new(quotas: Quotas, load: Load, base: Timestamp) -> Arc<Cloud> {
        #[expect(clippy::disallowed_methods, reason = "the runtime's paused clock is the virtual one")]
        let start = Instant::now();
        Arc::new(Cloud {
            start,
            base,
            quotas,
            load,
            held: Mutex::default(),
            changed: Notify::new(),
            scheduled: Notify::new(),
            scheduler: Bucket::new(quotas.scheduler, start),
            table: Bucket::new(quotas.table_writes, start),
            due_index: Bucket::new(quotas.index_writes, start),
            app_index: Bucket::new(quotas.index_writes, start),
            dice: AtomicU64::new(0x9e37_79b9_7f4a_7c15),
            memory: Arc::new(Memory::new()),
            tally: Tally::default(),
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn instant(&self) -> Instant {
        #[expect(clippy::disallowed_methods, reason = "the runtime's paused clock is the virtual one")]
        Instant::now()
    }

    /// What the queue still holds, and how many messages ended among the dead letters.
    pub fn left(&self) -> (usize, u64) {
        let held = self.held();
        (held.messages.len() + held.wakes.len(), held.dead)
    }

    fn put(&self, message: Message, visible: Timestamp, receives: u32) {
        let mut held = self.held();
        held.sent += 1;
        let key = (visible, held.sent);
        held.messages.insert(key, Waiting { message, receives });
        drop(held);
        self.changed.notify_one();
    }

    /// EventBridge Scheduler: fires in order, late by up to its minute, as fast as its quota lets it.
    pub async fn fire(self: Arc<Cloud>) {
        loop {
            let next = self.held().fires.peek().map(|next| next.0);
            let Some((at, id, generation)) = next else {
                self.scheduled.notified().await;
                continue;
            };
            if at > self.now() {
                tokio::select! {
                    () = self.sleep_until(at) => {}
                    () = self.scheduled.notified() => {}
                }
                continue;
            }
            let turn = self.scheduler.take(1.0, self.instant(), Duration::MAX / 4);
            tokio::time::sleep_until(turn.unwrap_or_else(|| self.instant())).await;
            let mut held = self.held();
            held.fires.pop();
            let message = held.wakes.remove(&(id, generation));
            drop(held);
            if let Some(message) = message {
                self.put(message, self.now(), 0);
            }
        }
    }

    /// The event source mapping: batches of what is visible, as many at once as it has pollers for by now.
    pub async fn poll(self: Arc<Cloud>, engine: Engine) {
        let running = Arc::new(AtomicU64::new(0));
        let (mut at_once, mut started) = (self.quotas.pollers_start, 0_u64);
        let mut grown = self.instant();
        loop {
            let now = self.now();
            let limit = at_once.min(self.quotas.most_at_once()) as u64;
            while running.load(Ordering::Relaxed) < limit.max(1) {
                let batch = self.receive(now);
                if batch.is_empty() {
                    break;
                }
                let place = running.fetch_add(1, Ordering::Relaxed) + 1;
                self.tally.most_at_once.fetch_max(place, Ordering::Relaxed);
                self.tally.invocations.fetch_add(1, Ordering::Relaxed);
                let cold = place > started;
                started = started.max(place);
                let (cloud, engine, running) = (Arc::clone(&self), engine.clone(), Arc::clone(&running));
                tokio::spawn(async move {
                    cloud.pause(POLL_LATENCY).await;
                    if cold {
                        cloud.pause(COLD_START).await;
                    }
                    cloud.invoke(&engine, batch, now).await;
                    running.fetch_sub(1, Ordering::Relaxed);
                    cloud.changed.notify_one();
                });
            }
            let visible = self.held().messages.keys().next().map(|(at, _)| *at);
            let backlog = visible.is_some_and(|at| at <= now);
            let elapsed = self.instant().duration_since(grown).as_secs_f64();
            grown = self.instant();
            if backlog {
                at_once = (at_once + self.quotas.pollers_added * elapsed).min(self.quotas.pollers_max);
            } else {
                // How fast it falls again is not documented: at the rate at which it grows.
                at_once = (at_once - self.quotas.pollers_added * elapsed).max(self.quotas.pollers_start);
            }
            // While there is a backlog, look again when there may be another poller.
            let next =
                if backlog { now.plus(Span::from_millis(200)) } else { visible.unwrap_or(Timestamp::MAX) };
            tokio::select! {
                () = self.changed.notified() => {}
                () = self.sleep_until(next.min(now.plus(Span::from_secs(3600)))) => {}
            }
        }
    }

    fn receive(&self, now: Timestamp) -> Vec<Waiting> {
        let mut held = self.held();
        let mut batch = Vec::new();
        while batch.len() < self.quotas.batch && held.in_flight < self.quotas.in_flight {
            let Some(first) = held.messages.first_entry().filter(|first| first.key().0 <= now) else {
                break;
            };
            let waiting = first.remove();
            // What failed before has stayed in flight.
            held.in_flight += usize::from(waiting.receives == 0);
            batch.push(waiting);
        }
        batch
    }

    /// One invocation of the dispatcher, as `rondo-lambda` does it: all at once, what comes back is sent together,
    /// what failed becomes visible again by itself.
    async fn invoke(&self, engine: &Engine, batch: Vec<Waiting>, received: Timestamp) {
        let until = engine.now().plus(HOLD);
        let count = batch.len();
        let handled = futures_util::future::join_all(batch.into_iter().map(|waiting| async move {
            let handled = engine.handle(waiting.message.clone(), until).await;
            (waiting, handled)
        }));
        let mut again = Vec::new();
        let mut failed = 0;
        for (waiting, handled) in handled.await {
            match handled {
                Ok(Handled::Done) => {}
                Ok(Handled::ComeBack(later)) => again.push(later),
                Err(_) if waiting.receives + 1 >= MAX_RECEIVES => self.held().dead += 1,
                Err(_) => {
                    failed += 1;
                    self.tally.failed_messages.fetch_add(1, Ordering::Relaxed);
                    self.put(waiting.message, received.plus(VISIBILITY), waiting.receives + 1);
                }
            }
        }
        if !again.is_empty() {
            let _ = engine.queue.send(again).await;
        }
        self.held().in_flight -= count - failed;
    }

    /// The sweeper's minute: pages of what is overdue, unless the queue is behind anyway.
    pub async fn sweep(self: Arc<Cloud>, engine: Engine, page: usize) {
        loop {
            self.pause(Span::from_secs(60)).await;
            let now = self.now();
            let oldest = self.held().messages.keys().next().map(|(at, _)| *at);
            if oldest.is_some_and(|oldest| now.since(oldest) > engine.settings.reach.grace) {
                continue;
            }
            if let Ok(swept) = engine.sweep(page).await {
                self.tally.swept.fetch_add(swept.schedules as u64, Ordering::Relaxed);
            }
        }
    }

    async fn pause(&self, span: Span) {
        tokio::time::sleep(span.std()).await;
    }

    /// The next of a fixed sequence.
    fn roll(&self) -> u64 {
        let mut x = self.dice.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }
}

#[async_trait]
impl Clock for Cloud {
    fn now(&self) -> Timestamp {
        self.base.plus(Span::from_millis(self.instant().duration_since(self.start).as_millis() as u64))
    }

    async fn sleep_until(&self, at: Timestamp) {
        while self.now() < at {
            tokio::time::sleep(at.since(self.now()).std()).await;
        }
    }
}

impl Entropy for Cloud {
    fn bits(&self) -> u128 {
        u128::from(self.roll()) << 64 | u128::from(self.roll())
    }
}

#[async_trait]
impl Queue for Cloud {
    async fn send(&self, messages: Vec<Delayed>) -> Result<(), StoreError> {
        self.pause(QUEUE_LATENCY).await;
        let now = self.now();
        for message in messages {
            // As rondo-aws does: whole seconds, one less, so that it is visible one to two seconds early.
            let seconds = (message.at.since(now).millis() / 1000).saturating_sub(1).min(900);
            self.put(message.message, now.plus(Span::from_secs(seconds)), 0);
        }
        Ok(())
    }
}

#[async_trait]
impl Wakes for Cloud {
    async fn set(&self, wake: Wake) -> Result<(), StoreError> {
        if !wake.far {
            return self.send(vec![Delayed { at: wake.at, message: wake.message }]).await;
        }
        let late = Span::from_millis(self.roll() % (self.quotas.scheduler_late.millis() + 1));
        let mut held = self.held();
        held.wakes.insert((wake.id, wake.generation), wake.message);
        held.fires.push(std::cmp::Reverse((wake.at.plus(late), wake.id, wake.generation)));
        drop(held);
        self.scheduled.notify_one();
        Ok(())
    }

    async fn clear(&self, id: ScheduleId, far: Option<FarWake>) -> Result<(), StoreError> {
        if let Some(far) = far {
            self.held().wakes.remove(&(id, far.generation));
        }
        Ok(())
    }
}

/// Charges what each write takes of the table and its indexes.
#[async_trait]
impl Gate for Cloud {
    async fn before(&self, op: Op) -> Result<(), StoreError> {
        let (table, due, app) = match op.name {
            "claim" => (1.0, 0.0, 0.0),
            "close" if self.load == Load::OneTime => (1.0, 1.0, 1.0),
            "close" if self.load == Load::Seldom => (2.0, 2.0, 0.0),
            "close" => (2.0, 0.0, 0.0),
            "look_later" | "save_plan" => (1.0, 2.0, 0.0),
            // Apps and listeners come from the process's cache.
            "app" | "listeners" => return Ok(()),
            _ => (0.0, 0.0, 0.0),
        };
        let now = self.instant();
        let mut turn = now;
        for (bucket, units) in [(&self.table, table), (&self.due_index, due), (&self.app_index, app)] {
            if units > 0.0 {
                let Some(at) = bucket.take(units, now, PATIENCE) else {
                    self.tally.throttled.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(PATIENCE).await;
                    return Err(StoreError::Unavailable("throttled".to_owned()));
                };
                turn = turn.max(at);
            }
        }
        tokio::time::sleep_until(turn).await;
        self.pause(TABLE_LATENCY).await;
        Ok(())
    }

    async fn after(&self, _op: Op) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl Caller for Cloud {
    async fn call(&self, _request: CallRequest) -> CallOutcome {
        let sent_at = self.now();
        self.pause(TARGET_LATENCY).await;
        let done_at = self.now();
        self.tally.calls.fetch_add(1, Ordering::Relaxed);
        let answer = CallAnswer { status: 200, retry_after: None, body: String::new() };
        CallOutcome { sent_at, first_byte_at: Some(done_at), done_at, result: Ok(answer) }
    }
}

impl Observer for Cloud {
    fn ended(&self, execution: &Execution) {
        let Some(lateness) = execution.lateness() else {
            return;
        };
        if execution.attempts.first().is_some_and(|attempt| attempt.sent_at < execution.due_at) {
            self.tally.early.fetch_add(1, Ordering::Relaxed);
        }
        let millis = u32::try_from(lateness.millis()).unwrap_or(u32::MAX);
        self.tally.lateness.lock().unwrap_or_else(PoisonError::into_inner).push(millis);
    }

    fn trouble(&self, _what: &str, _error: &StoreError) {}
}
