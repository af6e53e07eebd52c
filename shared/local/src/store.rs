//! The store: a folder with one SQLite database, and what is kept in memory above it. The ports are implemented
//! in `ports/`, one file each; loading ahead of time is in `ahead`.

use crate::{
    OpenError,
    batch::{Batch, Failure},
    folder::Folder,
    memory::Memory,
    readers::Readers,
    rows::from_json,
    schema,
    writer::{Writer, WriterThread},
};
use rondo_domain::{
    ids::{AppKey, ScheduleId},
    notice::Listener,
    ports::{Clock, StoreError},
};
use rusqlite::Connection;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
};

/// Where and how to open; [`Options::new`] has the defaults.
#[derive(Clone)]
pub struct Options {
    /// Made if it is not there, for its owner alone.
    pub folder: PathBuf,
    pub clock: Arc<dyn Clock>,
    /// The database grows to at most so many pages of 4 KiB; none: as far as the disk goes.
    pub max_pages: Option<u32>,
    /// So many schedules at most are loaded ahead of their due instants.
    pub max_loaded: usize,
}

impl Options {
    pub fn new(folder: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Options { folder: folder.into(), clock, max_pages: None, max_loaded: 50_000 }
    }
}

/// Every port that keeps something, on one machine. Cheap to clone; all clones are the same store.
#[derive(Clone)]
pub struct LocalStore {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub memory: Arc<Memory>,
    pub readers: Readers,
    writer: Option<Writer>,
    thread: Option<WriterThread>,
}

/// What is held in memory just now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depths {
    /// Schedules that are due soon, or run.
    pub schedules: usize,
    /// Messages that are due soon, or wait for their turn.
    pub messages: usize,
}

impl LocalStore {
    /// Takes the folder and opens its database. What an earlier process left unfinished is as it left it, and
    /// is taken up by a [`crate::Driver`].
    pub fn open(options: Options) -> Result<LocalStore, OpenError> {
        let Options { folder, clock, max_pages, max_loaded } = options;
        let folder = Folder::take(&folder)?;
        let path = folder.database()?;
        let memory = Arc::new(Memory::new(max_loaded));
        let wrap = |source| OpenError::Database { folder: folder.path.clone(), source };
        let mut connection = connect(&path, max_pages).map_err(wrap)?;
        let found = schema::version(&connection).map_err(wrap)?;
        if found > schema::VERSION {
            let known = schema::VERSION;
            return Err(OpenError::NewerSchema { folder: folder.path.clone(), found, known });
        }
        schema::migrate(&mut connection).map_err(wrap)?;
        remember(&connection, &memory)
            .map_err(|source| OpenError::Unreadable { folder: folder.path.clone(), source })?;
        let readers = Readers::open(&path).map_err(wrap)?;
        let (writer, thread) = Writer::start(connection, Arc::clone(&memory), clock, folder);
        let inner = Inner { memory, readers, writer: Some(writer), thread: Some(thread) };
        Ok(LocalStore { inner: Arc::new(inner) })
    }

    /// Ends the store: what was asked for before is written, the log is put away, the folder is free. Calls
    /// that come later answer that it is unavailable.
    pub async fn close(&self) {
        self.inner.readers.close();
        if let Some(writer) = &self.inner.writer {
            writer.stop().await;
        }
    }

    pub fn depths(&self) -> Depths {
        let memory = self.memory();
        Depths { schedules: memory.count(), messages: memory.agenda.len() }
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.inner.memory
    }

    pub(crate) async fn write<T, F>(&self, run: F) -> Result<T, StoreError>
    where
        F: FnMut(&mut Batch<'_>) -> Result<T, Failure> + Send + 'static,
        T: Send + 'static,
    {
        match &self.inner.writer {
            Some(writer) => writer.write(run).await,
            None => Err(StoreError::Unavailable("the store is closed".to_owned())),
        }
    }

    /// Brings a schedule into memory, if it is not there. False: there is none.
    pub(crate) async fn bring_in(&self, id: ScheduleId) -> Result<bool, StoreError> {
        self.write(move |batch| batch.bring_in(id)).await
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The thread ends when nobody can order anything; then the folder is free for the next.
        self.writer = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn connect(path: &Path, max_pages: Option<u32>) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    // Incremental checkpoints of some 16 MB: long enough to be few, short enough to be quick.
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA busy_timeout = 5000;
         PRAGMA cache_size = -32768;
         PRAGMA temp_store = MEMORY;
         PRAGMA wal_autocheckpoint = 4000;
         PRAGMA journal_size_limit = 67108864;",
    )?;
    if let Some(pages) = max_pages {
        connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
    }
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Apps and listeners are few, and asked for at every call.
fn remember(connection: &Connection, memory: &Memory) -> Result<(), StoreError> {
    let all = |table: &str| -> rusqlite::Result<Vec<(String, String)>> {
        let (columns, order) = if table == "apps" { ("key, json", "key") } else { ("app, json", "app, id") };
        let mut statement = connection.prepare(&format!("SELECT {columns} FROM {table} ORDER BY {order}"))?;
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    let unreadable = |error: rusqlite::Error| StoreError::Corrupt(error.to_string());
    let key_of = |text: &str| -> Result<AppKey, StoreError> {
        text.parse().map_err(|_| StoreError::Corrupt(format!("{text} names no app")))
    };
    let mut apps = memory.apps.write().unwrap_or_else(PoisonError::into_inner);
    for (key, json) in all("apps").map_err(unreadable)? {
        apps.insert(key_of(&key)?, Arc::new(from_json(&json, &format!("the app {key}"))?));
    }
    let mut by_app: HashMap<AppKey, Vec<Listener>> = HashMap::new();
    for (key, json) in all("listeners").map_err(unreadable)? {
        let listener = from_json(&json, &format!("a listener of {key}"))?;
        by_app.entry(key_of(&key)?).or_default().push(listener);
    }
    let mut listeners = memory.listeners.write().unwrap_or_else(PoisonError::into_inner);
    listeners.extend(by_app.into_iter().map(|(key, of_app)| (key, Arc::from(of_app))));
    Ok(())
}
