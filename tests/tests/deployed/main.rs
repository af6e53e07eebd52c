//! The whole service as it is deployed: template.yaml in ministack, function programs in the Lambda runtime's
//! protocol, the HTTP API in front, a real receiver behind, every permission checked. Real time passes here on
//! purpose: the subject is a ladder of real timers.
//!
//! It shows that the parts fit together, and what the emulator is honest about. It does not show what AWS's own
//! limits do, nor DynamoDB's conditions of leading keys, nor permissions on one schedule group and not another: the
//! emulator has none of those.

mod changes;
mod crowd;
mod failures;
mod messages;
mod operators;
mod permissions;
mod pushes;
mod surfaces;
mod sweeping;
mod timing;

use futures_util::future::{BoxFuture, join_all};
use rondo_tests::{
    deployed::{Control, Deployment, Lateness, Ledger, SHORT, text},
    receiver::{Received, Receiver},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    time::Duration,
};

/// How much later than due a callback may come, in ms, at the 99th percentile of all that had 3 s to get ready, beside
/// what a control suffers.
const P99_MS: f64 = 100.0;

const BETWEEN_BEGINNINGS: Duration = Duration::from_millis(1500);

/// What a schedule must look like when everything is over.
#[derive(Clone, Debug)]
struct Outcome {
    id: String,
    status: &'static str,
    /// Occurrences that are over, and those of them that failed.
    done: u64,
    failed: u64,
    /// Records of success and of failure. A run by hand has one, and is not counted.
    records: (usize, usize),
}

impl Outcome {
    fn finished(schedule: &Value, calls: usize) -> Outcome {
        Outcome {
            id: text(schedule, "id"),
            status: "finished",
            done: calls as u64,
            failed: 0,
            records: (calls, 0),
        }
    }

    fn canceled(schedule: &Value, calls: usize) -> Outcome {
        Outcome { status: "canceled", ..Outcome::finished(schedule, calls) }
    }
}

/// What the scenarios share.
struct Stage {
    stack: Deployment,
    /// Of callbacks that nothing was done to, each created at least 3 s before it was due.
    ledger: Ledger,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployed_stack_keeps_its_promises() -> anyhow::Result<()> {
    let stage = Stage { stack: Deployment::start(&SHORT).await?, ledger: Ledger::default() };
    // Side by side, the longest first; one begins after the other, since all at once is a scenario of its own.
    let control = Control::start();
    let scenarios: Vec<BoxFuture<'_, Vec<Outcome>>> = vec![
        Box::pin(timing::many_windows(&stage)),
        Box::pin(messages::poison(&stage)),
        Box::pin(timing::through_event_bridge(&stage)),
        Box::pin(sweeping::a_lost_wake(&stage)),
        Box::pin(timing::sub_second(&stage)),
        Box::pin(surfaces::native(&stage)),
        Box::pin(surfaces::recurring(&stage)),
        Box::pin(failures::for_good(&stage)),
        Box::pin(changes::pause_and_resume(&stage)),
        Box::pin(failures::retried(&stage)),
        Box::pin(timing::due_within_seconds(&stage)),
        Box::pin(surfaces::listeners(&stage)),
        Box::pin(failures::gone(&stage)),
        Box::pin(messages::doubled_and_stale(&stage)),
        Box::pin(changes::update(&stage)),
        Box::pin(changes::cancel(&stage)),
        Box::pin(operators::an_app_comes_and_goes(&stage)),
    ];
    let begun = scenarios.into_iter().zip(0..).map(async |(scenario, place)| {
        tokio::time::sleep(BETWEEN_BEGINNINGS * place).await;
        scenario.await
    });
    let outcomes = join_all(begun).await.concat();
    let (lateness, control) = (stage.ledger.read(), control.stop().await);
    say(&format!("with time to get ready: {lateness}"))?;
    say(&format!("a control on the same machine: {control}"))?;
    let (crowd, outcome) = crowd::two_hundred_at_once(&stage).await;
    // By itself: its hundreds of requests would make the others' callbacks late.
    pushes::pushes(&stage.stack).await;
    say(&format!("two hundred at once: {crowd}"))?;

    // Whatever is still in the queue is a doubled message: it comes, and is dropped.
    let held = settled(&stage.stack).await;
    check(&held, &[outcomes, outcome].concat());
    permissions::check(&stage.stack).await;
    check_lateness(&lateness, &control);
    assert_eq!(crowd.early(), 0, "of two hundred at once: {:?}", crowd.latest(200));
    Ok(())
}

/// Said whether the test passes or not: past what the test's runner keeps to itself.
fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}

/// Beside the control, which has the same machine under it: on a busy one a call is late whoever makes it.
fn check_lateness(lateness: &Lateness, control: &Lateness) {
    assert!(lateness.count() >= 200, "too few to say anything: {}", lateness.count());
    assert_eq!(lateness.early(), 0, "early ones");
    let (p99, allowed) = (lateness.percentile(99), P99_MS + control.percentile(99));
    assert!(p99 <= allowed, "p99 is {p99:.1} ms, more than {allowed:.1} ms: {:#?}", lateness.latest(20));
}

/// Reads everything once nothing is on its way any more.
async fn settled(stack: &Deployment) -> Value {
    let mut held = stack.holdings().await;
    for _ in 0..30 {
        let waiting = &held["queues"]["delivery"];
        let none = ["visible", "in_flight"].iter().all(|kind| waiting[kind] == 0);
        if none && waiting["delayed"].as_u64().is_some_and(|count| count <= pushes::LEFT) {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        held = stack.holdings().await;
    }
    held
}

/// Counts are right, records are there once each, and nothing is left over.
fn check(held: &Value, outcomes: &[Outcome]) {
    let schedules = held["schedules"].as_object().expect("the table's schedules");
    let known: BTreeSet<&str> = outcomes.iter().map(|outcome| outcome.id.as_str()).collect();
    let there: BTreeSet<&str> = schedules.keys().map(String::as_str).collect();
    assert_eq!(known, there, "schedules in the table, and those that were created");
    for outcome in outcomes {
        let Value::Object(schedule) = &schedules[&outcome.id] else { panic!("{} is an object", outcome.id) };
        let (state, records) = (&schedule["state"], schedule["records"].as_object().expect("its records"));
        assert_eq!(state["status"], outcome.status, "{outcome:?}: {state:#}");
        let mut by_status: BTreeMap<&str, usize> = BTreeMap::new();
        for record in records.values() {
            *by_status.entry(record["status"].as_str().expect("a status")).or_default() += 1;
        }
        let count = |status| by_status.get(status).copied().unwrap_or(0);
        assert_eq!((count("succeeded"), count("failed")), outcome.records, "{outcome:?}: {records:#?}");
        assert_eq!(records.len(), outcome.records.0 + outcome.records.1, "{outcome:?}: {records:#?}");
        for (name, number) in [("done", outcome.done), ("failed", outcome.failed)] {
            // What is as it was at first is left out of the item.
            let counted = state["counts"][name].as_u64().unwrap_or(0);
            assert_eq!(counted, number, "{outcome:?}: {name}: {state:#}");
        }
        assert!(state.get("look_again_at").is_none(), "somebody is still to look at it: {state:#}");
    }
    assert_eq!(held["due"], serde_json::json!([]), "nothing is left to be looked at");
    assert_eq!(held["group"], serde_json::json!([]), "no schedule is left in the group");
    for queue in ["delivery", "scheduler_dead_letters"] {
        for (kind, count) in held["queues"][queue].as_object().expect("counts") {
            let left = if (queue, kind.as_str()) == ("delivery", "delayed") { pushes::LEFT } else { 0 };
            assert!(count.as_u64().is_some_and(|count| count <= left), "{queue}: {kind}: {count}");
        }
    }
    assert_eq!(held["dead_letters"], serde_json::json!(messages::poisons()), "exactly what was injected");
}

/// Waits until so many callbacks have come; fails the test where they do not.
async fn arrivals(receiver: &Receiver, count: usize, within: Duration) -> Vec<Received> {
    let enough = async {
        while receiver.received().len() < count {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let waited = tokio::time::timeout(within, enough).await;
    let received = receiver.received();
    assert!(waited.is_ok(), "{} of {count} callbacks within {within:?}: {received:#?}", received.len());
    received
}

/// The same, and that no other has come `quiet` later.
async fn exactly(receiver: &Receiver, count: usize, within: Duration, quiet: Duration) -> Vec<Received> {
    arrivals(receiver, count, within).await;
    tokio::time::sleep(quiet).await;
    let received = receiver.received();
    assert_eq!(received.len(), count, "callbacks: {received:#?}");
    received
}

fn occurrences(received: &[Received]) -> Vec<u32> {
    let numbers =
        received.iter().map(|callback| callback.header("rondo-occurrence").parse().expect("a number"));
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
