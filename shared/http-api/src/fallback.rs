//! Answers for what no route takes, in the form of the surface that the path belongs to.

use crate::{
    Api,
    problem::{Code, Problem},
    pushes, requests,
};
use axum::{
    Router,
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode, Uri};
use std::sync::Arc;

/// Adds them. OPTIONS answers with the methods that a path takes.
pub fn around(routes: Router<Arc<Api>>) -> Router<Arc<Api>> {
    routes.method_not_allowed_fallback(other_method).fallback(unknown_path)
}

async fn unknown_path(uri: Uri) -> Response {
    refuse(&uri, Problem::new(Code::NotFound, format!("there is nothing at {}", uri.path())))
}

/// The router adds `Allow`.
async fn other_method(method: Method, uri: Uri) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    let detail = format!("{} does not take {method}; Allow says what it takes", uri.path());
    refuse(&uri, Problem::new(Code::MethodNotAllowed, detail))
}

fn refuse(uri: &Uri, problem: Problem) -> Response {
    let first = uri.path().split('/').nth(1).unwrap_or_default();
    if requests::ROOTS.contains(&first) {
        requests::Refusal(problem).into_response()
    } else if pushes::ROOTS.contains(&first) {
        pushes::refuse(uri, problem)
    } else {
        problem.into_response()
    }
}
