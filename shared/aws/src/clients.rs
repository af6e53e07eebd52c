//! One client for each service, made once as a process starts, over one connection pool. Timeouts and retries are
//! stated here and nowhere else.

use crate::{AwsSettings, Meter, failures::why, http::CONNECT_TIMEOUT, settings::AwsCredentials};
use aws_sdk_dynamodb::{
    config::{
        BehaviorVersion, Credentials, IdentityCache, Region, SharedAsyncSleep, SharedCredentialsProvider,
        StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
    },
    types::AttributeValue,
};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use std::time::Duration;

/// DynamoDB answers within some ten milliseconds: what takes longer is not coming. An occurrence is claimed and
/// closed while its target's time and its lease run, so the whole is short as well.
const DYNAMODB: Patience = Patience {
    tries: 4,
    first_backoff: Duration::from_millis(25),
    max_backoff: Duration::from_millis(500),
    attempt: Duration::from_secs(2),
    whole: Duration::from_secs(6),
};

/// SQS, EventBridge Scheduler and Secrets Manager: tens to hundreds of milliseconds. Even at its longest it ends
/// long before a lease does (75 s).
const OTHERS: Patience = Patience {
    tries: 3,
    first_backoff: Duration::from_millis(100),
    max_backoff: Duration::from_secs(1),
    attempt: Duration::from_secs(5),
    whole: Duration::from_secs(12),
};

/// How long a service is waited for, and how often it is asked.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// Requests in all, the first included.
    tries: u32,
    /// Doubles with each retry, and a random part of it is waited.
    first_backoff: Duration,
    max_backoff: Duration,
    /// For one request and its answer.
    attempt: Duration,
    /// For all of them, pauses included.
    whole: Duration,
}

impl Patience {
    fn retries(self) -> RetryConfig {
        RetryConfig::standard()
            .with_max_attempts(self.tries)
            .with_initial_backoff(self.first_backoff)
            .with_max_backoff(self.max_backoff)
    }

    fn timeouts(self) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(self.attempt)
            .operation_timeout(self.whole)
            .build()
    }
}

#[derive(Clone, Debug)]
pub struct Clients {
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub sqs: aws_sdk_sqs::Client,
    pub scheduler: aws_sdk_scheduler::Client,
    pub secrets: aws_sdk_secretsmanager::Client,
}

/// The builders of the four crates are four types with the same methods.
macro_rules! client {
    ($service:ident, $patience:expr, $settings:expr, $http:expr, $meter:expr) => {{
        let mut config = $service::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new($settings.region.clone()))
            .credentials_provider(credentials(&$settings.credentials))
            .identity_cache(IdentityCache::no_cache())
            .http_client($http.clone())
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .retry_config($patience.retries())
            .timeout_config($patience.timeouts())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        config.set_endpoint_url($settings.endpoint.clone());
        if let Some(meter) = $meter {
            config = config.interceptor(meter.clone());
        }
        $service::Client::from_conf(config.build())
    }};
}

impl Clients {
    /// `http`: [`crate::http::client`] everywhere but in tests. Credentials are those of the settings. With a
    /// meter, DynamoDB is asked for the capacity that each request takes.
    pub fn new(settings: &AwsSettings, http: SharedHttpClient, meter: Option<Meter>) -> Clients {
        let meter = meter.as_ref();
        Clients {
            dynamodb: client!(aws_sdk_dynamodb, DYNAMODB, settings, http, meter),
            sqs: client!(aws_sdk_sqs, OTHERS, settings, http, meter),
            scheduler: client!(aws_sdk_scheduler, OTHERS, settings, http, meter),
            secrets: client!(aws_sdk_secretsmanager, OTHERS, settings, http, meter),
        }
    }

    /// Makes the connections while a function starts, when it has a full processor for nothing: a read of an item
    /// that never is, and of an attribute of the queue where there is one. A failure is logged and nothing else:
    /// the first real request will say what is wrong.
    pub async fn warm(&self, settings: &AwsSettings) {
        let nothing = || AttributeValue::S("NOTHING".to_owned());
        let table = async {
            let read = self.dynamodb.get_item().table_name(&settings.table);
            read.key("pk", nothing()).key("sk", nothing()).send().await.err().map(|error| why(&error))
        };
        let queue = async {
            let Some(url) = &settings.queue_url else { return None };
            let read = self.sqs.get_queue_attributes().queue_url(url);
            let read = read.attribute_names(aws_sdk_sqs::types::QueueAttributeName::CreatedTimestamp);
            read.send().await.err().map(|error| why(&error))
        };
        let (table, queue) = futures_util::future::join(table, queue).await;
        for (service, failed) in [("DynamoDB", table), ("SQS", queue)] {
            if let Some(why) = failed {
                tracing::warn!(service, why, "could not be reached during the start");
            }
        }
    }
}

fn credentials(of: &AwsCredentials) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Credentials::new(
        &of.access_key_id,
        &of.secret_access_key,
        of.session_token.clone(),
        None,
        "the environment",
    ))
}
