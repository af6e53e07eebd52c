//! What a starting function talks to: Lambda's runtime API, which notes when the function first asks for work, and
//! AWS's endpoints, which answer whatever a start asks with as little as satisfies it. Plain HTTP on loopback.

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{net::TcpListener, sync::mpsc};

/// What the function did first that matters.
#[derive(Debug)]
pub enum Heard {
    /// It asked for work, at that instant (µs since 1970).
    Ready(i64),
    /// It said why it cannot start.
    Failed(String),
}

pub struct StandIn {
    pub runtime: SocketAddr,
    pub aws: SocketAddr,
    heard: tokio::sync::Mutex<mpsc::UnboundedReceiver<Heard>>,
    /// What was asked of AWS since the last look: the operations' names.
    asked: Arc<Mutex<Vec<String>>>,
}

impl StandIn {
    pub async fn start() -> anyhow::Result<StandIn> {
        let (tell, heard) = mpsc::unbounded_channel();
        let runtime = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
        let aws = TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let stand_in = StandIn {
            runtime: runtime.local_addr()?,
            aws: aws.local_addr()?,
            heard: tokio::sync::Mutex::new(heard),
            asked: Arc::clone(&asked),
        };
        tokio::spawn(serve(runtime, move |request| answer_runtime(request, tell.clone())));
        tokio::spawn(serve(aws, move |request| answer_aws(request, Arc::clone(&asked))));
        Ok(stand_in)
    }

    /// The next thing that a function says.
    pub async fn hears(&self) -> anyhow::Result<Heard> {
        self.heard.lock().await.recv().await.context("the stand-in has ended")
    }

    /// Forgets what earlier functions said and asked.
    pub async fn begin(&self) {
        let mut heard = self.heard.lock().await;
        while heard.try_recv().is_ok() {}
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve<F, A>(listener: TcpListener, answer: F)
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answered = answer(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>: there is never any work.
async fn answer_runtime(
    request: Request<Incoming>,
    tell: mpsc::UnboundedSender<Heard>,
) -> Response<Full<Bytes>> {
    let at = crate::moment::micros();
    if request.uri().path().ends_with("/invocation/next") {
        let _ = tell.send(Heard::Ready(at));
        std::future::pending::<()>().await;
    }
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let _ = tell.send(Heard::Failed(format!("{path}: {}", String::from_utf8_lossy(&body))));
    Response::new(Full::new(Bytes::from_static(b"{}")))
}

async fn answer_aws(request: Request<Incoming>, asked: Arc<Mutex<Vec<String>>>) -> Response<Full<Bytes>> {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
    let operation = target.unwrap_or_else(|| request.uri().path()).to_owned();
    let _ = request.into_body().collect().await;
    let answer = match operation.rsplit('.').next() {
        Some("GetSecretValue") => {
            r#"{"Name":"sealing","SecretString":"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"}"#
        }
        Some("GetQueueAttributes") => r#"{"Attributes":{"ApproximateNumberOfMessages":"0"}}"#,
        _ => "{}",
    };
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
    let mut response = Response::new(Full::new(Bytes::from_static(answer.as_bytes())));
    let json = hyper::header::HeaderValue::from_static("application/x-amz-json-1.0");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
    response
}
