//! What became of a push: its message id, an error of the contract's, and how many it reached.

use serde::{Deserialize, Serialize};

/// The contract's error: a code and what it means here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct PushError {
    pub code: u32,
    pub message: String,
}

impl PushError {
    pub fn new(code: u32, message: impl Into<String>) -> Self {
        PushError { code, message: message.into() }
    }

    /// Nobody is meant, or nobody can be reached.
    pub fn no_target() -> Self {
        PushError::new(1011, "Cannot find sending target")
    }
}

/// Of one execution that pushes, over all its attempts so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushResult {
    /// Decimal; none: nothing was accepted so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msg_id: Option<String>,
    /// Taken by a push service, or handed to the gateway.
    #[serde(default)]
    pub accepted: u32,
    /// Subscriptions that were gone, and were removed.
    #[serde(default)]
    pub gone: u32,
    /// Refused for good.
    #[serde(default)]
    pub refused: u32,
    /// Not now: to be tried again, or, where the execution is over, never reached.
    #[serde(default)]
    pub unsent: u32,
    /// The first that went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<PushError>,
}

impl PushResult {
    /// How many were meant.
    pub fn recipients(&self) -> u32 {
        self.accepted + self.gone + self.refused + self.unsent
    }

    /// What a client is told: an error only where nobody was reached.
    pub fn told(&self) -> Result<&str, PushError> {
        match (&self.msg_id, &self.error) {
            (Some(id), _) if self.accepted > 0 => Ok(id),
            (_, Some(error)) => Err(error.clone()),
            _ => Err(PushError::no_target()),
        }
    }
}
