//! The native API, `/v1`: where everything can be said.

mod account;
mod batch;
mod definition;
mod executions;
mod idempotency;
mod preview;
mod schedules;
pub(crate) mod target;
mod trigger;
mod view;

pub(crate) use definition::MAX_NAME;

use crate::{Api, fallback, routes::Routes};
use axum::{
    Router,
    routing::{get, post},
};
use std::sync::Arc;

/// This surface alone.
pub fn router(api: Arc<Api>) -> Router {
    fallback::around(routes()).with_state(api)
}

pub(crate) fn routes() -> Router<Arc<Api>> {
    let one = get(schedules::show).patch(schedules::update).delete(schedules::cancel);
    Router::new()
        .at("/v1/schedules", get(schedules::list).post(schedules::create))
        .at("/v1/schedules/batch", post(batch::create))
        .at("/v1/schedules/{id}", one)
        .at("/v1/schedules/{id}/pause", post(schedules::pause))
        .at("/v1/schedules/{id}/resume", post(schedules::resume))
        .at("/v1/schedules/{id}/run", post(schedules::run))
        .at("/v1/schedules/{id}/executions", get(executions::list))
        .at("/v1/schedules/{id}/upcoming", get(schedules::upcoming))
        .at("/v1/executions/{id}", get(executions::show))
        .at("/v1/executions/{id}/redeliver", post(executions::redeliver))
        .at("/v1/preview", post(preview::preview))
        .at("/v1/stats", get(account::stats))
        .at("/v1/app", get(account::app))
        .at("/healthz", get(account::health))
}
