//! What a failed request to AWS means in the ports' words, and how it is told: the service's own code and message,
//! or what came between; never a request.

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use rondo_domain::ports::StoreError;
use std::error::Error;

/// A failure after which it may well go better another time, or with other settings. `what`: the queue, table or
/// group by its name, so that a wrong setting shows.
pub(crate) fn unavailable<E>(what: &str, error: &SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    StoreError::Unavailable(format!("{what}: {}", why(error)))
}

/// `ThrottlingException: Rate exceeded`, or `no answer within 5s`.
pub(crate) fn why<E>(error: &SdkError<E, HttpResponse>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            let meta = answer.err().meta();
            match (meta.code(), meta.message()) {
                (Some(code), Some(message)) => format!("{code}: {message}"),
                (Some(code), None) => format!("{code} (status {status})"),
                (None, _) => format!("status {status}"),
            }
        }
        other => chain(other),
    }
}

/// The error and its causes: the outermost says only which stage failed.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}
