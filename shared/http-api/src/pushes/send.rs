//! `POST /v4/push`, which sends at once, and `POST /v4/push/validate`, which only checks.

use super::form::{In, Input, Pushes, Refusal};
use crate::{access::Caller, answer::Json};
use http::StatusCode;
use rondo_domain::{
    engine::{Error, Pushed},
    push::{
        PushTarget,
        outcome::PushError,
        rules::{self, NO_TARGET},
        sender::Way,
    },
};
use serde_json::{Value, json};

/// What the service that it descends from says where too much is asked.
const RATE_LIMITED: u32 = 23_008;

pub(super) type Refused = Refusal<Pushes>;

pub async fn send(In(caller, _): In<Pushes, Caller>, Input(push, _): Input<Pushes>) -> Result<Json, Refused> {
    let Caller { api, app, .. } = &caller;
    let now = api.engine.now();
    rules::push::check(&push, Way::of(app))?;
    let request_id = request_id(&push);
    match api.engine.push_now(app, PushTarget { push }, now).await {
        Ok(Pushed::Accepted { msg_id }) => Ok(answer(&request_id, &msg_id)),
        Ok(Pushed::Refused(error)) => Err(as_sent_now(error).into()),
        // A client is told by the status that trying again may help, except where the contract says otherwise.
        Ok(Pushed::Later(error)) if error.code == RATE_LIMITED => Err(error.into()),
        Ok(Pushed::Later(error)) => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error)),
        Err(limit @ (Error::LimitReached(_) | Error::PushLimitReached(_))) => {
            Err(PushError::new(RATE_LIMITED, limit.to_string()).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Nothing is sent, and nobody is looked up.
pub async fn validate(
    In(caller, _): In<Pushes, Caller>,
    Input(push, _): Input<Pushes>,
) -> Result<Json, Refused> {
    rules::push::check(&push, Way::of(&caller.app))?;
    Ok(answer(&request_id(&push), "0"))
}

fn request_id(push: &Value) -> String {
    push["request_id"].as_str().unwrap_or_default().to_owned()
}

fn answer(request_id: &str, msg_id: &str) -> Json {
    Json(json!({"request_id": request_id, "msg_id": msg_id}))
}

/// Nobody to send to has a code of its own where a push is sent now.
fn as_sent_now(error: PushError) -> PushError {
    if error.code == PushError::no_target().code { PushError { code: NO_TARGET, ..error } } else { error }
}
