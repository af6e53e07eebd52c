//! Counts what is asked of AWS: requests by service and operation, and the capacity that DynamoDB says they took. For
//! the cost bench and for tests; a function runs without one.

use aws_sdk_dynamodb::{operation, types::ReturnConsumedCapacity};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{
                BeforeSerializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
                FinalizerInterceptorContextRef, Input,
            },
        },
        orchestrator::Metadata,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

/// Shared by its clones.
#[derive(Clone, Default)]
pub struct Meter {
    counts: Arc<Mutex<Counts>>,
    watcher: Arc<RwLock<Option<Watcher>>>,
}

type Counts = BTreeMap<(String, String), Usage>;
type Watcher = Arc<dyn Fn(&Exchange<'_>) + Send + Sync>;

/// Of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Requests sent, the SDK's own retries included.
    pub requests: u64,
    /// Read and write units as DynamoDB answered, indexes included; 0 for other services. It says them with a
    /// success alone: what a failed condition costs is not in here.
    pub read_units: f64,
    pub write_units: f64,
}

/// One request and its answer, with their bodies: they hold whatever users stored, so nothing of it is to be logged.
#[derive(Clone, Copy)]
pub struct Exchange<'a> {
    /// `DynamoDB`, `SQS`, `Scheduler` or `Secrets Manager`.
    pub service: &'a str,
    pub operation: &'a str,
    pub request: &'a [u8],
    /// None where no answer came.
    pub status: Option<u16>,
    pub answer: &'a [u8],
}

impl Meter {
    /// `("DynamoDB", "UpdateItem")` and so on, as they were counted so far.
    pub fn read(&self) -> BTreeMap<(String, String), Usage> {
        self.counts().clone()
    }

    /// The same, and counts from nothing again.
    pub fn take(&self) -> BTreeMap<(String, String), Usage> {
        std::mem::take(&mut self.counts())
    }

    /// Shows every exchange from now on to `watcher`, in place of any before it, while the request waits.
    pub fn watch(&self, watcher: impl Fn(&Exchange<'_>) + Send + Sync + 'static) {
        *self.watcher.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(watcher));
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watcher(&self) -> Option<Watcher> {
        self.watcher.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

/// A request's body, kept until its answer is there.
#[derive(Debug)]
struct Sent(Vec<u8>);

impl Storable for Sent {
    type Storer = StoreReplace<Self>;
}

impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "Meter"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        ask_for_capacity(context.input_mut());
        Ok(())
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(of) = config.load::<Metadata>() {
            self.counts().entry((of.service().to_owned(), of.name().to_owned())).or_default().requests += 1;
        }
        if self.watcher().is_some() {
            let body = context.request().body().bytes().unwrap_or_default().to_vec();
            config.interceptor_state().store_put(Sent(body));
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(of) = config.load::<Metadata>() else { return Ok(()) };
        let answer = context.response().and_then(|response| response.body().bytes()).unwrap_or_default();
        if of.service() == "DynamoDB" {
            let (read, write) = units(of.name(), answer);
            let mut counts = self.counts();
            let usage = counts.entry((of.service().to_owned(), of.name().to_owned())).or_default();
            usage.read_units += read;
            usage.write_units += write;
        }
        if let Some(watcher) = self.watcher() {
            watcher(&Exchange {
                service: of.service(),
                operation: of.name(),
                request: config.load::<Sent>().map_or(&[], |sent| &sent.0),
                status: context.response().map(|response| response.status().as_u16()),
                answer,
            });
        }
        Ok(())
    }
}

/// With every operation that can say it, and by table and index.
fn ask_for_capacity(input: &mut Input) {
    macro_rules! ask {
        ($($kind:ty),+ $(,)?) => {
            $(if let Some(input) = input.downcast_mut::<$kind>() {
                input.return_consumed_capacity.get_or_insert(ReturnConsumedCapacity::Indexes);
                return;
            })+
        };
    }
    ask!(
        operation::put_item::PutItemInput,
        operation::update_item::UpdateItemInput,
        operation::get_item::GetItemInput,
        operation::query::QueryInput,
        operation::transact_write_items::TransactWriteItemsInput,
        operation::delete_item::DeleteItemInput,
        operation::batch_write_item::BatchWriteItemInput,
        operation::batch_get_item::BatchGetItemInput,
        operation::transact_get_items::TransactGetItemsInput,
        operation::scan::ScanInput,
    );
}

/// Read and write units by an answer's `ConsumedCapacity`: one object, or one for each table.
fn units(operation: &str, answer: &[u8]) -> (f64, f64) {
    let Ok(answer) = serde_json::from_slice::<Value>(answer) else { return (0.0, 0.0) };
    let one = match &answer["ConsumedCapacity"] {
        Value::Array(tables) => tables.iter().collect(),
        table @ Value::Object(_) => vec![table],
        _ => Vec::new(),
    };
    let writes = !matches!(operation, "GetItem" | "Query" | "Scan" | "BatchGetItem" | "TransactGetItems");
    one.into_iter().fold((0.0, 0.0), |(read, write), table| {
        let of = |name: &str| table[name].as_f64();
        match (of("ReadCapacityUnits"), of("WriteCapacityUnits"), of("CapacityUnits").unwrap_or_default()) {
            (None, None, all) if writes => (read, write + all),
            (None, None, all) => (read + all, write),
            (reads, writes, _) => (read + reads.unwrap_or_default(), write + writes.unwrap_or_default()),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_from_every_form_of_answer() {
        let single =
            br#"{"ConsumedCapacity":{"TableName":"t","CapacityUnits":2.0,"Table":{"CapacityUnits":1.0},
            "GlobalSecondaryIndexes":{"due":{"CapacityUnits":1.0}}}}"#;
        assert_eq!(units("PutItem", single), (0.0, 2.0));
        assert_eq!(units("Query", single), (2.0, 0.0));
        let several =
            br#"{"ConsumedCapacity":[{"CapacityUnits":4.0,"ReadCapacityUnits":0.0,"WriteCapacityUnits":4.0},
            {"CapacityUnits":2.0,"ReadCapacityUnits":2.0,"WriteCapacityUnits":0.0}]}"#;
        assert_eq!(units("TransactWriteItems", several), (2.0, 4.0));
        for none in ["", "{}", r#"{"ConsumedCapacity":null}"#, "not JSON"] {
            assert_eq!(units("GetItem", none.as_bytes()), (0.0, 0.0));
        }
    }
}
