//! Who asks: an app, by HTTP Basic or by a Bearer token. Everything that is wrong with credentials answers
//! alike, and an unknown key takes as long as a wrong secret.

use crate::{Api, base, problem::Problem};
use axum::extract::FromRequestParts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header, request::Parts};
use rondo_domain::{
    app::{App, AppLimits},
    ids::AppKey,
    push::PushSettings,
    time::Timestamp,
};
use std::sync::{Arc, LazyLock};

/// An authenticated caller, and the API as it addresses it.
pub struct Caller {
    pub api: Arc<Api>,
    pub app: Arc<App>,
    /// The base of links in answers.
    pub base: String,
}

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let app = authenticate(api, &parts.headers).await?;
        let base = base::of(api, parts);
        Ok(Caller { api: Arc::clone(api), app, base })
    }
}

pub async fn authenticate(api: &Api, headers: &HeaderMap) -> Result<Arc<App>, Problem> {
    let (key, secret) = credentials(headers).ok_or_else(Problem::unauthorized)?;
    match api.engine.apps.app(&key).await? {
        Some(app) if app.admits(&secret) => Ok(app),
        Some(_) => Err(Problem::unauthorized()),
        None => {
            let _ = NOBODY.admits(&secret);
            Err(Problem::unauthorized())
        }
    }
}

static NOBODY: LazyLock<App> = LazyLock::new(|| App {
    key: AppKey::from_random(0),
    name: String::new(),
    time_zone: chrono_tz::UTC,
    created_at: Timestamp::EPOCH,
    secrets: Vec::new(),
    signing_secrets: Vec::new(),
    limits: AppLimits::default(),
    push: PushSettings::default(),
});

fn credentials(headers: &HeaderMap) -> Option<(AppKey, String)> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (only, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, rest) = only.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim();
    let (key, secret) = if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        let (key, secret) = decoded.split_once(':')?;
        (key.parse().ok()?, secret.to_owned())
    } else if scheme.eq_ignore_ascii_case("bearer") {
        // A key holds no `_`, so the first one ends it.
        let (key, secret) = rest.strip_prefix("rondo_")?.split_once('_')?;
        (key.parse().ok()?, secret.to_owned())
    } else {
        return None;
    };
    Some((key, secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(value: &[u8]) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_bytes(value).ok()?);
        credentials(&headers).map(|(key, secret)| (key.to_string(), secret))
    }

    #[test]
    fn both_forms_are_read() {
        let expected = Some(("key".to_owned(), "a:b_c".to_owned()));
        assert_eq!(read(format!("Basic {}", STANDARD.encode("key:a:b_c")).as_bytes()), expected);
        assert_eq!(read(format!("bASIC   {}", STANDARD.encode("key:a:b_c")).as_bytes()), expected);
        assert_eq!(read(b"Bearer rondo_key_a:b_c"), expected);
    }

    #[test]
    fn whatever_is_broken_is_no_credentials() {
        let encoded = |bytes: &[u8]| format!("Basic {}", STANDARD.encode(bytes)).into_bytes();
        let broken: [Vec<u8>; 9] = [
            b"Basic".to_vec(),
            b"Basic %%%".to_vec(),
            encoded(b"no colon"),
            encoded(b"\xff\xfe:secret"),
            encoded(b"a key:secret"),
            b"Bearer rondo_key".to_vec(),
            b"Bearer key_secret".to_vec(),
            b"Digest username=key".to_vec(),
            b"Basic \xff".to_vec(),
        ];
        for value in broken {
            assert_eq!(read(&value), None, "{:?}", String::from_utf8_lossy(&value));
        }
    }
}
