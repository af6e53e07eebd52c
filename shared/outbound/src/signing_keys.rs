//! The opened signing keys of the apps that are being called for, so that a call opens nothing.

use crate::{
    sealing::{SealingError, SealingKey},
    signature::SigningKey,
};
use rondo_domain::{app::App, ids::AppKey};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// How many apps' keys are kept opened. Beyond it all are dropped and opened again as they are needed.
const MAX_APPS: usize = 4096;

pub(crate) struct SigningKeys {
    sealing: SealingKey,
    opened: Mutex<HashMap<AppKey, Opened>>,
}

struct Opened {
    /// What was opened: a rotated secret is found by its sealed text being another.
    sealed: Vec<String>,
    keys: Arc<[SigningKey]>,
}

impl SigningKeys {
    pub(crate) fn new(sealing: SealingKey) -> Self {
        SigningKeys { sealing, opened: Mutex::default() }
    }

    /// The keys of the app's live secrets, in their order.
    pub(crate) fn of(&self, app: &App) -> Result<Arc<[SigningKey]>, SealingError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = opened.get(&app.key)
            && known.sealed.iter().eq(app.signing_secrets.iter().map(|secret| &secret.sealed))
        {
            return Ok(known.keys.clone());
        }
        let keys: Arc<[SigningKey]> = app
            .signing_secrets
            .iter()
            .map(|secret| Ok(self.sealing.open_signing_secret(&app.key, &secret.sealed)?.key()))
            .collect::<Result<_, SealingError>>()?;
        if opened.len() >= MAX_APPS && !opened.contains_key(&app.key) {
            opened.clear();
        }
        let sealed = app.signing_secrets.iter().map(|secret| secret.sealed.clone()).collect();
        opened.insert(app.key.clone(), Opened { sealed, keys: keys.clone() });
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{SigningSecret, sign};
    use rondo_domain::{
        app::{AppLimits, SealedSecret},
        push::PushSettings,
        time::Timestamp,
    };

    fn app(name: &str, seeds: &[u8]) -> App {
        let key: AppKey = name.parse().unwrap();
        let sealed = |seed: &u8| SealedSecret {
            sealed: sealing().seal_signing_secret(&key, &secret(*seed), [*seed; 24]),
            created_at: Timestamp::EPOCH,
        };
        App {
            signing_secrets: seeds.iter().map(sealed).collect(),
            key,
            name: name.to_owned(),
            time_zone: chrono_tz::Tz::UTC,
            created_at: Timestamp::EPOCH,
            secrets: vec![],
            limits: AppLimits::default(),
            push: PushSettings::default(),
        }
    }

    fn sealing() -> SealingKey {
        SealingKey::from_bytes([2; 32])
    }

    fn secret(seed: u8) -> SigningSecret {
        SigningSecret::from_bytes(&[seed; 32]).unwrap()
    }

    fn signs_as(keys: &SigningKeys, app: &App, seeds: &[u8]) -> bool {
        let expected: Vec<String> = seeds.iter().map(|seed| secret(*seed).sign("id", 1, b"")).collect();
        sign(&keys.of(app).unwrap(), "id", 1, b"") == expected.join(" ")
    }

    #[test]
    fn keys_are_opened_once_and_again_when_a_secret_is_rotated() {
        let keys = SigningKeys::new(sealing());
        assert!(signs_as(&keys, &app("one", &[1]), &[1]));
        assert!(Arc::ptr_eq(&keys.of(&app("one", &[1])).unwrap(), &keys.of(&app("one", &[1])).unwrap()));
        assert!(signs_as(&keys, &app("two", &[7]), &[7]));
        assert!(signs_as(&keys, &app("one", &[2, 1]), &[2, 1]));
        assert!(signs_as(&keys, &app("one", &[2]), &[2]));
        assert!(signs_as(&keys, &app("two", &[7]), &[7]));
    }

    #[test]
    fn another_apps_secret_does_not_open_even_where_it_is_known() {
        let keys = SigningKeys::new(sealing());
        let ours = app("ours", &[1]);
        assert!(keys.of(&ours).is_ok());
        let thief = App { signing_secrets: ours.signing_secrets, ..app("thief", &[]) };
        assert!(matches!(keys.of(&thief), Err(SealingError::DoesNotOpen)));
    }

    #[test]
    fn the_map_does_not_grow_for_ever() {
        let keys = SigningKeys::new(sealing());
        for n in 0..MAX_APPS + 10 {
            keys.of(&app(&format!("app-{n}"), &[])).unwrap();
        }
        assert_eq!(keys.opened.lock().unwrap().len(), 10);
    }
}
