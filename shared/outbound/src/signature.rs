//! Standard Webhooks 1.0.0, symmetric: signing what is sent, and verifying what was received.
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
//!
//! Signed is `{webhook-id}.{webhook-timestamp}.{body}`; `webhook-signature` holds one `v1,<base64>` for every
//! live secret, separated by spaces, so that a secret can be replaced without a gap.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use rondo_domain::time::{Span, Timestamp};
use sha2::Sha256;
use std::{fmt, str::FromStr};

pub const WEBHOOK_ID: &str = "webhook-id";
pub const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
pub const WEBHOOK_SIGNATURE: &str = "webhook-signature";
/// How far the timestamp may be from the receiver's clock, either way: what the reference libraries allow.
pub const TOLERANCE: Span = Span::from_secs(300);

const PREFIX: &str = "whsec_";

/// The key of a signature: 24 to 64 random bytes. Its text form is `whsec_` and base64.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Vec<u8>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a signing secret: whsec_ and the base64 of 24 to 64 bytes")]
pub struct NotASigningSecret;

impl SigningSecret {
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NotASigningSecret> {
        if (24..=64).contains(&bytes.len()) {
            Ok(SigningSecret(bytes.to_vec()))
        } else {
            Err(NotASigningSecret)
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// One entry of `webhook-signature`.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        sign(&[self.key()], id, timestamp, body)
    }

    pub(crate) fn key(&self) -> SigningKey {
        SigningKey(Hmac::new_from_slice(&self.0).expect("HMAC takes keys of any length"))
    }
}

impl FromStr for SigningSecret {
    type Err = NotASigningSecret;
    fn from_str(text: &str) -> Result<Self, NotASigningSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(NotASigningSecret)?;
        Self::from_bytes(&STANDARD.decode(encoded).map_err(|_| NotASigningSecret)?)
    }
}

/// The text form, in the clear.
impl fmt::Display for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", STANDARD.encode(&self.0))
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

/// A secret made ready: the two blocks that HMAC derives from a key are hashed once, not for every call.
#[derive(Clone)]
pub(crate) struct SigningKey(Hmac<Sha256>);

/// The whole of `webhook-signature`: one entry for each key.
pub(crate) fn sign(keys: &[SigningKey], id: &str, timestamp: i64, body: &[u8]) -> String {
    // "v1," and 44 characters of base64, and a space between.
    let mut header = String::with_capacity(keys.len() * 48);
    let timestamp = timestamp.to_string();
    for key in keys {
        if !header.is_empty() {
            header.push(' ');
        }
        header.push_str("v1,");
        STANDARD.encode_string(mac(key, id, &timestamp, body).finalize().into_bytes(), &mut header);
    }
    header
}

fn mac(key: &SigningKey, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = key.0.clone();
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    mac
}

/// Why a received callback is not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("webhook-timestamp is not a whole number of seconds")]
    BadTimestamp,
    #[error("webhook-timestamp is {} s {}", .0.unsigned_abs(), if *.0 < 0 { "in the future" } else { "old" })]
    OutsideTolerance(i64),
    #[error("webhook-signature has no entry of version v1")]
    NoSignature,
    #[error("no entry of webhook-signature matches a secret")]
    NoMatch,
}

/// Whether the callback with these three headers and this body was signed with one of `secrets`, at most
/// `tolerance` away from `now` (usually [`TOLERANCE`]). Takes the same time wherever signatures differ.
pub fn verify(
    secrets: &[SigningSecret],
    id: &str,
    timestamp: &str,
    signatures: &str,
    body: &[u8],
    now: Timestamp,
    tolerance: Span,
) -> Result<(), VerifyError> {
    let sent: i64 = timestamp.parse().map_err(|_| VerifyError::BadTimestamp)?;
    let age = now.seconds().saturating_sub(sent);
    if age.unsigned_abs() > tolerance.millis() / 1000 {
        return Err(VerifyError::OutsideTolerance(age));
    }
    // Other versions may come along: v1a is the asymmetric one.
    let mut entries = signatures.split(' ').filter_map(|entry| entry.strip_prefix("v1,")).peekable();
    entries.peek().ok_or(VerifyError::NoSignature)?;
    let macs: Vec<_> = secrets.iter().map(|secret| mac(&secret.key(), id, timestamp, body)).collect();
    let matches = entries
        .filter_map(|entry| STANDARD.decode(entry).ok())
        .any(|given| macs.iter().any(|mac| mac.clone().verify_slice(&given).is_ok()));
    if matches { Ok(()) } else { Err(VerifyError::NoMatch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The specification's own example.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn published() -> SigningSecret {
        SECRET.parse().unwrap()
    }

    fn other() -> SigningSecret {
        SigningSecret::from_bytes(&[7; 32]).unwrap()
    }

    fn check(
        secrets: &[SigningSecret],
        id: &str,
        timestamp: &str,
        signatures: &str,
        body: &[u8],
        now: i64,
    ) -> Result<(), VerifyError> {
        verify(secrets, id, timestamp, signatures, body, Timestamp::from_millis(now * 1000), TOLERANCE)
    }

    #[test]
    fn the_published_vector() {
        assert_eq!(published().sign(ID, AT, BODY), SIGNATURE);
        assert_eq!(check(&[published()], ID, "1614265330", SIGNATURE, BODY, AT), Ok(()));
    }

    #[test]
    fn every_live_secret_signs_and_any_of_them_verifies() {
        let header = sign(&[other().key(), published().key()], ID, AT, BODY);
        assert_eq!(header, format!("{} {SIGNATURE}", other().sign(ID, AT, BODY)));
        for secrets in [
            vec![other()],
            vec![published()],
            vec![SigningSecret::from_bytes(&[1; 24]).unwrap(), published()],
        ] {
            assert_eq!(check(&secrets, ID, "1614265330", &header, BODY, AT), Ok(()));
        }
    }

    #[test]
    fn nothing_signed_may_change() {
        let secrets = [published()];
        assert_eq!(
            check(&secrets, "msg_other", "1614265330", SIGNATURE, BODY, AT),
            Err(VerifyError::NoMatch)
        );
        assert_eq!(check(&secrets, ID, "1614265331", SIGNATURE, BODY, AT), Err(VerifyError::NoMatch));
        assert_eq!(check(&secrets, ID, "1614265330", SIGNATURE, b"{}", AT), Err(VerifyError::NoMatch));
        assert_eq!(check(&[other()], ID, "1614265330", SIGNATURE, BODY, AT), Err(VerifyError::NoMatch));
        assert_eq!(check(&[], ID, "1614265330", SIGNATURE, BODY, AT), Err(VerifyError::NoMatch));
        // A shorter signature is no signature.
        assert_eq!(check(&secrets, ID, "1614265330", "v1,g0hM9SsE", BODY, AT), Err(VerifyError::NoMatch));
        assert_eq!(check(&secrets, ID, "1614265330", "v1,", BODY, AT), Err(VerifyError::NoMatch));
    }

    #[test]
    fn other_versions_are_passed_over() {
        let secrets = [published()];
        let header = format!("v1a,AAAA v2,BBBB v1,!! {SIGNATURE}");
        assert_eq!(check(&secrets, ID, "1614265330", &header, BODY, AT), Ok(()));
        assert_eq!(check(&secrets, ID, "1614265330", "v1a,AAAA", BODY, AT), Err(VerifyError::NoSignature));
        assert_eq!(check(&secrets, ID, "1614265330", "", BODY, AT), Err(VerifyError::NoSignature));
    }

    #[test]
    fn the_timestamp_is_within_five_minutes_either_way() {
        let at = |now| check(&[published()], ID, "1614265330", SIGNATURE, BODY, now);
        assert_eq!((at(AT + 300), at(AT - 300)), (Ok(()), Ok(())));
        assert_eq!(at(AT + 301), Err(VerifyError::OutsideTolerance(301)));
        assert_eq!(at(AT - 301), Err(VerifyError::OutsideTolerance(-301)));
        assert_eq!(
            VerifyError::OutsideTolerance(-301).to_string(),
            "webhook-timestamp is 301 s in the future"
        );
        assert_eq!(VerifyError::OutsideTolerance(301).to_string(), "webhook-timestamp is 301 s old");
        for text in ["", "1614265330.0", "soon", "99999999999999999999"] {
            assert_eq!(
                check(&[published()], ID, text, SIGNATURE, BODY, AT),
                Err(VerifyError::BadTimestamp),
                "{text}"
            );
        }
        assert!(check(&[published()], ID, &i64::MIN.to_string(), SIGNATURE, BODY, AT).is_err());
    }

    #[test]
    fn a_secret_has_one_text_form_and_hides_when_debugged() {
        assert_eq!(published().to_string(), SECRET);
        assert!(!format!("{:?}", published()).contains("MfKQ"));
        for text in [
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_",
            "whsec_AAAA",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!",
            "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            assert_eq!(text.parse::<SigningSecret>(), Err(NotASigningSecret), "{text}");
        }
        let sizes = [23, 24, 64, 65].map(|size| SigningSecret::from_bytes(&vec![1; size]).is_ok());
        assert_eq!(sizes, [false, true, true, false]);
    }
}
