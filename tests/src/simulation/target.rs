//! What is called: schedules' targets, whose answers the dice decide, and listeners. Here the run sees what
//! truly arrived.

use super::{dice::Dice, ledger::Call, scenario::Answers, world::Process};
use async_trait::async_trait;
use rondo_domain::{
    call::{CallAnswer, CallFailure, CallOutcome, CallRequest, Caller, FailureKind},
    ids::ExecutionId,
    time::{Span, Timestamp},
};
use serde_json::Value;
use std::sync::{Arc, Weak};

pub struct Targets {
    /// By the schedule's place in the scenario.
    answers: Vec<Answers>,
}

struct From {
    targets: Arc<Targets>,
    process: Weak<Process>,
}

impl Targets {
    pub fn new(answers: Vec<Answers>) -> Arc<Self> {
        Arc::new(Targets { answers })
    }

    pub fn caller(self: &Arc<Self>, process: &Arc<Process>) -> Arc<dyn Caller> {
        Arc::new(From { targets: Arc::clone(self), process: Arc::downgrade(process) })
    }

    /// Status (none: no answer), how long it takes, in ms, and a Retry-After in ms.
    fn answer(
        &self,
        index: usize,
        number: u32,
        timeout: Span,
        dice: &Dice,
    ) -> (Option<u16>, u64, Option<u64>) {
        let soon = dice.between(1, 200);
        let often = dice.hits(4000);
        match self.answers[index] {
            Answers::Well => (Some(200), soon, None),
            Answers::Flaky if often => (Some(500), soon, None),
            Answers::Broken => (Some(500), soon, None),
            Answers::Slow => (Some(204), dice.between(1000, 8000), None),
            Answers::TimesOut if often => (None, timeout.millis(), None),
            Answers::Throttles if often => {
                (Some(dice.one_of(&[429, 503])), soon, Some(dice.between(0, 90_000)))
            }
            Answers::Gone(from) if number >= from => (Some(410), soon, None),
            _ => (Some(200), soon, None),
        }
    }
}

fn header<'a>(request: &'a CallRequest, name: &str) -> &'a str {
    let found = request.headers.iter().find(|(known, _)| known == name);
    found.map_or("", |(_, value)| value)
}

#[async_trait]
impl Caller for From {
    async fn call(&self, request: CallRequest) -> CallOutcome {
        let process = self.process.upgrade().expect("a process outlives its calls");
        let world = process.world();
        let clock: &dyn rondo_domain::ports::Clock = &*process;
        let sent_at = clock.now();
        // Whatever it is on its way to, it may never arrive there.
        process.perhaps_crash().await;
        let status;
        let mut retry_after = None;
        let path = request.url.path().to_owned();
        if let Some(index) = path.strip_prefix("/target/").and_then(|index| index.parse::<usize>().ok()) {
            match request.webhook_id.parse::<ExecutionId>() {
                Ok(id) => {
                    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
                    let call = Call {
                        at: world.now(),
                        attempt: header(&request, "rondo-attempt").parse().unwrap_or(0),
                        due: Timestamp::parse_rfc3339(header(&request, "rondo-due-at")).unwrap_or_default(),
                        version: body["v"].as_u64().unwrap_or(0) as u32,
                    };
                    if header(&request, "rondo-occurrence") != id.number.to_string() {
                        world.ledger.violated(|| format!("{id}: called as another occurrence"));
                    }
                    world.ledger.called(id, call, world.faults.max_skew_ms);
                    let (answered, takes, after) =
                        self.targets.answer(index, id.number, request.timeout, &world.dice);
                    retry_after = after.map(|after| clock.now().plus(Span::from_millis(takes + after)));
                    world.sleep_until(world.now().plus(Span::from_millis(takes))).await;
                    status = answered;
                }
                Err(_) => {
                    world.ledger.violated(|| format!("{}: no execution's id", request.webhook_id));
                    status = None;
                }
            }
        } else {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let subject: Value =
                body["json"].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            let about = subject["externalId"].as_str().or(subject["requestId"].as_str());
            let well = path == "/listener/0";
            if well && let Some(id) = about.and_then(|id| id.parse().ok()) {
                let event = body["event"].as_str().unwrap_or_default().to_owned();
                world.ledger.with_life(id, |life| life.told.insert(event));
            }
            world.ledger.tally(|tally| tally.notices += 1);
            status = Some(if well { 200 } else { 500 });
        }
        // It has arrived; whether anybody here still hears the answer is another question.
        process.perhaps_crash().await;
        let done_at = clock.now();
        let result = match status {
            Some(status) => Ok(CallAnswer { status, retry_after, body: String::new() }),
            None => Err(CallFailure { kind: FailureKind::Timeout, detail: "no answer in time".to_owned() }),
        };
        CallOutcome { sent_at, first_byte_at: None, done_at, result }
    }
}
