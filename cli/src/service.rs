//! The service on one machine, from the data folder to the listening socket. `serve`, `demo`, the benchmark and
//! tests all start it here, so what they show is what runs.

use crate::{
    admin_socket::AdminSocket,
    data_folder::{DataFolder, DataFolderError},
    metrics_page,
    server::{ListenError, Server, ServerLimits, listen, url_of},
};
use rondo_domain::{
    callback::Links,
    engine::Engine,
    ports::{Clock, Entropy},
    time::Span,
};
use rondo_http_api::{Api, ApiSettings, router};
use rondo_local::{
    Driver, DriverLimits, LocalStore, Metrics, OpenError, Options, Stopped, SystemClock, SystemEntropy,
};
use rondo_outbound::{
    AddressPolicy, CallerError, HttpCaller, SealingKey, UrlGuard,
    client::CallerSettings,
    push::{PushSenders, SenderSettings, vapid},
};
use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use url::Url;

/// Where and how to start; [`ServiceOptions::new`] has what `serve` starts with.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    pub data: PathBuf,
    /// `HOST:PORT`; port 0 takes a free one.
    pub listen: String,
    /// Where `/metrics` is served, without credentials; none: nowhere.
    pub metrics_listen: Option<String>,
    /// The base of the links in callbacks; none: `http://` and the address it listens on.
    pub public_url: Option<String>,
    /// The base URL of the gateway that pushes go through; none: apps that want one are refused.
    pub push_gateway: Option<Url>,
    /// Whom push services may turn to about pushes of apps that name nobody; none: `public_url`, if that is https.
    pub push_contact: Option<String>,
    pub allow_private_targets: bool,
    /// The shortest interval of the recurring-callback contract.
    pub minimum_interval: Span,
    /// The largest request body, in bytes.
    pub body_limit: usize,
    /// How many calls may be under way to one scheme, host and port.
    pub max_per_destination: usize,
    pub driver: DriverLimits,
    pub server: ServerLimits,
}

impl ServiceOptions {
    pub fn new(data: impl Into<PathBuf>, listen: impl Into<String>) -> Self {
        let api = ApiSettings::default();
        ServiceOptions {
            data: data.into(),
            listen: listen.into(),
            metrics_listen: None,
            public_url: None,
            push_gateway: None,
            push_contact: None,
            allow_private_targets: false,
            minimum_interval: api.minimum_interval,
            body_limit: api.body_limit,
            max_per_destination: 256,
            // Together with the server's own drain well within the 10 s in which `serve` ends.
            driver: DriverLimits { drain: Span::from_secs(4), ..DriverLimits::default() },
            server: ServerLimits::default(),
        }
    }

    /// One that was given is checked as the senders are made; a public URL that will not do is no mistake.
    fn contact(&self) -> Option<String> {
        let public_url = || self.public_url.clone().filter(|url| vapid::check_contact(url).is_ok());
        self.push_contact.clone().or_else(public_url)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Folder(#[from] DataFolderError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Caller(#[from] CallerError),
    #[error("cannot listen: {0}")]
    Socket(#[from] io::Error),
}

/// A data folder, opened and locked, with the use cases over it. Nothing runs yet.
pub struct World {
    pub folder: DataFolder,
    pub engine: Engine,
    pub store: LocalStore,
    pub metrics: Arc<Metrics>,
    /// Seals signing secrets.
    pub vault: Arc<SealingKey>,
    policy: AddressPolicy,
}

impl World {
    /// `public_url` is the base of the links in callbacks.
    pub fn open(options: &ServiceOptions, public_url: &str) -> Result<World, StartError> {
        let folder = DataFolder::open(&options.data)?;
        let clock = Arc::new(SystemClock);
        let entropy = Arc::new(SystemEntropy::new());
        // Locks the folder: from here on it is this process's.
        let store = LocalStore::open(Options::new(folder.path(), Arc::clone(&clock) as Arc<dyn Clock>))?;
        let key = folder.sealing_key(&*entropy)?;
        let policy = if options.allow_private_targets {
            AddressPolicy::allowing_private()
        } else {
            AddressPolicy::public_only()
        };
        let mut caller = CallerSettings::new(policy.clone(), key.clone());
        caller.max_per_destination = options.max_per_destination;
        let caller = HttpCaller::new(caller, Arc::new(|| SystemClock.now()))?;
        let senders = SenderSettings { gateway: options.push_gateway.clone(), contact: options.contact() };
        let pusher = PushSenders::beside(&caller, senders, Arc::clone(&entropy) as Arc<dyn Entropy>)?;
        let metrics = Arc::new(Metrics::new(clock.now()));
        let shared = Arc::new(store.clone());
        let engine = Engine {
            clock,
            entropy,
            apps: shared.clone(),
            schedules: shared.clone(),
            states: shared.clone(),
            executions: shared.clone(),
            listeners: shared.clone(),
            devices: shared.clone(),
            queue: shared.clone(),
            wakes: shared,
            caller: Arc::new(caller),
            pusher: Arc::new(pusher),
            observer: metrics.clone(),
            statistics: metrics.clone(),
            links: Links::new(public_url, key.derive("links")),
            settings: rondo_local::settings(),
        };
        Ok(World { folder, engine, store, metrics, vault: Arc::new(key), policy })
    }

    /// Nothing that was acknowledged is lost without it; with it the next start finds nothing to repair.
    pub async fn close(self) {
        self.store.close().await;
    }
}

/// A service whose folder is open and whose port is taken, but that does not run yet: the moment to see to apps.
pub struct Prepared {
    pub world: World,
    pub address: SocketAddr,
    listener: TcpListener,
    metrics_listener: Option<TcpListener>,
    options: ServiceOptions,
}

/// The running service. End it with [`Service::stop`].
pub struct Service {
    pub address: SocketAddr,
    pub engine: Engine,
    pub store: LocalStore,
    pub metrics: Arc<Metrics>,
    pub vault: Arc<SealingKey>,
    server: Server,
    metrics_page: Option<Server>,
    driver: JoinHandle<Stopped>,
    stop_driver: oneshot::Sender<()>,
    admin: Option<AdminSocket>,
}

impl Service {
    /// Takes the port first, then the folder: neither is touched where the other is somebody else's.
    pub async fn prepare(options: ServiceOptions) -> Result<Prepared, StartError> {
        let listener = listen(&options.listen).await?;
        let address = listener.local_addr()?;
        let metrics_listener = match &options.metrics_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let public_url = options.public_url.clone().unwrap_or_else(|| url_of(address));
        let world = World::open(&options, &public_url)?;
        Ok(Prepared { world, address, listener, metrics_listener, options })
    }

    pub async fn start(options: ServiceOptions) -> Result<Service, StartError> {
        Service::prepare(options).await?.run()
    }

    /// `http://HOST:PORT`, as it can be called from this machine.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Where `/metrics` is served, if it is.
    pub fn metrics_url(&self) -> Option<String> {
        self.metrics_page.as_ref().map(|server| format!("{}/metrics", server.url()))
    }

    /// Accepts no more requests, finishes what is answered and called just now or leaves it for the next start,
    /// and closes the folder. Takes no longer than the server's and the driver's drain, which pass at once.
    pub async fn stop(self) -> Stopped {
        drop(self.admin);
        let _ = self.stop_driver.send(());
        let metrics_page = async {
            if let Some(server) = self.metrics_page {
                server.stop().await;
            }
        };
        let ((), (), stopped) = tokio::join!(self.server.stop(), metrics_page, self.driver);
        self.store.close().await;
        // A panic there has been reported; nothing that was acknowledged is lost.
        stopped.unwrap_or(Stopped { unfinished: 0 })
    }
}

impl Prepared {
    pub fn run(self) -> Result<Service, StartError> {
        let Prepared { world, address, listener, metrics_listener, options } = self;
        let World { folder, engine, store, metrics, vault, policy } = world;
        let settings = ApiSettings {
            minimum_interval: options.minimum_interval,
            public_url: options.public_url,
            body_limit: options.body_limit,
        };
        let rules = Arc::new(UrlGuard::new(policy));
        let api = Arc::new(Api { engine: engine.clone(), rules, settings });
        let socket = folder.admin_socket();
        let admin = match AdminSocket::start(&socket, engine.clone(), vault.clone(), url_of(address)) {
            Ok(admin) => Some(admin),
            // Mostly a path longer than sockets may have: everything else works without it.
            Err(error) => {
                tracing::warn!(%error, socket = %socket.display(), "no `rondo app` commands while this runs");
                None
            }
        };
        let (stop_driver, stopping) = oneshot::channel::<()>();
        let driver = Driver::new(engine.clone(), store.clone(), options.driver);
        let driver = tokio::spawn(driver.run(async {
            let _ = stopping.await;
        }));
        let server = Server::start(listener, router(api), options.server)?;
        let metrics_page = metrics_listener.map(|listener| {
            Server::start(listener, metrics_page::router(metrics.clone(), store.clone()), options.server)
        });
        let metrics_page = metrics_page.transpose()?;
        Ok(Service {
            address,
            engine,
            store,
            metrics,
            vault,
            server,
            metrics_page,
            driver,
            stop_driver,
            admin,
        })
    }
}
