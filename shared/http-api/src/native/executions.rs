//! Handlers of executions: a schedule's, one whole, and delivering one again.

use super::{
    schedules::{DEFAULT_PAGE, MAX_PAGE},
    view,
};
use crate::{
    access::Caller,
    answer::Json,
    body::PathId,
    fields::quoted,
    problem::Problem,
    query::{Query, Scope},
};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use rondo_domain::{
    engine::ExecutionFilter,
    execution::{Execution, ExecutionStatus},
    ids::{ExecutionId, ScheduleId},
};
use serde_json::{Value, json};

pub async fn list(caller: Caller, PathId(id): PathId<ScheduleId>, query: Query) -> Result<Json, Problem> {
    query.allow_only(&["status", "limit", "cursor"], &[])?;
    let status = query.get("status").map(parse_status).transpose()?;
    let filters = [("schedule", &*id.to_string()), ("status", status.map_or("", ExecutionStatus::as_str))];
    let scope = Scope::of(&caller.app.key, "executions", &filters);
    let filter = ExecutionFilter {
        status,
        newest_first: true,
        after: scope.position::<ExecutionId>(&query)?,
        limit: query.whole("limit", 1..=MAX_PAGE, DEFAULT_PAGE)?,
    };
    let page = caller.api.engine.executions(&caller.app.key, id, &filter).await?;
    let views: Vec<Value> = page.items.iter().map(|item| view::execution(item, &caller.base)).collect();
    let next = page.next.map(|id| scope.cursor(&id.to_string()));
    Ok(Json(json!({"executions": views, "next_cursor": next})))
}

fn parse_status(text: &str) -> Result<ExecutionStatus, Problem> {
    ExecutionStatus::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
        let words = ExecutionStatus::ALL.map(ExecutionStatus::as_str).join(", ");
        Problem::parameter("status", format!("must be one of {words}, not {}", quoted(text)))
    })
}

pub async fn show(caller: Caller, PathId(id): PathId<ExecutionId>) -> Result<Json, Problem> {
    let execution = caller.api.engine.execution(&caller.app.key, id).await?;
    Ok(Json(view::execution_whole(&execution, &caller.base)))
}

pub async fn redeliver(caller: Caller, PathId(id): PathId<ExecutionId>) -> Result<Response, Problem> {
    let execution = caller.api.engine.redeliver(&caller.app.key, id).await?;
    Ok(accepted(&execution, &caller.base))
}

/// An execution that is about to be attempted.
pub fn accepted(execution: &Execution, base: &str) -> Response {
    let location = view::execution_link(base, execution);
    let view = Json(view::execution_whole(execution, base));
    (StatusCode::ACCEPTED, [(header::LOCATION, location)], view).into_response()
}
