//! `GET /v4/schedules?page=`.

use crate::bodies::{made, schedule, with, world};
use rondo_domain::{
    ids::{ScheduleId, Token},
    ports::NewSchedule,
    state::{State, Status},
    time::{Span, Timestamp},
    trigger::{Times, Trigger},
};
use rondo_tests::api_world::ApiWorld;
use serde_json::{Value, json};

#[tokio::test]
async fn fifty_are_a_page_oldest_first() {
    let world = world().await;
    let empty = world.get("/v4/schedules").await.expect(200);
    assert_eq!(empty, json!({"total_count": 0, "total_pages": 0, "page": 1, "schedules": []}));
    let mut ids = Vec::new();
    for number in 0..52 {
        ids.push(made(&world, with(schedule(), "/name", json!(format!("number {number}")))).await);
    }
    let gone = ids.remove(20);
    world.send("DELETE", &format!("/v4/schedules/{gone}"), None).await.expect(200);
    // Paused is valid.
    world
        .send("PUT", &format!("/v4/schedules/{}", ids[3]), Some(json!({"enabled": false})))
        .await
        .expect(200);
    // Ids of the same millisecond are in no order among themselves.
    let by_time = |page: &Value| -> Vec<Timestamp> {
        let ids = page["schedules"].as_array().expect("a list").iter();
        ids.map(|one| {
            one["schedule_id"].as_str().expect("an id").parse::<ScheduleId>().expect("an id").created()
        })
        .collect()
    };
    let first = world.get("/v4/schedules?page=1").await.expect(200);
    let second = world.get("/v4/schedules?page=2").await.expect(200);
    assert_eq!(
        (&first["total_count"], &first["total_pages"], &first["page"]),
        (&json!(51), &json!(2), &json!(1))
    );
    assert_eq!((&second["total_count"], &second["page"]), (&json!(51), &json!(2)));
    let times = [by_time(&first), by_time(&second)];
    assert_eq!((times[0].len(), times[1].len()), (50, 1));
    assert!(times.concat().is_sorted());
    let listed = [&first, &second].into_iter().flat_map(|page| page["schedules"].as_array().expect("a list"));
    let mut listed: Vec<String> =
        listed.map(|one| one["schedule_id"].as_str().expect("an id").to_owned()).collect();
    listed.sort();
    ids.sort();
    assert_eq!(listed, ids);
    assert_eq!(
        first["schedules"].as_array().expect("a list").iter().filter(|one| one["enabled"] == false).count(),
        1
    );
}

#[tokio::test]
async fn a_page_is_a_positive_number() {
    let world = world().await;
    made(&world, schedule()).await;
    for (page, shown, count) in
        [("", 1, 1), ("1", 1, 1), ("01", 1, 1), ("2", 2, 0), ("1000000000", 1_000_000_000_u64, 0)]
    {
        let answer = world.get(&format!("/v4/schedules?page={page}")).await.expect(200);
        assert_eq!(answer["page"], shown, "{page}");
        assert_eq!(answer["schedules"].as_array().map(Vec::len), Some(count), "{page}");
        assert_eq!((&answer["total_count"], &answer["total_pages"]), (&json!(1), &json!(1)));
    }
    for page in ["0", "-1", "abc", "1.5", "+1", "1e3", "%20", "99999999999999999999999", "½"] {
        let answer = world.get(&format!("/v4/schedules?page={page}")).await;
        assert_eq!((answer.status, &answer.body["error"]["code"]), (400, &json!(28100)), "{page}");
        assert!(
            answer.body["error"]["message"].as_str().is_some_and(|text| text.starts_with("page ")),
            "{page}"
        );
    }
    world.get("/v4/schedules?size=5").await.expect(200);
}

/// Puts a copy of a stored schedule beside it that was paused until its time had passed, or that is over.
async fn put_past(world: &ApiWorld, like: &str, status: Status) -> String {
    let like: ScheduleId = like.parse().expect("an id");
    let stored = world.engine.schedules.load(like).await.expect("it reads").expect("it is there");
    let now = world.engine.now();
    let id = ScheduleId::new(now.minus(Span::from_secs(5)), u128::from(now.millis().unsigned_abs()) << 44);
    let mut definition = (*stored.definition).clone();
    definition.id = id;
    if let Trigger::FanOut(fan_out) = &mut definition.trigger {
        fan_out.times = Times::Single(now.minus(Span::from_secs(60)).utc().naive_utc());
    }
    let mut state = State::new(id, definition.app.clone(), None, now, Token(7));
    state.status = status;
    let new =
        NewSchedule { definition, state, number_it: false, limit: None, push_limit: None, idempotency: None };
    world.engine.schedules.create(new).await.expect("it is stored");
    id.to_string()
}

#[tokio::test]
async fn what_expired_is_shown_by_its_id_alone() {
    let world = world().await;
    let valid = made(&world, schedule()).await;
    for status in [Status::Paused, Status::Finished] {
        let id = put_past(&world, &valid, status).await;
        let path = format!("/v4/schedules/{id}");
        assert_eq!(world.get(&path).await.expect(200)[0]["schedule_id"], json!(id));
        for change in
            [json!({"name": "new"}), json!({"enabled": true}), json!({"trigger": schedule()["trigger"]})]
        {
            let answer = world.send("PUT", &path, Some(change)).await;
            assert_eq!((answer.status, &answer.body["error"]["code"]), (400, &json!(28100)), "{status:?}");
            assert!(answer.body.to_string().contains("expired"), "{}", answer.body);
        }
        assert_eq!(
            world.get(&format!("{path}/msg-ids")).await.expect(200),
            json!({"count": 0, "MsgIds": []})
        );
        assert_eq!(world.get("/v4/schedules").await.expect(200)["total_count"], 1, "{status:?}");
    }
}

/// What expired while it was paused is not valid, and takes no place.
#[tokio::test]
async fn what_expired_makes_room() {
    let world = world().await;
    let limited = rondo_domain::engine::NewApp {
        name: "limited".to_owned(),
        max_pushes: Some(2),
        ..Default::default()
    };
    let app = world.engine.create_app(limited, world.vault()).await.expect("an app");
    let create = || world.send_as(&app, "POST", "/v4/schedules", Some(schedule()));
    let first = create().await.expect(200);
    let expired = put_past(&world, first["schedule_id"].as_str().expect("an id"), Status::Paused).await;
    create().await.expect(200);
    create().await.expect(400);
    let list = world.send_as(&app, "GET", "/v4/schedules", None).await.expect(200);
    assert_eq!(list["total_count"], 2);
    world.send_as(&app, "GET", &format!("/v4/schedules/{expired}"), None).await.expect(200);
}
