//! The small, hot item: claims, closing, counting, and how little room it takes.

use proptest::prelude::*;
use rondo_domain::{
    execution::ExecutionStatus,
    ids::{ScheduleId, Token},
    policy::Overlap,
    state::{ClaimAnswer, ClaimAsk, Closing, MAX_TRIES, State, Status, WaitingKind},
    time::{Span, Timestamp},
};

const LEASE: Span = Span::from_secs(75);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_900_000_000_000).plus(Span::from_secs(seconds))
}

fn state(occurrences: Option<u32>) -> State {
    let app = "app".parse().expect("a key");
    State::new(ScheduleId::new(at(0), 1 << 41), app, occurrences, at(0), Token(1))
}

fn ask(state: &State, number: u32, token: u64, now: Timestamp) -> ClaimAsk {
    let due = at(u64::from(number) * 10);
    ClaimAsk {
        id: state.id,
        number,
        at: due,
        due,
        generation: state.generation,
        token: Token(token),
        lease_until: now.plus(LEASE),
        overlap: Overlap::Allow,
    }
}

fn close(state: &mut State, number: u32, token: u64, status: ExecutionStatus) -> bool {
    let now = at(u64::from(number) * 10);
    state.close(number, Token(token), Closing::Over(status), Some(200), Some(now), now).applied
}

#[test]
fn what_was_to_be_skipped_stays_so_when_it_is_taken_over() {
    let mut state = state(None);
    state.claim(&ask(&state.clone(), 1, 1, at(10)), at(10));
    let mut second = ask(&state, 2, 2, at(20));
    second.overlap = Overlap::Skip;
    assert_eq!(state.claim(&second, at(20)), ClaimAnswer::ClaimedToSkip);
    assert_eq!(state.claim(&second, at(21)), ClaimAnswer::ClaimedToSkip, "its own token again");
    let late = at(20).plus(LEASE);
    let taker = ask(&state, 2, 3, late);
    assert_eq!(state.claim(&taker, late), ClaimAnswer::ClaimedToSkip, "it was never in flight");
    assert_eq!(state.in_flight(), 1);
}

#[test]
fn an_abandoned_claim_says_so_again() {
    let mut state = state(None);
    let mut now = at(10);
    for token in 1..=u64::from(MAX_TRIES) {
        let tries = token as u8;
        assert_eq!(state.claim(&ask(&state.clone(), 1, token, now), now), ClaimAnswer::Claimed { tries });
        now = now.plus(LEASE);
    }
    let last = ask(&state, 1, 9, now);
    assert_eq!(state.claim(&last, now), ClaimAnswer::ClaimedToAbandon);
    assert_eq!(state.claim(&last, now), ClaimAnswer::ClaimedToAbandon);
    for token in 10..400 {
        now = now.plus(LEASE);
        let answer = state.claim(&ask(&state.clone(), 1, token, now), now);
        assert_eq!(answer, ClaimAnswer::ClaimedToAbandon, "however often its claimers die");
    }
}

#[test]
fn an_older_message_takes_over_no_newer_claim() {
    let mut state = state(None);
    let old = ask(&state, 1, 1, at(10));
    state.generation = 2;
    assert_eq!(state.claim(&old, at(10)), ClaimAnswer::Stale);
    assert_eq!(state.claim(&ask(&state.clone(), 1, 2, at(10)), at(10)), ClaimAnswer::Claimed { tries: 1 });
    assert_eq!(state.claim(&old, at(200)), ClaimAnswer::Stale, "it carries the old definition");
    state.generation = 3;
    let newer = ask(&state, 1, 3, at(200));
    assert_eq!(state.claim(&newer, at(200)), ClaimAnswer::Claimed { tries: 2 }, "it had started");
}

#[test]
fn a_redelivery_moves_failed_alone() {
    let mut state = state(Some(1));
    state.claim(&ask(&state.clone(), 1, 1, at(10)), at(10));
    assert!(close(&mut state, 1, 1, ExecutionStatus::Failed));
    assert_eq!((state.status, state.counts.failed), (Status::Finished, 1));
    state.open_waiting(false);
    let kind = WaitingKind::Recounted { had_failed: true };
    state.close_waiting(kind, ExecutionStatus::Succeeded, Some(200), at(99));
    assert_eq!((state.counts.done, state.counts.failed, state.waiting), (1, 0, 0));
    state.open_waiting(true);
    state.close_waiting(WaitingKind::Uncounted, ExecutionStatus::Failed, None, at(99));
    assert_eq!((state.counts.done, state.counts.failed, state.manual_runs), (1, 0, 1));
}

#[test]
fn one_slow_execution_does_not_make_the_state_large() {
    let mut state = state(None);
    state.claim(&ask(&state.clone(), 1, 1, at(10)), at(10));
    for number in 2..3000 {
        let token = u64::from(number);
        let now = at(token * 10);
        state.claim(&ask(&state.clone(), number, token, now), now);
        assert!(close(&mut state, number, token, ExecutionStatus::Succeeded));
    }
    assert_eq!(state.beyond.len(), 1);
    assert!(serde_json::to_vec(&state).expect("JSON").len() < 1500);
    assert!(close(&mut state, 1, 1, ExecutionStatus::Succeeded));
    assert_eq!((state.anchor.number, state.beyond.len(), state.counts.done), (2999, 0, 2999));
}

proptest! {
    /// In whatever order: each number closes once, and the anchor ends up behind the last.
    #[test]
    fn numbers_close_once_in_any_order(order in Just((1u32..=40).collect::<Vec<_>>()).prop_shuffle(), twice in 0usize..40) {
        let mut state = state(Some(40));
        for number in 1..=40 {
            state.claim(&ask(&state.clone(), number, u64::from(number), at(500)), at(500));
        }
        for (place, number) in order.iter().enumerate() {
            prop_assert!(close(&mut state, *number, u64::from(*number), ExecutionStatus::Succeeded));
            let again = order[twice.min(place)];
            prop_assert!(!close(&mut state, again, u64::from(again), ExecutionStatus::Succeeded));
            for other in 1..=40 {
                prop_assert_eq!(state.is_closed(other), order[..=place].contains(&other));
            }
        }
        prop_assert_eq!((state.counts.done, state.anchor.number, state.beyond.len()), (40, 40, 0));
        prop_assert_eq!(state.status, Status::Finished);
    }
}
