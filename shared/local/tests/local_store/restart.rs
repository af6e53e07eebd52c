//! What a crash leaves: every outcome, and no claim.

use crate::world::{World, app_key, at};
use rondo_domain::{
    message::{Delayed, Message},
    notice::Notice,
    plan::{Plan, PlanWrite},
    ports::{AppStore, ExecutionQuery, ExecutionStore, ListenerStore, Queue, ScheduleStore, StateStore},
    state::ClaimAnswer,
};

#[tokio::test]
async fn a_crash_loses_claims_and_plans_and_nothing_else() {
    let world = World::new();
    let id = world.create(|_, state| state.look_again_at = Some(at(500))).await;
    let plan = Plan {
        spread: rondo_domain::time::Span::ZERO,
        send: Vec::new(),
        missed: Vec::new(),
        planned: 4,
        exhausted: true,
        next_wake: None,
        look_again_at: Some(at(120_000)),
        look_when_idle: None,
        next_due: None,
    };
    let write = PlanWrite { id, if_version: 1, token: world.token(), plan, far_wake: None };
    assert!(world.store.save_plan(write, at(500), false).await.unwrap().is_some());
    let (_, first) = world.claim(id, 1).await;
    world.claim(id, 2).await;
    let (_, third) = world.claim(id, 3).await;
    world.close(id, 1, first).await.unwrap();
    world.close(id, 3, third).await.unwrap();
    assert_eq!(world.store.overdue(at(60_000), 10).await.unwrap(), [], "planned, and looked after");

    let world = world.crash();
    let state = world.state(id).await;
    assert_eq!((state.counts.done, state.anchor.number, state.in_flight()), (2, 1, 0));
    assert!(state.is_closed(3) && !state.is_closed(2));
    assert_eq!((state.planned, state.exhausted), (1, false), "what was sent is lost, and planned again");
    assert_eq!(world.store.overdue(at(500), 10).await.unwrap(), [id], "at the instant it was to be planned");
    assert_eq!(world.claim(id, 2).await.0, ClaimAnswer::Claimed { tries: 1 });
    let query = ExecutionQuery { schedule: id, status: None, newest_first: false, after: None, limit: 10 };
    let records = world.store.executions(&query).await.unwrap();
    assert_eq!(records.items.iter().map(|record| record.id.number).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(records.next, None);
}

#[tokio::test]
async fn apps_listeners_and_numbers_survive() {
    let world = World::new();
    let app = crate::world::add_app(&world.store).await;
    let url = "https://example.com/events".parse().unwrap();
    let listener = world.store.add_listener(&app.key, &url, &[], at(0)).await.unwrap();
    for _ in 0..5 {
        assert!(!world.store.listener_heard(&app.key, listener.id, false, at(1)).await.unwrap());
    }
    let world = world.crash();
    assert_eq!(*world.store.app(&app.key).await.unwrap().unwrap(), app);
    assert!(
        world.store.listener_heard(&app.key, listener.id, false, at(2)).await.unwrap(),
        "the sixth in a row"
    );
    assert_eq!(world.store.listeners(&app.key).await.unwrap()[0].removed_at, Some(at(2)));
    let again = world.store.add_listener(&app.key, &url, &[], at(3)).await.unwrap();
    assert!(again.id > listener.id && again.removed_at.is_none(), "the removed one stays, to be seen");
    let renewed = world.store.add_listener(&app.key, &url, &[], at(4)).await.unwrap();
    assert_eq!(renewed.id, again.id);
}

#[tokio::test]
async fn a_removed_app_leaves_nothing() {
    let world = World::new();
    crate::world::add_app(&world.store).await;
    let mut ids = Vec::new();
    for _ in 0..450 {
        ids.push(world.create(|_, _| {}).await);
    }
    let (_, token) = world.claim(ids[0], 1).await;
    world.close(ids[0], 1, token).await.unwrap();
    assert!(world.store.remove_app(&app_key()).await.unwrap());
    assert!(!world.store.remove_app(&app_key()).await.unwrap());
    for id in ids {
        assert_eq!(world.store.load(id).await.unwrap(), None);
        assert_eq!(world.store.execution(id.execution(1, 0)).await.unwrap(), None);
    }
    assert_eq!(world.store.overdue(at(1_000_000), 10).await.unwrap(), []);
}

#[tokio::test]
async fn notices_wait_on_disk() {
    let world = World::new();
    let notice = Notice {
        id: "a-notice".to_owned(),
        app: app_key(),
        url: "https://example.com/events".parse().unwrap(),
        listener: None,
        body: "{}".to_owned(),
        attempts: 0,
        since: at(0),
    };
    let message = Delayed { at: at(0), message: Message::Notice(notice) };
    world.store.send(vec![message.clone(), message]).await.unwrap();
    assert_eq!(world.store.depths().messages, 0, "nobody drives this store");
    let world = world.crash();
    let caller = crate::world::Recorder::new(world.clock.clone());
    crate::world::add_app(&world.store).await;
    let driven = crate::driving::Driven::start(&world, caller.clone());
    assert_eq!(caller.until(1).await[0].id, "a-notice");
    driven.stop().await;
    let world = world.crash();
    let driven = crate::driving::Driven::start(&world, caller.clone());
    driven.stop().await;
    assert_eq!(caller.calls().len(), 1, "delivered once, and gone");
}
