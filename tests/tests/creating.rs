//! Creating schedules in the engine: what is written, and what is sent for it.

use async_trait::async_trait;
use rondo_domain::{
    app::{App, AppLimits},
    call::{CallOutcome, CallRequest, Caller, Method},
    callback::Links,
    engine::{Draft, Engine, Error, Made},
    execution::Execution,
    ids::{AppKey, ScheduleId},
    message::{Delayed, Message},
    policy::{Delivery, Policy},
    ports::{Clock, IdempotencyKey, Observer, Queue, StoreError, Wake, Wakes},
    schedule::{Body, HttpTarget, Target},
    state::FarWake,
    time::{Span, Timestamp},
    trigger::{Interval, Single, Trigger},
};
use rondo_system::SystemEntropy;
use rondo_tests::{faults::Stores, memory::Memory};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

const NOW: Timestamp = Timestamp::from_millis(1_900_000_000_000);

/// What went out: the messages of each `send`, and the far wakes.
#[derive(Default)]
struct Sent {
    sends: Mutex<Vec<Vec<Delayed>>>,
    wakes: Mutex<Vec<Wake>>,
    troubles: Mutex<Vec<String>>,
    is_away: bool,
}

impl Sent {
    fn answer(&self) -> Result<(), StoreError> {
        if self.is_away { Err(StoreError::Unavailable("away".to_owned())) } else { Ok(()) }
    }
}

#[async_trait]
impl Queue for Sent {
    async fn send(&self, messages: Vec<Delayed>) -> Result<(), StoreError> {
        self.sends.lock().expect("unpoisoned").push(messages);
        self.answer()
    }
}

#[async_trait]
impl Wakes for Sent {
    async fn set(&self, wake: Wake) -> Result<(), StoreError> {
        self.wakes.lock().expect("unpoisoned").push(wake);
        self.answer()
    }
    async fn clear(&self, _: ScheduleId, _: Option<FarWake>) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Observer for Sent {
    fn ended(&self, _: &Execution) {}
    fn trouble(&self, what: &str, _: &StoreError) {
        self.troubles.lock().expect("unpoisoned").push(what.to_owned());
    }
}

/// Time stands still, and nobody is called.
struct Still;

#[async_trait]
impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
    async fn sleep_until(&self, _: Timestamp) {}
}

#[async_trait]
impl Caller for Still {
    async fn call(&self, _: CallRequest) -> CallOutcome {
        unreachable!("creating calls nobody")
    }
}

fn engine(sent: &Arc<Sent>, memory: &Arc<Memory>) -> Engine {
    let stores = Stores::of(memory);
    Engine {
        clock: Arc::new(Still),
        entropy: Arc::new(SystemEntropy::new()),
        apps: stores.apps,
        schedules: stores.schedules,
        states: stores.states,
        executions: stores.executions,
        listeners: stores.listeners,
        devices: stores.devices,
        queue: sent.clone(),
        wakes: sent.clone(),
        caller: Arc::new(Still),
        pusher: Arc::new(rondo_domain::push::sender::NoSender),
        observer: sent.clone(),
        statistics: memory.clone(),
        links: Links::new("https://rondo.example", [7; 32]),
        settings: rondo_aws::settings(),
    }
}

fn app(max_schedules: Option<u32>) -> App {
    App {
        key: AppKey::from_random(1),
        name: "app".to_owned(),
        time_zone: chrono_tz::UTC,
        created_at: NOW,
        secrets: Vec::new(),
        signing_secrets: Vec::new(),
        limits: AppLimits { max_schedules, max_pushes: None },
        push: Default::default(),
    }
}

fn draft(trigger: Trigger) -> Draft {
    let url = "https://target.example/".parse().expect("a URL");
    Draft {
        received_at: NOW,
        name: None,
        trigger,
        occurrences: None,
        target: Target::Http(HttpTarget {
            url,
            method: Method::Post,
            headers: Vec::new(),
            body: Body::Empty,
        }),
        delivery: Delivery::default(),
        policy: Policy::default(),
        tags: BTreeMap::new(),
        request: None,
        push: None,
    }
}

fn bare(drafts: Vec<Draft>) -> Vec<(Draft, Option<IdempotencyKey>)> {
    drafts.into_iter().map(|draft| (draft, None)).collect()
}

fn key(fingerprint: &str) -> Option<IdempotencyKey> {
    let expires_at = NOW.plus(Span::from_secs(86_400));
    Some(IdempotencyKey { key: "key".to_owned(), fingerprint: fingerprint.to_owned(), expires_at })
}

fn single(seconds: u64) -> Draft {
    draft(Trigger::Single(Single { at: NOW.plus(Span::from_secs(seconds)) }))
}

fn every(seconds: u64) -> Draft {
    draft(Trigger::Interval(Interval { every: Span::from_secs(seconds), first: NOW, end: None }))
}

#[tokio::test]
async fn what_a_batch_begins_with_is_sent_at_once() {
    let (sent, memory) = (Arc::new(Sent::default()), Arc::new(Memory::new()));
    let mut drafts = Vec::new();
    for _ in 0..20 {
        // Soon; and too far away for the queue.
        drafts.extend([single(5), every(60), single(86_400)]);
    }
    let made = engine(&sent, &memory).create_many(&app(None), bare(drafts)).await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    let sends = sent.sends.lock().expect("unpoisoned");
    let [messages] = sends.as_slice() else { panic!("{} sends", sends.len()) };
    let of = |wanted: fn(&Message) -> bool| messages.iter().filter(|one| wanted(&one.message)).count();
    assert_eq!(of(|message| matches!(message, Message::Segment(_))), 20);
    assert_eq!(of(|message| matches!(message, Message::Wake { .. })), 20);
    assert_eq!(messages.len(), 40);
    let wakes = sent.wakes.lock().expect("unpoisoned");
    assert_eq!((wakes.len(), wakes.iter().all(|wake| wake.far)), (20, true));
}

#[tokio::test]
async fn answers_keep_their_order_whatever_they_are() {
    let (sent, memory) = (Arc::new(Sent::default()), Arc::new(Memory::new()));
    let past = || draft(Trigger::Single(Single { at: NOW.minus(Span::from_secs(1)) }));
    let drafts = vec![single(1), past(), single(2), single(3), past(), single(4)];
    let made = engine(&sent, &memory).create_many(&app(Some(3)), bare(drafts)).await;
    let due = |seconds: u64| Some(NOW.plus(Span::from_secs(seconds)));
    let shown: Vec<_> = made
        .iter()
        .map(|answer| match answer {
            Ok(Made { schedule, .. }) => Ok(schedule.state.next_due),
            Err(Error::LimitReached(limit)) => Err(format!("limit {limit}")),
            Err(error) => Err(error.to_string()),
        })
        .collect();
    let refused = Err("trigger.single.time: is in the past: the schedule would never come due".to_owned());
    assert_eq!(
        shown,
        [Ok(due(1)), refused.clone(), Ok(due(2)), Ok(due(3)), refused, Err("limit 3".to_owned())]
    );
}

#[tokio::test]
async fn what_cannot_be_sent_is_created_all_the_same() {
    let sent = Arc::new(Sent { is_away: true, ..Sent::default() });
    let memory = Arc::new(Memory::new());
    let engine = engine(&sent, &memory);
    let made = engine.create_many(&app(None), bare(vec![single(5), single(86_400), every(60)])).await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    let overdue = engine.schedules.overdue(NOW.plus(Span::from_secs(2 * 86_400)), 10).await.expect("a read");
    assert_eq!(overdue.len(), 3, "somebody looks at each of them");
    assert_eq!(sent.troubles.lock().expect("unpoisoned").len(), 2);
}

#[tokio::test]
async fn an_empty_batch_does_nothing() {
    let (sent, memory) = (Arc::new(Sent::default()), Arc::new(Memory::new()));
    assert!(engine(&sent, &memory).create_many(&app(None), Vec::new()).await.is_empty());
    assert!(sent.sends.lock().expect("unpoisoned").is_empty());
}

#[tokio::test]
async fn what_was_in_time_the_first_time_is_answered_when_it_is_past() {
    let (sent, memory) = (Arc::new(Sent::default()), Arc::new(Memory::new()));
    let (engine, app) = (engine(&sent, &memory), app(None));
    let ask = |seconds: u64, fingerprint: &str| {
        let draft = Draft { received_at: NOW.plus(Span::from_secs(seconds)), ..single(5) };
        engine.create_once(&app, draft, key(fingerprint))
    };
    let first = ask(0, "this").await.expect("it is made");
    assert!(!first.replayed);
    let again = ask(60, "this").await.expect("it was made");
    assert_eq!(again, Made { replayed: true, ..first });
    assert!(matches!(ask(60, "that").await, Err(Error::KeyReused)));
    assert!(matches!(ask(86_400, "this").await, Err(Error::Invalid(_))), "the key has expired");
    assert_eq!(memory.snapshot().len(), 1);
}

#[tokio::test]
async fn a_request_that_ended_too_soon_is_made_good_by_its_repetition() {
    let (sent, memory) = (Arc::new(Sent::default()), Arc::new(Memory::new()));
    let engine = engine(&sent, &memory);
    let take = || {
        let sends = std::mem::take(&mut *sent.sends.lock().expect("unpoisoned"));
        (sends, std::mem::take(&mut *sent.wakes.lock().expect("unpoisoned")))
    };
    for (number, draft) in [single(5), every(60), single(86_400)].into_iter().enumerate() {
        let app = App { key: AppKey::from_random(number as u128), ..app(None) };
        let at = |seconds: u64| Draft { received_at: NOW.plus(Span::from_secs(seconds)), ..draft.clone() };
        let made = engine.create_once(&app, at(0), key("this")).await.expect("it is made");
        let first = take();
        assert_ne!(first, (Vec::new(), Vec::new()));
        let again = engine.create_once(&app, at(1), key("this")).await.expect("it was made");
        assert_eq!(again, Made { replayed: true, ..made.clone() });
        assert_eq!(take(), first, "the same messages, and the same wakes");
        // Nothing is sent once whoever looks at what is overdue has it, nor once somebody has touched it.
        engine.create_once(&app, at(3600), key("this")).await.expect("it was made");
        assert_eq!(take(), (Vec::new(), Vec::new()));
        engine.cancel(&app.key, made.schedule.definition.id, None).await.expect("it is canceled");
        take();
        engine.create_once(&app, at(1), key("this")).await.expect("it was made");
        assert_eq!(take(), (Vec::new(), Vec::new()));
    }
}
