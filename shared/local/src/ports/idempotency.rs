//! Idempotency keys: what a request with a key made, kept with the schedule in one transaction.

use crate::{
    batch::{Batch, Failure},
    rows::id_of,
};
use rondo_domain::{
    ids::{AppKey, ScheduleId},
    ports::{Created, IdempotencyKey, Schedule},
    time::Timestamp,
};
use rusqlite::{OptionalExtension, params};

/// Each new key takes so many with it that have expired: they never gather, and no write waits for many.
const SWEPT_AT_ONCE: i64 = 10;

/// What the key made, if it is taken.
pub(super) fn known(
    batch: &mut Batch<'_>,
    app: &AppKey,
    key: &IdempotencyKey,
    now: Timestamp,
) -> Result<Option<Created>, Failure> {
    let mut statement = batch.connection.prepare_cached(
        "SELECT schedule, fingerprint FROM idempotency_keys WHERE app = ?1 AND key = ?2 AND expires > ?3",
    )?;
    let row = statement.query_row(params![app.as_str(), key.key, now.millis()], |row| {
        Ok((id_of(row, 0)?, row.get::<_, String>(1)?))
    });
    let Some((id, fingerprint)) = row.optional()? else {
        return Ok(None);
    };
    let Some(definition) = batch.definition(id)? else {
        return Ok(None);
    };
    let Some(working) = batch.state(id)? else {
        return Ok(None);
    };
    let is_same = fingerprint == key.fingerprint;
    let schedule = Schedule { definition, state: working.state.clone() };
    Ok(Some(if is_same { Created::Replayed(schedule) } else { Created::KeyReused }))
}

pub(super) fn keep(
    batch: &Batch<'_>,
    app: &AppKey,
    key: &IdempotencyKey,
    id: ScheduleId,
    now: Timestamp,
) -> Result<(), Failure> {
    let connection = batch.connection;
    connection
        .prepare_cached(
            "DELETE FROM idempotency_keys WHERE (app, key) IN
                 (SELECT app, key FROM idempotency_keys WHERE expires <= ?1 ORDER BY expires LIMIT ?2)",
        )?
        .execute(params![now.millis(), SWEPT_AT_ONCE])?;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO idempotency_keys (app, key, fingerprint, schedule, expires)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![app.as_str(), key.key, key.fingerprint, id.bytes(), key.expires_at.millis()])?;
    Ok(())
}
