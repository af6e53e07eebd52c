//! A browser: it subscribes, and opens what it is sent, as RFC 8291 says it from the other side.

use crate::target::{Received, Target};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac as _};
use p256::{
    PublicKey, SecretKey,
    ecdsa::{Signature, VerifyingKey, signature::Verifier as _},
    elliptic_curve::sec1::ToSec1Point as _,
};
use rondo_domain::{
    push::device::{Device, Platform, Subscription},
    time::Timestamp,
};
use serde_json::Value;
use sha2::Sha256;

pub struct Browser {
    secret: SecretKey,
    auth: [u8; 16],
}

impl Browser {
    pub fn new(seed: u8) -> Self {
        Browser { secret: SecretKey::from_slice(&[seed; 32]).unwrap(), auth: [seed; 16] }
    }

    pub fn device(&self, name: &str, endpoint: &str) -> Device {
        let mut device = Device::new(name.parse().unwrap(), Platform::Web, Timestamp::EPOCH);
        device.subscription = Some(Subscription {
            endpoint: endpoint.to_owned(),
            p256dh: URL_SAFE_NO_PAD.encode(self.secret.public_key().to_sec1_point(false)),
            auth: URL_SAFE_NO_PAD.encode(self.auth),
        });
        device
    }

    /// What the push says.
    pub fn open(&self, body: &[u8]) -> Value {
        assert_eq!(body[16..21], [0, 0, 16, 0, 65], "the record's size is 4096, the key's length 65");
        let point = &body[21..86];
        let shared = self.secret.diffie_hellman(&PublicKey::from_sec1_bytes(point).unwrap());
        let own = self.secret.public_key().to_sec1_point(false);
        let info = [b"WebPush: info\0", own.as_bytes(), point, &[1]].concat();
        // HKDF with SHA-256, spelled out for one block.
        let material = mac(&mac(&self.auth, shared.raw_secret_bytes()), &info);
        serde_json::from_slice(&ece_native::decrypt(material, body.to_vec()).unwrap()).unwrap()
    }
}

fn mac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as hmac::Mac>::new_from_slice(key).unwrap();
    mac.update(data);
    mac.finalize().into_bytes().into()
}

/// What a push service reads of who sends.
pub struct Token {
    pub claims: Value,
    pub key: String,
    pub text: String,
}

/// The token of a request, whose signature is right.
#[track_caller]
pub fn token(request: &Received) -> Token {
    let text = request.header("authorization").unwrap();
    let (signed, key) = text.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
    let (signed, signature) = signed.rsplit_once('.').unwrap();
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let signature = Signature::from_slice(&bytes(signature)).unwrap();
    VerifyingKey::from_sec1_bytes(&bytes(key)).unwrap().verify(signed.as_bytes(), &signature).unwrap();
    let claims = serde_json::from_slice(&bytes(signed.split_once('.').unwrap().1)).unwrap();
    Token { claims, key: key.to_owned(), text: text.to_owned() }
}

/// The path's request, of all that came.
#[track_caller]
pub fn request_to(target: &Target, path: &str) -> Received {
    let line = format!("POST {path} HTTP/1.1");
    target.requests().into_iter().find(|request| request.line == line).unwrap()
}
