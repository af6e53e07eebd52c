//! Lists, and limits that count.

use crate::world::{World, app_key, at};
use rondo_domain::{
    execution::ExecutionStatus,
    ids::{AppKey, ScheduleId},
    ports::{Created, ExecutionQuery, ExecutionStore, NewSchedule, ScheduleQuery, ScheduleStore},
    schedule::{Contract, RequestFields},
    state::Status,
    time::Span,
};

fn query() -> ScheduleQuery {
    ScheduleQuery {
        app: app_key(),
        status: None,
        name: None,
        tags: Vec::new(),
        contract: None,
        before: None,
        limit: 10,
    }
}

async fn ids(world: &World, query: &ScheduleQuery) -> (Vec<ScheduleId>, Option<ScheduleId>) {
    let page = world.store.list(query).await.unwrap();
    (page.items.iter().map(|schedule| schedule.definition.id).collect(), page.next)
}

#[tokio::test]
async fn pages_go_from_the_newest_to_the_oldest_over_every_status() {
    let world = World::new();
    let mut all = Vec::new();
    for number in 0..25u64 {
        world.clock.set(at(number));
        let status = Status::ALL[number as usize % 5];
        all.push(world.create(|_, state| state.status = status).await);
    }
    world.create(|_, state| state.app = "other".parse::<AppKey>().unwrap()).await;
    all.reverse();
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let (mut page, next) = ids(&world, &ScheduleQuery { before, ..query() }).await;
        assert!(page.len() <= 10);
        seen.append(&mut page);
        before = next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, all);
    let (paused, next) = ids(&world, &ScheduleQuery { status: Some(Status::Paused), ..query() }).await;
    assert_eq!((paused.len(), next), (5, None));
    let (page, next) = ids(&world, &ScheduleQuery { limit: 25, ..query() }).await;
    assert_eq!((page.len(), next), (25, None), "a full page with nothing after it has no next");
}

#[tokio::test]
async fn names_tags_and_origins_filter() {
    let world = World::new();
    let named = world.create(|definition, _| definition.name = Some("Nightly Report".to_owned())).await;
    let tagged = world
        .create(|definition, _| {
            definition.tags.insert("team".to_owned(), "billing".to_owned());
        })
        .await;
    let asked = world
        .create(|definition, _| {
            definition.request = Some(RequestFields { internal_id: 0, delay: Span::ZERO });
        })
        .await;
    let of = async |query: ScheduleQuery| ids(&world, &query).await.0;
    assert_eq!(of(ScheduleQuery { name: Some("nightly".to_owned()), ..query() }).await, [named]);
    let tag = |value: &str| vec![("team".to_owned(), value.to_owned())];
    assert_eq!(of(ScheduleQuery { tags: tag("billing"), ..query() }).await, [tagged]);
    assert_eq!(of(ScheduleQuery { tags: tag(""), ..query() }).await, [tagged]);
    assert_eq!(of(ScheduleQuery { tags: tag("sales"), ..query() }).await, []);
    assert_eq!(of(ScheduleQuery { contract: Some(Contract::Requests), ..query() }).await, [asked]);
}

#[tokio::test]
async fn a_limit_is_exact_and_numbers_have_no_gaps() {
    let world = World::new();
    let template = world.create(|_, state| state.status = Status::Finished).await;
    let schedule = world.store.load(template).await.unwrap().unwrap();
    let new = |n: u32| {
        let id = ScheduleId::new(at(5), u128::from(n) << 64);
        let mut new = NewSchedule {
            definition: (*schedule.definition).clone(),
            state: schedule.state.clone(),
            number_it: true,
            limit: Some(3),
            push_limit: None,
            idempotency: None,
        };
        new.definition.id = id;
        new.definition.request = Some(RequestFields { internal_id: 0, delay: Span::ZERO });
        new.state.id = id;
        new.state.status = Status::Pending;
        new
    };
    let made = futures_util::future::join_all((1..=8).map(|n| world.store.create(new(n)))).await;
    let mut numbers = Vec::new();
    for created in made {
        if let Created::Done(definition) = created.unwrap() {
            numbers.push(definition.request.as_ref().unwrap().internal_id);
        }
    }
    assert_eq!(numbers, [1, 2, 3], "the ended one does not count");
    let again = world.store.create(new(2)).await.unwrap();
    let Created::Done(definition) = again else { panic!("it was made already: {again:?}") };
    assert_eq!(definition.request.as_ref().unwrap().internal_id, 2);
    let world = world.crash();
    assert_eq!(world.store.create(new(9)).await.unwrap(), Created::LimitReached);
}

#[tokio::test]
async fn executions_are_paged_both_ways_and_by_status() {
    let world = World::new();
    let id = world.create(|_, _| {}).await;
    for number in 1..=7 {
        let (_, token) = world.claim(id, number).await;
        let status = if number % 3 == 0 { ExecutionStatus::Failed } else { ExecutionStatus::Succeeded };
        world.record(world.outcome(id, number, token, status)).await.unwrap();
    }
    let query = ExecutionQuery { schedule: id, status: None, newest_first: true, after: None, limit: 4 };
    let first = world.store.executions(&query).await.unwrap();
    let numbers = |items: &[rondo_domain::execution::Execution]| {
        items.iter().map(|one| one.id.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&first.items), [7, 6, 5, 4]);
    let rest = world.store.executions(&ExecutionQuery { after: first.next, ..query.clone() }).await.unwrap();
    assert_eq!((numbers(&rest.items), rest.next), (vec![3, 2, 1], None));
    let failed = ExecutionQuery { status: Some(ExecutionStatus::Failed), newest_first: false, ..query };
    assert_eq!(numbers(&world.store.executions(&failed).await.unwrap().items), [3, 6]);
}
