//! The tables, and how an older data folder becomes one of today.

use rusqlite::Connection;

/// In order; each runs once, in one transaction with the version that it leads to.
const MIGRATIONS: [&str; 3] = [
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
    "
-- Which contract made it: 0 none, 1 recurring callbacks, 2 scheduled pushes.
ALTER TABLE states RENAME COLUMN request TO contract;
CREATE INDEX pushes_by_status ON states (app, status, id) WHERE contract = 2;

-- grp: zone and best hour, as text; position: where the id stands among all, 0 to 2^32 - 1; reachable: Rondo itself
-- can push to it; moved, created: in ms since the epoch. With rowids, so that an index entry that is passed over costs
-- no look at its row.
CREATE TABLE devices (
    app       TEXT NOT NULL,
    id        TEXT NOT NULL,
    grp       TEXT NOT NULL,
    position  INTEGER NOT NULL,
    platform  INTEGER NOT NULL,
    reachable INTEGER NOT NULL,
    moved     INTEGER NOT NULL,
    created   INTEGER NOT NULL,
    alias     TEXT,
    json      TEXT NOT NULL,
    PRIMARY KEY (app, id)
);
-- All that a scan decides by: counting reads no row.
CREATE INDEX devices_by_group ON devices (app, grp, position, id, platform, reachable, moved, created);
CREATE INDEX devices_by_alias ON devices (app, alias, id) WHERE alias IS NOT NULL;

-- In the order of a scan, so that tags are combined by merging.
CREATE TABLE device_tags (
    app      TEXT NOT NULL,
    tag      TEXT NOT NULL,
    grp      TEXT NOT NULL,
    position INTEGER NOT NULL,
    id       TEXT NOT NULL,
    PRIMARY KEY (app, tag, grp, position, id)
) WITHOUT ROWID;

-- The last occasion of the schedule that a device was told of; at: when it was told; both in ms since the epoch.
CREATE TABLE told (
    schedule BLOB NOT NULL,
    device   TEXT NOT NULL,
    occasion INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (schedule, device)
) WITHOUT ROWID;
CREATE INDEX told_by_time ON told (at);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LocalStore, Options, SystemClock};
    use rondo_domain::{
        ids::{AppKey, ScheduleId},
        ports::{AppStore as _, ExecutionQuery, ExecutionStore as _, ScheduleQuery, ScheduleStore as _},
        schedule::Contract,
        time::Timestamp,
    };
    use std::{path::Path, sync::Arc};

    const ID: &str = "01a3185c-5000-8001-8000-000000000000";

    /// As version 2 left it: an app, a schedule that the recurring-callback contract made, and its waiting execution.
    fn folder_of_version_2(folder: &Path, id: ScheduleId) {
        let database = Connection::open(folder.join("rondo.db")).unwrap();
        MIGRATIONS[..2].iter().for_each(|migration| database.execute_batch(migration).unwrap());
        database.pragma_update(None, "user_version", 2).unwrap();
        let app = r#"{"key":"ours","name":"ours","time_zone":"UTC","created_at":1800000000000,"secrets":[],
            "signing_secrets":[],"limits":{"max_schedules":3}}"#;
        database.execute("INSERT INTO apps VALUES ('ours', ?1)", [app]).unwrap();
        let definition = r#"{"id":"ID","app":"ours",
            "trigger":{"interval":{"every":1000,"first":1800000001000}},
            "target":{"http":{"url":"https://example.com/hook","method":"POST","body":"empty"}},
            "created_at":1800000000000,"updated_at":1800000000000,"request":{"internal_id":0,"delay":0}}"#;
        let state = r#"{"id":"ID","app":"ours","status":"active","generation":1,"version":1,"revision":3,
            "occurrences":null,"anchor":{"number":1,"at":1800000001000},"planned":0,"exhausted":false,
            "last_claimed":{"number":1,"at":1800000001000},"waiting":1,"manual_runs":0,
            "counts":{"done":0,"failed":0,"missed":0,"skipped":0},"look_again_at":1800000000000,"next_due":null,
            "first_sent_at":1800000001000,"last_status":200,"ended_at":null,"untold":false,"change_token":1,
            "plan_token":1,"overdue_looks":0}"#;
        let execution = r#"{"id":"01a3185c-5000-8001-8000-000000000001","app":"ours","generation":1,
            "nominal_at":1800000001000,"due_at":1800000001000,"status":"waiting",
            "attempts":[{"sent_at":1800000001000,"done_at":1800000001000,"status":200}],
            "next_attempt_at":1800000005000,"token":2}"#;
        let of = |json: &str| json.replace("ID", ID);
        let insert = |sql: &str, json: String| database.execute(sql, (id.bytes(), json)).unwrap();
        insert("INSERT INTO definitions (id, number, json) VALUES (?1, 7, ?2)", of(definition));
        insert("INSERT INTO states VALUES (?1, 'ours', 1, 1, 1800000000000, ?2)", of(state));
        insert("INSERT INTO executions VALUES (?1, 1, 0, 1, 2, 1800000005000, NULL, ?2)", of(execution));
    }

    #[tokio::test]
    async fn a_folder_of_version_2_opens_with_all_that_it_had() {
        let folder = tempfile::tempdir().unwrap();
        let id: ScheduleId = ID.parse().unwrap();
        folder_of_version_2(folder.path(), id);
        let store = LocalStore::open(Options::new(folder.path(), Arc::new(SystemClock))).unwrap();
        let app: AppKey = "ours".parse().unwrap();
        assert_eq!(store.app(&app).await.unwrap().unwrap().limits.max_schedules, Some(3));
        let listed = async |contract| {
            let query = ScheduleQuery {
                app: app.clone(),
                status: None,
                name: None,
                tags: Vec::new(),
                contract,
                before: None,
                limit: 5,
            };
            let page = store.list(&query).await.unwrap();
            page.items.into_iter().map(|schedule| schedule.definition.id).collect::<Vec<_>>()
        };
        assert_eq!(listed(Some(Contract::Requests)).await, [id]);
        assert_eq!(listed(Some(Contract::Pushes)).await, []);
        let schedule = store.load(id).await.unwrap().unwrap();
        assert_eq!(schedule.definition.request.as_ref().unwrap().internal_id, 7);
        let waiting = store.waiting(Timestamp::from_millis(1_800_000_005_000), 5).await.unwrap();
        assert_eq!(waiting, [id.execution(1, 0)]);
        let query = ExecutionQuery { schedule: id, status: None, newest_first: true, after: None, limit: 5 };
        assert_eq!(store.executions(&query).await.unwrap().items[0].id, waiting[0]);
        store.close().await;
        let database = Connection::open(folder.path().join("rondo.db")).unwrap();
        assert_eq!(version(&database).unwrap(), VERSION);
    }
}
