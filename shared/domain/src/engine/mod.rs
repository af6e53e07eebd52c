//! The use cases, over the ports. One file for each stretch of a schedule's life; the two worlds differ in
//! nothing but the adapters they put in here.

mod apps;
mod attempt;
mod create;
mod deliver;
mod devices;
mod manage;
mod notify;
mod push;
mod push_now;
mod read;
mod recipients;
mod sweep;
mod wake;

pub use apps::{AppGrant, NewApp, Vault};
pub use create::{Draft, Made, preview};
pub use manage::Managed;
pub use notify::NoticeFate;
pub use push_now::{Pushed, message_id};
pub use read::ExecutionFilter;
pub use sweep::Swept;

use crate::{
    call::Caller,
    callback::Links,
    change::ChangeRefused,
    ids::Token,
    message::{Delayed, Message},
    plan::Reach,
    ports::{
        AppStore, Clock, DeviceStore, Entropy, ExecutionStore, ListenerStore, Observer, Queue, ScheduleStore,
        StateStore, StatisticsStore, StoreError, Wakes,
    },
    push::sender::PushSender,
    time::{Span, Timestamp},
};
use std::sync::Arc;

/// Everything that the use cases need, and the use cases.
#[derive(Clone)]
pub struct Engine {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub apps: Arc<dyn AppStore>,
    pub schedules: Arc<dyn ScheduleStore>,
    pub states: Arc<dyn StateStore>,
    pub executions: Arc<dyn ExecutionStore>,
    pub listeners: Arc<dyn ListenerStore>,
    pub devices: Arc<dyn DeviceStore>,
    pub queue: Arc<dyn Queue>,
    pub wakes: Arc<dyn Wakes>,
    pub caller: Arc<dyn Caller>,
    pub pusher: Arc<dyn PushSender>,
    pub observer: Arc<dyn Observer>,
    pub statistics: Arc<dyn StatisticsStore>,
    pub links: Links,
    pub settings: Settings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub reach: Reach,
    /// How long a claim holds without an outcome. Where claims die with the process, as good as for ever.
    pub lease: Span,
    /// How long before it is due an occurrence is claimed, so that the claim's way to the store and back is over
    /// when the call is to go out.
    pub claim_ahead: Span,
    /// Definitions up to so many bytes of JSON travel in the message.
    pub carry_definition: usize,
    /// A schedule of one occurrence is planned as it is created: its message waits instead of a wake.
    pub plan_singles: bool,
    /// So many recipients an execution that pushes covers, as nearly as can be said beforehand.
    pub page: usize,
    /// So many of them are told at once, each by itself: a crash in between may tell these twice.
    pub told_at_once: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Unknown, or another app's: the two answer alike.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    #[error("{0}")]
    Invalid(#[from] Invalid),
    #[error("{0}")]
    Refused(#[from] ChangeRefused),
    #[error("{0}")]
    Conflict(String),
    #[error("the app has {0} schedules that have not ended, as many as it may have")]
    LimitReached(u32),
    #[error("the app has {0} scheduled pushes that have not expired, as many as it may have")]
    PushLimitReached(u32),
    #[error("the idempotency key came with another request before")]
    KeyReused,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A value that cannot be: which field, and what would be right. `field` is a dotted path of the native API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {detail}")]
pub struct Invalid {
    pub field: String,
    pub detail: String,
}

impl Invalid {
    pub fn new(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Invalid { field: field.into(), detail: detail.into() }
    }
}

/// What became of a message: done with, or to be seen again.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "made once for each message, and moved at once")]
pub enum Handled {
    Done,
    ComeBack(Delayed),
}

impl Engine {
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn token(&self) -> Token {
        Token((self.entropy.bits() as u64).max(1))
    }

    fn chance(&self) -> u64 {
        self.entropy.bits() as u64
    }

    /// Handles any message. `until`: what is due later comes back instead of being held.
    pub async fn handle(&self, message: Message, until: Timestamp) -> Result<Handled, Error> {
        match message {
            Message::Wake { id, generation } => self.wake(id, Some(generation)).await.map(|()| Handled::Done),
            Message::Segment(segment) => self.deliver(segment, until).await,
            Message::Attempt { execution, at } => self.attempt(execution, at, until).await,
            Message::Notice(notice) => Ok(match self.deliver_notice(notice).await? {
                NoticeFate::Over => Handled::Done,
                NoticeFate::Again(at, notice) => {
                    Handled::ComeBack(Delayed { at, message: Message::Notice(notice) })
                }
            }),
        }
    }
}
