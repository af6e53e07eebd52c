//! The HTTP client under the AWS SDK: the one that the callbacks use too, so that a binary holds one TLS stack, with
//! Mozilla's roots compiled in and no certificate files read. Whether a request is made again is the SDK's business:
//! here it only learns what kind of failure it was.

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::body::SdkBody;
use reqwest::{Request, redirect};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

/// How long making a connection may take, TLS included. One for all services, as they share the pool.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a connection is kept without use. One that the other side has closed meanwhile costs a repeated
/// request; a new one costs a TLS handshake.
const KEEP_IDLE: Duration = Duration::from_secs(50);

/// A dispatcher's batch writes as many items at once as it has messages; all connections are to a few hosts.
const MAX_IDLE: usize = 64;

/// Cheap: the TLS settings are made and the pool opened at the first request. Clones share the pool.
pub fn client() -> SharedHttpClient {
    SharedHttpClient::new(Pool::default())
}

#[derive(Clone, Debug, Default)]
struct Pool {
    client: Arc<OnceLock<Result<reqwest::Client, Arc<str>>>>,
}

impl Pool {
    fn client(&self) -> Result<&reqwest::Client, BoxError> {
        self.client.get_or_init(build).as_ref().map_err(|why| BoxError::from(why.to_string()))
    }
}

fn build() -> Result<reqwest::Client, Arc<str>> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let tls = tls.map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let tls = tls.with_root_certificates(roots).with_no_client_auth();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .retry(reqwest::retry::never())
        .http1_only()
        .tcp_nodelay(true)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(MAX_IDLE)
        .pool_idle_timeout(KEEP_IDLE)
        .build();
    client.map_err(|error| format!("the HTTP client cannot be set up: {error}").into())
}

impl HttpClient for Pool {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector { pool: self.clone(), read_timeout: settings.read_timeout() })
    }
}

#[derive(Debug)]
struct Connector {
    pool: Pool,
    /// From sending to the answer's end: an answer counts only when it is whole.
    read_timeout: Option<Duration>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (pool, read_timeout) = (self.pool.clone(), self.read_timeout);
        HttpConnectorFuture::new(async move {
            let request = prepare(request, read_timeout).map_err(ConnectorError::user)?;
            let client = pool.client().map_err(ConnectorError::user)?;
            let response = client.execute(request).await.map_err(classify)?;
            let (status, headers) = (response.status(), response.headers().clone());
            // Whole: answers are a megabyte at most, and one that breaks off is repeated like one that never came.
            let body = response.bytes().await.map_err(classify)?;
            let mut answer = http::Response::new(SdkBody::from(body));
            *answer.status_mut() = status;
            *answer.headers_mut() = headers;
            HttpResponse::try_from(answer).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

fn prepare(request: HttpRequest, read_timeout: Option<Duration>) -> Result<Request, BoxError> {
    let (parts, body) = request.try_into_http1x()?.into_parts();
    let body = body.bytes().ok_or("the body is not in memory")?.to_vec();
    let mut request = Request::try_from(http::Request::from_parts(parts, body))?;
    *request.timeout_mut() = read_timeout;
    Ok(request)
}

/// Without the URL: it is the service's, and a queue's holds the account.
fn classify(error: reqwest::Error) -> ConnectorError {
    let error = error.without_url();
    if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else if error.is_builder() {
        ConnectorError::user(error.into())
    } else if error.is_connect() {
        ConnectorError::io(error.into()).never_connected()
    } else {
        ConnectorError::io(error.into())
    }
}
