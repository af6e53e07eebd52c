//! Log lines: one JSON object each, on the standard output, where Lambda collects them. CloudWatch adds the time.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// `level`: `error`, `warn`, `info` (also what is not understood), `debug` or `trace`, for the project's own lines.
/// The libraries below stay at `warn` whatever it says: at `trace` they would print requests and events whole, with
/// the secrets in them.
pub fn start(level: Option<&str>) {
    let level = level.and_then(|level| level.trim().parse::<LevelFilter>().ok()).unwrap_or(LevelFilter::INFO);
    let filter = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("rondo", level);
    // The span that the runtime opens for an invocation carries its request id.
    let filter = filter.with_target("lambda_runtime::layers", LevelFilter::INFO);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .without_time()
        .with_ansi(false);
    // A second start, in tests, changes nothing.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
}
