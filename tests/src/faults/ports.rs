//! Every port, through the gate.

use super::{Faulty, Op};
use async_trait::async_trait;
use rondo_domain::{
    app::App,
    execution::{AttemptClaim, Execution},
    ids::{AppKey, ExecutionId, ScheduleId, Token},
    message::Delayed,
    notice::{Event, Listener},
    plan::PlanWrite,
    ports::{
        AppStore, ChangeAnswer, ChangeWrite, CloseWrite, Created, DeviceStore, ExecutionQuery,
        ExecutionStore, IdempotencyKey, ListenerStore, NewSchedule, Page, Queue, Scan, Schedule,
        ScheduleQuery, ScheduleStore, StateStore, StoreError, Wake, Wakes,
    },
    push::device::{Device, Group, RegistrationId},
    state::{ClaimAnswer, ClaimAsk, Closed, Closing, FarWake},
    time::{Span, Timestamp},
};
use std::{collections::BTreeSet, sync::Arc};
use url::Url;

#[async_trait]
impl AppStore for Faulty {
    async fn app(&self, key: &AppKey) -> Result<Option<Arc<App>>, StoreError> {
        self.through(Op::read("app"), self.inner.apps.app(key)).await
    }

    async fn apps(&self) -> Result<Vec<Arc<App>>, StoreError> {
        self.through(Op::read("apps"), self.inner.apps.apps()).await
    }

    async fn add_app(&self, app: App) -> Result<bool, StoreError> {
        self.through(Op::write("add_app"), self.inner.apps.add_app(app)).await
    }

    async fn replace_app(&self, old: &App, new: App) -> Result<bool, StoreError> {
        self.through(Op::write("replace_app"), self.inner.apps.replace_app(old, new)).await
    }

    async fn remove_app(&self, key: &AppKey) -> Result<bool, StoreError> {
        self.through(Op::write("remove_app"), self.inner.apps.remove_app(key)).await
    }
}

#[async_trait]
impl ScheduleStore for Faulty {
    async fn create(&self, new: NewSchedule) -> Result<Created, StoreError> {
        self.through(Op::write("create"), self.inner.schedules.create(new)).await
    }

    async fn created_with(
        &self,
        app: &AppKey,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<Option<Created>, StoreError> {
        self.through(Op::read("created_with"), self.inner.schedules.created_with(app, key, now)).await
    }

    async fn load(&self, id: ScheduleId) -> Result<Option<Schedule>, StoreError> {
        self.through(Op::read("load"), self.inner.schedules.load(id)).await
    }

    async fn list(&self, query: &ScheduleQuery) -> Result<Page<Schedule, ScheduleId>, StoreError> {
        self.through(Op::read("list"), self.inner.schedules.list(query)).await
    }

    async fn change(&self, write: ChangeWrite) -> Result<ChangeAnswer, StoreError> {
        self.through(Op::write("change"), self.inner.schedules.change(write)).await
    }

    async fn overdue(&self, at: Timestamp, limit: usize) -> Result<Vec<ScheduleId>, StoreError> {
        self.through(Op::read("overdue"), self.inner.schedules.overdue(at, limit)).await
    }

    async fn look_later(&self, id: ScheduleId, grace: Span, now: Timestamp) -> Result<bool, StoreError> {
        self.through(Op::write("look_later"), self.inner.schedules.look_later(id, grace, now)).await
    }
}

#[async_trait]
impl StateStore for Faulty {
    async fn save_plan(
        &self,
        write: PlanWrite,
        now: Timestamp,
        tell_end: bool,
    ) -> Result<Option<Closed>, StoreError> {
        self.through(Op::write("save_plan"), self.inner.states.save_plan(write, now, tell_end)).await
    }

    async fn claim(&self, ask: &ClaimAsk, now: Timestamp) -> Result<ClaimAnswer, StoreError> {
        self.through(Op::write("claim"), self.inner.states.claim(ask, now)).await
    }

    async fn close(&self, write: CloseWrite) -> Result<Closed, StoreError> {
        let Some(memory) = self.torn_close.as_ref().filter(|_| matches!(write.closing, Closing::Over(_)))
        else {
            return self.through(Op::write("close"), self.inner.states.close(write)).await;
        };
        self.gate.before(Op::write("record")).await?;
        if memory.record_outcome(&write) {
            self.gate.after(Op::write("record")).await?;
            self.gate.before(Op::write("count")).await?;
        }
        let closed = memory.count_outcome(&write);
        self.gate.after(Op::write("count")).await?;
        Ok(closed)
    }

    async fn told(&self, id: ScheduleId) -> Result<(), StoreError> {
        self.through(Op::write("told"), self.inner.states.told(id)).await
    }
}

#[async_trait]
impl ExecutionStore for Faulty {
    async fn execution(&self, id: ExecutionId) -> Result<Option<Execution>, StoreError> {
        self.through(Op::read("execution"), self.inner.executions.execution(id)).await
    }

    async fn executions(&self, query: &ExecutionQuery) -> Result<Page<Execution, ExecutionId>, StoreError> {
        self.through(Op::read("executions"), self.inner.executions.executions(query)).await
    }

    async fn put_record(&self, execution: &Execution) -> Result<(), StoreError> {
        self.through(Op::write("put_record"), self.inner.executions.put_record(execution)).await
    }

    async fn open(&self, execution: &Execution, reopens: bool) -> Result<bool, StoreError> {
        self.through(Op::write("open"), self.inner.executions.open(execution, reopens)).await
    }

    async fn open_pages(&self, pages: &[Execution]) -> Result<(), StoreError> {
        self.through(Op::write("open_pages"), self.inner.executions.open_pages(pages)).await
    }

    async fn claim_attempt(
        &self,
        id: ExecutionId,
        token: Token,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<AttemptClaim, StoreError> {
        self.through(
            Op::write("claim_attempt"),
            self.inner.executions.claim_attempt(id, token, lease_until, now),
        )
        .await
    }

    async fn close_attempt(&self, write: CloseWrite) -> Result<Closed, StoreError> {
        self.through(Op::write("close_attempt"), self.inner.executions.close_attempt(write)).await
    }

    async fn waiting(&self, at: Timestamp, limit: usize) -> Result<Vec<ExecutionId>, StoreError> {
        self.through(Op::read("waiting"), self.inner.executions.waiting(at, limit)).await
    }

    async fn comment(&self, id: ExecutionId, comment: &str) -> Result<bool, StoreError> {
        self.through(Op::write("comment"), self.inner.executions.comment(id, comment)).await
    }
}

#[async_trait]
impl ListenerStore for Faulty {
    async fn add_listener(
        &self,
        app: &AppKey,
        url: &Url,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Listener, StoreError> {
        self.through(Op::write("add_listener"), self.inner.listeners.add_listener(app, url, events, now))
            .await
    }

    async fn listeners(&self, app: &AppKey) -> Result<Arc<[Listener]>, StoreError> {
        self.through(Op::read("listeners"), self.inner.listeners.listeners(app)).await
    }

    async fn listener_heard(
        &self,
        app: &AppKey,
        listener: u64,
        ok: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.through(Op::write("listener_heard"), self.inner.listeners.listener_heard(app, listener, ok, now))
            .await
    }
}

#[async_trait]
impl DeviceStore for Faulty {
    async fn devices(&self, app: &AppKey, ids: &[RegistrationId]) -> Result<Vec<Device>, StoreError> {
        self.through(Op::read("devices"), self.inner.devices.devices(app, ids)).await
    }

    async fn put_device(&self, app: &AppKey, device: &Device, if_revision: u64) -> Result<bool, StoreError> {
        self.through(Op::write("put_device"), self.inner.devices.put_device(app, device, if_revision)).await
    }

    async fn remove_device(&self, app: &AppKey, id: &RegistrationId) -> Result<bool, StoreError> {
        self.through(Op::write("remove_device"), self.inner.devices.remove_device(app, id)).await
    }

    async fn of_alias(
        &self,
        app: &AppKey,
        alias: &str,
        after: Option<&RegistrationId>,
        limit: usize,
    ) -> Result<Page<RegistrationId, RegistrationId>, StoreError> {
        self.through(Op::read("of_alias"), self.inner.devices.of_alias(app, alias, after, limit)).await
    }

    async fn groups(&self, app: &AppKey) -> Result<Vec<Group>, StoreError> {
        self.through(Op::read("groups"), self.inner.devices.groups(app)).await
    }

    async fn count(&self, scan: &Scan<'_>) -> Result<u64, StoreError> {
        self.through(Op::read("count"), self.inner.devices.count(scan)).await
    }

    async fn scan(&self, scan: &Scan<'_>) -> Result<Page<Device, RegistrationId>, StoreError> {
        self.through(Op::read("scan"), self.inner.devices.scan(scan)).await
    }

    async fn told_devices(
        &self,
        schedule: ScheduleId,
        occasion: Timestamp,
        ids: &[RegistrationId],
    ) -> Result<BTreeSet<RegistrationId>, StoreError> {
        self.through(Op::read("told_devices"), self.inner.devices.told_devices(schedule, occasion, ids)).await
    }

    async fn tell_devices(
        &self,
        schedule: ScheduleId,
        occasion: Timestamp,
        ids: &[RegistrationId],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let tell = self.inner.devices.tell_devices(schedule, occasion, ids, now);
        self.through(Op::write("tell_devices"), tell).await
    }
}

/// Where a world has no queue of its own here, nothing is ever sent.
#[async_trait]
impl Queue for Faulty {
    async fn send(&self, messages: Vec<Delayed>) -> Result<(), StoreError> {
        match &self.queue {
            Some((queue, _)) => self.through(Op::write("send"), queue.send(messages)).await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Wakes for Faulty {
    async fn set(&self, wake: Wake) -> Result<(), StoreError> {
        match &self.queue {
            Some((_, wakes)) => self.through(Op::write("set_wake"), wakes.set(wake)).await,
            None => Ok(()),
        }
    }

    async fn clear(&self, id: ScheduleId, far: Option<FarWake>) -> Result<(), StoreError> {
        match &self.queue {
            Some((_, wakes)) => self.through(Op::write("clear_wake"), wakes.clear(id, far)).await,
            None => Ok(()),
        }
    }
}
