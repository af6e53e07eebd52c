//! A layer of faults over any world's ports: before and after each operation a gate decides whether it is
//! refused, or done and its answer lost. What a gate does (count, throw dice, stop the process) is its own.

mod answers;
mod ports;
pub mod sdk;

pub use answers::ForgetAnswers;

use crate::memory::Memory;
use async_trait::async_trait;
use rondo_domain::ports::{
    AppStore, DeviceStore, ExecutionStore, ListenerStore, Queue, ScheduleStore, StateStore, StoreError, Wakes,
};
use std::sync::Arc;

/// An operation of a port, as a gate sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Op {
    pub name: &'static str,
    pub writes: bool,
}

impl Op {
    const fn read(name: &'static str) -> Self {
        Op { name, writes: false }
    }

    const fn write(name: &'static str) -> Self {
        Op { name, writes: true }
    }
}

#[async_trait]
pub trait Gate: Send + Sync {
    /// An error: the operation is not done.
    async fn before(&self, op: Op) -> Result<(), StoreError>;
    /// An error: it was done, and its answer is lost.
    async fn after(&self, op: Op) -> Result<(), StoreError>;
}

/// The stores of one world.
#[derive(Clone)]
pub struct Stores {
    pub apps: Arc<dyn AppStore>,
    pub schedules: Arc<dyn ScheduleStore>,
    pub states: Arc<dyn StateStore>,
    pub executions: Arc<dyn ExecutionStore>,
    pub listeners: Arc<dyn ListenerStore>,
    pub devices: Arc<dyn DeviceStore>,
}

impl Stores {
    /// One object that is all of them.
    pub fn of<W>(world: &Arc<W>) -> Self
    where
        W: AppStore + ScheduleStore + StateStore + ExecutionStore + ListenerStore + DeviceStore + 'static,
    {
        Stores {
            apps: Arc::clone(world) as Arc<dyn AppStore>,
            schedules: Arc::clone(world) as Arc<dyn ScheduleStore>,
            states: Arc::clone(world) as Arc<dyn StateStore>,
            executions: Arc::clone(world) as Arc<dyn ExecutionStore>,
            listeners: Arc::clone(world) as Arc<dyn ListenerStore>,
            devices: Arc::clone(world) as Arc<dyn DeviceStore>,
        }
    }
}

/// The same stores (and, where there are any, queue and wakes) behind a gate.
pub struct Faulty {
    pub inner: Stores,
    pub queue: Option<(Arc<dyn Queue>, Arc<dyn Wakes>)>,
    pub gate: Arc<dyn Gate>,
    /// Where `close` is two writes, as on AWS: the gate comes between them, too.
    pub torn_close: Option<Arc<Memory>>,
}

impl Faulty {
    async fn through<T>(
        &self,
        op: Op,
        operation: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.gate.before(op).await?;
        let answer = operation.await?;
        self.gate.after(op).await?;
        Ok(answer)
    }
}
