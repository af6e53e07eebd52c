//! The whole of it once on the real clock, on several threads: what a clock set by hand cannot show is that the
//! timers, the writer's thread and the tasks come together, and that nothing is called early by the wall clock.

use crate::world::{Recorder, add_app, draft, engine, every, options};
use rondo_domain::{
    engine::Draft,
    ids::ExecutionId,
    ports::{Clock, ScheduleStore},
    state::Status,
    time::Span,
    trigger::{Single, Trigger},
};
use rondo_local::{Driver, DriverLimits, LocalStore, Stopped, SystemClock};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::oneshot;

const SINGLES: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_one_instant_and_some_in_a_rhythm() {
    let folder = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = LocalStore::open(options(folder.path(), clock.clone())).unwrap();
    let app = add_app(&store).await;
    let caller = Recorder::new(clock.clone());
    let engine = engine(&store, clock.clone(), caller.clone());
    let (stop, stopped) = oneshot::channel::<()>();
    let driver = Driver::new(engine.clone(), store.clone(), DriverLimits::default());
    let run = tokio::spawn(driver.run(async {
        let _ = stopped.await;
    }));
    let instant = clock.now().plus(Span::from_millis(1500));
    let ask = |trigger, occurrences| Draft { received_at: clock.now(), ..draft(trigger, occurrences) };
    let single = || engine.create(&app, ask(Trigger::Single(Single { at: instant }), None));
    let created = futures_util::future::join_all((0..SINGLES).map(|_| single())).await;
    let mut due = HashMap::new();
    for schedule in created {
        due.insert(schedule.unwrap().definition.id.execution(1, 0), instant);
    }
    for _ in 0..5 {
        let schedule = engine.create(&app, ask(every(100, instant), Some(10))).await.unwrap();
        for number in 1..=10 {
            let at = instant.plus(Span::from_millis(100).times(u64::from(number - 1)));
            due.insert(schedule.definition.id.execution(number, 0), at);
        }
    }
    let calls = caller.until(due.len()).await;
    for call in &calls {
        let id: ExecutionId = call.id.parse().unwrap();
        let due = due.remove(&id).expect("each of them once, and no other");
        assert!(call.at >= due);
    }
    assert!(due.is_empty());
    stop.send(()).unwrap();
    assert_eq!(run.await.unwrap(), Stopped { unfinished: 0 });
    store.close().await;
    let store = LocalStore::open(options(folder.path(), clock.clone())).unwrap();
    for call in calls {
        let id = call.id.parse::<ExecutionId>().unwrap().schedule;
        assert_eq!(store.load(id).await.unwrap().unwrap().state.status, Status::Finished);
    }
}
