//! A gate that loses the answer of every write, once: the caller asks again, and must be told the same.

use super::{Gate, Op};
use async_trait::async_trait;
use rondo_domain::ports::StoreError;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Loses every other answer of a write: the first one, not the one to its repetition.
#[derive(Default)]
pub struct ForgetAnswers {
    repeated: AtomicBool,
    lost: AtomicU32,
}

impl ForgetAnswers {
    /// How many answers were lost.
    pub fn lost(&self) -> u32 {
        self.lost.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Gate for ForgetAnswers {
    async fn before(&self, _op: Op) -> Result<(), StoreError> {
        Ok(())
    }

    async fn after(&self, op: Op) -> Result<(), StoreError> {
        if op.writes && !self.repeated.fetch_xor(true, Ordering::SeqCst) {
            self.lost.fetch_add(1, Ordering::SeqCst);
            return Err(StoreError::Unavailable(format!("the answer to {} was lost", op.name)));
        }
        Ok(())
    }
}
