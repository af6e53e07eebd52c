//! The rules of the scheduled-push contract: what a schedule and a push may say, as pure functions of the body, the
//! app's time zone, its way of sending and the time. The first rule that a body breaks is told, with the contract's
//! code and a sentence that names the field and says what would be right.
//!
//! Read on in [`schedule`] for the four keys, [`trigger`] for the times, [`push`] for what is sent.

pub mod push;
mod reading;
pub mod schedule;
pub mod trigger;

#[cfg(test)]
mod tests;

use super::sender::Way;
use crate::time::Timestamp;
use chrono_tz::Tz;

/// A schedule, or a request for one, is not as it has to be.
pub const INVALID: u32 = 28_100;
/// What a schedule is to send is not as it has to be.
pub const PUSH_INVALID: u32 = 28_102;
/// Times, dates, points or the window of a trigger are wrong.
pub const TIME_INVALID: u32 = 28_103;
/// There is no such schedule.
pub const UNKNOWN_SCHEDULE: u32 = 28_104;
/// The wall time has passed for every recipient there is.
pub const NOBODY_LEFT: u32 = 28_105;

/// Of a push: something is missing.
pub const MISSING: u32 = 21_002;
/// A value that cannot be.
pub const BAD_VALUE: u32 = 21_003;
/// More bytes than a message may have.
pub const TOO_LARGE: u32 = 21_005;
/// Nobody would be told.
pub const NO_TARGET: u32 = 21_011;
/// A member that does not belong where it stands.
pub const UNEXPECTED: u32 = 21_015;
/// A value of another type.
pub const WRONG_TYPE: u32 = 21_016;

/// What a body is read against.
#[derive(Clone, Copy, Debug)]
pub struct Around {
    /// The app's.
    pub zone: Tz,
    pub now: Timestamp,
    /// How the app's pushes leave: some can only be sent through a gateway.
    pub way: Way,
}
