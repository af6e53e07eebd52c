//! What a deployment gives its functions, read from the environment once, at the start. Every variable is checked:
//! a wrong one is named, with what would be right.

use rondo_domain::time::Span;
use std::fmt;
use url::Url;

const DEFAULT_RETENTION_DAYS: u64 = 30;
const DEFAULT_CACHE: Span = Span::from_secs(10);
const DAY: Span = Span::from_secs(24 * 60 * 60);

/// Where the project's own things are. `endpoint` is set for an emulator alone (`AWS_ENDPOINT_URL`).
#[derive(Clone, Debug)]
pub struct AwsSettings {
    /// `AWS_REGION`, else `AWS_DEFAULT_REGION`.
    pub region: String,
    pub endpoint: Option<String>,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, as Lambda gives them.
    pub credentials: AwsCredentials,
    /// `RONDO_TABLE`: the table's name.
    pub table: String,
    /// `RONDO_QUEUE_URL`
    pub queue_url: Option<String>,
    /// `RONDO_QUEUE_ARN`: what EventBridge Scheduler sends to.
    pub queue_arn: Option<String>,
    /// `RONDO_DEAD_LETTER_ARN`: where EventBridge Scheduler leaves what it could not deliver.
    pub dead_letter_arn: Option<String>,
    /// `RONDO_SCHEDULE_GROUP`
    pub schedule_group: Option<String>,
    /// `RONDO_SCHEDULER_ROLE_ARN`: what EventBridge Scheduler sends as.
    pub scheduler_role_arn: Option<String>,
    /// `RONDO_SEALING_SECRET`: name or ARN of the Secrets Manager secret that holds the sealing key.
    pub sealing_secret: Option<String>,
    /// `RONDO_RETENTION_DAYS`: how long records and ended schedules are kept [default: 30].
    pub retention: Span,
    /// `RONDO_CACHE_MS`: how long an app and its listeners may be used without reading them again [default: 10000].
    pub cache: Span,
}

/// Who the requests are signed as. Lambda replaces a sandbox before its credentials end, so they stay as they are.
#[derive(Clone, PartialEq, Eq)]
pub struct AwsCredentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: Option<String>,
}

impl AwsCredentials {
    /// For an emulator, which signs and checks nothing.
    pub fn of_an_emulator() -> AwsCredentials {
        AwsCredentials {
            access_key_id: "test".to_owned(),
            secret_access_key: "test".to_owned(),
            session_token: None,
        }
    }
}

/// Shows which key it is, and no secret.
impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsCredentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("{0} is not set: {1}")]
    Missing(&'static str, &'static str),
    #[error("{name} must be {right}, not {found:?}")]
    Wrong { name: &'static str, right: &'static str, found: String },
}

impl AwsSettings {
    /// `read` is `std::env::var` in a function, a map in tests. An empty variable counts as not set, as
    /// CloudFormation writes one whose parameter is empty.
    pub fn read(read: impl Fn(&str) -> Option<String>) -> Result<AwsSettings, SettingsError> {
        let read =
            |name: &str| read(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let region = read("AWS_REGION").or_else(|| read("AWS_DEFAULT_REGION"));
        let region = region
            .ok_or(SettingsError::Missing("AWS_REGION", "the region of the table, such as eu-west-1"))?;
        let endpoint = read("AWS_ENDPOINT_URL").map(|url| web("AWS_ENDPOINT_URL", url)).transpose()?;
        Ok(AwsSettings {
            credentials: credentials(read, endpoint.is_some())?,
            region,
            endpoint,
            table: read("RONDO_TABLE")
                .ok_or(SettingsError::Missing("RONDO_TABLE", "the name of the DynamoDB table"))?,
            queue_url: read("RONDO_QUEUE_URL").map(|url| web("RONDO_QUEUE_URL", url)).transpose()?,
            queue_arn: arn(read, "RONDO_QUEUE_ARN", ":sqs:", "the ARN of an SQS queue")?,
            dead_letter_arn: arn(read, "RONDO_DEAD_LETTER_ARN", ":sqs:", "the ARN of an SQS queue")?,
            schedule_group: read("RONDO_SCHEDULE_GROUP"),
            scheduler_role_arn: arn(read, "RONDO_SCHEDULER_ROLE_ARN", ":iam:", "the ARN of an IAM role")?,
            sealing_secret: read("RONDO_SEALING_SECRET"),
            retention: DAY.times(number(
                "RONDO_RETENTION_DAYS",
                read("RONDO_RETENTION_DAYS"),
                1..=3650,
                DEFAULT_RETENTION_DAYS,
                "a number of days from 1 to 3650",
            )?),
            cache: Span::from_millis(number(
                "RONDO_CACHE_MS",
                read("RONDO_CACHE_MS"),
                0..=60_000,
                DEFAULT_CACHE.millis(),
                "a number of milliseconds from 0 to 60000",
            )?),
        })
    }
}

fn credentials(
    read: impl Fn(&str) -> Option<String>,
    emulated: bool,
) -> Result<AwsCredentials, SettingsError> {
    let needed = "the credentials that AWS Lambda gives its functions";
    match (read("AWS_ACCESS_KEY_ID"), read("AWS_SECRET_ACCESS_KEY")) {
        (Some(access_key_id), Some(secret_access_key)) => {
            Ok(AwsCredentials { access_key_id, secret_access_key, session_token: read("AWS_SESSION_TOKEN") })
        }
        (None, None) if emulated => Ok(AwsCredentials::of_an_emulator()),
        (None, _) => Err(SettingsError::Missing("AWS_ACCESS_KEY_ID", needed)),
        (_, None) => Err(SettingsError::Missing("AWS_SECRET_ACCESS_KEY", needed)),
    }
}

fn web(name: &'static str, value: String) -> Result<String, SettingsError> {
    let is_web =
        Url::parse(&value).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if is_web { Ok(value) } else { Err(wrong(name, "a URL that begins with https:// or http://", value)) }
}

fn arn(
    read: impl Fn(&str) -> Option<String>,
    name: &'static str,
    service: &str,
    right: &'static str,
) -> Result<Option<String>, SettingsError> {
    match read(name) {
        Some(value) if value.starts_with("arn:") && value.contains(service) => Ok(Some(value)),
        Some(value) => Err(wrong(name, right, value)),
        None => Ok(None),
    }
}

fn number(
    name: &'static str,
    value: Option<String>,
    range: std::ops::RangeInclusive<u64>,
    default: u64,
    right: &'static str,
) -> Result<u64, SettingsError> {
    let Some(value) = value else { return Ok(default) };
    match value.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(wrong(name, right, value)),
    }
}

fn wrong(name: &'static str, right: &'static str, found: String) -> SettingsError {
    SettingsError::Wrong { name, right, found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const DEPLOYED: [(&str, &str); 11] = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "sesame"),
        ("AWS_SESSION_TOKEN", "open"),
        ("RONDO_TABLE", "rondo"),
        ("RONDO_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/1/rondo"),
        ("RONDO_QUEUE_ARN", "arn:aws:sqs:eu-west-1:1:rondo"),
        ("RONDO_DEAD_LETTER_ARN", "arn:aws:sqs:eu-west-1:1:rondo-dead"),
        ("RONDO_SCHEDULE_GROUP", "rondo"),
        ("RONDO_SCHEDULER_ROLE_ARN", "arn:aws:iam::1:role/rondo"),
        ("RONDO_RETENTION_DAYS", "7"),
    ];

    /// What is read where some variables are other than a deployment's; an empty one is taken away.
    fn with(changes: &[(&'static str, &'static str)]) -> Result<AwsSettings, SettingsError> {
        let mut variables = BTreeMap::from(DEPLOYED);
        variables.extend(changes.iter().copied());
        AwsSettings::read(|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn a_deployment_is_read_whole() {
        let settings = with(&[]).unwrap();
        assert_eq!(settings.region, "eu-west-1");
        assert_eq!(settings.retention, DAY.times(7));
        assert_eq!(settings.cache, DEFAULT_CACHE);
        assert_eq!(settings.credentials.session_token.as_deref(), Some("open"));
        assert_eq!(settings.queue_arn.as_deref(), Some("arn:aws:sqs:eu-west-1:1:rondo"));
        assert_eq!(settings.endpoint, None);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        let said = |changes: &[(&'static str, &'static str)]| with(changes).unwrap_err().to_string();
        assert_eq!(said(&[("RONDO_TABLE", "")]), "RONDO_TABLE is not set: the name of the DynamoDB table");
        assert_eq!(
            said(&[("RONDO_RETENTION_DAYS", "0")]),
            r#"RONDO_RETENTION_DAYS must be a number of days from 1 to 3650, not "0""#
        );
        assert_eq!(
            said(&[("RONDO_QUEUE_ARN", "rondo")]),
            r#"RONDO_QUEUE_ARN must be the ARN of an SQS queue, not "rondo""#
        );
        for name in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            assert!(said(&[(name, " ")]).starts_with(&format!("{name} is not set")));
        }
        for (name, value) in [
            ("RONDO_CACHE_MS", "soon"),
            ("RONDO_CACHE_MS", "-1"),
            ("RONDO_QUEUE_URL", "rondo"),
            ("AWS_ENDPOINT_URL", "localhost:4566"),
            ("RONDO_SCHEDULER_ROLE_ARN", "arn:aws:sqs:eu-west-1:1:rondo"),
        ] {
            assert!(said(&[(name, value)]).starts_with(&format!("{name} must be ")), "{name}");
        }
    }

    #[test]
    fn the_second_name_of_the_region_will_do() {
        assert_eq!(
            with(&[("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "us-east-1")]).unwrap().region,
            "us-east-1"
        );
    }

    #[test]
    fn an_emulator_needs_no_credentials() {
        let none = [
            ("AWS_ACCESS_KEY_ID", ""),
            ("AWS_SECRET_ACCESS_KEY", ""),
            ("AWS_ENDPOINT_URL", "http://[::1]:1"),
        ];
        assert_eq!(with(&none).unwrap().credentials, AwsCredentials::of_an_emulator());
        with(&none[..1]).unwrap_err();
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", with(&[]).unwrap());
        assert!(shown.contains("AKIDEXAMPLE") && !shown.contains("sesame") && !shown.contains("open"));
    }
}
