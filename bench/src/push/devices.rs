//! The devices that are pushed to: which there are follows from their numbers alone, so that whoever fills the registry
//! and whoever judges what became of them agree.

use crate::api::CREDENTIALS;
use anyhow::ensure;
use chrono_tz::{TZ_VARIANTS, Tz};
use clap::Args;
use rondo_domain::{
    app::{App, AppLimits},
    ports::{AppStore as _, DeviceStore as _},
    push::{
        PushSettings,
        device::{Device, Group, Platform, RegistrationId, Subscription},
    },
    time::{Span, Timestamp},
};
use rondo_local::{LocalStore, Options, SystemClock};
use std::{path::PathBuf, sync::Arc};

/// When the devices were registered, 2026-12-01 09:00:00 UTC; the occasion comes some days later.
pub const REGISTERED: Timestamp = Timestamp::from_millis(1_796_115_600_000);
/// One in so many has no zone of its own.
const WITHOUT_ZONE: usize = 100;
/// Puts on their way at once: writes that wait together share one commit.
const WRITERS: usize = 512;

/// Of RFC 8291, appendix A: a key as browsers make them. Nothing is encrypted for it here.
const P256DH: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

#[derive(Args, Clone)]
pub struct Registry {
    #[arg(long)]
    pub data: PathBuf,
    #[arg(long)]
    pub devices: usize,
    #[arg(long)]
    histories: usize,
}

impl Registry {
    pub fn id(number: usize) -> anyhow::Result<RegistrationId> {
        Ok(format!("device-{number:09}").parse()?)
    }

    /// The number in an id; none: it is none of ours.
    pub fn number(id: &RegistrationId) -> Option<usize> {
        id.as_str().strip_prefix("device-")?.parse().ok()
    }

    fn zone(number: usize) -> Option<Tz> {
        // 597 and 100 have no factor in common: no zone loses all of its devices.
        Some(TZ_VARIANTS[number % TZ_VARIANTS.len()]).filter(|_| number % WITHOUT_ZONE != WITHOUT_ZONE - 1)
    }

    /// None: no history.
    fn best_hour(&self, number: usize) -> Option<u8> {
        let round = number / TZ_VARIANTS.len();
        ((round * 37) % 100 < self.histories).then_some((round % 24) as u8)
    }

    pub fn group(&self, number: usize) -> Group {
        Group { zone: Self::zone(number), best_hour: self.best_hour(number) }
    }

    fn device(&self, number: usize) -> anyhow::Result<Device> {
        let mut device = Device::new(Self::id(number)?, Platform::Web, REGISTERED);
        device.zone = Self::zone(number);
        device.subscription = Some(Subscription {
            endpoint: format!("https://push.example.net/send/{number:032x}"),
            p256dh: P256DH.to_owned(),
            auth: AUTH.to_owned(),
        });
        device.revision = 1;
        if let Some(hour) = self.best_hour(number) {
            // Once on each of three days, at that hour where the device is.
            let days = (REGISTERED.millis() / 86_400_000) as i32;
            device.visits = (1..=3).rev().map(|ago| (days - ago) * 24 + i32::from(hour)).collect();
            device.best_hour = device.best_time().map(|best| best.hour);
            ensure!(device.best_hour == Some(hour), "three visits at one hour make it the best");
        }
        Ok(device)
    }
}

/// Fills a data folder, and ends.
pub async fn fill(registry: Registry) -> anyhow::Result<()> {
    let store = LocalStore::open(Options::new(&registry.data, Arc::new(SystemClock)))?;
    let app = App {
        key: CREDENTIALS.0.parse()?,
        name: "bench".to_owned(),
        time_zone: Tz::UTC,
        created_at: REGISTERED.minus(Span::from_secs(86_400)),
        secrets: Vec::new(),
        signing_secrets: Vec::new(),
        limits: AppLimits::default(),
        push: PushSettings::default(),
    };
    ensure!(store.add_app(app.clone()).await?, "the folder is new");
    let writer = |writer: usize| {
        let (store, registry, key) = (store.clone(), registry.clone(), app.key.clone());
        tokio::spawn(async move {
            for number in (writer..registry.devices).step_by(WRITERS) {
                let put = store.put_device(&key, &registry.device(number)?, 0).await?;
                ensure!(put, "device {number} was there already");
            }
            anyhow::Ok(())
        })
    };
    for done in futures_util::future::join_all((0..WRITERS).map(writer)).await {
        done??;
    }
    store.close().await;
    Ok(())
}
