//! The simulated world: a virtual clock, processes that may die between any two port calls, a queue that
//! drops, doubles and delays, wakes that come late or never. All on one thread, so that a seed is a run.

use super::{
    dice::Dice,
    ledger::Ledger,
    pushes::told::{self, PushLedger},
    scenario::{Faults, Scenario},
    target::Targets,
};
use crate::{
    faults::{Faulty, Gate, Op, Stores},
    memory::{Memory, MemoryQueue},
};
use async_trait::async_trait;
use rondo_domain::{
    callback::Links,
    engine::{Engine, Handled, Settings, Swept},
    execution::Execution,
    ids::ScheduleId,
    message::{Delayed, Message},
    plan::Reach,
    ports::{Clock, Entropy, Observer, Queue, StoreError, Wake, Wakes},
    state::FarWake,
    time::{Span, Timestamp},
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI64, Ordering},
};
use tokio::{sync::Notify, task::JoinSet, time::Instant};

const SECOND: Span = Span::from_secs(1);
/// Longer than a lease, as on AWS.
const VISIBILITY: Span = Span::from_secs(100);
/// What is due within so long of its receipt is held.
const HOLD: Span = Span::from_secs(15);

/// As on AWS, but that fewer occurrences are open at once: so that short runs meet the bound, too.
pub fn settings() -> Settings {
    Settings {
        reach: Reach {
            window: Span::from_secs(840),
            lead: Span::from_secs(180),
            lead_spread: Span::from_secs(480),
            max_open: 40,
            segment_span: SECOND,
            resend_after: Span::from_secs(120),
            missed_after: Span::from_secs(300),
            grace: Span::from_secs(60),
        },
        lease: Span::from_secs(75),
        claim_ahead: Span::from_millis(200),
        carry_definition: 32 * 1024,
        plan_singles: true,
        page: 4,
        told_at_once: 3,
    }
}

pub struct World {
    start: Instant,
    base: Timestamp,
    pub calm_at: Timestamp,
    pub dice: Arc<Dice>,
    pub faults: Faults,
    pub ledger: Arc<Ledger>,
    pub memory: Arc<Memory>,
    pub queue: MemoryQueue,
    pub pushes: PushLedger,
    sent: Notify,
}

impl World {
    pub fn new(scenario: &Scenario, dice: Arc<Dice>, ledger: Arc<Ledger>) -> Arc<Self> {
        #[expect(clippy::disallowed_methods, reason = "the runtime's paused clock is the virtual one")]
        let start = Instant::now();
        let base = scenario.base;
        let watch = {
            let ledger = Arc::clone(&ledger);
            Box::new(move |applied: &_| ledger.applied(true_time(start, base), applied))
        };
        Arc::new(World {
            start,
            base,
            calm_at: scenario.calm_at,
            dice,
            faults: scenario.faults.clone(),
            ledger,
            memory: Arc::new(Memory::watched(watch)),
            queue: MemoryQueue::default(),
            pushes: PushLedger::default(),
            sent: Notify::new(),
        })
    }

    /// The true time; processes have clocks of their own.
    pub fn now(&self) -> Timestamp {
        true_time(self.start, self.base)
    }

    pub async fn sleep_until(&self, at: Timestamp) {
        while self.now() < at {
            tokio::time::sleep(at.since(self.now()).std()).await;
        }
    }

    pub fn is_calm(&self) -> bool {
        self.now() >= self.calm_at
    }

    pub fn hits(&self, per_10_000: u32) -> bool {
        per_10_000 > 0 && !self.is_calm() && self.dice.hits(per_10_000)
    }

    fn stores_are_away(&self) -> bool {
        let now = self.now();
        self.faults.outages.iter().any(|(from, until, stores)| *stores && *from <= now && now < *until)
    }

    fn processes_are_away(&self) -> bool {
        let now = self.now();
        self.faults.outages.iter().any(|(from, until, stores)| !stores && *from <= now && now < *until)
    }

    fn send(&self, messages: Vec<Delayed>) {
        let now = self.now();
        for message in messages {
            // Notices are kept; everything else the sweeper makes good.
            if !matches!(message.message, Message::Notice(_)) && self.hits(self.faults.drop) {
                self.ledger.tally(|tally| tally.dropped += 1);
                self.ledger.note(now, "a message is dropped");
                continue;
            }
            let late = |world: &World| match world.hits(world.faults.delay) {
                true => Span::from_millis(world.dice.between(1, 60_000)),
                false => Span::from_millis(world.dice.between(0, 30)),
            };
            if self.hits(self.faults.double) {
                self.ledger.tally(|tally| tally.doubled += 1);
                self.queue.send(message.clone(), late(self), now);
            }
            self.queue.send(message, late(self), now);
        }
        self.sent.notify_one();
    }
}

fn true_time(start: Instant, base: Timestamp) -> Timestamp {
    base.plus(Span::from_millis(start.elapsed().as_millis() as u64))
}

#[async_trait]
impl Queue for World {
    async fn send(&self, messages: Vec<Delayed>) -> Result<(), StoreError> {
        World::send(self, messages);
        Ok(())
    }
}

/// What the queue can carry goes through it at once; the rest waits as a one-time schedule, which fires up
/// to a minute late.
#[async_trait]
impl Wakes for World {
    async fn set(&self, wake: Wake) -> Result<(), StoreError> {
        let Wake { id, generation, at, far, message } = wake;
        if far {
            let late = Span::from_millis(self.dice.between(0, 59_000));
            let never = self.hits(self.faults.wake_never);
            let fires = if never { Timestamp::MAX } else { at.plus(late) };
            self.queue.set_wake(id, FarWake { at, generation }, fires, message);
            self.sent.notify_one();
        } else {
            World::send(self, vec![Delayed { at, message }]);
        }
        Ok(())
    }

    async fn clear(&self, id: ScheduleId, far: Option<FarWake>) -> Result<(), StoreError> {
        if let Some(far) = far {
            self.queue.clear_wake(id, far);
        }
        Ok(())
    }
}

/// One process: a clock of its own, and tasks that all die with it.
pub struct Process {
    pub name: String,
    world: Arc<World>,
    skew_ms: i64,
    /// In ms: until then it is dead.
    back_at: AtomicI64,
    tasks: Mutex<JoinSet<()>>,
}

impl Process {
    pub fn start(world: &Arc<World>, targets: &Arc<Targets>, name: &str) -> (Arc<Process>, Engine) {
        let max = world.faults.max_skew_ms;
        let skew_ms = world.dice.between(0, 2 * max) as i64 - max as i64;
        let process = Arc::new(Process {
            name: name.to_owned(),
            world: Arc::clone(world),
            skew_ms,
            back_at: AtomicI64::new(i64::MIN),
            tasks: Mutex::default(),
        });
        let ports = Arc::new(Faulty {
            inner: Stores::of(&world.memory),
            queue: Some((Arc::clone(world) as Arc<dyn Queue>, Arc::clone(world) as Arc<dyn Wakes>)),
            gate: Arc::clone(&process) as Arc<dyn Gate>,
            torn_close: Some(Arc::clone(&world.memory)),
        });
        let stores = Stores::of(&ports);
        let engine = Engine {
            clock: Arc::clone(&process) as Arc<dyn Clock>,
            entropy: Arc::clone(&world.dice) as Arc<dyn Entropy>,
            apps: stores.apps,
            schedules: stores.schedules,
            states: stores.states,
            executions: stores.executions,
            listeners: stores.listeners,
            devices: stores.devices,
            queue: Arc::clone(&ports) as Arc<dyn Queue>,
            wakes: ports,
            caller: targets.caller(&process),
            pusher: Arc::new(told::From(Arc::downgrade(&process))),
            observer: Arc::new(Troubles(Arc::clone(world))),
            statistics: Arc::clone(&world.memory) as _,
            links: Links::new("https://rondo.example", [7; 32]),
            settings: settings(),
        };
        (process, engine)
    }

    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    pub fn is_alive(&self) -> bool {
        self.back_at.load(Ordering::SeqCst) <= self.world.now().millis() && !self.world.processes_are_away()
    }

    /// A task of this process; it is not run at all while the process is dead.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if !self.is_alive() {
            return;
        }
        let mut tasks = self.tasks.lock().expect("no run goes on after a panic under this lock");
        while let Some(ended) = tasks.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                self.world.ledger.violated(|| format!("a task panicked: {error}"));
            }
        }
        tasks.spawn(task);
    }

    /// Dies here and now, and comes back later. Never returns: the task that calls it dies as well.
    pub async fn crash(&self) {
        let world = &self.world;
        let now = world.now();
        world.ledger.tally(|tally| tally.crashes += 1);
        world.ledger.note(now, &format!("{} crashes", self.name));
        let long = world.faults.long_restarts && world.dice.hits(2000);
        let away = if long { world.dice.between(60_000, 600_000) } else { world.dice.between(200, 15_000) };
        self.back_at.store(now.millis() + away as i64, Ordering::SeqCst);
        drop(std::mem::take(&mut *self.tasks.lock().expect("no run goes on after a panic under this lock")));
        std::future::pending::<()>().await;
    }

    pub async fn perhaps_crash(&self) {
        if self.world.hits(self.world.faults.crash) || self.world.processes_are_away() {
            self.crash().await;
        }
    }
}

/// Between any two port calls a process may die; a call may be refused, or its answer lost.
#[async_trait]
impl Gate for Process {
    async fn before(&self, op: Op) -> Result<(), StoreError> {
        let world = &self.world;
        if world.dice.hits(3000) {
            let latency = Span::from_millis(world.dice.between(1, 25));
            world.sleep_until(world.now().plus(latency)).await;
        }
        self.perhaps_crash().await;
        if world.stores_are_away() || world.hits(world.faults.refused) {
            world.ledger.tally(|tally| tally.refused += 1);
            return Err(StoreError::Unavailable(format!("{} was refused", op.name)));
        }
        Ok(())
    }

    async fn after(&self, op: Op) -> Result<(), StoreError> {
        self.perhaps_crash().await;
        let world = &self.world;
        if op.writes && world.hits(world.faults.lost) {
            world.ledger.tally(|tally| tally.lost_answers += 1);
            return Err(StoreError::Unavailable(format!("the answer to {} was lost", op.name)));
        }
        Ok(())
    }
}

#[async_trait]
impl Clock for Process {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.world.now().millis() + self.skew_ms)
    }

    async fn sleep_until(&self, at: Timestamp) {
        self.world.sleep_until(Timestamp::from_millis(at.millis() - self.skew_ms)).await;
    }
}

struct Troubles(Arc<World>);

impl Observer for Troubles {
    fn ended(&self, _execution: &Execution) {}

    fn trouble(&self, what: &str, error: &StoreError) {
        self.0.ledger.note(self.0.now(), &format!("{what}: {error}"));
    }
}

/// Hands out what becomes visible, each message to some process that lives, and fires the wakes.
pub async fn pump(world: Arc<World>, dispatchers: Vec<(Arc<Process>, Engine)>) {
    loop {
        let now = world.now();
        for wake in world.queue.due_wakes(now) {
            if world.hits(world.faults.wake_twice) {
                let again = now.plus(Span::from_millis(world.dice.between(0, 40_000)));
                world.queue.send(Delayed { at: again, message: wake.clone() }, Span::ZERO, now);
            }
            world.queue.send(Delayed { at: now, message: wake }, Span::ZERO, now);
        }
        let alive: Vec<_> = dispatchers.iter().filter(|(process, _)| process.is_alive()).collect();
        if alive.is_empty() {
            world.sleep_until(now.plus(Span::from_millis(500))).await;
            continue;
        }
        while let Some(received) = world.queue.receive(now, VISIBILITY) {
            let (process, engine) = alive[world.dice.between(0, alive.len() as u64 - 1) as usize];
            let (world, engine) = (Arc::clone(&world), engine.clone());
            world.ledger.note(now, &format!("{} receives {}", process.name, in_short(&received.message)));
            process.spawn(async move {
                let until = engine.now().plus(HOLD);
                match engine.handle(received.message, until).await {
                    Ok(Handled::Done) => world.queue.acknowledge(received.receipt),
                    Ok(Handled::ComeBack(later)) => {
                        world.send(vec![later]);
                        world.queue.acknowledge(received.receipt);
                    }
                    // It comes back by itself.
                    Err(error) => world.ledger.note(world.now(), &format!("not handled: {error}")),
                }
            });
        }
        let next = [world.queue.next_visible(), world.queue.next_wake()].into_iter().flatten().min();
        let sleep = world.sleep_until(next.unwrap_or(Timestamp::MAX).min(now.plus(Span::from_secs(3600))));
        tokio::select! {
            biased;
            () = world.sent.notified() => {}
            () = sleep => {}
        }
    }
}

pub async fn sweep(world: Arc<World>, every: Span, process: Arc<Process>, engine: Engine) {
    loop {
        world.sleep_until(world.now().plus(every)).await;
        let engine = engine.clone();
        let world = Arc::clone(&world);
        process.spawn(async move {
            let swept = engine.sweep(100).await;
            if !matches!(swept, Ok(Swept { schedules: 0, attempts: 0 })) {
                world.ledger.note(world.now(), &format!("swept {swept:?}"));
            }
        });
    }
}

fn in_short(message: &Message) -> String {
    match message {
        Message::Wake { id, generation } => format!("wake {id} generation {generation}"),
        Message::Segment(segment) => {
            let numbers: Vec<u32> = segment.occurrences.iter().map(|one| one.number).collect();
            format!("segment {} generation {} {numbers:?}", segment.id, segment.generation)
        }
        Message::Attempt { execution, .. } => format!("attempt {execution}"),
        Message::Notice(notice) => format!("notice {}", notice.id),
    }
}
