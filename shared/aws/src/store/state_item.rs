//! A schedule's hot item: its state as attributes of their own, and with it what makes further writes unnecessary:
//! a small definition of a schedule that fires once, and that one execution's record.

use super::{
    calls::{Item, number, text},
    keys::{Due, Key, STATE, app_of_shard, app_shard},
    schema::{APP_SHARD, CONTRACT, DUE_SHARD, EXPIRES_AT},
    values::{attributes, fill, object, object_of, prune, without_values},
};
use aws_sdk_dynamodb::types::AttributeValue;
use rondo_domain::{
    execution::Execution,
    ids::{AppKey, ExecutionId, NO_SLOT, ScheduleId, Token},
    ports::StoreError,
    schedule::{Contract, Definition},
    state::State,
    time::{Span, Timestamp},
    trigger::Trigger,
};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A definition's JSON of at most so many bytes travels in the state's item. Every write then writes it again, and
/// a longer one would cost more than it saves.
const SMALL: usize = 3000;
/// Attributes that indexes and conditions read: always there, whatever is usual.
const ALWAYS: [&str; 3] = ["status", "generation", "revision"];
/// The only execution of a schedule that fires once.
const ONLY: u32 = 1;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StateItem {
    pub state: State,
    /// The token of its creation: finding one's own means that the write had succeeded.
    pub created_with: Token,
    /// It is among those that its app's counter `live` counts until they end.
    pub counted: bool,
    /// The same for the counter of scheduled pushes.
    pub counted_push: bool,
    /// The contract that it was made through.
    pub contract: Option<Contract>,
    /// What was written beside it, where its last write had others with it: so that two processes that make the same
    /// change of the same state, for different executions, do not take each other's write for their own.
    pub beside: Option<u64>,
    /// As JSON, where it travels here. Kept as text: numbers in a user's body stay as they were written.
    pub definition: Option<Arc<str>>,
    pub record: Option<Execution>,
}

/// Whether this execution's record may stand in its schedule's item.
pub(crate) fn is_only(id: ExecutionId) -> bool {
    (id.number, id.slot, id.page) == (ONLY, NO_SLOT, 0)
}

/// How a contract is shown by `by_app`.
pub(crate) fn contract_name(contract: Contract) -> &'static str {
    match contract {
        Contract::Requests => "requests",
        Contract::Pushes => "pushes",
    }
}

fn contract_named(name: &str) -> Option<Contract> {
    [Contract::Requests, Contract::Pushes].into_iter().find(|contract| contract_name(*contract) == name)
}

/// Whether a definition travels in the state's item.
pub(crate) fn travels(definition: &Definition, json: &str) -> bool {
    let once = definition.occurrences == Some(1) || matches!(definition.trigger, Trigger::Single(_));
    once && json.len() <= SMALL
}

impl StateItem {
    pub fn key(&self) -> Key {
        Key::of_schedule(self.state.id, STATE)
    }

    /// Whether this execution's record, once its outcome is known, stands here and not in an item of its own.
    pub fn takes_record_of(&self, id: ExecutionId) -> bool {
        let only = self.definition.is_some() && is_only(id);
        // Closed without one: it had to wait for an attempt, and has an item of its own.
        self.record_of(id).is_some() || only && !self.state.is_closed(id.number)
    }

    /// The record that stands here, if it is this execution's.
    pub fn record_of(&self, id: ExecutionId) -> Option<&Execution> {
        self.record.as_ref().filter(|record| record.id == id)
    }

    /// Ended schedules are kept for `retention`.
    pub fn expires_at(&self, retention: Span) -> Option<Timestamp> {
        self.state.ended_at.filter(|_| self.state.status.has_ended()).map(|ended| ended.plus(retention))
    }

    pub fn item(&self, retention: Span) -> Result<Item, StoreError> {
        let StateItem { state, created_with, .. } = self;
        let key = self.key();
        let unwritable = |error: serde_json::Error| key.corrupt(without_values(&error));
        let mut object = json_of(state).map_err(unwritable)?;
        prune(&mut object, &usual(state.id, &state.app, *created_with).map_err(unwritable)?);
        if let Some(record) = &self.record {
            let mut record = json_of(record).map_err(unwritable)?;
            // Both follow from where it stands.
            record.remove("id");
            record.remove("app");
            prune(&mut record, &Map::new());
            object.insert("record".to_owned(), Value::Object(record));
        }
        let mut item = attributes(object);
        item.extend(key.item());
        let mut add = |name: &str, value: AttributeValue| {
            item.insert(name.to_owned(), value);
        };
        add("created_with", number(created_with.0));
        add(APP_SHARD, text(app_shard(&state.app, state.id)));
        if state.look_again_at.is_some() {
            add(DUE_SHARD, text(Due::States.shard(state.id)));
        }
        if let Some(contract) = self.contract {
            add(CONTRACT, text(contract_name(contract)));
        }
        for (name, yes) in [("counted", self.counted), ("counted_push", self.counted_push)] {
            if yes {
                add(name, AttributeValue::Bool(true));
            }
        }
        if let Some(beside) = self.beside {
            add("beside", number(beside));
        }
        if let Some(definition) = &self.definition {
            add("definition", text(&**definition));
        }
        if let Some(at) = self.expires_at(retention) {
            add(EXPIRES_AT, number(at.seconds()));
        }
        Ok(item)
    }

    pub fn read(item: &Item) -> Result<StateItem, StoreError> {
        let key = Key::of_item(item)?;
        let id = key.schedule()?;
        let string = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
        let app = string(APP_SHARD).and_then(|shard| app_of_shard(shard));
        let app = app.ok_or_else(|| key.corrupt("its app_shard names no app"))?;
        let token = item.get("created_with").and_then(|value| value.as_n().ok()?.parse().ok());
        let created_with = Token(token.ok_or_else(|| key.corrupt("created_with is no number"))?);
        let mut object = object(item);
        let record = match object.remove("record") {
            Some(Value::Object(mut record)) => {
                let named = (Value::String(id.execution(ONLY, NO_SLOT).to_string()), app.as_str().into());
                record.insert("id".to_owned(), named.0);
                record.insert("app".to_owned(), named.1);
                Some(object_of(record).map_err(|why| key.corrupt(format!("its record: {why}")))?)
            }
            _ => None,
        };
        let usual = usual(id, &app, created_with).map_err(|error| key.corrupt(without_values(&error)))?;
        fill(&mut object, usual);
        Ok(StateItem {
            state: object_of(object).map_err(|why| key.corrupt(why))?,
            created_with,
            counted: item.contains_key("counted"),
            counted_push: item.contains_key("counted_push"),
            contract: string(CONTRACT).and_then(|name| contract_named(name)),
            beside: item.get("beside").and_then(|value| value.as_n().ok()?.parse().ok()),
            definition: string("definition").map(|json| Arc::from(json.as_str())),
            record,
        })
    }
}

/// A state in which nothing has happened yet: what is the same is left out of the item.
fn usual(id: ScheduleId, app: &AppKey, token: Token) -> Result<Map<String, Value>, serde_json::Error> {
    let mut usual = json_of(&State::new(id, app.clone(), None, Timestamp::EPOCH, token))?;
    for name in ALWAYS {
        usual.remove(name);
    }
    Ok(usual)
}

fn json_of(value: &impl serde::Serialize) -> Result<Map<String, Value>, serde_json::Error> {
    serde_json::from_value(serde_json::to_value(value)?)
}
