//! What the engine needs of a world, cut by use. Conditions are part of each write's meaning; every
//! conditional write carries a token of its own, so that one repeated after a lost answer says what the first
//! said. One suite of tests (`tests/ports`) runs against every adapter.

use crate::{
    app::App,
    change::{Change, ChangeRefused},
    execution::{AttemptClaim, Execution, ExecutionStatus},
    ids::{AppKey, ExecutionId, ScheduleId, Token},
    message::{Delayed, Message},
    notice::{Event, Listener},
    plan::PlanWrite,
    push::{
        audience::Audience,
        device::{Device, Group, RegistrationId},
        fan_out::Range,
    },
    schedule::{Contract, Definition},
    state::{ClaimAnswer, ClaimAsk, Closed, Closing, FarWake, State, Status},
    time::{Span, Timestamp},
};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc};
use url::Url;

/// A store or queue could not do what was asked; nothing of the write may be relied on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Not now: throttled, unreachable, shutting down, or its answer was lost.
    #[error("the store did not answer: {0}")]
    Unavailable(String),
    /// No room: nothing was written, and what was acknowledged before stays.
    #[error("the store is full: {0}")]
    Full(String),
    /// An item is larger than the store takes.
    #[error("too large to store: {0}")]
    TooLarge(String),
    /// What was read is not what was written.
    #[error("stored data cannot be read: {0}")]
    Corrupt(String),
}

#[async_trait]
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
    /// Returns at `at` or later, never before: `now() >= at` holds afterwards.
    async fn sleep_until(&self, at: Timestamp);
}

pub trait Entropy: Send + Sync {
    fn bits(&self) -> u128;
}

#[async_trait]
pub trait AppStore: Send + Sync {
    async fn app(&self, key: &AppKey) -> Result<Option<Arc<App>>, StoreError>;
    async fn apps(&self) -> Result<Vec<Arc<App>>, StoreError>;
    /// False where the key is taken.
    async fn add_app(&self, app: App) -> Result<bool, StoreError>;
    /// Replaces `old` by `new`, if `old` is still what is stored; false otherwise.
    async fn replace_app(&self, old: &App, new: App) -> Result<bool, StoreError>;
    /// Removes the app and everything that is its; false where there is none.
    async fn remove_app(&self, key: &AppKey) -> Result<bool, StoreError>;
}

/// A schedule, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    pub definition: Arc<Definition>,
    pub state: State,
}

#[derive(Clone, Debug)]
pub struct NewSchedule {
    pub definition: Definition,
    pub state: State,
    /// Fills `definition.request.internal_id` with the app's next number.
    pub number_it: bool,
    /// Refuses where the app has as many schedules that have not ended; exact under concurrency.
    pub limit: Option<u32>,
    /// The same for its scheduled pushes alone, and only where this is one (`Contract::Pushes`).
    pub push_limit: Option<u32>,
    /// Makes this creation one that is made once, however often it is asked for.
    pub idempotency: Option<IdempotencyKey>,
}

/// Names what was asked for, so that asking again makes nothing new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The caller's; it holds within the app. 1 to 300 printable ASCII characters.
    pub key: String,
    /// Of everything that was asked for.
    pub fingerprint: String,
    /// From then on the key is free again.
    pub expires_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "made once for each request, and moved at once")]
pub enum Created {
    Done(Arc<Definition>),
    LimitReached,
    PushLimitReached,
    /// The idempotency key had made this schedule before, which is shown as it is now; nothing was written.
    Replayed(Schedule),
    /// The idempotency key came with another fingerprint before; nothing was written.
    KeyReused,
}

#[derive(Clone, Debug)]
pub struct ChangeWrite {
    pub id: ScheduleId,
    /// Made from this revision of the state.
    pub if_revision: u64,
    pub token: Token,
    pub change: Change,
    /// Stored in the same write, where the change brings one.
    pub definition: Option<Definition>,
    pub now: Timestamp,
    /// Sets `untold` where the change ends the schedule.
    pub tell_end: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ChangeAnswer {
    Done {
        schedule: Schedule,
        in_flight: u32,
    },
    Already {
        schedule: Schedule,
        in_flight: u32,
    },
    Refused(ChangeRefused),
    /// The state is of another revision by now.
    Conflict,
    Missing,
}

#[derive(Clone, Debug)]
pub struct ScheduleQuery {
    pub app: AppKey,
    pub status: Option<Status>,
    /// Case-insensitive part of the name.
    pub name: Option<String>,
    /// All of these tags; an empty value matches any.
    pub tags: Vec<(String, String)>,
    /// Only those made through this contract.
    pub contract: Option<Contract>,
    /// Newest first, those older than this one.
    pub before: Option<ScheduleId>,
    pub limit: usize,
}

/// `next` is there where more may follow; a page may be shorter than its limit all the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T, C> {
    pub items: Vec<T>,
    pub next: Option<C>,
}

#[async_trait]
pub trait ScheduleStore: Send + Sync {
    /// All or nothing; the same id and token again answers as the first time, before anything else is looked at.
    ///
    /// With an idempotency key: if the app's key is taken at `definition.created_at` (its `expires_at` is later,
    /// and the schedule that it made is still there), answers `Replayed` for the same fingerprint and `KeyReused`
    /// for another, whatever the limit. Otherwise the key is stored with the schedule, in the same write, in place
    /// of one that has expired. Of many at once with one key, one is `Done` and the others are `Replayed`. What is
    /// refused takes no key.
    async fn create(&self, new: NewSchedule) -> Result<Created, StoreError>;
    /// What [`ScheduleStore::create`] would answer to this key at `now`, `Replayed` or `KeyReused`, without
    /// creating anything. None: the key is free.
    async fn created_with(
        &self,
        app: &AppKey,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<Option<Created>, StoreError>;
    async fn load(&self, id: ScheduleId) -> Result<Option<Schedule>, StoreError>;
    async fn list(&self, query: &ScheduleQuery) -> Result<Page<Schedule, ScheduleId>, StoreError>;
    /// Holds back claims made meanwhile: once it has answered, none of an older generation is given.
    async fn change(&self, write: ChangeWrite) -> Result<ChangeAnswer, StoreError>;
    /// Whose `look_again_at` is at or before `at`, the most overdue first, at most `limit`.
    async fn overdue(&self, at: Timestamp, limit: usize) -> Result<Vec<ScheduleId>, StoreError>;
    /// Moves an overdue `look_again_at` on (`State::look_later`); false where it was not overdue.
    async fn look_later(&self, id: ScheduleId, grace: Span, now: Timestamp) -> Result<bool, StoreError>;
}

/// The outcome of a claimed occurrence.
#[derive(Clone, Debug)]
pub struct CloseWrite {
    /// The record, its `token` the claim's.
    pub execution: Execution,
    pub closing: Closing,
    pub last_status: Option<i32>,
    pub now: Timestamp,
    /// Sets `untold` where this ends the schedule.
    pub tell_end: bool,
}

impl CloseWrite {
    /// What an execution, as it is now, says of its number and its schedule's last answer.
    pub fn of(execution: &Execution, now: Timestamp, tell_end: bool) -> Self {
        let closing = match execution.status {
            ExecutionStatus::Waiting => Closing::Waiting,
            over => Closing::Over(over),
        };
        CloseWrite {
            execution: execution.clone(),
            closing,
            last_status: execution.last_status(),
            now,
            tell_end,
        }
    }
}

#[async_trait]
pub trait StateStore: Send + Sync {
    /// `None`: the state is of another version by now; nothing was written. Missed runs get their records.
    async fn save_plan(
        &self,
        write: PlanWrite,
        now: Timestamp,
        tell_end: bool,
    ) -> Result<Option<Closed>, StoreError>;
    async fn claim(&self, ask: &ClaimAsk, now: Timestamp) -> Result<ClaimAnswer, StoreError>;
    /// Writes the record, then counts: a crash between the two leaves the record without the count, never the
    /// other way round. `Closing::Waiting`: both or neither. Answers `applied: false` where the claim is gone.
    async fn close(&self, write: CloseWrite) -> Result<Closed, StoreError>;
    /// The end has been told: clears `untold` and the look it kept alive.
    async fn told(&self, id: ScheduleId) -> Result<(), StoreError>;
}

#[derive(Clone, Debug)]
pub struct ExecutionQuery {
    pub schedule: ScheduleId,
    pub status: Option<ExecutionStatus>,
    pub newest_first: bool,
    /// Those after this one, in the order asked for.
    pub after: Option<ExecutionId>,
    pub limit: usize,
}

#[async_trait]
pub trait ExecutionStore: Send + Sync {
    async fn execution(&self, id: ExecutionId) -> Result<Option<Execution>, StoreError>;
    async fn executions(&self, query: &ExecutionQuery) -> Result<Page<Execution, ExecutionId>, StoreError>;
    /// A record without its count: what is told to others must be on record first. Never over another token's; where
    /// another claims the record's attempt by now (claims that are leases), it is `Unavailable`.
    async fn put_record(&self, execution: &Execution) -> Result<(), StoreError>;
    /// A run by hand (no record yet) or a redelivery (`reopens`: a final one whose number is closed): the record
    /// waits, and the state knows. False where the record is not as expected; one's own token there answers true.
    async fn open(&self, execution: &Execution, reopens: bool) -> Result<bool, StoreError>;
    /// Pages of one occurrence: those that are not there yet wait from now on, and the state knows how many. Some or
    /// all may be there already, of an earlier try whose answer was lost; none is ever put over another.
    async fn open_pages(&self, pages: &[Execution]) -> Result<(), StoreError>;
    async fn claim_attempt(
        &self,
        id: ExecutionId,
        token: Token,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<AttemptClaim, StoreError>;
    /// Writes a waiting execution's next record: final (and then the state counts it, in the same write), or
    /// waiting again. `applied: false` where the claim in `token` is gone.
    async fn close_attempt(&self, write: CloseWrite) -> Result<Closed, StoreError>;
    /// Waiting executions whose next attempt is due at or before `at` and that nobody holds.
    async fn waiting(&self, at: Timestamp, limit: usize) -> Result<Vec<ExecutionId>, StoreError>;
    /// False where there is no such record.
    async fn comment(&self, id: ExecutionId, comment: &str) -> Result<bool, StoreError>;
}

#[async_trait]
pub trait Queue: Send + Sync {
    /// Attempts and notices are kept until they are done; wakes and segments may be lost.
    async fn send(&self, messages: Vec<Delayed>) -> Result<(), StoreError>;
}

/// What is to come up for a schedule, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Wake {
    pub id: ScheduleId,
    pub generation: u32,
    pub at: Timestamp,
    /// Further away than a queue carries; the state knows of it, so that it can be removed by its name.
    pub far: bool,
    /// A wake, or the only segment of a schedule that was planned as it was created.
    pub message: Message,
}

#[async_trait]
pub trait Wakes: Send + Sync {
    /// The same wake again is the same wake. It may be lost, and come late: the sweeper has it.
    async fn set(&self, wake: Wake) -> Result<(), StoreError>;
    /// `far`: the wake that waits outside the queue, where the state knows of one.
    async fn clear(&self, id: ScheduleId, far: Option<FarWake>) -> Result<(), StoreError>;
}

#[async_trait]
pub trait ListenerStore: Send + Sync {
    /// The same URL again replaces its events and forgets its failures.
    async fn add_listener(
        &self,
        app: &AppKey,
        url: &Url,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Listener, StoreError>;
    /// Removed ones included, oldest first.
    async fn listeners(&self, app: &AppKey) -> Result<Arc<[Listener]>, StoreError>;
    /// Counts one delivery, after its retries. Answers whether that removed the listener.
    async fn listener_heard(
        &self,
        app: &AppKey,
        listener: u64,
        ok: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
}

/// Which devices of one group to read, in the order of their positions (and of their ids, where these are equal).
#[derive(Clone, Debug)]
pub struct Scan<'a> {
    pub app: &'a AppKey,
    pub group: Group,
    /// Only whom it admits; a store may use it to read less.
    pub audience: &'a Audience,
    pub range: Range,
    /// Only devices whose group has changed since (`moved_at` later), and that were there before (`created_at` not
    /// later).
    pub moved_since: Option<Timestamp>,
    /// Those after this one.
    pub after: Option<&'a RegistrationId>,
    pub limit: usize,
}

#[async_trait]
pub trait DeviceStore: Send + Sync {
    /// Those that are known, in no particular order; at most 1,000 are asked for.
    async fn devices(&self, app: &AppKey, ids: &[RegistrationId]) -> Result<Vec<Device>, StoreError>;
    /// Puts it in place of the one of revision `if_revision` (0: none), with its group, tags and alias as they are
    /// now; false where another is there. The same device again answers true.
    async fn put_device(&self, app: &AppKey, device: &Device, if_revision: u64) -> Result<bool, StoreError>;
    /// False where there is none.
    async fn remove_device(&self, app: &AppKey, id: &RegistrationId) -> Result<bool, StoreError>;
    /// The devices of an alias, by id.
    async fn of_alias(
        &self,
        app: &AppKey,
        alias: &str,
        after: Option<&RegistrationId>,
        limit: usize,
    ) -> Result<Page<RegistrationId, RegistrationId>, StoreError>;
    /// The groups that the app's devices are in; some may be empty by now.
    async fn groups(&self, app: &AppKey) -> Result<Vec<Group>, StoreError>;
    /// How many a scan would find; its `after` and `limit` are of no account.
    async fn count(&self, scan: &Scan<'_>) -> Result<u64, StoreError>;
    /// A page may be shorter than its limit although more follow; `next` says so.
    async fn scan(&self, scan: &Scan<'_>) -> Result<Page<Device, RegistrationId>, StoreError>;
    /// Which of them have been told of this occasion of the schedule, or of a later one: the last one that each was told
    /// of is kept, for at least 60 days.
    async fn told_devices(
        &self,
        schedule: ScheduleId,
        occasion: Timestamp,
        ids: &[RegistrationId],
    ) -> Result<BTreeSet<RegistrationId>, StoreError>;
    async fn tell_devices(
        &self,
        schedule: ScheduleId,
        occasion: Timestamp,
        ids: &[RegistrationId],
        now: Timestamp,
    ) -> Result<(), StoreError>;
}

/// Executions that have ended, of one app.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Since when this counts.
    pub since: Timestamp,
    pub succeeded: u64,
    pub failed: u64,
    pub missed: u64,
    pub skipped: u64,
    /// Of first attempts, in ms; none where nothing was sent yet.
    pub lateness: Option<LatenessMillis>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatenessMillis {
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
}

#[async_trait]
pub trait StatisticsStore: Send + Sync {
    async fn statistics(&self, app: &AppKey) -> Result<Statistics, StoreError>;
}

/// Told of every execution's end; never waits.
pub trait Observer: Send + Sync {
    fn ended(&self, execution: &Execution);
    /// Something went wrong that costs punctuality, not promises: worth a log line and a count.
    fn trouble(&self, what: &str, error: &StoreError);
}
