//! What an attempt's outcome means.

use proptest::prelude::*;
use rondo_domain::{
    call::{CallAnswer, CallFailure, CallOutcome, FailureKind},
    policy::RetryPolicy,
    settle::{Verdict, pause_after, settle},
    time::{Span, Timestamp},
};

const NOW: Timestamp = Timestamp::from_millis(1_900_000_000_000);

fn answered(status: u16, retry_after: Option<u64>) -> CallOutcome {
    let retry_after = retry_after.map(|seconds| NOW.plus(Span::from_secs(seconds)));
    let result = Ok(CallAnswer { status, retry_after, body: String::new() });
    CallOutcome { sent_at: NOW, first_byte_at: None, done_at: NOW, result }
}

fn failed(kind: FailureKind) -> CallOutcome {
    let result = Err(CallFailure { kind, detail: String::new() });
    CallOutcome { sent_at: NOW, first_byte_at: None, done_at: NOW, result }
}

fn judged(outcome: &CallOutcome, attempts: u16) -> Verdict {
    settle(outcome, attempts, NOW, &RetryPolicy::STANDARD, NOW, 1000)
}

#[test]
fn answers_mean_what_the_documentation_says() {
    assert_eq!(judged(&answered(204, None), 1), Verdict::Succeeded);
    assert_eq!(judged(&answered(410, None), 1), Verdict::Gone);
    assert_eq!(judged(&failed(FailureKind::ForbiddenAddress), 1), Verdict::Failed);
    for outcome in
        [answered(301, None), answered(400, None), answered(500, None), failed(FailureKind::Timeout)]
    {
        assert!(matches!(judged(&outcome, 1), Verdict::RetryAt(_)), "{outcome:?}");
        assert!(matches!(judged(&outcome, 4), Verdict::RetryAt(_)), "the fifth is to come: {outcome:?}");
        assert_eq!(judged(&outcome, 5), Verdict::Failed, "{outcome:?}");
    }
}

#[test]
fn retry_after_is_honoured_within_the_policy() {
    let wait = |outcome| match judged(&outcome, 1) {
        Verdict::RetryAt(at) => at.since(NOW),
        other => panic!("{other:?}"),
    };
    assert_eq!(wait(answered(429, Some(100))), Span::from_secs(100));
    assert_eq!(wait(answered(503, Some(1_000_000))), Span::from_secs(3600), "at most the longest pause");
    assert!(wait(answered(429, Some(0))) >= Span::from_secs(4), "never sooner than without it");
    assert!(wait(answered(500, Some(100))) <= Span::from_secs(6), "only 429 and 503 may ask");
}

proptest! {
    #[test]
    fn pauses_grow_within_their_bounds(attempts in 1u16..100, random: u64, initial in 0u64..100_000, factor in 0.5f64..1e9) {
        let policy = RetryPolicy {
            max_attempts: 100,
            initial: Span::from_millis(initial),
            factor,
            max_interval: Span::from_secs(600),
            max_age: Span::from_secs(1_000_000),
        };
        let pause = pause_after(attempts, &policy);
        prop_assert!(pause <= policy.max_interval);
        prop_assert!(attempts == 1 || pause >= pause_after(attempts - 1, &policy));
        if let Verdict::RetryAt(at) = settle(&answered(500, None), attempts, NOW, &policy, NOW, random) {
            let wait = at.since(NOW).millis();
            prop_assert!(wait >= pause.millis() - pause.millis() / 5 && wait <= pause.millis() + pause.millis() / 5);
        } else {
            prop_assert!(attempts >= policy.max_attempts);
        }
    }

    #[test]
    fn nothing_is_tried_after_its_age(age in 0u64..200_000) {
        let due = NOW.minus(Span::from_secs(age));
        let policy = RetryPolicy::STANDARD;
        match settle(&answered(500, None), 1, due, &policy, NOW, 7) {
            Verdict::RetryAt(at) => prop_assert!(at.since(due) <= policy.max_age),
            verdict => prop_assert!(verdict == Verdict::Failed && age + 6 > 86_400),
        }
    }
}
