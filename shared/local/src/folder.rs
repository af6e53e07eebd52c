//! The data folder: made for its owner alone, and locked by the one process that uses it. The lock is the
//! operating system's, so that it ends with the process, however that ends.

use crate::OpenError;
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Held for as long as it lives.
#[derive(Debug)]
pub(crate) struct Folder {
    pub path: PathBuf,
    _lock: File,
}

impl Folder {
    pub fn take(path: &Path) -> Result<Folder, OpenError> {
        let unusable = |source| OpenError::Io { folder: path.to_owned(), source };
        if !path.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        }
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("rondo.lock"))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Held { folder: path.to_owned(), pid: holder(&mut lock) });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        note_holder(&mut lock).map_err(unusable)?;
        Ok(Folder { path: path.to_owned(), _lock: lock })
    }

    /// The database's file, made here if need be, so that nobody else can read it.
    pub fn database(&self) -> Result<PathBuf, OpenError> {
        let path = self.path.join("rondo.db");
        let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        made.map_err(|source| OpenError::Io { folder: self.path.clone(), source })?;
        Ok(fs::canonicalize(&path).unwrap_or(path))
    }
}

fn note_holder(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    write!(lock, "{}", std::process::id())
}

fn holder(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
