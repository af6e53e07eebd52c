//! The scheduled-push contract: `/v4/schedules`, `/v4/push`, and the devices that pushes are for, with their tags and
//! aliases. What a body may say is decided by `rondo_domain::push::rules`; what this surface made, it shows unchanged.
//!
//! Read on in [`form`] for refusals, [`schedules`], [`update`], [`list`] and [`messages`], then [`send`], [`devices`]
//! and [`names`].

mod devices;
mod form;
mod list;
mod messages;
mod names;
mod registration;
mod schedules;
mod send;
mod update;

pub(crate) use form::refuse;

use crate::{Api, fallback, routes::Routes};
use axum::{
    Router,
    routing::{get, post, put},
};
use std::sync::Arc;

/// The first segments of this surface's paths.
pub(crate) const ROOTS: [&str; 1] = ["v4"];

/// This surface alone.
pub fn router(api: Arc<Api>) -> Router {
    fallback::around(routes()).with_state(api)
}

pub(crate) fn routes() -> Router<Arc<Api>> {
    let schedule = get(schedules::show).put(update::update).delete(schedules::delete);
    let device = put(devices::put).get(devices::show).post(devices::mend).delete(devices::remove);
    Router::new()
        .at("/v4/schedules", get(list::list).post(schedules::create))
        .at("/v4/schedules/{id}", schedule)
        .at("/v4/schedules/{id}/msg-ids", get(messages::list))
        .at("/v4/push", post(send::send))
        .at("/v4/push/validate", post(send::validate))
        .at("/v4/devices/{id}", device)
        .at("/v4/devices/{id}/activity", post(devices::activity))
        .at("/v4/tags/{tag}", post(names::change_tag))
        .at("/v4/tags/{tag}/registration_ids/{id}", get(names::has_tag))
        .at("/v4/aliases/{alias}", get(names::of_alias))
}
