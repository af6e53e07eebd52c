//! The contract of the ports, kept by the world in memory.

use rondo_tests::{faults::Stores, memory::Memory, port_suite::World};
use std::sync::Arc;

async fn world() -> World {
    World { stores: Stores::of(&Arc::new(Memory::new())), keep: Box::new(()), leases_lapse: true }
}

rondo_tests::port_suite!(crate::world);
