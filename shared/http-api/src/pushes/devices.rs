//! `/v4/devices/{registration_id}`: registering, showing, changing and removing a device, and noting its activity.

use super::{
    form::{In, Input, Pushes, UNKNOWN_DEVICE},
    registration::{Mending, Registration, visits},
    send::Refused,
};
use crate::{Api, access::Caller, answer::Json, body::read, json, problem::Problem};
use axum::extract::{FromRequest, Path, Request, rejection::PathRejection};
use rondo_domain::{
    engine::Error,
    push::{
        device::{Device, RegistrationId},
        outcome::PushError,
    },
    time::Timestamp,
};
use serde_json::{Value, json};
use std::sync::Arc;

type AskedId = Result<Path<String>, PathRejection>;

pub async fn put(
    In(caller, _): In<Pushes, Caller>,
    id: AskedId,
    Input(body, _): Input<Pushes>,
) -> Result<Json, Refused> {
    let id = registration_id(id)?;
    let wanted = Registration::read(&body, &*caller.api.rules)?;
    let make = |present: Option<Device>, now| {
        let device = present.unwrap_or_else(|| Device::new(id.clone(), wanted.platform, now));
        Ok(Some(wanted.applied_to(device, now)))
    };
    let device = caller.api.engine.change_device(&caller.app.key, &id, make).await?;
    shown(device)
}

pub async fn show(In(caller, _): In<Pushes, Caller>, id: AskedId) -> Result<Json, Refused> {
    let id = registration_id(id)?;
    let device = caller.api.engine.device(&caller.app.key, &id).await.map_err(Refused::from)?;
    shown(Some(device))
}

pub async fn mend(
    In(caller, _): In<Pushes, Caller>,
    id: AskedId,
    Input(body, _): Input<Pushes>,
) -> Result<Json, Refused> {
    let id = registration_id(id)?;
    let mending = Mending::read(&body)?;
    change(&caller, &id, |device, _| mending.applied_to(device)).await?;
    Ok(success())
}

pub async fn activity(
    In(caller, _): In<Pushes, Caller>,
    id: AskedId,
    MaybeInput(body): MaybeInput,
) -> Result<Json, Refused> {
    let id = registration_id(id)?;
    let visits = visits(&body, caller.api.engine.now())?;
    let zone = caller.app.time_zone;
    let note = |mut device: Device, now| {
        device.visited(&visits, zone, now);
        Ok(device)
    };
    shown(Some(change(&caller, &id, note).await?))
}

pub async fn remove(In(caller, _): In<Pushes, Caller>, id: AskedId) -> Result<Json, Refused> {
    let id = registration_id(id)?;
    if caller.api.engine.remove_device(&caller.app.key, &id).await? {
        Ok(success())
    } else {
        Err(Problem::not_found("device").into())
    }
}

pub fn success() -> Json {
    Json(json!({"success": true}))
}

pub fn registration_id(id: AskedId) -> Result<RegistrationId, Refused> {
    let id = id.map_err(|_| not_an_id("must be UTF-8"))?;
    id.0.parse().map_err(|wrong: rondo_domain::push::device::NotAName| not_an_id(wrong).into())
}

fn not_an_id(detail: impl std::fmt::Display) -> PushError {
    PushError::new(UNKNOWN_DEVICE, format!("registration_id {detail}"))
}

/// Changes a device that is there. `make` may be asked more than once.
pub async fn change<F>(caller: &Caller, id: &RegistrationId, make: F) -> Result<Device, Refused>
where
    F: Fn(Device, Timestamp) -> Result<Device, PushError> + Send + Sync,
{
    // The engine's errors know no codes of this contract's: what is wrong is kept beside them.
    let refused = std::sync::Mutex::new(None);
    let made = |present: Option<Device>, now| {
        let Some(device) = present else { return Err(Error::NotFound("device")) };
        Ok(make(device, now).map_err(|error| refused.lock().map(|mut kept| *kept = Some(error))).ok())
    };
    let changed = caller.api.engine.change_device(&caller.app.key, id, made).await?;
    match (changed, refused.into_inner()) {
        (Some(device), _) => Ok(device),
        (None, Ok(Some(error))) => Err(error.into()),
        (None, _) => Err(Problem::not_found("device").into()),
    }
}

fn shown(device: Option<Device>) -> Result<Json, Refused> {
    let device = device.ok_or_else(|| Refused::from(Problem::not_found("device")))?;
    let best = device.best_time();
    Ok(Json(json!({
        "tags": device.tags,
        "alias": device.alias.unwrap_or_default(),
        "platform": device.platform,
        "time_zone": device.zone.map(|zone| zone.name()),
        "subscribed": device.subscription.is_some(),
        "last_active": device.last_active.map(|at| at.to_string()),
        "best_time": best.map(|best| json!({"local": format!("{:02}:00", best.hour), "visits": best.visits})),
    })))
}

/// A body that may be left out: as good as an empty object.
pub struct MaybeInput(Value);

impl FromRequest<Arc<Api>> for MaybeInput {
    type Rejection = Refused;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Refused> {
        let bytes = read(request, api.settings.body_limit).await?;
        if bytes.trim_ascii().is_empty() {
            return Ok(MaybeInput(json!({})));
        }
        Ok(MaybeInput(json::parse(&bytes)?))
    }
}
