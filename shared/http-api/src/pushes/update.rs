//! `PUT /v4/schedules/{id}`: any of the four keys. Everything is judged before anything is written.

use super::{
    form::{In, Input, Schedules},
    schedules::{Refused, around, found, refuse_where_passed, unknown, view, was_deleted},
};
use crate::{access::Caller, answer::Json};
use axum::extract::{Path, rejection::PathRejection};
use rondo_domain::{
    change::ChangeRefused,
    engine::{Error, Managed},
    ports::Schedule,
    push::{
        PushTarget,
        outcome::PushError,
        rules::{
            INVALID, TIME_INVALID,
            schedule::{Changes, is_valid},
        },
    },
    schedule::Target,
    trigger::Trigger,
};

pub async fn update(
    In(caller, _): In<Schedules, Caller>,
    path: Result<Path<String>, PathRejection>,
    Input(body, _): Input<Schedules>,
) -> Result<Json, Refused> {
    let Caller { api, app, .. } = &caller;
    let schedule = found(&caller, path).await?;
    let Schedule { definition, state } = &schedule;
    let now = api.engine.now();
    if !is_valid(definition, state, now) {
        return Err(expired().into());
    }
    let changes = Changes::read(&body, definition, &around(app, now))?;
    if let Some((_, fan_out)) = &changes.trigger {
        let stays = || match &definition.target {
            Target::Push(target) => target.clone(),
            Target::Http(_) => PushTarget { push: serde_json::Value::Null },
        };
        let target = changes.push.clone().map_or_else(stays, |push| PushTarget { push });
        refuse_where_passed(api, app, &target, &Trigger::FanOut(fan_out.clone())).await?;
    }
    let id = definition.id;
    let told = |error: Error| refused(error, changes.trigger.is_some());
    let mut shown = schedule.clone();
    // Nothing fires between two writes: it is paused before it is changed, and resumed after that.
    if changes.enabled == Some(false) {
        shown = api.engine.pause(&app.key, id).await.map_err(told)?.schedule;
    }
    if changes.edits() {
        let edited =
            api.engine.update(app, id, now, |current| Ok(changes.applied_to(&current.definition))).await;
        shown = match edited {
            Ok(Managed { schedule, .. }) => schedule,
            Err(error) => {
                // What was paused for this change's sake alone goes on.
                if changes.enabled == Some(false) && state.status.runs() {
                    api.engine.resume(&app.key, id).await.map_err(told)?;
                }
                return Err(told(error));
            }
        };
    }
    if changes.enabled == Some(true) {
        shown = api.engine.resume(&app.key, id).await.map_err(told)?.schedule;
    }
    if was_deleted(&shown) {
        return Err(unknown());
    }
    Ok(Json(view(&shown.definition, shown.state.status)))
}

fn expired() -> PushError {
    PushError::new(INVALID, "the schedule has expired and cannot be changed; make another one")
}

fn refused(error: Error, has_trigger: bool) -> Refused {
    match error {
        Error::NotFound(_) => unknown(),
        // Somebody deleted it at the same time, or its last occurrence was over.
        Error::Refused(ChangeRefused::Ended(rondo_domain::state::Status::Canceled)) => unknown(),
        Error::Refused(ChangeRefused::Ended(_)) => expired().into(),
        Error::Invalid(invalid) if has_trigger => PushError::new(TIME_INVALID, invalid.to_string()).into(),
        Error::Invalid(_) => expired().into(),
        other => other.into(),
    }
}
