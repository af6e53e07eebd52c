//! `Queue` and `Wakes`. A message that is due soon goes into the agenda; what lies further ahead has a row
//! already that will be loaded in time: a schedule's look, a waiting execution, a notice.

use crate::{rows::to_json, store::LocalStore};
use async_trait::async_trait;
use rondo_domain::{
    ids::ScheduleId,
    message::{Delayed, Message},
    notice::Notice,
    ports::{Queue, StoreError, Wake, Wakes},
    state::FarWake,
    time::Timestamp,
};
use rusqlite::params;
use std::sync::Arc;

#[async_trait]
impl Queue for LocalStore {
    async fn send(&self, messages: Vec<Delayed>) -> Result<(), StoreError> {
        let mut notices = Vec::new();
        for Delayed { at, message } in messages {
            match message {
                Message::Segment(_) => self.memory().agenda.push(at, message),
                Message::Wake { id, generation } => self.set_wake(id, generation, at).await?,
                Message::Attempt { .. } if at <= self.memory().attempts_until() => {
                    self.memory().agenda.push(at, message);
                }
                Message::Attempt { .. } => {}
                Message::Notice(notice) => notices.push((at, notice)),
            }
        }
        if notices.is_empty() { Ok(()) } else { self.keep_notices(notices).await }
    }
}

#[async_trait]
impl Wakes for LocalStore {
    async fn set(&self, wake: Wake) -> Result<(), StoreError> {
        self.set_wake(wake.id, wake.generation, wake.at).await
    }

    async fn clear(&self, id: ScheduleId, _: Option<FarWake>) -> Result<(), StoreError> {
        self.memory().with(id, |live| self.memory().drop_wake(live));
        self.memory().let_go(id);
        Ok(())
    }
}

impl LocalStore {
    async fn set_wake(&self, id: ScheduleId, generation: u32, at: Timestamp) -> Result<(), StoreError> {
        let memory = self.memory();
        while !memory.set_wake(id, generation, at) {
            // Its row has the wake, and is loaded before that.
            if !memory.is_loaded(at, id) || !self.bring_in(id).await? {
                return Ok(());
            }
        }
        if memory.is_loaded(at, id) { Ok(()) } else { self.rest_if_idle(id).await }
    }

    async fn rest_if_idle(&self, id: ScheduleId) -> Result<(), StoreError> {
        let idle = self.memory().with(id, |live| !crate::rows::is_open(&live.state));
        if idle == Some(true) { self.rest_until(id).await } else { Ok(()) }
    }

    /// Puts notices on disk, and those due soon into the agenda. The same one again is the same notice.
    async fn keep_notices(&self, notices: Vec<(Timestamp, Notice)>) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(notices.len());
        for (at, notice) in notices {
            let json = to_json(&notice)?;
            rows.push((at, Arc::new(notice), json));
        }
        self.write(move |batch| {
            let connection = batch.connection;
            let mut put = connection.prepare_cached(
                "INSERT OR IGNORE INTO notices (id, app, due, json) VALUES (?1, ?2, ?3, ?4)",
            )?;
            for (at, notice, json) in &rows {
                if put.execute(params![notice.id, notice.app.as_str(), at.millis(), json])? == 0 {
                    continue;
                }
                let (at, notice) = (*at, Arc::clone(notice));
                batch.afterwards(move |memory| {
                    if at <= memory.notices_until() {
                        memory.agenda.offer(at, Message::Notice(Notice::clone(&notice)));
                    }
                });
            }
            Ok(())
        })
        .await
    }

    /// A notice that is over.
    pub(crate) async fn notice_over(&self, id: String) -> Result<(), StoreError> {
        self.write(move |batch| {
            batch.connection.prepare_cached("DELETE FROM notices WHERE id = ?1")?.execute([&id])?;
            Ok(())
        })
        .await
    }

    /// A notice that is to be sent again.
    pub(crate) async fn notice_again(&self, at: Timestamp, notice: &Notice) -> Result<(), StoreError> {
        let (id, json) = (notice.id.clone(), to_json(notice)?);
        self.write(move |batch| {
            let mut put =
                batch.connection.prepare_cached("UPDATE notices SET due = ?2, json = ?3 WHERE id = ?1")?;
            put.execute(params![id, at.millis(), json])?;
            Ok(())
        })
        .await
    }
}
