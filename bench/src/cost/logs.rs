//! How much is logged: lines and metrics as a function writes them, counted instead of kept.

use std::{
    io::Write,
    sync::{
        Once,
        atomic::{AtomicU64, Ordering},
    },
};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

static BYTES: AtomicU64 = AtomicU64::new(0);

/// Counts what is written to it.
#[derive(Clone, Copy)]
pub struct Counting;

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        BYTES.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// From now on every line of the project counts, in the form and at the level that functions have.
pub fn count() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = Targets::new().with_default(LevelFilter::WARN).with_target("rondo", LevelFilter::INFO);
        let lines = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .without_time()
            .with_ansi(false)
            .with_writer(|| Counting);
        // In tests there may be one already; then nothing is counted, and no test asks.
        let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    });
}

/// Bytes so far, in this whole process.
pub fn bytes() -> u64 {
    BYTES.load(Ordering::Relaxed)
}
