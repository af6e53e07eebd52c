//! The driver over a schedule that pushes: what was opened before a crash is told after it.

use crate::{
    driving::Driven,
    world::{HandClock, Recorder, World, add_app, at, draft, every},
};
use async_trait::async_trait;
use rondo_domain::{
    engine::Draft,
    ports::{Clock, DeviceStore, ExecutionStore},
    push::{
        PushFields, PushTarget,
        device::{Device, Platform, Subscription},
        sender::{Fate, PushJob, PushReport, PushSender, Recipients},
    },
    schedule::Target,
    state::Status,
    time::{Span, Timestamp},
    trigger::{FanOut, Times, Trigger},
};
use std::sync::{Arc, Mutex};

/// Takes every push, and keeps whom it was for, and when.
struct Taken {
    clock: Arc<HandClock>,
    told: Mutex<Vec<(String, Timestamp)>>,
}

#[async_trait]
impl PushSender for Taken {
    async fn send(&self, job: PushJob<'_>) -> PushReport {
        let Recipients::These(devices) = job.to else { panic!("the app has no gateway") };
        let now = self.clock.now();
        self.told.lock().unwrap().extend(devices.iter().map(|device| (device.id.to_string(), now)));
        PushReport {
            sent_at: now,
            done_at: now,
            status: Some(201),
            msg_id: Some(job.msg_id.to_owned()),
            fates: vec![Fate::Accepted; devices.len()],
        }
    }
}

/// With so much work for each step: time must not run away from it.
async fn pass(world: &World, to: Timestamp, step: Span, turns: u32) {
    while world.clock.now() < to {
        for _ in 0..turns {
            world.turn().await;
        }
        world.clock.set(to.min(world.clock.now().plus(step)));
    }
    for _ in 0..20 {
        world.turn().await;
    }
}

/// Time stands still until the work has caught up with it.
async fn caught_up(world: &World, told: impl Fn() -> usize, count: usize) {
    for _ in 0..100_000 {
        if told() >= count {
            break;
        }
        world.turn().await;
    }
}

#[tokio::test]
async fn each_is_told_once_at_its_own_time_though_the_process_dies_in_between() {
    let world = World::new();
    let app = add_app(&world.store).await;
    let (early, late) = (chrono_tz::Asia::Kathmandu, chrono_tz::Asia::Kolkata);
    for number in 0..1200 {
        let mut device = Device::new(format!("device {number}").parse().unwrap(), Platform::Web, at(0));
        device.zone = Some(if number < 100 { early } else { late });
        let key = |text: &str| text.to_owned();
        let endpoint = "https://push.example/".to_owned();
        device.subscription = Some(Subscription { endpoint, p256dh: key("key"), auth: key("auth") });
        device.revision = 1;
        assert!(world.store.put_device(&app.key, &device, 0).await.unwrap());
    }
    // Ten minutes from now in Kathmandu, and a quarter of an hour later in Kolkata.
    let due = at(600_000);
    let wall = due.utc().with_timezone(&early).naive_local();
    let trigger =
        FanOut { times: Times::Single(wall), zone: chrono_tz::UTC, per_recipient: true, from: at(0) };
    let push = serde_json::json!({"to": "all", "body": {"platform": "all", "notification": {"alert": "Hi"}}});
    let draft = Draft {
        trigger: Trigger::FanOut(trigger),
        target: Target::Push(PushTarget { push }),
        push: Some(PushFields { trigger: Some(serde_json::json!({})), extra: Default::default() }),
        ..draft(every(1, at(0)), None)
    };
    let taken = Arc::new(Taken { clock: world.clock.clone(), told: Mutex::default() });
    let start = |world: &World| {
        let mut engine = world.engine(Recorder::new(world.clock.clone()));
        engine.pusher = taken.clone();
        Driven::with(world, engine)
    };
    let told = || taken.told.lock().unwrap().clone();

    let driven = start(&world);
    let id = driven.engine.create(&app, draft).await.unwrap().definition.id;
    let later = due.plus(Span::from_secs(900));
    // Pages are opened a minute before they are due.
    let soon = Span::from_secs(90);
    pass(&world, due.minus(soon), Span::from_secs(10), 20).await;
    pass(&world, due.plus(soon), Span::from_secs(5), 200).await;
    pass(&world, later.minus(soon), Span::from_secs(10), 20).await;
    pass(&world, later.minus(Span::from_secs(20)), Span::from_secs(5), 200).await;
    caught_up(&world, || told().len(), 100).await;
    assert_eq!(told().len(), 100);
    let open = world.store.waiting(later, 10).await.unwrap();
    assert_eq!(open.iter().filter(|one| one.page > 0).count(), 3, "pages of some five hundred: {open:?}");
    driven.stop().await;

    let world = world.crash();
    let driven = start(&world);
    pass(&world, later.plus(Span::from_secs(20)), Span::from_secs(5), 200).await;
    caught_up(&world, || told().len(), 1200).await;
    let mut names: Vec<String> = told().into_iter().map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    assert_eq!((names.len(), told().len()), (1200, 1200));
    for (index, (name, at)) in told().into_iter().enumerate() {
        let due = if index < 100 { due } else { later };
        assert!(at >= due && at.since(due) <= Span::from_secs(60), "{name} was told at {at}");
    }
    // It is over once nobody can be due any more, in whatever zone.
    assert_eq!(world.state(id).await.status, Status::Active);
    pass(&world, later.plus(Span::from_secs(20 * 3600)), Span::from_secs(120), 20).await;
    for _ in 0..100_000 {
        if world.state(id).await.status == Status::Finished {
            break;
        }
        world.turn().await;
    }
    assert_eq!(told().len(), 1200);
    let state = world.state(id).await;
    assert_eq!((state.status, state.waiting, state.counts.done), (Status::Finished, 0, 1));
    driven.stop().await;
}
