//! Handlers of `/v1/schedules`.

use super::{
    definition,
    idempotency::{GivenKey, REPLAYED},
    view,
};
use crate::{
    access::Caller,
    answer::Json,
    body::{JsonBody, PathId},
    fields::quoted,
    problem::Problem,
    query::{Query, Scope},
};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use rondo_domain::{
    engine::{self, Invalid, Made},
    ids::ScheduleId,
    ports::{Schedule, ScheduleQuery},
    state::Status,
};
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};

pub const DEFAULT_PAGE: usize = 50;
pub const MAX_PAGE: usize = 200;
const DEFAULT_UPCOMING: usize = 10;
pub const MAX_UPCOMING: usize = 1000;

pub async fn create(
    caller: Caller,
    query: Query,
    key: GivenKey,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    query.allow_only(&[], &[])?;
    let Caller { api, app, base } = &caller;
    let now = api.engine.now();
    let draft = definition::read(&body, api, app, now)?;
    let Made { schedule, replayed } = api.engine.create_once(app, draft, key.whole(&body, now)).await?;
    let location = view::schedule_link(base, schedule.definition.id);
    let view = Json(view::schedule(&schedule, base));
    let answer = (StatusCode::CREATED, [(header::LOCATION, location)], view);
    Ok(if replayed { ([REPLAYED], answer).into_response() } else { answer.into_response() })
}

pub async fn list(caller: Caller, query: Query) -> Result<Json, Problem> {
    query.allow_only(&["status", "name", "limit", "cursor"], &["tag"])?;
    let status = query.get("status").map(parse_status).transpose()?;
    let mut tags: Vec<(String, String)> = query
        .all("tag")
        .map(|tag| tag.split_once(':').unwrap_or((tag, "")))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    tags.sort();
    if tags.iter().any(|(key, _)| key.is_empty()) {
        return Err(Problem::parameter("tag", "must be a tag's key, or key:value"));
    }
    let name = query.get("name").filter(|name| !name.is_empty());
    let mut filters = vec![("status", status.map_or("", Status::as_str)), ("name", name.unwrap_or(""))];
    filters.extend(tags.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    let scope = Scope::of(&caller.app.key, "schedules", &filters);
    let before = scope.position::<ScheduleId>(&query)?;
    let name = name.map(str::to_owned);
    let limit = query.whole("limit", 1..=MAX_PAGE, DEFAULT_PAGE)?;
    let app = caller.app.key.clone();
    let wanted = ScheduleQuery { app, status, name, tags, contract: None, before, limit };
    let page = caller.api.engine.schedules(&wanted).await?;
    let views: Vec<Value> = page.items.iter().map(|item| view::schedule(item, &caller.base)).collect();
    let next = page.next.map(|id| scope.cursor(&id.to_string()));
    Ok(Json(json!({"schedules": views, "next_cursor": next})))
}

fn parse_status(text: &str) -> Result<Status, Problem> {
    Status::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
        let words = Status::ALL.map(Status::as_str).join(", ");
        Problem::parameter("status", format!("must be one of {words}, not {}", quoted(text)))
    })
}

pub async fn show(caller: Caller, PathId(id): PathId<ScheduleId>) -> Result<Json, Problem> {
    let schedule = caller.api.engine.schedule(&caller.app.key, id).await?;
    Ok(Json(view::schedule(&schedule, &caller.base)))
}

pub async fn update(
    caller: Caller,
    PathId(id): PathId<ScheduleId>,
    JsonBody(patch): JsonBody,
) -> Result<Json, Problem> {
    let Caller { api, app, base } = &caller;
    let now = api.engine.now();
    let edit = Edit::default();
    let updated = api.engine.update(app, id, now, |current| {
        edit.keep(definition::patched(&current.definition, &patch, api, app, now))
    });
    let managed = updated.await.map_err(|error| edit.problem_or(error))?;
    Ok(Json(view::managed(&managed, base)))
}

/// Carries a problem past the engine, which knows only one field at a time.
#[derive(Default)]
struct Edit(Mutex<Option<Problem>>);

impl Edit {
    fn keep<T>(&self, edited: Result<T, Problem>) -> Result<T, Invalid> {
        edited.map_err(|problem| {
            let invalid = Invalid::new("", problem.detail.clone());
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
            invalid
        })
    }

    fn problem_or(&self, error: engine::Error) -> Problem {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.unwrap_or_else(|| error.into())
    }
}

/// Doing it again changes nothing.
pub async fn cancel(caller: Caller, PathId(id): PathId<ScheduleId>) -> Result<Json, Problem> {
    let managed = caller.api.engine.cancel(&caller.app.key, id, None).await?;
    Ok(Json(view::managed(&managed, &caller.base)))
}

pub async fn pause(caller: Caller, PathId(id): PathId<ScheduleId>) -> Result<Json, Problem> {
    let managed = caller.api.engine.pause(&caller.app.key, id).await?;
    Ok(Json(view::managed(&managed, &caller.base)))
}

pub async fn resume(caller: Caller, PathId(id): PathId<ScheduleId>) -> Result<Json, Problem> {
    let managed = caller.api.engine.resume(&caller.app.key, id).await?;
    Ok(Json(view::managed(&managed, &caller.base)))
}

pub async fn run(caller: Caller, PathId(id): PathId<ScheduleId>) -> Result<Response, Problem> {
    let execution = caller.api.engine.run_now(&caller.app.key, id).await?;
    Ok(super::executions::accepted(&execution, &caller.base))
}

pub async fn upcoming(caller: Caller, PathId(id): PathId<ScheduleId>, query: Query) -> Result<Json, Problem> {
    query.allow_only(&["count"], &[])?;
    let count = query.whole("count", 1..=MAX_UPCOMING, DEFAULT_UPCOMING)?;
    let schedule = caller.api.engine.schedule(&caller.app.key, id).await?;
    Ok(Json(json!({"upcoming": upcoming_views(&schedule, count)})))
}

fn upcoming_views(schedule: &Schedule, count: usize) -> Vec<Value> {
    let definition = &schedule.definition;
    let Ok(rule) = definition.trigger.rule(definition.policy.dst) else {
        return Vec::new();
    };
    let coming = rondo_domain::plan::upcoming(definition, &schedule.state, count);
    let view = |(number, nominal, due): (u32, _, rondo_domain::time::Timestamp)| {
        let mut view = view::instant(nominal, &rule.explain(nominal));
        view.insert("occurrence".to_owned(), number.into());
        view.insert("due_at".to_owned(), due.to_string().into());
        Value::Object(view)
    };
    coming.into_iter().map(view).collect()
}
