//! Sealing secrets at rest, and deriving further keys, from the installation's one sealing key.
//!
//! A sealed text is `v1.` and the URL-safe base64 of nonce and ciphertext (XChaCha20-Poly1305: its nonce of 24
//! bytes may be random without counting). It is bound to what it is for, so that one app's secret does not open
//! in another's place. The version names algorithm and layout: others can come beside it.

use crate::{
    push::{key::secret_key, vapid},
    signature::SigningSecret,
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use hmac::{Hmac, Mac};
use p256::{SecretKey, ecdsa::SigningKey};
use rondo_domain::{
    engine::Vault,
    ids::AppKey,
    push::{Upstream, VapidKey},
};
use sha2::Sha256;
use std::{fmt, str::FromStr};

const VERSION: &str = "v1.";
const NONCE: usize = 24;

/// Opens every secret of the installation: 32 random bytes. Its text form, in a key file or a secret store, is
/// base64.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingKey([u8; 32]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealingError {
    #[error("a sealing key is the base64 of 32 bytes")]
    NotAKey,
    #[error("is not sealed in a form that this version of Rondo knows")]
    UnknownForm,
    #[error("does not open: sealed with another key, for another purpose, or altered since")]
    DoesNotOpen,
    #[error("does not belong to the public key beside it")]
    AnotherKey,
}

impl SealingKey {
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        SealingKey(bytes)
    }

    /// The text form, in the clear: what a new key file holds.
    pub fn reveal(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// A key of its own for each purpose: who holds one learns nothing of the others, nor of this key.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// `bound_to` says what it is for and whose; the same text opens it. `nonce` is random, never used twice.
    pub fn seal(&self, bound_to: &str, plain: &[u8], nonce: [u8; NONCE]) -> String {
        let payload = Payload { msg: plain, aad: bound_to.as_bytes() };
        let sealed = self
            .cipher()
            .encrypt(XNonce::from_slice(&nonce), payload)
            .expect("what is sealed is far below the cipher's limit of 256 GiB");
        format!("{VERSION}{}", URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    pub fn open(&self, bound_to: &str, sealed: &str) -> Result<Vec<u8>, SealingError> {
        let encoded = sealed.strip_prefix(VERSION).ok_or(SealingError::UnknownForm)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| SealingError::UnknownForm)?;
        let (nonce, ciphertext) = bytes.split_at_checked(NONCE).ok_or(SealingError::UnknownForm)?;
        let payload = Payload { msg: ciphertext, aad: bound_to.as_bytes() };
        self.cipher().decrypt(XNonce::from_slice(nonce), payload).map_err(|_| SealingError::DoesNotOpen)
    }

    /// For [`rondo_domain::app::SealedSecret`].
    pub fn seal_signing_secret(&self, app: &AppKey, secret: &SigningSecret, nonce: [u8; NONCE]) -> String {
        self.seal(&signing_purpose(app), secret.bytes(), nonce)
    }

    pub fn open_signing_secret(&self, app: &AppKey, sealed: &str) -> Result<SigningSecret, SealingError> {
        let bytes = self.open(&signing_purpose(app), sealed)?;
        SigningSecret::from_bytes(&bytes).map_err(|_| SealingError::UnknownForm)
    }

    /// The private half of the app's key for Web Push, if it belongs to the public one that subscriptions were made with.
    pub fn open_push_key(&self, app: &AppKey, key: &VapidKey) -> Result<SecretKey, SealingError> {
        let bytes = self.open(&push_purpose(app), &key.sealed)?;
        let secret = SecretKey::from_slice(&bytes).map_err(|_| SealingError::UnknownForm)?;
        if public_half(&secret) == key.public { Ok(secret) } else { Err(SealingError::AnotherKey) }
    }

    /// The app's secret at its gateway.
    pub fn open_upstream(&self, app: &AppKey, upstream: &Upstream) -> Result<String, SealingError> {
        let bytes = self.open(&upstream_purpose(app), &upstream.sealed)?;
        String::from_utf8(bytes).map_err(|_| SealingError::UnknownForm)
    }

    /// The key itself seals nothing: what it derives for other purposes must not be of use here.
    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.derive("sealing v1").into())
    }
}

/// How the domain seals the secrets that it makes; [`SealingKey::open_signing_secret`], [`SealingKey::open_push_key`]
/// and [`SealingKey::open_upstream`] open them.
impl Vault for SealingKey {
    fn seal(&self, app: &AppKey, secret: &[u8], nonce: [u8; NONCE]) -> String {
        SealingKey::seal(self, &signing_purpose(app), secret, nonce)
    }

    fn new_push_key(&self, app: &AppKey, random: [u8; 64]) -> VapidKey {
        let (mut seed, mut nonce) = ([0; 32], [0; NONCE]);
        seed.copy_from_slice(&random[..32]);
        nonce.copy_from_slice(&random[64 - NONCE..]);
        let secret = secret_key(seed);
        let sealed = SealingKey::seal(self, &push_purpose(app), &secret.to_bytes(), nonce);
        VapidKey { public: public_half(&secret), sealed }
    }

    fn seal_upstream(&self, app: &AppKey, secret: &str, nonce: [u8; NONCE]) -> String {
        SealingKey::seal(self, &upstream_purpose(app), secret.as_bytes(), nonce)
    }
}

fn public_half(secret: &SecretKey) -> String {
    vapid::public_key(&SigningKey::from(secret))
}

fn push_purpose(app: &AppKey) -> String {
    format!("push key of {app}")
}

fn upstream_purpose(app: &AppKey) -> String {
    format!("upstream secret of {app}")
}

fn signing_purpose(app: &AppKey) -> String {
    format!("signing secret of {app}")
}

impl FromStr for SealingKey {
    type Err = SealingError;
    fn from_str(text: &str) -> Result<Self, SealingError> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| SealingError::NotAKey)?;
        bytes.try_into().map(SealingKey).map_err(|_| SealingError::NotAKey)
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE_A: [u8; 24] = [3; 24];

    fn key() -> SealingKey {
        SealingKey::from_bytes([9; 32])
    }

    #[test]
    fn what_is_sealed_opens_again_and_nothing_shows() {
        let sealed = key().seal("test", b"a secret of some length", NONCE_A);
        assert!(sealed.starts_with("v1.") && !sealed.contains("secret"));
        assert_eq!(key().open("test", &sealed).as_deref(), Ok(&b"a secret of some length"[..]));
        assert_ne!(sealed, key().seal("test", b"a secret of some length", [4; 24]));
        assert_eq!(key().open("test", &key().seal("test", b"", NONCE_A)), Ok(vec![]));
    }

    /// Computed with another implementation: stored secrets must open in every later version too.
    #[test]
    fn the_stored_form_stays() {
        assert_eq!(key().seal("test", b"abc", NONCE_A), STORED);
    }
    const STORED: &str = "v1.AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDfe-dFs98a4a5OJDsSaXaC9zUgg";

    #[test]
    fn neither_key_nor_purpose_nor_a_single_byte_may_differ() {
        let sealed = key().seal("test", b"a secret", NONCE_A);
        assert_eq!(key().open("tess", &sealed), Err(SealingError::DoesNotOpen));
        assert_eq!(SealingKey::from_bytes([8; 32]).open("test", &sealed), Err(SealingError::DoesNotOpen));
        let bytes = URL_SAFE_NO_PAD.decode(&sealed[3..]).unwrap();
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            let altered = format!("v1.{}", URL_SAFE_NO_PAD.encode(altered));
            assert_eq!(key().open("test", &altered), Err(SealingError::DoesNotOpen), "byte {at}");
        }
        for text in ["", "v1.", "v2.AAAA", "v1.AAAA", "v1.!", &sealed[1..]] {
            assert_eq!(key().open("test", text), Err(SealingError::UnknownForm), "{text}");
        }
    }

    #[test]
    fn a_signing_secret_opens_for_its_own_app_only() {
        let (ours, theirs): (AppKey, AppKey) = ("ours".parse().unwrap(), "theirs".parse().unwrap());
        let secret = SigningSecret::from_bytes(&[5; 32]).unwrap();
        let sealed = key().seal_signing_secret(&ours, &secret, NONCE_A);
        assert_eq!(Vault::seal(&key(), &ours, secret.bytes(), NONCE_A), sealed);
        assert_eq!(key().open_signing_secret(&ours, &sealed), Ok(secret));
        assert_eq!(key().open_signing_secret(&theirs, &sealed), Err(SealingError::DoesNotOpen));
    }

    #[test]
    fn a_push_key_is_of_the_bytes_given_and_opens_for_its_own_app_only() {
        let (ours, theirs): (AppKey, AppKey) = ("ours".parse().unwrap(), "theirs".parse().unwrap());
        let made = key().new_push_key(&ours, [7; 64]);
        assert_eq!(URL_SAFE_NO_PAD.decode(&made.public).unwrap().len(), 65);
        let opened = key().open_push_key(&ours, &made).unwrap();
        assert_eq!(opened.to_bytes()[..], [7; 32]);
        assert_eq!(key().open_push_key(&theirs, &made).err(), Some(SealingError::DoesNotOpen));
        let other = key().new_push_key(&ours, [8; 64]);
        assert_ne!(other, made);
        let mixed = VapidKey { public: other.public, ..made };
        assert_eq!(key().open_push_key(&ours, &mixed).err(), Some(SealingError::AnotherKey));
        let signing = key().seal(&signing_purpose(&ours), &[7; 32], NONCE_A);
        let swapped = VapidKey { sealed: signing, ..mixed };
        assert_eq!(key().open_push_key(&ours, &swapped).err(), Some(SealingError::DoesNotOpen));
    }

    #[test]
    fn an_upstream_secret_opens_for_its_own_app_only() {
        let (ours, theirs): (AppKey, AppKey) = ("ours".parse().unwrap(), "theirs".parse().unwrap());
        let sealed = key().seal_upstream(&ours, "a master secret", NONCE_A);
        let upstream = Upstream { key: "k".to_owned(), sealed };
        assert_eq!(key().open_upstream(&ours, &upstream).as_deref(), Ok("a master secret"));
        assert_eq!(key().open_upstream(&theirs, &upstream), Err(SealingError::DoesNotOpen));
    }

    #[test]
    fn derived_keys_differ_by_purpose_and_are_not_the_key() {
        let keys = [
            key().derive("links"),
            key().derive("cursors"),
            SealingKey::from_bytes([1; 32]).derive("links"),
            [9; 32],
        ];
        for (at, one) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(one));
        }
        assert_eq!(key().derive("links"), keys[0]);
    }

    #[test]
    fn a_key_has_a_text_form_and_hides_when_debugged() {
        assert_eq!(format!("{}\n", key().reveal()).parse(), Ok(key()));
        assert!(!format!("{:?}", key()).contains('9'));
        for text in ["", "AAAA", "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ"] {
            assert_eq!(text.parse::<SealingKey>(), Err(SealingError::NotAKey), "{text}");
        }
    }
}
