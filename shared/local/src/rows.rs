//! How domain values lie in rows: what is a column because it is searched by, and what is JSON because it is
//! not. Also what of a state is kept: claims and plans are this process's own and are not.

use rondo_domain::{
    execution::{Execution, ExecutionStatus},
    ids::{ExecutionId, NO_SLOT, ScheduleId},
    ports::StoreError,
    schedule::{Contract, Definition},
    state::{State, Status},
    time::Timestamp,
};
use rusqlite::{Row, types::Type};
use serde::{Serialize, de::DeserializeOwned};

pub(crate) fn to_json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::TooLarge(format!("not JSON: {error}")))
}

pub(crate) fn from_json<T: DeserializeOwned>(text: &str, what: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(format!("{what}: {error}")))
}

pub(crate) fn status_code(status: Status) -> i64 {
    Status::ALL.iter().position(|one| *one == status).map_or(-1, |at| at as i64)
}

pub(crate) fn execution_status_code(status: ExecutionStatus) -> i64 {
    ExecutionStatus::ALL.iter().position(|one| *one == status).map_or(-1, |at| at as i64)
}

pub(crate) fn contract_code(contract: Option<Contract>) -> i64 {
    match contract {
        None => 0,
        Some(Contract::Requests) => 1,
        Some(Contract::Pushes) => 2,
    }
}

/// The column `slot`: slot and page of an execution's id, which sort together.
pub(crate) fn slot_code(id: ExecutionId) -> i64 {
    i64::from(id.slot) << 16 | i64::from(id.page)
}

/// Something of it was sent, and has not come to its end.
pub(crate) fn is_open(state: &State) -> bool {
    state.planned > state.anchor.number || !state.claims.is_empty()
}

/// Leaves of a state what outlives the process: a claim's holder dies with it, and what was sent is lost, so
/// that it counts as not planned.
pub(crate) fn keep_durable(state: &mut State) {
    if state.planned > state.anchor.number {
        state.planned = state.anchor.number;
        state.exhausted = false;
    }
    state.claims.clear();
}

/// When a process that starts must wake the schedule: `stored` is what the row says so far.
pub(crate) fn look_of(state: &State, stored: Option<Timestamp>) -> Option<Timestamp> {
    if state.untold {
        return state.look_again_at.or(state.ended_at);
    }
    if !state.status.runs() {
        return None;
    }
    // What was sent has to be sent again after a crash, and was due after the look that is stored.
    if is_open(state) {
        return match (stored, state.look_again_at) {
            (Some(stored), Some(look)) => Some(stored.min(look)),
            (stored, look) => stored.or(look),
        };
    }
    state.look_again_at
}

pub(crate) fn id_of(row: &Row<'_>, column: usize) -> rusqlite::Result<ScheduleId> {
    ScheduleId::from_bytes(row.get(column)?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error)))
}

pub(crate) fn execution_id_of(row: &Row<'_>, from: usize) -> rusqlite::Result<ExecutionId> {
    let code: u32 = row.get(from + 2)?;
    let slot = u8::try_from(code >> 16).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(from + 2, Type::Integer, Box::new(error))
    })?;
    Ok(id_of(row, from)?.execution(row.get(from + 1)?, NO_SLOT).page(slot, code as u16))
}

pub(crate) fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// The definition, with the number that the store gave it.
pub(crate) fn definition_of(
    text: &str,
    number: Option<i64>,
    id: ScheduleId,
) -> Result<Definition, StoreError> {
    let mut definition: Definition = from_json(text, &format!("the definition of {id}"))?;
    if let (Some(request), Some(number)) = (&mut definition.request, number) {
        request.internal_id = number as u64;
    }
    Ok(definition)
}

/// The state; a stored look is the truth about when it is to be looked at.
pub(crate) fn state_of(text: &str, look: Option<i64>, id: ScheduleId) -> Result<State, StoreError> {
    let mut state: State = from_json(text, &format!("the state of {id}"))?;
    if let Some(look) = look {
        state.look_again_at = Some(timestamp(look));
    }
    Ok(state)
}

/// A record as it is written; the comment has a column of its own, so that no attempt overwrites it.
pub(crate) struct ExecutionRow {
    pub id: ExecutionId,
    pub status: i64,
    pub token: i64,
    pub next_attempt_at: Option<i64>,
    pub comment: Option<String>,
    pub json: String,
}

impl ExecutionRow {
    pub fn of(execution: &Execution) -> Result<Self, StoreError> {
        let waits = execution.status == ExecutionStatus::Waiting;
        // The claim of a waiting one is in memory, the comment in its column.
        let stripped = (execution.claim.is_some() || execution.comment.is_some()).then(|| Execution {
            claim: None,
            comment: None,
            ..execution.clone()
        });
        Ok(ExecutionRow {
            id: execution.id,
            status: execution_status_code(execution.status),
            token: execution.token.0 as i64,
            next_attempt_at: execution.next_attempt_at.filter(|_| waits).map(Timestamp::millis),
            comment: execution.comment.clone(),
            json: to_json(stripped.as_ref().unwrap_or(execution))?,
        })
    }
}

pub(crate) fn execution_of(text: &str, comment: Option<String>) -> Result<Execution, StoreError> {
    let mut execution: Execution = from_json(text, "an execution")?;
    execution.comment = comment;
    Ok(execution)
}
