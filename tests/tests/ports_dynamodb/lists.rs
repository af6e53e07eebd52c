//! Lists over sixteen shards: complete, in order, and a bounded amount of work for each call.

use crate::table::{Table, heard, listening};
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use futures_util::{StreamExt as _, stream};
use rondo_aws::store::Item;
use rondo_domain::{
    change::Change,
    ids::{AppKey, ScheduleId},
    ports::{NewSchedule, ScheduleQuery, ScheduleStore as _},
    schedule::Contract,
    state::Status,
};
use rondo_tests::port_suite::{Suite, at, insist, key};

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

async fn listed(suite: &Suite, mut query: ScheduleQuery) -> Vec<ScheduleId> {
    let mut ids = Vec::new();
    for _ in 0..1000 {
        let page = suite.stores.schedules.list(&query).await.expect("a read");
        assert!(page.items.len() <= query.limit, "{} of {}", page.items.len(), query.limit);
        ids.extend(page.items.iter().map(|schedule| schedule.definition.id));
        match page.next {
            Some(next) => query.before = Some(next),
            None => return ids,
        }
    }
    panic!("the pages have no end");
}

#[tokio::test]
async fn pages_over_all_shards_are_complete_and_in_order() {
    let table = Table::new().await;
    let (suite, app) = (table.suite(), key("one"));
    let mut drafts: Vec<NewSchedule> = Vec::new();
    for count in 0..130u32 {
        let mut new = if count % 3 == 0 { suite.numbered(&app) } else { suite.draft(&app) };
        new.definition.name = Some(format!("report {count}"));
        if count % 10 == 0 {
            new.definition.tags = [("team".to_owned(), format!("t{}", count % 20))].into();
        }
        drafts.push(new);
    }
    let creations = drafts.iter().map(|new| suite.create(new.clone()));
    stream::iter(creations).buffer_unordered(16).collect::<Vec<_>>().await;
    let shards: std::collections::BTreeSet<String> = table
        .items()
        .await
        .into_iter()
        .filter_map(|item| item.get("app_shard").and_then(|shard| shard.as_s().ok().cloned()))
        .collect();
    assert_eq!(shards.len(), 16);
    let mut newest: Vec<&NewSchedule> = drafts.iter().collect();
    newest.sort_by_key(|new| std::cmp::Reverse(new.state.id));
    let ids = |chosen: &dyn Fn(&&&NewSchedule) -> bool| -> Vec<ScheduleId> {
        newest.iter().filter(chosen).map(|new| new.state.id).collect()
    };
    for limit in [9, 50, 129, 130, 131, 1000] {
        assert_eq!(listed(&suite, all(&app, limit)).await, ids(&|_| true), "in pages of {limit}");
    }
    let middle = newest[64].state.id;
    let older = ScheduleQuery { before: Some(middle), ..all(&app, 20) };
    assert_eq!(listed(&suite, older).await, ids(&|new| new.state.id < middle));
    let requests = ScheduleQuery { contract: Some(Contract::Requests), ..all(&app, 7) };
    assert_eq!(listed(&suite, requests).await, ids(&|new| new.definition.request.is_some()));
    let tags = vec![("team".to_owned(), "t10".to_owned())];
    let tagged = |new: &NewSchedule| new.definition.tags.get("team").is_some_and(|team| team == "t10");
    let query = ScheduleQuery { tags: tags.clone(), ..all(&app, 4) };
    assert_eq!(listed(&suite, query).await, ids(&|new| tagged(new)));
    let both = ScheduleQuery {
        tags,
        contract: Some(Contract::Requests),
        name: Some("REPORT 3".to_owned()),
        ..all(&app, 4)
    };
    let expected = ids(&|new| {
        let name = new.definition.name.as_deref().is_some_and(|name| name.starts_with("report 3"));
        tagged(new) && name && new.definition.request.is_some()
    });
    assert!(!expected.is_empty());
    assert_eq!(listed(&suite, both).await, expected);
    for new in drafts.iter().step_by(13) {
        let pause = suite.change(&suite.state(new.state.id).await, Change::Pause, at(1));
        insist(|| suite.stores.schedules.change(pause.clone())).await;
    }
    let paused = ScheduleQuery { status: Some(Status::Paused), ..all(&app, 3) };
    let expected = ids(&|new| drafts.iter().step_by(13).any(|paused| paused.state.id == new.state.id));
    assert_eq!(listed(&suite, paused).await, expected);
}

/// As many copies of a schedule as asked for, written past the store.
async fn copies(table: &Table, suite: &Suite, app: &AppKey, count: usize) -> Vec<ScheduleId> {
    let original = suite.create(suite.draft(app)).await;
    let pk = format!("SCHEDULE#{original}");
    let read = async |sk: &str| table.item(&pk, sk).await.expect("an item");
    let (state, definition) = (read("STATE").await, read("DEFINITION").await);
    let mut ids = vec![original];
    let mut writes: Vec<WriteRequest> = Vec::new();
    for _ in 1..count {
        let id = suite.draft(app).state.id;
        let text = |text: String| AttributeValue::S(text);
        let copy = |item: &Item| {
            let mut item = item.clone();
            item.insert("pk".to_owned(), text(format!("SCHEDULE#{id}")));
            item
        };
        let (mut state, mut definition) = (copy(&state), copy(&definition));
        state.insert("app_shard".to_owned(), text(format!("{app}#{:02}", id.hash() % 16)));
        let json =
            definition["definition"].as_s().expect("text").replace(&original.to_string(), &id.to_string());
        definition.insert("definition".to_owned(), text(json));
        for item in [state, definition] {
            let put = PutRequest::builder().set_item(Some(item)).build().expect("an item");
            writes.push(WriteRequest::builder().put_request(put).build());
        }
        ids.push(id);
    }
    for some in writes.chunks(25) {
        let write = table.clients.dynamodb.batch_write_item();
        let write = write.request_items(&table.settings.table, some.to_vec()).send().await;
        assert!(write.expect("it can be written").unprocessed_items.is_none_or(|left| left.is_empty()));
    }
    ids
}

#[tokio::test]
async fn a_filter_that_fits_nothing_costs_no_more_than_a_page() {
    let table = Table::new().await;
    let (suite, app) = (table.suite(), key("one"));
    let mut ids = copies(&table, &suite, &app, 1200).await;
    ids.sort_unstable();
    let (http, asked) = listening();
    let store = table.store_through(http);
    let nothing = ScheduleQuery { name: Some("no such name".to_owned()), ..all(&app, 20) };
    let page = store.list(&nothing).await.expect("a read");
    assert!(page.items.is_empty());
    let next = page.next.expect("it says where to go on");
    let looked_at = ids.iter().filter(|id| **id >= next).count();
    assert_eq!(looked_at, 500, "it stops after so many");
    let requests = heard(&asked).len();
    assert!(requests <= 60, "{requests} requests");
    assert!(listed(&suite, nothing).await.is_empty(), "and it comes to an end");
    assert_eq!(listed(&suite, all(&app, 500)).await.len(), 1200);
    // A usual page asks each shard once, and loads what it shows.
    heard(&asked);
    let page = store.list(&all(&app, 20)).await.expect("a read");
    assert_eq!(page.items.len(), 20);
    let requests = heard(&asked).len();
    assert!(requests <= 16 + 6, "{requests} requests");
}
