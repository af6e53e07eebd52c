//! The tables, and how an older data folder becomes one of today.

use rusqlite::Connection;

/// In order; each runs once, in one transaction with the version that it leads to.
const MIGRATIONS: [&str; 2] = [
    "
CREATE TABLE apps (
    key  TEXT PRIMARY KEY,
    json TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE counters (
    app  TEXT PRIMARY KEY,
    last INTEGER NOT NULL
) WITHOUT ROWID;

-- Apps that were removed, and of which something is left.
CREATE TABLE removals (
    app TEXT PRIMARY KEY
) WITHOUT ROWID;

CREATE TABLE listeners (
    app  TEXT NOT NULL,
    id   INTEGER NOT NULL,
    json TEXT NOT NULL,
    PRIMARY KEY (app, id)
) WITHOUT ROWID;

CREATE TABLE definitions (
    id     BLOB PRIMARY KEY,
    number INTEGER,
    json   TEXT NOT NULL
) WITHOUT ROWID;

-- look: when a process that starts must wake the schedule, in ms since the epoch.
CREATE TABLE states (
    id      BLOB PRIMARY KEY,
    app     TEXT NOT NULL,
    status  INTEGER NOT NULL,
    request INTEGER NOT NULL,
    look    INTEGER,
    json    TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX states_by_status ON states (app, status, id);
CREATE INDEX requests_by_status ON states (app, status, id) WHERE request = 1;
CREATE INDEX states_by_look ON states (look, id) WHERE look IS NOT NULL;

CREATE TABLE executions (
    schedule        BLOB NOT NULL,
    number          INTEGER NOT NULL,
    slot            INTEGER NOT NULL,
    status          INTEGER NOT NULL,
    token           INTEGER NOT NULL,
    next_attempt_at INTEGER,
    comment         TEXT,
    json            TEXT NOT NULL,
    PRIMARY KEY (schedule, number, slot)
) WITHOUT ROWID;
CREATE INDEX executions_by_next_attempt ON executions (next_attempt_at) WHERE next_attempt_at IS NOT NULL;

CREATE TABLE notices (
    id   TEXT PRIMARY KEY,
    app  TEXT NOT NULL,
    due  INTEGER NOT NULL,
    json TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX notices_by_due ON notices (due);
",
    "
-- What a request with a key made; expires: from when on the key is free, in ms since the epoch.
CREATE TABLE idempotency_keys (
    app         TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    schedule    BLOB NOT NULL,
    expires     INTEGER NOT NULL,
    PRIMARY KEY (app, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires);
",
];

pub(crate) const VERSION: u32 = MIGRATIONS.len() as u32;

pub(crate) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Brings the tables up to date; the caller has checked that they are not of a newer version.
pub(crate) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let from = version(connection)?;
    for (done, migration) in MIGRATIONS.iter().enumerate().skip(from as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", done as u32 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}
