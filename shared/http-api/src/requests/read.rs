//! Lists of requests and executions.

use super::{
    create::refuse_slips,
    form::{In, Input, Refusal},
};
use crate::{
    Api,
    access::{self, Caller},
    answer::Json,
    fields::{At, Faults, Object, quoted},
    problem::{Code, Problem},
    query::Query,
};
use axum::extract::{FromRequestParts, State};
use http::request::Parts;
use rondo_domain::{
    contract::{execution_view, parse_status, request_view, status_name},
    engine::ExecutionFilter,
    ids::{AppKey, ExecutionId, ScheduleId},
    ports::{Schedule, ScheduleQuery},
    schedule::Contract,
    state::Status,
};
use serde_json::Value;
use std::sync::Arc;

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 1000;

/// What a caller may see.
pub enum Sight {
    /// What this contract has made for the app.
    App(AppKey),
    /// By the token of a callback's link: this schedule, whoever made it.
    One(Box<Schedule>),
}

impl Sight {
    /// A valid token for `id` needs no credentials; whatever else needs them.
    pub async fn of(api: &Api, parts: &Parts, query: &Query) -> Result<Self, Problem> {
        if let Some(token) = query.get("token")
            && let Some(id) = query.get("requestId").and_then(|id| id.parse::<ScheduleId>().ok())
            && api.engine.links.admits(id, token)
            && let Some(schedule) = api.engine.schedules.load(id).await?
        {
            return Ok(Sight::One(Box::new(schedule)));
        }
        Ok(Sight::App(access::authenticate(api, &parts.headers).await?.key.clone()))
    }

    /// The request `id`; none where it is unknown, foreign or not of this contract.
    pub async fn request(self, api: &Api, id: &str) -> Result<Option<Schedule>, Problem> {
        match self {
            Sight::One(schedule) => Ok(Some(*schedule)),
            Sight::App(app) => request(api, &app, id).await,
        }
    }
}

pub async fn request(api: &Api, app: &AppKey, id: &str) -> Result<Option<Schedule>, Problem> {
    let Ok(id) = id.parse::<ScheduleId>() else {
        return Ok(None);
    };
    match api.engine.schedule(app, id).await.map_err(Problem::from) {
        Ok(schedule) => Ok(Some(schedule).filter(|schedule| schedule.definition.request.is_some())),
        Err(problem) if problem.code == Code::NotFound => Ok(None),
        Err(problem) => Err(problem),
    }
}

pub async fn get_list(State(api): State<Arc<Api>>, mut parts: Parts) -> Result<Json, Refusal> {
    let Ok(query) = Query::from_request_parts(&mut parts, &api).await;
    let sight = Sight::of(&api, &parts, &query).await?;
    let status =
        query.get("status").map(|text| status(text).map_err(|why| Problem::parameter("status", why)));
    let status = status.transpose()?;
    let limit = query.whole("limit", 1..=MAX_LIMIT, DEFAULT_LIMIT)?;
    let id = query.get("requestId");
    if id.is_none() && status.is_none() {
        return Err(Problem::parameter("requestId", "is required, or status").into());
    }
    Ok(found(&api, sight, id, status, limit).await?)
}

pub async fn list(In(caller): In<Caller>, Input(body): Input) -> Result<Json, Refusal> {
    let mut faults = Faults::default();
    let object = Object::of(&body, At::ROOT, &mut faults);
    let wanted = object.map(|object| {
        refuse_slips(&object, &["requestId", "status", "limit"], &mut faults);
        let id = object.text("requestId", &mut faults);
        let status = object
            .text("status", &mut faults)
            .and_then(|text| status(text).map_err(|detail| faults.add(object.at("status"), detail)).ok());
        (id, status, limit(&object, &mut faults))
    });
    let (id, status, limit) = faults.check(wanted)?;
    let sight = Sight::App(caller.app.key.clone());
    Ok(found(&caller.api, sight, id, status, limit).await?)
}

fn limit(object: &Object<'_>, faults: &mut Faults) -> usize {
    object.whole("limit", 1..=MAX_LIMIT as u64, faults).map_or(DEFAULT_LIMIT, |limit| limit as usize)
}

fn status(text: &str) -> Result<Status, String> {
    parse_status(text).ok_or_else(|| {
        let words = Status::ALL.map(status_name).join(", ");
        format!("must be one of {words}, not {}", quoted(text))
    })
}

async fn found(
    api: &Api,
    sight: Sight,
    id: Option<&str>,
    status: Option<Status>,
    limit: usize,
) -> Result<Json, Problem> {
    let schedules = match (id, sight) {
        (Some(id), sight) => {
            let schedule = sight.request(api, id).await?;
            let fits = |schedule: &Schedule| status.is_none_or(|status| schedule.state.status == status);
            schedule.into_iter().filter(fits).collect()
        }
        (None, Sight::One(schedule)) => vec![*schedule],
        (None, Sight::App(app)) => newest(api, app, status, limit).await?,
    };
    let view = |schedule: &Schedule| request_view(&schedule.definition, &schedule.state);
    Ok(Json(Value::Array(schedules.iter().map(view).collect())))
}

async fn newest(
    api: &Api,
    app: AppKey,
    status: Option<Status>,
    limit: usize,
) -> Result<Vec<Schedule>, Problem> {
    let (contract, before) = (Some(Contract::Requests), None);
    let mut query = ScheduleQuery { app, status, name: None, tags: Vec::new(), contract, before, limit };
    let mut schedules = Vec::new();
    loop {
        let page = api.engine.schedules(&query).await?;
        schedules.extend(page.items);
        let (Some(next), true) = (page.next, schedules.len() < limit) else {
            schedules.truncate(limit);
            return Ok(schedules);
        };
        query.before = Some(next);
        query.limit = limit - schedules.len();
    }
}

pub async fn executions(In(caller): In<Caller>, Input(body): Input) -> Result<Json, Refusal> {
    let Caller { api, app, .. } = &caller;
    let mut faults = Faults::default();
    let object = Object::of(&body, At::ROOT, &mut faults);
    let wanted = object.and_then(|object| {
        refuse_slips(&object, &["requestId", "limit", "after"], &mut faults);
        object.required("requestId", &mut faults);
        let id = object.text("requestId", &mut faults);
        let limit = limit(&object, &mut faults);
        let after = object.text("after", &mut faults).and_then(|text| {
            let after: Option<ExecutionId> = text.parse().ok();
            let after = after.filter(|after| id.is_none_or(|id| id.parse() == Ok(after.schedule)));
            if after.is_none() {
                faults.add(object.at("after"), "must be the executionId of one of the request's executions");
            }
            after
        });
        Some((id?, limit, after))
    });
    let (id, limit, after) = faults.check(wanted)?;
    let Some(schedule) = request(api, &app.key, id).await? else {
        return Ok(Json(Value::Array(Vec::new())));
    };
    let mut filter = ExecutionFilter { status: None, newest_first: false, after, limit };
    let mut views = Vec::new();
    loop {
        let page = api.engine.executions(&app.key, schedule.definition.id, &filter).await?;
        views.extend(page.items.iter().map(execution_view));
        let (Some(next), true) = (page.next, views.len() < limit) else {
            return Ok(Json(Value::Array(views)));
        };
        filter.after = Some(next);
        filter.limit = limit - views.len();
    }
}
