//! Creating and changing schedules.

use super::{Suite, at, insist, key};
use futures_util::future::join_all;
use rondo_domain::{
    change::{Change, ChangeRefused},
    execution::ExecutionStatus,
    ids::{AppKey, ScheduleId},
    ports::{ChangeAnswer, Created, IdempotencyKey, NewSchedule, StoreError},
    schedule::Definition,
    state::{ClaimAnswer, Status},
    time::Span,
    trigger::{Interval, Trigger},
};
use std::sync::Arc;

pub async fn creating_is_all_or_nothing(suite: &Suite) {
    let app = key("one");
    let mut new = suite.draft(&app);
    new.limit = Some(1);
    let id = suite.create(new.clone()).await;
    let known = suite.load(id).await;
    assert_eq!((&*known.definition, &known.state), (&new.definition, &new.state));
    // The same id and token once more is the same creation, limit or not.
    let again = insist(|| suite.stores.schedules.create(new.clone())).await;
    assert_eq!(again, Created::Done(known.definition));
    let mut other = suite.draft(&app);
    other.limit = Some(1);
    let refused = insist(|| suite.stores.schedules.create(other.clone())).await;
    assert_eq!(refused, Created::LimitReached);
    assert!(suite.stores.schedules.load(other.state.id).await.expect("a read").is_none());
    // What has ended does not count; another app's does not either.
    let cancel = suite.change(&known.state, Change::Cancel { because: None }, at(1));
    insist(|| suite.stores.schedules.change(cancel.clone())).await;
    let admitted = insist(|| suite.stores.schedules.create(other.clone())).await;
    assert!(matches!(admitted, Created::Done(_)));
    let mut foreign = suite.draft(&key("two"));
    foreign.limit = Some(1);
    suite.create(foreign).await;
}

pub async fn the_limit_is_exact_under_concurrency(suite: &Suite) {
    let app = key("one");
    let new = (0..50).map(|_| {
        let mut new = suite.draft(&app);
        new.limit = Some(20);
        new
    });
    let all: Vec<_> = new.collect();
    let created = join_all(all.iter().map(|new| insist(|| suite.stores.schedules.create(new.clone())))).await;
    let done = created.iter().filter(|created| matches!(created, Created::Done(_))).count();
    assert_eq!(done, 20);
    let mut there = 0;
    for new in &all {
        there += usize::from(suite.stores.schedules.load(new.state.id).await.expect("a read").is_some());
    }
    assert_eq!(there, 20, "and only those are there");
}

/// A scheduled push where at most `limit` may be.
fn push(suite: &Suite, app: &AppKey, limit: u32) -> NewSchedule {
    NewSchedule { push_limit: Some(limit), ..suite.push(app) }
}

async fn cancel(suite: &Suite, id: ScheduleId) {
    let cancel = suite.change(&suite.state(id).await, Change::Cancel { because: None }, at(1));
    insist(|| suite.stores.schedules.change(cancel.clone())).await;
}

pub async fn the_push_limit_counts_pushes_alone(suite: &Suite) {
    let app = key("one");
    let plain = suite.schedule(&app).await;
    suite.create(suite.numbered(&app)).await;
    suite.create(suite.push_now(&app)).await;
    let over = suite.create(suite.push(&app)).await;
    cancel(suite, over).await;
    let first = push(suite, &app, 2);
    suite.create(first.clone()).await;
    // A world may count against the limit on all only what was made under one.
    let second = suite.create(NewSchedule { limit: Some(100), ..push(suite, &app, 2) }).await;
    let third = push(suite, &app, 2);
    assert_eq!(ask(suite, &third).await, Created::PushLimitReached);
    assert!(!is_there(suite, &third).await);
    // The same creation again is no new one.
    assert_eq!(ask(suite, &first).await, Created::Done(Arc::new(first.definition.clone())));
    // Others are not held up by it, another app is not either, and the limit on all goes first.
    for other in [suite.draft(&app), suite.numbered(&app), suite.push_now(&app), suite.push(&key("two"))] {
        suite.create(NewSchedule { push_limit: Some(1), ..other }).await;
    }
    let both = NewSchedule { limit: Some(1), ..push(suite, &app, 2) };
    assert_eq!(ask(suite, &both).await, Created::LimitReached);
    // What has ended counts no more; what was none of them frees no place.
    cancel(suite, plain).await;
    assert_eq!(ask(suite, &third).await, Created::PushLimitReached);
    cancel(suite, second).await;
    suite.create(third).await;
    assert_eq!(ask(suite, &push(suite, &app, 2)).await, Created::PushLimitReached);
}

pub async fn the_push_limit_is_exact_under_concurrency(suite: &Suite) {
    let app = key("one");
    let all: Vec<_> = (0..30).map(|_| push(suite, &app, 12)).collect();
    let created = join_all(all.iter().map(|new| ask(suite, new))).await;
    let done = created.iter().filter(|created| matches!(created, Created::Done(_))).count();
    let refused = created.iter().filter(|created| matches!(created, Created::PushLimitReached)).count();
    assert_eq!((done, refused), (12, 18));
    let mut there = 0;
    for new in &all {
        there += usize::from(is_there(suite, new).await);
    }
    assert_eq!(there, 12, "and only those are there");
}

pub async fn requests_are_numbered_per_app(suite: &Suite) {
    let number = |definition: &Definition| definition.request.as_ref().expect("a request").internal_id;
    let mut numbers = Vec::new();
    for app in ["one", "one", "two", "one"] {
        let id = suite.create(suite.numbered(&key(app))).await;
        numbers.push(number(&suite.load(id).await.definition));
    }
    assert_eq!(numbers, [1, 2, 1, 3]);
}

pub async fn a_change_is_made_once(suite: &Suite) {
    let app = key("one");
    let id = suite.schedule(&app).await;
    suite.claim(id, 1, at(0)).await;
    let state = suite.state(id).await;
    let write = suite.change(&state, Change::Pause, at(1));
    let answer = insist(|| suite.stores.schedules.change(write.clone())).await;
    let ChangeAnswer::Done { schedule, in_flight } = answer else { panic!("{answer:?}") };
    assert_eq!((schedule.state.status, schedule.state.generation, in_flight), (Status::Paused, 2, 1));
    let known = suite.state(id).await;
    assert_eq!((known.status, known.generation, known.look_again_at), (Status::Paused, 2, None));
    // The same write again, as after a lost answer: it is not made a second time.
    let again = insist(|| suite.stores.schedules.change(write.clone())).await;
    assert!(matches!(again, ChangeAnswer::Done { in_flight: 1, .. }), "{again:?}");
    assert_eq!(suite.state(id).await.generation, 2);
    let write = suite.change(&suite.state(id).await, Change::Pause, at(2));
    let already = insist(|| suite.stores.schedules.change(write.clone())).await;
    assert!(matches!(already, ChangeAnswer::Already { in_flight: 1, .. }), "{already:?}");
}

pub async fn a_change_is_conditional(suite: &Suite) {
    let id = suite.schedule(&key("one")).await;
    let stale = suite.change(&suite.state(id).await, Change::Pause, at(1));
    let first =
        suite.change(&suite.state(id).await, Change::Update { occurrences: Some(5), rebase: false }, at(1));
    insist(|| suite.stores.schedules.change(first.clone())).await;
    let answer = insist(|| suite.stores.schedules.change(stale.clone())).await;
    assert_eq!(answer, ChangeAnswer::Conflict);
    assert_eq!(suite.state(id).await.status, Status::Pending);
    let mut missing = suite.change(&suite.state(id).await, Change::Pause, at(1));
    missing.id = suite.draft(&key("one")).state.id;
    assert_eq!(insist(|| suite.stores.schedules.change(missing.clone())).await, ChangeAnswer::Missing);
}

pub async fn a_refused_change_writes_nothing(suite: &Suite) {
    let id = suite.schedule(&key("one")).await;
    suite.run(id, 1, ExecutionStatus::Succeeded, at(0)).await;
    suite.claim(id, 2, at(10)).await;
    let before = suite.state(id).await;
    let write = suite.change(&before, Change::Update { occurrences: Some(1), rebase: false }, at(11));
    let answer = insist(|| suite.stores.schedules.change(write.clone())).await;
    let refused = ChangeAnswer::Refused(ChangeRefused::FewerThanStarted { started: 2 });
    assert_eq!(answer, refused);
    assert_eq!(suite.state(id).await.generation, before.generation);
    let cancel = suite.change(&suite.state(id).await, Change::Cancel { because: None }, at(12));
    insist(|| suite.stores.schedules.change(cancel.clone())).await;
    let resume = suite.change(&suite.state(id).await, Change::Resume, at(13));
    let answer = insist(|| suite.stores.schedules.change(resume.clone())).await;
    assert_eq!(answer, ChangeAnswer::Refused(ChangeRefused::Ended(Status::Canceled)));
}

pub async fn a_change_stores_its_definition(suite: &Suite) {
    let id = suite.schedule(&key("one")).await;
    let known = suite.load(id).await;
    let mut definition = Definition::clone(&known.definition);
    let every = Span::from_secs(3);
    definition.trigger = Trigger::Interval(Interval { every, first: at(20), end: None });
    definition.occurrences = Some(7);
    let mut write = suite.change(&known.state, Change::Update { occurrences: Some(7), rebase: true }, at(20));
    write.definition = Some(definition.clone());
    let answer = insist(|| suite.stores.schedules.change(write.clone())).await;
    let ChangeAnswer::Done { schedule, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(*schedule.definition, definition);
    let known = suite.load(id).await;
    assert_eq!((&*known.definition, known.state.occurrences), (&definition, Some(7)));
}

pub async fn an_edit_stores_its_definition_and_stops_nothing(suite: &Suite) {
    let id = suite.schedule(&key("one")).await;
    let known = suite.load(id).await;
    let name = Some("another".to_owned());
    let definition = Definition { name, ..Definition::clone(&known.definition) };
    let mut write = suite.change(&known.state, Change::Edit, at(1));
    write.definition = Some(definition.clone());
    let answer = insist(|| suite.stores.schedules.change(write.clone())).await;
    let ChangeAnswer::Done { schedule, in_flight: 0 } = answer else { panic!("not edited: {answer:?}") };
    assert_eq!((&*schedule.definition, schedule.state.generation), (&definition, known.state.generation));
    assert_eq!(*suite.load(id).await.definition, definition);
    // Under the generation from before.
    suite.claim(id, 1, at(2)).await;
}

/// Claims and a change race; whatever the order, none of the old generation succeeds once it has answered.
pub async fn no_older_generation_is_claimed_after_a_change(suite: &Suite) {
    let id = suite.schedule(&key("one")).await;
    let claims = (1..=20).map(|number| {
        let ask = suite.ask(id, number, at(0));
        async move { insist(|| suite.stores.states.claim(&ask, at(0))).await }
    });
    let change = async {
        for _ in 0..50 {
            let write = suite.change(&suite.state(id).await, Change::Pause, at(0));
            let answer = insist(|| suite.stores.schedules.change(write.clone())).await;
            if let ChangeAnswer::Done { in_flight, .. } = answer {
                return in_flight;
            }
            assert_eq!(answer, ChangeAnswer::Conflict);
        }
        panic!("claims starve the change");
    };
    let (claimed, in_flight) = tokio::join!(join_all(claims), change);
    let started = claimed.iter().filter(|answer| matches!(answer, ClaimAnswer::Claimed { .. })).count();
    assert_eq!(started, in_flight as usize, "as many have started as the answer says");
    let late = suite.ask(id, 21, at(1));
    assert_eq!(insist(|| suite.stores.states.claim(&late, at(1))).await, ClaimAnswer::Stale);
    let unknown = suite.ask(suite.draft(&key("one")).state.id, 1, at(1));
    let answer: Result<ClaimAnswer, StoreError> = suite.stores.states.claim(&unknown, at(1)).await;
    assert!(matches!(answer, Ok(ClaimAnswer::Stale) | Err(StoreError::Unavailable(_))), "{answer:?}");
}

/// The same draft once more: another id, the same key.
fn keyed(suite: &Suite, app: &AppKey, key: &str, fingerprint: &str) -> NewSchedule {
    let idempotency =
        IdempotencyKey { key: key.to_owned(), fingerprint: fingerprint.to_owned(), expires_at: at(86_400) };
    NewSchedule { idempotency: Some(idempotency), ..suite.draft(app) }
}

async fn ask(suite: &Suite, new: &NewSchedule) -> Created {
    insist(|| suite.stores.schedules.create(new.clone())).await
}

/// Without creating anything.
async fn known(suite: &Suite, new: &NewSchedule) -> Option<Created> {
    let key = new.idempotency.as_ref().expect("a key");
    let now = new.definition.created_at;
    suite.stores.schedules.created_with(&new.state.app, key, now).await.expect("a read")
}

async fn is_there(suite: &Suite, new: &NewSchedule) -> bool {
    suite.stores.schedules.load(new.state.id).await.expect("a read").is_some()
}

pub async fn a_key_makes_one_schedule(suite: &Suite) {
    let app = key("one");
    let first = keyed(suite, &app, "key", "this");
    assert_eq!(known(suite, &first).await, None);
    assert_eq!(ask(suite, &first).await, Created::Done(Arc::new(first.definition.clone())));
    // The same id and token is the creation itself, and no repetition of the request.
    assert_eq!(ask(suite, &first).await, Created::Done(Arc::new(first.definition.clone())));
    let again = keyed(suite, &app, "key", "this");
    let replayed = Created::Replayed(suite.load(first.state.id).await);
    assert_eq!(ask(suite, &again).await, replayed);
    assert_eq!(known(suite, &again).await, Some(replayed));
    let other = keyed(suite, &app, "key", "that");
    assert_eq!(ask(suite, &other).await, Created::KeyReused);
    assert_eq!(known(suite, &other).await, Some(Created::KeyReused));
    assert!(!is_there(suite, &again).await && !is_there(suite, &other).await);
    // It is shown as it is now.
    suite.run(first.state.id, 1, ExecutionStatus::Succeeded, at(0)).await;
    let cancel = suite.change(&suite.state(first.state.id).await, Change::Cancel { because: None }, at(1));
    insist(|| suite.stores.schedules.change(cancel.clone())).await;
    assert_eq!(ask(suite, &again).await, Created::Replayed(suite.load(first.state.id).await));
    // Other keys, and other apps' keys, are their own.
    for new in [keyed(suite, &app, "key 2", "this"), keyed(suite, &key("two"), "key", "that")] {
        assert_eq!(ask(suite, &new).await, Created::Done(Arc::new(new.definition.clone())));
    }
}

pub async fn a_key_is_free_once_it_expires(suite: &Suite) {
    let app = key("one");
    let first = keyed(suite, &app, "key", "this");
    suite.create(first.clone()).await;
    let at_seconds = |seconds: u64| {
        let mut new = keyed(suite, &app, "key", "that");
        new.definition.created_at = at(seconds);
        new.idempotency.as_mut().expect("a key").expires_at = at(seconds + 86_400);
        new
    };
    assert_eq!(ask(suite, &at_seconds(86_399)).await, Created::KeyReused);
    let second = at_seconds(86_400);
    assert_eq!(known(suite, &second).await, None);
    suite.create(second.clone()).await;
    let third = at_seconds(2 * 86_400 - 1);
    assert_eq!(ask(suite, &third).await, Created::Replayed(suite.load(second.state.id).await));
    assert!(is_there(suite, &first).await, "what the key made before stays");
}

pub async fn a_key_goes_before_the_limit(suite: &Suite) {
    let app = key("one");
    let limited = |key: &str| NewSchedule { limit: Some(1), ..keyed(suite, &app, key, "this") };
    let first = limited("key");
    suite.create(first.clone()).await;
    assert_eq!(ask(suite, &limited("key")).await, Created::Replayed(suite.load(first.state.id).await));
    // What is refused takes no key.
    let refused = limited("other");
    assert_eq!(ask(suite, &refused).await, Created::LimitReached);
    assert_eq!(known(suite, &refused).await, None);
    let cancel = suite.change(&suite.state(first.state.id).await, Change::Cancel { because: None }, at(1));
    insist(|| suite.stores.schedules.change(cancel.clone())).await;
    suite.create(limited("other")).await;
}

pub async fn of_many_with_one_key_one_is_made(suite: &Suite) {
    let app = key("one");
    for limit in [None, Some(5)] {
        let name = format!("key {limit:?}");
        let all: Vec<_> =
            (0..12).map(|_| NewSchedule { limit, ..keyed(suite, &app, &name, "this") }).collect();
        let answers = join_all(all.iter().map(|new| ask(suite, new))).await;
        let made: Vec<ScheduleId> = answers
            .iter()
            .map(|answer| match answer {
                Created::Done(definition) => definition.id,
                Created::Replayed(schedule) => schedule.definition.id,
                refused => panic!("{refused:?}"),
            })
            .collect();
        let first = answers.iter().filter(|answer| matches!(answer, Created::Done(_))).count();
        assert_eq!((first, made.iter().all(|id| *id == made[0])), (1, true), "{answers:?}");
        let mut there = 0;
        for new in &all {
            there += usize::from(is_there(suite, new).await);
        }
        assert_eq!(there, 1, "and only that is there");
    }
}
