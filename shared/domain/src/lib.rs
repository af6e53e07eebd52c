//! Rondo's rules: what is due when, what may run, what became of it. No AWS, no HTTP, no database, no clock
//! and no randomness: time and chance are arguments, everything else is a port.

pub mod app;
pub mod call;
pub mod ids;
pub mod time;
pub mod trigger;
