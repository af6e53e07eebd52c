//! The calling app and its figures, which version answers, and whether the service is there at all.

use crate::{access::Caller, admin::AppEntry, answer::Json, problem::Problem};
use rondo_domain::app::MAX_PUSHES;
use serde_json::{Value, json};

pub async fn app(caller: Caller) -> Json {
    let app = AppEntry::of(&caller.app);
    let AppEntry { key, name, time_zone, created_at, secrets, signing_secrets, push, .. } = app;
    let (max_schedules, max_pushes) = (app.max_schedules, app.max_pushes.unwrap_or(MAX_PUSHES));
    let dates = |dates: Vec<String>| -> Vec<Value> {
        dates.into_iter().map(|at| json!({"created_at": at})).collect()
    };
    Json(json!({
        "key": key,
        "name": name,
        "time_zone": time_zone,
        "created_at": created_at,
        "limits": {"max_schedules": max_schedules, "max_pushes": max_pushes},
        "push": push,
        "secrets": dates(secrets),
        "signing_secrets": dates(signing_secrets),
        "service": {"version": env!("CARGO_PKG_VERSION")},
    }))
}

pub async fn stats(caller: Caller) -> Result<Json, Problem> {
    let figures = caller.api.engine.statistics.statistics(&caller.app.key).await?;
    Ok(Json(json!({
        "since": figures.since.to_string(),
        "executions": {
            "succeeded": figures.succeeded,
            "failed": figures.failed,
            "missed": figures.missed,
            "skipped": figures.skipped,
        },
        "lateness_ms": figures.lateness,
    })))
}

/// Needs no credentials, and says nothing but that the service answers.
pub async fn health() -> Json {
    Json(json!({"status": "ok"}))
}
