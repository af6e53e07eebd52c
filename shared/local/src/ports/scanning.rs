//! Finding devices of one group by what an audience says. Every condition on tags is a set of places in the order of the
//! scan, and these are merged: unions, intersections and differences of sorted index ranges, read as far as the page
//! needs. What else is asked stands in the index by group. So counting reads no device, and a page reads only its own.

use super::devices::{device_of, platform_code, registration_id};
use crate::{batch::Failure, rows::to_json};
use rondo_domain::{
    ids::AppKey,
    ports::{Scan, StoreError},
    push::{
        audience::Audience,
        device::{Device, RegistrationId},
        fan_out::Range,
    },
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension, params, params_from_iter, types::Value};

/// A scan as one statement that yields places: position and id, in their order.
pub(super) struct Search {
    sql: String,
    /// For `?1`, `?2`, …; the limit comes last.
    values: Vec<Value>,
    /// Where of `values` a page begins: the last position and id that are passed over.
    start: Place,
    after: Place,
}

#[derive(Clone)]
struct Place {
    position: i64,
    id: String,
}

impl Search {
    pub fn of(scan: &Scan<'_>) -> Result<Search, StoreError> {
        let Range { from, to } = scan.range;
        // No id is empty: all of the first position comes after this.
        let start = Place { position: i64::from(from), id: String::new() };
        let after = scan
            .after
            .map(|id| Place { position: i64::from(id.position()), id: id.as_str().to_owned() })
            .filter(|after| after.position >= start.position)
            .unwrap_or_else(|| start.clone());
        let mut search = Search {
            sql: String::new(),
            values: vec![
                Value::Text(scan.app.as_str().to_owned()),
                Value::Text(scan.group.to_string()),
                Value::Null,
                Value::Null,
                Value::Integer(i64::from(to)),
            ],
            start,
            after,
        };
        search.write(scan.audience, scan.moved_since)?;
        Ok(search)
    }

    fn write(&mut self, audience: &Audience, moved_since: Option<Timestamp>) -> Result<(), StoreError> {
        let Audience { tag, tag_and, tag_not, .. } = audience;
        let conditions = self.conditions(audience, moved_since)?;
        // The operators have one rank and are taken from the left: any of these, and all of those, but none of these.
        for (tags, operator) in [(tag, " UNION "), (tag_and, " INTERSECT ")] {
            for tag in tags {
                let term = self.tagged(tag);
                self.join(operator, &term);
            }
        }
        if self.sql.is_empty() || !conditions.is_empty() {
            let term = format!(
                "SELECT position, id FROM devices INDEXED BY devices_by_group
                 WHERE app = ?1 AND grp = ?2 AND (position, id) > (?3, ?4) AND position <= ?5{conditions}"
            );
            self.join(" INTERSECT ", &term);
        }
        for tag in tag_not {
            let term = self.tagged(tag);
            self.join(" EXCEPT ", &term);
        }
        self.sql.push_str(&format!(" ORDER BY position, id LIMIT ?{}", self.values.len() + 1));
        Ok(())
    }

    /// The first term has no operator.
    fn join(&mut self, operator: &str, term: &str) {
        if !self.sql.is_empty() {
            self.sql.push_str(operator);
        }
        self.sql.push_str(term);
    }

    fn tagged(&mut self, tag: &str) -> String {
        let tag = self.parameter(Value::Text(tag.to_owned()));
        format!(
            "SELECT position, id FROM device_tags
             WHERE app = ?1 AND tag = {tag} AND grp = ?2 AND (position, id) > (?3, ?4) AND position <= ?5"
        )
    }

    fn parameter(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }

    /// On what is no tag; empty: none.
    fn conditions(
        &mut self,
        audience: &Audience,
        moved_since: Option<Timestamp>,
    ) -> Result<String, StoreError> {
        let Audience { alias, registration_id, platforms, reachable_only, .. } = audience;
        let mut sql = String::new();
        if *reachable_only {
            sql.push_str(" AND reachable = 1");
        }
        if !platforms.is_empty() {
            let codes: Vec<String> = platforms.iter().map(|one| platform_code(*one).to_string()).collect();
            sql.push_str(&format!(" AND platform IN ({})", codes.join(", ")));
        }
        if let Some(since) = moved_since {
            let since = self.parameter(Value::Integer(since.millis()));
            sql.push_str(&format!(" AND moved > {since} AND created <= {since}"));
        }
        if !registration_id.is_empty() {
            let ids = self.parameter(Value::Text(to_json(registration_id)?));
            sql.push_str(&format!(" AND id IN (SELECT value FROM json_each({ids}))"));
        }
        if !alias.is_empty() {
            let aliases = self.parameter(Value::Text(to_json(alias)?));
            sql.push_str(&format!(" AND alias IN (SELECT value FROM json_each({aliases}))"));
        }
        Ok(sql)
    }

    fn bound(&self, from: &Place, limit: i64) -> Vec<Value> {
        let mut values = self.values.clone();
        values[2] = Value::Integer(from.position);
        values[3] = Value::Text(from.id.clone());
        values.push(Value::Integer(limit));
        values
    }

    pub fn count(&self, connection: &Connection) -> Result<u64, Failure> {
        let sql = format!("SELECT count(*) FROM ({})", self.sql);
        let values = self.bound(&self.start, -1);
        let count: i64 =
            connection.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// The next devices, and after which one it goes on.
    pub fn page(
        &self,
        connection: &Connection,
        app: &AppKey,
        limit: usize,
    ) -> Result<(Vec<Device>, Option<RegistrationId>), Failure> {
        let more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let mut statement = connection.prepare_cached(&self.sql)?;
        let values = self.bound(&self.after, more);
        let ids = statement.query_map(params_from_iter(values), |row| row.get(1))?;
        let mut ids: Vec<String> = ids.collect::<Result<_, _>>()?;
        let more = ids.len() > limit;
        ids.truncate(limit);
        let mut read = connection.prepare_cached("SELECT json FROM devices WHERE app = ?1 AND id = ?2")?;
        let mut devices = Vec::with_capacity(ids.len());
        for id in &ids {
            let json: Option<String> =
                read.query_row(params![app.as_str(), id], |row| row.get(0)).optional()?;
            devices.extend(json.map(|json| device_of(&json)).transpose()?);
        }
        let next = ids.pop().filter(|_| more).map(registration_id).transpose()?;
        Ok((devices, next))
    }
}
