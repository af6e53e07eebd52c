//! The table's description: names of keys, attributes and indexes. Deployments get it from `template.yaml`;
//! [`create_table`] makes the same for emulators.

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::{
    Client,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
        ProjectionType, ScalarAttributeType, TimeToLiveSpecification,
    },
};
use rondo_domain::ports::StoreError;

use crate::failures::unavailable;

/// The table's hash key, a string.
pub const PK: &str = "pk";
/// The table's range key, a string.
pub const SK: &str = "sk";
/// After this instant, in s since 1970, an item is treated as gone; DynamoDB's TTL removes it some time later.
pub const EXPIRES_AT: &str = "expires_at";

/// Index of what is overdue: KEYS_ONLY, hash [`DUE_SHARD`], range [`LOOK_AGAIN_AT`]. Sparse.
pub const DUE: &str = "due";
pub const DUE_SHARD: &str = "due_shard";
/// In ms since 1970, a number.
pub const LOOK_AGAIN_AT: &str = "look_again_at";

/// Index of apps, and of each app's schedules: hash [`APP_SHARD`], range [`PK`], with [`STATUS`] and [`CONTRACT`].
/// Sparse.
pub const BY_APP: &str = "by_app";
pub const APP_SHARD: &str = "app_shard";
pub const STATUS: &str = "status";
/// The contract that a schedule was made through, where it was not the native API.
pub const CONTRACT: &str = "contract";
/// What [`BY_APP`] holds beside its keys.
pub const BY_APP_INCLUDES: [&str; 2] = [STATUS, CONTRACT];

/// Index of an app's devices, by group: hash [`APP_GROUP`], range [`POSITION`]. Sparse. What is often written (when
/// somebody was last seen) is not in it, so that such a write is one of the item alone.
pub const BY_GROUP: &str = "by_group";
pub const APP_GROUP: &str = "app_group";
pub const POSITION: &str = "position";
/// There, and true, where Rondo itself can reach the device.
pub const REACHABLE: &str = "reachable";
/// What [`BY_GROUP`] holds beside its keys: all that decides who is meant.
pub const BY_GROUP_INCLUDES: [&str; 6] = ["platform", "tags", "alias", REACHABLE, "created_at", "moved_at"];

/// One partition of an index takes 1,000 writes a second, and then throttles the table.
pub const SHARDS: u64 = 16;

/// Makes the table and waits for nothing: emulators have it at once.
///
/// # Errors
/// [`StoreError::Unavailable`] with what the service answered.
pub async fn create_table(client: &Client, table: &str) -> Result<(), StoreError> {
    let wrong = |error: BuildError| StoreError::Unavailable(format!("the table's description: {error}"));
    let attribute = |name: &str, kind: ScalarAttributeType| {
        AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().map_err(wrong)
    };
    let key = |name: &str, kind: KeyType| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().map_err(wrong)
    };
    let index = |name: &str, hash: &str, range: &str, includes: &[&str]| {
        let kind = if includes.is_empty() { ProjectionType::KeysOnly } else { ProjectionType::Include };
        let mut projection = Projection::builder().projection_type(kind);
        for attribute in includes {
            projection = projection.non_key_attributes(*attribute);
        }
        let index = GlobalSecondaryIndex::builder().index_name(name).projection(projection.build());
        let keys = index.key_schema(key(hash, KeyType::Hash)?).key_schema(key(range, KeyType::Range)?);
        keys.build().map_err(wrong)
    };
    let create = client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key(PK, KeyType::Hash)?)
        .key_schema(key(SK, KeyType::Range)?)
        .attribute_definitions(attribute(PK, ScalarAttributeType::S)?)
        .attribute_definitions(attribute(SK, ScalarAttributeType::S)?)
        .attribute_definitions(attribute(DUE_SHARD, ScalarAttributeType::S)?)
        .attribute_definitions(attribute(LOOK_AGAIN_AT, ScalarAttributeType::N)?)
        .attribute_definitions(attribute(APP_SHARD, ScalarAttributeType::S)?)
        .attribute_definitions(attribute(APP_GROUP, ScalarAttributeType::S)?)
        .attribute_definitions(attribute(POSITION, ScalarAttributeType::S)?)
        .global_secondary_indexes(index(DUE, DUE_SHARD, LOOK_AGAIN_AT, &[])?)
        .global_secondary_indexes(index(BY_APP, APP_SHARD, PK, &BY_APP_INCLUDES)?)
        .global_secondary_indexes(index(BY_GROUP, APP_GROUP, POSITION, &BY_GROUP_INCLUDES)?);
    create.send().await.map_err(|error| unavailable(table, &error))?;
    let ttl = TimeToLiveSpecification::builder().enabled(true).attribute_name(EXPIRES_AT);
    let ttl = ttl.build().map_err(wrong)?;
    let ttl = client.update_time_to_live().table_name(table).time_to_live_specification(ttl);
    ttl.send().await.map_err(|error| unavailable(table, &error))?;
    Ok(())
}
