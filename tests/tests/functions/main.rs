//! The Lambda functions, driven with events as AWS sends them, over the world in memory and under a clock of the
//! test's own: what becomes of each message, request and round, and of the faults between.

mod admin;
mod api;
mod batch;
mod deadline;
mod events;
mod faults;
mod start;
mod sweep;
mod world;
