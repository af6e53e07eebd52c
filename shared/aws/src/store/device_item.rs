//! A device's item: its fields as attributes, and what the index `by_group` finds it by.

use super::{
    calls::{Item, text},
    keys::{Key, app_group, position_of},
    schema::{APP_GROUP, POSITION, REACHABLE},
    values::{attributes_of, object, object_of, without_values},
};
use aws_sdk_dynamodb::types::AttributeValue;
use rondo_domain::{
    ids::AppKey,
    ports::StoreError,
    push::{
        audience::Audience,
        device::{Device, Platform, RegistrationId},
    },
    time::Timestamp,
};

/// Everybody whom Rondo itself can reach.
pub(crate) fn reachable() -> Audience {
    Audience { reachable_only: true, ..Audience::default() }
}

pub(crate) fn device_item(app: &AppKey, device: &Device) -> Result<Item, StoreError> {
    let key = Key::of_device(app, &device.id);
    let mut item = attributes_of(device).map_err(|error| key.corrupt(without_values(&error)))?;
    // The key says it.
    item.remove("id");
    item.extend(key.item());
    item.insert(APP_GROUP.to_owned(), text(app_group(app, device.group())));
    item.insert(POSITION.to_owned(), text(position_of(&device.id)));
    if reachable().admits(device) {
        item.insert(REACHABLE.to_owned(), AttributeValue::Bool(true));
    }
    Ok(item)
}

pub(crate) fn device_in(item: &Item) -> Result<Device, StoreError> {
    let key = Key::of_item(item)?;
    let mut object = object(item);
    object.insert("id".to_owned(), key.registration_id()?.as_str().into());
    object_of(object).map_err(|why| key.corrupt(why))
}

/// What an entry of `by_group` says of a device: enough for an audience that does not ask whether it can be reached.
pub(crate) fn sketch_in(entry: &Item) -> Result<Device, StoreError> {
    let key = Key::of_item(entry)?;
    let string = |name: &str| entry.get(name).and_then(|value| value.as_s().ok());
    let platform = string("platform").and_then(|name| Platform::parse(name));
    let platform = platform.ok_or_else(|| key.corrupt("its platform is not known"))?;
    let tags = entry.get("tags").and_then(|value| value.as_l().ok());
    let tags = tags.into_iter().flatten().filter_map(|tag| tag.as_s().ok()).cloned();
    Ok(Device {
        tags: tags.collect(),
        alias: string("alias").cloned(),
        ..Device::new(key.registration_id()?, platform, Timestamp::EPOCH)
    })
}

pub(crate) fn keys_of(app: &AppKey, ids: &[RegistrationId]) -> Vec<Key> {
    ids.iter().map(|id| Key::of_device(app, id)).collect()
}
