//! The HTTP surfaces over the domain's use cases: one axum router for each, the same in Lambda and in `serve`.
//! Nothing here knows sockets, databases or HTTP clients.
//!
//! Reading order: [`problem`] (how a refusal looks), `json` and `fields` (how a body is read), `access` (who
//! asks), then [`native`] (`/v1`), [`requests`] (the recurring-callback contract) and [`pushes`] (the scheduled-push contract).
//! [`admin`] has no route.

mod access;
pub mod admin;
mod answer;
mod base;
mod body;
mod fallback;
mod fields;
mod json;
pub mod native;
pub mod problem;
pub mod pushes;
mod query;
pub mod requests;
mod routes;

pub use base::BasePath;
pub use problem::{Code, FieldFault, Problem};

use axum::Router;
use rondo_domain::{call::TargetRules, engine::Engine, time::Span};
use std::sync::Arc;

/// Everything that the surfaces need.
pub struct Api {
    pub engine: Engine,
    /// What may be a target, and which headers may be sent.
    pub rules: Arc<dyn TargetRules>,
    pub settings: ApiSettings,
}

#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// The shortest interval of the recurring-callback contract; the native API takes what the domain takes.
    pub minimum_interval: Span,
    /// The base of links in answers; none: as the caller addressed the API.
    pub public_url: Option<String>,
    /// The largest body that is read, in bytes.
    pub body_limit: usize,
}

impl Default for ApiSettings {
    fn default() -> Self {
        ApiSettings { minimum_interval: Span::from_millis(300), public_url: None, body_limit: 256 * 1024 }
    }
}

/// Every surface, with answers in the right form for paths that belong to none.
pub fn router(api: Arc<Api>) -> Router {
    fallback::around(native::routes().merge(requests::routes()).merge(pushes::routes())).with_state(api)
}
