//! Batches as they should be: of any size, everything at once, each message due in its own time.

use super::world::{World, bodies, failed};
use rondo_domain::{
    engine::Handled,
    execution::ExecutionStatus,
    message::{Delayed, Message},
    time::Span,
};
use rondo_lambda::{dispatch::Dispatcher, event::Incoming, settings::HOLD};

const SECOND: Span = Span::from_secs(1);

#[tokio::test(start_paused = true)]
async fn an_empty_batch_is_done_at_once() {
    let world = World::start().await;
    let before = world.now();
    let answer = world.dispatch(&[]).await;
    assert_eq!(serde_json::to_string(&answer).unwrap(), r#"{"batchItemFailures":[]}"#);
    assert_eq!(world.now(), before);
}

#[tokio::test(start_paused = true)]
async fn a_segment_is_held_until_it_is_due_and_called_then() {
    let world = World::start().await;
    let segment = world.single(Span::from_millis(2_345), "/").await;
    let answer = world.dispatch(&bodies(std::slice::from_ref(&segment))).await;
    assert_eq!(failed(&answer), Vec::<&str>::new());
    let calls = world.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].1, segment.at, "neither early nor late");
    let (state, records) = &world.states()[0];
    assert!(state.status.has_ended());
    assert_eq!(records[0].status, ExecutionStatus::Succeeded);
    assert!(world.take_sent().is_empty());
}

#[tokio::test(start_paused = true)]
async fn batches_of_any_size_run_all_at_once() {
    for count in [1, 10, 1000] {
        let world = World::start().await;
        let mut segments = Vec::new();
        for index in 0..count {
            // Due within three seconds, and half of them slow: one after the other they would take hours.
            let path = if index % 2 == 0 { "/" } else { "/slow" };
            segments.push(world.single(Span::from_millis(3 * index % 3_000), path).await);
        }
        let started = world.now();
        let answer = world.dispatch(&bodies(&segments)).await;
        assert_eq!(failed(&answer), Vec::<&str>::new());
        let calls = world.calls();
        assert_eq!(calls.len(), segments.len());
        for segment in &segments {
            let Message::Segment(parts) = &segment.message else { panic!("{segment:?}") };
            let id = parts.id.execution(1, 0).to_string();
            let (_, at) = calls.iter().find(|(called, _)| *called == id).expect("each is called");
            assert_eq!(*at, segment.at);
        }
        assert!(world.now().since(started) <= Span::from_secs(64), "{}", world.now().since(started).millis());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_due_later_than_the_hold_comes_back_at_once_and_together() {
    let world = World::start().await;
    let mut messages = Vec::new();
    for seconds in [20, 40, 800] {
        messages.push(world.single(Span::from_secs(seconds), "/").await);
    }
    let near = world.single(HOLD, "/").await;
    // This one says that it is due, and is not: the engine finds out.
    let early = world.single(Span::from_secs(60), "/").await;
    let before = world.now();
    let mut all = messages.clone();
    all.extend([near, Delayed { at: before, ..early.clone() }]);
    let answer = world.dispatch(&bodies(&all)).await;
    assert_eq!(failed(&answer), Vec::<&str>::new());
    let sendings = world.take_sendings();
    messages.push(early);
    assert_eq!(sendings, [(before, messages)], "as they came, before anything is waited for, in one sending");
    assert_eq!(world.calls().len(), 1, "the one within the hold was called");
}

#[tokio::test(start_paused = true)]
async fn a_wake_plans_and_sends_and_is_acknowledged() {
    let world = World::start().await;
    let wake = world.interval(Span::from_secs(5), "/").await;
    assert!(matches!(wake.message, Message::Wake { .. }));
    let answer = world.dispatch(&bodies(std::slice::from_ref(&wake))).await;
    assert_eq!(failed(&answer), Vec::<&str>::new());
    assert_eq!(world.now(), wake.at.max(super::world::START), "it is taken as it is due");
    let sent = world.take_sent();
    let segments = sent.iter().filter(|message| super::world::is_segment(message)).count();
    assert!(segments > 100, "{segments} segments of the next quarter of an hour");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_twice_is_called_once() {
    let world = World::start().await;
    let segment = world.single(SECOND, "/").await;
    let twice = [segment.clone(), segment.clone()];
    assert_eq!(failed(&world.dispatch(&bodies(&twice)).await), Vec::<&str>::new());
    assert_eq!(world.calls().len(), 1);
    // The second found the first one's claim and is to look again when it would have lapsed, if at all.
    for back in world.take_sent() {
        assert!(back.at > world.now());
        assert_eq!(failed(&world.dispatch(&bodies(&[back])).await), Vec::<&str>::new());
    }
    world.sleep(Span::from_secs(100)).await;
    assert_eq!(failed(&world.dispatch(&bodies(&[segment])).await), Vec::<&str>::new());
    assert_eq!(world.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_notice_is_not_told_before_its_time() {
    let world = World::start().await;
    let app = &world.app.key;
    let url = "https://target.example/fails".parse().unwrap();
    world.engine.listeners.add_listener(app, &url, &[], world.now()).await.unwrap();
    let draft = world.draft(
        rondo_domain::trigger::Trigger::Single(rondo_domain::trigger::Single {
            at: world.now().plus(Span::from_secs(3600)),
        }),
        "/",
    );
    world.engine.create(&world.app, draft).await.unwrap();
    let told: Vec<_> =
        world.take_sent().into_iter().filter(|one| matches!(one.message, Message::Notice(_))).collect();
    assert_eq!(told.len(), 1);
    // It fails, and is to be told again some seconds later.
    assert_eq!(failed(&world.dispatch(&bodies(&told)).await), Vec::<&str>::new());
    let again = world.take_sent();
    assert_eq!(again.len(), 1);
    assert!(again[0].at > world.now());
    assert_eq!(failed(&world.dispatch(&bodies(&again)).await), Vec::<&str>::new());
    let calls = world.calls();
    assert_eq!(calls.len(), 2);
    assert!(calls[1].1 >= again[0].at, "held until then, although it came early");
    // One that came much too early goes back untold.
    let far = world.take_sent().remove(0);
    let before = world.now();
    let far = Delayed { at: before.plus(Span::from_secs(600)), ..far };
    assert_eq!(failed(&world.dispatch(&bodies(std::slice::from_ref(&far))).await), Vec::<&str>::new());
    assert_eq!(world.calls().len(), 2);
    assert_eq!(world.take_sendings(), [(before, vec![far])], "at once");
}

#[tokio::test(start_paused = true)]
async fn the_hold_is_a_setting() {
    let world = World::start().await;
    let segment = world.single(Span::from_secs(5), "/").await;
    let batch = super::world::sqs_batch(&bodies(std::slice::from_ref(&segment)));
    let dispatcher = Dispatcher { engine: world.engine.clone(), hold: Span::from_secs(4) };
    let deadline = world.now().plus(super::world::TIMEOUT);
    dispatcher.answer(Incoming::Event(batch), deadline).await.unwrap();
    assert_eq!(world.take_sent(), std::slice::from_ref(&segment));
    assert!(world.calls().is_empty());
    assert!(HOLD > Span::from_secs(5), "with the default it would have been called");
    assert!(matches!(world.engine.handle(segment.message, segment.at).await.unwrap(), Handled::Done));
}
