//! What is measured, case by case: the recurring schedule, the one-time callback, each request of the API.

use super::{bill::One, usage::Usage, world::World};
use anyhow::{Context as _, ensure};
use rondo_domain::{
    engine::AppGrant,
    time::{Span, Timestamp},
};
use serde_json::{Value, json};

const MINUTE: Span = Span::from_secs(60);
const HOUR: Span = Span::from_secs(3600);

/// A kind of thing, and what one of it asks for.
pub struct Case {
    pub name: &'static str,
    pub one: One,
}

fn target(world: &World) -> Value {
    json!({"http": {"url": world.sink.url(), "method": "POST", "body": {"hello": "world"}}})
}

fn every(world: &World, every: &str) -> Value {
    json!({"trigger": {"interval": {"every": every}}, "target": target(world)})
}

fn once(world: &World, at: Timestamp) -> Value {
    json!({"trigger": {"single": {"time": at.to_string()}}, "target": target(world)})
}

fn id_of(answer: &Value) -> anyhow::Result<String> {
    Ok(answer["id"].as_str().context("the answer has no id")?.to_owned())
}

async fn create(world: &World, app: &AppGrant, body: Value) -> anyhow::Result<String> {
    id_of(&world.ask(app, "POST", "/v1/schedules", Some(body)).await?)
}

/// Per execution of schedules of `seconds`, in steady state: a share of a window's planning, and a delivery.
/// `minutes` must be long enough that windows end in it (their ends are spread over 3 to 11 min).
pub async fn recurring(
    world: &World,
    schedules: usize,
    interval: &str,
    stretch: Span,
    batch: usize,
) -> anyhow::Result<One> {
    let mut ids = Vec::new();
    for _ in 0..schedules {
        world.pass(Span::from_millis(5_000 / schedules.min(5_000) as u64));
        ids.push(create(world, &world.free, every(world, interval)).await?);
    }
    // The first plans are the creation's; what a schedule costs while it runs begins with its second.
    world.deliver(world.now().plus(Span::from_secs(1)), batch).await?;
    let (before, called) = (world.executions(), world.sink.count());
    let stored = |ids: &[String]| -> usize {
        ids.iter().map(|id| world.ledger.stored(&format!("SCHEDULE#{id}"))).sum()
    };
    let stored_before = stored(&ids);
    let delivered = world.deliver_and_sweep(world.now().plus(stretch), batch).await?;
    let executions = (world.executions() - before) as usize;
    ensure!(executions > 0, "nothing was delivered");
    ensure!(world.sink.count() - called == executions, "calls and executions differ");
    let mut usage = delivered.calling.each(executions);
    usage.stored_bytes = (stored(&ids) - stored_before) as f64 / executions as f64;
    let planned = delivered.planning.occurrences_sent;
    ensure!(planned > 0.0, "no window ended in this stretch: it is too short");
    usage += &delivered.planning.each(planned.round() as usize);
    for id in &ids {
        world.ask(&world.free, "DELETE", &format!("/v1/schedules/{id}"), None).await?;
    }
    Ok(One { usage, api_requests: 0.0, api_calls: 0.0 })
}

/// Per callback, its creation through the API included, `ahead` of its instant.
pub async fn one_time(
    world: &World,
    app: &AppGrant,
    callbacks: usize,
    ahead: Span,
    batch: usize,
) -> anyhow::Result<One> {
    let at = world.now().plus(ahead);
    let (before, called) = (world.executions(), world.sink.count());
    let creating = async {
        let mut ids = Vec::new();
        for number in 0..callbacks {
            let due = at.plus(Span::from_millis(number as u64 * 37 % 1_000));
            ids.push(create(world, app, once(world, due)).await?);
        }
        Ok(ids)
    };
    let (ids, mut usage) = world.measure(creating).await?;
    let api_calls = usage.calls.values().sum::<f64>() / callbacks as f64;
    let delivered = world.deliver(at.plus(MINUTE), batch).await?;
    let executions = (world.executions() - before) as usize;
    ensure!(executions == callbacks, "{executions} of {callbacks} were delivered");
    ensure!(world.sink.count() - called == callbacks, "calls and callbacks differ");
    usage += &delivered.planning;
    usage += &delivered.calling;
    let stored: usize = ids.iter().map(|id| world.ledger.stored(&format!("SCHEDULE#{id}"))).sum();
    usage.stored_bytes = stored as f64;
    Ok(One { usage: usage.each(callbacks), api_requests: 1.0, api_calls })
}

/// Per callback, created in batches of so many.
pub async fn in_batches(world: &World, of: usize, ahead: Span) -> anyhow::Result<One> {
    let at = world.now().plus(ahead);
    let before = world.executions();
    let schedules: Vec<Value> =
        (0..of).map(|number| once(world, at.plus(Span::from_millis(number as u64 * 7 % 1_000)))).collect();
    let creating =
        world.ask(&world.free, "POST", "/v1/schedules/batch", Some(json!({"schedules": schedules})));
    let (answer, mut usage) = world.measure(creating).await?;
    ensure!(!answer.to_string().contains("\"problem\""), "a batch was answered {answer}");
    let api_calls = usage.calls.values().sum::<f64>() / of as f64;
    let delivered = world.deliver(at.plus(MINUTE), 10).await?;
    ensure!((world.executions() - before) as usize == of, "not all of a batch was delivered");
    usage += &delivered.planning;
    usage += &delivered.calling;
    for result in answer["results"].as_array().into_iter().flatten() {
        let id = id_of(&result["schedule"])?;
        usage.stored_bytes += world.ledger.stored(&format!("SCHEDULE#{id}")) as f64;
    }
    Ok(One { usage: usage.each(of), api_requests: 1.0 / of as f64, api_calls })
}

/// Every request of the API that a client makes all day, each for itself.
pub async fn requests(world: &World) -> anyhow::Result<Vec<Case>> {
    let app = &world.free;
    // The app and its listeners into the process's cache, as in any process that has answered before.
    create(world, app, once(world, world.now().plus(HOUR))).await?;
    let ahead = world.now().plus(HOUR);
    let mut cases = Vec::new();
    let mut measured = async |name, method: &str, path: &str, body: Option<Value>| {
        let (answer, usage) = world.measure(world.ask(app, method, path, body)).await?;
        let api_calls = usage.calls.values().sum();
        cases.push(Case { name, one: One { usage, api_requests: 1.0, api_calls } });
        anyhow::Ok(answer)
    };
    let new = "/v1/schedules";
    measured("create, every 5 s", "POST", new, Some(every(world, "5s"))).await?;
    let hourly = measured("create, every hour", "POST", new, Some(every(world, "1h"))).await?;
    let near = world.now().plus(Span::from_secs(300));
    let soon = measured("create, once in 5 min", "POST", new, Some(once(world, near))).await?;
    let later = measured("create, once in an hour", "POST", new, Some(once(world, ahead))).await?;
    let many = |count: usize| {
        let schedules: Vec<Value> = (0..count).map(|_| once(world, ahead)).collect();
        Some(json!({ "schedules": schedules }))
    };
    measured("create 25, once in an hour", "POST", "/v1/schedules/batch", many(25)).await?;
    measured("create 100, once in an hour", "POST", "/v1/schedules/batch", many(100)).await?;
    let hourly = format!("/v1/schedules/{}", id_of(&hourly)?);
    let soon = format!("/v1/schedules/{}", id_of(&soon)?);
    let later = format!("/v1/schedules/{}", id_of(&later)?);
    measured("read one", "GET", &later, None).await?;
    measured("list a page of 50", "GET", "/v1/schedules?limit=50", None).await?;
    measured("list its executions", "GET", &format!("{later}/executions"), None).await?;
    let change = json!({"tags": {"team": "billing"}});
    measured("update, once in an hour", "PATCH", &later, Some(change.clone())).await?;
    measured("update, every hour", "PATCH", &hourly, Some(change)).await?;
    measured("pause, every hour", "POST", &format!("{hourly}/pause"), None).await?;
    measured("resume, every hour", "POST", &format!("{hourly}/resume"), None).await?;
    measured("run now", "POST", &format!("{hourly}/run"), None).await?;
    measured("cancel, once in 5 min", "DELETE", &soon, None).await?;
    measured("cancel, once in an hour", "DELETE", &later, None).await?;
    measured("cancel, every hour", "DELETE", &hourly, None).await?;
    Ok(cases)
}

/// What happens without anybody asking: planning, delivering, trying again, sweeping.
pub async fn background(world: &World) -> anyhow::Result<Vec<Case>> {
    let mut cases = Vec::new();
    let mut add = |name, usage: Usage| {
        cases.push(Case { name, one: One { usage, api_requests: 0.0, api_calls: 0.0 } });
    };
    let id = create(world, &world.free, every(world, "5s")).await?;
    let first = world.deliver(world.now().plus(Span::from_secs(2)), 10).await?;
    add("plan a window of 168 executions (every 5 s)", first.planning);
    let second = world.deliver(world.now().plus(Span::from_secs(5)), 10).await?;
    add("deliver one of a recurring schedule", second.calling);
    world.ask(&world.free, "DELETE", &format!("/v1/schedules/{id}"), None).await?;
    // What was on its way finds the schedule cancelled.
    let stale = world.deliver(world.now().plus(Span::from_secs(5)), 10).await?;
    add("drop one that a cancel has overtaken", stale.calling);
    world.deliver(world.now().plus(HOUR), 10).await?;

    let once_near = once(world, world.now().plus(Span::from_secs(300)));
    create(world, &world.free, once_near).await?;
    add(
        "deliver a one-time callback",
        world.deliver(world.now().plus(Span::from_secs(360)), 10).await?.calling,
    );
    let once_far = once(world, world.now().plus(HOUR));
    create(world, &world.free, once_far).await?;
    let far = world.deliver(world.now().plus(HOUR).plus(MINUTE), 10).await?;
    add("deliver a one-time callback that EventBridge Scheduler brings", far.calling);

    let refused = json!({
        "trigger": {"single": {"time": world.now().plus(Span::from_secs(60)).to_string()}},
        // Nobody listens there: the connection is refused at once.
        "target": {"http": {"url": "http://127.0.0.1:9/", "method": "POST"}},
        "delivery": {"retry": {"max_attempts": 2, "initial": "60s"}},
    });
    create(world, &world.free, refused).await?;
    let failed = world.deliver(world.now().plus(Span::from_secs(70)), 10).await?;
    add("a first attempt fails, the next is set", failed.calling);
    let again = world.deliver(world.now().plus(Span::from_secs(120)), 10).await?;
    add("the last attempt fails, for good", again.calling);

    let (swept, usage) = world.measure(async { Ok(world.engine.sweep(100).await?) }).await?;
    ensure!(swept.schedules == 0 && swept.attempts == 0, "something was overdue: {swept:?}");
    add("sweep, nothing overdue", usage);
    create(world, &world.free, every(world, "5s")).await?;
    world.pass(Span::from_secs(300));
    let (swept, usage) = world.measure(async { Ok(world.engine.sweep(100).await?) }).await?;
    ensure!(swept.schedules == 1, "one is overdue: {swept:?}");
    add("sweep, one overdue schedule", usage);
    Ok(cases)
}
