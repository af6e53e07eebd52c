//! The senders against real sockets on loopback: what a gateway and a push service are sent, and what becomes of
//! each of their answers. Timeouts are 5 s, which no test lets run out but the one that is about that.

#![expect(clippy::unwrap_used, reason = "a test ends where something is amiss")]

mod browser;
mod endings;
mod gateway;
#[path = "../http_caller/target.rs"]
mod target;
mod web_push;

use rondo_domain::{
    app::{App, AppLimits},
    engine::Vault as _,
    ids::{ExecutionId, ScheduleId},
    ports::Entropy,
    push::{
        PushSettings, PushTarget, Upstream,
        device::Device,
        outcome::PushError,
        sender::{Fate, PushJob, PushReport, PushSender as _, Recipients},
    },
    time::{Span, Timestamp},
};
use rondo_outbound::{
    AddressPolicy, CallerSettings, HttpCaller, PushSenders, SealingKey, SenderSettings, client::Now,
};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

/// 2023-11-14T22:13:20Z.
pub const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
pub const UPSTREAM_SECRET: &str = "a master secret at the gateway";

/// A clock that is set, so that what depends on the time is known.
#[derive(Clone)]
pub struct SetClock(Arc<AtomicI64>);

impl SetClock {
    pub fn forward(&self, span: Span) {
        self.0.fetch_add(i64::try_from(span.millis()).unwrap(), Ordering::SeqCst);
    }

    fn now(&self) -> Now {
        let millis = self.0.clone();
        Arc::new(move || Timestamp::from_millis(millis.load(Ordering::SeqCst)))
    }
}

/// Never the same twice; what is drawn is of no matter here.
#[derive(Default)]
struct Counting(AtomicU64);

impl Entropy for Counting {
    fn bits(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::SeqCst)) + (0x5eed << 64)
    }
}

pub struct World {
    pub senders: PushSenders,
    pub clock: SetClock,
}

pub fn world_with(caller: CallerSettings, senders: SenderSettings) -> World {
    let clock = SetClock(Arc::new(AtomicI64::new(START.millis())));
    let caller = HttpCaller::new(caller, clock.now()).unwrap();
    World { senders: PushSenders::beside(&caller, senders, Arc::new(Counting::default())).unwrap(), clock }
}

pub fn settings(policy: AddressPolicy) -> CallerSettings {
    CallerSettings::new(policy, sealing_key())
}

/// Loopback allowed, and `base` as the gateway.
pub fn world(base: Option<&str>) -> World {
    let gateway = base.map(|base| base.parse().unwrap());
    let contact = Some("mailto:ops@rondo.example".to_owned());
    world_with(settings(AddressPolicy::allowing_private()), SenderSettings { gateway, contact })
}

pub fn sealing_key() -> SealingKey {
    SealingKey::from_bytes([6; 32])
}

/// An app whose pushes go straight to the devices.
pub fn direct_app() -> App {
    let key = "tests".parse().unwrap();
    App {
        push: PushSettings {
            vapid: Some(sealing_key().new_push_key(&key, [9; 64])),
            ..PushSettings::default()
        },
        key,
        name: "tests".to_owned(),
        time_zone: chrono_tz::Tz::UTC,
        created_at: Timestamp::EPOCH,
        secrets: vec![],
        signing_secrets: vec![],
        limits: AppLimits::default(),
    }
}

/// An app with credentials at the gateway.
pub fn upstream_app() -> App {
    let mut app = direct_app();
    let sealed = sealing_key().seal_upstream(&app.key, UPSTREAM_SECRET, [1; 24]);
    app.push.upstream = Some(Upstream { key: "upstream-key".to_owned(), sealed });
    app
}

pub fn push(options: Value) -> PushTarget {
    PushTarget {
        push: json!({
            "from": "push",
            "to": {"tag": ["lunch"]},
            "body": {
                "platform": "web",
                "notification": {"web": {"alert": "Lunch is ready", "url": "https://rondo.example/"}},
                "options": options,
            },
            "request_id": "r-1",
        }),
    }
}

pub fn execution() -> ExecutionId {
    ScheduleId::new(START, 7).execution(3, 52).page(52, 1)
}

impl World {
    pub async fn send(&self, app: App, push: &PushTarget, to: Recipients<'_>) -> PushReport {
        self.send_within(app, push, to, Span::from_secs(5)).await
    }

    pub async fn send_within(
        &self,
        app: App,
        push: &PushTarget,
        to: Recipients<'_>,
        timeout: Span,
    ) -> PushReport {
        let app = Arc::new(app);
        let job = PushJob { app: &app, push, execution: execution(), msg_id: "1088009", to, timeout };
        self.senders.send(job).await
    }

    /// A plain push, straight to these.
    pub async fn tell(&self, devices: &[Device]) -> PushReport {
        self.send(direct_app(), &push(json!({})), Recipients::These(devices)).await
    }
}

#[track_caller]
pub fn refused(fate: &Fate) -> &PushError {
    match fate {
        Fate::Refused(error) => error,
        other => panic!("refused was expected: {other:?}"),
    }
}

#[track_caller]
pub fn later(fate: &Fate) -> (Option<Timestamp>, &PushError) {
    match fate {
        Fate::Later { at, error } => (*at, error),
        other => panic!("later was expected: {other:?}"),
    }
}
