//! What must hold once a run has come to rest: Rondo's promises, judged by what was stored and what arrived,
//! with a model of its own.

use super::{
    instants,
    ledger::{Ledger, Life},
    scenario::{Action, Faults, Spec},
};
use rondo_domain::{
    execution::{Execution, ExecutionStatus},
    ids::FIRST_MANUAL_NUMBER,
    policy::Missed,
    schedule::Definition,
    settle::pause_after,
    state::{Counts, State, Status},
    time::{Span, Timestamp},
    trigger::Trigger,
};

type Judged = Result<(), String>;

macro_rules! ensure {
    ($holds:expr, $($text:tt)+) => {
        if !$holds {
            return Err(format!($($text)+));
        }
    };
}

pub struct Case<'a> {
    pub spec: &'a Spec,
    pub definition: &'a Definition,
    pub state: &'a State,
    pub records: &'a [Execution],
    pub faults: &'a Faults,
    pub has_wake: bool,
    pub sweep_every: Span,
    pub listens: bool,
}

pub fn judge(case: &Case<'_>, ledger: &Ledger) -> Judged {
    ledger.with_life(case.state.id, |life| {
        ended(case)?;
        counted(case, life)?;
        numbered(case)?;
        on_its_instants(case, life)?;
        called_once(case, life)?;
        retried(case)?;
        punctual(case, life)?;
        told(case, life)
    })
}

/// It came to an end, and nothing is left behind.
fn ended(case: &Case<'_>) -> Judged {
    let state = case.state;
    let calm = case.faults.none();
    ensure!(state.status.has_ended(), "it never ended: {state:?}");
    ensure!(state.waiting == 0, "executions wait for ever: {state:?}");
    ensure!(!state.untold, "its end was never told: {state:?}");
    ensure!(state.look_again_at.is_none(), "somebody is still to look at it: {state:?}");
    ensure!(!(calm && case.has_wake), "a wake is left behind");
    if state.status == Status::Finished {
        ensure!(state.claims.is_empty(), "finished with claims: {state:?}");
        ensure!(state.beyond.is_empty(), "finished with holes: {state:?}");
    }
    if let Some(waiting) =
        case.records.iter().find(|record| !record.status.is_final() || record.claim.is_some())
    {
        return Err(format!("a record without an outcome: {waiting:?}"));
    }
    let size = serde_json::to_vec(state).map_or(0, |json| json.len());
    ensure!(size < 4096, "the state takes {size} bytes");
    Ok(())
}

fn occurrences<'a>(case: &'a Case<'_>) -> impl Iterator<Item = &'a Execution> {
    case.records.iter().filter(|record| record.id.number < FIRST_MANUAL_NUMBER)
}

/// The counters say what the records say.
fn counted(case: &Case<'_>, life: &Life) -> Judged {
    let mut counts = Counts::default();
    let mut redelivered = false;
    for record in occurrences(case) {
        let numbers = record.last_number() - record.id.number + 1;
        counts.done += numbers;
        redelivered |= record.counted_as.is_some();
        counts.failed += u32::from(record.status == ExecutionStatus::Failed);
        counts.missed += if record.status == ExecutionStatus::Missed { numbers } else { 0 };
        counts.skipped += u32::from(record.status == ExecutionStatus::Skipped);
    }
    let known = case.state.counts;
    ensure!(known.done == counts.done, "done is {}, and {} are on record", known.done, counts.done);
    ensure!(known.failed == counts.failed, "failed is {}, and {} are on record", known.failed, counts.failed);
    if !redelivered {
        ensure!(known == counts, "the counts are {known:?}, the records {counts:?}");
    }
    ensure!(
        known.done + known_claims(case) >= life.started(),
        "{} were started, {} are over",
        life.started(),
        known.done
    );
    Ok(())
}

/// Only a cancelled schedule may keep claims whose process died.
fn known_claims(case: &Case<'_>) -> u32 {
    case.state.claims.len() as u32
}

/// Numbers 1 to n, each once; no more than asked for.
fn numbered(case: &Case<'_>) -> Judged {
    let mut next = 1;
    let finished = case.state.status == Status::Finished;
    let mut last = 0;
    for record in occurrences(case) {
        ensure!(record.id.number >= next, "number {} is on record twice", record.id.number);
        ensure!(!finished || record.id.number == next, "number {next} is nowhere");
        next = record.last_number() + 1;
        last = record.last_number();
    }
    if let Some(limit) = case.definition.occurrences {
        ensure!(last <= limit, "number {last} of {limit}");
        let endless = !matches!(&case.definition.trigger, Trigger::Interval(interval) if interval.end.is_some())
            && !matches!(case.definition.trigger, Trigger::Single(_));
        ensure!(!finished || !endless || last == limit, "finished after {last} of {limit}");
    }
    Ok(())
}

/// Each number has the instant that the trigger gives it, by slow reckoning.
fn on_its_instants(case: &Case<'_>, life: &Life) -> Judged {
    let skew = Span::from_millis(case.faults.max_skew_ms + 1);
    for record in occurrences(case) {
        ensure!(record.nominal_at <= record.due_at, "{:?} is due before its instant", record.id);
    }
    // Which generations began with new instants; unknown where a user never got an answer.
    let mut epochs: Vec<(u32, Span, Timestamp, Timestamp)> = Vec::new();
    let mut every = match case.spec.trigger {
        Trigger::Interval(interval) => interval.every,
        _ => Span::ZERO,
    };
    let first_every = every;
    let mut newest = 1;
    for known in &life.changes {
        let Some(generation) = known.generation else { return Ok(()) };
        // Resuming what runs changes nothing, nor does an interval that is the same.
        let begins = match known.action {
            Action::Resume => generation > newest,
            Action::Every(new) => every != new,
            _ => false,
        };
        newest = newest.max(generation);
        if let Action::Every(new) = known.action {
            every = new;
        }
        if begins {
            epochs.push((generation, every, known.asked_at, known.answered_at));
        }
    }
    if epochs.is_empty() {
        let last = occurrences(case).map(Execution::last_number).max().unwrap_or(0) as usize;
        let from = case.definition.created_at;
        let due = instants::due(case.spec, from, last + 1);
        for record in occurrences(case) {
            let wanted = due.get(record.id.number as usize - 1).copied();
            ensure!(
                wanted == Some(record.nominal_at),
                "number {} belongs to {wanted:?}, not {}",
                record.id.number,
                record.nominal_at
            );
        }
        if case.state.status == Status::Finished && case.definition.occurrences.is_none() {
            ensure!(due.len() == last, "finished after {last} of {} instants", due.len());
        }
        return Ok(());
    }
    let Trigger::Interval(_) = case.spec.trigger else { return Ok(()) };
    let epoch_of = |record: &Execution| {
        let generation = life.generation_of(record.id.number).unwrap_or(record.generation);
        epochs.iter().filter(|epoch| epoch.0 <= generation).count()
    };
    for epoch in 0..=epochs.len() {
        let every = if epoch == 0 { first_every } else { epochs[epoch - 1].1 };
        let mut before: Option<&Execution> = None;
        // Holes that a change had left and for which the trigger had no instants any more.
        let stranded = |record: &&Execution| {
            record.status == ExecutionStatus::Missed
                && occurrences(case).any(|other| other.id > record.id && epoch_of(other) < epoch)
        };
        let of_epoch = occurrences(case).filter(|record| epoch_of(record) == epoch);
        for record in of_epoch.filter(|record| !stranded(record)) {
            if let Some(before) = before {
                let between = before.last_number() + 1..record.id.number;
                // What earlier epochs had used takes no instant; all else between the two did, even where
                // a cancel left it without a record.
                let old: u64 = occurrences(case)
                    .filter(|other| between.contains(&other.id.number) && epoch_of(other) < epoch)
                    .map(|other| u64::from(other.last_number() - other.id.number + 1))
                    .sum();
                let moved = between.len() as u64 - old;
                let run = u64::from(before.last_number() - before.id.number);
                let wanted = before.nominal_at.plus(every.times(1 + run + moved));
                ensure!(
                    record.nominal_at == wanted,
                    "number {} belongs to {wanted}, after number {}, not to {}",
                    record.id.number,
                    before.id.number,
                    record.nominal_at
                );
            } else if epoch > 0 {
                let (_, every, asked_at, answered_at) = epochs[epoch - 1];
                let earlier = occurrences(case).filter(|other| epoch_of(other) < epoch);
                // One that came too late had been claimed, and says why; one that was never sent says nothing.
                let last = earlier
                    .filter(|other| other.status != ExecutionStatus::Missed || other.reason.is_some())
                    .map(|other| other.nominal_at)
                    .max();
                ensure!(
                    record.nominal_at.plus(skew) >= asked_at,
                    "number {} belongs to {}, before the change of {asked_at}",
                    record.id.number,
                    record.nominal_at
                );
                let latest = last.map_or(answered_at, |last| last.plus(every).max(answered_at));
                let first = match case.spec.trigger {
                    Trigger::Interval(interval) => interval.first,
                    _ => latest,
                };
                // It is the first of its epoch only where all before it belong to earlier ones.
                let before: u32 = occurrences(case)
                    .filter(|other| other.id < record.id && epoch_of(other) < epoch)
                    .map(|other| other.last_number() - other.id.number + 1)
                    .sum();
                let lowest = before == record.id.number - 1;
                ensure!(
                    !lowest || record.nominal_at <= latest.max(first).plus(skew),
                    "number {} belongs to {}, later than {latest}",
                    record.id.number,
                    record.nominal_at
                );
            }
            before = Some(record);
        }
    }
    Ok(())
}

/// Nothing is called twice for one attempt unless a process died.
fn called_once(case: &Case<'_>, life: &Life) -> Judged {
    let faults = case.faults;
    let nobody_died = faults.crash == 0 && faults.outages.is_empty();
    for (id, calls) in &life.calls {
        let record = case.records.iter().find(|record| record.id == *id);
        let attempts = record.map_or(0, |record| record.attempts.len());
        ensure!(calls.len() >= attempts, "{id}: {attempts} attempts on record, {} calls", calls.len());
        if nobody_died {
            ensure!(
                calls.len() == attempts,
                "{id}: {} calls for {attempts} attempts, and nobody died",
                calls.len()
            );
        }
    }
    for record in case.records.iter().filter(|record| !record.attempts.is_empty()) {
        ensure!(life.calls.contains_key(&record.id), "{:?}: on record, and never called", record.id);
    }
    Ok(())
}

/// Attempts are as many, and as far apart, as the policy says.
fn retried(case: &Case<'_>) -> Judged {
    let policy = case.spec.delivery.retry;
    let skew = Span::from_millis(2 * case.faults.max_skew_ms);
    for record in case.records {
        ensure!(
            record.attempts_in_round() <= policy.max_attempts,
            "{:?}: {} attempts of {}",
            record.id,
            record.attempts.len(),
            policy.max_attempts
        );
        let begins = record.round.map_or(0, |round| usize::from(round.attempts_before));
        for (place, pair) in record.attempts.windows(2).enumerate() {
            if place < begins {
                continue;
            }
            let pause = pause_after((place + 1 - begins) as u16, &policy);
            let least = Span::from_millis(pause.millis() * 4 / 5);
            ensure!(
                pair[1].sent_at.plus(skew) >= pair[0].done_at.plus(least),
                "{:?}: attempt {} came {} ms after the one before",
                record.id,
                place + 2,
                pair[1].sent_at.since(pair[0].done_at).millis()
            );
        }
        let answered = record.attempts.last().and_then(|attempt| attempt.status);
        let well = answered.is_some_and(|status| (200..300).contains(&status));
        let says_well = record.status == ExecutionStatus::Succeeded;
        ensure!(
            says_well == well || record.round.is_some(),
            "{:?} is {:?} after {answered:?}",
            record.id,
            record.status
        );
        let used_up = record.attempts_in_round() >= policy.max_attempts
            || record.reason.is_some()
            || answered == Some(410);
        let last = record.attempts.last().map(|attempt| attempt.done_at);
        let too_old = last.is_some_and(|last| {
            last.plus(Span::from_secs(1300)).since(record.round_since()) > policy.max_age
        });
        ensure!(
            record.status != ExecutionStatus::Failed || used_up || too_old,
            "{:?} failed after {} of {} attempts",
            record.id,
            record.attempts_in_round(),
            policy.max_attempts
        );
    }
    Ok(())
}

fn punctual(case: &Case<'_>, life: &Life) -> Judged {
    let faults = case.faults;
    let spread = case.definition.policy.spread;
    let oldest = case.definition.policy.max_lateness();
    for (id, calls) in life.calls.iter().filter(|(id, _)| !id.is_manual()) {
        let first = &calls[0];
        let redelivered = case.records.iter().any(|record| record.id == *id && record.round.is_some());
        if faults.none() && first.attempt == 1 && !redelivered {
            let late = first.at.since(first.due);
            ensure!(
                late <= Span::from_millis(1200),
                "{id}: called {} ms late without any fault",
                late.millis()
            );
        }
        // What was claimed in time, and whose claimer died, is not dropped: nobody knows whether it called.
        let record = case.records.iter().find(|record| record.id == *id && record.round.is_none());
        if let Some(record) = record.filter(|_| life.claims_of(*id) == 1) {
            let late = first.at.since(record.nominal_at.plus(spread));
            ensure!(
                late.millis() <= oldest.millis() + 5000,
                "{id}: called {} ms after its instant, and nothing older than {} ms may be",
                late.millis(),
                oldest.millis()
            );
        }
    }
    let undisturbed = faults.drop == 0
        && faults.wake_never == 0
        && faults.outages.is_empty()
        && !faults.long_restarts
        && faults.crash <= 10
        && case.sweep_every <= Span::from_secs(60);
    let forgiving = oldest > Span::from_secs(600) && case.definition.policy.missed != Some(Missed::None);
    if undisturbed && forgiving {
        ensure!(case.state.counts.missed == 0, "{} were missed without an outage", case.state.counts.missed);
    }
    Ok(())
}

fn told(case: &Case<'_>, life: &Life) -> Judged {
    let event = match case.state.status {
        Status::Finished => "REQUEST_FINISHED",
        _ => "REQUEST_CANCELED",
    };
    ensure!(!case.listens || life.told.contains(event), "{event} was never told");
    Ok(())
}
