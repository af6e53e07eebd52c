//! Batches: many items read, put or deleted by their keys, whatever DynamoDB leaves undone asked for again. A batch is
//! no transaction: each of its writes is done or not, and the same once more changes nothing.

use super::{DynamoStore, calls::Item, keys::Key};
use aws_sdk_dynamodb::{
    error::BuildError,
    types::{DeleteRequest, KeysAndAttributes, PutRequest, WriteRequest},
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rondo_domain::ports::StoreError;

/// DynamoDB takes and gives so many items in one batch.
const READ_AT_ONCE: usize = 100;
const WRITTEN_AT_ONCE: usize = 25;
/// So many batches are under way at once.
const BATCHES: usize = 4;

impl DynamoStore {
    /// All of them that are there, in no order.
    pub(super) async fn get_all(&self, keys: &[Key], consistent: bool) -> Result<Vec<Item>, StoreError> {
        let batches: Vec<Vec<Item>> =
            keys.chunks(READ_AT_ONCE).map(|keys| keys.iter().map(Key::item).collect()).collect();
        let batches = batches.into_iter().map(|batch| self.read_batch(batch, consistent));
        stream::iter(batches).buffer_unordered(BATCHES).try_concat().await
    }

    async fn read_batch(&self, mut left: Vec<Item>, consistent: bool) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::with_capacity(left.len());
        for attempt in 0.. {
            let wanted = KeysAndAttributes::builder().set_keys(Some(left)).consistent_read(consistent);
            let wanted = wanted.build().map_err(unwritable)?;
            let get = self.client.batch_get_item().request_items(&*self.table, wanted);
            let mut got = get.send().await.map_err(|error| self.failed(&error))?;
            let found = got.responses.as_mut().and_then(|tables| tables.remove(&*self.table));
            items.extend(found.unwrap_or_default().into_iter().filter(|item| self.is_alive(item)));
            let more = got.unprocessed_keys.and_then(|mut tables| tables.remove(&*self.table));
            left = more.map(|more| more.keys).unwrap_or_default();
            if left.is_empty() {
                break;
            }
            self.next_try(attempt, "a batch of reads").await?;
        }
        Ok(items)
    }

    /// Each in place of what stands there; no two have the same key.
    pub(super) async fn put_all(&self, items: Vec<Item>) -> Result<(), StoreError> {
        let put = |item| {
            let put = PutRequest::builder().set_item(Some(item)).build();
            put.map(|put| WriteRequest::builder().put_request(put).build())
        };
        let writes: Result<Vec<_>, _> = items.into_iter().map(put).collect();
        self.write_all(writes.map_err(unwritable)?, "a batch of writes").await
    }

    pub(super) async fn delete_all(&self, keys: &[Key]) -> Result<(), StoreError> {
        let delete = |key: &Key| {
            let delete = DeleteRequest::builder().set_key(Some(key.item())).build();
            delete.map(|delete| WriteRequest::builder().delete_request(delete).build())
        };
        let writes: Result<Vec<_>, _> = keys.iter().map(delete).collect();
        self.write_all(writes.map_err(unwritable)?, "a batch of deletions").await
    }

    async fn write_all(&self, writes: Vec<WriteRequest>, what: &str) -> Result<(), StoreError> {
        let batches: Vec<Vec<WriteRequest>> = writes.chunks(WRITTEN_AT_ONCE).map(<[_]>::to_vec).collect();
        let batches = batches.into_iter().map(|batch| self.write_batch(batch, what));
        stream::iter(batches).buffer_unordered(BATCHES).try_collect().await
    }

    async fn write_batch(&self, mut left: Vec<WriteRequest>, what: &str) -> Result<(), StoreError> {
        for attempt in 0.. {
            let write = self.client.batch_write_item().request_items(&*self.table, left);
            let written = write.send().await.map_err(|error| self.failed(&error))?;
            let more = written.unprocessed_items.and_then(|mut tables| tables.remove(&*self.table));
            left = more.unwrap_or_default();
            if left.is_empty() {
                break;
            }
            self.next_try(attempt, what).await?;
        }
        Ok(())
    }
}

fn unwritable(error: BuildError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
