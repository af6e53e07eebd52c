//! `GET /v4/schedules?page=`: the valid ones, fifty a page, oldest first.

use super::{
    form::{In, Schedules},
    schedules::{Refused, view},
};
use crate::{Api, access::Caller, answer::Json, problem::Problem, query::Query};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::request::Parts;
use rondo_domain::{
    engine::Error,
    ids::{AppKey, ScheduleId},
    ports::{Schedule, ScheduleQuery},
    push::rules::schedule::is_valid,
    schedule::Contract,
    state::Status,
    time::Timestamp,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const PAGE: usize = 50;
/// So many are read from the store in one go.
const READ: usize = 200;
/// So many of a page are loaded at once.
const AT_ONCE: usize = 10;
/// Whatever has not ended. One that changes its status meanwhile is still found: whatever it was and becomes, one of
/// these is read before the change and the other after it.
const STATUSES: [Status; 4] = [Status::Paused, Status::Pending, Status::Active, Status::Paused];

/// The parameter `page`; what else the query holds is nobody's business.
pub struct AskedPage(u64);

impl axum::extract::FromRequestParts<std::sync::Arc<Api>> for AskedPage {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &std::sync::Arc<Api>) -> Result<Self, Problem> {
        let Ok(query) = Query::from_request_parts(parts, api).await;
        match query.get("page") {
            None | Some("") => Ok(AskedPage(1)),
            Some(text) => {
                let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                let page = text.parse().ok().filter(|page| digits && *page > 0);
                page.map(AskedPage).ok_or_else(|| {
                    let given = crate::fields::quoted(text);
                    Problem::parameter("page", format!("must be a whole number from 1 on, not {given}"))
                })
            }
        }
    }
}

pub async fn list(
    In(caller, _): In<Schedules, Caller>,
    In(AskedPage(page), _): In<Schedules, AskedPage>,
) -> Result<Json, Refused> {
    let Caller { api, app, .. } = &caller;
    let now = api.engine.now();
    let mut valid = BTreeSet::new();
    for_each(api, &app.key, &STATUSES, |schedule| {
        if is_valid(&schedule.definition, &schedule.state, now) {
            valid.insert(schedule.definition.id);
        }
    })
    .await?;
    let total = valid.len();
    let skipped = usize::try_from(page - 1).unwrap_or(usize::MAX).saturating_mul(PAGE);
    // Ids sort by creation. The schedules are loaded once it is known which: all of them may be large.
    let shown: Vec<ScheduleId> = valid.into_iter().skip(skipped).take(PAGE).collect();
    let loads = shown.into_iter().map(|id| async move {
        match api.engine.schedule(&app.key, id).await {
            Err(Error::NotFound(_)) => Ok(None),
            other => other.map(Some),
        }
    });
    let loaded: Vec<Option<Schedule>> = stream::iter(loads).buffered(AT_ONCE).try_collect().await?;
    let schedules: Vec<Value> = loaded
        .iter()
        .flatten()
        .filter(|schedule| is_valid(&schedule.definition, &schedule.state, now))
        .map(|schedule| view(&schedule.definition, schedule.state.status))
        .collect();
    Ok(Json(json!({
        "total_count": total,
        "total_pages": total.div_ceil(PAGE),
        "page": page,
        "schedules": schedules,
    })))
}

/// Ends what was paused until nothing of it was left. Whether there was any: it makes room.
pub(super) async fn end_expired(api: &Api, app: &AppKey, now: Timestamp) -> Result<bool, Refused> {
    let mut expired = Vec::new();
    for_each(api, app, &[Status::Paused], |schedule| {
        if !is_valid(&schedule.definition, &schedule.state, now) {
            expired.push(schedule.definition.id);
        }
    })
    .await?;
    for id in &expired {
        api.engine.cancel(app, *id, Some("expired while it was paused".to_owned())).await?;
    }
    Ok(!expired.is_empty())
}

async fn for_each(
    api: &Api,
    app: &AppKey,
    statuses: &[Status],
    mut look: impl FnMut(&Schedule),
) -> Result<(), Refused> {
    for status in statuses {
        let mut query = ScheduleQuery {
            app: app.clone(),
            status: Some(*status),
            name: None,
            tags: Vec::new(),
            contract: Some(Contract::Pushes),
            before: None,
            limit: READ,
        };
        loop {
            let page = api.engine.schedules(&query).await?;
            page.items.iter().for_each(&mut look);
            match page.next {
                Some(next) => query.before = Some(next),
                None => break,
            }
        }
    }
    Ok(())
}
