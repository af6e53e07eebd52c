//! The port through which pushes leave: through the app's gateway, or straight to the devices' push services.

use super::{PushTarget, device::Device, outcome::PushError};
use crate::{
    app::App,
    ids::ExecutionId,
    time::{Span, Timestamp},
};
use async_trait::async_trait;
use std::sync::Arc;

/// Which way an app's pushes leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As one request to the app's gateway, which knows the devices.
    Gateway,
    /// One request for each device, encrypted for it (Web Push).
    Direct,
}

impl Way {
    pub fn of(app: &App) -> Way {
        if app.push.upstream.is_some() { Way::Gateway } else { Way::Direct }
    }
}

/// One push, for some.
#[derive(Clone, Debug)]
pub struct PushJob<'a> {
    pub app: &'a Arc<App>,
    pub push: &'a PushTarget,
    /// The same for every attempt.
    pub execution: ExecutionId,
    /// The message id where the way gives none of its own (direct).
    pub msg_id: &'a str,
    pub to: Recipients<'a>,
    /// For each exchange.
    pub timeout: Span,
}

#[derive(Clone, Copy, Debug)]
pub enum Recipients<'a> {
    /// Whoever `push.to` names: for the gateway.
    AsAddressed,
    These(&'a [Device]),
}

/// What became of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct PushReport {
    pub sent_at: Timestamp,
    pub done_at: Timestamp,
    /// The last HTTP status seen.
    pub status: Option<u16>,
    /// Given by the gateway; the job's own for direct pushes.
    pub msg_id: Option<String>,
    /// One for each device, in their order; one alone for [`Recipients::AsAddressed`].
    pub fates: Vec<Fate>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Accepted,
    /// The subscription is no more.
    Gone,
    /// For good.
    Refused(PushError),
    /// Not now; not before `at`, where the answer said so.
    Later {
        at: Option<Timestamp>,
        error: PushError,
    },
}

#[async_trait]
pub trait PushSender: Send + Sync {
    /// Never fails: what went wrong is in the report.
    async fn send(&self, job: PushJob<'_>) -> PushReport;
}

/// Of a world that pushes nothing: refuses all.
pub struct NoSender;

#[async_trait]
impl PushSender for NoSender {
    async fn send(&self, job: PushJob<'_>) -> PushReport {
        let count = match job.to {
            Recipients::AsAddressed => 1,
            Recipients::These(devices) => devices.len(),
        };
        let why = Fate::Refused(PushError::new(21009, "this part of the service sends no pushes"));
        let at = Timestamp::EPOCH;
        PushReport { sent_at: at, done_at: at, status: None, msg_id: None, fates: vec![why; count] }
    }
}
