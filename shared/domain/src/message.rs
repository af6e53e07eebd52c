//! What travels through the queue. Messages may be lost, doubled, late or out of order: none of them is
//! needed for a promise, and each may arrive twice.

use crate::{
    ids::{AppKey, ExecutionId, ScheduleId},
    notice::Notice,
    plan::Occurrence,
    schedule::Definition,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// Look at this schedule now: plan its next window.
    Wake {
        id: ScheduleId,
        generation: u32,
    },
    Segment(Segment),
    /// A waiting execution's next attempt.
    Attempt {
        execution: ExecutionId,
        /// When that is due, as far as the sender knew: where it is another one by now, so is the message. None: the
        /// next, whichever it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Timestamp>,
    },
    Notice(Notice),
}

/// Consecutive executions of one schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    pub id: ScheduleId,
    pub app: AppKey,
    pub generation: u32,
    pub occurrences: Vec<Occurrence>,
    /// Spares a read where it is small enough to travel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Arc<Definition>>,
}

/// A message, and when it is to be seen: at the earliest then, soon after if all is well.
#[derive(Clone, Debug, PartialEq)]
pub struct Delayed {
    pub at: Timestamp,
    pub message: Message,
}
