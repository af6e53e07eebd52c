//! What is asked of DynamoDB, one function for each kind of request: reads, conditional writes, transactions. Says
//! when a condition did not hold and what stands there instead; what that means is the callers'.

use super::{DynamoStore, keys::Key, size};
use crate::failures::unavailable;
use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        put_item::PutItemError, query::builders::QueryFluentBuilder,
        transact_write_items::TransactWriteItemsError,
    },
    types::{
        AttributeValue, ConditionCheck, Delete, Put, ReturnValue,
        ReturnValuesOnConditionCheckFailure::AllOld, TransactWriteItem, Update,
    },
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use rondo_domain::{ids::Token, ports::StoreError, time::Span};
use std::{collections::HashMap, error::Error};

/// An item, or a part of one, by its attributes' names.
pub type Item = HashMap<String, AttributeValue>;

/// How often a write that meets somebody else's is tried again.
pub(crate) const TRIES: u32 = 14;
const FIRST_PAUSE: Span = Span::from_millis(4);
const LONGEST_PAUSE: Span = Span::from_millis(300);

/// A condition or an update, with what its `#names` and `:values` stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expression {
    pub text: String,
    names: HashMap<String, String>,
    values: Item,
}

impl Expression {
    /// Each name stands for the attribute that is called so.
    pub fn new<const N: usize>(
        text: impl Into<String>,
        names: &[&str],
        values: [(&str, AttributeValue); N],
    ) -> Self {
        Expression {
            text: text.into(),
            names: names.iter().map(|name| (format!("#{name}"), (*name).to_owned())).collect(),
            values: values.into_iter().map(|(name, value)| (format!(":{name}"), value)).collect(),
        }
    }

    pub fn absent() -> Self {
        Expression::new("attribute_not_exists(#pk)", &["pk"], [])
    }

    pub fn revision(revision: u64) -> Self {
        Expression::new("#revision = :revision", &["revision"], [("revision", number(revision))])
    }

    pub fn written_with(token: Token) -> Self {
        Expression::new("#token = :token", &["token"], [("token", number(token.0))])
    }

    pub fn or(self, other: Expression) -> Self {
        self.joined(other, "OR")
    }

    pub fn and(self, other: Expression) -> Self {
        self.joined(other, "AND")
    }

    fn joined(mut self, other: Expression, word: &str) -> Self {
        self.text = format!("({}) {word} ({})", self.text, other.text);
        self.names.extend(other.names);
        self.values.extend(other.values);
        self
    }

    /// DynamoDB takes no empty maps.
    fn names(&self) -> Option<HashMap<String, String>> {
        (!self.names.is_empty()).then(|| self.names.clone())
    }

    fn values(&self) -> Option<Item> {
        (!self.values.is_empty()).then(|| self.values.clone())
    }
}

pub(crate) fn number(value: impl Into<i128>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

/// One write of several that are done together or not at all.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Put {
        item: Item,
        condition: Option<Expression>,
    },
    Update {
        key: Key,
        update: Expression,
        condition: Option<Expression>,
    },
    Delete {
        key: Key,
        condition: Option<Expression>,
    },
    /// Writes nothing.
    Check {
        key: Key,
        condition: Expression,
    },
}

impl Write {
    pub fn put(item: Item, condition: Expression) -> Write {
        Write::Put { item, condition: Some(condition) }
    }

    pub fn key(&self) -> Result<Key, StoreError> {
        match self {
            Write::Put { item, .. } => Key::of_item(item),
            Write::Update { key, .. } | Write::Delete { key, .. } | Write::Check { key, .. } => {
                Ok(key.clone())
            }
        }
    }

    fn check_size(&self) -> Result<(), StoreError> {
        let Write::Put { item, .. } = self else {
            return Ok(());
        };
        let bytes = size::item(item);
        if bytes <= size::MAX_ITEM {
            return Ok(());
        }
        let what = Key::of_item(item)?.what();
        Err(StoreError::TooLarge(format!("{what} takes {bytes} bytes, and {} is the most", size::MAX_ITEM)))
    }
}

/// What became of one or more conditional writes.
#[derive(Debug)]
pub(crate) enum Commit {
    Done,
    /// Nothing was written. For each write, whether its condition did not hold, and what stands there.
    Refused(Vec<Option<Refusal>>),
}

/// `present`: none where there is no such item; one that has expired may still be there.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub present: Option<Item>,
}

impl DynamoStore {
    pub(super) async fn get(&self, key: &Key, consistent: bool) -> Result<Option<Item>, StoreError> {
        let get = self.client.get_item().table_name(&*self.table).set_key(Some(key.item()));
        let got = get.consistent_read(consistent).send().await.map_err(|error| self.failed(&error))?;
        Ok(got.item.filter(|item| self.is_alive(item)))
    }

    pub(super) fn query(&self, condition: &Expression) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&*self.table)
            .key_condition_expression(&condition.text)
            .set_expression_attribute_names(condition.names())
            .set_expression_attribute_values(condition.values())
    }

    /// Also filters what it finds; `filter`'s names and values are its own.
    pub(super) fn filtered(&self, condition: &Expression, filter: Option<Expression>) -> QueryFluentBuilder {
        let Some(filter) = filter else {
            return self.query(condition);
        };
        let text = filter.text.clone();
        let both = condition.clone().and(filter);
        let query = self.query(&both);
        query.key_condition_expression(&condition.text).filter_expression(text)
    }

    /// Without a condition: where the same once more changes nothing.
    pub(super) async fn put_plain(&self, item: Item) -> Result<(), StoreError> {
        self.commit(vec![Write::Put { item, condition: None }]).await.map(drop)
    }

    /// Adds to a number, and answers what it is then. Not conditional: the SDK's own retry may add twice.
    pub(super) async fn add(&self, key: &Key, name: &str, value: i64) -> Result<u64, StoreError> {
        let add = self.client.update_item().table_name(&*self.table).set_key(Some(key.item()));
        let add = add.update_expression("ADD #n :n").expression_attribute_names("#n", name);
        let add = add.expression_attribute_values(":n", number(value)).return_values(ReturnValue::UpdatedNew);
        let added = add.send().await.map_err(|error| self.failed(&error))?;
        let now = added.attributes().and_then(|new| new.get(name)?.as_n().ok()?.parse().ok());
        now.ok_or_else(|| key.corrupt(format!("{name} is no number")))
    }

    /// All or nothing. A single put is no transaction, and costs half. What meets another's transaction is tried
    /// again, a bounded number of times.
    pub(super) async fn commit(&self, mut writes: Vec<Write>) -> Result<Commit, StoreError> {
        for write in &writes {
            write.check_size()?;
        }
        if let [Write::Put { .. }] = writes.as_slice()
            && let Some(Write::Put { item, condition }) = writes.pop()
        {
            return self.put(item, condition).await;
        }
        let writes = writes.iter().map(|write| self.in_transaction(write)).collect::<Result<Vec<_>, _>>()?;
        for attempt in 0.. {
            let commit = self.client.transact_write_items().set_transact_items(Some(writes.clone()));
            let error = match commit.send().await {
                Ok(_) => return Ok(Commit::Done),
                Err(error) => error,
            };
            match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                    let reasons = canceled.cancellation_reasons.clone().unwrap_or_default();
                    let code = |code: &str| reasons.iter().any(|reason| reason.code() == Some(code));
                    if code("ConditionalCheckFailed") {
                        let refusal = |reason: &aws_sdk_dynamodb::types::CancellationReason| {
                            let failed = reason.code() == Some("ConditionalCheckFailed");
                            failed.then(|| Refusal { present: reason.item.clone() })
                        };
                        return Ok(Commit::Refused(reasons.iter().map(refusal).collect()));
                    }
                    let passes = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];
                    if !passes.into_iter().any(code) {
                        return Err(self.failed(&error));
                    }
                }
                Some(TransactWriteItemsError::TransactionInProgressException(_)) => {}
                _ => return Err(self.failed(&error)),
            }
            self.next_try(attempt, "a transaction").await?;
        }
        Ok(Commit::Done)
    }

    async fn put(&self, item: Item, condition: Option<Expression>) -> Result<Commit, StoreError> {
        let condition = condition.unwrap_or_default();
        for attempt in 0.. {
            let put = self.client.put_item().table_name(&*self.table).set_item(Some(item.clone()));
            let put = put
                .set_condition_expression(Some(condition.text.clone()).filter(|text| !text.is_empty()))
                .set_expression_attribute_names(condition.names())
                .set_expression_attribute_values(condition.values())
                .return_values_on_condition_check_failure(AllOld);
            let error = match put.send().await {
                Ok(_) => return Ok(Commit::Done),
                Err(error) => error,
            };
            match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                    return Ok(Commit::Refused(vec![Some(Refusal { present: failed.item.clone() })]));
                }
                // Somebody's transaction holds the item just now.
                Some(PutItemError::TransactionConflictException(_)) => {}
                _ => return Err(self.failed(&error)),
            }
            self.next_try(attempt, "a write").await?;
        }
        Ok(Commit::Done)
    }

    fn in_transaction(&self, write: &Write) -> Result<TransactWriteItem, StoreError> {
        let wrong = |error: aws_sdk_dynamodb::error::BuildError| StoreError::Unavailable(error.to_string());
        let one = TransactWriteItem::builder();
        Ok(match write {
            Write::Put { item, condition } => {
                let condition = condition.clone().unwrap_or_default();
                let put = Put::builder()
                    .table_name(&*self.table)
                    .set_item(Some(item.clone()))
                    .set_condition_expression(Some(condition.text.clone()).filter(|text| !text.is_empty()))
                    .set_expression_attribute_names(condition.names())
                    .set_expression_attribute_values(condition.values())
                    .return_values_on_condition_check_failure(AllOld);
                one.put(put.build().map_err(wrong)?).build()
            }
            Write::Update { key, update, condition } => {
                let mut both = update.clone();
                if let Some(condition) = condition.clone() {
                    both = both.and(condition);
                }
                let update = Update::builder()
                    .table_name(&*self.table)
                    .set_key(Some(key.item()))
                    .update_expression(&update.text)
                    .set_condition_expression(condition.as_ref().map(|condition| condition.text.clone()))
                    .set_expression_attribute_names(both.names())
                    .set_expression_attribute_values(both.values())
                    .return_values_on_condition_check_failure(AllOld);
                one.update(update.build().map_err(wrong)?).build()
            }
            Write::Delete { key, condition } => {
                let condition = condition.clone().unwrap_or_default();
                let delete = Delete::builder()
                    .table_name(&*self.table)
                    .set_key(Some(key.item()))
                    .set_condition_expression(Some(condition.text.clone()).filter(|text| !text.is_empty()))
                    .set_expression_attribute_names(condition.names())
                    .set_expression_attribute_values(condition.values())
                    .return_values_on_condition_check_failure(AllOld);
                one.delete(delete.build().map_err(wrong)?).build()
            }
            Write::Check { key, condition } => {
                let check = ConditionCheck::builder()
                    .table_name(&*self.table)
                    .set_key(Some(key.item()))
                    .condition_expression(&condition.text)
                    .set_expression_attribute_names(condition.names())
                    .set_expression_attribute_values(condition.values())
                    .return_values_on_condition_check_failure(AllOld);
                one.condition_check(check.build().map_err(wrong)?).build()
            }
        })
    }

    /// Waits a little, longer each time; an error where it has been tried often enough.
    pub(super) async fn next_try(&self, attempt: u32, what: &str) -> Result<(), StoreError> {
        if attempt >= TRIES {
            let table = &self.table;
            return Err(StoreError::Unavailable(format!("{table}: {what} met others' writes {TRIES} times")));
        }
        self.pause(attempt.min(7), LONGEST_PAUSE).await;
        Ok(())
    }

    /// [`FIRST_PAUSE`], doubled so often: half of it for sure, and up to as much again.
    pub(super) async fn pause(&self, doubled: u32, longest: Span) {
        let now = self.clock.now();
        let pause = FIRST_PAUSE.times(1 << doubled).min(longest).millis();
        // Whoever met once must not meet again. The clock and a count are chance enough.
        let dice =
            self.tried.fetch_add(1, std::sync::atomic::Ordering::Relaxed) ^ now.millis().unsigned_abs();
        let dice = dice.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let pause = Span::from_millis(pause / 2 + dice % pause);
        self.clock.sleep_until(now.plus(pause)).await;
    }

    /// What DynamoDB says where it refuses for another reason than a condition.
    pub(super) fn failed<E>(&self, error: &SdkError<E, HttpResponse>) -> StoreError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let service = error.as_service_error();
        let too_large = service.is_some_and(|error| {
            let message = error.message().unwrap_or_default();
            error.code() == Some("ValidationException") && message.contains("Item size")
        });
        if too_large {
            return StoreError::TooLarge("an item has grown over DynamoDB's limit".to_owned());
        }
        unavailable(&self.table, error)
    }
}
