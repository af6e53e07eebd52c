//! Apps and their secrets: made, rotated and removed by an operator, never through the public API.

use super::{Engine, Error, Invalid};
use crate::{
    app::{App, AppLimits, LIVE_SECRETS, MIN_SECRET, SealedSecret, SecretHash},
    ids::AppKey,
    push::{PushSettings, Upstream, VapidKey},
    time::Timestamp,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono_tz::Tz;

/// Seals signing secrets under the installation's key.
pub trait Vault: Send + Sync {
    /// `nonce` must never repeat under one key: 24 random bytes.
    fn seal(&self, app: &AppKey, secret: &[u8], nonce: [u8; 24]) -> String;
    /// A key pair for Web Push, made of these random bytes (the last 24 are the nonce that seals it).
    fn new_push_key(&self, app: &AppKey, random: [u8; 64]) -> VapidKey;
    /// Seals the app's secret at its gateway.
    fn seal_upstream(&self, app: &AppKey, secret: &str, nonce: [u8; 24]) -> String;
}

#[derive(Clone, Debug, Default)]
pub struct NewApp {
    /// Chosen by the operator, or random.
    pub key: Option<AppKey>,
    /// Chosen by the operator (at least 24 characters), or random.
    pub secret: Option<String>,
    pub name: String,
    pub time_zone: Option<Tz>,
    pub max_schedules: Option<u32>,
    /// None: the contract's own limit.
    pub max_pushes: Option<u32>,
}

/// Secrets as they are shown, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppGrant {
    pub key: AppKey,
    pub secret: String,
    /// `whsec_` and base64.
    pub signing_secret: String,
    /// The public half of the app's key for Web Push; no secret.
    pub push_key: String,
}

impl Engine {
    pub async fn create_app(&self, new: NewApp, vault: &dyn Vault) -> Result<AppGrant, Error> {
        let now = self.now();
        let key = new.key.unwrap_or_else(|| AppKey::from_random(self.entropy.bits()));
        let secret = match new.secret {
            Some(secret) => check_secret(secret)?,
            None => self.secret_text(),
        };
        let (sealed, signing_secret) = self.signing_secret(&key, vault, now);
        let vapid = self.push_key(&key, vault);
        let push_key = vapid.public.clone();
        let app = App {
            key: key.clone(),
            name: new.name,
            time_zone: new.time_zone.unwrap_or(Tz::UTC),
            created_at: now,
            secrets: vec![SecretHash::of(&secret, now)],
            signing_secrets: vec![sealed],
            limits: AppLimits { max_schedules: new.max_schedules, max_pushes: new.max_pushes },
            push: PushSettings { vapid: Some(vapid), ..PushSettings::default() },
        };
        if !self.apps.add_app(app).await? {
            return Err(Error::Conflict(format!("there is an app {key} already")));
        }
        Ok(AppGrant { key, secret, signing_secret, push_key })
    }

    /// Makes sure that an app admits just these credentials; for containers and tests.
    pub async fn ensure_app(
        &self,
        key: AppKey,
        secret: &str,
        vault: &dyn Vault,
    ) -> Result<Option<AppGrant>, Error> {
        let secret = check_secret(secret.to_owned())?;
        let Some(app) = self.apps.app(&key).await? else {
            let new = NewApp {
                key: Some(key),
                secret: Some(secret),
                name: "default".to_owned(),
                ..NewApp::default()
            };
            return self.create_app(new, vault).await.map(Some);
        };
        let only = app.secrets.len() == 1;
        if !(only && app.admits(&secret)) {
            let secrets = vec![SecretHash::of(&secret, self.now())];
            self.apps.replace_app(&app, App { secrets, ..App::clone(&app) }).await?;
        }
        Ok(None)
    }

    /// New secrets; the ones before them stay valid beside them until the next rotation, or end at once.
    pub async fn rotate_secrets(
        &self,
        key: &AppKey,
        end_old: bool,
        vault: &dyn Vault,
    ) -> Result<AppGrant, Error> {
        let app = self.apps.app(key).await?.ok_or(Error::NotFound("app"))?;
        let now = self.now();
        let secret = self.secret_text();
        let (sealed, signing_secret) = self.signing_secret(key, vault, now);
        let mut new = App::clone(&app);
        new.secrets.insert(0, SecretHash::of(&secret, now));
        new.signing_secrets.insert(0, sealed);
        let keep = if end_old { 1 } else { LIVE_SECRETS };
        new.secrets.truncate(keep);
        new.signing_secrets.truncate(keep);
        // An app of a time before there were pushes has none.
        let vapid = new.push.vapid.get_or_insert_with(|| self.push_key(key, vault));
        let push_key = vapid.public.clone();
        if !self.apps.replace_app(&app, new).await? {
            return Err(Error::Conflict("the app was changed at the same time; try again".to_owned()));
        }
        Ok(AppGrant { key: key.clone(), secret, signing_secret, push_key })
    }

    /// How the app's pushes leave from now on. `upstream`: the app's key and secret at its gateway; none: straight to
    /// the devices. Answers with the public key for Web Push.
    pub async fn set_push(
        &self,
        key: &AppKey,
        upstream: Option<Option<(String, String)>>,
        contact: Option<String>,
        vault: &dyn Vault,
    ) -> Result<App, Error> {
        let app = self.apps.app(key).await?.ok_or(Error::NotFound("app"))?;
        let mut new = App::clone(&app);
        if let Some(upstream) = upstream {
            new.push.upstream = upstream.map(|(name, secret)| Upstream {
                key: name,
                sealed: vault.seal_upstream(key, &secret, self.nonce()),
            });
        }
        new.push.contact = contact.or(new.push.contact);
        if new.push.vapid.is_none() {
            new.push.vapid = Some(self.push_key(key, vault));
        }
        if !self.apps.replace_app(&app, new.clone()).await? {
            return Err(Error::Conflict("the app was changed at the same time; try again".to_owned()));
        }
        Ok(new)
    }

    pub async fn remove_app(&self, key: &AppKey) -> Result<(), Error> {
        if self.apps.remove_app(key).await? { Ok(()) } else { Err(Error::NotFound("app")) }
    }

    /// 40 hexadecimal digits: 160 random bits.
    fn secret_text(&self) -> String {
        format!("{:032x}{:08x}", self.entropy.bits(), self.entropy.bits() as u32)
    }

    fn nonce(&self) -> [u8; 24] {
        let mut nonce = [0u8; 24];
        nonce[..16].copy_from_slice(&self.entropy.bits().to_be_bytes());
        nonce[16..].copy_from_slice(&(self.entropy.bits() as u64).to_be_bytes());
        nonce
    }

    fn push_key(&self, key: &AppKey, vault: &dyn Vault) -> VapidKey {
        let mut random = [0u8; 64];
        for part in random.chunks_mut(16) {
            part.copy_from_slice(&self.entropy.bits().to_be_bytes());
        }
        vault.new_push_key(key, random)
    }

    fn signing_secret(&self, key: &AppKey, vault: &dyn Vault, now: Timestamp) -> (SealedSecret, String) {
        let mut secret = [0u8; 32];
        secret[..16].copy_from_slice(&self.entropy.bits().to_be_bytes());
        secret[16..].copy_from_slice(&self.entropy.bits().to_be_bytes());
        let sealed = SealedSecret { sealed: vault.seal(key, &secret, self.nonce()), created_at: now };
        (sealed, format!("whsec_{}", STANDARD.encode(secret)))
    }
}

fn check_secret(secret: String) -> Result<String, Invalid> {
    let plain = secret.chars().all(|c| c.is_ascii_graphic() && c != ':');
    if secret.chars().count() >= MIN_SECRET && plain {
        Ok(secret)
    } else {
        let detail =
            format!("must be at least {MIN_SECRET} printable ASCII characters without spaces or colons");
        Err(Invalid::new("secret", detail))
    }
}
