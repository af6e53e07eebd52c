//! How the recurring-callback contract says that something is wrong.

use crate::{
    Api,
    body::JsonBody,
    problem::{Code, FieldFault, Place, Problem},
};
use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    response::{IntoResponse, Response},
};
use http::{header, request::Parts};
use serde_json::{Value, json};
use std::sync::Arc;

/// `{"error":{"code","message","details","field"},"isError":true}`.
#[derive(Debug)]
pub struct Refusal(pub Problem);

impl<E: Into<Problem>> From<E> for Refusal {
    fn from(problem: E) -> Self {
        Refusal(problem.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Refusal(problem) = self;
        let status = problem.status();
        let message = match problem.code {
            Code::MalformedJson | Code::Invalid | Code::InvalidCursor => "Value Error",
            _ => status.canonical_reason().unwrap_or("Error"),
        };
        let field = problem.errors.first().map(field_name).filter(|field| !field.is_empty());
        let body = json!({
            "error": {"code": status.as_u16(), "message": message, "details": problem.detail, "field": field},
            "isError": true,
        });
        let kind = [(header::CONTENT_TYPE, "application/json")];
        let mut response = (status, kind, body.to_string()).into_response();
        problem.add_headers(&mut response);
        response
    }
}

/// The client's own spelling, dotted where it lies deeper.
fn field_name(fault: &FieldFault) -> String {
    match &fault.place {
        Place::Pointer(pointer) => pointer.trim_start_matches('/').replace('/', "."),
        Place::Parameter(name) | Place::Header(name) => name.clone(),
    }
}

/// An extractor whose refusal takes this contract's form.
pub struct In<T>(pub T);

impl<T> FromRequestParts<Arc<Api>> for In<T>
where
    T: FromRequestParts<Arc<Api>, Rejection = Problem> + Send,
{
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Refusal> {
        Ok(In(T::from_request_parts(parts, api).await?))
    }
}

/// A body whose refusal takes this contract's form.
pub struct Input(pub Value);

impl FromRequest<Arc<Api>> for Input {
    type Rejection = Refusal;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Refusal> {
        let JsonBody(value) = JsonBody::from_request(request, api).await?;
        Ok(Input(value))
    }
}
