//! The sweeper's round, once a minute: whatever is overdue is woken again, page by page, while there is time. It
//! must not make a busy queue busier: what is overdue then mostly waits in that very queue.

use crate::{
    StartError, World,
    event::{Incoming, WrongEvent, deadline_of},
    world::needed,
};
use async_trait::async_trait;
use lambda_runtime::LambdaEvent;
use rondo_aws::SqsQueue;
use rondo_domain::{
    engine::{Engine, Error},
    ports::StoreError,
    time::{Span, Timestamp},
};
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;

/// How many overdue schedules are read, moved on and woken at a time.
pub const PAGE: usize = 100;

/// How many waiting executions are sent again in one round. They stay overdue until somebody has claimed them, so a
/// second page would find the same ones.
pub const ATTEMPTS: usize = 500;

/// With more messages than this visible and not yet received, nothing is added. A mapping of batch size 10 begins
/// with 5 batches at once and finishes one within seconds, so 1,000 messages are some ten seconds of work for it:
/// what is overdue with more than that before it is late because of the queue, and a second message does not help.
pub const BUSY: u64 = 1_000;

/// The function's timeout, as `template.yaml` sets it.
const DEPLOYED: Span = Span::from_secs(55);
/// So long before the deadline no further page is begun: one takes a second or two.
const LAST_PAGE: Span = Span::from_secs(10);

const TAKES: &str = "any JSON object, such as the event of a schedule of EventBridge";

/// How many messages wait in the queue, about.
#[async_trait]
pub trait Backlog: Send + Sync {
    async fn backlog(&self) -> Result<u64, StoreError>;
}

#[async_trait]
impl Backlog for SqsQueue {
    async fn backlog(&self) -> Result<u64, StoreError> {
        SqsQueue::backlog(self).await
    }
}

/// What a round found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Round {
    /// Schedules woken again.
    pub schedules: usize,
    /// Waiting executions sent again.
    pub attempts: usize,
    /// It ended early, because the queue is busy.
    pub held_off: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error(transparent)]
    Event(#[from] WrongEvent),
    #[error("the queue cannot be asked how much waits in it: {0}")]
    Queue(#[source] StoreError),
    #[error("what is overdue cannot be woken: {0}")]
    Engine(#[from] Error),
}

impl From<SweepError> for lambda_runtime::Diagnostic {
    fn from(error: SweepError) -> Self {
        lambda_runtime::Diagnostic { error_type: "SweepError".to_owned(), error_message: error.to_string() }
    }
}

#[derive(Clone)]
pub struct Sweeper {
    pub engine: Engine,
    pub queue: Arc<dyn Backlog>,
}

/// Sweeps as often as Lambda asks for it, until it ends the process.
pub async fn serve(world: World) -> Result<(), StartError> {
    let queue = needed(&world.queue, "RONDO_QUEUE_URL", "the URL of the delivery queue")?;
    let sweeper = Sweeper { engine: world.engine, queue: Arc::new(queue) };
    let telemetry = world.telemetry;
    lambda_runtime::run(lambda_runtime::service_fn(
        move |event: LambdaEvent<Incoming<Map<String, Value>>>| {
            let (sweeper, telemetry) = (sweeper.clone(), Arc::clone(&telemetry));
            async move {
                if let Incoming::Other(_) = event.payload {
                    return Err(SweepError::Event(WrongEvent(TAKES)));
                }
                let deadline = deadline_of(&event.context, sweeper.engine.now(), DEPLOYED);
                let (round, failed) = sweeper.round(deadline).await;
                for (metric, count) in round.counts() {
                    telemetry.count(metric, count);
                }
                telemetry.flush().await;
                failed.map_or(Ok(round), Err)
            }
        },
    ))
    .await
    .map_err(StartError::Runtime)
}

impl Sweeper {
    /// One round, and what ended it early if something did. What it found before counts all the same.
    pub async fn round(&self, deadline: Timestamp) -> (Round, Option<SweepError>) {
        let mut round = Round::default();
        let failed = self.pages(&mut round, deadline).await.err();
        let Round { schedules, attempts, held_off } = round;
        match &failed {
            Some(error) => tracing::error!(schedules, attempts, held_off, %error, "a round was cut short"),
            None => tracing::info!(schedules, attempts, held_off, "a round is done"),
        }
        (round, failed)
    }

    async fn pages(&self, round: &mut Round, deadline: Timestamp) -> Result<(), SweepError> {
        let last_page = deadline.minus(LAST_PAGE);
        // Asked first, and again after each page: were it to fail later, what is overdue would have been moved on
        // for nothing.
        if self.is_busy().await? {
            round.held_off = true;
            return Ok(());
        }
        round.attempts = self.engine.sweep_attempts(ATTEMPTS).await?;
        loop {
            let woken = self.engine.sweep_schedules(PAGE).await?;
            round.schedules += woken;
            if woken == 0 || self.engine.now() >= last_page {
                return Ok(());
            }
            if self.is_busy().await? {
                round.held_off = true;
                return Ok(());
            }
        }
    }

    async fn is_busy(&self) -> Result<bool, SweepError> {
        let waiting = self.queue.backlog().await.map_err(SweepError::Queue)?;
        Ok(waiting > BUSY)
    }
}

impl Round {
    /// What becomes metrics; zero counts too, and shows that somebody looked.
    pub fn counts(&self) -> [(&'static str, u64); 3] {
        [
            ("SweptSchedules", self.schedules as u64),
            ("SweptAttempts", self.attempts as u64),
            ("SweepsHeldOff", u64::from(self.held_off)),
        ]
    }
}
