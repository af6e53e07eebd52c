//! Encryption of a push for one browser: RFC 8291, which puts RFC 8188's `aes128gcm` on a key that the two sides agree
//! on. One record. Chance is an argument.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::URL_SAFE_NO_PAD},
};
use hkdf::Hkdf;
use p256::{
    PublicKey, SecretKey,
    elliptic_curve::{ecdh::SharedSecret, sec1::ToSec1Point as _},
};
use sha2::Sha256;

/// What every push service has to take (RFC 8030, section 7.2), in bytes; also the record's size.
const MAX_BODY: u32 = 4096;
/// Salt, record size, key length and key come before the record, and a delimiter and the tag are within it.
const OVERHEAD: usize = 16 + 4 + 1 + POINT + 1 + 16;
/// The most bytes that a push may have in the clear.
pub const MAX_PLAINTEXT: usize = MAX_BODY as usize - OVERHEAD;

/// An uncompressed point, in bytes.
const POINT: usize = 65;
/// The authentication secret, in bytes.
const AUTH: usize = 16;

/// base64url; browsers leave the padding away, some libraries put it there.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a browser's subscription brings for encryption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverKeys {
    public: PublicKey,
    auth: [u8; AUTH],
}

/// Why a subscription's keys are none; each a sentence that lacks only its subject, the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    #[error("is not base64url")]
    NotBase64 { field: &'static str },
    #[error("must be the base64url of {right} bytes, and has {length}")]
    Length { field: &'static str, right: usize, length: usize },
    #[error("is not an uncompressed point of the curve P-256")]
    NotAPoint,
}

impl NotAKey {
    /// As the Push API names it: `keys.p256dh` or `keys.auth`.
    pub fn field(&self) -> &'static str {
        match self {
            Self::NotBase64 { field } | Self::Length { field, .. } => field,
            Self::NotAPoint => P256DH_FIELD,
        }
    }
}

const P256DH_FIELD: &str = "keys.p256dh";
const AUTH_FIELD: &str = "keys.auth";

/// More than [`MAX_PLAINTEXT`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a push has at most {MAX_PLAINTEXT} bytes before it is encrypted; this one has {0}")]
pub struct TooLong(pub usize);

impl ReceiverKeys {
    /// `p256dh`: an uncompressed point; `auth`: 16 bytes; both in base64url, padded or not.
    pub fn decode(p256dh: &str, auth: &str) -> Result<Self, NotAKey> {
        let point: [u8; POINT] = decode(P256DH_FIELD, p256dh)?;
        let auth = decode(AUTH_FIELD, auth)?;
        // 4 is the mark of an uncompressed point (SEC 1, section 2.3.3).
        let public = Some(point).filter(|point| point[0] == 4);
        let public =
            public.and_then(|point| PublicKey::from_sec1_bytes(&point).ok()).ok_or(NotAKey::NotAPoint)?;
        Ok(ReceiverKeys { public, auth })
    }

    /// `p256dh` and `auth`, unpadded.
    pub fn encode(&self) -> (String, String) {
        (URL_SAFE_NO_PAD.encode(self.public.to_sec1_point(false)), URL_SAFE_NO_PAD.encode(self.auth))
    }
}

fn decode<const LENGTH: usize>(field: &'static str, text: &str) -> Result<[u8; LENGTH], NotAKey> {
    let bytes = BASE64URL.decode(text).map_err(|_| NotAKey::NotBase64 { field })?;
    let length = bytes.len();
    bytes.try_into().map_err(|_| NotAKey::Length { field, right: LENGTH, length })
}

/// The body of the request: salt, record size, `ephemeral`'s public half, and the one record. `salt` and `ephemeral`
/// are new for every push and every receiver.
pub fn encrypt(
    plaintext: &[u8],
    keys: &ReceiverKeys,
    salt: [u8; 16],
    ephemeral: &SecretKey,
) -> Result<Vec<u8>, TooLong> {
    if plaintext.len() > MAX_PLAINTEXT {
        return Err(TooLong(plaintext.len()));
    }
    let own = ephemeral.public_key();
    let secret = agreed(&ephemeral.diffie_hellman(&keys.public), &keys.auth, &keys.public, &own);
    let mut record = Vec::with_capacity(plaintext.len() + 17);
    record.extend_from_slice(plaintext);
    ece_native::encrypt(secret, salt, own.to_sec1_point(false), std::iter::once(record), MAX_BODY)
        .map_err(|_| TooLong(plaintext.len()))
}

/// The input keying material of RFC 8291, section 3.4.
fn agreed(
    shared: &SharedSecret<p256::NistP256>,
    auth: &[u8],
    receiver: &PublicKey,
    sender: &PublicKey,
) -> [u8; 32] {
    let points = [receiver, sender].map(|key| key.to_sec1_point(false));
    let info = [b"WebPush: info\0", points[0].as_bytes(), points[1].as_bytes()];
    let mut material = [0; 32];
    Hkdf::<Sha256>::new(Some(auth), shared.raw_secret_bytes())
        .expand_multi_info(&info, &mut material)
        .expect("32 bytes are within what HKDF gives");
    material
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::key::secret_key;

    /// RFC 8291, appendix A.
    const PLAINTEXT: &[u8] = b"When I grow up, I want to be a watermelon";
    const SENDER: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
    const SENDER_PUBLIC: &str =
        "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8";
    const RECEIVER: &str = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94";
    const RECEIVER_PUBLIC: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH_SECRET: &str = "BTBZMqHH6r4Tts7J_aSIgg";
    const SALT: &str = "DGv6ra1nlYgDCS1FRnbzlw";
    const BODY: &str = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS\
        6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";

    fn bytes<const LENGTH: usize>(text: &str) -> [u8; LENGTH] {
        URL_SAFE_NO_PAD.decode(text).unwrap().try_into().unwrap()
    }

    /// What the browser does with it.
    fn decrypt(body: &[u8], receiver: &SecretKey, auth: &[u8]) -> Result<Vec<u8>, ece_native::Error> {
        let sender = PublicKey::from_sec1_bytes(&body[21..21 + POINT]).unwrap();
        let secret = agreed(&receiver.diffie_hellman(&sender), auth, &receiver.public_key(), &sender);
        ece_native::decrypt(secret, body.to_vec())
    }

    #[test]
    fn the_rfcs_example_comes_out_byte_for_byte() {
        let keys = ReceiverKeys::decode(RECEIVER_PUBLIC, AUTH_SECRET).unwrap();
        let sender = secret_key(bytes(SENDER));
        assert_eq!(URL_SAFE_NO_PAD.encode(sender.public_key().to_sec1_point(false)), SENDER_PUBLIC);
        let body = encrypt(PLAINTEXT, &keys, bytes(SALT), &sender).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(&body), BODY);
        let receiver = secret_key(bytes(RECEIVER));
        assert_eq!(decrypt(&body, &receiver, &bytes::<16>(AUTH_SECRET)).unwrap(), PLAINTEXT);
    }

    #[test]
    fn what_is_encrypted_opens_for_its_receiver_only_and_never_exceeds_the_limit() {
        let receiver = secret_key([3; 32]);
        let keys = ReceiverKeys { public: receiver.public_key(), auth: [4; AUTH] };
        for length in [0, 1, 16, 2048, MAX_PLAINTEXT] {
            let plaintext: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let body = encrypt(&plaintext, &keys, [5; 16], &secret_key([6; 32])).unwrap();
            assert_eq!(body.len(), length + OVERHEAD);
            assert!(body.len() <= MAX_BODY as usize);
            assert_eq!(decrypt(&body, &receiver, &[4; AUTH]).unwrap(), plaintext);
            assert!(decrypt(&body, &secret_key([7; 32]), &[4; AUTH]).is_err());
            assert!(decrypt(&body, &receiver, &[5; AUTH]).is_err());
        }
        assert_eq!(MAX_PLAINTEXT, 3993);
        let longer = vec![0; MAX_PLAINTEXT + 1];
        assert_eq!(encrypt(&longer, &keys, [5; 16], &secret_key([6; 32])), Err(TooLong(3994)));
    }

    #[test]
    fn keys_come_back_as_they_were() {
        let keys = ReceiverKeys::decode(RECEIVER_PUBLIC, AUTH_SECRET).unwrap();
        assert_eq!(keys.encode(), (RECEIVER_PUBLIC.to_owned(), AUTH_SECRET.to_owned()));
    }
}
