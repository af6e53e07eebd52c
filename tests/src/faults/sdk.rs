//! Faults beneath the AWS SDK: an HTTP client around another, in which requests are refused, slowed down, or done
//! and their answers lost. So the SDK's own repeating is part of what is tested.

use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// One request that the SDK is about to send.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub service: Service,
    /// As AWS calls it: `PutItem`, `SendMessageBatch`, `CreateSchedule`.
    pub operation: &'a str,
    /// Whether it may change anything.
    pub writes: bool,
    pub body: &'a [u8],
    /// How often the same operation with the same body was sent before this.
    pub before: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    DynamoDb,
    Sqs,
    Scheduler,
    Other,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Done, and its answer lost with the connection.
    LoseAnswer,
    /// Not done: the connection is refused.
    Unreachable,
    /// Not done: too many requests, as the service says it.
    Throttle,
    /// Not done: status 503.
    Unavailable,
    /// Done after so long.
    Slow(Duration),
    /// Not done: this answer instead.
    Answer(u16, String),
}

/// The client around `inner` in which `decide` says what befalls a request; none: it is done.
pub fn faulty(
    inner: SharedHttpClient,
    decide: impl Fn(&Asked<'_>) -> Option<Fault> + Send + Sync + 'static,
) -> SharedHttpClient {
    SharedHttpClient::new(Faulty {
        inner,
        plan: Arc::new(Plan { decide: Box::new(decide), sent: Mutex::default() }),
    })
}

/// How many answers a [`forgetful`] client has lost.
pub type Lost = Arc<AtomicU32>;

/// Loses the answer to each write, the first time that exactly this write is sent: the SDK repeats it by itself, so
/// that everything is done twice. For a suite of port tests:
///
/// ```text
/// let (http, lost) = forgetful(rondo_aws::http::client());
/// let clients = Clients::new(&settings, http, None);
/// // … and at the end: assert!(lost.load(Ordering::SeqCst) > 0);
/// ```
pub fn forgetful(inner: SharedHttpClient) -> (SharedHttpClient, Lost) {
    let lost = Lost::default();
    let count = Arc::clone(&lost);
    let client = faulty(inner, move |asked| {
        (asked.writes && asked.before == 0).then(|| {
            count.fetch_add(1, Ordering::SeqCst);
            Fault::LoseAnswer
        })
    });
    (client, lost)
}

/// Throttles the first `times` requests of an operation.
pub fn throttling(inner: SharedHttpClient, operation: &'static str, times: u32) -> SharedHttpClient {
    let seen = AtomicU32::new(0);
    faulty(inner, move |asked| {
        let hit = asked.operation == operation && seen.fetch_add(1, Ordering::SeqCst) < times;
        hit.then_some(Fault::Throttle)
    })
}

type Decide = dyn Fn(&Asked<'_>) -> Option<Fault> + Send + Sync;

struct Plan {
    decide: Box<Decide>,
    sent: Mutex<HashMap<(String, Vec<u8>), u32>>,
}

impl Plan {
    fn decide(&self, request: &HttpRequest) -> Option<Fault> {
        let body = request.body().bytes().unwrap_or_default();
        let (service, operation) = name(request);
        // A schedule's name is part of its path, not of its body.
        let key = (format!("{operation} {}", request.uri()), body.to_vec());
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let count = sent.entry(key).or_default();
        let before = *count;
        *count += 1;
        drop(sent);
        let writes = !["Get", "List", "Query", "Scan", "Describe", "BatchGet", "TransactGet", "Receive"]
            .iter()
            .any(|verb| operation.starts_with(verb));
        (self.decide)(&Asked { service, operation: &operation, writes, body, before })
    }
}

/// From the header of the JSON protocols, or from method and path of EventBridge Scheduler's.
fn name(request: &HttpRequest) -> (Service, String) {
    if let Some((service, operation)) =
        request.headers().get("x-amz-target").and_then(|it| it.split_once('.'))
    {
        let service = match service {
            "DynamoDB_20120810" => Service::DynamoDb,
            "AmazonSQS" => Service::Sqs,
            _ => Service::Other,
        };
        return (service, operation.to_owned());
    }
    let verb = match request.method() {
        "POST" => "Create",
        "PUT" => "Update",
        "DELETE" => "Delete",
        _ => "Get",
    };
    let path =
        request.uri().split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |it| it.1);
    let thing = if path.starts_with("schedule-groups") { "ScheduleGroup" } else { "Schedule" };
    (Service::Scheduler, format!("{verb}{thing}"))
}

struct Faulty {
    inner: SharedHttpClient,
    plan: Arc<Plan>,
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl HttpClient for Faulty {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Connector { inner, plan: Arc::clone(&self.plan) })
    }
}

struct Connector {
    inner: SharedHttpConnector,
    plan: Arc<Plan>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let fault = self.plan.decide(&request);
        let service = name(&request).0;
        let inner = self.inner.clone();
        HttpConnectorFuture::new(async move {
            match fault {
                None => inner.call(request).await,
                Some(Fault::Slow(time)) => {
                    tokio::time::sleep(time).await;
                    inner.call(request).await
                }
                Some(Fault::LoseAnswer) => {
                    inner.call(request).await?;
                    Err(ConnectorError::io("the connection was closed before the answer".into()))
                }
                Some(Fault::Unreachable) => {
                    Err(ConnectorError::io("the connection was refused".into()).never_connected())
                }
                Some(Fault::Throttle) => answer(throttled(service)),
                Some(Fault::Unavailable) => answer((503, "{}".to_owned())),
                Some(Fault::Answer(status, body)) => answer((status, body)),
            }
        })
    }
}

/// How each service says that there are too many requests.
fn throttled(service: Service) -> (u16, String) {
    let (status, kind) = match service {
        Service::DynamoDb => (400, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"),
        Service::Sqs => (400, "com.amazonaws.sqs#RequestThrottled"),
        Service::Scheduler => (429, "ThrottlingException"),
        Service::Other => (400, "ThrottlingException"),
    };
    (status, format!(r#"{{"__type":"{kind}","message":"too many requests"}}"#))
}

fn answer((status, body): (u16, String)) -> Result<HttpResponse, ConnectorError> {
    let status = StatusCode::try_from(status).map_err(|error| ConnectorError::user(error.into()))?;
    let mut response = HttpResponse::new(status, SdkBody::from(body));
    response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
    Ok(response)
}
