//! Where callbacks arrive: an HTTP server that notes for each its due instant, its id and its arrival.

use crate::moment;
use anyhow::Context as _;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rondo_domain::time::Timestamp;
use std::{
    collections::HashSet,
    convert::Infallible,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::net::TcpListener;

#[derive(Clone, Copy)]
pub struct Arrival {
    /// Hash of the webhook id.
    pub id: u64,
    /// µs since the epoch.
    pub due: i64,
    pub at: i64,
}

#[derive(Clone)]
pub struct Sink {
    pub address: SocketAddr,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
}

impl Sink {
    pub async fn start() -> anyhow::Result<Sink> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("the sink cannot listen")?;
        let sink = Sink { address: listener.local_addr()?, arrivals: Arc::default() };
        let served = sink.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let sink = served.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let sink = sink.clone();
                        async move { sink.answer(request).await }
                    });
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(sink)
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
        let at = moment::micros();
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let due =
            header("rondo-due-at").and_then(Timestamp::parse_rfc3339).map_or(0, |due| due.millis() * 1000);
        let mut hasher = DefaultHasher::new();
        header("webhook-id").hash(&mut hasher);
        let arrival = Arrival { id: hasher.finish(), due, at };
        let _ = request.into_body().collect().await;
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(arrival);
        Ok(Response::new(Empty::new()))
    }

    pub fn count(&self) -> usize {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Hands over what has arrived, and begins anew.
    pub fn take(&self) -> Vec<Arrival> {
        std::mem::take(&mut self.arrivals.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Arrivals, judged.
pub struct Judged {
    pub lateness: Vec<i64>,
    pub early: usize,
    pub missing: usize,
    pub doubled: usize,
}

pub fn judge(arrivals: &[Arrival], expected: usize) -> Judged {
    let distinct = arrivals.iter().map(|arrival| arrival.id).collect::<HashSet<_>>().len();
    Judged {
        lateness: arrivals.iter().map(|arrival| arrival.at - arrival.due).collect(),
        early: arrivals.iter().filter(|arrival| arrival.at < arrival.due).count(),
        missing: expected.saturating_sub(distinct),
        doubled: arrivals.len() - distinct,
    }
}
