//! Composing a callback: the request that goes to a schedule's target, and the links it carries.

use crate::{
    app::App,
    call::{CallRequest, Method},
    execution::Execution,
    ids::ScheduleId,
    schedule::{Body, Definition, HttpTarget},
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use url::Url;

/// Makes and checks the links that a callback carries. Each holds a capability token: whoever has it may
/// show or cancel this one schedule, and nothing else.
#[derive(Clone)]
pub struct Links {
    base: String,
    key: [u8; 32],
}

impl Links {
    /// `base` is the API's public URL; `key` a secret of the installation kept for this purpose alone.
    pub fn new(base: &str, key: [u8; 32]) -> Self {
        Links { base: base.trim_end_matches('/').to_owned(), key }
    }

    pub fn show(&self, id: ScheduleId) -> String {
        self.link("get_list", id)
    }

    pub fn cancel(&self, id: ScheduleId) -> String {
        self.link("cancel_task", id)
    }

    pub fn admits(&self, id: ScheduleId, token: &str) -> bool {
        self.token(id).as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// The same links under another base: the API's own address, as its caller sees it.
    #[must_use]
    pub fn at(&self, base: &str) -> Self {
        Links::new(base, self.key)
    }

    fn link(&self, action: &str, id: ScheduleId) -> String {
        format!("{}/requests/{action}?requestId={id}&token={}", self.base, self.token(id))
    }

    fn token(&self, id: ScheduleId) -> String {
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("any key length");
        mac.update(b"show and cancel ");
        mac.update(&id.bytes());
        URL_SAFE_NO_PAD.encode(&mac.finalize().into_bytes()[..18])
    }
}

/// The next attempt of `execution`, ready to be sent.
pub fn compose(
    definition: &Definition,
    target: &HttpTarget,
    execution: &Execution,
    app: Arc<App>,
    links: &Links,
) -> CallRequest {
    let mut headers = target.headers.clone();
    let mut url = target.url.clone();
    let mut content_type = None;
    let body = match &target.body {
        Body::Empty => Vec::new(),
        Body::Json(value) => {
            content_type = Some("application/json");
            value.to_string().into_bytes()
        }
        Body::Text(text) => {
            content_type = Some("text/plain; charset=utf-8");
            text.clone().into_bytes()
        }
        Body::Envelope { payload } if target.method == Method::Get => {
            append_query(&mut url, definition, execution, payload.as_ref(), links);
            Vec::new()
        }
        Body::Envelope { payload } => {
            content_type = Some("application/json");
            envelope(definition, execution, payload.as_ref(), links).to_string().into_bytes()
        }
    };
    if let Some(content_type) = content_type
        && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
    {
        headers.push(("content-type".to_owned(), content_type.to_owned()));
    }
    headers.push(("rondo-schedule-id".to_owned(), definition.id.to_string()));
    headers.push(("rondo-occurrence".to_owned(), execution.id.number.to_string()));
    headers.push(("rondo-due-at".to_owned(), execution.due_at.to_string()));
    headers.push(("rondo-attempt".to_owned(), (execution.attempts.len() + 1).to_string()));
    CallRequest {
        webhook_id: CallRequest::webhook_id_of(execution.id),
        app,
        method: target.method,
        url,
        headers,
        body,
        timeout: definition.delivery.timeout,
    }
}

/// The recurring-callback contract's object. Its public page spells one key `executionNumer`, its newer
/// service `executionNumber`: both are sent.
fn envelope(definition: &Definition, execution: &Execution, payload: Option<&Value>, links: &Links) -> Value {
    let mut body = Map::new();
    body.insert("parentRequestId".into(), json!(definition.id));
    body.insert("parentRequestName".into(), json!(definition.name));
    body.insert("requestedTimes".into(), json!(definition.occurrences));
    body.insert("executionNumber".into(), json!(execution.id.number));
    body.insert("executionNumer".into(), json!(execution.id.number));
    body.insert("executionId".into(), json!(execution.id));
    body.insert("payload".into(), payload.cloned().unwrap_or(Value::Null));
    body.insert("showRequest".into(), links.show(definition.id).into());
    body.insert("cancelLink".into(), links.cancel(definition.id).into());
    Value::Object(body)
}

/// The same values for GET; `cancelink` is the contract's own spelling.
fn append_query(
    url: &mut Url,
    definition: &Definition,
    execution: &Execution,
    payload: Option<&Value>,
    links: &Links,
) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let cancel = links.cancel(definition.id);
    let mut query = url.query_pairs_mut();
    query
        .append_pair("executionId", &execution.id.to_string())
        .append_pair("executionNumber", &execution.id.number.to_string())
        .append_pair("parentRequestId", &definition.id.to_string())
        .append_pair("parentRequestName", definition.name.as_deref().unwrap_or_default())
        .append_pair("payload", &payload.map(text).unwrap_or_default());
    if let Some(occurrences) = definition.occurrences {
        query.append_pair("occurrences", &occurrences.to_string());
    }
    query
        .append_pair("showRequest", &links.show(definition.id))
        .append_pair("cancelink", &cancel)
        .append_pair("cancelLink", &cancel);
}
