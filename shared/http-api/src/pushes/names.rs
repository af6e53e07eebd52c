//! `/v4/tags` and `/v4/aliases`: the public service's forms of asking who is called what, and of calling them so.

use super::{
    devices::{change, registration_id, success},
    form::{In, Input, Pushes, UNKNOWN_DEVICE},
    registration::{add_and_remove, check_count, get, label, missing, object, text, wrong, wrong_type},
    send::Refused,
};
use crate::{access::Caller, answer::Json, problem::Problem, query::Query};
use axum::extract::{Path, rejection::PathRejection};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rondo_domain::push::{
    device::{Device, Platform, RegistrationId},
    outcome::PushError,
    rules::push::MAX_NAMED,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// So many devices are changed at once, or looked up in one go.
const AT_ONCE: usize = 8;
const LOOKED_UP: usize = 1000;

/// Names devices by a tag, or takes it from them. Nothing is changed where one of them cannot be named so.
pub async fn change_tag(
    In(caller, _): In<Pushes, Caller>,
    tag: Result<Path<String>, PathRejection>,
    Input(body, _): Input<Pushes>,
) -> Result<Json, Refused> {
    let tag = named("tag", tag)?;
    let ids = get(object("", &body)?, "registration_ids");
    let ids = ids.ok_or_else(|| missing("registration_ids", "is required"))?;
    let (add, remove) = add_and_remove("registration_ids", ids, ids_of)?;
    let both: Vec<RegistrationId> = add.union(&remove).cloned().collect();
    let mut known: Vec<Device> = Vec::new();
    for some in both.chunks(LOOKED_UP) {
        known.extend(caller.api.engine.devices.devices(&caller.app.key, some).await?);
    }
    let with_tag = |device: &Device| {
        let mut tags = device.tags.clone();
        tags.insert(tag.clone());
        tags
    };
    for id in &add {
        match known.iter().find(|device| device.id == *id) {
            Some(device) => check_count(&with_tag(device))?,
            None => {
                return Err(PushError::new(
                    UNKNOWN_DEVICE,
                    format!("registration_ids.add holds {id}, which is unknown"),
                )
                .into());
            }
        }
    }
    let (caller, add, tag) = (&caller, &add, &tag);
    let changes = known.into_iter().map(|device| async move {
        let adds = add.contains(&device.id);
        let mend = |mut device: Device, _| {
            if adds {
                device.tags.insert(tag.clone())
            } else {
                device.tags.remove(tag)
            };
            check_count(&device.tags).map(|()| device)
        };
        change(caller, &device.id, mend).await
    });
    let done: Result<Vec<Device>, Refused> =
        stream::iter(changes).buffer_unordered(AT_ONCE).try_collect().await;
    done.map(|_| success())
}

fn ids_of(at: &str, value: &Value) -> Result<BTreeSet<RegistrationId>, PushError> {
    let Value::Array(items) = value else {
        return Err(wrong_type(at, "an array of registration ids", value));
    };
    if items.len() > MAX_NAMED {
        return Err(wrong(at, format!("must hold at most {MAX_NAMED}, not {}", items.len())));
    }
    let one = |(index, item)| {
        let at = format!("{at}[{index}]");
        text(&at, item)?.parse().map_err(|detail: rondo_domain::push::device::NotAName| wrong(&at, detail))
    };
    items.iter().enumerate().map(one).collect()
}

pub async fn has_tag(
    In(caller, _): In<Pushes, Caller>,
    names: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json, Refused> {
    let (tag, id) = match names {
        Ok(Path((tag, id))) => (named("tag", Ok(Path(tag)))?, registration_id(Ok(Path(id)))?),
        Err(_) => return Err(wrong("tag", "must be UTF-8").into()),
    };
    let found = caller.api.engine.devices.devices(&caller.app.key, &[id]).await?;
    Ok(Json(json!({"result": found.iter().any(|device| device.tags.contains(&tag))})))
}

/// All of them, or those of the platforms that `platform=web,ios` names.
pub async fn of_alias(
    In(caller, _): In<Pushes, Caller>,
    alias: Result<Path<String>, PathRejection>,
    query: Query,
) -> Result<Json, Refused> {
    let alias = named("alias", alias)?;
    let platforms = platforms(&query)?;
    let (devices, app) = (&caller.api.engine.devices, &caller.app.key);
    let mut ids = Vec::new();
    let mut after = None;
    loop {
        let page = devices.of_alias(app, &alias, after.as_ref(), LOOKED_UP).await?;
        if platforms.is_empty() {
            ids.extend(page.items);
        } else {
            let found = devices.devices(app, &page.items).await?;
            let meant = found.into_iter().filter(|device| platforms.contains(&device.platform));
            ids.extend(meant.map(|device| device.id));
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    ids.sort();
    Ok(Json(json!({"registration_ids": ids})))
}

/// None: all.
fn platforms(query: &Query) -> Result<BTreeSet<Platform>, Refused> {
    let names = query.get("platform").unwrap_or_default().split(',').filter(|name| !name.is_empty());
    let read = |name: &str| {
        Platform::parse(name)
            .ok_or_else(|| Problem::parameter("platform", "must be of android, ios, hmos, web"))
    };
    Ok(names.map(read).collect::<Result<_, Problem>>()?)
}

fn named(what: &str, name: Result<Path<String>, PathRejection>) -> Result<String, Refused> {
    let Path(name) = name.map_err(|_| wrong(what, "must be UTF-8"))?;
    label(what, &name)?;
    Ok(name)
}
