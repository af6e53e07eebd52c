//! Apps and their secrets, for an operator. No route of the public API leads here: `serve` takes these requests
//! on a socket in its data folder, AWS by invoking a function with AWS credentials.

use crate::problem::Problem;
use rondo_domain::{
    app::App,
    engine::{AppGrant, Engine, Invalid, NewApp, Vault},
    ids::AppKey,
    trigger::parse_zone,
};
use serde::{Deserialize, Serialize};

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
    },
    List,
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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum AdminAnswer {
    /// Secrets, shown this once.
    Granted {
        key: AppKey,
        secret: String,
        signing_secret: String,
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
    pub secrets: Vec<String>,
    pub signing_secrets: Vec<String>,
}

impl AppEntry {
    pub fn of(app: &App) -> Self {
        AppEntry {
            key: app.key.clone(),
            name: app.name.clone(),
            time_zone: app.time_zone.name().to_owned(),
            created_at: app.created_at.to_string(),
            max_schedules: app.limits.max_schedules,
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
        AdminRequest::Create { name, key, secret, time_zone, max_schedules } => {
            if name.trim().is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
                let detail = "must have 1 to 255 bytes and no control characters";
                return Err(Invalid::new("name", detail).into());
            }
            let key = key.map(|key| app_key(&key)).transpose()?;
            let time_zone = time_zone
                .map(|zone| parse_zone(&zone).map_err(|wrong| Invalid::new("time_zone", wrong.to_string())))
                .transpose()?;
            let new = NewApp { key, secret, name, time_zone, max_schedules };
            Ok(granted(engine.create_app(new, vault).await?))
        }
        AdminRequest::List => {
            let apps = engine.apps.apps().await?;
            Ok(AdminAnswer::Apps { apps: apps.iter().map(|app| AppEntry::of(app)).collect() })
        }
        AdminRequest::RotateSecret { key, end_old } => {
            Ok(granted(engine.rotate_secrets(&app_key(&key)?, end_old, vault).await?))
        }
        AdminRequest::Remove { key } => {
            let key = app_key(&key)?;
            engine.remove_app(&key).await?;
            Ok(AdminAnswer::Removed { key })
        }
    }
}

fn granted(grant: AppGrant) -> AdminAnswer {
    let AppGrant { key, secret, signing_secret } = grant;
    AdminAnswer::Granted { key, secret, signing_secret }
}

fn app_key(text: &str) -> Result<AppKey, Invalid> {
    text.parse().map_err(|_| Invalid::new("key", "must be 3 to 64 letters, digits or '-'"))
}
