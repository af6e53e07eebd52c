//! An HTTP/1.1 server for a router: bounded in connections, in the time a request may take to arrive, and in
//! the time its stop takes. Knows nothing of what it serves.

use axum::{Router, body::Body};
use http_body_util::BodyExt as _;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::{Sleep, sleep, timeout},
};
use tower::ServiceExt as _;

#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Further connections wait in the system's backlog.
    pub max_connections: usize,
    /// From a connection's opening, or the end of the answer before, to the end of the request's head.
    pub head_within: Duration,
    /// From the end of the head to the end of the body.
    pub body_within: Duration,
    /// How long a stop waits for answers under way.
    pub drain: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits {
            max_connections: 2048,
            head_within: Duration::from_secs(30),
            body_within: Duration::from_secs(30),
            drain: Duration::from_secs(4),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("cannot listen on {listen}: {source}")]
    Bind { listen: String, source: io::Error },
    #[error("{listen} is no address to listen on: write HOST:PORT, such as 127.0.0.1:8080")]
    NotAnAddress { listen: String, source: io::Error },
}

impl ListenError {
    /// Somebody else listens there.
    pub fn is_taken(&self) -> bool {
        matches!(self, ListenError::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
    }
}

/// Taken before anything else is started, so that a busy port is known first.
pub async fn listen(address: &str) -> Result<TcpListener, ListenError> {
    let listen = address.to_owned();
    match tokio::net::lookup_host(address).await {
        Err(source) => Err(ListenError::NotAnAddress { listen, source }),
        Ok(addresses) => {
            let addresses: Vec<SocketAddr> = addresses.collect();
            let bind = || {
                let listener = StdListener::bind(&addresses[..])?;
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener)
            };
            bind().map_err(|source| ListenError::Bind { listen, source })
        }
    }
}

/// A running server; dropping it stops nothing, [`Server::stop`] does.
pub struct Server {
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    done: JoinHandle<()>,
}

impl Server {
    pub fn start(listener: TcpListener, router: Router, limits: ServerLimits) -> io::Result<Server> {
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let done = tokio::spawn(accept(listener, router, limits, stopped));
        Ok(Server { address, stop, done })
    }

    /// `http://HOST:PORT`, as it can be called from this machine.
    pub fn url(&self) -> String {
        url_of(self.address)
    }

    /// Accepts no more, closes what is idle, and waits for answers under way, no longer than `drain`.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        // An error here is a panic there, which has been reported.
        let _ = self.done.await;
    }
}

/// What listens on every address is called on loopback.
pub fn url_of(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        let loopback: std::net::IpAddr = match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        address.set_ip(loopback);
    }
    format!("http://{address}")
}

async fn accept(
    listener: TcpListener,
    router: Router,
    limits: ServerLimits,
    mut stopped: watch::Receiver<bool>,
) {
    let connections = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(limits.max_connections));
    loop {
        let next = async {
            let permit = Arc::clone(&room).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (accepted, permit) = tokio::select! {
            accepted = next => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let served = connections.watch(connection(stream, router.clone(), limits));
                tokio::spawn(async move {
                    // What a client did wrong is no news here: it has got its answer, or hung up.
                    if let Err(error) = served.await {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    drop(permit);
                });
            }
            // Mostly "too many open files": what is open must close first.
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    if timeout(limits.drain, connections.shutdown()).await.is_err() {
        tracing::warn!("some connections were cut off by the stop");
    }
}

fn connection(
    stream: TcpStream,
    router: Router,
    limits: ServerLimits,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error, Output = hyper::Result<()>> {
    // Answers are small: waiting to fill a packet only costs time.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let body_within = limits.body_within;
        router.clone().oneshot(request.map(|body| Body::new(TimedBody::new(body, body_within))))
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_within)
        .serve_connection(TokioIo::new(stream), service)
}

/// A request's body that must have arrived in time. Who sends it byte by byte holds a connection no longer.
struct TimedBody {
    inner: Incoming,
    late: Pin<Box<Sleep>>,
}

impl TimedBody {
    fn new(inner: Incoming, within: Duration) -> Self {
        TimedBody { inner, late: Box::pin(sleep(within)) }
    }
}

#[derive(Debug, thiserror::Error)]
enum BodyError {
    #[error("the body did not arrive in time")]
    Late,
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

impl hyper::body::Body for TimedBody {
    type Data = hyper::body::Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Broken)));
        }
        self.late.as_mut().poll(context).map(|()| Some(Err(BodyError::Late)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.inner.size_hint()
    }
}

/// Reads a body of at most `limit` bytes; none where it is larger, late or broken.
pub async fn read_body(body: Body, limit: usize) -> Option<Vec<u8>> {
    let body = http_body_util::Limited::new(body, limit).collect().await.ok()?;
    Some(body.to_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn limits() -> ServerLimits {
        ServerLimits {
            max_connections: 2,
            head_within: Duration::from_millis(200),
            body_within: Duration::from_millis(200),
            drain: Duration::from_secs(2),
        }
    }

    async fn start(limits: ServerLimits) -> Server {
        let router = Router::new()
            .route("/", get(|| async { "hello" }))
            .route(
                "/slow",
                get(|| async {
                    sleep(Duration::from_millis(300)).await;
                    "done"
                }),
            )
            .route(
                "/body",
                post(|body: Body| async {
                    read_body(body, 10).await.map_or("none".to_owned(), |body| body.len().to_string())
                }),
            );
        Server::start(listen("127.0.0.1:0").await.unwrap(), router, limits).unwrap()
    }

    /// Sends this, and reads until the server hangs up.
    async fn talk(address: SocketAddr, text: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn who_dawdles_with_the_head_or_the_body_is_let_go() {
        let server = start(limits()).await;
        assert!(
            talk(server.address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.ends_with("hello"),
            "kept alive, then let go"
        );
        assert!(!talk(server.address, "GET / HTTP/1.1\r\nho").await.contains("hello"));
        let dawdling = "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab";
        assert!(talk(server.address, dawdling).await.contains("none"));
        let whole = "POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nabcde";
        assert!(talk(server.address, whole).await.ends_with('5'));
        server.stop().await;
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_wait_their_turn() {
        let server = start(ServerLimits { head_within: Duration::from_secs(60), ..limits() }).await;
        let first = TcpStream::connect(server.address).await.unwrap();
        let _second = TcpStream::connect(server.address).await.unwrap();
        let address = server.address;
        let mut third =
            tokio::spawn(async move { talk(address, "GET / HTTP/1.1\r\nconnection: close\r\n\r\n").await });
        assert!(timeout(Duration::from_millis(300), &mut third).await.is_err());
        drop(first);
        assert!(third.await.unwrap().ends_with("hello"));
        server.stop().await;
    }

    #[tokio::test]
    async fn a_stop_finishes_what_runs_and_accepts_no_more() {
        let server = start(limits()).await;
        let address = server.address;
        let running =
            tokio::spawn(async move { talk(address, "GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await });
        sleep(Duration::from_millis(100)).await;
        server.stop().await;
        assert!(running.await.unwrap().ends_with("done"));
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_taken_port_and_a_bad_address_are_told_apart() {
        let taken = listen("127.0.0.1:0").await.unwrap();
        let error = listen(&taken.local_addr().unwrap().to_string()).await.unwrap_err();
        assert!(error.is_taken(), "{error}");
        let error = listen("127.0.0.1").await.unwrap_err();
        assert!(matches!(error, ListenError::NotAnAddress { .. }), "{error}");
    }

    #[test]
    fn what_listens_everywhere_is_called_on_loopback() {
        assert_eq!(url_of("0.0.0.0:80".parse().unwrap()), "http://127.0.0.1:80");
        assert_eq!(url_of("[::]:80".parse().unwrap()), "http://[::1]:80");
        assert_eq!(url_of("10.0.0.1:80".parse().unwrap()), "http://10.0.0.1:80");
    }
}
