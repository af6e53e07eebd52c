//! The ports, one file each.

mod apps;
mod executions;
mod listeners;
mod listing;
mod queue;
mod schedules;
mod states;
