//! Encrypting and signing what browsers get, one push after the other on one thread: as the sender does it, against a
//! bare loop over the same crypto crates whose keys lie ready and whose token is made.

use crate::{moment, report::rounded};
use anyhow::{Context as _, ensure};
use chrono_tz::Tz;
use clap::Args;
use hkdf::Hkdf;
use p256::{PublicKey, SecretKey, ecdsa::SigningKey, elliptic_curve::sec1::ToSec1Point as _};
use rondo_domain::{
    app::{App, AppLimits},
    engine::Vault as _,
    ports::Entropy,
    push::PushSettings,
    time::{Span, Timestamp},
};
use rondo_local::SystemEntropy;
use rondo_outbound::{
    SealingKey,
    push::{
        encryption::{ReceiverKeys, encrypt},
        vapid::{Tokens, authorization},
    },
};
use serde_json::{Value, json};
use sha2::Sha256;
use std::{collections::BTreeSet, hint::black_box, sync::Arc};
use url::Url;

/// What a record may have: as the sender says.
const RECORD: u32 = 4096;
/// Browsers, each with keys of its own, and the origins of their push services.
const BROWSERS: usize = 64;
const ORIGINS: usize = 4;

#[derive(Args)]
pub struct Crypto {
    /// Pushes in each round.
    #[arg(long, default_value_t = 4_000)]
    pushes: usize,
    /// The two take turns so often; the figures are of the middle one by ratio.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Of a push in the clear.
    #[arg(long, default_value_t = 300)]
    bytes: usize,
}

/// A browser's side of a subscription, and what is known of it here.
struct Browser {
    secret: SecretKey,
    auth: [u8; 16],
    endpoint: String,
    p256dh: String,
    auth_text: String,
}

impl Browser {
    fn new(number: usize, entropy: &dyn Entropy) -> anyhow::Result<Browser> {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        let secret = secret_key(entropy);
        let auth = entropy.bits().to_be_bytes();
        let origin = number % ORIGINS;
        Ok(Browser {
            endpoint: format!("https://push-{origin}.example.net/send/{number:032x}"),
            p256dh: URL_SAFE_NO_PAD.encode(secret.public_key().to_sec1_point(false)),
            auth_text: URL_SAFE_NO_PAD.encode(auth),
            secret,
            auth,
        })
    }

    /// What arrived, or why it cannot be read.
    fn opens(&self, body: &[u8]) -> anyhow::Result<Vec<u8>> {
        let sender = PublicKey::from_sec1_bytes(body.get(21..86).context("a body has a key")?)?;
        let material = material(&self.secret, &sender, &self.secret.public_key(), &sender, &self.auth);
        ece_native::decrypt(material, body.to_vec()).map_err(|error| anyhow::anyhow!("{error:?}"))
    }
}

/// RFC 8291, section 3.4.
fn material(
    own: &SecretKey,
    other: &PublicKey,
    browser: &PublicKey,
    sender: &PublicKey,
    auth: &[u8],
) -> [u8; 32] {
    let (browser, sender) = (browser.to_sec1_point(false), sender.to_sec1_point(false));
    let info = [b"WebPush: info\0", browser.as_bytes(), sender.as_bytes()];
    let shared = own.diffie_hellman(other);
    let mut material = [0; 32];
    Hkdf::<Sha256>::new(Some(auth), shared.raw_secret_bytes())
        .expand_multi_info(&info, &mut material)
        .unwrap_or_else(|_| unreachable!("32 bytes are within what HKDF gives"));
    material
}

fn secret_key(entropy: &dyn Entropy) -> SecretKey {
    loop {
        let mut random = [0; 32];
        random[..16].copy_from_slice(&entropy.bits().to_be_bytes());
        random[16..].copy_from_slice(&entropy.bits().to_be_bytes());
        if let Ok(key) = SecretKey::from_slice(&random) {
            return key;
        }
    }
}

/// What a push takes before it is a request: who it is for, who it is from, and the body.
struct Ours {
    app: App,
    tokens: Tokens,
    entropy: Arc<SystemEntropy>,
}

impl Ours {
    fn push(&self, browser: &Browser, text: &[u8], now: Timestamp) -> anyhow::Result<(Arc<str>, Vec<u8>)> {
        let endpoint = Url::parse(&browser.endpoint)?;
        let keys = ReceiverKeys::decode(&browser.p256dh, &browser.auth_text)?;
        let token = self.tokens.of(&self.app, &endpoint.origin().ascii_serialization(), now)?;
        let salt = self.entropy.bits().to_be_bytes();
        Ok((token, encrypt(text, &keys, salt, &secret_key(&*self.entropy))?))
    }
}

/// The same from keys that lie ready.
fn bare(browser: &PublicKey, auth: &[u8; 16], text: &[u8], entropy: &dyn Entropy) -> anyhow::Result<Vec<u8>> {
    let salt = entropy.bits().to_be_bytes();
    let own = secret_key(entropy);
    let public = own.public_key();
    let material = material(&own, browser, browser, &public, auth);
    let record = std::iter::once(text.to_vec());
    ece_native::encrypt(material, salt, public.to_sec1_point(false), record, RECORD)
        .map_err(|error| anyhow::anyhow!("{error:?}"))
}

pub fn measure(options: &Crypto) -> anyhow::Result<Value> {
    let entropy = Arc::new(SystemEntropy::new());
    let sealing = SealingKey::from_bytes([7; 32]);
    let ours = Ours { app: app(&sealing)?, tokens: Tokens::new(sealing, None), entropy: entropy.clone() };
    let browsers: Vec<Browser> =
        (0..BROWSERS).map(|number| Browser::new(number, &*entropy)).collect::<Result<_, _>>()?;
    let ready: Vec<(PublicKey, [u8; 16])> =
        browsers.iter().map(|browser| (browser.secret.public_key(), browser.auth)).collect();
    let text = vec![b'x'; options.bytes];
    // Two hours from round to round: some tokens come to their end, and are made anew.
    let start = Timestamp::from_millis(moment::millis());
    let now = |round: usize| start.plus(Span::from_secs(7200 * round as u64));
    for (browser, (public, auth)) in browsers.iter().zip(&ready) {
        let (_, body) = ours.push(browser, &text, now(0))?;
        ensure!(browser.opens(&body)? == text, "what the sender encrypts can be read");
        let body = bare(public, auth, &text, &*entropy)?;
        ensure!(browser.opens(&body)? == text, "what the bare loop encrypts can be read");
    }
    let header = authorization(&SigningKey::from(secret_key(&*entropy)), "https://push.example.net", 0, None);
    let mut tokens = BTreeSet::new();
    let mut rounds = Vec::new();
    for round in 0..options.rounds.max(1) {
        let now = now(round);
        let begun = moment::micros();
        for browser in browsers.iter().cycle().take(options.pushes) {
            let (token, body) = ours.push(browser, &text, now)?;
            black_box(&body);
            if !tokens.contains(&*token) {
                tokens.insert(token.to_string());
            }
        }
        let with = moment::micros() - begun;
        let begun = moment::micros();
        for (public, auth) in ready.iter().cycle().take(options.pushes) {
            black_box((bare(public, auth, &text, &*entropy)?, header.as_str()));
        }
        let without = moment::micros() - begun;
        let rate = |micros: i64| options.pushes as f64 / micros as f64 * 1e6;
        rounds.push((rate(with), rate(without)));
    }
    rounds.sort_by(|(a, x), (b, y)| (a / x).total_cmp(&(b / y)));
    let ratios: Vec<f64> = rounds.iter().map(|(with, without)| rounded(with / without)).collect();
    let (with, without) = rounds[rounds.len() / 2];
    Ok(json!({
        "value": with.round(), "control": without.round(), "ratio": rounded(with / without), "ratios": ratios,
        "unit": "pushes/s on one thread",
        "control_is": "p256, hkdf and ece-native in a bare loop, keys and token ready",
        "pushes": options.pushes * options.rounds.max(1), "origins": ORIGINS, "tokens_made": tokens.len(),
        "settings": {"pushes": options.pushes, "rounds": options.rounds, "bytes": options.bytes},
    }))
}

fn app(sealing: &SealingKey) -> anyhow::Result<App> {
    let key = crate::api::CREDENTIALS.0.parse()?;
    let mut random = [0; 64];
    random.copy_from_slice(&[[3; 32], [4; 32]].concat());
    let vapid = Some(sealing.new_push_key(&key, random));
    Ok(App {
        key,
        name: "bench".to_owned(),
        time_zone: Tz::UTC,
        created_at: Timestamp::EPOCH,
        secrets: Vec::new(),
        signing_secrets: Vec::new(),
        limits: AppLimits::default(),
        push: PushSettings { vapid, ..PushSettings::default() },
    })
}
