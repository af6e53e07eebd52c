//! Routes that do not mind a slash at the end.

use crate::Api;
use axum::{Router, routing::MethodRouter};
use std::sync::Arc;

pub trait Routes {
    /// `path` with and without a slash at its end.
    fn at(self, path: &str, methods: MethodRouter<Arc<Api>>) -> Self;
}

impl Routes for Router<Arc<Api>> {
    fn at(self, path: &str, methods: MethodRouter<Arc<Api>>) -> Self {
        self.route(path, methods.clone()).route(&format!("{path}/"), methods)
    }
}
