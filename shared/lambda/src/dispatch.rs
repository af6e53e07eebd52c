//! The dispatcher's batch: every message of it at once, and what cannot be finished in time sent anew. What a
//! message means is the engine's business; here it is only seen to that none is lost, whatever becomes of the others.
//!
//! What is answered: a record that is not named is acknowledged, and SQS deletes it. A record that is named comes back
//! after the visibility timeout, and each time counts towards the dead-letter queue: so only errors are named. What
//! is merely not due yet, held by somebody else or cut off by the deadline goes out as a fresh message instead.

use crate::{
    StartError, World,
    event::{Incoming, WrongEvent, deadline_of},
};
use futures_util::future::BoxFuture;
use lambda_runtime::LambdaEvent;
use rondo_aws::envelope;
use rondo_domain::{
    engine::{Engine, Error, Handled},
    message::{Delayed, Message},
    ports::StoreError,
    time::{Span, Timestamp},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeSet, HashMap},
    fmt, future,
    sync::Arc,
};
use tokio::task::{Id, JoinError, JoinSet};
use tracing::Instrument as _;

/// The function's timeout, as `template.yaml` sets it.
const DEPLOYED: Span = Span::from_secs(90);
/// The longest that a call may take, and what recording it takes besides: nothing is held so long that less is left.
const ATTEMPT: Span = Span::from_secs(60);
const RECORDING: Span = Span::from_secs(5);
/// So long before the deadline whatever still runs is cut off: time to send it anew.
const CUT_OFF: Span = Span::from_secs(5);
/// So long before the deadline nothing more is waited for.
const LAST: Span = Span::from_secs(1);

const TAKES: &str =
    "batches of SQS ({\"Records\":[{\"eventSource\":\"aws:sqs\",\"messageId\":…,\"body\":…}]})";

/// What the event source mapping hands over; of each record only what is used.
#[derive(Debug, Deserialize)]
pub struct SqsBatch {
    #[serde(rename = "Records")]
    pub records: Vec<SqsRecord>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SqsRecord {
    pub message_id: String,
    pub body: String,
    pub event_source: EventSource,
}

#[derive(Debug, Deserialize)]
pub enum EventSource {
    #[serde(rename = "aws:sqs")]
    Sqs,
}

/// The records that failed; all others are done with (`ReportBatchItemFailures`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchAnswer {
    pub batch_item_failures: Vec<ItemFailure>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemFailure {
    pub item_identifier: String,
}

#[derive(Clone)]
pub struct Dispatcher {
    pub engine: Engine,
    /// How long at most a message is held until it is due.
    pub hold: Span,
}

/// Takes batches until Lambda ends the process.
pub async fn serve(world: World) -> Result<(), StartError> {
    let dispatcher = Dispatcher { engine: world.engine, hold: world.settings.hold };
    let telemetry = world.telemetry;
    lambda_runtime::run(lambda_runtime::service_fn(move |event: LambdaEvent<Incoming<SqsBatch>>| {
        let (dispatcher, telemetry) = (dispatcher.clone(), Arc::clone(&telemetry));
        async move {
            let deadline = deadline_of(&event.context, dispatcher.engine.now(), DEPLOYED);
            let answer = dispatcher.answer(event.payload, deadline).await;
            // Metrics must not cost the answer: without it the whole batch would come again.
            let clock = &dispatcher.engine.clock;
            tokio::select! {
                () = telemetry.flush() => {}
                () = clock.sleep_until(deadline.minus(Span::from_millis(LAST.millis() / 2))) => {}
            }
            answer
        }
    }))
    .await
    .map_err(StartError::Runtime)
}

impl Dispatcher {
    pub async fn answer(
        &self,
        event: Incoming<SqsBatch>,
        deadline: Timestamp,
    ) -> Result<BatchAnswer, WrongEvent> {
        match event {
            Incoming::Event(batch) => Ok(self.handle(batch.records, deadline).await),
            Incoming::Other(_) => Err(WrongEvent(TAKES)),
        }
    }

    /// Ends before `deadline`, whatever the messages do.
    pub async fn handle(&self, records: Vec<SqsRecord>, deadline: Timestamp) -> BatchAnswer {
        let started = self.engine.now();
        // What is due by now is called even where little time is left: sent away it would be back at once.
        let until = started.plus(self.hold).min(deadline.minus(ATTEMPT).minus(RECORDING)).max(started);
        let mut batch = Batch::new(&self.engine, records);
        batch.start(until);
        // Whatever has nothing to wait for is done after this, and what comes back goes in one sending.
        tokio::task::yield_now().await;
        batch.run(deadline.minus(CUT_OFF)).await;
        batch.cut_off().await;
        batch.finish(deadline.minus(LAST)).await;
        batch.report(started)
    }
}

/// Messages on their way back into the queue.
struct Sending {
    indexes: Vec<usize>,
    answer: BoxFuture<'static, Result<(), StoreError>>,
}

/// The records by their place in the batch, and where each of them is.
struct Batch<'e> {
    engine: &'e Engine,
    records: Vec<SqsRecord>,
    tasks: JoinSet<Result<Handled, Error>>,
    under_way: HashMap<Id, usize>,
    /// To be sent anew.
    back: Vec<(usize, Delayed)>,
    /// One sending at a time: what else comes back meanwhile goes together in the next.
    sending: Option<Sending>,
    failed: BTreeSet<usize>,
    sent: usize,
    cut_off: usize,
}

impl<'e> Batch<'e> {
    fn new(engine: &'e Engine, records: Vec<SqsRecord>) -> Self {
        Batch {
            engine,
            records,
            tasks: JoinSet::new(),
            under_way: HashMap::new(),
            back: Vec::new(),
            sending: None,
            failed: BTreeSet::new(),
            sent: 0,
            cut_off: 0,
        }
    }

    /// Starts every message. Each runs for itself: one that panics or hangs takes no other along.
    fn start(&mut self, until: Timestamp) {
        for index in 0..self.records.len() {
            match envelope::read(&self.records[index].body) {
                Ok(delayed) if delayed.at > until => self.back.push((index, delayed)),
                Ok(delayed) => {
                    let handled = handle(self.engine.clone(), delayed, until).in_current_span();
                    let task = self.tasks.spawn(handled);
                    self.under_way.insert(task.id(), index);
                }
                // Nothing will ever read it. It comes back until it has been received often enough for the
                // dead-letter queue, where somebody can look at it.
                Err(error) => self.fail(index, &error),
            }
        }
    }

    /// Until everything is done, or `until` has come.
    async fn run(&mut self, until: Timestamp) {
        let clock = Arc::clone(&self.engine.clock);
        let mut timer = clock.sleep_until(until);
        loop {
            while let Some(ended) = self.tasks.try_join_next_with_id() {
                self.note(ended);
            }
            self.send_back();
            if self.tasks.is_empty() && self.sending.is_none() {
                return;
            }
            tokio::select! {
                biased;
                Some(ended) = self.tasks.join_next_with_id() => self.note(ended),
                answer = answer_of(&mut self.sending) => self.note_sent(answer),
                () = &mut timer => return,
            }
        }
    }

    /// What still runs is stopped, and goes back as it came. Where it had been claimed already, the claim's lease
    /// keeps it from starting a second time too early.
    async fn cut_off(&mut self) {
        self.tasks.abort_all();
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.note(ended);
        }
    }

    /// Sends what is left to send. What nobody has taken by `until` counts as failed: it comes back by itself.
    async fn finish(&mut self, until: Timestamp) {
        let clock = Arc::clone(&self.engine.clock);
        let mut timer = clock.sleep_until(until);
        loop {
            self.send_back();
            if self.sending.is_none() {
                return;
            }
            tokio::select! {
                biased;
                answer = answer_of(&mut self.sending) => self.note_sent(answer),
                () = &mut timer => break,
            }
        }
        // Some of it may have arrived: in the worst case a message comes twice.
        let unanswered = self.sending.take().map(|sending| sending.indexes).unwrap_or_default();
        let unsent = std::mem::take(&mut self.back).into_iter().map(|(index, _)| index);
        for index in unanswered.into_iter().chain(unsent) {
            self.fail(index, &"the queue did not take it back in time");
        }
    }

    fn note(&mut self, ended: Result<(Id, Result<Handled, Error>), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(index) = self.under_way.remove(&id) else {
            return;
        };
        match ended {
            Ok((_, Ok(Handled::Done))) => {}
            Ok((_, Ok(Handled::ComeBack(later)))) => self.back.push((index, later)),
            Ok((_, Err(error))) => self.fail(index, &error),
            Err(stopped) if stopped.is_cancelled() => match envelope::read(&self.records[index].body) {
                Ok(delayed) => {
                    self.cut_off += 1;
                    self.back.push((index, delayed));
                }
                Err(error) => self.fail(index, &error),
            },
            // What it said is in the log already, from where it happened.
            Err(_) => self.fail(index, &"it panicked"),
        }
    }

    fn send_back(&mut self) {
        if self.sending.is_some() || self.back.is_empty() {
            return;
        }
        let (indexes, messages) = std::mem::take(&mut self.back).into_iter().unzip();
        let queue = Arc::clone(&self.engine.queue);
        let answer = Box::pin(async move { queue.send(messages).await });
        self.sending = Some(Sending { indexes, answer });
    }

    fn note_sent(&mut self, answer: Result<(), StoreError>) {
        let indexes = self.sending.take().map(|sending| sending.indexes).unwrap_or_default();
        match answer {
            Ok(()) => self.sent += indexes.len(),
            Err(error) => {
                for index in indexes {
                    self.fail(index, &error);
                }
            }
        }
    }

    /// Never with the body: it holds what the user sends, and the target's secrets.
    fn fail(&mut self, index: usize, error: &dyn fmt::Display) {
        if self.failed.insert(index) {
            let message_id = &self.records[index].message_id;
            tracing::warn!(message_id, %error, "a message is left to come back");
        }
    }

    fn report(self, started: Timestamp) -> BatchAnswer {
        let Batch { records, failed, sent, cut_off, .. } = self;
        let took_ms = self.engine.now().since(started).millis();
        tracing::info!(
            messages = records.len(),
            sent_anew = sent,
            cut_off,
            failed = failed.len(),
            took_ms,
            "a batch is done"
        );
        let failures = failed.into_iter().map(|index| records[index].message_id.clone());
        let failures = failures.map(|item_identifier| ItemFailure { item_identifier });
        BatchAnswer { batch_item_failures: failures.collect() }
    }
}

async fn answer_of(sending: &mut Option<Sending>) -> Result<(), StoreError> {
    match sending {
        Some(sending) => (&mut sending.answer).await,
        None => future::pending().await,
    }
}

/// The engine holds segments and attempts until they are due, and has everything read by then. Wakes and notices it
/// takes as due: SQS shows them a second or two early.
async fn handle(engine: Engine, delayed: Delayed, until: Timestamp) -> Result<Handled, Error> {
    if matches!(delayed.message, Message::Wake { .. } | Message::Notice(_)) {
        engine.clock.sleep_until(delayed.at).await;
    }
    engine.handle(delayed.message, until).await
}
