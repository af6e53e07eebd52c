//! The API behind an HTTP API of API Gateway (payload format 2.0): its event becomes a request for the surface's
//! router, the router's response becomes its answer.
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
//!
//! The conversion is `lambda_http`'s, but for the path, query and host: it panics where they are no URI as they stand
//! (the gateway decodes paths), resolves `..` and puts the stage before the path. It panics at base64 that is none,
//! too. In the answer a header's values are joined, of which its form holds one.

use crate::{
    StartError, World,
    event::{Incoming, WrongEvent},
};
use axum::{Router, body::Body};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response,
    header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, SET_COOKIE, TRANSFER_ENCODING},
};
use http_body_util::BodyExt as _;
use lambda_http::{
    LambdaEvent,
    aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse},
    lambda_runtime,
    request::LambdaRequest,
};
use rondo_http_api::{BasePath, native, pushes, requests};
use std::{mem, sync::Arc};
use tower::ServiceExt as _;

const TAKES: &str = "requests of an HTTP API of API Gateway, payload format 2.0";
const VERSION: &str = "2.0";
/// The stage that stands in no path.
const DEFAULT_STAGE: &str = "$default";

/// Which routes a function answers. Whatever else it is asked for, it answers as unknown in the right form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// `/v1/…` and `/healthz`.
    Native,
    /// `/set/…`, `/requests…` and `/executions…`.
    Requests,
    /// `/v4/…`.
    Pushes,
}

/// Answers requests until Lambda ends the process.
pub async fn serve(world: World, surface: Surface) -> Result<(), StartError> {
    let api = world.api_of();
    let routes = match surface {
        Surface::Native => native::router(api),
        Surface::Requests => requests::router(api),
        Surface::Pushes => pushes::router(api),
    };
    let telemetry = world.telemetry;
    lambda_runtime::run(lambda_runtime::service_fn(
        move |event: LambdaEvent<Incoming<ApiGatewayV2httpRequest>>| {
            let (routes, telemetry) = (routes.clone(), Arc::clone(&telemetry));
            async move {
                let answer = answer(routes, event.payload).await;
                telemetry.flush().await;
                answer
            }
        },
    ))
    .await
    .map_err(StartError::Runtime)
}

pub async fn answer(
    routes: Router,
    event: Incoming<ApiGatewayV2httpRequest>,
) -> Result<ApiGatewayV2httpResponse, WrongEvent> {
    let Incoming::Event(event) = event else {
        return Err(WrongEvent(TAKES));
    };
    let request = request_of(event).ok_or(WrongEvent(TAKES))?;
    let Ok(response) = routes.oneshot(request).await;
    Ok(answer_of(response).await)
}

/// None where the gateway could not have sent it: another format, base64 that is none.
fn request_of(mut event: ApiGatewayV2httpRequest) -> Option<Request<Body>> {
    let is_base64 = |body: &Option<String>| body.as_ref().is_none_or(|body| STANDARD.decode(body).is_ok());
    if event.version.as_deref() != Some(VERSION) || event.is_base64_encoded && !is_base64(&event.body) {
        return None;
    }
    let raw_path = event.raw_path.take().unwrap_or_default();
    let stage = event.request_context.stage.replace(DEFAULT_STAGE.to_owned());
    let (path, stage) = without_stage(&raw_path, stage.as_deref());
    let mut target = uri_text(path, b"/");
    if let Some(query) = event.raw_query_string.take().filter(|query| !query.is_empty()) {
        target.push('?');
        target.push_str(&uri_text(&query, b"/?"));
    }
    let target = target.parse().ok()?;
    // The router goes by the path; the host is for links alone, and must not keep a request from being read.
    let domain_name = event.request_context.domain_name.take();
    let mut headers = mem::take(&mut event.headers);
    let mut request = Request::from(LambdaRequest::ApiGatewayV2(event)).map(body_of);
    if let Some(cookies) = request.headers_mut().remove(COOKIE) {
        headers.insert(COOKIE, cookies);
    }
    if !headers.contains_key(HOST)
        && let Some(Ok(name)) = domain_name.as_deref().map(HeaderValue::try_from)
    {
        headers.insert(HOST, name);
    }
    *request.headers_mut() = headers;
    *request.uri_mut() = target;
    // The gateway's own domain shows its stages; behind a domain of one's own they are not seen.
    if let Some(stage) = stage.filter(|_| domain_name.is_some_and(|name| name.contains(".execute-api."))) {
        request.extensions_mut().insert(BasePath(stage.to_owned()));
    }
    Some(request)
}

fn body_of(body: lambda_http::Body) -> Body {
    match body {
        lambda_http::Body::Text(text) => Body::from(text),
        lambda_http::Body::Binary(bytes) => Body::from(bytes),
        _ => Body::empty(),
    }
}

async fn answer_of(response: Response<Body>) -> ApiGatewayV2httpResponse {
    let (parts, body) = response.into_parts();
    // A router's bodies are in memory: collecting them cannot fail.
    let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut answer = ApiGatewayV2httpResponse::default();
    answer.status_code = i64::from(parts.status.as_u16());
    for name in parts.headers.keys() {
        // The connection is the gateway's business, and so is how long what it sends is.
        if [CONNECTION, CONTENT_LENGTH, SET_COOKIE, TRANSFER_ENCODING].contains(name) {
            continue;
        }
        // Several values of one name, as one (RFC 9110, section 5.3).
        let values: Vec<&str> = texts(&parts.headers, name).collect();
        if let Ok(value) = HeaderValue::try_from(values.join(", ")) {
            answer.headers.insert(name, value);
        }
    }
    answer.cookies = texts(&parts.headers, &SET_COOKIE).map(str::to_owned).collect();
    (answer.body, answer.is_base64_encoded) = match String::from_utf8(bytes.into()) {
        Ok(text) => (Some(lambda_http::Body::Text(text)), false),
        Err(binary) => (Some(lambda_http::Body::Binary(binary.into_bytes())), true),
    };
    answer
}

/// The path as the router knows it, and the stage's part of it (`/prod`) where it had one.
fn without_stage<'p>(path: &'p str, stage: Option<&str>) -> (&'p str, Option<&'p str>) {
    let Some(stage) = stage.filter(|stage| !stage.is_empty() && *stage != DEFAULT_STAGE) else {
        return (path, None);
    };
    match path.strip_prefix('/').and_then(|rest| rest.strip_prefix(stage)) {
        Some("") => ("/", Some(path)),
        Some(rest) if rest.starts_with('/') => (rest, Some(&path[..path.len() - rest.len()])),
        _ => (path, None),
    }
}

/// `text` with everything percent-encoded that may not stand in a path or query (RFC 3986, section 3.3), and what is
/// encoded already left as it is.
fn uri_text(text: &str, also: &[u8]) -> String {
    let bytes = text.as_bytes();
    let mut encoded = String::with_capacity(bytes.len());
    for (at, &byte) in bytes.iter().enumerate() {
        let plain =
            byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) || also.contains(&byte);
        let escape = byte == b'%'
            && bytes.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
        if plain || escape {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    if encoded.is_empty() { "/".to_owned() } else { encoded }
}

fn texts<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stage_is_taken_off_the_path() {
        let all = |path, stage| without_stage(path, stage);
        assert_eq!(all("/v1/app", Some("$default")), ("/v1/app", None));
        assert_eq!(all("/v1/app", None), ("/v1/app", None));
        assert_eq!(all("/prod/v1/app", Some("prod")), ("/v1/app", Some("/prod")));
        assert_eq!(all("/prod", Some("prod")), ("/", Some("/prod")));
        assert_eq!(all("/production/v1", Some("prod")), ("/production/v1", None));
        assert_eq!(all("/v1/app", Some("prod")), ("/v1/app", None));
    }

    #[test]
    fn what_the_gateway_decoded_is_encoded_again() {
        assert_eq!(uri_text("/v1/schedules/a b\"é?#%", b"/"), "/v1/schedules/a%20b%22%C3%A9%3F%23%25");
        assert_eq!(uri_text("/v1/%41%2f%zz", b"/"), "/v1/%41%2f%25zz");
        assert_eq!(uri_text("a=1&b=%20+c?|", b"/?"), "a=1&b=%20+c?%7C");
        assert_eq!(uri_text("", b"/"), "/");
    }
}
