//! Reading a body up to the limit, as JSON whatever its Content-Type; and ids in paths.

use crate::{
    Api, json,
    problem::{Code, Problem},
};
use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Path, Request},
};
use http::{header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use rondo_domain::ids::{ExecutionId, ScheduleId};
use serde_json::Value;
use std::{str::FromStr, sync::Arc};

pub struct JsonBody(pub Value);

impl FromRequest<Arc<Api>> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        let bytes = read(request, api.settings.body_limit).await?;
        json::parse(&bytes).map(JsonBody)
    }
}

/// A batch may have so many times the bytes of one body: 1 MiB, unless the operator said otherwise. What it is
/// answered with then stays below the 6 MB that a Lambda function may answer.
const BATCH_BODIES: usize = 4;

/// The body of many requests in one.
pub struct BatchBody(pub Value);

impl FromRequest<Arc<Api>> for BatchBody {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        let bytes = read(request, api.settings.body_limit.saturating_mul(BATCH_BODIES)).await?;
        json::parse(&bytes).map(BatchBody)
    }
}

pub async fn read(request: Request<Body>, limit: usize) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(Code::BodyTooLarge, format!("a body has at most {limit} bytes"));
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()).and_then(|length| length.parse().ok());
    if announced.is_some_and(|length: usize| length > limit) {
        return Err(too_large());
    }
    match Limited::new(request.into_body(), limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(wrong) if wrong.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Problem::new(Code::MalformedJson, "the body ended before it was complete")),
    }
}

/// What an id in a path names.
pub trait Named: FromStr {
    const WHAT: &'static str;
}

impl Named for ScheduleId {
    const WHAT: &'static str = "schedule";
}

impl Named for ExecutionId {
    const WHAT: &'static str = "execution";
}

/// The id in the path; what is no id is as unknown as any other.
pub struct PathId<T>(pub T);

impl<T: Named + Send> FromRequestParts<Arc<Api>> for PathId<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, api).await;
        let id = text.ok().and_then(|Path(text)| text.parse().ok());
        id.map(PathId).ok_or_else(|| Problem::not_found(T::WHAT))
    }
}
