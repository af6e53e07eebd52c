//! Pushing: an occurrence is spread over its recipients, page by page, and each page is told when it is due.

use super::{Engine, Error, recipients::Recipients};
use crate::{
    app::App,
    execution::{Attempt, Execution, ExecutionStatus},
    message::{Delayed, Message},
    policy::{Delivery, Policy, RetryPolicy},
    ports::StoreError,
    push::{
        PushTarget,
        audience::Audience,
        device::{Device, RegistrationId},
        fan_out::{Page, PageKind, PageSet, PushRecord, Spread, page_sets},
        outcome::PushError,
        sender::{self, Fate, PushJob, PushReport, Way},
    },
    schedule::{Definition, Target},
    settle::{Verdict, pause_after},
    time::{Span, Timestamp},
    trigger::{Occasion, Trigger},
};
use std::sync::Arc;

/// So many pages are opened in one write.
const OPENED_AT_ONCE: usize = 20;
/// How long one attempt goes on telling devices; who is left is told in the next.
const ATTEMPT: Span = Span::from_secs(35);
/// After the store did not answer.
const STORE_PAUSE: Span = Span::from_secs(5);

/// An occurrence, and what it takes to find its recipients.
pub(super) struct Pushing<'a> {
    pub push: &'a PushTarget,
    pub app: &'a Arc<App>,
    pub occasion: Occasion,
    pub app_zone: chrono_tz::Tz,
    pub audience: Audience,
    pub way: Way,
}

impl<'a> Pushing<'a> {
    /// None: the schedule does not push, or yields no such occasion.
    fn of(definition: &'a Definition, execution: &Execution, app: &'a Arc<App>) -> Option<Self> {
        let (Target::Push(target), Trigger::FanOut(fan_out)) = (&definition.target, &definition.trigger)
        else {
            return None;
        };
        let occasion = definition.trigger.rule(definition.policy.dst).ok()?.occasion(execution.nominal_at)?;
        Some(Pushing::new(app, target, occasion, fan_out.zone))
    }

    /// One request says it all: everybody at once, and the gateway knows who that is.
    fn is_whole(&self) -> bool {
        self.way == Way::Gateway && matches!(self.occasion, Occasion::At(_))
    }
}

impl Engine {
    /// The first record of an occurrence that is to be spread: it waits to be attempted at once.
    pub(super) fn begin_spreading(&self, definition: &Definition, execution: &mut Execution) {
        let from = match &definition.trigger {
            Trigger::FanOut(fan_out) => fan_out.from,
            _ => execution.due_at,
        };
        execution.push = Some(Box::new(PushRecord::Spread(Spread::new(from))));
        execution.status = ExecutionStatus::Waiting;
        execution.next_attempt_at = Some(execution.due_at);
    }

    /// One attempt of an execution that pushes; it says it all afterwards.
    pub(super) async fn attempt_push(
        &self,
        definition: &Definition,
        execution: &mut Execution,
        app: Option<Arc<App>>,
        lease_until: Timestamp,
    ) -> Verdict {
        let Delivery { timeout, retry, .. } = &definition.delivery;
        let pushing = app.as_ref().and_then(|app| Pushing::of(definition, execution, app));
        let (Some(pushing), Some(mut record)) = (pushing, execution.push.take()) else {
            execution.status = ExecutionStatus::Failed;
            execution.next_attempt_at = None;
            execution.reason = Some("the app is gone, or the schedule pushes no longer".to_owned());
            return Verdict::Failed;
        };
        let done = match &mut *record {
            PushRecord::Spread(spread) => self.spread(&pushing, execution, spread).await,
            PushRecord::Page(page) => {
                self.tell_page(&pushing, execution, page, Round::new(*timeout, lease_until), retry).await
            }
        };
        execution.push = Some(record);
        execution.claim = None;
        let verdict = done.unwrap_or_else(|error| {
            self.observer.trouble("a push could not go on", &error);
            match error {
                // Trying again cannot help.
                StoreError::Corrupt(why) | StoreError::TooLarge(why) => {
                    execution.reason = Some(why);
                    Verdict::Failed
                }
                _ => Verdict::RetryAt(self.now().plus(STORE_PAUSE)),
            }
        });
        execution.next_attempt_at = match verdict {
            Verdict::RetryAt(at) => Some(at),
            _ => None,
        };
        if execution.status != ExecutionStatus::Missed {
            execution.status = match verdict {
                Verdict::Succeeded => ExecutionStatus::Succeeded,
                Verdict::Failed | Verdict::Gone => ExecutionStatus::Failed,
                Verdict::RetryAt(_) => ExecutionStatus::Waiting,
            };
        }
        verdict
    }

    /// Opens the pages of whoever is due soon, and says when to go on.
    async fn spread(
        &self,
        pushing: &Pushing<'_>,
        execution: &mut Execution,
        spread: &mut Spread,
    ) -> Result<Verdict, StoreError> {
        let Pushing { occasion, app_zone, .. } = *pushing;
        loop {
            if !spread.opening.is_empty() {
                self.open_sets(execution, &spread.opening).await?;
                spread.opening.clear();
            }
            let now = self.now();
            match spread.comes_back_at(occasion, app_zone) {
                Some(at) if at <= now => {}
                Some(at) => return Ok(Verdict::RetryAt(at)),
                None if spread.pages == 0 => {
                    execution.reason = Some(PushError::no_target().message);
                    return Ok(Verdict::Failed);
                }
                None => return Ok(Verdict::Succeeded),
            }
            let sets = self.decide(pushing, execution, spread, now).await?;
            spread.decide(sets, now);
            if !spread.opening.is_empty() {
                // On record first: whoever goes on after a crash opens these and no others.
                let mut record = execution.clone();
                record.status = ExecutionStatus::Waiting;
                record.push = Some(Box::new(PushRecord::Spread(spread.clone())));
                self.executions.put_record(&record).await?;
            }
        }
    }

    /// The pages of whoever comes due next, or else of those who were passed over.
    async fn decide(
        &self,
        pushing: &Pushing<'_>,
        execution: &Execution,
        spread: &mut Spread,
        now: Timestamp,
    ) -> Result<Vec<PageSet>, StoreError> {
        let Pushing { occasion, app_zone, .. } = *pushing;
        let first = spread.pages + 1;
        let recipients = Recipients::of(self, pushing);
        let soon = spread.next_until(occasion, app_zone, now).filter(|until| {
            let looks_at = occasion.next_possible(app_zone, spread.until);
            looks_at.is_some_and(|next| next.minus(crate::trigger::OPEN_AHEAD) <= now)
                && *until > spread.until
        });
        if let Some(until) = soon {
            if pushing.is_whole() {
                spread.until = until;
                return Ok(vec![PageSet::whole(occasion.key(), first)]);
            }
            let counted = recipients.due_within(spread.until, until).await?;
            spread.until = until;
            spread.recipients += counted.iter().map(|one| one.count).sum::<u64>();
            return Ok(page_sets(counted, PageKind::Audience, first, self.settings.page));
        }
        let Some(search) = spread.search else {
            return Ok(Vec::new());
        };
        let everyone_at_once = matches!(occasion, Occasion::At(_));
        let passed = if everyone_at_once || recipients.anyone_after(search.at).await? {
            // The next pages bring their own search.
            Vec::new()
        } else {
            recipients.passed_over(execution.due_at, search, now).await?
        };
        spread.search = None;
        Ok(page_sets(passed, PageKind::Moved, first, self.settings.page))
    }

    async fn open_sets(&self, execution: &Execution, sets: &[PageSet]) -> Result<(), StoreError> {
        let Execution { app, generation, nominal_at, token, .. } = execution;
        let open = |(id, due, page)| {
            let mut record = Execution::new(id, app.clone(), *generation, *nominal_at, due, *token);
            record.status = ExecutionStatus::Waiting;
            record.next_attempt_at = Some(due);
            record.push = Some(Box::new(PushRecord::Page(page)));
            record
        };
        let pages: Vec<Execution> = sets
            .iter()
            .flat_map(|set| set.pages(execution.id).map(|(id, page)| (id, set.due, page)))
            .map(open)
            .collect();
        for some in pages.chunks(OPENED_AT_ONCE) {
            self.executions.open_pages(some).await?;
            let messages = some.iter().map(|page| Delayed {
                at: page.due_at,
                message: Message::Attempt { execution: page.id, at: Some(page.due_at) },
            });
            self.queue.send(messages.collect()).await?;
        }
        Ok(())
    }

    /// Tells whoever is in the page and has not been told.
    async fn tell_page(
        &self,
        pushing: &Pushing<'_>,
        execution: &mut Execution,
        page: &mut Page,
        mut round: Round,
        policy: &RetryPolicy,
    ) -> Result<Verdict, StoreError> {
        let began = self.now();
        if began.since(execution.due_at) > Policy::DEFAULT_MAX_LATENESS {
            execution.status = ExecutionStatus::Missed;
            execution.reason = Some("it came later than a push may".to_owned());
            return Ok(Verdict::Failed);
        }
        if page.kind == PageKind::Whole {
            let report =
                self.push_to(pushing, execution, round.timeout, sender::Recipients::AsAddressed).await;
            round.add(&report, page);
        } else {
            self.tell_devices(pushing, execution, page, began, &mut round).await?;
        }
        if let Some(attempt) = round.attempt.take() {
            execution.add_attempt(attempt);
        }
        page.result.unsent = round.later;
        if round.unfinished {
            return Ok(Verdict::RetryAt(self.now()));
        }
        if round.later > 0 {
            page.failures += 1;
            let now = self.now();
            let backoff = now.plus(pause_after(page.failures, policy));
            let at = round.not_before.map_or(backoff, |at| at.max(backoff));
            if page.failures < policy.max_attempts && at.since(execution.due_at) <= policy.max_age {
                return Ok(Verdict::RetryAt(at));
            }
        }
        let nobody = page.result.recipients() == 0 && page.kind == PageKind::Moved;
        match page.result.told() {
            Ok(_) => Ok(Verdict::Succeeded),
            Err(_) if nobody => Ok(Verdict::Succeeded),
            Err(error) => {
                execution.reason = Some(error.to_string());
                // Told apart from a page that never began.
                page.result.error.get_or_insert(error);
                Ok(Verdict::Failed)
            }
        }
    }

    async fn tell_devices(
        &self,
        pushing: &Pushing<'_>,
        execution: &Execution,
        page: &mut Page,
        began: Timestamp,
        round: &mut Round,
    ) -> Result<(), StoreError> {
        let recipients = Recipients::of(self, pushing);
        let mut reading = recipients.of_page(execution, page);
        let (schedule, key) = (execution.id.schedule, pushing.occasion.key());
        let at_once = match pushing.way {
            Way::Gateway => self.settings.page,
            Way::Direct => self.settings.told_at_once,
        };
        while let Some(devices) = reading.next(at_once).await? {
            if self.now().since(began) > ATTEMPT {
                round.unfinished = true;
                return Ok(());
            }
            let ids: Vec<RegistrationId> = devices.iter().map(|device| device.id.clone()).collect();
            let told = self.devices.told_devices(schedule, key, &ids).await?;
            let devices: Vec<Device> =
                devices.into_iter().filter(|device| !told.contains(&device.id)).collect();
            if devices.is_empty() {
                continue;
            }
            let report =
                self.push_to(pushing, execution, round.timeout, sender::Recipients::These(&devices)).await;
            round.add(&report, page);
            let over = |(device, fate): (&Device, &Fate)| {
                (!matches!(fate, Fate::Later { .. })).then(|| device.id.clone())
            };
            let done: Vec<RegistrationId> = devices.iter().zip(&report.fates).filter_map(over).collect();
            // They have been told: that exists nowhere else as yet.
            let told = || async { Ok(self.devices.tell_devices(schedule, key, &done, self.now()).await?) };
            self.until_lease_ends(round.lease_until, told).await.map_err(in_store)?;
            for (device, _) in devices.iter().zip(&report.fates).filter(|(_, fate)| **fate == Fate::Gone) {
                self.unsubscribe(&pushing.app.key, device).await?;
            }
        }
        Ok(())
    }

    async fn push_to(
        &self,
        pushing: &Pushing<'_>,
        execution: &Execution,
        timeout: Span,
        to: sender::Recipients<'_>,
    ) -> PushReport {
        let msg_id = super::message_id(execution.id.schedule, execution.id.number, execution.id.slot);
        let (app, push) = (pushing.app, pushing.push);
        self.pusher.send(PushJob { app, push, execution: execution.id, msg_id: &msg_id, to, timeout }).await
    }

    /// The push service does not know the subscription any more. One that was made since stays.
    async fn unsubscribe(&self, app: &crate::ids::AppKey, gone: &Device) -> Result<(), StoreError> {
        let drop_it = |present: Option<Device>, _| {
            let same = present.filter(|device| device.subscription == gone.subscription);
            Ok(same.map(|device| Device { subscription: None, ..device }))
        };
        match self.change_device(app, &gone.id, drop_it).await {
            Err(Error::Store(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

fn in_store(error: Error) -> StoreError {
    match error {
        Error::Store(error) => error,
        other => StoreError::Corrupt(other.to_string()),
    }
}

/// What one attempt of a page came to.
struct Round {
    /// Of each exchange.
    timeout: Span,
    lease_until: Timestamp,
    attempt: Option<Attempt>,
    later: u32,
    not_before: Option<Timestamp>,
    unfinished: bool,
}

impl Round {
    fn new(timeout: Span, lease_until: Timestamp) -> Self {
        Round { timeout, lease_until, attempt: None, later: 0, not_before: None, unfinished: false }
    }

    fn add(&mut self, report: &PushReport, page: &mut Page) {
        let result = &mut page.result;
        for fate in &report.fates {
            let error = match fate {
                Fate::Accepted => {
                    result.accepted += 1;
                    continue;
                }
                Fate::Gone => {
                    result.gone += 1;
                    continue;
                }
                Fate::Refused(error) => {
                    result.refused += 1;
                    error
                }
                Fate::Later { at, error } => {
                    self.later += 1;
                    self.not_before = self.not_before.max(*at);
                    error
                }
            };
            result.error.get_or_insert_with(|| error.clone());
        }
        if result.msg_id.is_none() && report.fates.contains(&Fate::Accepted) {
            result.msg_id.clone_from(&report.msg_id);
        }
        let attempt = self.attempt.get_or_insert_with(|| Attempt {
            sent_at: report.sent_at,
            first_byte_at: None,
            done_at: report.done_at,
            status: report.status,
            failure: None,
            body: String::new(),
        });
        attempt.done_at = report.done_at;
        attempt.status = report.status.or(attempt.status);
    }
}
