//! The store and the driver as their users see them, each test in a folder of its own. Only what is this
//! world's own: what every world must do is tested once for all of them.

#![expect(clippy::unwrap_used, reason = "in a test, what should not fail is to fail it")]

mod claims;
mod devices;
mod driving;
mod folder;
mod full;
mod keys;
mod listing;
mod pushing;
mod real_time;
mod restart;
mod world;
