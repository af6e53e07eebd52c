//! The one thread that writes. It takes whatever writes are waiting, makes them in one transaction, commits
//! once, and answers them all: an fsync is what a durable write costs, and so it is shared.

use crate::{
    batch::{Batch, Counts, Failure},
    folder::Folder,
    memory::Memory,
};
use rondo_domain::{
    ports::{Clock, StoreError},
    time::Span,
};
use rusqlite::{Connection, ErrorCode};
use std::{
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};
use tokio::sync::oneshot;

/// So many writes at most share a transaction: the first of them waits for the last.
const BATCH: usize = 4096;
/// Under load the writer waits for company before it begins, the longer the more there was last time: on a fast
/// disk, commits of a few writes each would use up the processor. Where few write at a time nobody waits.
fn linger(last: usize) -> Option<Duration> {
    match last {
        0..16 => None,
        16..320 => Some(Duration::from_millis(2)),
        320.. => Some(Duration::from_millis(8)),
    }
}

/// A commit that takes so long is worth a line in the log.
const SLOW: Span = Span::from_secs(1);

/// A write as the writer sees it.
pub(crate) trait Job: Send {
    /// May be asked again, after an attempt that was undone.
    fn apply(&mut self, batch: &mut Batch<'_>) -> Result<(), Failure>;
    fn settle(self: Box<Self>, outcome: Result<(), StoreError>);
}

enum Order {
    Write(Box<dyn Job>),
    Stop(oneshot::Sender<()>),
}

#[derive(Clone)]
pub(crate) struct Writer {
    orders: mpsc::Sender<Order>,
}

/// Ends the thread, and waits for it, once the last [`Writer`] is gone.
pub(crate) type WriterThread = JoinHandle<()>;

struct Task<F, T> {
    run: F,
    answer: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Job for Task<F, T>
where
    F: FnMut(&mut Batch<'_>) -> Result<T, Failure> + Send,
    T: Send,
{
    fn apply(&mut self, batch: &mut Batch<'_>) -> Result<(), Failure> {
        self.answer = Some((self.run)(batch)?);
        Ok(())
    }

    fn settle(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Task { run, answer, reply } = *self;
        // What the write held back (claims, for a change) goes on before its answer is out.
        drop(run);
        let outcome = outcome.and_then(|()| answer.ok_or_else(stopped));
        // Nobody may be waiting any more; the write stands all the same.
        let _ = reply.send(outcome);
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

impl Writer {
    pub fn start(
        connection: Connection,
        memory: Arc<Memory>,
        clock: Arc<dyn Clock>,
        folder: Folder,
    ) -> (Writer, WriterThread) {
        let (orders, taken) = mpsc::channel();
        let work = move || {
            let mut desk = Desk { connection, memory, clock, counts: Counts::new() };
            let asked = desk.work(&taken);
            // The lock goes last, and before whoever asked is told.
            drop(taken);
            desk.put_away();
            drop(folder);
            if let Some(asked) = asked {
                let _ = asked.send(());
            }
        };
        let thread = thread::Builder::new()
            .name("rondo-writer".to_owned())
            .spawn(work)
            .expect("a process that starts can start one thread");
        (Writer { orders }, thread)
    }

    /// Makes a write, and answers once it is on disk. It is made even if nobody waits for the answer.
    pub async fn write<T, F>(&self, run: F) -> Result<T, StoreError>
    where
        F: FnMut(&mut Batch<'_>) -> Result<T, Failure> + Send + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Task { run, answer: None, reply });
        self.orders.send(Order::Write(job)).map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Makes what was ordered before, and ends.
    pub async fn stop(&self) {
        let (told, ended) = oneshot::channel();
        if self.orders.send(Order::Stop(told)).is_ok() {
            let _ = ended.await;
        }
    }
}

struct Desk {
    connection: Connection,
    memory: Arc<Memory>,
    clock: Arc<dyn Clock>,
    counts: Counts,
}

impl Desk {
    /// Until it is stopped, or nobody is left who could order anything.
    fn work(&mut self, orders: &mpsc::Receiver<Order>) -> Option<oneshot::Sender<()>> {
        let mut last = 0;
        while let Ok(first) = orders.recv() {
            if let Some(pause) = linger(last) {
                thread::sleep(pause);
            }
            let mut jobs = Vec::new();
            let mut stop = None;
            // All are taken before the first is made: what is in memory for one of them is there by now.
            for order in std::iter::once(first).chain(orders.try_iter()) {
                match order {
                    Order::Write(job) => jobs.push(job),
                    Order::Stop(asked) => stop = Some(asked),
                }
                if jobs.len() >= BATCH || stop.is_some() {
                    break;
                }
            }
            last = jobs.len();
            self.make(jobs);
            if stop.is_some() {
                return stop;
            }
        }
        None
    }

    fn make(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        if jobs.is_empty() {
            return;
        }
        match self.attempt(&mut jobs) {
            Ok(()) => jobs.into_iter().for_each(|job| job.settle(Ok(()))),
            // One of them may be at fault; each is then tried alone. A full disk is full for all.
            Err(error) if jobs.len() > 1 && !matches!(error, StoreError::Full(_)) => {
                jobs.into_iter().for_each(|job| self.make(vec![job]));
            }
            Err(error) => {
                tracing::debug!(%error, writes = jobs.len(), "a transaction was undone");
                jobs.into_iter().for_each(|job| job.settle(Err(error.clone())));
            }
        }
    }

    /// All of them in one transaction, or none.
    fn attempt(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
        let mut batch = Batch::new(&self.connection, &self.memory, &mut self.counts);
        let made = (|| -> Result<(), Failure> {
            self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            for job in jobs {
                job.apply(&mut batch)?;
            }
            batch.write_states()?;
            let begun = self.clock.now();
            self.connection.prepare_cached("COMMIT")?.execute([])?;
            let took = self.clock.now().since(begun);
            if took >= SLOW {
                tracing::warn!(ms = took.millis(), "the disk was slow to take a commit");
            }
            Ok(())
        })();
        match made {
            Ok(()) => {
                batch.publish();
                Ok(())
            }
            Err(failure) => {
                batch.abandon();
                self.counts.clear();
                if !self.connection.is_autocommit()
                    && let Err(error) = self.connection.execute_batch("ROLLBACK")
                {
                    tracing::error!(%error, "a transaction could not be undone");
                }
                Err(store_error(failure))
            }
        }
    }

    /// Moves the write-ahead log into the database; what cannot be moved now is read from the log next time.
    fn put_away(self) {
        if let Err(error) = self.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!(%error, "the write-ahead log could not be put away");
        }
        if let Err((_, error)) = self.connection.close() {
            tracing::warn!(%error, "the database could not be closed");
        }
    }
}

pub(crate) fn store_error(failure: impl Into<Failure>) -> StoreError {
    let error = match failure.into() {
        Failure::Store(error) => return error,
        Failure::Sqlite(error) => error,
    };
    let detail = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreError::Full(detail),
        Some(ErrorCode::TooBig) => StoreError::TooLarge(detail),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Corrupt(detail),
        Some(_) => StoreError::Unavailable(detail),
        None => StoreError::Corrupt(detail),
    }
}
