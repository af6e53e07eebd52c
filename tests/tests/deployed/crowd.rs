//! Many at one instant: each is called, once, and not early.
//!
//! How late is a matter of this machine's processors. On two cores two hundred take about 4.5 s of them: half of that
//! is the emulator's one Python thread (some 10 ms for what one callback asks of SQS and DynamoDB), half the start
//! of a dozen more dispatchers and their work, unoptimised as they are here. AWS has neither limit; there the
//! dispatchers that are not yet running have to start.

use crate::{Outcome, Stage, exactly, secs};
use rondo_tests::{
    deployed::{Lateness, Ledger},
    receiver::Receiver,
};
use serde_json::{Value, json};

const CROWD: usize = 200;
/// What one batch takes.
const AT_ONCE: usize = 100;

pub async fn two_hundred_at_once(stage: &Stage) -> (Lateness, Vec<Outcome>) {
    let (stack, receiver) = (&stage.stack, Receiver::start_apart().await);
    #[expect(clippy::disallowed_methods, reason = "a real service is used in real time")]
    let due = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()) + secs(15);
    let mut outcomes = Vec::new();
    for _ in 0..CROWD / AT_ONCE {
        let schedule = json!({
            "trigger": {"single": {"time": due.to_rfc3339()}},
            "target": {"http": {"url": receiver.url("/crowd")}},
        });
        let batch = json!({"schedules": vec![schedule; AT_ONCE]});
        let answer = stack.send("POST", "/v1/schedules/batch", Some(batch)).await.expect(200);
        let results = answer["results"].as_array().expect("a result for each");
        outcomes.extend(results.iter().map(|result: &Value| {
            assert_eq!(result["status"], 201, "{result}");
            Outcome::finished(&result["schedule"], 1)
        }));
    }
    let received = exactly(&receiver, CROWD, secs(90), secs(3)).await;
    let ledger = Ledger::default();
    ledger.note("two hundred at once", &received);
    (ledger.read(), outcomes)
}
