//! `kill -9`, many times over, on a real `rondo serve` while schedules run, are created and are cancelled.
//! Nothing that was acknowledged may be lost: no create, no cancel, no recorded execution.
//!
//! `RONDO_CRASH_KILLS` sets how often (default 40), `RONDO_CRASH_SEED` what the chances are drawn from. Real time
//! passes here on purpose: the subject is a process, its disk and its sockets.

use anyhow::{Context as _, ensure};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};
use rondo_tests::{
    receiver::Receiver,
    serve::{CREDENTIALS, Serve},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What was acknowledged, and must hold.
#[derive(Default)]
struct Acknowledged {
    /// Id, and how many occurrences it has.
    created: BTreeMap<String, u32>,
    /// Id, when the answer was there, and how many had started before it.
    cancelled: HashMap<String, (Instant, u64)>,
    /// Executions seen as over: id and status.
    recorded: HashMap<String, String>,
}

type Shared = Arc<Mutex<Acknowledged>>;

fn locked(shared: &Shared) -> std::sync::MutexGuard<'_, Acknowledged> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "the subject is a process in real time")]
fn real_now() -> Instant {
    Instant::now()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_to_kill_nine() -> anyhow::Result<()> {
    let setting = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (kills, seed) = (setting("RONDO_CRASH_KILLS", 40), setting("RONDO_CRASH_SEED", 1));
    println!("RONDO_CRASH_SEED={seed} RONDO_CRASH_KILLS={kills}");
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start().await;
    let shared = Shared::default();
    let mut killed_at = Vec::new();
    for _ in 0..kills {
        let serve = Serve::start(folder.path()).await?;
        let work = tokio::spawn(work(serve.url(), receiver.url("/hook"), chance.next_u64(), shared.clone()));
        tokio::time::sleep(Duration::from_millis(100 + chance.next_u64() % 900)).await;
        killed_at.push(real_now());
        serve.kill().await?;
        work.abort();
        let _ = work.await;
    }
    let serve = Serve::start(folder.path()).await?;
    let client = Client::new(serve.url());
    let acknowledged = std::mem::take(&mut *locked(&shared));
    ensure!(
        acknowledged.created.len() > kills as usize,
        "hardly anything was created: the test shows nothing"
    );

    let mut executions = 0;
    let mut doubled = 0;
    let deadline = real_now() + Duration::from_secs(120);
    for (id, occurrences) in &acknowledged.created {
        let schedule = loop {
            let schedule = client
                .get(&format!("/v1/schedules/{id}"))
                .await
                .with_context(|| format!("created, then lost: {id}"))?;
            if matches!(schedule["status"].as_str(), Some("finished" | "canceled")) {
                break schedule;
            }
            ensure!(real_now() < deadline, "{id} does not come to its end: {schedule}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        if acknowledged.cancelled.contains_key(id) {
            ensure!(schedule["status"] == "canceled", "cancelled, then alive again: {schedule}");
            continue;
        }
        // A cancel whose answer was lost may have been made all the same.
        if schedule["status"] == "canceled" {
            continue;
        }
        ensure!(schedule["counts"]["done"] == json!(occurrences), "{id}: counted wrong: {schedule}");
        let records = client.all_executions(id).await?;
        let mut numbers: Vec<u64> =
            records.iter().filter_map(|record| record["occurrence"].as_u64()).collect();
        numbers.sort_unstable();
        ensure!(numbers == (1..=u64::from(*occurrences)).collect::<Vec<_>>(), "{id}: records of {numbers:?}");
        ensure!(
            records.iter().all(|record| record["status"] == "succeeded"),
            "{id}: not all succeeded: {records:?}"
        );
        executions += records.len();
    }
    for (id, status) in &acknowledged.recorded {
        let record = client
            .get(&format!("/v1/executions/{id}"))
            .await
            .with_context(|| format!("recorded, then lost: {id}"))?;
        ensure!(record["status"] == json!(status), "recorded as {status}, then changed: {record}");
    }
    let arrivals = receiver.received();
    let mut by_id: HashMap<&str, Vec<Instant>> = HashMap::new();
    for arrival in &arrivals {
        by_id.entry(arrival.header("webhook-id")).or_default().push(arrival.at);
    }
    for (id, times) in &by_id {
        if times.len() > 1 {
            doubled += times.len() - 1;
            // Twice only if the process died between the call and its record.
            let explained = times.windows(2).all(|pair| {
                killed_at.iter().any(|kill| pair[0] <= *kill + Duration::from_millis(50) && *kill <= pair[1])
            });
            ensure!(explained, "{id} arrived {} times without a kill between", times.len());
        }
    }
    for (id, (answered, in_flight)) in &acknowledged.cancelled {
        let after = arrivals
            .iter()
            .filter(|arrival| arrival.at > *answered && arrival.header("rondo-schedule-id") == id)
            .count() as u64;
        ensure!(
            after <= *in_flight,
            "{id}: {after} calls after its cancel had answered, {in_flight} had started before"
        );
    }
    println!(
        "{kills} kills, {} schedules created, {} cancelled, {executions} executions checked, {} seen before a kill, \
         {} callbacks, {doubled} doubled by a kill",
        acknowledged.created.len(),
        acknowledged.cancelled.len(),
        acknowledged.recorded.len(),
        arrivals.len(),
    );
    serve.terminate().await?;
    Ok(())
}

/// Creates, reads and cancels until it is aborted; notes what was acknowledged.
async fn work(url: String, target: String, seed: u64, shared: Shared) {
    let worker = |lane: u64| {
        let (url, target, shared) = (url.clone(), target.clone(), shared.clone());
        async move {
            let client = Client::new(url);
            let mut chance = ChaCha8Rng::seed_from_u64(seed.wrapping_add(lane));
            loop {
                // Refused connections are what a kill looks like from here.
                if step(&client, &target, &mut chance, &shared).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    };
    futures_util::future::join_all((0..6).map(worker)).await;
}

async fn step(client: &Client, target: &str, chance: &mut ChaCha8Rng, shared: &Shared) -> anyhow::Result<()> {
    let draw = chance.next_u64();
    let occurrences = 1 + (draw >> 8) as u32 % 8;
    let trigger = if draw.is_multiple_of(3) {
        json!({"single": {"after": (draw >> 16) % 1500}})
    } else {
        json!({"interval": {"every": 100 + (draw >> 16) % 400, "delay": (draw >> 32) % 500, "occurrences": occurrences}})
    };
    let occurrences = if draw.is_multiple_of(3) { 1 } else { occurrences };
    let body = json!({"trigger": trigger, "target": {"http": {"url": target}}, "policy": {"missed": "all"}});
    let created = client.post("/v1/schedules", body).await?;
    let id = created["id"].as_str().context("an id")?.to_owned();
    locked(shared).created.insert(id.clone(), occurrences);
    if (draw >> 40).is_multiple_of(4) {
        let answer = client.delete(&format!("/v1/schedules/{id}")).await?;
        let in_flight = answer["in_flight"].as_u64().context("in_flight")?;
        locked(shared).cancelled.insert(id.clone(), (real_now(), in_flight));
    }
    if (draw >> 44).is_multiple_of(4) {
        tokio::time::sleep(Duration::from_millis((draw >> 48) % 300)).await;
        for record in client.all_executions(&id).await? {
            if let (Some(id), Some("succeeded")) = (record["id"].as_str(), record["status"].as_str()) {
                locked(shared).recorded.insert(id.to_owned(), "succeeded".to_owned());
            }
        }
    }
    Ok(())
}

struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    fn new(url: String) -> Client {
        // Asked for even where nothing is called over TLS.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(Duration::from_secs(10));
        Client { http: http.build().unwrap_or_default(), url }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        let (key, secret) = CREDENTIALS;
        let answer = request.basic_auth(key, Some(secret)).send().await?;
        let status = answer.status();
        let body = answer.text().await?;
        ensure!(status.is_success(), "answered {status}: {body}");
        Ok(serde_json::from_str(&body)?)
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(self.http.get(format!("{}{path}", self.url))).await
    }

    async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.send(self.http.post(format!("{}{path}", self.url)).body(body.to_string())).await
    }

    async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.send(self.http.delete(format!("{}{path}", self.url))).await
    }

    async fn all_executions(&self, id: &str) -> anyhow::Result<Vec<Value>> {
        let page = self.get(&format!("/v1/schedules/{id}/executions?limit=100")).await?;
        let items =
            page["items"].as_array().or(page["executions"].as_array()).context("a list of executions")?;
        Ok(items.clone())
    }
}
