//! An answer in JSON.

use axum::response::{IntoResponse, Response};
use http::header;
use serde_json::Value;

pub struct Json(pub Value);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0.to_string()).into_response()
    }
}
