//! Cancelling, updating and commenting.

use super::{
    create::{interval, name, occurrences, payload},
    form::{In, Input, Refusal},
    read::{self, Sight},
};
use crate::{
    Api,
    access::Caller,
    answer::Json,
    base,
    fields::{At, Faults, Object, quoted},
    native::target,
    problem::{Code, FieldFault, Place, Problem},
    query::Query,
};
use axum::{
    extract::{FromRequestParts, Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, header, request::Parts};
use rondo_domain::{
    change::ChangeRefused,
    contract::{parse_status, request_view, status_name},
    engine::Error,
    ids::ExecutionId,
    ports::Schedule,
    schedule::{Body, Definition, HttpTarget, Target},
    state::Status,
    time::{Span, Timestamp},
    trigger::{Interval, Trigger},
};
use serde_json::{Value, json};
use std::sync::Arc;
use url::Url;

/// Of a comment, in bytes.
const MAX_COMMENT: usize = 2048;

pub async fn cancel(State(api): State<Arc<Api>>, mut parts: Parts) -> Result<Response, Refusal> {
    if parts.method == Method::HEAD {
        // The router takes HEAD for GET; but whoever only looks at a link must not cancel by it.
        let problem = Problem::new(Code::MethodNotAllowed, "only GET cancels");
        let mut response = Refusal(problem).into_response();
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
        return Ok(response);
    }
    let Ok(query) = Query::from_request_parts(&mut parts, &api).await;
    let sight = Sight::of(&api, &parts, &query).await?;
    let id = query.get("requestId").ok_or_else(|| Problem::parameter("requestId", "is required"))?;
    let schedule = sight.request(&api, id).await?.ok_or_else(|| Problem::not_found("request"))?;
    let definition = &schedule.definition;
    let managed = api.engine.cancel(&definition.app, definition.id, None).await?;
    let link = api.engine.links.at(&base::of(&api, &parts)).show(definition.id);
    let answer = json!({"result": "request sent", "show-request": link, "inFlight": managed.in_flight});
    Ok(Json(answer).into_response())
}

pub async fn update_by_query(
    In(caller): In<Caller>,
    query: Query,
    Input(body): Input,
) -> Result<Json, Refusal> {
    let id = query.get("requestId").ok_or_else(|| Problem::parameter("requestId", "is required"))?;
    update_request(&caller, id, &body).await
}

pub async fn update(
    In(caller): In<Caller>,
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
    Input(body): Input,
) -> Result<Json, Refusal> {
    let Path(id) = path.map_err(|_| Problem::not_found("request"))?;
    update_request(&caller, &id, &body).await
}

/// What an update says; fields outside are absent, inside `null`.
struct Changes {
    status: Option<Status>,
    name: Option<Option<String>>,
    payload: Option<Option<Value>>,
    url: Option<Url>,
    every: Option<Span>,
    occurrences: Option<Option<u32>>,
    method: Option<rondo_domain::call::Method>,
    on_failure: Option<Option<Url>>,
}

async fn update_request(caller: &Caller, id: &str, body: &Value) -> Result<Json, Refusal> {
    let Caller { api, app, .. } = caller;
    let mut faults = Faults::default();
    let changes = read(body, api, &mut faults);
    let changes = faults.check(changes)?;
    let schedule = read::request(api, &app.key, id).await?;
    let mut schedule = schedule.ok_or_else(|| Problem::not_found("request"))?;
    let id = schedule.definition.id;
    if schedule.state.status.has_ended() {
        return Err(Error::from(ChangeRefused::Ended(schedule.state.status)).into());
    }
    if changes.edits() {
        let now = api.engine.now();
        let edit = |current: &Schedule| Ok(changes.applied_to(&current.definition, now));
        let updated = api.engine.update(app, id, now, edit).await;
        schedule = updated.map_err(|error| in_own_words(error.into()))?.schedule;
    }
    let changed = match changes.status {
        Some(Status::Canceled) => Some(api.engine.cancel(&app.key, id, None).await?),
        Some(Status::Paused) => Some(api.engine.pause(&app.key, id).await?),
        Some(_) => Some(api.engine.resume(&app.key, id).await?),
        None => None,
    };
    let schedule = changed.map_or(schedule, |managed| managed.schedule);
    Ok(Json(request_view(&schedule.definition, &schedule.state)))
}

const FIELDS: [&str; 8] = [
    "status",
    "payload",
    "name",
    "return_url",
    "interval",
    "occurrences",
    "callback_type",
    "notify_status_not_ok",
];

fn read(body: &Value, api: &Api, faults: &mut Faults) -> Option<Changes> {
    let object = Object::of(body, At::ROOT, faults)?;
    object.allow_only(&FIELDS, faults);
    if object.members().is_empty() {
        faults.add(At::ROOT, format!("must hold at least one of {}", FIELDS.join(", ")));
    }
    let has = |name: &str| object.raw(name).is_some();
    for name in ["status", "return_url", "interval", "callback_type"].into_iter().filter(|name| has(name)) {
        object.required(name, faults);
    }
    let rules = &*api.rules;
    Some(Changes {
        status: status(&object, faults),
        name: has("name").then(|| name(&object, faults)),
        payload: has("payload").then(|| payload(&object, faults)),
        url: target::read_url(&object, "return_url", rules, faults),
        every: interval(&object, api, faults),
        occurrences: has("occurrences").then(|| occurrences(&object, faults)),
        method: has("callback_type").then(|| target::read_method(&object, "callback_type", faults)),
        on_failure: has("notify_status_not_ok")
            .then(|| target::read_url(&object, "notify_status_not_ok", rules, faults)),
    })
}

fn status(object: &Object<'_>, faults: &mut Faults) -> Option<Status> {
    let text = object.text("status", faults)?;
    let settable = [Status::Canceled, Status::Paused, Status::Active];
    let status = parse_status(text).filter(|status| settable.contains(status));
    if status.is_none() {
        let words = settable.map(status_name).join(", ");
        faults.add(object.at("status"), format!("must be one of {words}, not {}", quoted(text)));
    }
    status
}

impl Changes {
    /// Whether anything but the status changes.
    fn edits(&self) -> bool {
        self.name.is_some()
            || self.payload.is_some()
            || self.url.is_some()
            || self.every.is_some()
            || self.occurrences.is_some()
            || self.method.is_some()
            || self.on_failure.is_some()
    }

    fn apply_to_target(&self, target: &mut HttpTarget) {
        if let Some(payload) = &self.payload {
            target.body = Body::Envelope { payload: payload.clone() };
        }
        if let Some(url) = &self.url {
            target.url = url.clone();
        }
        if let Some(method) = self.method {
            target.method = method;
        }
    }

    fn applied_to(&self, current: &Definition, now: Timestamp) -> Definition {
        let mut definition = current.clone();
        if let Some(name) = &self.name {
            definition.name.clone_from(name);
        }
        // What this contract made calls somebody.
        if let Target::Http(target) = &mut definition.target {
            self.apply_to_target(target);
        }
        if let Some(every) = self.every {
            definition.trigger = Trigger::Interval(match current.trigger {
                Trigger::Interval(interval) => Interval { every, ..interval },
                _ => Interval { every, first: now, end: None },
            });
        }
        if let Some(occurrences) = self.occurrences {
            definition.occurrences = occurrences;
        }
        if let Some(url) = &self.on_failure {
            definition.delivery.on_failure.clone_from(url);
        }
        definition
    }
}

/// Here the field is called otherwise, and too few occurrences are a wrong value.
fn in_own_words(problem: Problem) -> Problem {
    match problem.code {
        Code::FewerThanStarted => {
            let detail = problem.detail.strip_prefix("occurrences ").unwrap_or(&problem.detail).to_owned();
            let place = Place::Pointer("/occurrences".to_owned());
            Problem::invalid(vec![FieldFault { place, detail }])
        }
        Code::Invalid => {
            let own = |fault: FieldFault| match &fault.place {
                Place::Pointer(pointer) if pointer.starts_with("/trigger/") => {
                    FieldFault { place: Place::Pointer("/interval".to_owned()), detail: fault.detail }
                }
                _ => fault,
            };
            Problem::invalid(problem.errors.into_iter().map(own).collect())
        }
        _ => problem,
    }
}

/// Of any execution of the app's: the native API has no way of its own to comment.
pub async fn comment(In(caller): In<Caller>, Input(body): Input) -> Result<Json, Refusal> {
    let Caller { api, app, .. } = &caller;
    let mut faults = Faults::default();
    let wanted = Object::of(&body, At::ROOT, &mut faults).and_then(|object| {
        super::create::refuse_slips(&object, &["executionId", "comment"], &mut faults);
        object.required("executionId", &mut faults);
        object.required("comment", &mut faults);
        let id = object.text("executionId", &mut faults);
        let comment = object.text("comment", &mut faults);
        if let Some(comment) = comment
            && !(1..=MAX_COMMENT).contains(&comment.len())
        {
            let detail = format!("must have 1 to {MAX_COMMENT} bytes, not {}", comment.len());
            faults.add(object.at("comment"), detail);
        }
        Some((id?, comment?))
    });
    let (id, comment) = faults.check(wanted)?;
    let id: ExecutionId = id.parse().map_err(|_| Problem::not_found("execution"))?;
    api.engine.comment(&app.key, id, comment).await?;
    Ok(Json(json!({"result": "comment added"})))
}
