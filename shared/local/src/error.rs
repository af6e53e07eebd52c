//! Why a data folder could not be opened.

use rondo_domain::ports::StoreError;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the data folder {} is in use by another process{}", folder.display(), of_process(*pid))]
    Held { folder: PathBuf, pid: Option<u32> },
    #[error(
        "the data folder {} was written by a newer version (its schema is {found}, this version knows {known}): update first",
        folder.display()
    )]
    NewerSchema { folder: PathBuf, found: u32, known: u32 },
    #[error("the data folder {} cannot be used", folder.display())]
    Io { folder: PathBuf, source: std::io::Error },
    #[error("the database in {} cannot be opened", folder.display())]
    Database { folder: PathBuf, source: rusqlite::Error },
    #[error("the database in {} cannot be read", folder.display())]
    Unreadable { folder: PathBuf, source: StoreError },
}

fn of_process(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}
