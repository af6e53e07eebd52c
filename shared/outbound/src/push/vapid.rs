//! Who sends a push, as a push service is told (RFC 8292): a token signed with the app's key, for one origin. A token
//! is made once and used for as long as it lives: a signature for each push would cost more than the push.

use crate::sealing::{SealingError, SealingKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::ecdsa::{Signature, SigningKey, signature::Signer as _};
use rondo_domain::{
    app::App,
    ids::AppKey,
    push::VapidKey,
    time::{Span, Timestamp},
};
use serde_json::{Map, Value};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use url::{Host, Url};

/// How long a token lives. RFC 8292, section 2, allows 24 h; half of that leaves room for clocks that differ.
const LIFE: Span = Span::from_secs(12 * 3600);
/// A token that lives for less than this is made anew.
const LEAST_LEFT: Span = Span::from_secs(3600);
/// How many tokens are kept. Beyond it all are dropped and made again as they are needed.
const MAX_TOKENS: usize = 4096;

/// The `Authorization` header for `origin` (scheme, host, and port where it is not the scheme's own): `expires` in
/// seconds since 1970, `contact` a `mailto:` or `https:` URL. The same arguments give the same header (RFC 6979).
pub fn authorization(key: &SigningKey, origin: &str, expires: i64, contact: Option<&str>) -> String {
    let mut claims = Map::new();
    claims.insert("aud".to_owned(), origin.into());
    claims.insert("exp".to_owned(), expires.into());
    if let Some(contact) = contact {
        claims.insert("sub".to_owned(), contact.into());
    }
    let head = URL_SAFE_NO_PAD.encode(br#"{"typ":"JWT","alg":"ES256"}"#);
    let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(Value::Object(claims).to_string()));
    let signature: Signature = key.sign(signed.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(signature.to_bytes());
    format!("vapid t={signed}.{signature}, k={}", public_key(key))
}

/// The uncompressed point in base64url: a browser's `applicationServerKey`.
pub(crate) fn public_key(key: &SigningKey) -> String {
    URL_SAFE_NO_PAD.encode(key.verifying_key().to_sec1_point(false))
}

/// Whether push services will take this as the one to turn to: a `mailto:` address or an `https:` URL, on a host that
/// others can reach. (Apple's answers 403 to `localhost`.) The error is a sentence that lacks only its subject.
pub fn check_contact(text: &str) -> Result<(), String> {
    let wrong = || "must be a mailto: address or an https: URL, on a host that others know".to_owned();
    let url = Url::parse(text).map_err(|_| wrong())?;
    let host = match url.scheme() {
        "mailto" => {
            let (name, host) = url.path().rsplit_once('@').ok_or_else(wrong)?;
            if name.is_empty() { None } else { Host::parse(host).ok() }
        }
        "https" => url.host().map(|host| host.to_owned()),
        _ => None,
    };
    match host {
        Some(Host::Domain(name)) if name.trim_end_matches('.').contains('.') && !is_local(&name) => Ok(()),
        _ => Err(wrong()),
    }
}

fn is_local(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.ends_with(".localhost") || name.ends_with(".local")
}

/// The tokens of the apps that push.
pub struct Tokens {
    sealing: SealingKey,
    /// For apps that name none of their own.
    contact: Option<String>,
    made: Mutex<HashMap<(AppKey, String), Token>>,
}

struct Token {
    /// What it was made of: another key or contact is found by its being another.
    sealed: String,
    contact: Option<String>,
    expires: Timestamp,
    header: Arc<str>,
}

/// Why an app cannot say who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    #[error("the app has no key for Web Push yet; an operator makes one by setting how its pushes leave")]
    NoKey,
    #[error("the app's key for Web Push {0}")]
    Sealed(#[from] SealingError),
}

impl Tokens {
    pub fn new(sealing: SealingKey, contact: Option<String>) -> Self {
        Tokens { sealing, contact, made: Mutex::default() }
    }

    /// The header for pushes to `origin`.
    pub fn of(&self, app: &App, origin: &str, now: Timestamp) -> Result<Arc<str>, NoToken> {
        let vapid = app.push.vapid.as_ref().ok_or(NoToken::NoKey)?;
        let contact = app.push.contact.as_ref().or(self.contact.as_ref());
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (app.key.clone(), origin.to_owned());
        if let Some(known) = made.get(&place)
            && known.sealed == vapid.sealed
            && known.contact.as_ref() == contact
            // A clock that was set back must not use what would be longer than it may.
            && (LEAST_LEFT..=LIFE).contains(&known.expires.since(now))
        {
            return Ok(known.header.clone());
        }
        let key = self.open(&app.key, vapid)?;
        let expires = now.plus(LIFE);
        let header: Arc<str> =
            authorization(&key, origin, expires.seconds(), contact.map(String::as_str)).into();
        if made.len() >= MAX_TOKENS && !made.contains_key(&place) {
            made.clear();
        }
        let (sealed, contact) = (vapid.sealed.clone(), contact.cloned());
        made.insert(place, Token { sealed, contact, expires, header: header.clone() });
        Ok(header)
    }

    fn open(&self, app: &AppKey, vapid: &VapidKey) -> Result<SigningKey, NoToken> {
        Ok(SigningKey::from(self.sealing.open_push_key(app, vapid)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::key::secret_key;
    use p256::ecdsa::{VerifyingKey, signature::Verifier as _};
    use rondo_domain::{app::AppLimits, engine::Vault as _, push::PushSettings};

    fn sealing() -> SealingKey {
        SealingKey::from_bytes([2; 32])
    }

    fn app(name: &str, seed: u8) -> App {
        let key: AppKey = name.parse().unwrap();
        let vapid = Some(sealing().new_push_key(&key, [seed; 64]));
        App {
            key,
            name: name.to_owned(),
            time_zone: chrono_tz::Tz::UTC,
            created_at: Timestamp::EPOCH,
            secrets: vec![],
            signing_secrets: vec![],
            limits: AppLimits::default(),
            push: PushSettings { vapid, ..PushSettings::default() },
        }
    }

    /// Claims and key of a header whose signature is right.
    fn read(header: &str) -> (Value, String) {
        let (token, key) = header.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let verifying = VerifyingKey::from_sec1_bytes(&decode(key)).unwrap();
        let signature = Signature::from_slice(&decode(signature)).unwrap();
        verifying.verify(signed.as_bytes(), &signature).unwrap();
        let (head, claims) = signed.split_once('.').unwrap();
        assert_eq!(decode(head), br#"{"typ":"JWT","alg":"ES256"}"#);
        (serde_json::from_slice(&decode(claims)).unwrap(), key.to_owned())
    }

    #[test]
    fn the_rfcs_example_is_right_by_the_same_reading() {
        // RFC 8292, section 2.4.
        let header = "vapid t=eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleH\
            AiOjE0NTM1MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpi\
            UfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA, k=BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRu\
            U_RCPCfA5aq9ojSwk5Y2EmClBPs";
        let (claims, _) = read(header);
        assert_eq!(claims["aud"], "https://push.example.net");
        let made = read(&authorization(
            &secret_key([1; 32]).into(),
            "https://push.example.net",
            1_453_523_768,
            Some("mailto:push@example.com"),
        ));
        assert_eq!(made.0, claims);
        assert!(
            read(&authorization(&secret_key([1; 32]).into(), "https://a", 1, None)).0.get("sub").is_none()
        );
    }

    #[test]
    fn a_token_is_kept_while_it_lives_and_made_anew_before_it_ends() {
        let tokens = Tokens::new(sealing(), Some("mailto:ops@rondo.example".to_owned()));
        let (app, start) = (app("one", 1), Timestamp::from_millis(1_700_000_000_000));
        let at = |hours: u64| start.plus(Span::from_secs(hours * 3600));
        let first = tokens.of(&app, "https://a.example", start).unwrap();
        let (claims, key) = read(&first);
        assert_eq!(claims["exp"], at(12).seconds());
        assert_eq!(claims["sub"], "mailto:ops@rondo.example");
        assert_eq!(Some(&key), app.push.vapid.as_ref().map(|key| &key.public));
        assert!(Arc::ptr_eq(&first, &tokens.of(&app, "https://a.example", at(11)).unwrap()));
        let late = at(11).plus(Span::from_millis(1));
        let second = tokens.of(&app, "https://a.example", late).unwrap();
        assert_eq!(read(&second).0["exp"], late.plus(LIFE).seconds());
        // Back to when it would live for more than 12 h.
        assert_eq!(read(&tokens.of(&app, "https://a.example", start).unwrap()).0["exp"], at(12).seconds());
        assert_eq!(
            read(&tokens.of(&app, "https://a.example:8443", start).unwrap()).0["aud"],
            "https://a.example:8443"
        );
    }

    #[test]
    fn another_key_or_contact_is_another_token() {
        let tokens = Tokens::new(sealing(), None);
        let (origin, now) = ("https://a.example", Timestamp::from_millis(5));
        let of = |app: &App| read(&tokens.of(app, origin, now).unwrap());
        let one = app("one", 1);
        assert!(of(&one).0.get("sub").is_none());
        let renewed = app("one", 2);
        assert_ne!(of(&one).1, of(&renewed).1);
        let mut named = one.clone();
        named.push.contact = Some("https://one.example/".to_owned());
        assert_eq!(of(&named).0["sub"], "https://one.example/");
        assert_ne!(of(&app("two", 3)).1, of(&one).1);
        // Another app's key does not open, nor does none.
        let thief = App { push: one.push.clone(), ..app("thief", 1) };
        let refused = tokens.of(&thief, origin, now).unwrap_err();
        assert_eq!(refused, NoToken::Sealed(SealingError::DoesNotOpen));
        let none = App { push: PushSettings::default(), ..one };
        assert_eq!(tokens.of(&none, origin, now).unwrap_err(), NoToken::NoKey);
    }

    #[test]
    fn the_map_does_not_grow_for_ever() {
        let tokens = Tokens::new(sealing(), None);
        let app = app("one", 1);
        let filler = |at: usize| {
            let token =
                Token { sealed: String::new(), contact: None, expires: Timestamp::EPOCH, header: "".into() };
            ((app.key.clone(), format!("https://{at}.example")), token)
        };
        tokens.made.lock().unwrap().extend((0..MAX_TOKENS).map(filler));
        tokens.of(&app, "https://new.example", Timestamp::EPOCH).unwrap();
        assert_eq!(tokens.made.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_contact_can_be_reached_by_others() {
        for right in [
            "mailto:push@example.com",
            "https://example.com",
            "https://example.com/contact",
            "mailto:a+b@c.example.org",
        ] {
            assert_eq!(check_contact(right), Ok(()), "{right}");
        }
        for wrong in [
            "",
            "push@example.com",
            "mailto:",
            "mailto:example.com",
            "mailto:@example.com",
            "mailto:me@localhost",
            "mailto:me@a.localhost",
            "http://example.com",
            "https://localhost/",
            "https://127.0.0.1/",
            "https://printer.local/",
            "ftp://example.com",
            "mailto:me@",
        ] {
            assert!(check_contact(wrong).is_err(), "{wrong}");
        }
    }
}
