//! What the tests send, and a sender that does as a push's `request_id` says.

use async_trait::async_trait;
use chrono::TimeDelta;
use rondo_domain::{
    engine::Engine,
    ports::Clock as _,
    push::{
        outcome::PushError,
        sender::{Fate, PushJob, PushReport, PushSender, Recipients},
    },
    time::Timestamp,
};
use rondo_local::SystemClock;
use rondo_tests::api_world::{Answered, ApiWorld, Setup};
use serde_json::{Value, json};
use std::sync::Arc;

/// Tells what it is told: `refused`, `nobody`, `later`, `crowded`; everything else is accepted.
struct Scripted;

#[async_trait]
impl PushSender for Scripted {
    async fn send(&self, job: PushJob<'_>) -> PushReport {
        let refused = |code, message| Fate::Refused(PushError::new(code, message));
        let later = |code, message| Fate::Later { at: None, error: PushError::new(code, message) };
        let fate = match job.push.push["request_id"].as_str() {
            Some("refused") => refused(21003, "the gateway says no"),
            Some("nobody") => refused(1011, "Cannot find sending target"),
            Some("later") => later(21030, "the gateway took too long"),
            Some("crowded") => later(23008, "too many at once"),
            _ => Fate::Accepted,
        };
        let count = match job.to {
            Recipients::AsAddressed => 1,
            Recipients::These(devices) => devices.len(),
        };
        let at = SystemClock.now();
        let msg_id = match job.to {
            Recipients::AsAddressed => "1828256757".to_owned(),
            Recipients::These(_) => job.msg_id.to_owned(),
        };
        let msg_id = Some(msg_id);
        PushReport { sent_at: at, done_at: at, status: Some(200), msg_id, fates: vec![fate; count] }
    }
}

/// A world whose first app pushes through a gateway, and whose second goes straight to its devices.
pub async fn world() -> ApiWorld {
    let alter = |engine: &mut Engine| engine.pusher = Arc::new(Scripted);
    let world = ApiWorld::with(Setup { alter, ..Setup::default() }).await;
    let upstream = Some(Some(("upstream".to_owned(), "of the gateway".to_owned())));
    world.engine.set_push(&world.first.key, upstream, None, world.vault()).await.expect("the app is there");
    world
}

/// The wall time so long from now, in UTC, as the contract writes it.
pub fn wall(ahead: TimeDelta) -> String {
    (SystemClock.now().utc() + ahead).format("%Y-%m-%d %H:%M:%S").to_string()
}

pub fn in_hours(hours: i64) -> String {
    wall(TimeDelta::hours(hours))
}

pub fn push() -> Value {
    json!({
        "from": "push",
        "to": {"registration_id": ["1a0018970ab49abda3e", "100d85590955c1d2793"]},
        "body": {
            "platform": "web",
            "notification": {"web": {"alert": "welcome", "title": "welcome", "url": "https://www.example.com/"}},
            "message": {},
            "options": {"time_to_live": 60},
        },
        "request_id": "12345",
        "custom_args": {"Engagelab": "push to you"},
    })
}

pub fn single() -> Value {
    json!({"single": {"time": in_hours(48), "zone_type": 1}})
}

pub fn schedule() -> Value {
    json!({"name": "schedule push example", "enabled": true, "trigger": single(), "push": push()})
}

/// With one member of the body replaced; null: taken away.
pub fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = body.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    match value {
        Value::Null => parent.shift_remove(name),
        value => parent.insert(name.to_owned(), value),
    };
    body
}

/// Makes one, and answers its id.
pub async fn made(world: &ApiWorld, body: Value) -> String {
    let answer = world.post("/v4/schedules", body).await.expect(200);
    answer["schedule_id"].as_str().expect("an id").to_owned()
}

/// Status, code and the first word of the message: the field that it names.
pub fn refusal(answer: &Answered) -> (u16, u64, String) {
    let error = &answer.body["error"];
    let message = error["message"].as_str().unwrap_or_else(|| panic!("no message: {}", answer.body));
    assert!(answer.body.as_object().is_some_and(|members| members.len() == 1), "{}", answer.body);
    let first = message.split(' ').next().unwrap_or_default().to_owned();
    (answer.status, error["code"].as_u64().expect("a code"), first)
}

pub fn refused(status: u16, code: u64, names: &str) -> (u16, u64, String) {
    (status, code, names.to_owned())
}

pub fn instant(at: Timestamp) -> String {
    at.to_string()
}
