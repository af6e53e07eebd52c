//! Durable creates per second, over HTTP.

use crate::{
    api::{self, Connection},
    child::Running,
    moment, report,
};
use clap::Args;
use hyper::body::Bytes;
use serde_json::json;
use std::{io::Write as _, path::Path};

#[derive(Args)]
pub struct Options {
    #[arg(long, default_value_t = 256)]
    connections: usize,
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    #[arg(long)]
    folder: Option<std::path::PathBuf>,
}

pub async fn run(options: Options) -> anyhow::Result<()> {
    let folder = super::child_folder(options.folder.as_deref())?;
    let syncs = fdatasync_rate(folder.path())?;
    let data = folder.path().join("data").to_string_lossy().into_owned();
    let service = Running::start(&["serve-child", "--data", &data]).await?;
    let (creates, latencies) = load(&service.said[0], &options).await?;
    let resident = service.resident()?;
    service.stop().await?;
    let answering = Running::start(&["answer-child"]).await?;
    let (answers, _) = load(&answering.said[0], &options).await?;
    answering.stop().await?;
    report::print(
        "creates",
        "creates/s",
        creates,
        syncs,
        json!({
            "control_is": "fdatasync/s of this disk",
            "answering_without_storing": report::rounded(answers),
            "ratio_to_answering": report::rounded(creates / answers),
            "percentiles": report::percentiles(&latencies),
            "resident_mb": resident,
            "settings": {"connections": options.connections, "seconds": options.seconds},
        }),
    );
    Ok(())
}

/// Creates as fast as the connections go; answers the rate and each latency in µs.
async fn load(authority: &str, options: &Options) -> anyhow::Result<(f64, Vec<i64>)> {
    let body = api::once("http://127.0.0.1:9/later", moment::millis() + 30 * 24 * 3_600_000).to_string();
    let body = Bytes::from(body);
    let end = moment::micros() + (options.seconds * 1e6) as i64;
    let connection = |_| {
        let (authority, body) = (authority.to_owned(), body.clone());
        tokio::spawn(async move {
            let mut connection = Connection::open(&authority).await?;
            let mut latencies = Vec::new();
            loop {
                let begun = moment::micros();
                if begun >= end {
                    return anyhow::Ok(latencies);
                }
                let (status, answer) = connection.send("POST", "/v1/schedules", body.clone()).await?;
                anyhow::ensure!(status == 201, "answered {status}: {}", String::from_utf8_lossy(&answer));
                latencies.push(moment::micros() - begun);
            }
        })
    };
    let begun = moment::micros();
    let connections: Vec<_> = (0..options.connections).map(connection).collect();
    let mut latencies = Vec::new();
    for connection in connections {
        latencies.append(&mut connection.await??);
    }
    Ok((latencies.len() as f64 / (moment::micros() - begun) as f64 * 1e6, latencies))
}

/// How often this disk takes a small durable write in a second.
fn fdatasync_rate(folder: &Path) -> anyhow::Result<f64> {
    let mut file = std::fs::File::create(folder.join("fdatasync"))?;
    let begun = moment::micros();
    let mut syncs = 0u32;
    while moment::micros() - begun < 2_000_000 {
        file.write_all(&[7u8; 4096])?;
        file.sync_data()?;
        syncs += 1;
    }
    Ok(f64::from(syncs) / (moment::micros() - begun) as f64 * 1e6)
}
