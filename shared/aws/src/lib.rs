//! The ports on DynamoDB, SQS and EventBridge Scheduler. It knows AWS's answers and limits, and no decision: what
//! a schedule does next is the domain's business, and what is called is `outbound`'s.
//!
//! Reading order: [`mod@settings`] (what a deployment gives), [`clients`] (one client for each service, over one
//! connection pool in [`http`]), [`store`] (the table), [`queue`], [`wakes`], [`telemetry`].

pub mod clients;
pub mod envelope;
mod failures;
pub mod http;
pub mod meter;
pub mod queue;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod wakes;

pub use clients::Clients;
pub use failures::chain;
pub use meter::Meter;
pub use queue::SqsQueue;
pub use settings::{AwsSettings, SettingsError};
pub use store::DynamoStore;
pub use telemetry::Telemetry;
pub use wakes::SchedulerWakes;

use rondo_domain::{engine::Settings, plan::Reach, time::Span};

/// How long a message may be delayed by SQS.
pub const MAX_DELAY: Span = Span::from_secs(900);

/// What AWS can carry, and the chain of timeouts: what is held and called ends before its lease, its lease before
/// the function, the function before the message is visible again (100 s), and only then is anything sent again.
pub fn settings() -> Settings {
    Settings {
        reach: Reach {
            window: Span::from_secs(840),
            lead: Span::from_secs(180),
            lead_spread: Span::from_secs(480),
            max_open: 600,
            segment_span: Span::from_secs(1),
            resend_after: Span::from_secs(120),
            missed_after: Span::from_secs(300),
            grace: Span::from_secs(60),
        },
        lease: Span::from_secs(75),
        claim_ahead: Span::from_millis(200),
        carry_definition: 32 * 1024,
        plan_singles: true,
        page: 500,
        told_at_once: 50,
    }
}
