//! Lists of schedules: ranges of an index, newest first. Without a status the five statuses' ranges are merged;
//! names and tags are looked for in a bounded stretch, so that a page costs the same in a million schedules.

use crate::{
    batch::Failure,
    memory::Memory,
    rows::{definition_of, id_of, state_of, status_code},
};
use rondo_domain::{
    ids::ScheduleId,
    ports::{Page, Schedule, ScheduleQuery},
    schedule::{Contract, Definition},
    state::Status,
};
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::Arc;

/// So many schedules are read at most for one page that is filtered by name or tags.
const LOOKED_AT: usize = 2000;

pub(super) fn list(
    connection: &Connection,
    memory: &Memory,
    query: &ScheduleQuery,
) -> Result<Page<Schedule, ScheduleId>, Failure> {
    let filtered = query.name.is_some() || !query.tags.is_empty();
    let name = query.name.as_ref().map(|name| name.to_lowercase());
    let reach = if filtered { LOOKED_AT.max(query.limit) } else { query.limit };
    // One more than asked for says whether more may follow.
    let ids = newest_first(connection, query, reach + 1)?;
    let mut page = Page { items: Vec::new(), next: None };
    let mut last = None;
    for (seen, id) in ids.iter().enumerate() {
        if page.items.len() == query.limit || seen == reach {
            page.next = last;
            break;
        }
        last = Some(*id);
        let Some(schedule) = read(connection, memory, *id)? else {
            continue;
        };
        let wanted = query.status.is_none_or(|status| schedule.state.status == status);
        if wanted && matches(&schedule.definition, name.as_deref(), &query.tags) {
            page.items.push(schedule);
        }
    }
    Ok(page)
}

fn newest_first(
    connection: &Connection,
    query: &ScheduleQuery,
    count: usize,
) -> Result<Vec<ScheduleId>, Failure> {
    let sql = match query.contract {
        None => {
            "SELECT id FROM states INDEXED BY states_by_status
             WHERE app = ?1 AND status = ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4"
        }
        Some(Contract::Requests) => {
            "SELECT id FROM states INDEXED BY requests_by_status
             WHERE app = ?1 AND status = ?2 AND id < ?3 AND contract = 1 ORDER BY id DESC LIMIT ?4"
        }
        Some(Contract::Pushes) => {
            "SELECT id FROM states INDEXED BY pushes_by_status
             WHERE app = ?1 AND status = ?2 AND id < ?3 AND contract = 2 ORDER BY id DESC LIMIT ?4"
        }
    };
    let mut statement = connection.prepare_cached(sql)?;
    let before = query.before.map_or([0xff; 16], ScheduleId::bytes);
    let mut ids = Vec::new();
    for status in Status::ALL.into_iter().filter(|one| query.status.is_none_or(|status| status == *one)) {
        let limit = i64::try_from(count).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![query.app.as_str(), status_code(status), before, limit])?;
        while let Some(row) = rows.next()? {
            ids.push(id_of(row, 0)?);
        }
    }
    ids.sort_unstable_by(|one, other| other.cmp(one));
    ids.truncate(count);
    Ok(ids)
}

/// From memory where it is live, else from its rows.
pub(super) fn read(
    connection: &Connection,
    memory: &Memory,
    id: ScheduleId,
) -> Result<Option<Schedule>, Failure> {
    if let Some(schedule) = memory.schedule(id) {
        return Ok(Some(schedule));
    }
    let mut statement = connection.prepare_cached(
        "SELECT s.json, s.look, d.json, d.number
         FROM states s JOIN definitions d ON d.id = s.id WHERE s.id = ?1",
    )?;
    let row = statement
        .query_row([id.bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    let Some((state, look, definition, number)): Option<(String, _, String, _)> = row else {
        return Ok(None);
    };
    // It may have come in meanwhile; then memory is newer.
    if let Some(schedule) = memory.schedule(id) {
        return Ok(Some(schedule));
    }
    let definition = Arc::new(definition_of(&definition, number, id)?);
    Ok(Some(Schedule { definition, state: state_of(&state, look, id)? }))
}

fn matches(definition: &Definition, name: Option<&str>, tags: &[(String, String)]) -> bool {
    let named = name
        .is_none_or(|part| definition.name.as_ref().is_some_and(|name| name.to_lowercase().contains(part)));
    let tagged = tags
        .iter()
        .all(|(key, value)| definition.tags.get(key).is_some_and(|there| value.is_empty() || there == value));
    named && tagged
}
