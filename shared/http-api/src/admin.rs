//! Apps and their secrets, for an operator. No route of the public API leads here: `serve` takes these requests
//! on a socket in its data folder, AWS by invoking a function with AWS credentials.

use crate::problem::Problem;
use rondo_domain::{
    app::App,
    engine::{AppGrant, Engine, Error, Invalid, NewApp, Vault},
    ids::AppKey,
    push::sender::Way,
    trigger::parse_zone,
};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};
use url::Url;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum AdminRequest {
    Create {
        name: String,
        /// 3 to 64 letters, digits, `-`; random where none is given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// At least 24 characters; random where none is given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret: Option<String>,
        /// IANA name; UTC where none is given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        time_zone: Option<String>,
        /// How many schedules may be live at once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_schedules: Option<u32>,
        /// How many scheduled pushes may be live at once; 1000 where nothing is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_pushes: Option<u32>,
    },
    List,
    /// Says how the app's pushes leave from now on, and shows it. What is left out stays as it is.
    Push {
        key: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        way: Option<NewWay>,
        /// Whom push services may turn to: a `mailto:` or `https:` URL.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        contact: Option<String>,
    },
    RotateSecret {
        key: String,
        /// The secrets before end at once, instead of living on beside the new ones.
        #[serde(default)]
        end_old: bool,
    },
    /// With everything that is the app's.
    Remove {
        key: String,
    },
}

/// `"direct"`, or `{"gateway": {"key", "secret"}}` with the app's own credentials at the gateway.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NewWay {
    Direct,
    Gateway { key: String, secret: String },
}

/// The secret is nobody's to read.
impl fmt::Debug for NewWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NewWay::Direct => f.write_str("Direct"),
            NewWay::Gateway { key, .. } => {
                f.debug_struct("Gateway").field("key", key).finish_non_exhaustive()
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum AdminAnswer {
    /// Secrets, shown this once.
    Granted {
        key: AppKey,
        secret: String,
        signing_secret: String,
        /// The public half of the app's key for Web Push; shown again whenever it is asked for.
        push_key: String,
    },
    Push {
        key: AppKey,
        push: PushEntry,
    },
    Apps {
        apps: Vec<AppEntry>,
    },
    Removed {
        key: AppKey,
    },
}

/// An app as it is listed: no secret, only when each live one was made (RFC 3339, newest first).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppEntry {
    pub key: AppKey,
    pub name: String,
    pub time_zone: String,
    pub created_at: String,
    pub max_schedules: Option<u32>,
    pub max_pushes: Option<u32>,
    pub push: PushEntry,
    pub secrets: Vec<String>,
    pub signing_secrets: Vec<String>,
}

/// How an app's pushes leave; never a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushEntry {
    /// `gateway` or `direct`.
    pub way: String,
    /// The app's key for Web Push, as `pushManager.subscribe()` takes it; null: made with the next change.
    pub public_key: Option<String>,
    /// The app's key at its gateway.
    pub upstream_key: Option<String>,
    pub contact: Option<String>,
}

impl PushEntry {
    fn of(app: &App) -> Self {
        let way = match Way::of(app) {
            Way::Gateway => "gateway",
            Way::Direct => "direct",
        };
        PushEntry {
            way: way.to_owned(),
            public_key: app.push.vapid.as_ref().map(|key| key.public.clone()),
            upstream_key: app.push.upstream.as_ref().map(|upstream| upstream.key.clone()),
            contact: app.push.contact.clone(),
        }
    }
}

impl AppEntry {
    pub fn of(app: &App) -> Self {
        AppEntry {
            key: app.key.clone(),
            name: app.name.clone(),
            time_zone: app.time_zone.name().to_owned(),
            created_at: app.created_at.to_string(),
            max_schedules: app.limits.max_schedules,
            max_pushes: app.limits.max_pushes,
            push: PushEntry::of(app),
            secrets: app.secrets.iter().map(|secret| secret.created_at.to_string()).collect(),
            signing_secrets: app.signing_secrets.iter().map(|secret| secret.created_at.to_string()).collect(),
        }
    }
}

pub async fn handle(
    engine: &Engine,
    vault: &dyn Vault,
    request: AdminRequest,
) -> Result<AdminAnswer, Problem> {
    match request {
        AdminRequest::Create { name, key, secret, time_zone, max_schedules, max_pushes } => {
            if name.trim().is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
                let detail = "must have 1 to 255 bytes and no control characters";
                return Err(Invalid::new("name", detail).into());
            }
            let key = key.map(|key| app_key(&key)).transpose()?;
            let time_zone = time_zone
                .map(|zone| parse_zone(&zone).map_err(|wrong| Invalid::new("time_zone", wrong.to_string())))
                .transpose()?;
            let new = NewApp { key, secret, name, time_zone, max_schedules, max_pushes };
            Ok(granted(engine.create_app(new, vault).await?))
        }
        AdminRequest::List => {
            let apps = engine.apps.apps().await?;
            Ok(AdminAnswer::Apps { apps: apps.iter().map(|app| AppEntry::of(app)).collect() })
        }
        AdminRequest::RotateSecret { key, end_old } => {
            Ok(granted(engine.rotate_secrets(&app_key(&key)?, end_old, vault).await?))
        }
        AdminRequest::Push { key, way, contact } => {
            let key = app_key(&key)?;
            Ok(AdminAnswer::Push {
                push: PushEntry::of(&*push(engine, vault, &key, way, contact).await?),
                key,
            })
        }
        AdminRequest::Remove { key } => {
            let key = app_key(&key)?;
            engine.remove_app(&key).await?;
            Ok(AdminAnswer::Removed { key })
        }
    }
}

/// The app as it is afterwards. Where nothing is to be changed, nothing is written.
async fn push(
    engine: &Engine,
    vault: &dyn Vault,
    key: &AppKey,
    way: Option<NewWay>,
    contact: Option<String>,
) -> Result<Arc<App>, Problem> {
    let upstream = match way {
        None => None,
        Some(NewWay::Direct) => Some(None),
        Some(NewWay::Gateway { key, secret }) => {
            Some(Some((credential("key", key)?, credential("secret", secret)?)))
        }
    };
    let contact = contact.map(checked_contact).transpose()?;
    if upstream.is_none() && contact.is_none() {
        let app = engine.apps.app(key).await?.ok_or(Error::NotFound("app"))?;
        if app.push.vapid.is_some() {
            return Ok(app);
        }
    }
    Ok(Arc::new(engine.set_push(key, upstream, contact, vault).await?))
}

/// What HTTP's Basic credentials can hold, on either side of their colon.
fn credential(field: &str, text: String) -> Result<String, Invalid> {
    let plain = text.chars().all(|c| c.is_ascii_graphic() && c != ':');
    if plain && (1..=255).contains(&text.len()) {
        return Ok(text);
    }
    let detail = "must be 1 to 255 printable ASCII characters without spaces or colons";
    Err(Invalid::new(format!("way.gateway.{field}"), detail))
}

/// RFC 8292, section 2.1. Apple's push service refuses tokens that name localhost, so only hosts pass that others know.
fn checked_contact(text: String) -> Result<String, Invalid> {
    let url = Url::parse(&text).ok();
    let host = url.as_ref().and_then(|url| match url.scheme() {
        "mailto" => url.path().rsplit_once('@').filter(|(name, _)| !name.is_empty()).map(|(_, host)| host),
        "https" => url.domain(),
        _ => None,
    });
    let is_known = |host: &str| {
        let last = host.trim_end_matches('.').rsplit_once('.').map(|(_, last)| last);
        last.is_some_and(|last| {
            !matches!(last, "localhost" | "local") && !last.bytes().all(|b| b.is_ascii_digit())
        })
    };
    if text.len() <= 255 && host.is_some_and(is_known) {
        return Ok(text);
    }
    let detail = "must be mailto:NAME@HOST or https://HOST/…, on a host that others know";
    Err(Invalid::new("contact", detail))
}

fn granted(grant: AppGrant) -> AdminAnswer {
    let AppGrant { key, secret, signing_secret, push_key } = grant;
    AdminAnswer::Granted { key, secret, signing_secret, push_key }
}

fn app_key(text: &str) -> Result<AppKey, Invalid> {
    text.parse().map_err(|_| Invalid::new("key", "must be 3 to 64 letters, digits or '-'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_can_be_reached_by_others() {
        for good in ["mailto:push@example.com", "https://example.com", "https://example.com/contact"] {
            assert_eq!(checked_contact(good.to_owned()), Ok(good.to_owned()));
        }
        for wrong in [
            "",
            "push@example.com",
            "mailto:",
            "mailto:me",
            "mailto:@example.com",
            "mailto:me@localhost",
            "mailto:me@",
            "mailto:me@127.0.0.1",
            "http://example.com",
            "https://localhost/",
            "https://127.0.0.1/",
            "https://a.local/",
        ] {
            let refused = checked_contact(wrong.to_owned()).expect_err(wrong);
            assert_eq!(refused.field, "contact");
        }
    }

    #[test]
    fn requests_of_pushes_read_as_the_documentation_has_them() {
        let read = |text: &str| serde_json::from_str::<AdminRequest>(text).expect(text);
        let push = |way, contact: Option<&str>| AdminRequest::Push {
            key: "k-1".to_owned(),
            way,
            contact: contact.map(str::to_owned),
        };
        assert_eq!(read(r#"{"action":"push","key":"k-1"}"#), push(None, None));
        assert_eq!(read(r#"{"action":"push","key":"k-1","way":"direct"}"#), push(Some(NewWay::Direct), None));
        let gateway = NewWay::Gateway { key: "up".to_owned(), secret: "hidden".to_owned() };
        let text =
            r#"{"action":"push","key":"k-1","way":{"gateway":{"key":"up","secret":"hidden"}},"contact":"c"}"#;
        assert_eq!(read(text), push(Some(gateway.clone()), Some("c")));
        assert!(!format!("{gateway:?}").contains("hidden"), "{gateway:?}");
    }
}
