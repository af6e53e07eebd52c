//! The harness of Rondo's tests: the world in memory, faults, a simulation of the whole engine, and the
//! contract that every adapter of the ports has to keep.

pub mod api_world;
pub mod deployed;
pub mod emulator;
pub mod faults;
pub mod memory;
pub mod port_suite;
pub mod push_tools;
pub mod receiver;
pub mod serve;
pub mod simulation;
