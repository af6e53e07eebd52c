//! The driver over a store, with a clock that the test sets.

use crate::world::{Recorder, World, add_app, at, draft, every};
use rondo_domain::{
    engine::Engine,
    execution::ExecutionStatus,
    ids::NO_SLOT,
    ports::{Clock, ExecutionStore},
    state::Status,
    time::Span,
    trigger::{Single, Trigger},
};
use rondo_local::{Driver, DriverLimits, Stopped};
use std::sync::Arc;
use tokio::{sync::oneshot, task::JoinHandle};

pub struct Driven {
    pub engine: Engine,
    stop: oneshot::Sender<()>,
    run: JoinHandle<Stopped>,
}

impl Driven {
    pub fn start(world: &World, caller: Arc<Recorder>) -> Self {
        Driven::with(world, world.engine(caller))
    }

    pub fn with(world: &World, engine: Engine) -> Self {
        let limits = DriverLimits { max_in_flight: 64, ..DriverLimits::default() };
        let driver = Driver::new(engine.clone(), world.store.clone(), limits);
        let (stop, stopped) = oneshot::channel::<()>();
        let run = tokio::spawn(driver.run(async {
            let _ = stopped.await;
        }));
        Driven { engine, stop, run }
    }

    pub async fn stop(self) -> Stopped {
        let _ = self.stop.send(());
        self.run.await.unwrap()
    }
}

/// Lets time pass, a tenth of a second and some work at a time, as often as it takes.
async fn pass_until<T>(world: &World, until: impl Future<Output = T>) -> T {
    let mut until = std::pin::pin!(until);
    let mut now = world.clock.now();
    loop {
        tokio::select! {
            biased;
            done = &mut until => return done,
            () = async { for _ in 0..3 { world.turn().await } } => {
                now = now.plus(Span::from_millis(100));
                world.clock.set(now);
            }
        }
    }
}

async fn until_over(world: &World, id: rondo_domain::ids::ScheduleId) {
    while !world.state(id).await.status.has_ended() {
        world.turn().await;
    }
}

#[tokio::test]
async fn every_occurrence_is_called_once_and_never_early() {
    let world = World::new();
    let app = add_app(&world.store).await;
    let caller = Recorder::new(world.clock.clone());
    let driven = Driven::start(&world, caller.clone());
    let schedule = driven.engine.create(&app, draft(every(500, at(1000)), Some(40))).await.unwrap();
    let id = schedule.definition.id;
    pass_until(&world, until_over(&world, id)).await;
    let calls = caller.calls();
    let mut ids: Vec<_> = calls.iter().map(|call| call.id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((calls.len(), ids.len()), (40, 40));
    for call in calls {
        let number = call.id.parse::<rondo_domain::ids::ExecutionId>().unwrap().number;
        let due = at(1000 + u64::from(number - 1) * 500);
        assert!(call.at >= due, "{number} was due at {due}, and called at {}", call.at);
    }
    let state = world.state(id).await;
    assert_eq!((state.status, state.counts.done), (Status::Finished, 40));
    assert_eq!(driven.stop().await, Stopped { unfinished: 0 });
    assert_eq!(world.store.depths().schedules, 0, "what is over is not kept in memory");
}

#[tokio::test]
async fn a_failed_call_is_tried_again_when_its_pause_is_over() {
    let world = World::new();
    let app = add_app(&world.store).await;
    let caller = Recorder::new(world.clock.clone());
    caller.refusals.store(2, std::sync::atomic::Ordering::SeqCst);
    let driven = Driven::start(&world, caller.clone());
    let trigger = Trigger::Single(Single { at: at(1000) });
    let id = driven.engine.create(&app, draft(trigger, None)).await.unwrap().definition.id;
    pass_until(&world, until_over(&world, id)).await;
    let record = world.store.execution(id.execution(1, NO_SLOT)).await.unwrap().unwrap();
    assert_eq!((record.status, record.attempts.len()), (ExecutionStatus::Succeeded, 3));
    let pauses: Vec<_> = record.attempts.windows(2).map(|two| two[1].sent_at.since(two[0].done_at)).collect();
    assert!(pauses[0] >= Span::from_secs(4) && pauses[1] >= Span::from_secs(8), "{pauses:?}");
    driven.stop().await;
}

#[tokio::test]
async fn a_panic_costs_no_execution() {
    let world = World::new();
    let app = add_app(&world.store).await;
    let caller = Recorder::new(world.clock.clone());
    caller.panics.store(2, std::sync::atomic::Ordering::SeqCst);
    let driven = Driven::start(&world, caller.clone());
    let trigger = Trigger::Single(Single { at: at(1000) });
    let id = driven.engine.create(&app, draft(trigger, None)).await.unwrap().definition.id;
    pass_until(&world, until_over(&world, id)).await;
    let record = world.store.execution(id.execution(1, NO_SLOT)).await.unwrap().unwrap();
    assert_eq!((record.status, caller.calls().len()), (ExecutionStatus::Succeeded, 3));
    assert_eq!(world.state(id).await.counts.done, 1);
    driven.stop().await;
}

#[tokio::test]
async fn what_panics_every_time_is_given_up() {
    let world = World::new();
    let app = add_app(&world.store).await;
    let caller = Recorder::new(world.clock.clone());
    caller.panics.store(usize::MAX, std::sync::atomic::Ordering::SeqCst);
    let driven = Driven::start(&world, caller.clone());
    let trigger = Trigger::Single(Single { at: at(1000) });
    let id = driven.engine.create(&app, draft(trigger, None)).await.unwrap().definition.id;
    pass_until(&world, until_over(&world, id)).await;
    let record = world.store.execution(id.execution(1, NO_SLOT)).await.unwrap().unwrap();
    assert_eq!((record.status, caller.calls().len()), (ExecutionStatus::Failed, 3));
    assert!(record.reason.is_some_and(|reason| reason.starts_with("abandoned")));
    driven.stop().await;
}

#[tokio::test]
async fn what_had_no_outcome_is_called_again_by_the_next_process() {
    let world = World::new();
    let app = add_app(&world.store).await;
    let caller = Recorder::new(world.clock.clone());
    let held = caller.gate.write().await;
    let driven = Driven::start(&world, caller.clone());
    let trigger = Trigger::Single(Single { at: at(1000) });
    let id = driven.engine.create(&app, draft(trigger, None)).await.unwrap().definition.id;
    pass_until(&world, caller.until(1)).await;
    let stopped = pass_until(&world, driven.stop()).await;
    assert_eq!(stopped.unfinished, 1, "the target has not answered");
    drop(held);
    let world = world.crash();
    let driven = Driven::start(&world, caller.clone());
    pass_until(&world, until_over(&world, id)).await;
    let calls = caller.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].id, calls[1].id, "the same execution, so that the target can tell");
    driven.stop().await;
}

#[tokio::test]
async fn far_schedules_stay_on_disk_and_come_in_time() {
    let world = World::with(|options| options.max_loaded = 20);
    let app = add_app(&world.store).await;
    let caller = Recorder::new(world.clock.clone());
    let driven = Driven::start(&world, caller.clone());
    for _ in 0..100 {
        let trigger = Trigger::Single(Single { at: at(60_000) });
        driven.engine.create(&app, draft(trigger, None)).await.unwrap();
    }
    assert_eq!(world.store.depths(), rondo_local::Depths::default(), "none of them is due soon");
    let most = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let watched = async {
        loop {
            let loaded = world.store.depths().schedules;
            most.fetch_max(loaded, std::sync::atomic::Ordering::SeqCst);
            world.turn().await;
        }
    };
    let calls = tokio::select! {
        calls = pass_until(&world, caller.until(100)) => calls,
        () = watched => unreachable!(),
    };
    assert!(calls.iter().all(|call| call.at >= at(60_000)));
    let most = most.load(std::sync::atomic::Ordering::SeqCst);
    assert!((1..=20).contains(&most), "{most} were loaded at once");
    driven.stop().await;
}

#[tokio::test]
async fn a_recurring_schedule_leaves_memory_between_its_occurrences() {
    let world = World::new();
    let app = add_app(&world.store).await;
    let caller = Recorder::new(world.clock.clone());
    let driven = Driven::start(&world, caller.clone());
    let trigger = every(3_600_000, at(10_000));
    let id = driven.engine.create(&app, draft(trigger, None)).await.unwrap().definition.id;
    pass_until(&world, caller.until(1)).await;
    let gone = async {
        while world.store.depths().schedules > 0 {
            world.turn().await;
        }
    };
    gone.await;
    let state = world.state(id).await;
    assert_eq!(state.counts.done, 1);
    let look = state.look_again_at.unwrap();
    assert!(at(3_605_000) <= look && look <= at(3_608_000), "its row says when it is to be woken: {look}");
    world.clock.set(at(3_600_000));
    let calls = pass_until(&world, caller.until(2)).await;
    assert!(calls[1].at >= at(3_610_000));
    driven.stop().await;
}

#[tokio::test]
async fn a_cancelled_schedule_is_not_called() {
    let world = World::new();
    let app = add_app(&world.store).await;
    let caller = Recorder::new(world.clock.clone());
    let driven = Driven::start(&world, caller.clone());
    let id = driven.engine.create(&app, draft(every(200, at(200)), None)).await.unwrap().definition.id;
    pass_until(&world, caller.until(5)).await;
    driven.engine.cancel(&app.key, id, None).await.unwrap();
    let before = caller.calls().len();
    let later = world.clock.now().plus(Span::from_secs(5));
    pass_until(&world, async {
        while world.clock.now() < later {
            world.turn().await;
        }
    })
    .await;
    assert_eq!(caller.calls().len(), before);
    assert_eq!(driven.stop().await, Stopped { unfinished: 0 });
}
