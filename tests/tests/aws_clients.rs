//! The AWS clients' edges: connections, broken answers, retries, timeouts, and what the meter counts. Against a
//! server that answers by a script, as no emulator breaks off in the middle.

use rondo_aws::{AwsSettings, Clients, Meter, settings::AwsCredentials};
use rondo_domain::time::Span;
use rondo_tests::faults::sdk::{Fault, faulty, throttling};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

fn settings(endpoint: &str) -> AwsSettings {
    let variables = [("AWS_REGION", "us-east-1"), ("AWS_ENDPOINT_URL", endpoint), ("RONDO_TABLE", "rondo")];
    let of =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    AwsSettings::read(of).expect("they are complete")
}

/// What the server does with one request.
#[derive(Clone, Copy)]
enum Does {
    Answers(u16, &'static str),
    Redirects,
    /// Closes the connection without a word.
    Hangs,
    /// Announces more than it sends.
    BreaksOff,
}

struct Server {
    endpoint: String,
    connections: Arc<AtomicU32>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Follows the script, and answers `{}` from its end on.
    async fn start(script: Vec<Does>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it has an address");
        let (connections, requests) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(Vec::new())));
        let server = Server {
            endpoint: format!("http://{address}"),
            connections: Arc::clone(&connections),
            requests: Arc::clone(&requests),
        };
        let script = Arc::new(Mutex::new(script.into_iter()));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (script, requests) = (Arc::clone(&script), Arc::clone(&requests));
                tokio::spawn(async move {
                    while let Some(request) = read_request(&mut stream).await {
                        requests.lock().expect("no panic under it").push(request);
                        let does = script.lock().expect("no panic under it").next();
                        let answer = match does.unwrap_or(Does::Answers(200, "{}")) {
                            Does::Answers(status, body) => format!(
                                "HTTP/1.1 {status} x\r\ncontent-type: application/x-amz-json-1.0\r\n\
                                 content-length: {}\r\n\r\n{body}",
                                body.len()
                            ),
                            Does::Redirects => {
                                "HTTP/1.1 307 x\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"
                                    .to_owned()
                            }
                            Does::Hangs => return,
                            Does::BreaksOff => {
                                "HTTP/1.1 200 x\r\ncontent-length: 100\r\n\r\n{\"Item".to_owned()
                            }
                        };
                        let cut = matches!(does, Some(Does::BreaksOff));
                        if stream.write_all(answer.as_bytes()).await.is_err() || cut {
                            return;
                        }
                    }
                });
            }
        });
        server
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic under it").clone()
    }
}

/// Head and body, or none where the connection ends.
async fn read_request(stream: &mut tokio::net::TcpStream) -> Option<String> {
    let mut read = Vec::new();
    loop {
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text.into_owned());
            }
        }
    }
}

/// Reads an item that is not there, and tells what went wrong.
async fn read(clients: &Clients) -> Result<(), String> {
    use aws_sdk_dynamodb::types::AttributeValue::S;
    let request = clients.dynamodb.get_item().table_name("rondo");
    let answer = request.key("pk", S("a".to_owned())).key("sk", S("b".to_owned())).send().await;
    answer.map(drop).map_err(|error| format!("{error:?}"))
}

#[tokio::test]
async fn connections_are_kept() {
    let server = Server::start(Vec::new()).await;
    let clients = Clients::new(&settings(&server.endpoint), rondo_aws::http::client(), None);
    for _ in 0..5 {
        read(&clients).await.expect("the server answers");
    }
    assert_eq!((server.requests().len(), server.connections.load(Ordering::SeqCst)), (5, 1));
}

#[tokio::test]
async fn requests_are_signed_for_their_region_with_the_settings_credentials() {
    let server = Server::start(Vec::new()).await;
    let credentials = AwsCredentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: "sesame".to_owned(),
        session_token: Some("a-session".to_owned()),
    };
    let settings = AwsSettings { credentials, region: "eu-west-3".to_owned(), ..settings(&server.endpoint) };
    let clients = Clients::new(&settings, rondo_aws::http::client(), None);
    read(&clients).await.expect("the server answers");
    let request = &server.requests()[0];
    assert!(
        request.contains("Credential=AKIDEXAMPLE/") && request.contains("/eu-west-3/dynamodb/aws4_request")
    );
    assert!(request.contains("x-amz-security-token: a-session") && !request.contains("sesame"), "{request}");
}

#[tokio::test]
async fn whatever_breaks_an_answer_off_is_repeated() {
    let script = vec![Does::Hangs, Does::BreaksOff, Does::Answers(500, "{}"), Does::Answers(200, "{}")];
    let server = Server::start(script).await;
    let meter = Meter::default();
    let clients = Clients::new(&settings(&server.endpoint), rondo_aws::http::client(), Some(meter.clone()));
    read(&clients).await.expect("the fourth try succeeds");
    assert_eq!(server.requests().len(), 4);
    assert_eq!(meter.read()[&("DynamoDB".to_owned(), "GetItem".to_owned())].requests, 4);
}

#[tokio::test]
async fn a_fifth_try_is_not_made() {
    let server = Server::start(vec![Does::Hangs; 10]).await;
    let clients = Clients::new(&settings(&server.endpoint), rondo_aws::http::client(), None);
    read(&clients).await.expect_err("it never answers");
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = Server::start(vec![Does::Redirects]).await;
    let clients = Clients::new(&settings(&server.endpoint), rondo_aws::http::client(), None);
    let error = read(&clients).await.expect_err("a redirect is no answer");
    assert!(error.contains("307"), "{error}");
    assert!(server.requests().iter().all(|request| !request.contains("/elsewhere")));
}

#[tokio::test]
async fn nobody_there_is_a_failed_connection_and_no_panic() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("it has an address");
    drop(listener);
    let settings = AwsSettings {
        queue_url: Some("http://a/1/rondo".to_owned()),
        ..settings(&format!("http://{address}"))
    };
    let clients = Clients::new(&settings, rondo_aws::http::client(), None);
    let error = read(&clients).await.expect_err("nobody listens");
    assert!(error.contains("DispatchFailure") && error.contains("refused"), "{error}");
    clients.warm(&settings).await;
}

#[tokio::test]
async fn tls_is_spoken_where_the_address_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("it has an address");
    let hello = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("somebody connects");
        let mut first = [0; 2];
        stream.read_exact(&mut first).await.expect("it says something");
        first
    });
    let clients = Clients::new(&settings(&format!("https://{address}")), rondo_aws::http::client(), None);
    read(&clients).await.expect_err("nobody answers in TLS");
    assert_eq!(hello.await.expect("it accepted"), [0x16, 0x03], "a TLS handshake record");
}

#[tokio::test]
async fn the_connections_are_made_before_they_are_needed() {
    let server = Server::start(Vec::new()).await;
    let settings =
        AwsSettings { queue_url: Some("http://a/1/rondo".to_owned()), ..settings(&server.endpoint) };
    let clients = Clients::new(&settings, rondo_aws::http::client(), None);
    clients.warm(&settings).await;
    let asked = server.requests().join("\n");
    assert!(
        asked.contains("DynamoDB_20120810.GetItem") && asked.contains("AmazonSQS.GetQueueAttributes"),
        "{asked}"
    );
}

#[tokio::test(start_paused = true)]
async fn patience_ends_long_before_a_lease() {
    let slow = faulty(rondo_aws::http::client(), |_| Some(Fault::Slow(Duration::from_secs(3600))));
    let clients = Clients::new(&settings("http://127.0.0.1:9"), slow, None);
    #[expect(clippy::disallowed_methods, reason = "the paused time of this test alone")]
    let began = tokio::time::Instant::now();
    read(&clients).await.expect_err("nothing comes in time");
    let waited = began.elapsed();
    let attempt = Duration::from_secs(2);
    assert!(waited > 2 * attempt && waited <= Duration::from_secs(6), "{waited:?}");
    let lease = rondo_aws::settings().lease;
    assert!(waited < lease.std() / 2 && lease > Span::ZERO);
}

#[tokio::test]
async fn throttling_is_waited_out() {
    let server = Server::start(Vec::new()).await;
    let meter = Meter::default();
    let http = throttling(rondo_aws::http::client(), "GetItem", 3);
    let clients = Clients::new(&settings(&server.endpoint), http, Some(meter.clone()));
    read(&clients).await.expect("the fourth try is let through");
    assert_eq!(server.requests().len(), 1);
    assert_eq!(meter.read()[&("DynamoDB".to_owned(), "GetItem".to_owned())].requests, 4);
}

#[tokio::test]
async fn the_meter_asks_for_the_capacity_and_shows_what_went_over_the_wire() {
    let answer = r#"{"ConsumedCapacity":{"TableName":"rondo","CapacityUnits":0.5}}"#;
    let server = Server::start(vec![Does::Hangs, Does::Answers(200, answer)]).await;
    let meter = Meter::default();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    meter.watch(move |exchange| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let one =
            (exchange.operation.to_owned(), text(exchange.request), exchange.status, text(exchange.answer));
        sink.lock().expect("no panic under it").push(one);
    });
    let clients = Clients::new(&settings(&server.endpoint), rondo_aws::http::client(), Some(meter.clone()));
    read(&clients).await.expect("the second try succeeds");

    let seen = seen.lock().expect("no panic under it");
    let [(first, sent, None, nothing), (second, again, Some(200), came)] = seen.as_slice() else {
        panic!("{seen:?}")
    };
    assert_eq!([first, second], ["GetItem"; 2]);
    assert!(sent.contains(r#""ReturnConsumedCapacity":"INDEXES""#) && sent == again, "{sent}");
    assert_eq!((nothing.as_str(), came.as_str()), ("", answer));
    let usage = meter.take()[&("DynamoDB".to_owned(), "GetItem".to_owned())];
    assert_eq!((usage.requests, usage.read_units, usage.write_units), (2, 0.5, 0.0));
    assert!(meter.read().is_empty());
}
