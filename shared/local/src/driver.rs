//! The loop that drives the engine in one process: it loads what is due soon, hands it to the engine when it is
//! due, sweeps, and stops in an orderly way. It decides nothing: what to do is the engine's business.

use crate::{
    agenda::{Due, Key, Lane},
    store::LocalStore,
};
use futures_util::FutureExt as _;
use rondo_domain::{
    engine::{Engine, Error, Handled},
    message::{Delayed, Message},
    ports::StoreError,
    time::{Span, Timestamp},
};
use std::{future::Future, panic::AssertUnwindSafe, sync::Arc};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};

/// What is due within so long is in memory. Wakes come well before what they plan: a few seconds are enough.
const AHEAD: Span = Span::from_secs(10);
const HALF_AHEAD: Span = Span::from_millis(AHEAD.millis() / 2);
/// Where there was no room, or no answer: so long until the next look.
const AGAIN: Span = Span::from_millis(250);
/// Schedules that one sweep wakes.
const SWEPT_AT_ONCE: usize = 1000;
/// Plans made at the same time: they use the processor, and wait for nobody.
const WAKES_AT_ONCE: usize = 64;
/// What was not handled is tried again after so long, then twice as long each time, up to the longest.
const FIRST_PAUSE: Span = Span::from_millis(250);
const LONGEST_PAUSE: Span = Span::from_secs(60);
/// Longer than any schedule's segment lies ahead; what comes back for later is held by a claim without end.
const LONGEST_COME_BACK: Span = Span::from_secs(86_400);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverLimits {
    /// Calls under way at the same time, or waiting for their outcome to be on disk: a commit is slower than a call
    /// on loopback, and must not hold up the next ones. Notices have a quarter of as many beside them.
    pub max_in_flight: usize,
    /// So long at most is waited, at the end, for what is under way.
    pub drain: Span,
    /// How often the whole database is searched for what should have been looked at.
    pub sweep_every: Span,
}

impl Default for DriverLimits {
    fn default() -> Self {
        DriverLimits { max_in_flight: 4096, drain: Span::from_secs(8), sweep_every: Span::from_secs(60) }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Calls and plans that had not come to their end in time. They are made again by the next process.
    pub unfinished: usize,
}

pub struct Driver {
    shared: Shared,
    limits: DriverLimits,
}

#[derive(Clone)]
struct Shared {
    engine: Engine,
    store: LocalStore,
}

impl Driver {
    pub fn new(engine: Engine, store: LocalStore, limits: DriverLimits) -> Driver {
        Driver { shared: Shared { engine, store }, limits }
    }

    /// Runs until `stop`; then nothing new is begun, and what is under way gets its time to end.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> Stopped {
        let (stopping, stopped) = watch::channel(false);
        let (halting, halted) = watch::channel(false);
        let DriverLimits { max_in_flight, drain, sweep_every } = self.limits;
        let width = |lane| match lane {
            Lane::Wakes => WAKES_AT_ONCE,
            Lane::Calls => max_in_flight.max(1),
            Lane::Notices => (max_in_flight / 4).max(1),
        };
        let lanes = Lane::ALL.map(|lane| (width(lane), Arc::new(Semaphore::new(width(lane)))));
        let mut tasks = JoinSet::new();
        for (lane, (_, permits)) in Lane::ALL.into_iter().zip(&lanes) {
            tasks.spawn(self.shared.clone().serve(
                lane,
                Arc::clone(permits),
                stopped.clone(),
                halted.clone(),
            ));
        }
        tasks.spawn(self.shared.clone().load_schedules(stopped.clone()));
        tasks.spawn(self.shared.clone().load_messages(stopped.clone()));
        tasks.spawn(self.shared.clone().finish_removals(stopped.clone()));
        tasks.spawn(self.shared.clone().sweep(sweep_every, stopped));
        stop.await;
        let _ = stopping.send(true);
        let until = self.shared.engine.now().plus(drain);
        let ended = async {
            while tasks.join_next().await.is_some() {}
            for (width, permits) in &lanes {
                // All permits back: all that was under way has ended.
                let _all = permits.acquire_many(u32::try_from(*width).unwrap_or(u32::MAX)).await;
            }
        };
        tokio::select! {
            () = ended => {}
            () = self.shared.engine.clock.sleep_until(until) => {}
        }
        let unfinished = lanes.iter().map(|(width, permits)| width - permits.available_permits()).sum();
        // Nothing of ours runs on once we have returned.
        let _ = halting.send(true);
        Stopped { unfinished }
    }
}

/// Whether it is to stop; also where nobody is left to say so.
async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

impl Shared {
    /// Hands over what falls due in one lane, as many at a time as there are permits.
    async fn serve(
        self,
        lane: Lane,
        permits: Arc<Semaphore>,
        mut stopped: watch::Receiver<bool>,
        halted: watch::Receiver<bool>,
    ) {
        let shared = Arc::new(self);
        let agenda = &shared.store.memory().agenda;
        let serve = async {
            loop {
                let first = agenda.first(lane);
                match first {
                    None => agenda.earlier(lane).await,
                    Some(at) if at > shared.engine.now() => tokio::select! {
                        () = shared.engine.clock.sleep_until(at) => {}
                        () = agenda.earlier(lane) => {}
                    },
                    Some(_) => {
                        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                            return;
                        };
                        if let Some(due) = agenda.take(lane, shared.engine.now()) {
                            let (shared, mut halted) = (Arc::clone(&shared), halted.clone());
                            tokio::spawn(async move {
                                tokio::select! {
                                    () = shared.handle(lane, due) => {}
                                    () = told_to_stop(&mut halted) => {}
                                }
                                drop(permit);
                            });
                        }
                    }
                }
            }
        };
        tokio::select! {
            () = serve => {}
            () = told_to_stop(&mut stopped) => {}
        }
    }

    /// Has the engine handle one message, and sees to it that it is not lost if that fails.
    async fn handle(&self, lane: Lane, due: Due) {
        let Due { slot, message } = due;
        if let Message::Wake { id, .. } = &message
            && !self.store.memory().take_wake(*id, slot, self.engine.now())
        {
            return;
        }
        let key = Key::of(&message);
        let notice = match &message {
            Message::Notice(notice) => Some(notice.id.clone()),
            _ => None,
        };
        let handle = || self.handle_once(&message);
        if let Some(handled) = self.until_made(handle).await {
            self.until_made(|| self.put_back(&handled, notice.as_deref())).await;
        }
        if let Some(key) = key {
            self.store.memory().agenda.done(lane, &key);
        }
    }

    /// A panic is a bug, and costs no execution: what it held is let go, and the message is tried again. The
    /// engine gives up an occurrence whose every claim came to nothing.
    async fn handle_once(&self, message: &Message) -> Result<Handled, Error> {
        let handled = AssertUnwindSafe(self.engine.handle(message.clone(), Timestamp::MAX)).catch_unwind();
        handled.await.unwrap_or_else(|_| {
            tracing::error!("a bug: handling a message panicked; it is tried again");
            self.store.memory().lapse(message, self.engine.now());
            Err(StoreError::Unavailable("handling a message panicked".to_owned()).into())
        })
    }

    /// Tries until the store can do it. None: it never will.
    async fn until_made<T, F>(&self, mut act: impl FnMut() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            match act().await {
                Ok(made) => return Some(made),
                Err(Error::Store(error @ (StoreError::Unavailable(_) | StoreError::Full(_)))) => {
                    self.engine.observer.trouble("a message could not be handled yet", &error);
                }
                Err(error) => {
                    tracing::error!(%error, "a message cannot be handled");
                    return None;
                }
            }
            self.engine.clock.sleep_until(self.engine.now().plus(pause)).await;
            pause = pause.times(2).min(LONGEST_PAUSE);
        }
    }

    async fn put_back(&self, handled: &Handled, notice: Option<&str>) -> Result<(), Error> {
        let memory = self.store.memory();
        let Handled::ComeBack(Delayed { at, message }) = handled else {
            return match notice {
                Some(id) => Ok(self.store.notice_over(id.to_owned()).await?),
                None => Ok(()),
            };
        };
        let near = match message {
            Message::Wake { .. } => true,
            // Held by another claim of this very process, which will see to its end.
            Message::Segment(_) => at.since(self.engine.now()) < LONGEST_COME_BACK,
            Message::Attempt { .. } => *at <= memory.attempts_until(),
            Message::Notice(notice) => {
                self.store.notice_again(*at, notice).await?;
                *at <= memory.notices_until()
            }
        };
        if near {
            memory.agenda.push(*at, message.clone());
        }
        Ok(())
    }

    async fn load_schedules(self, mut stopped: watch::Receiver<bool>) {
        let load = async {
            loop {
                let now = self.engine.now();
                let pause = match self.store.load_schedules(now.plus(AHEAD)).await {
                    Ok(true) => HALF_AHEAD,
                    Ok(false) => AGAIN,
                    Err(error) => {
                        self.engine.observer.trouble("schedules could not be loaded", &error);
                        AGAIN
                    }
                };
                self.engine.clock.sleep_until(now.plus(pause)).await;
            }
        };
        tokio::select! {
            () = load => {}
            () = told_to_stop(&mut stopped) => {}
        }
    }

    /// What a removed app has left behind goes, however long that takes.
    async fn finish_removals(self, mut stopped: watch::Receiver<bool>) {
        let finish = async {
            if let Err(error) = self.store.resume_removals().await {
                self.engine.observer.trouble("a removed app's schedules are still there", &error);
            }
        };
        tokio::select! {
            () = finish => {}
            () = told_to_stop(&mut stopped) => {}
        }
    }

    async fn load_messages(self, mut stopped: watch::Receiver<bool>) {
        let load = async {
            loop {
                let now = self.engine.now();
                if let Err(error) = self.store.load_messages(now.plus(AHEAD)).await {
                    self.engine.observer.trouble("attempts and notices could not be loaded", &error);
                }
                self.engine.clock.sleep_until(now.plus(HALF_AHEAD)).await;
            }
        };
        tokio::select! {
            () = load => {}
            () = told_to_stop(&mut stopped) => {}
        }
    }

    async fn sweep(self, every: Span, mut stopped: watch::Receiver<bool>) {
        let sweep = async {
            loop {
                self.engine.clock.sleep_until(self.engine.now().plus(every)).await;
                match self.engine.sweep(SWEPT_AT_ONCE).await {
                    Ok(swept) if swept.schedules + swept.attempts > 0 => tracing::info!(
                        schedules = swept.schedules,
                        attempts = swept.attempts,
                        "the sweep found what was overdue"
                    ),
                    Ok(_) => {}
                    Err(Error::Store(error)) => self.engine.observer.trouble("a sweep failed", &error),
                    Err(error) => tracing::error!(%error, "a sweep failed"),
                }
            }
        };
        tokio::select! {
            () = sweep => {}
            () = told_to_stop(&mut stopped) => {}
        }
    }
}
