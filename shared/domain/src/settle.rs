//! What an attempt's outcome means: success, another attempt, or failure for good.

use crate::{
    call::{CallOutcome, FailureKind},
    policy::RetryPolicy,
    time::{Span, Timestamp},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Succeeded,
    RetryAt(Timestamp),
    Failed,
    /// The target answered 410: it is gone, and the schedule ends.
    Gone,
}

/// `attempts` counts the one that just ended; `random` decides the jitter.
pub fn settle(
    outcome: &CallOutcome,
    attempts: u16,
    due: Timestamp,
    policy: &RetryPolicy,
    now: Timestamp,
    random: u64,
) -> Verdict {
    let asked_for = match &outcome.result {
        Ok(answer) if (200..300).contains(&answer.status) => return Verdict::Succeeded,
        Ok(answer) if answer.status == 410 => return Verdict::Gone,
        // Trying again cannot help: the guard judges the address, not the moment.
        Err(failure) if failure.kind == FailureKind::ForbiddenAddress => return Verdict::Failed,
        Ok(answer) if matches!(answer.status, 429 | 503) => answer.retry_after,
        _ => None,
    };
    if attempts >= policy.max_attempts {
        return Verdict::Failed;
    }
    let backoff = jittered(pause_after(attempts, policy), random);
    let wait =
        asked_for.map_or(backoff, |at| at.since(now).max(backoff).min(policy.max_interval.max(backoff)));
    let at = now.plus(wait);
    if at.since(due) > policy.max_age { Verdict::Failed } else { Verdict::RetryAt(at) }
}

/// The pause after attempt `attempts`, without jitter.
pub fn pause_after(attempts: u16, policy: &RetryPolicy) -> Span {
    let factor = policy.factor.max(1.0).powi(i32::from(attempts.saturating_sub(1)));
    let millis = policy.initial.millis() as f64 * factor;
    Span::from_millis(millis.min(policy.max_interval.millis() as f64) as u64)
}

/// Within ±20 %.
fn jittered(span: Span, random: u64) -> Span {
    let fifth = span.millis() / 5;
    if fifth == 0 { span } else { Span::from_millis(span.millis() - fifth + random % (2 * fifth + 1)) }
}
