//! Pushing at once, and whom a push would reach.

use super::{Draft, Engine, Error, push::Pushing, recipients::Recipients};
use crate::{
    app::App,
    ids::{ExecutionId, NO_SLOT, ScheduleId},
    policy::{Delivery, Policy},
    push::{
        PushFields, PushTarget,
        audience::Audience,
        outcome::PushError,
        sender::{self, Fate, PushJob, Way},
    },
    schedule::Target,
    time::{Span, Timestamp},
    trigger::{FanOut, Occasion, Times, Trigger},
};
use std::{collections::BTreeMap, sync::Arc};

/// What became of a push that was to leave at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// Taken by the gateway, or on record and on its way to the devices.
    Accepted {
        msg_id: String,
    },
    Refused(PushError),
    /// Not now; trying again may help.
    Later(PushError),
}

/// The message id of one slot of an occurrence, where Rondo gives it: decimal, and exact in programs whose numbers are
/// doubles.
pub fn message_id(schedule: ScheduleId, number: u32, slot: u8) -> String {
    let mixed =
        (schedule.hash() ^ (u64::from(number) << 8) ^ u64::from(slot)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (((mixed ^ (mixed >> 29)) >> 11).max(1)).to_string()
}

impl Engine {
    /// Through the gateway: sent before this answers. Straight to the devices: on record before this answers, and sent
    /// like any other schedule.
    pub async fn push_now(
        &self,
        app: &Arc<App>,
        push: PushTarget,
        received_at: Timestamp,
    ) -> Result<Pushed, Error> {
        let id = ScheduleId::new(received_at, self.entropy.bits());
        if Way::of(app) == Way::Gateway {
            return Ok(self.push_through(app, &push, id.execution(1, NO_SLOT)).await);
        }
        let trigger = Trigger::FanOut(FanOut {
            times: Times::Single(received_at.utc().naive_utc()),
            zone: chrono_tz::UTC,
            per_recipient: false,
            from: received_at,
        });
        if !self.has_recipients(app, &push, &trigger).await? {
            return Ok(Pushed::Refused(PushError::no_target()));
        }
        let draft = Draft {
            received_at,
            name: None,
            trigger,
            occurrences: None,
            target: Target::Push(push),
            delivery: Delivery::default(),
            policy: Policy::default(),
            tags: BTreeMap::new(),
            request: None,
            push: Some(PushFields { trigger: None, extra: serde_json::Map::new() }),
        };
        let schedule = self.create(app, draft).await?;
        Ok(Pushed::Accepted { msg_id: message_id(schedule.definition.id, 1, NO_SLOT) })
    }

    async fn push_through(&self, app: &Arc<App>, push: &PushTarget, execution: ExecutionId) -> Pushed {
        let job = PushJob {
            app,
            push,
            execution,
            msg_id: "",
            to: sender::Recipients::AsAddressed,
            timeout: Delivery::DEFAULT_TIMEOUT,
        };
        let report = self.pusher.send(job).await;
        match report.fates.into_iter().next() {
            Some(Fate::Accepted) => Pushed::Accepted { msg_id: report.msg_id.unwrap_or_default() },
            Some(Fate::Refused(error)) => Pushed::Refused(error),
            Some(Fate::Later { error, .. }) => Pushed::Later(error),
            Some(Fate::Gone) | None => Pushed::Refused(PushError::no_target()),
        }
    }

    /// Whether a push would have anybody to go to, if it went now.
    async fn has_recipients(
        &self,
        app: &Arc<App>,
        push: &PushTarget,
        trigger: &Trigger,
    ) -> Result<bool, Error> {
        let Trigger::FanOut(fan_out) = trigger else { return Ok(true) };
        let occasion = Occasion::At(fan_out.from);
        let pushing = Pushing::new(app, push, occasion, fan_out.zone);
        let recipients = Recipients::of(self, &pushing);
        Ok(recipients.anyone_after(Timestamp::from_millis(0)).await?)
    }

    /// Whether a wall time that is read where each recipient is has passed for everybody there is. False where there is
    /// nobody yet.
    pub async fn has_passed_for_all(
        &self,
        app: &Arc<App>,
        push: &PushTarget,
        trigger: &Trigger,
    ) -> Result<bool, Error> {
        let Trigger::FanOut(fan_out) = trigger else { return Ok(false) };
        let (Times::Single(wall), true) = (&fan_out.times, fan_out.per_recipient) else { return Ok(false) };
        let pushing = Pushing::new(app, push, Occasion::Wall(*wall), fan_out.zone);
        let recipients = Recipients::of(self, &pushing);
        let before = fan_out.from.minus(Span::from_millis(1));
        Ok(!recipients.anyone_after(before).await? && recipients.anyone_after(Timestamp::EPOCH).await?)
    }
}

impl<'a> Pushing<'a> {
    pub(super) fn new(
        app: &'a Arc<App>,
        push: &'a PushTarget,
        occasion: Occasion,
        app_zone: chrono_tz::Tz,
    ) -> Self {
        let way = Way::of(app);
        let mut audience = Audience::of(&push.push);
        audience.reachable_only = way == Way::Direct;
        Pushing { push, app, occasion, app_zone, audience, way }
    }
}
