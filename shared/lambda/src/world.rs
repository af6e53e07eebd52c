//! From environment variables to an engine over AWS's adapters. Each kind of function is given what it uses and
//! nothing else, and asks for the variables of that alone: a start is paid for by whoever waits for it.

use crate::{
    absent::{NoCaller, NoQueue},
    settings::FunctionSettings,
};
use rondo_aws::{
    AwsSettings, Clients, DynamoStore, SchedulerWakes, SettingsError, SqsQueue, Telemetry, chain,
    wakes::SchedulePlace,
};
use rondo_domain::{
    call::Caller,
    callback::Links,
    engine::Engine,
    ports::{Clock, Entropy, Queue, Wakes},
    push::sender::{NoSender, PushSender},
};
use rondo_http_api::{Api, ApiSettings};
use rondo_outbound::{
    AddressPolicy, CallerError, HttpCaller, SealingKey, UrlGuard,
    client::CallerSettings,
    push::{PushSenders, SenderSettings, vapid},
};
use rondo_system::{SystemClock, SystemEntropy};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// The least that the sealing secret holds, in characters: 32 random ones of base64 are 192 bits.
const LEAST_SECRET: usize = 32;

/// Everything that a function needs, its connections warm.
pub struct World {
    pub engine: Engine,
    pub clients: Clients,
    pub store: DynamoStore,
    pub telemetry: Arc<Telemetry>,
    /// Where the function has one.
    pub queue: Option<SqsQueue>,
    /// Where the function seals or opens something.
    pub vault: Option<Arc<SealingKey>>,
    pub policy: AddressPolicy,
    pub settings: FunctionSettings,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("RONDO_SEALING_SECRET: the secret {name} {why}")]
    SealingSecret { name: String, why: String },
    #[error(transparent)]
    Caller(#[from] CallerError),
    #[error("the Lambda runtime ended: {0}")]
    Runtime(#[source] lambda_runtime::Error),
}

/// What every function has: settings, clients, the table.
struct Basis {
    aws: AwsSettings,
    settings: FunctionSettings,
    clients: Clients,
    store: DynamoStore,
    clock: Arc<SystemClock>,
    entropy: Arc<SystemEntropy>,
}

/// What differs between them.
struct Parts {
    queue: Option<SqsQueue>,
    wakes: Arc<dyn Wakes>,
    caller: Arc<dyn Caller>,
    pusher: Arc<dyn PushSender>,
    links: Links,
    vault: Option<Arc<SealingKey>>,
    policy: AddressPolicy,
}

type Senders = (Arc<dyn Caller>, Arc<dyn PushSender>);

/// The clients of a function as it is deployed; tests and benchmarks give others.
pub fn clients(settings: &AwsSettings) -> Clients {
    Clients::new(settings, rondo_aws::http::client(), None)
}

impl World {
    /// For a function that answers the API: it stores, sends and sets wakes, and calls nobody.
    pub async fn api(
        read: impl Fn(&str) -> Option<String>,
        clients: impl FnOnce(&AwsSettings) -> Clients,
    ) -> Result<World, StartError> {
        let basis = Basis::read(read, clients)?;
        // The links in answers have the base that the caller used; only their tokens come from here.
        let base = basis.settings.public_url.clone().unwrap_or_default();
        let (parts, _) = basis.with_queue_and_key(&base).await?;
        Ok(basis.world(parts))
    }

    /// For the function that answers the scheduled-push API: `POST /v4/push` may go through an app's gateway at once.
    pub async fn pushes(
        read: impl Fn(&str) -> Option<String>,
        clients: impl FnOnce(&AwsSettings) -> Clients,
    ) -> Result<World, StartError> {
        let basis = Basis::read(read, clients)?;
        let base = basis.settings.public_url.clone().unwrap_or_default();
        let (parts, key) = basis.with_queue_and_key(&base).await?;
        let (_, pusher) = basis.senders(&key)?;
        Ok(basis.world(Parts { pusher, ..parts }))
    }

    /// For the function that calls.
    pub async fn dispatcher(
        read: impl Fn(&str) -> Option<String>,
        clients: impl FnOnce(&AwsSettings) -> Clients,
    ) -> Result<World, StartError> {
        let basis = Basis::read(read, clients)?;
        let base = basis.settings.public_url.clone();
        let base = base.ok_or(SettingsError::Missing(
            "RONDO_PUBLIC_URL",
            "the base of the links in callbacks, such as the API's own URL",
        ))?;
        let (parts, key) = basis.with_queue_and_key(&base).await?;
        let (caller, pusher) = basis.senders(&key)?;
        Ok(basis.world(Parts { caller, pusher, ..parts }))
    }

    /// For the function that wakes again what is overdue: no key, nobody to call, no wake to set.
    pub async fn sweeper(
        read: impl Fn(&str) -> Option<String>,
        clients: impl FnOnce(&AwsSettings) -> Clients,
    ) -> Result<World, StartError> {
        let basis = Basis::read(read, clients)?;
        let queue = basis.queue()?;
        basis.clients.warm(&basis.aws).await;
        let parts = basis.without_key(Some(queue));
        Ok(basis.world(parts))
    }

    /// For the function that makes apps: the table and the key.
    pub async fn admin(
        read: impl Fn(&str) -> Option<String>,
        clients: impl FnOnce(&AwsSettings) -> Clients,
    ) -> Result<World, StartError> {
        let basis = Basis::read(read, clients)?;
        let key = basis.warm_with_key().await?;
        let parts = Parts { vault: Some(Arc::new(key)), ..basis.without_key(None) };
        Ok(basis.world(parts))
    }

    /// What the routers need of it.
    pub fn api_of(&self) -> Arc<Api> {
        let settings = ApiSettings {
            minimum_interval: self.settings.minimum_interval,
            public_url: self.settings.public_url.clone(),
            ..ApiSettings::default()
        };
        let rules = Arc::new(UrlGuard::new(self.policy.clone()));
        Arc::new(Api { engine: self.engine.clone(), rules, settings })
    }
}

impl Basis {
    fn read(
        read: impl Fn(&str) -> Option<String>,
        clients: impl FnOnce(&AwsSettings) -> Clients,
    ) -> Result<Basis, StartError> {
        let aws = AwsSettings::read(&read)?;
        let settings = FunctionSettings::read(&read)?;
        let clients = clients(&aws);
        let clock = Arc::new(SystemClock);
        let store = DynamoStore::new(clients.dynamodb.clone(), &aws, clock.clone());
        Ok(Basis { aws, settings, clients, store, clock, entropy: Arc::new(SystemEntropy::new()) })
    }

    fn queue(&self) -> Result<SqsQueue, SettingsError> {
        let url = needed(&self.aws.queue_url, "RONDO_QUEUE_URL", "the URL of the delivery queue")?;
        Ok(SqsQueue::new(self.clients.sqs.clone(), url, self.clock.clone()))
    }

    fn wakes(&self, queue: &SqsQueue) -> Result<Arc<dyn Wakes>, SettingsError> {
        let aws = &self.aws;
        let place = SchedulePlace {
            group: needed(&aws.schedule_group, "RONDO_SCHEDULE_GROUP", "the group of EventBridge schedules")?,
            queue_arn: needed(&aws.queue_arn, "RONDO_QUEUE_ARN", "the ARN of the delivery queue")?,
            role_arn: needed(
                &aws.scheduler_role_arn,
                "RONDO_SCHEDULER_ROLE_ARN",
                "the role that EventBridge Scheduler sends as",
            )?,
            dead_letter_arn: aws.dead_letter_arn.clone(),
        };
        Ok(Arc::new(SchedulerWakes::new(self.clients.scheduler.clone(), queue.clone(), place)))
    }

    /// For whatever stores and sends, and as yet calls nobody.
    async fn with_queue_and_key(&self, base: &str) -> Result<(Parts, SealingKey), StartError> {
        let queue = self.queue()?;
        let wakes = self.wakes(&queue)?;
        let key = self.warm_with_key().await?;
        let parts = Parts {
            wakes,
            links: Links::new(base, key.derive("links")),
            vault: Some(Arc::new(key.clone())),
            ..self.without_key(Some(queue))
        };
        Ok((parts, key))
    }

    /// Everything that goes out.
    fn senders(&self, key: &SealingKey) -> Result<Senders, StartError> {
        let clock = self.clock.clone();
        let settings = CallerSettings::new(self.settings.policy(), key.clone());
        let caller = HttpCaller::new(settings, Arc::new(move || clock.now()))?;
        let contact = self.settings.push_contact.clone().or_else(|| self.settings.public_url.clone());
        let contact = contact.filter(|contact| vapid::check_contact(contact).is_ok());
        let settings = SenderSettings { gateway: self.settings.push_gateway.clone(), contact };
        let pusher = PushSenders::beside(&caller, settings, self.entropy.clone())?;
        Ok((Arc::new(caller), Arc::new(pusher)))
    }

    /// The sealing key, and meanwhile the connections.
    async fn warm_with_key(&self) -> Result<SealingKey, StartError> {
        let name = needed(
            &self.aws.sealing_secret,
            "RONDO_SEALING_SECRET",
            "the Secrets Manager secret that holds the sealing key",
        )?;
        let read = self.clients.secrets.get_secret_value().secret_id(&name).send();
        let (read, ()) = futures_util::join!(read, self.clients.warm(&self.aws));
        let wrong = |why: String| StartError::SealingSecret { name: name.clone(), why };
        let answer = read.map_err(|error| wrong(format!("cannot be read: {}", chain(&error))))?;
        let text = answer.secret_string.ok_or_else(|| wrong("is no text".to_owned()))?;
        sealing_key(&text).ok_or_else(|| {
            wrong(format!("must have at least {LEAST_SECRET} characters, random ones: it has fewer"))
        })
    }

    /// Whatever needs the key is made with a random one, which opens nothing and whose tokens nobody accepts.
    fn without_key(&self, queue: Option<SqsQueue>) -> Parts {
        let mut nobodys = [0; 32];
        nobodys[..16].copy_from_slice(&self.entropy.bits().to_ne_bytes());
        nobodys[16..].copy_from_slice(&self.entropy.bits().to_ne_bytes());
        Parts {
            queue,
            wakes: Arc::new(NoQueue),
            caller: Arc::new(NoCaller(self.clock.clone())),
            pusher: Arc::new(NoSender),
            links: Links::new("", nobodys),
            vault: None,
            policy: self.settings.policy(),
        }
    }

    fn world(self, parts: Parts) -> World {
        let Basis { aws, settings, clients, store, clock, entropy } = self;
        let Parts { queue, wakes, caller, pusher, links, vault, policy } = parts;
        let telemetry = Arc::new(Telemetry::new(store.clone(), aws.table, entropy.bits(), clock.clone()));
        let shared = Arc::new(store.clone());
        let sends: Arc<dyn Queue> = match &queue {
            Some(queue) => Arc::new(queue.clone()),
            None => Arc::new(NoQueue),
        };
        let engine = Engine {
            clock,
            entropy,
            apps: shared.clone(),
            schedules: shared.clone(),
            states: shared.clone(),
            executions: shared.clone(),
            listeners: shared.clone(),
            devices: shared,
            queue: sends,
            wakes,
            caller,
            pusher,
            observer: telemetry.clone(),
            statistics: telemetry.clone(),
            links,
            settings: settings.engine,
        };
        World { engine, clients, store, telemetry, queue, vault, policy, settings }
    }
}

pub(crate) fn needed<T: Clone>(
    value: &Option<T>,
    name: &'static str,
    what: &'static str,
) -> Result<T, SettingsError> {
    value.clone().ok_or(SettingsError::Missing(name, what))
}

/// The key is the SHA-256 of the secret's text (UTF-8, white space around it cut off): so base64, hexadecimal digits
/// or any other random characters will do, whatever made them. None where they are too few.
pub fn sealing_key(text: &str) -> Option<SealingKey> {
    let text = text.trim();
    (text.chars().count() >= LEAST_SECRET).then(|| SealingKey::from_bytes(Sha256::digest(text).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sealing_key_is_made_of_enough_characters() {
        let text = "0123456789abcdef0123456789abcdef";
        let key = sealing_key(text).unwrap();
        assert_eq!(sealing_key(&format!(" {text}\n")).unwrap(), key);
        assert_ne!(sealing_key(&format!("{text}0")).unwrap(), key);
        assert!(sealing_key(&text[1..]).is_none());
        // As `openssl dgst -sha256 -binary | base64` says: whoever moves a deployment can make the key by hand.
        assert_eq!(key.reveal(), "PrG9Q5lH63YpmOVmzMLgmceREYsvQFecxPfaK1Bht/k=");
    }
}
