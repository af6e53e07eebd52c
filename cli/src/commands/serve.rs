//! `rondo serve`: the service on this machine, until SIGTERM or SIGINT.

use super::{grant, trigger_args::span};
use crate::{
    failure::{Failure, Result, While as _},
    output,
    profile::DEFAULT_PROFILE,
    server::url_of,
    service::{Prepared, Service, ServiceOptions, StartError},
};
use clap::{Args, builder::FalseyValueParser};
use rondo_domain::{
    engine::{AppGrant, NewApp},
    ids::AppKey,
    span_text::parse_span,
};
use rondo_local::OpenError;
use std::{
    env,
    io::{self, IsTerminal as _},
    path::PathBuf,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use url::Url;

/// Each flag has an environment variable of the same name; flags win.
#[derive(Args)]
pub struct Serve {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", env = "RONDO_LISTEN", default_value = "127.0.0.1:8080")]
    listen: String,
    /// The folder with the database, the sealing key and the admin socket; made at the first start
    #[arg(long, value_name = "DIR", env = "RONDO_DATA", default_value = "./rondo-data")]
    data: PathBuf,
    /// The base of the links in callbacks [default: the address it listens on]
    #[arg(long, value_name = "URL", env = "RONDO_PUBLIC_URL", value_parser = base_url)]
    public_url: Option<String>,
    /// Allow targets on loopback and private addresses, for local work
    #[arg(long, env = "RONDO_ALLOW_PRIVATE_TARGETS", value_parser = FalseyValueParser::new())]
    allow_private_targets: bool,
    /// The gateway that takes pushes at URL/v4/push, for the apps that have credentials there [default: none]
    #[arg(long, value_name = "URL", env = "RONDO_PUSH_GATEWAY", value_parser = base_url)]
    push_gateway: Option<String>,
    /// Whom push services may turn to, mailto:NAME@HOST or https://… [default: --public-url, if that is https]
    #[arg(long, value_name = "URL", env = "RONDO_PUSH_CONTACT")]
    push_contact: Option<String>,
    /// Serve /metrics (Prometheus) here too, without credentials [default: nowhere]
    #[arg(long, value_name = "HOST:PORT", env = "RONDO_METRICS_LISTEN")]
    metrics_listen: Option<String>,
    /// The shortest interval of the recurring-callback contract
    #[arg(long, value_name = "SPAN", env = "RONDO_MINIMUM_INTERVAL", value_parser = span, default_value = "300ms")]
    minimum_interval: String,
    /// The largest request body, in bytes; a batch may have four times as many
    #[arg(long, value_name = "BYTES", env = "RONDO_BODY_LIMIT", default_value_t = 256 * 1024)]
    body_limit: usize,
    /// How many API connections may be open; more wait
    #[arg(long, value_name = "COUNT", env = "RONDO_MAX_CONNECTIONS", default_value_t = 2048, value_parser = at_least_one)]
    max_connections: usize,
    /// How many callbacks may be under way [default: 4096, less where few files may be open]
    #[arg(long, value_name = "COUNT", env = "RONDO_MAX_IN_FLIGHT", value_parser = at_least_one)]
    max_in_flight: Option<usize>,
    /// How many callbacks may be under way to one scheme, host and port
    #[arg(long, value_name = "COUNT", env = "RONDO_MAX_PER_DESTINATION", default_value_t = 256, value_parser = at_least_one)]
    max_per_destination: usize,
    /// The profile that a new app's credentials are written to, for the client commands
    #[arg(long, value_name = "NAME", env = "RONDO_SAVE_PROFILE", default_value = DEFAULT_PROFILE)]
    save_profile: String,
    /// Overwrite the profile, if there is one of that name
    #[arg(long)]
    force_profile: bool,
}

fn base_url(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|error| format!("is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err("must be http(s)://HOST[:PORT][/PATH]".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("must be a number of at least 1".to_owned()),
    }
}

impl Serve {
    pub async fn run(self) -> Result<()> {
        // Asked for first: a signal that comes while it starts is not lost.
        let mut stop = StopSignals::new()?;
        let files = raise_open_files();
        let options = self.options(files)?;
        let prepared = Service::prepare(options).await.map_err(explained)?;
        self.see_to_apps(&prepared).await?;
        let service = prepared.run().map_err(explained)?;
        output::print(&format!("listening on http://{}\n", service.address))?;
        if let Some(url) = service.metrics_url() {
            eprintln!("metrics at {url}");
        }
        stop.wait().await;
        eprintln!("stopping");
        let stopped = tokio::select! {
            stopped = service.stop() => stopped,
            () = stop.wait() => return Err(Failure::new("stopped at once by a second signal")),
        };
        if stopped.unfinished > 0 {
            tracing::warn!(count = stopped.unfinished, "callbacks were cut off; the next start calls again");
        }
        Ok(())
    }

    fn options(&self, files: u64) -> Result<ServiceOptions> {
        let mut options = ServiceOptions::new(&self.data, &self.listen);
        options.metrics_listen.clone_from(&self.metrics_listen);
        options.public_url.clone_from(&self.public_url);
        options.push_gateway = self.push_gateway.as_deref().map(Url::parse).transpose()?;
        options.push_contact.clone_from(&self.push_contact);
        options.allow_private_targets = self.allow_private_targets;
        options.minimum_interval = parse_span(&self.minimum_interval)?;
        options.body_limit = self.body_limit;
        options.max_per_destination = self.max_per_destination;
        options.server.max_connections = self.max_connections;
        if let Some(count) = self.max_in_flight {
            options.driver.max_in_flight = count;
        }
        // Each callback and each connection takes a file; a hundred are for the database and the rest.
        let room = usize::try_from(files.saturating_sub(100)).unwrap_or(usize::MAX).max(8) / 2;
        if room < options.driver.max_in_flight || room < options.server.max_connections {
            tracing::warn!(files, room, "few files may be open: fewer callbacks and connections at once");
            options.driver.max_in_flight = options.driver.max_in_flight.min(room);
            options.server.max_connections = options.server.max_connections.min(room);
        }
        Ok(options)
    }

    /// The app that the environment names, or at the first start a default one.
    async fn see_to_apps(&self, prepared: &Prepared) -> Result<()> {
        let engine = &prepared.world.engine;
        let vault = &*prepared.world.vault;
        let (grant, what) = match given_credentials()? {
            Some((key, secret)) => {
                let what = format!("app {key} created as the environment says");
                (engine.ensure_app(key, &secret, vault).await?, what)
            }
            None if engine.apps.apps().await?.is_empty() => {
                let new = NewApp { name: "default".to_owned(), ..NewApp::default() };
                let grant = engine.create_app(new, vault).await?;
                let what = format!("first start: app {} created", grant.key);
                (Some(grant), what)
            }
            None => (None, String::new()),
        };
        let Some(grant) = grant else { return Ok(()) };
        self.hand_over(&grant, &what, prepared)
    }

    fn hand_over(&self, grant: &AppGrant, what: &str, prepared: &Prepared) -> Result<()> {
        let file = prepared.world.folder.first_secrets();
        grant::show_once(grant, what, io::stderr().is_terminal(), &file)?;
        grant::save_profile(grant, &self.save_profile, &url_of(prepared.address), self.force_profile);
        Ok(())
    }
}

/// `RONDO_APP_KEY` and `RONDO_APP_SECRET`: both or neither. Never flags: those show in the process list.
fn given_credentials() -> Result<Option<(AppKey, String)>> {
    let of = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    match (of("RONDO_APP_KEY"), of("RONDO_APP_SECRET")) {
        (None, None) => Ok(None),
        (Some(key), Some(secret)) => Ok(Some((key.parse().when(|| "RONDO_APP_KEY".to_owned())?, secret))),
        _ => Err(Failure::new("RONDO_APP_KEY and RONDO_APP_SECRET go together: one of them is not set")),
    }
}

fn explained(error: StartError) -> Failure {
    let failure = |error: StartError| Failure::from(error);
    match &error {
        StartError::Listen(listen) if listen.is_taken() => failure(error)
            .hint("another process listens there: choose a port with --listen, or 0 for a free one"),
        StartError::Open(OpenError::Held { .. }) => {
            failure(error).hint("one process at a time: stop it, or choose another folder with --data")
        }
        _ => failure(error),
    }
}

/// Raises the soft limit of open files to the hard one; answers how many may be open then.
fn raise_open_files() -> u64 {
    rlimit::increase_nofile_limit(1 << 16).unwrap_or_else(|error| {
        tracing::warn!(%error, "the limit of open files stays as it is");
        rlimit::Resource::NOFILE.get_soft().unwrap_or(1024)
    })
}

/// SIGTERM and SIGINT.
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    pub fn new() -> io::Result<StopSignals> {
        Ok(StopSignals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
