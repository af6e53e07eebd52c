//! A table of one's own, and stores on it, each like a process: with a memory of its own.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    runtime_components::RuntimeComponents,
};
use rondo_aws::{AwsSettings, Clients, DynamoStore, store::Item, store::schema};
use rondo_domain::{
    ids::ScheduleId,
    ports::Clock,
    time::{Span, Timestamp},
};
use rondo_system::SystemClock;
use rondo_tests::{
    emulator::Emulator,
    faults::{Stores, sdk::faulty},
    port_suite::{Suite, World},
};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI64, Ordering},
};

pub struct Table {
    pub settings: AwsSettings,
    pub clients: Clients,
}

impl Table {
    pub async fn new() -> Table {
        Table::of(Emulator::ministack(), rondo_aws::http::client()).await
    }

    pub async fn of(emulator: &Emulator, http: SharedHttpClient) -> Table {
        let settings = emulator.settings();
        let clients = Clients::new(&settings, http, None);
        schema::create_table(&clients.dynamodb, &settings.table).await.expect("the table can be made");
        Table { settings, clients }
    }

    pub fn store(&self) -> Arc<DynamoStore> {
        self.store_at(Arc::new(SystemClock))
    }

    pub fn store_at(&self, clock: Arc<dyn Clock>) -> Arc<DynamoStore> {
        Arc::new(DynamoStore::new(self.clients.dynamodb.clone(), &self.settings, clock))
    }

    pub fn store_through(&self, http: SharedHttpClient) -> Arc<DynamoStore> {
        self.store_through_at(http, Arc::new(SystemClock))
    }

    pub fn store_through_at(&self, http: SharedHttpClient, clock: Arc<dyn Clock>) -> Arc<DynamoStore> {
        let clients = Clients::new(&self.settings, http, None);
        Arc::new(DynamoStore::new(clients.dynamodb, &self.settings, clock))
    }

    pub fn world(&self) -> World {
        World { stores: Stores::of(&self.store()), keep: Box::new(()), leases_lapse: true }
    }

    /// A process, with whatever the suite has for making things. There may be one for each table: its ids and
    /// tokens begin anew.
    pub fn suite(&self) -> Suite {
        Suite::new(self.world(), false)
    }

    /// Everything that is in it.
    pub async fn items(&self) -> Vec<Item> {
        let pages = self.clients.dynamodb.scan().table_name(&self.settings.table);
        let page = pages.consistent_read(true).send().await.expect("it can be read");
        assert!(page.last_evaluated_key.is_none(), "it is small enough for one page");
        page.items.unwrap_or_default()
    }

    /// The sort keys of a schedule's items.
    pub async fn items_of(&self, id: ScheduleId) -> Vec<String> {
        let pk = AttributeValue::S(format!("SCHEDULE#{id}"));
        let all = self.items().await.into_iter().filter(|item| item["pk"] == pk);
        let mut keys: Vec<String> = all.map(|item| item["sk"].as_s().expect("text").clone()).collect();
        keys.sort_unstable();
        keys
    }

    pub async fn item(&self, pk: &str, sk: &str) -> Option<Item> {
        let get = self.clients.dynamodb.get_item().table_name(&self.settings.table);
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let got = get.key("pk", text(pk)).key("sk", text(sk)).consistent_read(true).send().await;
        got.expect("it can be read").item
    }

    pub async fn put(&self, item: Item) {
        let put = self.clients.dynamodb.put_item().table_name(&self.settings.table).set_item(Some(item));
        put.send().await.expect("it can be written");
    }
}

/// The operations that were asked for, in order.
pub type Asked = Arc<Mutex<Vec<String>>>;

pub fn listening() -> (SharedHttpClient, Asked) {
    let asked = Asked::default();
    let heard = Arc::clone(&asked);
    let http = faulty(rondo_aws::http::client(), move |request| {
        heard.lock().expect("nobody panics under it").push(request.operation.to_owned());
        None
    });
    (http, asked)
}

/// Everything that was asked for since the last time.
pub fn heard(asked: &Asked) -> Vec<String> {
    std::mem::take(&mut asked.lock().expect("nobody panics under it"))
}

/// Stands where it was set, and jumps wherever somebody wants to sleep to.
pub struct Jumping(AtomicI64);

impl Jumping {
    pub fn at(at: Timestamp) -> Arc<Jumping> {
        Arc::new(Jumping(AtomicI64::new(at.millis())))
    }

    pub fn pass(&self, span: Span) {
        self.0.fetch_add(i64::try_from(span.millis()).expect("not that long"), Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    async fn sleep_until(&self, at: Timestamp) {
        self.0.fetch_max(at.millis(), Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
}

/// A client that sends a request when the one before it is answered.
pub fn one_at_a_time() -> SharedHttpClient {
    SharedHttpClient::new(OneAtATime { inner: rondo_aws::http::client(), turn: Arc::default() })
}

#[derive(Debug)]
struct OneAtATime {
    inner: SharedHttpClient,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl HttpClient for OneAtATime {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(InTurn { inner, turn: Arc::clone(&self.turn) })
    }
}

#[derive(Debug)]
struct InTurn {
    inner: SharedHttpConnector,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl HttpConnector for InTurn {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (inner, turn) = (self.inner.clone(), Arc::clone(&self.turn));
        HttpConnectorFuture::new(async move {
            let _turn = turn.lock().await;
            inner.call(request).await
        })
    }
}
