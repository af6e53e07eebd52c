//! How the scheduled-push contract says that something is wrong: `{"error":{"code":28100,"message":"…"}}`, in the
//! codes of schedules or in those of pushes, devices, tags and aliases.

use crate::{
    Api,
    body::JsonBody,
    problem::{Code, Problem},
};
use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, Uri, header, request::Parts};
use rondo_domain::push::{
    outcome::PushError,
    rules::{BAD_VALUE, INVALID, NOBODY_LEFT, TOO_LARGE, UNKNOWN_SCHEDULE},
};
use serde_json::{Value, json};
use std::{marker::PhantomData, sync::Arc};

/// Whose codes a refusal takes.
pub trait Codes: Send + Sync + 'static {
    fn of(problem: &Problem) -> (StatusCode, u32);
}

/// `/v4/schedules`.
#[derive(Debug)]
pub struct Schedules;

impl Codes for Schedules {
    fn of(problem: &Problem) -> (StatusCode, u32) {
        match problem.code {
            Code::Unauthorized => (StatusCode::UNAUTHORIZED, 28_101),
            Code::NotFound => (StatusCode::NOT_FOUND, UNKNOWN_SCHEDULE),
            Code::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, INVALID),
            Code::Conflict | Code::Unavailable | Code::StorageFull => {
                (StatusCode::SERVICE_UNAVAILABLE, 28_203)
            }
            Code::Internal => (StatusCode::INTERNAL_SERVER_ERROR, 28_200),
            _ => (StatusCode::BAD_REQUEST, INVALID),
        }
    }
}

/// `/v4/push`, devices, tags and aliases.
#[derive(Debug)]
pub struct Pushes;

/// The registry knows no such device, or it is no registration id at all.
pub const UNKNOWN_DEVICE: u32 = 20_101;

impl Codes for Pushes {
    fn of(problem: &Problem) -> (StatusCode, u32) {
        match problem.code {
            Code::Unauthorized => (StatusCode::UNAUTHORIZED, 21_004),
            Code::NotFound => (StatusCode::NOT_FOUND, UNKNOWN_DEVICE),
            Code::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, 21_001),
            Code::BodyTooLarge | Code::TooLarge => (StatusCode::BAD_REQUEST, TOO_LARGE),
            Code::Conflict | Code::Unavailable | Code::StorageFull => {
                (StatusCode::SERVICE_UNAVAILABLE, 21_030)
            }
            Code::Internal => (StatusCode::INTERNAL_SERVER_ERROR, 27_000),
            _ => (StatusCode::BAD_REQUEST, BAD_VALUE),
        }
    }
}

#[derive(Debug)]
pub struct Refusal<C> {
    status: StatusCode,
    error: PushError,
    /// Why, where it was not the contract's own rules: it may bring headers.
    problem: Option<Problem>,
    codes: PhantomData<C>,
}

impl<C> Refusal<C> {
    pub fn new(status: StatusCode, error: PushError) -> Self {
        Refusal { status, error, problem: None, codes: PhantomData }
    }
}

impl<C: Codes, E: Into<Problem>> From<E> for Refusal<C> {
    fn from(problem: E) -> Self {
        let problem = problem.into();
        let (status, code) = C::of(&problem);
        let error = PushError::new(code, problem.detail.clone());
        Refusal { status, error, problem: Some(problem), codes: PhantomData }
    }
}

/// One of the contract's rules is broken.
impl<C> From<PushError> for Refusal<C> {
    fn from(error: PushError) -> Self {
        let status = match error.code {
            UNKNOWN_SCHEDULE | NOBODY_LEFT => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        };
        Refusal::new(status, error)
    }
}

impl<C> IntoResponse for Refusal<C> {
    fn into_response(self) -> Response {
        let PushError { code, message } = self.error;
        let body = json!({"error": {"code": code, "message": message}}).to_string();
        let kind = [(header::CONTENT_TYPE, "application/json")];
        let mut response = (self.status, kind, body).into_response();
        if let Some(problem) = self.problem {
            problem.add_headers(&mut response);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// For what no route takes.
pub(crate) fn refuse(uri: &Uri, problem: Problem) -> Response {
    let second = uri.path().split('/').nth(2).unwrap_or_default();
    if second == "schedules" || second.is_empty() {
        Refusal::<Schedules>::from(problem).into_response()
    } else if problem.code == Code::NotFound {
        // No device is meant.
        let error = PushError::new(BAD_VALUE, problem.detail);
        Refusal::<Pushes>::new(StatusCode::NOT_FOUND, error).into_response()
    } else {
        Refusal::<Pushes>::from(problem).into_response()
    }
}

/// An extractor whose refusal takes this contract's form.
pub struct In<C, T>(pub T, pub PhantomData<C>);

impl<C, T> FromRequestParts<Arc<Api>> for In<C, T>
where
    C: Codes,
    T: FromRequestParts<Arc<Api>, Rejection = Problem> + Send,
{
    type Rejection = Refusal<C>;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Refusal<C>> {
        Ok(In(T::from_request_parts(parts, api).await?, PhantomData))
    }
}

/// A body whose refusal takes this contract's form.
pub struct Input<C>(pub Value, pub PhantomData<C>);

impl<C: Codes> FromRequest<Arc<Api>> for Input<C> {
    type Rejection = Refusal<C>;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Refusal<C>> {
        let JsonBody(value) = JsonBody::from_request(request, api).await?;
        Ok(Input(value, PhantomData))
    }
}
