//! Every exchange with AWS, as the SDK clients' meter shows it: counted, weighed by our own arithmetic, and what
//! was sent to the queue or left with EventBridge Scheduler kept for whoever plays their other ends.

use super::usage::Usage;
use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use base64::Engine as _;
use rondo_aws::{
    envelope,
    meter::Exchange,
    store::{size, units},
};
use rondo_domain::{
    message::{Delayed, Message},
    time::Timestamp,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What SQS bills as one request.
const QUEUE_UNIT: usize = 64 * 1024;
/// What DynamoDB adds to each item and each index entry for storing it.
const STORED_OVERHEAD: usize = 100;

pub type Item = HashMap<String, AttributeValue>;

/// A message on its way: when it becomes visible in the queue, and its body.
#[derive(Clone, Debug)]
pub struct Posted {
    pub visible: Timestamp,
    pub body: String,
    /// EventBridge Scheduler brings it.
    pub far: bool,
}

#[derive(Default)]
struct Held {
    usage: Usage,
    table: HashMap<(String, String), Item>,
    mail: BTreeMap<(Timestamp, u64), Posted>,
    posted: u64,
    faults: Vec<String>,
}

#[derive(Default)]
pub struct Ledger {
    held: Mutex<Held>,
}

impl Ledger {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All so far.
    pub fn usage(&self) -> Usage {
        self.held().usage.clone()
    }

    pub fn note(&self, change: impl FnOnce(&mut Usage)) {
        change(&mut self.held().usage);
    }

    /// What could not be understood: a figure that lacks it would be wrong.
    pub fn faults(&self) -> Vec<String> {
        self.held().faults.clone()
    }

    pub fn next_visible(&self) -> Option<Timestamp> {
        self.held().mail.keys().next().map(|(at, _)| *at)
    }

    /// At most so many messages that are visible by then.
    pub fn receive(&self, at: Timestamp, most: usize) -> Vec<Posted> {
        let mut held = self.held();
        let mut received = Vec::new();
        while received.len() < most
            && let Some(first) = held.mail.first_entry().filter(|first| first.key().0 <= at)
        {
            received.push(first.remove());
        }
        let fired = received.iter().filter(|posted| posted.far).count() as f64;
        held.usage.schedules_fired += fired;
        held.usage.messages_received += received.len() as f64;
        received
    }

    /// Bytes that the table and its indexes hold for one partition, as they are billed for storage.
    pub fn stored(&self, pk: &str) -> usize {
        let held = self.held();
        let items = held.table.iter().filter(|((known, _), _)| known == pk);
        items.map(|(_, item)| size::item(item) + STORED_OVERHEAD * (1 + entries(item))).sum()
    }

    /// Sees one exchange; `now` is the virtual clock's.
    pub fn saw(&self, exchange: &Exchange<'_>, now: Timestamp) {
        // What a busy emulator did not answer is repeated, and is no part of what the work asks for.
        if exchange.status.is_none_or(|status| status >= 500) {
            return;
        }
        let mut held = self.held();
        held.usage.count(exchange.service, exchange.operation);
        let request: Value = serde_json::from_slice(exchange.request).unwrap_or_default();
        let answer: Value = serde_json::from_slice(exchange.answer).unwrap_or_default();
        let done = exchange.status.is_some_and(|status| status < 300);
        match (exchange.service, exchange.operation) {
            ("DynamoDB", operation) => held.weigh(operation, &request, &answer, done),
            ("SQS", "SendMessage" | "SendMessageBatch") if done => held.post(&request, now),
            ("Scheduler", "CreateSchedule") if done => held.schedule(&request),
            ("Scheduler", "DeleteSchedule") => held.usage.schedules_removed += 1.0,
            _ => {}
        }
    }
}

fn entries(item: &Item) -> usize {
    usize::from(item.contains_key("due_shard") && item.contains_key("look_again_at"))
        + usize::from(item.contains_key("app_shard"))
        + usize::from(item.contains_key("app_group"))
}

impl Held {
    fn weigh(&mut self, operation: &str, request: &Value, answer: &Value, done: bool) {
        let (read, write) = reported(operation, answer);
        self.usage.reported_read_units += read;
        self.usage.reported_write_units += write;
        match operation {
            "GetItem" => {
                let consistent = request["ConsistentRead"].as_bool().unwrap_or(false);
                self.usage.read_units += units::read(size_of(&answer["Item"]), consistent);
            }
            "BatchGetItem" => {
                let tables = answer["Responses"].as_object().into_iter().flatten();
                for item in tables.flat_map(|(_, items)| items.as_array().into_iter().flatten()) {
                    self.usage.read_units += units::read(size_of(item), consistent_of(request));
                }
                let asked = keys_asked(request);
                let got = tables_len(answer);
                // What is not there costs the least that a read costs.
                let missing = asked.saturating_sub(got) as f64;
                self.usage.read_units += missing * units::read(0, consistent_of(request));
            }
            "Query" => {
                let items = answer["Items"].as_array().map_or(&[][..], Vec::as_slice);
                let consistent = request["ConsistentRead"].as_bool().unwrap_or(false);
                let bytes: usize = items.iter().map(size_of).sum();
                // What a filter left out was read all the same; taken to be as large as the others.
                let scanned = answer["ScannedCount"].as_u64().unwrap_or(0) as usize;
                let all = if items.is_empty() { scanned * 512 } else { bytes * scanned / items.len() };
                self.usage.read_units += units::read(all.max(bytes), consistent);
            }
            "PutItem" | "DeleteItem" | "UpdateItem" => self.one_write(operation, request, answer, done),
            "TransactWriteItems" => self.transaction(request, done),
            "BatchWriteItem" => {
                for (_, writes) in request["RequestItems"].as_object().into_iter().flatten() {
                    for write in writes.as_array().into_iter().flatten() {
                        if !write["PutRequest"].is_null() {
                            self.one_write("PutItem", &write["PutRequest"], answer, done);
                        } else {
                            self.one_write("DeleteItem", &write["DeleteRequest"], answer, done);
                        }
                    }
                }
            }
            "CreateTable" | "DescribeTable" | "UpdateTimeToLive" | "DescribeTimeToLive" => {}
            other => self.faults.push(format!("DynamoDB {other} is not weighed")),
        }
    }

    fn one_write(&mut self, operation: &str, request: &Value, answer: &Value, done: bool) {
        let Some(key) = key_of(operation, request) else {
            self.faults.push(format!("a {operation} without its key"));
            return;
        };
        let old = self.table.get(&key).cloned();
        if !done {
            self.usage.write_units += units::refused(old.as_ref());
            return;
        }
        let new = self.after(operation, request, answer, old.as_ref());
        self.usage.write_units += units::write(old.as_ref(), new.as_ref());
        self.keep(key, new);
    }

    fn transaction(&mut self, request: &Value, done: bool) {
        for action in request["TransactItems"].as_array().into_iter().flatten() {
            let Some((kind, write)) = action.as_object().and_then(|action| action.iter().next()) else {
                continue;
            };
            let operation = format!("{kind}Item");
            let Some(key) = key_of(&operation, write) else {
                self.faults.push(format!("a {kind} of a transaction without its key"));
                continue;
            };
            let old = self.table.get(&key).cloned();
            if !done || kind == "ConditionCheck" {
                self.usage.write_units += 2.0 * units::refused(old.as_ref());
                continue;
            }
            let new = self.after(&operation, write, &Value::Null, old.as_ref());
            self.usage.write_units += units::write_in_transaction(old.as_ref(), new.as_ref());
            self.keep(key, new);
        }
    }

    /// The item after a write that was done. An update's is known only where the answer says it; a counter's
    /// size hardly changes, and no index knows it.
    fn after(
        &mut self,
        operation: &str,
        request: &Value,
        answer: &Value,
        old: Option<&Item>,
    ) -> Option<Item> {
        match operation {
            "PutItem" => Some(item_of(&request["Item"])),
            "UpdateItem" => match &answer["Attributes"] {
                Value::Null => Some(old.cloned().unwrap_or_else(|| item_of(&request["Key"]))),
                all => {
                    let mut item = old.cloned().unwrap_or_else(|| item_of(&request["Key"]));
                    item.extend(item_of(all));
                    Some(item)
                }
            },
            _ => None,
        }
    }

    fn keep(&mut self, key: (String, String), item: Option<Item>) {
        match item {
            Some(item) => self.table.insert(key, item),
            None => self.table.remove(&key),
        };
    }

    fn post(&mut self, request: &Value, now: Timestamp) {
        let single = [request.clone()];
        let entries = request["Entries"].as_array().map_or(&single[..], Vec::as_slice);
        let mut bytes = 0;
        for entry in entries {
            let body = entry["MessageBody"].as_str().unwrap_or_default().to_owned();
            bytes += body.len();
            if let Ok(Delayed { message: Message::Segment(segment), .. }) = envelope::read(&body) {
                self.usage.occurrences_sent += segment.occurrences.len() as f64;
            }
            let delay = entry["DelaySeconds"].as_u64().unwrap_or(0);
            let visible = now.plus(rondo_domain::time::Span::from_secs(delay));
            self.drop_in(Posted { visible, body, far: false });
            self.usage.messages_sent += 1.0;
        }
        self.usage.sends += bytes.div_ceil(QUEUE_UNIT).max(1) as f64;
    }

    fn schedule(&mut self, request: &Value) {
        self.usage.schedules_made += 1.0;
        let expression = request["ScheduleExpression"].as_str().unwrap_or_default();
        let at = expression.strip_prefix("at(").and_then(|rest| rest.strip_suffix(')'));
        let at = at.and_then(|at| Timestamp::parse_rfc3339(&format!("{at}Z")));
        let body = request["Target"]["Input"].as_str().unwrap_or_default().to_owned();
        match at {
            Some(visible) => self.drop_in(Posted { visible, body, far: true }),
            None => self.faults.push(format!("a schedule at {expression:?}")),
        }
    }

    fn drop_in(&mut self, posted: Posted) {
        self.posted += 1;
        self.mail.insert((posted.visible, self.posted), posted);
    }
}

fn key_of(operation: &str, request: &Value) -> Option<(String, String)> {
    let key = if operation == "PutItem" { &request["Item"] } else { &request["Key"] };
    Some((key["pk"]["S"].as_str()?.to_owned(), key["sk"]["S"].as_str()?.to_owned()))
}

fn consistent_of(request: &Value) -> bool {
    let mut tables = request["RequestItems"].as_object().into_iter().flatten();
    tables.any(|(_, table)| table["ConsistentRead"].as_bool().unwrap_or(false))
}

fn keys_asked(request: &Value) -> usize {
    let tables = request["RequestItems"].as_object().into_iter().flatten();
    tables.map(|(_, table)| table["Keys"].as_array().map_or(0, Vec::len)).sum()
}

fn tables_len(answer: &Value) -> usize {
    let tables = answer["Responses"].as_object().into_iter().flatten();
    tables.map(|(_, items)| items.as_array().map_or(0, Vec::len)).sum()
}

fn reported(operation: &str, answer: &Value) -> (f64, f64) {
    let one = |capacity: &Value| capacity["CapacityUnits"].as_f64().unwrap_or(0.0);
    let all = match &answer["ConsumedCapacity"] {
        Value::Array(tables) => tables.iter().map(one).sum(),
        other => one(other),
    };
    match operation {
        "GetItem" | "BatchGetItem" | "Query" | "Scan" | "TransactGetItems" => (all, 0.0),
        _ => (0.0, all),
    }
}

fn size_of(item: &Value) -> usize {
    if item.is_object() { size::item(&item_of(item)) } else { 0 }
}

/// An item from DynamoDB's JSON.
fn item_of(json: &Value) -> Item {
    let attributes = json.as_object().into_iter().flatten();
    attributes.map(|(name, value)| (name.clone(), value_of(value))).collect()
}

fn value_of(json: &Value) -> AttributeValue {
    let texts = |all: &Value| -> Vec<String> {
        all.as_array().into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect()
    };
    let Some((kind, value)) = json.as_object().and_then(|typed| typed.iter().next()) else {
        return AttributeValue::Null(true);
    };
    let text = value.as_str().unwrap_or_default();
    match kind.as_str() {
        "S" => AttributeValue::S(text.to_owned()),
        "N" => AttributeValue::N(text.to_owned()),
        "B" => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
            AttributeValue::B(Blob::new(bytes))
        }
        "BOOL" => AttributeValue::Bool(value.as_bool().unwrap_or_default()),
        "SS" => AttributeValue::Ss(texts(value)),
        "NS" => AttributeValue::Ns(texts(value)),
        "L" => AttributeValue::L(value.as_array().into_iter().flatten().map(value_of).collect()),
        "M" => AttributeValue::M(item_of(value)),
        _ => AttributeValue::Null(true),
    }
}
