//! The recurring-callback contract: `/set`, `/requests`, `/executions`. With Basic credentials it shows what it
//! made itself; with the token of a callback's link, the one schedule that the link is about.

mod create;
mod form;
mod listeners;
mod manage;
mod read;

pub(crate) use form::Refusal;

use crate::{Api, fallback, routes::Routes};
use axum::{
    Router,
    routing::{get, post, put},
};
use std::sync::Arc;

/// The first segments of this surface's paths.
pub(crate) const ROOTS: [&str; 3] = ["set", "requests", "executions"];

/// This surface alone.
pub fn router(api: Arc<Api>) -> Router {
    fallback::around(routes()).with_state(api)
}

pub(crate) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .at("/set/notifier", post(create::create))
        .at("/set/connection", post(listeners::connect))
        .at("/set/execution/comment", post(manage::comment))
        .at("/requests", put(manage::update_by_query))
        .at("/requests/get_list", get(read::get_list))
        .at("/requests/list", post(read::list))
        .at("/requests/cancel_task", get(manage::cancel))
        .at("/requests/{id}", put(manage::update))
        .at("/executions/list", post(read::executions))
}
