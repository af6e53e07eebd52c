//! What the Lambda functions share: the engine over AWS's adapters, the API behind API Gateway, the dispatcher's
//! batch, the sweeper's round, the admin requests. Each function's `main` names one of them and runs it. It decides
//! nothing about schedules (that is the domain's), and knows no table, queue or wire format (that is `rondo_aws`'s).
//!
//! Reading order: [`settings`] and [`world`] (what a function is made of), [`event`] (what it is invoked with), then
//! one module for each kind of function: [`api`], [`dispatch`], [`sweep`], [`admin`].

pub mod absent;
pub mod admin;
pub mod api;
pub mod dispatch;
pub mod event;
mod logs;
pub mod settings;
pub mod sweep;
pub mod world;

pub use settings::FunctionSettings;
pub use world::{StartError, World};

use std::process::ExitCode;

/// The environment of this process, as the settings read it.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Runs a function until Lambda ends it. One thread: below 1,769 MB of memory a function has less than one
/// processor, and what waits for answers needs no second.
pub fn run(function: impl Future<Output = Result<(), StartError>>) -> ExitCode {
    logs::start(environment("RONDO_LOG").as_deref());
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::Runtime(error.into()))
        .and_then(|runtime| runtime.block_on(function));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Lambda itself says no more than that the process ended.
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "the function cannot start");
            ExitCode::FAILURE
        }
    }
}
