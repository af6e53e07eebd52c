//! One callback, from end to end: a schedule of a single occurrence a few seconds ahead, until its execution is on
//! record. Whatever comes of it, no schedule that still waits is left behind.

use super::finding::Finding;
use crate::{
    client::Client,
    failure::{Failure, Result},
    output::cell,
};
use rondo_domain::{
    ids::{ExecutionId, NO_SLOT, ScheduleId},
    ports::Clock as _,
    span_text::write_span,
    time::{Span, Timestamp},
};
use rondo_local::SystemClock;
use serde_json::{Value, json};
use url::Url;

const CHECK: &str = "callback";
const TIMEOUT: Span = Span::from_secs(10);
/// Between two looks at whether it is over.
const LOOK_EVERY: Span = Span::from_millis(500);
/// The dispatcher aims at milliseconds; what is later than this was not held, but found late.
const LATE_MS: u64 = 1000;

/// `after`: from now on; what lies further ahead than a queue carries takes the long way, through EventBridge on
/// AWS. `patience`: from its due instant to the record of its outcome.
pub async fn check(client: &Client, url: &Url, after: Span, patience: Span) -> Finding {
    let due = SystemClock.now().plus(after);
    let schedule = json!({
        "name": "rondo doctor",
        "trigger": {"single": {"after": after.millis()}},
        "target": {"http": {"url": url.as_str(), "body": {"probe": "rondo doctor"}}},
        "delivery": {"timeout": TIMEOUT.millis(), "retry": {"max_attempts": 1}},
        "tags": {"rondo": "doctor"},
    });
    let created = match client.post("v1/schedules", Some(&schedule)).await {
        Ok(created) => created,
        Err(failure) => return refused(&failure),
    };
    let Some(id) = created["id"].as_str().and_then(|id| id.parse::<ScheduleId>().ok()) else {
        return Finding::problem(CHECK, "what was answered to a new schedule is no schedule");
    };
    eprintln!("waiting for a callback to {}, due at {due}", origin(url));
    let watched = watch(client, id.execution(1, NO_SLOT), due, patience).await;
    let seen = match watched {
        Ok(Some(execution)) => return judge(&execution, url),
        Ok(None) => {
            Finding::problem(CHECK, format!("{} after it was due there is no outcome", write_span(patience)))
                .hint("is the dispatcher at work? see its log, and the dead-letter queue of the deployment")
                .hint("one that was woken by the sweeper alone comes a minute or two late: try --patience 3m")
        }
        Err(failure) => {
            Finding::problem(CHECK, format!("the callback could not be watched: {}", failure.in_one_line()))
        }
    };
    match client.delete(&format!("v1/schedules/{id}")).await {
        Ok(_) => seen,
        Err(_) => seen.hint(format!("the schedule {id} may be left: `rondo cancel {id}`")),
    }
}

/// The execution once it is over; none where it is not in time.
async fn watch(client: &Client, id: ExecutionId, due: Timestamp, patience: Span) -> Result<Option<Value>> {
    let until = due.plus(patience);
    SystemClock.sleep_until(due).await;
    let path = format!("v1/schedules/{}/executions", id.schedule);
    loop {
        let listed = client.get(&path).await?;
        let executions = listed["executions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is_over = |execution: &&Value| {
            execution["id"] == id.to_string().as_str()
                && !matches!(execution["status"].as_str(), Some("running" | "waiting"))
        };
        if executions.iter().any(|execution| is_over(&execution)) {
            return client.get(&format!("v1/executions/{id}")).await.map(Some);
        }
        if SystemClock.now() >= until {
            return Ok(None);
        }
        tokio::time::sleep(LOOK_EVERY.std()).await;
    }
}

fn judge(execution: &Value, url: &Url) -> Finding {
    let attempt = &execution["attempts"][0];
    let late = execution["lateness_ms"].as_u64();
    let figures = json!({
        "execution": execution["id"],
        "lateness_ms": late,
        "duration_ms": attempt["duration_ms"],
        "status": attempt["status"],
    });
    let late = late.unwrap_or_default();
    let timing = format!(
        "called {late} ms late, answered {} in {} ms",
        cell(&attempt["status"]),
        cell(&attempt["duration_ms"])
    );
    let finding = match execution["status"].as_str() {
        Some("succeeded") if late < LATE_MS => Finding::ok(CHECK, timing),
        Some("succeeded") => Finding::warning(CHECK, timing)
            .hint("the first callback after a pause waits for a function to start: try once more"),
        _ if attempt["status"].is_u64() => {
            Finding::problem(CHECK, timing).hint(format!("{} must answer a POST with 2xx", origin(url)))
        }
        _ if attempt.is_object() => {
            let why = cell(&attempt["failure"]["detail"]);
            Finding::problem(CHECK, format!("called {late} ms late, and nobody answered: {why}"))
                .hint(format!("{} must be reachable from where the service runs", origin(url)))
        }
        _ => Finding::problem(CHECK, format!("it was not called: {}", cell(&execution["status"])))
            .hint(format!("`rondo show {}` says more", cell(&execution["id"]))),
    };
    finding.with(figures)
}

fn refused(failure: &Failure) -> Finding {
    Finding::problem(CHECK, format!("no schedule could be added: {}", failure.in_one_line()))
        .hint("the URL must be one that the service may call: public, unless private targets are allowed")
}

/// The URL without what may be secret in it.
fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
