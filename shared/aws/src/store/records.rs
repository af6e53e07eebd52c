//! Executions' records as items of their own, and definitions that are too large to travel with their state.

use super::{
    DynamoStore,
    calls::{Expression, Item, number, text},
    keys::{DEFINITION, Due, Key},
    schema::{DUE_SHARD, EXPIRES_AT, LOOK_AGAIN_AT},
    state_item::StateItem,
    values::{attributes_of, object, object_of, without_values},
};
use rondo_domain::{
    execution::{Execution, ExecutionStatus},
    ids::{ExecutionId, ScheduleId, Token},
    ports::StoreError,
    schedule::Definition,
    time::Timestamp,
};
use std::sync::Arc;

/// When somebody must look at a waiting execution: when its attempt is due, and nobody holds it.
pub(crate) fn look_at(record: &Execution) -> Option<Timestamp> {
    let next = record.next_attempt_at.filter(|_| record.status == ExecutionStatus::Waiting)?;
    Some(record.claim.map_or(next, |claim| claim.lease_until.max(next)))
}

/// The record is still what was read: an outcome or a claim brings a new token, a remark another text.
pub(crate) fn unchanged(record: &Execution) -> Expression {
    let claim = match record.claim {
        Some(claim) => held_under(claim.token),
        None => Expression::new("attribute_not_exists(#claim)", &["claim"], []),
    };
    let comment = match &record.comment {
        Some(comment) => {
            Expression::new("#comment = :comment", &["comment"], [("comment", text(comment.clone()))])
        }
        None => Expression::new("attribute_not_exists(#comment)", &["comment"], []),
    };
    Expression::written_with(record.token).and(claim).and(comment)
}

/// The record's claim is this one.
pub(crate) fn held_under(token: Token) -> Expression {
    let claim = [("claim_token", number(token.0))];
    Expression::new("#claim.#token = :claim_token", &["claim", "token"], claim)
}

pub(crate) fn record_of(item: &Item) -> Result<Execution, StoreError> {
    let key = Key::of_item(item)?;
    let mut object = object(item);
    object.insert("id".to_owned(), key.execution()?.to_string().into());
    object_of(object).map_err(|why| key.corrupt(why))
}

pub(crate) fn definition_item(id: ScheduleId, json: &str, expires_at: Option<Timestamp>) -> Item {
    let mut item = Key::of_schedule(id, DEFINITION).item();
    item.insert("definition".to_owned(), text(json));
    item.extend(expires_at.map(|at| (EXPIRES_AT.to_owned(), number(at.seconds()))));
    item
}

/// The definition that an item holds: its own, or one that travels with its state.
pub(crate) fn definition_in(item: &Item) -> Result<Arc<Definition>, StoreError> {
    let key = Key::of_item(item)?;
    let json = item.get("definition").and_then(|value| value.as_s().ok());
    definition_of(&key, json.ok_or_else(|| key.corrupt("it has no definition"))?)
}

pub(crate) fn definition_of(key: &Key, json: &str) -> Result<Arc<Definition>, StoreError> {
    let definition = serde_json::from_str(json);
    definition.map(Arc::new).map_err(|error| key.corrupt(without_values(&error)))
}

pub(crate) fn json_of(definition: &Definition) -> Result<String, StoreError> {
    let key = Key::of_schedule(definition.id, DEFINITION);
    serde_json::to_string(definition).map_err(|error| key.corrupt(without_values(&error)))
}

impl DynamoStore {
    pub(super) fn record_item(&self, record: &Execution) -> Result<Item, StoreError> {
        let key = Key::of_execution(record.id);
        let mut item = attributes_of(record).map_err(|error| key.corrupt(without_values(&error)))?;
        // The key says it.
        item.remove("id");
        item.extend(key.item());
        let look = look_at(record);
        if let Some(look) = look {
            item.insert(DUE_SHARD.to_owned(), text(Due::shard_of_execution(record.id)));
            item.insert(LOOK_AGAIN_AT.to_owned(), number(look.millis()));
        }
        let kept_until = self.kept_until(look.unwrap_or(record.due_at));
        item.insert(EXPIRES_AT.to_owned(), number(kept_until.seconds()));
        Ok(item)
    }

    /// A record's own item, where it has one.
    pub(super) async fn record(&self, id: ExecutionId) -> Result<Option<Execution>, StoreError> {
        self.get(&Key::of_execution(id), true).await?.map(|item| record_of(&item)).transpose()
    }

    /// Wherever it travels. The state was read before: what is read now is of the same generation or a later one,
    /// whose writer a plan or change made from both then meets.
    pub(super) async fn definition(&self, of: &StateItem) -> Result<Arc<Definition>, StoreError> {
        if let Some(json) = &of.definition {
            return definition_of(&of.key(), json);
        }
        let key = Key::of_schedule(of.state.id, DEFINITION);
        let item = self.get(&key, true).await?;
        definition_in(&item.ok_or_else(|| key.corrupt("it is missing"))?)
    }
}
