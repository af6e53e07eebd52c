//! The ports, one file each.

mod apps;
mod devices;
mod executions;
mod idempotency;
mod listeners;
mod listing;
mod queue;
mod removal;
mod scanning;
mod schedules;
mod states;
