//! `POST /v1/schedules/batch`: many schedules in one request, each with an answer of its own.

use super::{definition, idempotency::GivenKey, view};
use crate::{
    access::Caller,
    answer::Json,
    body::BatchBody,
    fields::{At, Faults, Object, kind},
    problem::Problem,
    query::Query,
};
use rondo_domain::engine::Made;
use serde_json::{Value, json};

const MAX_BATCH: usize = 100;
/// The answers stand in the order of the schedules. One that is refused keeps back none of the others. An
/// idempotency key holds for each of them by its place: asked for again, what was made is answered, and what was
/// not is tried again.
pub async fn create(
    caller: Caller,
    query: Query,
    key: GivenKey,
    BatchBody(body): BatchBody,
) -> Result<Json, Problem> {
    query.allow_only(&[], &[])?;
    let Caller { api, app, base } = &caller;
    let now = api.engine.now();
    let mut drafts = Vec::new();
    let read = |(index, body)| match definition::read(body, api, app, now) {
        Ok(draft) => {
            drafts.push((draft, key.part(index, body, now)));
            None
        }
        Err(problem) => Some(refused(index, problem)),
    };
    let refusals: Vec<Option<Value>> = schedules_of(&body)?.iter().enumerate().map(read).collect();
    let mut made = api.engine.create_many(app, drafts).await.into_iter();
    let answer = |(index, refusal): (usize, Option<Value>)| {
        refusal.or_else(|| {
            Some(match made.next()? {
                Ok(Made { schedule, replayed }) => {
                    json!({"status": 201, "replayed": replayed, "schedule": view::schedule(&schedule, base)})
                }
                Err(error) => refused(index, error.into()),
            })
        })
    };
    let results: Vec<Value> = refusals.into_iter().enumerate().filter_map(answer).collect();
    Ok(Json(json!({"results": results})))
}

/// Its pointers begin at the batch's body, as the client sees it.
fn refused(index: usize, problem: Problem) -> Value {
    let problem = problem.within(&format!("/schedules/{index}"));
    json!({"status": problem.status().as_u16(), "problem": problem.to_json()})
}

fn schedules_of(body: &Value) -> Result<&[Value], Problem> {
    let mut faults = Faults::default();
    let schedules = Object::of(body, At::ROOT, &mut faults).and_then(|object| {
        object.allow_only(&["schedules"], &mut faults);
        match object.required("schedules", &mut faults)? {
            Value::Array(schedules) if (1..=MAX_BATCH).contains(&schedules.len()) => {
                Some(schedules.as_slice())
            }
            Value::Array(schedules) => {
                let detail = format!("must hold 1 to {MAX_BATCH} schedules, not {}", schedules.len());
                faults.add(object.at("schedules"), detail);
                None
            }
            other => {
                faults.add(object.at("schedules"), format!("must be an array, not {}", kind(other)));
                None
            }
        }
    });
    faults.check(schedules)
}
