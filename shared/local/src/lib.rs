//! Rondo's world on one machine: every port on one SQLite database, and the loop that drives the engine in one
//! process. For Unix: the data folder's permissions and lock are what it knows there.
//!
//! What was acknowledged is on disk; what runs is in memory. The folder has one process at a time, so claims
//! and plans need no disk, and a call never waits for one; a crash loses only them, and what had no outcome is
//! planned again. Read `store` first, then `memory` and `batch` (how memory and disk stay one), `ports/`,
//! `ahead`, and `driver`. No rule of scheduling is here: those are `rondo_domain`'s.

#![cfg(unix)]

mod agenda;
mod ahead;
mod batch;
mod driver;
mod error;
mod folder;
mod memory;
mod metrics;
mod ports;
mod readers;
mod rows;
mod schema;
mod store;
mod writer;

pub use driver::{Driver, DriverLimits, Stopped};
pub use error::OpenError;
pub use metrics::Metrics;
pub use rondo_system::{SystemClock, SystemEntropy};
pub use store::{Depths, LocalStore, Options};

use rondo_domain::{engine::Settings, plan::Reach, time::Span};

/// What one machine can carry. Messages are not lost within a process and claims die with it, so that a lease
/// is as good as for ever, and nothing is sent again but after a bug.
pub fn settings() -> Settings {
    Settings {
        reach: Reach {
            window: Span::from_secs(20),
            lead: Span::from_secs(2),
            lead_spread: Span::from_secs(3),
            max_open: 512,
            // Each occurrence travels for itself: it takes up a place only while it is called.
            segment_span: Span::ZERO,
            resend_after: Span::from_secs(120),
            missed_after: Span::from_secs(10),
            grace: Span::ZERO,
        },
        lease: Span::from_secs(10 * 365 * 86_400),
        // A claim is made in memory.
        claim_ahead: Span::ZERO,
        carry_definition: usize::MAX,
        // A wake here is an entry in memory; a message that far ahead would be lost with it.
        plan_singles: false,
        page: 500,
        told_at_once: 50,
    }
}
