//! The controls: the same work without Rondo.

use crate::moment;
use anyhow::Context as _;
use axum::{Router, body::Bytes, response::IntoResponse, routing::post};
use clap::Args;
use reqwest::Client;
use rondo::server::{Server, ServerLimits};
use rondo_domain::time::Timestamp;
use std::{sync::Arc, sync::atomic::AtomicUsize, sync::atomic::Ordering, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore};

#[derive(Args)]
pub struct Timers {
    #[arg(long)]
    url: String,
    #[arg(long)]
    calls: usize,
    /// Calls per second.
    #[arg(long)]
    rate: f64,
    #[arg(long)]
    concurrency: usize,
}

#[derive(Args)]
pub struct Loop {
    #[arg(long)]
    url: String,
    #[arg(long)]
    calls: usize,
    #[arg(long)]
    concurrency: usize,
}

fn client() -> anyhow::Result<Client> {
    // Asked for even where nothing is called over TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder().no_proxy().pool_max_idle_per_host(1024).tcp_nodelay(true);
    builder.tls_certs_only([]).build().context("the control's HTTP client")
}

/// The same request on the wire as Rondo's: as many headers, as long; nothing is computed for them.
async fn call(client: &Client, url: &str, number: usize, due: i64) -> anyhow::Result<()> {
    let id = format!("01a20173-4558-81ea-8a26-{number:012}");
    let answer = client
        .post(url)
        .timeout(Duration::from_secs(10))
        .header("user-agent", "Rondo/0.1.0")
        .header("webhook-id", &id)
        .header("webhook-timestamp", "1795312800")
        .header("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        .header("content-type", "application/json")
        .header("rondo-schedule-id", &id)
        .header("rondo-occurrence", "1")
        .header("rondo-due-at", Timestamp::from_millis(due / 1000).to_string())
        .header("rondo-attempt", "1")
        .body(r#"{"hello":"world"}"#)
        .send()
        .await?;
    answer.bytes().await?;
    Ok(())
}

/// One timer for each call, all set before the first is due.
pub async fn timers(options: Timers) -> anyhow::Result<()> {
    let client = client()?;
    let first = (moment::millis() + 1_500) * 1000;
    let permits = Arc::new(Semaphore::new(options.concurrency));
    let calls = (0..options.calls).map(|number| {
        // Whole milliseconds, as Rondo's instants are.
        let due = first + (number as f64 / options.rate * 1000.0) as i64 * 1000;
        let (client, url, permits) = (client.clone(), options.url.clone(), permits.clone());
        tokio::spawn(async move {
            moment::sleep_until(due).await;
            let _permit = permits.acquire().await?;
            call(&client, &url, number, due).await
        })
    });
    let calls: Vec<_> = calls.collect();
    println!("ready");
    for done in calls {
        done.await??;
    }
    println!("done");
    Ok(())
}

/// As many calls as go, one after the other on each of `concurrency` tasks.
pub async fn closed_loop(options: Loop) -> anyhow::Result<()> {
    let client = client()?;
    let next = Arc::new(AtomicUsize::new(0));
    println!("ready");
    let begun = moment::micros();
    let workers = (0..options.concurrency).map(|_| {
        let (client, url, next) = (client.clone(), options.url.clone(), next.clone());
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= options.calls {
                    return anyhow::Ok(());
                }
                call(&client, &url, number, moment::micros()).await?;
            }
        })
    });
    let workers: Vec<_> = workers.collect();
    for worker in workers {
        worker.await??;
    }
    println!("{}", options.calls as f64 / (moment::micros() - begun) as f64 * 1e6);
    Ok(())
}

/// The service's own HTTP server in front of a handler that reads a create request, parses it, and answers 201
/// with as much JSON as the API does, storing nothing.
pub async fn answer() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("ready {}", listener.local_addr()?);
    let router = Router::new().route("/v1/schedules", post(echo));
    let server = Server::start(listener, router, ServerLimits::default())?;
    let mut line = String::new();
    let _ = tokio::task::spawn_blocking(move || std::io::stdin().read_line(&mut line)).await;
    server.stop().await;
    Ok(())
}

async fn echo(body: Bytes) -> impl IntoResponse {
    let parsed: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let answer = serde_json::json!({"asked": parsed, "answered": "x".repeat(900)});
    (http::StatusCode::CREATED, [("content-type", "application/json")], answer.to_string())
}
