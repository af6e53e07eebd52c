//! Apps and their secrets, for whoever may invoke this function: no route leads here, AWS credentials do.

use crate::{StartError, World, event::Incoming, world::needed};
use lambda_runtime::LambdaEvent;
use rondo_domain::engine::{Engine, Vault};
use rondo_http_api::{
    Code, Problem,
    admin::{AdminAnswer, AdminRequest, handle},
};
use serde::Serialize;
use serde_json::Value;
use std::{convert::Infallible, sync::Arc};

/// What became of a request: the answer, or an RFC 9457 problem. A refusal is an answer too: Lambda logs errors, and
/// who invoked the function should read JSON in either case.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum AdminReply {
    Done {
        #[serde(flatten)]
        answer: AdminAnswer,
        /// Where the app calls the API, if the function knows (`RONDO_PUBLIC_URL`).
        #[serde(skip_serializing_if = "Option::is_none")]
        url: Option<String>,
    },
    Refused(Value),
}

/// Answers until Lambda ends the process.
pub async fn serve(world: World) -> Result<(), StartError> {
    let vault = needed(&world.vault, "RONDO_SEALING_SECRET", "the secret that holds the sealing key")?;
    let (engine, url) = (world.engine, world.settings.public_url);
    lambda_runtime::run(lambda_runtime::service_fn(move |event: LambdaEvent<Incoming<AdminRequest>>| {
        let (engine, vault, url) = (engine.clone(), Arc::clone(&vault), url.clone());
        async move { Ok::<_, Infallible>(answer(&engine, &*vault, event.payload, url).await) }
    }))
    .await
    .map_err(StartError::Runtime)
}

/// The log tells what kind of request it was and how it ended; never a secret.
pub async fn answer(
    engine: &Engine,
    vault: &dyn Vault,
    request: Incoming<AdminRequest>,
    url: Option<String>,
) -> AdminReply {
    let request = match request {
        Incoming::Event(request) => request,
        Incoming::Other(why) => {
            tracing::info!("a request that this function does not know was refused");
            let detail = format!("not a request that this function knows: {why}");
            return AdminReply::Refused(Problem::new(Code::Invalid, detail).to_json());
        }
    };
    let action = match &request {
        AdminRequest::Create { .. } => "create",
        AdminRequest::List => "list",
        AdminRequest::Push { .. } => "push",
        AdminRequest::RotateSecret { .. } => "rotate_secret",
        AdminRequest::Remove { .. } => "remove",
    };
    match handle(engine, vault, request).await {
        Ok(answer) => {
            tracing::info!(action, "an operator's request is done");
            let url = url.filter(|_| matches!(answer, AdminAnswer::Granted { .. }));
            AdminReply::Done { answer, url }
        }
        Err(problem) => {
            tracing::info!(action, code = problem.code.as_str(), "an operator's request was refused");
            AdminReply::Refused(problem.to_json())
        }
    }
}
