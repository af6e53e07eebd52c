//! Making, showing and deleting scheduled pushes.

use super::form::{In, Input, Refusal, Schedules};
use crate::{Api, access::Caller, answer::Json, problem::Problem};
use axum::{
    extract::{Path, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use rondo_domain::{
    app::App,
    engine::{Draft, Error},
    ids::ScheduleId,
    policy::{Delivery, Policy},
    ports::Schedule,
    push::{
        outcome::PushError,
        rules::{self, Around, NOBODY_LEFT, schedule::Wanted},
        sender::Way,
    },
    schedule::{Contract, Definition, Target},
    state::Status,
    time::{Span, Timestamp},
    trigger::Trigger,
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// An occasion that is each recipient's own takes 26 hours, from the first zone to the last.
const LATEST: Span = Span::from_secs(50 * 3600);

pub(super) type Refused = Refusal<Schedules>;

pub(super) fn around(app: &App, now: Timestamp) -> Around {
    Around { zone: app.time_zone, now, way: Way::of(app) }
}

pub async fn create(
    In(caller, _): In<Schedules, Caller>,
    Input(body, _): Input<Schedules>,
) -> Result<Json, Refused> {
    let Caller { api, app, .. } = &caller;
    let now = api.engine.now();
    let Wanted { name, fan_out, target, fields } = rules::schedule::read(&body, &around(app, now))?;
    let max_lateness = fan_out.per_recipient.then_some(LATEST);
    let trigger = Trigger::FanOut(fan_out);
    refuse_where_passed(api, app, &target, &trigger).await?;
    let draft = Draft {
        received_at: now,
        name: Some(name),
        trigger,
        occurrences: None,
        target: Target::Push(target),
        delivery: Delivery::default(),
        policy: Policy { max_lateness, ..Policy::default() },
        tags: BTreeMap::new(),
        request: None,
        push: Some(fields),
    };
    let schedule = match api.engine.create(app, draft.clone()).await {
        // Those that expired while they were paused take no room.
        Err(Error::PushLimitReached(_)) if super::list::end_expired(api, &app.key, now).await? => {
            api.engine.create(app, draft).await?
        }
        made => made?,
    };
    let Definition { id, name, .. } = &*schedule.definition;
    Ok(Json(json!({"schedule_id": id, "name": name})))
}

/// A wall time that has passed for everybody there is.
pub(super) async fn refuse_where_passed(
    api: &Api,
    app: &Arc<App>,
    push: &rondo_domain::push::PushTarget,
    trigger: &Trigger,
) -> Result<(), Refused> {
    if api.engine.has_passed_for_all(app, push, trigger).await? {
        let message =
            "no recipient is left for the set time: it has passed in every recipient's own time zone";
        return Err(PushError::new(NOBODY_LEFT, message).into());
    }
    Ok(())
}

pub async fn show(
    In(caller, _): In<Schedules, Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json, Refused> {
    let schedule = found(&caller, path).await?;
    Ok(Json(Value::Array(vec![view(&schedule.definition, schedule.state.status)])))
}

pub async fn delete(
    In(caller, _): In<Schedules, Caller>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Refused> {
    let schedule = found(&caller, path).await?;
    caller.api.engine.cancel(&caller.app.key, schedule.definition.id, None).await?;
    Ok((StatusCode::OK, [(header::CONTENT_LENGTH, "0")]).into_response())
}

/// The scheduled push in the path. Another app's, another surface's, or one that was deleted: there is none.
pub(super) async fn found(
    caller: &Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Schedule, Refused> {
    let id: Option<ScheduleId> = path.ok().and_then(|Path(text)| text.parse().ok());
    let id = id.ok_or_else(unknown)?;
    let schedule = match caller.api.engine.schedule(&caller.app.key, id).await {
        Err(Error::NotFound(_)) => return Err(unknown()),
        other => other?,
    };
    if schedule.definition.contract() != Some(Contract::Pushes) || was_deleted(&schedule) {
        return Err(unknown());
    }
    Ok(schedule)
}

pub(super) fn unknown() -> Refused {
    Problem::not_found("schedule").into()
}

/// A user ended it: there is no reason on record.
pub(super) fn was_deleted(schedule: &Schedule) -> bool {
    schedule.state.status == Status::Canceled && schedule.state.ended_because.is_none()
}

/// As it was sent, with its id and whether it is enabled now.
pub(super) fn view(definition: &Definition, status: Status) -> Value {
    let fields = definition.push.as_ref();
    let push = match &definition.target {
        Target::Push(target) => target.push.clone(),
        Target::Http(_) => Value::Null,
    };
    let mut view = Map::new();
    view.insert("schedule_id".to_owned(), json!(definition.id));
    view.insert("name".to_owned(), json!(definition.name));
    view.insert("enabled".to_owned(), json!(status != Status::Paused));
    view.insert("trigger".to_owned(), json!(fields.and_then(|fields| fields.trigger.as_ref())));
    view.insert("push".to_owned(), push);
    let extra = fields.map(|fields| fields.extra.clone()).unwrap_or_default();
    view.extend(extra);
    Value::Object(view)
}
