//! Lists of schedules.

use super::{Suite, key};
use rondo_domain::{
    change::Change,
    ids::{AppKey, ScheduleId},
    ports::ScheduleQuery,
    schedule::Contract,
    state::Status,
};

fn all(app: &AppKey, limit: usize) -> ScheduleQuery {
    ScheduleQuery {
        app: app.clone(),
        status: None,
        name: None,
        tags: Vec::new(),
        contract: None,
        before: None,
        limit,
    }
}

/// All pages, one after the other.
async fn listed(suite: &Suite, mut query: ScheduleQuery) -> Vec<ScheduleId> {
    let mut ids = Vec::new();
    for _ in 0..100 {
        let page = suite.stores.schedules.list(&query).await.expect("a read");
        assert!(page.items.len() <= query.limit);
        ids.extend(page.items.iter().map(|schedule| schedule.definition.id));
        match page.next {
            Some(next) => query.before = Some(next),
            None => return ids,
        }
    }
    panic!("the pages have no end");
}

pub async fn pages_are_newest_first_and_complete(suite: &Suite) {
    let app = key("one");
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(suite.schedule(&app).await);
    }
    ids.sort_by(|a, b| b.cmp(a));
    for limit in [1, 3, 7, 100] {
        assert_eq!(listed(suite, all(&app, limit)).await, ids, "in pages of {limit}");
    }
}

pub async fn filters_combine(suite: &Suite) {
    let app = key("one");
    let mut tagged = suite.draft(&app);
    tagged.definition.name = Some("Weekly REPORT".to_owned());
    tagged.definition.tags = [("team".to_owned(), "billing".to_owned())].into();
    let tagged = suite.create(tagged).await;
    let request = suite.create(suite.numbered(&app)).await;
    let plain = suite.schedule(&app).await;
    let paused = suite.change(&suite.state(plain).await, Change::Pause, super::at(1));
    super::insist(|| suite.stores.schedules.change(paused.clone())).await;
    let query = |f: &dyn Fn(&mut ScheduleQuery)| {
        let mut query = all(&app, 10);
        f(&mut query);
        query
    };
    assert_eq!(listed(suite, query(&|q| q.name = Some("weekly rep".to_owned()))).await, [tagged]);
    assert_eq!(listed(suite, query(&|q| q.contract = Some(Contract::Requests))).await, [request]);
    assert_eq!(listed(suite, query(&|q| q.status = Some(Status::Paused))).await, [plain]);
    let tag = |value: &str| vec![("team".to_owned(), value.to_owned())];
    assert_eq!(listed(suite, query(&|q| q.tags = tag("billing"))).await, [tagged]);
    assert_eq!(listed(suite, query(&|q| q.tags = tag(""))).await, [tagged], "an empty value matches any");
    assert!(listed(suite, query(&|q| q.tags = tag("bill"))).await.is_empty());
    let none = |q: &mut ScheduleQuery| {
        q.tags = tag("billing");
        q.status = Some(Status::Paused);
    };
    assert!(listed(suite, query(&none)).await.is_empty(), "all filters hold at once");
    assert!(listed(suite, query(&|q| q.name = Some("100%".to_owned()))).await.is_empty());
    assert!(listed(suite, query(&|q| q.name = Some("_".to_owned()))).await.is_empty(), "no wildcard");
}

pub async fn apps_do_not_see_each_other(suite: &Suite) {
    let (mine, theirs) = (suite.schedule(&key("one")).await, suite.schedule(&key("two")).await);
    assert_eq!(listed(suite, all(&key("one"), 10)).await, [mine]);
    assert_eq!(listed(suite, all(&key("two"), 10)).await, [theirs]);
}

pub async fn contracts_have_their_own_lists(suite: &Suite) {
    let app = key("one");
    let mut pushes = Vec::new();
    for _ in 0..4 {
        pushes.push(suite.create(suite.push(&app)).await);
        suite.create(suite.numbered(&app)).await;
        suite.schedule(&app).await;
    }
    suite.create(suite.push_now(&app)).await;
    suite.create(suite.push(&key("two"))).await;
    let cancel = suite.change(&suite.state(pushes[1]).await, Change::Cancel { because: None }, super::at(1));
    super::insist(|| suite.stores.schedules.change(cancel.clone())).await;
    pushes.reverse();
    let of = |status, limit| ScheduleQuery { status, contract: Some(Contract::Pushes), ..all(&app, limit) };
    for limit in [1, 3, 20] {
        assert_eq!(listed(suite, of(None, limit)).await, pushes, "in pages of {limit}");
    }
    assert_eq!(listed(suite, of(Some(Status::Canceled), 5)).await, [pushes[2]]);
    assert_eq!(listed(suite, of(Some(Status::Pending), 1)).await, [pushes[0], pushes[1], pushes[3]]);
    assert_eq!(listed(suite, all(&app, 20)).await.len(), 13);
}
