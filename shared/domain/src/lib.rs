//! Rondo's rules: what is due when, what may run, what became of it. No AWS, no HTTP, no database, no clock
//! and no randomness: time and chance are arguments, everything else is a port.
//!
//! Read in this order: [`schedule`] (what the user said) and [`trigger`] (when it is due), [`state`] (what it
//! is doing, and every change to it), [`plan`], [`settle`], then [`engine`]: the use cases, over [`ports`].

pub mod app;
pub mod call;
pub mod callback;
pub mod change;
pub mod contract;
pub mod engine;
pub mod execution;
pub mod ids;
pub mod message;
pub mod notice;
pub mod plan;
pub mod policy;
pub mod ports;
pub mod push;
pub mod schedule;
pub mod settle;
pub mod span_text;
pub mod state;
pub mod time;
pub mod trigger;
