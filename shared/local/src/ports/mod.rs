//! The ports, one file each.

mod apps;
mod executions;
mod idempotency;
mod listeners;
mod listing;
mod queue;
mod schedules;
mod states;
