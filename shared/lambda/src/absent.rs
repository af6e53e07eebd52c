//! Ports that a function does not have. Whatever reaches one is a mistake in the wiring, and is answered as a
//! failure: nothing is lost, and the log names the port.

use async_trait::async_trait;
use rondo_domain::{
    call::{CallFailure, CallOutcome, CallRequest, Caller, FailureKind},
    ids::ScheduleId,
    message::Delayed,
    ports::{Clock, Queue, StoreError, Wake, Wakes},
    state::FarWake,
};
use std::sync::Arc;

/// For what calls nobody: an API function must answer while its caller waits, so calls are the dispatcher's.
pub struct NoCaller(pub Arc<dyn Clock>);

#[async_trait]
impl Caller for NoCaller {
    async fn call(&self, _request: CallRequest) -> CallOutcome {
        let now = self.0.now();
        let detail = "not sent: this function calls nobody".to_owned();
        let result = Err(CallFailure { kind: FailureKind::Connect, detail });
        CallOutcome { sent_at: now, first_byte_at: None, done_at: now, result }
    }
}

/// For what sends nothing and sets no wake.
pub struct NoQueue;

fn absent() -> StoreError {
    StoreError::Unavailable("this function has no queue".to_owned())
}

#[async_trait]
impl Queue for NoQueue {
    async fn send(&self, messages: Vec<Delayed>) -> Result<(), StoreError> {
        if messages.is_empty() { Ok(()) } else { Err(absent()) }
    }
}

#[async_trait]
impl Wakes for NoQueue {
    async fn set(&self, _wake: Wake) -> Result<(), StoreError> {
        Err(absent())
    }

    async fn clear(&self, _id: ScheduleId, far: Option<FarWake>) -> Result<(), StoreError> {
        if far.is_none() { Ok(()) } else { Err(absent()) }
    }
}
