//! A refusal, before it takes a surface's form: a stable code, a sentence, and the fields that are wrong. The
//! native form is RFC 9457's; the recurring-callback contract has one of its own (`requests::form`).

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use rondo_domain::{change::ChangeRefused, engine, engine::Invalid, ports::StoreError};
use serde_json::{Value, json};

/// What is wrong, in a word that programs may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    MalformedJson,
    Invalid,
    InvalidCursor,
    Unauthorized,
    NotFound,
    MethodNotAllowed,
    BodyTooLarge,
    TooLarge,
    Conflict,
    ScheduleEnded,
    FewerThanStarted,
    ScheduleLimitReached,
    IdempotencyKeyReused,
    Unavailable,
    StorageFull,
    Internal,
}

impl Code {
    /// The code itself, its title and its HTTP status.
    fn parts(self) -> (&'static str, &'static str, StatusCode) {
        match self {
            Code::MalformedJson => ("malformed_json", "The body is not JSON", StatusCode::BAD_REQUEST),
            Code::Invalid => ("invalid", "The request holds values that cannot be", StatusCode::BAD_REQUEST),
            Code::InvalidCursor => {
                ("invalid_cursor", "The cursor does not fit the request", StatusCode::BAD_REQUEST)
            }
            Code::Unauthorized => {
                ("unauthorized", "Valid credentials are required", StatusCode::UNAUTHORIZED)
            }
            Code::NotFound => ("not_found", "There is no such thing", StatusCode::NOT_FOUND),
            Code::MethodNotAllowed => {
                ("method_not_allowed", "The method is not allowed here", StatusCode::METHOD_NOT_ALLOWED)
            }
            Code::BodyTooLarge => ("body_too_large", "The body is too large", StatusCode::PAYLOAD_TOO_LARGE),
            Code::TooLarge => {
                ("too_large", "The schedule is too large to store", StatusCode::PAYLOAD_TOO_LARGE)
            }
            Code::Conflict => ("conflict", "Not in the present state", StatusCode::CONFLICT),
            Code::ScheduleEnded => ("schedule_ended", "The schedule has ended", StatusCode::CONFLICT),
            Code::FewerThanStarted => {
                ("fewer_than_started", "More occurrences have started already", StatusCode::CONFLICT)
            }
            Code::ScheduleLimitReached => {
                ("schedule_limit_reached", "The app has too many schedules", StatusCode::CONFLICT)
            }
            Code::IdempotencyKeyReused => {
                let title = "The idempotency key belongs to another request";
                ("idempotency_key_reused", title, StatusCode::UNPROCESSABLE_ENTITY)
            }
            Code::Unavailable => {
                ("unavailable", "The service cannot answer just now", StatusCode::SERVICE_UNAVAILABLE)
            }
            Code::StorageFull => {
                ("storage_full", "The service has no room left", StatusCode::INSUFFICIENT_STORAGE)
            }
            Code::Internal => ("internal", "The service made a mistake", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    pub fn as_str(self) -> &'static str {
        self.parts().0
    }

    pub fn status(self) -> StatusCode {
        self.parts().2
    }
}

/// Where a fault lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the body: a JSON pointer (RFC 6901), spelt as the client spelt the field.
    Pointer(String),
    /// A parameter of the query.
    Parameter(String),
    /// A header of the request.
    Header(String),
}

/// One field, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFault {
    pub place: Place,
    pub detail: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    pub code: Code,
    pub detail: String,
    pub errors: Vec<FieldFault>,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem { code, detail: detail.into(), errors: Vec::new() }
    }

    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}"))
    }

    pub fn unauthorized() -> Self {
        let detail =
            "give the app's key and secret by HTTP Basic, or as the Bearer token rondo_<key>_<secret>";
        Self::new(Code::Unauthorized, detail)
    }

    /// Of one or more fields; the detail names the first.
    pub fn invalid(errors: Vec<FieldFault>) -> Self {
        let detail = match errors.as_slice() {
            [] => "the request holds a value that cannot be".to_owned(),
            [only] => only.sentence(),
            [first, rest @ ..] => format!("{} (and {} more)", first.sentence(), rest.len()),
        };
        Problem { code: Code::Invalid, detail, errors }
    }

    pub fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldFault { place: Place::Parameter(name.to_owned()), detail: detail.into() }])
    }

    /// The same, of a value that stands at `pointer` in the body.
    pub fn within(mut self, pointer: &str) -> Self {
        for fault in &mut self.errors {
            if let Place::Pointer(place) = &mut fault.place {
                place.insert_str(0, pointer);
            }
        }
        if self.errors.is_empty() {
            self
        } else {
            Problem { code: self.code, ..Problem::invalid(self.errors) }
        }
    }

    pub fn status(&self) -> StatusCode {
        self.code.status()
    }

    /// The object of RFC 9457, with `code` and `errors` beside its own members.
    pub fn to_json(&self) -> Value {
        let (code, title, status) = self.code.parts();
        let mut problem =
            json!({"code": code, "title": title, "status": status.as_u16(), "detail": self.detail});
        if !self.errors.is_empty() {
            let errors = self.errors.iter().map(|fault| match &fault.place {
                Place::Pointer(pointer) => json!({"pointer": pointer, "detail": fault.detail}),
                Place::Parameter(name) => json!({"parameter": name, "detail": fault.detail}),
                Place::Header(name) => json!({"header": name, "detail": fault.detail}),
            });
            problem["errors"] = errors.collect();
        }
        problem
    }

    /// What goes with the status, whatever the body's form.
    pub(crate) fn add_headers(&self, response: &mut Response) {
        let headers = response.headers_mut();
        match self.code {
            Code::Unauthorized => {
                let basic = HeaderValue::from_static("Basic realm=\"rondo\", charset=\"UTF-8\"");
                headers.append(header::WWW_AUTHENTICATE, basic);
                headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"rondo\""));
            }
            Code::Unavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // What of the body was not read cannot be skipped: the connection ends with this answer.
            Code::BodyTooLarge => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
    }
}

impl FieldFault {
    fn sentence(&self) -> String {
        match &self.place {
            Place::Pointer(pointer) if pointer.is_empty() => format!("the body {}", self.detail),
            Place::Pointer(pointer) => {
                format!("{} {}", pointer.trim_start_matches('/').replace('/', "."), self.detail)
            }
            Place::Parameter(name) | Place::Header(name) => format!("{name} {}", self.detail),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = self.to_json().to_string();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status(), kind, body).into_response();
        self.add_headers(&mut response);
        response
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let pointer = format!("/{}", invalid.field.replace('.', "/"));
        Problem::invalid(vec![FieldFault { place: Place::Pointer(pointer), detail: invalid.detail }])
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(why) => {
                tracing::warn!(why, "the store did not answer");
                Problem::new(Code::Unavailable, "the store did not answer; nothing is known to be written")
            }
            StoreError::Full(why) => {
                let detail = format!("nothing was written, and what was stored before stays: {why}");
                Problem::new(Code::StorageFull, detail)
            }
            StoreError::TooLarge(why) => Problem::new(Code::TooLarge, why),
            StoreError::Corrupt(why) => {
                tracing::error!(why, "stored data cannot be read");
                Problem::new(Code::Internal, "stored data cannot be read")
            }
        }
    }
}

impl From<engine::Error> for Problem {
    fn from(error: engine::Error) -> Self {
        use engine::Error;
        match error {
            Error::NotFound(what) => Problem::not_found(what),
            Error::Invalid(invalid) => invalid.into(),
            Error::Refused(refused) => {
                let code = match &refused {
                    ChangeRefused::Ended(_) => Code::ScheduleEnded,
                    ChangeRefused::FewerThanStarted { .. } => Code::FewerThanStarted,
                    ChangeRefused::Contended => Code::Conflict,
                };
                Problem::new(code, refused.to_string())
            }
            Error::Conflict(detail) => Problem::new(Code::Conflict, detail),
            Error::KeyReused => {
                let detail = "this key came with other content before: a new request wants a new key";
                Problem::new(Code::IdempotencyKeyReused, detail)
            }
            limit @ (Error::LimitReached(_) | Error::PushLimitReached(_)) => {
                Problem::new(Code::ScheduleLimitReached, limit.to_string())
            }
            Error::Store(error) => error.into(),
        }
    }
}
