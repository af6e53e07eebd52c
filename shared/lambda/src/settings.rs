//! What the functions are told beside what the AWS adapters need: the variables that are the same whatever the world.

use rondo_aws::SettingsError;
use rondo_domain::{engine::Settings, time::Span};
use rondo_http_api::ApiSettings;
use rondo_outbound::{AddressPolicy, push::vapid};
use std::ops::RangeInclusive;
use url::Url;

/// How long the dispatcher holds what is not due yet, unless told otherwise.
pub const HOLD: Span = Span::from_secs(10);

#[derive(Clone, Debug)]
pub struct FunctionSettings {
    /// `RONDO_PUBLIC_URL`: the base of the links in callbacks; the API functions take the caller's own address
    /// where it is not set.
    pub public_url: Option<String>,
    /// `RONDO_ALLOW_PRIVATE_TARGETS`: `1` allows targets inside private networks [default: `0`].
    pub allow_private_targets: bool,
    /// `RONDO_MINIMUM_INTERVAL_MS`: the shortest interval of the recurring-callback contract [default: 300].
    pub minimum_interval: Span,
    /// `RONDO_PUSH_GATEWAY`: the base URL of the gateway that pushes go through, for apps with an upstream; none: such
    /// apps' pushes are refused.
    pub push_gateway: Option<Url>,
    /// `RONDO_PUSH_CONTACT`: whom push services may turn to, a `mailto:` or `https:` URL [default: the public URL].
    pub push_contact: Option<String>,
    /// `RONDO_HOLD_MS`: how long the dispatcher holds what is not due yet [default: 10000]. With a call of 60 s after
    /// it, it stays below a lease of 75 s.
    pub hold: Span,
    /// `RONDO_WINDOW_MS`, `RONDO_LEAD_MS`, `RONDO_LEAD_SPREAD_MS`, `RONDO_GRACE_MS`, `RONDO_RESEND_AFTER_MS`: see
    /// [`rondo_domain::plan::Reach`]. Other than by default ([`rondo_aws::settings()`]) only where tests shorten them.
    pub engine: Settings,
    /// `AWS_LAMBDA_RUNTIME_API`, which Lambda sets: no target may be called there.
    pub runtime_api: Option<String>,
}

impl FunctionSettings {
    /// `read` is the process's environment, or a map in tests. An empty variable counts as not set.
    pub fn read(read: impl Fn(&str) -> Option<String>) -> Result<FunctionSettings, SettingsError> {
        let read =
            |name: &str| read(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let millis = |name, range, default| millis(name, read(name), range, default);
        let mut engine = rondo_aws::settings();
        let reach = &mut engine.reach;
        // SQS delays by 15 min at most, and what is planned further ahead would come too early.
        reach.window = millis("RONDO_WINDOW_MS", 1_000..=840_000, reach.window)?;
        reach.lead = millis("RONDO_LEAD_MS", 0..=600_000, reach.lead)?;
        reach.lead_spread = millis("RONDO_LEAD_SPREAD_MS", 0..=600_000, reach.lead_spread)?;
        reach.grace = millis("RONDO_GRACE_MS", 1_000..=3_600_000, reach.grace)?;
        reach.resend_after = millis("RONDO_RESEND_AFTER_MS", 1_000..=3_600_000, reach.resend_after)?;
        Ok(FunctionSettings {
            public_url: read("RONDO_PUBLIC_URL").map(public_url).transpose()?,
            allow_private_targets: flag("RONDO_ALLOW_PRIVATE_TARGETS", read("RONDO_ALLOW_PRIVATE_TARGETS"))?,
            minimum_interval: millis(
                "RONDO_MINIMUM_INTERVAL_MS",
                100..=86_400_000,
                ApiSettings::default().minimum_interval,
            )?,
            push_gateway: read("RONDO_PUSH_GATEWAY").map(gateway).transpose()?,
            push_contact: read("RONDO_PUSH_CONTACT").map(contact).transpose()?,
            // A call of 60 s has to fit behind it into a lease of 75 s.
            hold: millis("RONDO_HOLD_MS", 0..=14_000, HOLD)?,
            engine,
            runtime_api: read("AWS_LAMBDA_RUNTIME_API"),
        })
    }

    /// Which addresses may be called: never the endpoint that runs this very function.
    pub fn policy(&self) -> AddressPolicy {
        let policy = if self.allow_private_targets {
            AddressPolicy::allowing_private()
        } else {
            AddressPolicy::public_only()
        };
        match &self.runtime_api {
            // Local stand-ins write it as a URL.
            Some(endpoint) => policy.refusing(endpoint.trim_start_matches("http://")),
            None => policy,
        }
    }
}

fn public_url(value: String) -> Result<String, SettingsError> {
    let host = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    let plain =
        host.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(['?', '#']));
    if plain {
        Ok(value.trim_end_matches('/').to_owned())
    } else {
        let right = "a URL that begins with https:// or http://, without a query";
        Err(SettingsError::Wrong { name: "RONDO_PUBLIC_URL", right, found: value })
    }
}

fn gateway(value: String) -> Result<Url, SettingsError> {
    let right = "a URL that begins with https:// or http://, without a query";
    let wrong = || SettingsError::Wrong { name: "RONDO_PUSH_GATEWAY", right, found: value.clone() };
    let url: Url = value.parse().map_err(|_| wrong())?;
    let plain = matches!(url.scheme(), "https" | "http") && url.query().is_none() && url.fragment().is_none();
    if plain { Ok(url) } else { Err(wrong()) }
}

fn contact(value: String) -> Result<String, SettingsError> {
    let right = "a mailto: or https: URL";
    match vapid::check_contact(&value) {
        Ok(_) => Ok(value),
        Err(_) => Err(SettingsError::Wrong { name: "RONDO_PUSH_CONTACT", right, found: value }),
    }
}

fn flag(name: &'static str, value: Option<String>) -> Result<bool, SettingsError> {
    match value.as_deref() {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(other) => Err(SettingsError::Wrong { name, right: "1 or 0", found: other.to_owned() }),
    }
}

fn millis(
    name: &'static str,
    value: Option<String>,
    range: RangeInclusive<u64>,
    default: Span,
) -> Result<Span, SettingsError> {
    let Some(found) = value else {
        return Ok(default);
    };
    match found.parse() {
        Ok(number) if range.contains(&number) => Ok(Span::from_millis(number)),
        _ => Err(SettingsError::Wrong { name, right: right(name), found }),
    }
}

/// The ranges above, in words: an error has no room for a text of its own.
fn right(name: &str) -> &'static str {
    match name {
        "RONDO_WINDOW_MS" => "a number of milliseconds from 1000 to 840000",
        "RONDO_LEAD_MS" | "RONDO_LEAD_SPREAD_MS" => "a number of milliseconds from 0 to 600000",
        "RONDO_GRACE_MS" | "RONDO_RESEND_AFTER_MS" => "a number of milliseconds from 1000 to 3600000",
        "RONDO_MINIMUM_INTERVAL_MS" => "a number of milliseconds from 100 to 86400000",
        _ => "a number of milliseconds from 0 to 14000",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &'static str) -> Result<FunctionSettings, SettingsError> {
        FunctionSettings::read(|asked| (asked == name).then(|| value.to_owned()))
    }

    #[test]
    fn what_is_not_said_is_as_documented() {
        let settings = with("RONDO_PUBLIC_URL", " ").unwrap();
        assert_eq!(settings.public_url, None);
        assert!(!settings.allow_private_targets);
        assert_eq!(settings.minimum_interval, Span::from_millis(300));
        assert_eq!(settings.hold, Span::from_secs(10));
        assert_eq!(settings.engine, rondo_aws::settings());
    }

    #[test]
    fn what_is_said_is_taken() {
        assert_eq!(
            with("RONDO_PUBLIC_URL", "https://a.example/").unwrap().public_url.as_deref(),
            Some("https://a.example")
        );
        assert!(with("RONDO_ALLOW_PRIVATE_TARGETS", "1").unwrap().allow_private_targets);
        assert_eq!(with("RONDO_HOLD_MS", "0").unwrap().hold, Span::ZERO);
        assert_eq!(with("RONDO_WINDOW_MS", "20000").unwrap().engine.reach.window, Span::from_secs(20));
        assert_eq!(with("RONDO_LEAD_MS", "1").unwrap().engine.reach.lead, Span::from_millis(1));
        assert_eq!(with("RONDO_LEAD_SPREAD_MS", "2").unwrap().engine.reach.lead_spread, Span::from_millis(2));
        assert_eq!(with("RONDO_GRACE_MS", "3000").unwrap().engine.reach.grace, Span::from_secs(3));
        assert_eq!(
            with("RONDO_RESEND_AFTER_MS", "4000").unwrap().engine.reach.resend_after,
            Span::from_secs(4)
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (name, value) in [
            ("RONDO_PUBLIC_URL", "example.com"),
            ("RONDO_PUBLIC_URL", "https:///path"),
            ("RONDO_ALLOW_PRIVATE_TARGETS", "yes"),
            ("RONDO_PUSH_GATEWAY", "push.example"),
            ("RONDO_PUSH_GATEWAY", "https://push.example/?key=1"),
            ("RONDO_PUSH_CONTACT", "ops@example.com"),
            ("RONDO_HOLD_MS", "14001"),
            ("RONDO_WINDOW_MS", "900000"),
            ("RONDO_MINIMUM_INTERVAL_MS", "-5"),
            ("RONDO_GRACE_MS", "1 s"),
        ] {
            let said = with(name, value).unwrap_err().to_string();
            assert!(said.starts_with(&format!("{name} must be ")) && said.contains(value), "{said}");
        }
    }

    #[test]
    fn the_runtimes_own_endpoint_is_never_a_target() {
        let read = |name: &str| match name {
            "RONDO_ALLOW_PRIVATE_TARGETS" => Some("1".to_owned()),
            "AWS_LAMBDA_RUNTIME_API" => Some("127.0.0.1:9001".to_owned()),
            _ => None,
        };
        let policy = FunctionSettings::read(read).unwrap().policy();
        assert!(policy.check([127, 0, 0, 1].into()).is_err());
        assert!(policy.check([127, 0, 0, 2].into()).is_ok());
        assert!(policy.check([10, 0, 0, 1].into()).is_ok());
        let public = with("RONDO_ALLOW_PRIVATE_TARGETS", "0").unwrap().policy();
        assert!(public.check([127, 0, 0, 2].into()).is_err());
    }
}
