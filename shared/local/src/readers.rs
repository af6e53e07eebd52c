//! Reading beside the writer: a few read-only connections, each used by one reader at a time, on threads that
//! may wait for the disk.

use crate::{batch::Failure, writer::store_error};
use rondo_domain::ports::StoreError;
use rusqlite::{Connection, OpenFlags};
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Semaphore;

const CONNECTIONS: usize = 4;

#[derive(Clone, Debug)]
pub(crate) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    free: Arc<Semaphore>,
}

impl Readers {
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connect = || {
            let connection = Connection::open_with_flags(path, flags)?;
            connection.execute_batch(
                "PRAGMA busy_timeout = 5000; PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY",
            )?;
            connection.set_prepared_statement_cache_capacity(32);
            Ok(connection)
        };
        let idle: rusqlite::Result<Vec<_>> = std::iter::repeat_with(connect).take(CONNECTIONS).collect();
        Ok(Readers { idle: Arc::new(Mutex::new(idle?)), free: Arc::new(Semaphore::new(CONNECTIONS)) })
    }

    pub async fn read<T, F>(&self, run: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
        T: Send + 'static,
    {
        let closed = || StoreError::Unavailable("the store is closed".to_owned());
        let permit = Arc::clone(&self.free).acquire_owned().await.map_err(|_| closed())?;
        let idle = Arc::clone(&self.idle);
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let connection = idle.lock().unwrap_or_else(PoisonError::into_inner).pop().ok_or_else(closed)?;
            let outcome = run(&connection).map_err(store_error);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            outcome
        });
        read.await.unwrap_or_else(|_| Err(closed()))
    }

    /// No more reads; those under way go on.
    pub fn close(&self) {
        self.free.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
