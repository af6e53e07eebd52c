//! Loading ahead: what is due soon comes from the database into memory, a page at a time and never more than
//! there is room for. A million schedules that are not due soon cost nothing.

use crate::{
    rows::{definition_of, id_of, state_of, timestamp},
    store::LocalStore,
};
use rondo_domain::{
    message::Message,
    notice::Notice,
    ports::StoreError,
    schedule::Definition,
    state::State,
    time::{Span, Timestamp},
};
use rusqlite::params;
use std::sync::Arc;

/// Schedules of one page at most: the writer reads them, and others wait for it.
const PAGE: usize = 256;
/// Attempts, and notices, that are loaded at most.
const MESSAGES: usize = 20_000;

impl LocalStore {
    /// Loads what is to be looked at by `until`. False: there was no room for all of it.
    pub(crate) async fn load_schedules(&self, until: Timestamp) -> Result<bool, StoreError> {
        loop {
            if self.memory().is_full() {
                return Ok(self.memory().loaded() >= (until, [0; 16]));
            }
            if self.load_page(until).await? {
                return Ok(true);
            }
        }
    }

    /// One page; answers whether it was the last. Read by the writer: nothing is written between the reading
    /// and the bringing in.
    async fn load_page(&self, until: Timestamp) -> Result<bool, StoreError> {
        self.write(move |batch| {
            let (after, after_id) = batch.memory.loaded();
            let room = batch.memory.room().min(PAGE);
            if after > until || room == 0 {
                return Ok(after > until);
            }
            let mut statement = batch.connection.prepare_cached(
                "SELECT s.id, s.look, s.json, d.json, d.number
                 FROM states s CROSS JOIN definitions d ON d.id = s.id
                 WHERE s.look IS NOT NULL AND (s.look, s.id) > (?1, ?2) AND s.look <= ?3
                 ORDER BY s.look, s.id LIMIT ?4",
            )?;
            let mut rows = statement.query(params![after.millis(), after_id, until.millis(), room as i64])?;
            let mut page: Vec<(State, Arc<Definition>, Timestamp)> = Vec::new();
            let mut last = None;
            let mut count = 0;
            while let Some(row) = rows.next()? {
                let (id, look) = (id_of(row, 0)?, row.get::<_, i64>(1)?);
                count += 1;
                last = Some((timestamp(look), id.bytes()));
                if batch.memory.is_live(id) {
                    continue;
                }
                let state =
                    state_of(row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?, Some(look), id);
                let definition =
                    definition_of(row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?, row.get(4)?, id);
                match (state, definition) {
                    (Ok(state), Ok(definition)) => page.push((state, Arc::new(definition), timestamp(look))),
                    // One that cannot be read must not hide all the others.
                    (Err(error), _) | (_, Err(error)) => {
                        tracing::error!(schedule.id = %id, %error, "a schedule cannot be read");
                    }
                }
            }
            let is_last = count < room;
            let loaded = if is_last { Some((until, [0xff; 16])) } else { last };
            batch.afterwards(move |memory| {
                for (state, definition, look) in page {
                    let id = state.id;
                    if memory.bring_in(state, definition, Some(look)) {
                        memory.with(id, |live| memory.put_wake(live, look));
                    }
                }
                if let Some(loaded) = loaded {
                    memory.set_loaded(loaded.max(memory.loaded()));
                }
            });
            Ok(is_last)
        })
        .await
    }

    /// Puts the attempts and notices that are due by `until` into the agenda, as far as there is room.
    pub(crate) async fn load_messages(&self, until: Timestamp) -> Result<(), StoreError> {
        let memory = self.memory();
        // From here on, what is written is put into the agenda by its writer; what was before is read now.
        memory.set_attempts_until(until);
        let attempts = self.waiting_until(until, MESSAGES).await?;
        if attempts.len() == MESSAGES
            && let Some((last, _)) = attempts.last()
        {
            memory.set_attempts_until(last.minus(Span::from_millis(1)));
        }
        for (at, execution) in attempts {
            memory.agenda.offer(at, Message::Attempt { execution, at: None });
        }
        memory.set_notices_until(until);
        let notices = self.notices_until(until, MESSAGES).await?;
        if notices.len() == MESSAGES
            && let Some((last, _)) = notices.last()
        {
            memory.set_notices_until(last.minus(Span::from_millis(1)));
        }
        for (at, notice) in notices {
            memory.agenda.offer(at, Message::Notice(notice));
        }
        Ok(())
    }

    async fn notices_until(
        &self,
        at: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Timestamp, Notice)>, StoreError> {
        self.inner
            .readers
            .read(move |connection| {
                let mut statement = connection
                    .prepare_cached("SELECT due, json FROM notices WHERE due <= ?1 ORDER BY due LIMIT ?2")?;
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                let rows = statement.query_map(params![at.millis(), limit], |row| {
                    Ok((Timestamp::from_millis(row.get(0)?), row.get::<_, String>(1)?))
                })?;
                let mut notices = Vec::new();
                for row in rows {
                    let (due, json) = row?;
                    notices.push((due, crate::rows::from_json(&json, "a notice")?));
                }
                Ok(notices)
            })
            .await
    }
}
