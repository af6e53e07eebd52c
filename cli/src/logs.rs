//! Logs, to stderr: `RONDO_LOG` filters them, `RONDO_LOG_FORMAT=json` makes each line an object.

use std::io::{self, IsTerminal as _};
use tracing_subscriber::EnvFilter;

/// `default` is the filter where `RONDO_LOG` says nothing.
pub fn start(default: &str) {
    let filter = std::env::var("RONDO_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = EnvFilter::try_new(filter.as_deref().unwrap_or(default)).unwrap_or_else(|error| {
        eprintln!("warning: RONDO_LOG is not understood ({error}); using {default}");
        EnvFilter::new(default)
    });
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A second start, in tests, changes nothing.
    let _ = if std::env::var("RONDO_LOG_FORMAT").is_ok_and(|format| format == "json") {
        logs.json().flatten_event(true).try_init()
    } else {
        logs.with_ansi(io::stderr().is_terminal()).try_init()
    };
}
