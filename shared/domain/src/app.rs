//! An app: a tenant with a key, secrets, a time zone and limits.

use crate::{ids::AppKey, push::PushSettings, time::Timestamp};
use base64::Engine as _;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Both master secret and signing secret have at most two live values, so that they can rotate.
pub const LIVE_SECRETS: usize = 2;
/// A secret given by an operator is at least this long (characters).
pub const MIN_SECRET: usize = 24;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct App {
    pub key: AppKey,
    pub name: String,
    /// Where a schedule names no zone of its own.
    pub time_zone: Tz,
    pub created_at: Timestamp,
    /// Newest first.
    pub secrets: Vec<SecretHash>,
    /// Newest first; each signs every callback.
    pub signing_secrets: Vec<SealedSecret>,
    pub limits: AppLimits,
    #[serde(default)]
    pub push: PushSettings,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppLimits {
    /// How many schedules may be live (not ended) at once; none: as many as there is room for.
    pub max_schedules: Option<u32>,
    /// How many scheduled pushes may be live at once; none: [`MAX_PUSHES`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_pushes: Option<u32>,
}

/// The scheduled-push contract's own limit.
pub const MAX_PUSHES: u32 = 1000;

/// SHA-256 of a master secret, in base64. The secrets are long and random: no slow hash is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretHash {
    pub sha256: String,
    pub created_at: Timestamp,
}

impl SecretHash {
    pub fn of(secret: &str, created_at: Timestamp) -> Self {
        SecretHash { sha256: digest(secret), created_at }
    }
}

/// A signing secret as it is stored: encrypted under the installation's sealing key, in base64.
/// `outbound` seals and opens it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SealedSecret {
    pub sealed: String,
    pub created_at: Timestamp,
}

impl App {
    /// Whether `secret` is one of the live master secrets; takes the same time whichever it is.
    pub fn admits(&self, secret: &str) -> bool {
        let given = digest(secret);
        let hit = self
            .secrets
            .iter()
            .fold(0u8, |hit, live| hit | live.sha256.as_bytes().ct_eq(given.as_bytes()).unwrap_u8());
        hit == 1
    }
}

fn digest(secret: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(Sha256::digest(secret.as_bytes()))
}
