//! Cancel, pause, resume, update.

use rondo_domain::{
    change::{Change, ChangeRefused, Changed},
    execution::ExecutionStatus,
    ids::{ScheduleId, Token},
    policy::Overlap,
    state::{ClaimAnswer, ClaimAsk, Closing, State, Status},
    time::{Span, Timestamp},
    trigger::{Interval, Trigger},
};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_900_000_000_000).plus(Span::from_secs(seconds))
}

fn state(occurrences: Option<u32>) -> State {
    let app = "app".parse().expect("a key");
    State::new(ScheduleId::new(at(0), 1 << 41), app, occurrences, at(0), Token(1))
}

fn claim(state: &mut State, number: u32, generation: u32, now: u64) -> ClaimAnswer {
    let due = at(now);
    let lease_until = due.plus(Span::from_secs(75));
    let token = Token(100 + u64::from(number));
    let overlap = Overlap::Allow;
    let ask = ClaimAsk { id: state.id, number, at: due, due, generation, token, lease_until, overlap };
    state.claim(&ask, due)
}

fn close(state: &mut State, number: u32) {
    let over = Closing::Over(ExecutionStatus::Succeeded);
    assert!(state.close(number, Token(100 + u64::from(number)), over, Some(200), None, at(500)).applied);
}

#[test]
fn nothing_of_an_older_generation_starts() {
    let mut state = state(None);
    claim(&mut state, 1, 1, 10);
    assert_eq!(state.change(&Change::Pause, Token(2), at(11)), Changed::Done { in_flight: 1 });
    assert_eq!(claim(&mut state, 2, 1, 20), ClaimAnswer::Stale);
    assert_eq!(claim(&mut state, 2, 2, 20), ClaimAnswer::Stale, "paused is paused");
    assert_eq!(state.change(&Change::Resume, Token(3), at(30)), Changed::Done { in_flight: 1 });
    assert_eq!(claim(&mut state, 2, 2, 40), ClaimAnswer::Stale);
    assert_eq!(claim(&mut state, 2, 3, 40), ClaimAnswer::Claimed { tries: 1 });
    assert_eq!(state.look_again_at, Some(at(30)));
}

#[test]
fn an_edit_stops_nothing() {
    let mut state = state(None);
    claim(&mut state, 1, 1, 10);
    let before = state.clone();
    assert_eq!(state.change(&Change::Edit, Token(2), at(11)), Changed::Done { in_flight: 1 });
    assert_eq!((state.generation, state.version, state.revision), (1, before.version, before.revision + 1));
    assert_eq!(state.change(&Change::Edit, Token(2), at(11)), Changed::Done { in_flight: 1 });
    assert_eq!(state.revision, before.revision + 1, "its own token");
    assert_eq!(claim(&mut state, 2, 1, 20), ClaimAnswer::Claimed { tries: 1 });
    state.change(&Change::Cancel { because: None }, Token(3), at(30));
    let refused = Changed::Refused(ChangeRefused::Ended(Status::Canceled));
    assert_eq!(state.change(&Change::Edit, Token(4), at(31)), refused);
}

#[test]
fn what_has_ended_stays_so() {
    let mut state = state(None);
    let cancel = Change::Cancel { because: None };
    assert_eq!(state.change(&cancel, Token(2), at(1)), Changed::Done { in_flight: 0 });
    assert_eq!(state.change(&cancel, Token(2), at(1)), Changed::Done { in_flight: 0 }, "its own token");
    assert_eq!(state.change(&cancel, Token(3), at(2)), Changed::Already { in_flight: 0 });
    assert_eq!((state.generation, state.ended_at), (2, Some(at(1))));
    let refused = Changed::Refused(ChangeRefused::Ended(Status::Canceled));
    assert_eq!(state.change(&Change::Resume, Token(4), at(3)), refused);
}

#[test]
fn occurrences_may_not_fall_below_what_has_started() {
    let mut state = state(Some(9));
    claim(&mut state, 1, 1, 10);
    claim(&mut state, 3, 1, 30);
    let fewer = |occurrences| Change::Update { occurrences: Some(occurrences), rebase: false };
    let refused = Changed::Refused(ChangeRefused::FewerThanStarted { started: 3 });
    assert_eq!(state.change(&fewer(2), Token(2), at(31)), refused);
    assert_eq!(state.generation, 1, "a refusal writes nothing");
    assert_eq!(state.change(&fewer(3), Token(3), at(31)), Changed::Done { in_flight: 2 });
    close(&mut state, 1);
    close(&mut state, 3);
    assert_eq!(state.status, Status::Active, "the second is still to come");
    claim(&mut state, 2, 2, 40);
    close(&mut state, 2);
    assert_eq!(state.status, Status::Finished);
}

#[test]
fn lowering_occurrences_to_what_is_over_finishes() {
    let mut state = state(None);
    claim(&mut state, 1, 1, 10);
    close(&mut state, 1);
    let change = Change::Update { occurrences: Some(1), rebase: false };
    assert_eq!(state.change(&change, Token(2), at(600)), Changed::Done { in_flight: 0 });
    assert_eq!((state.status, state.ended_at, state.look_again_at), (Status::Finished, Some(at(600)), None));
}

#[test]
fn an_goes_on_from_its_last_start_and_never_in_the_past() {
    let every = Span::from_secs(60);
    let interval =
        |first, end: Option<u64>| Trigger::Interval(Interval { every, first: at(first), end: end.map(at) });
    let mut state = state(None);
    assert_eq!(state.goes_on(&interval(100, None), at(50)), interval(100, None));
    assert_eq!(state.goes_on(&interval(100, None), at(150)), interval(150, None));
    claim(&mut state, 1, 1, 100);
    assert_eq!(state.goes_on(&interval(100, None), at(110)), interval(160, None));
    assert_eq!(state.goes_on(&interval(100, None), at(500)), interval(500, None));
    let ended = interval(100, Some(400));
    assert_eq!(state.goes_on(&ended, at(500)), ended, "a rule that is still a rule");
    let single = Trigger::Single(rondo_domain::trigger::Single { at: at(5) });
    assert_eq!(state.goes_on(&single, at(500)), single);
}
