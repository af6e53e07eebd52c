//! Planning: windows, what is late, what was lost on the way, and the bounds.

use rondo_domain::{
    change::{Change, Changed},
    execution::ExecutionStatus,
    ids::{ScheduleId, Token},
    plan::{Plan, PlanWrite, Reach, plan},
    policy::{Missed, Overlap, Policy},
    state::{ClaimAsk, Closing, State},
    time::{Span, Timestamp},
    trigger::{DstPolicy, Interval, Rule, Trigger},
};

const REACH: Reach = Reach {
    window: Span::from_secs(840),
    lead: Span::from_secs(180),
    lead_spread: Span::ZERO,
    max_open: 10,
    segment_span: Span::from_secs(1),
    resend_after: Span::from_secs(120),
    missed_after: Span::from_secs(300),
    grace: Span::from_secs(60),
};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_900_000_000_000).plus(Span::from_secs(seconds))
}

/// Due every `every` seconds from `at(0)` on.
fn rule(every: u64, end: Option<u64>) -> Rule {
    let interval = Interval { every: Span::from_secs(every), first: at(0), end: end.map(at) };
    Trigger::Interval(interval).rule(DstPolicy::default()).expect("a rule")
}

fn state(occurrences: Option<u32>) -> State {
    let app = "app".parse().expect("a key");
    let before = at(0).minus(Span::from_millis(1));
    State::new(ScheduleId::new(at(0), 1 << 41), app, occurrences, before, Token(1))
}

fn planned(state: &State, rule: &Rule, policy: &Policy, now: u64) -> Plan {
    plan(state, rule, policy, &REACH, at(now))
}

fn save(state: &mut State, plan: &Plan, now: u64) {
    let token = Token(state.version + 1000);
    let write =
        PlanWrite { id: state.id, if_version: state.version, token, plan: plan.clone(), far_wake: None };
    assert!(state.save_plan(&write, at(now)).is_some());
}

fn numbers(plan: &Plan) -> Vec<u32> {
    plan.send.iter().map(|occurrence| occurrence.number).collect()
}

fn runs(plan: &Plan) -> Vec<(u32, u32)> {
    plan.missed.iter().map(|run| (run.from.number, run.to.number)).collect()
}

fn policy(missed: Missed) -> Policy {
    Policy { missed: Some(missed), ..Policy::default() }
}

fn claim(state: &mut State, number: u32, due: u64, now: u64) {
    let (due, token) = (at(due), Token(u64::from(number)));
    let generation = state.generation;
    let lease_until = at(now).plus(Span::from_secs(75));
    let overlap = Overlap::Allow;
    let ask = ClaimAsk { id: state.id, number, at: due, due, generation, token, lease_until, overlap };
    state.claim(&ask, at(now));
}

#[test]
fn a_window_ends_where_the_reach_ends() {
    let plan = planned(&state(None), &rule(200, None), &Policy::default(), 0);
    assert_eq!(numbers(&plan), [1, 2, 3, 4, 5]);
    assert_eq!(plan.next_wake, Some(at(1000 - 180)), "ahead of the first that it leaves out");
    assert_eq!(plan.look_again_at, Some(at(1000 - 180 + 60)));
    assert!(!plan.exhausted);
}

#[test]
fn as_much_is_open_as_may_be_and_the_rest_follows_in_time() {
    let mut state = state(None);
    let first = planned(&state, &rule(2, None), &Policy::default(), 0);
    assert_eq!(numbers(&first), (1..=10).collect::<Vec<_>>());
    assert_eq!(first.next_wake, Some(at(9)), "when half of it has started");
    save(&mut state, &first, 0);
    let full = planned(&state, &rule(2, None), &Policy::default(), 0);
    assert!(numbers(&full).is_empty());
    assert_eq!(full.planned, 10);
}

#[test]
fn planning_twice_gives_the_same() {
    let state = state(Some(4));
    let (rule, policy) = (rule(7, None), Policy::default());
    assert_eq!(planned(&state, &rule, &policy, 3), planned(&state, &rule, &policy, 3));
    let plan = planned(&state, &rule, &policy, 3);
    assert_eq!((numbers(&plan), plan.exhausted, plan.next_wake), (vec![1, 2, 3, 4], true, None));
    assert_eq!(plan.look_again_at, Some(at(21 + 120 + 60)), "somebody must look whether they arrived");
}

#[test]
fn what_was_never_sent_is_missed_as_the_policy_says() {
    let now = 1000;
    let rule = rule(100, None);
    let all = planned(&state(None), &rule, &policy(Missed::All), now);
    assert_eq!(runs(&all), []);
    assert_eq!(
        numbers(&all),
        [9, 10, 1, 2, 3, 4, 5, 6, 7, 8],
        "as they fall due; what is left out is no hole"
    );
    assert_eq!(all.send[3].due, at(now).plus(Span::from_millis(100)), "ten a second");
    let latest = planned(&state(None), &rule, &policy(Missed::Latest), now);
    assert_eq!(runs(&latest), [(1, 7)]);
    assert_eq!(numbers(&latest)[..2], [9, 10], "what is hardly late fires by itself");
    let none = planned(&state(None), &rule, &policy(Missed::None), now);
    assert_eq!(runs(&none), [(1, 8)]);
    let young = Policy { max_lateness: Some(Span::from_secs(450)), ..policy(Missed::All) };
    assert_eq!(runs(&planned(&state(None), &rule, &young, now)), [(1, 6)]);
}

#[test]
fn what_was_sent_and_lost_is_sent_again_whatever_the_policy() {
    let mut state = state(None);
    let rule = rule(100, None);
    let first = planned(&state, &rule, &policy(Missed::None), 0);
    save(&mut state, &first, 0);
    let soon = planned(&state, &rule, &policy(Missed::None), 110);
    assert!(!numbers(&soon).contains(&1), "it may still arrive");
    let later = planned(&state, &rule, &policy(Missed::None), 500);
    assert_eq!(runs(&later), []);
    assert_eq!(numbers(&later)[..4], [1, 2, 3, 4]);
    let too_old = Policy { max_lateness: Some(Span::from_secs(350)), ..policy(Missed::None) };
    assert_eq!(runs(&planned(&state, &rule, &too_old, 500)), [(1, 2)]);
}

#[test]
fn a_lapsed_claim_is_sent_again_even_after_its_trigger_has_changed() {
    let mut state = state(None);
    claim(&mut state, 1, 0, 0);
    assert!(!numbers(&planned(&state, &rule(100, None), &Policy::default(), 50)).contains(&1), "it runs");
    assert_eq!(numbers(&planned(&state, &rule(100, None), &Policy::default(), 80))[0], 1);
    let changed = state.change(&Change::Update { occurrences: None, rebase: true }, Token(77), at(30));
    assert_eq!(changed, Changed::Done { in_flight: 1 });
    let plan = planned(&state, &rule(100, None), &Policy::default(), 80);
    let sent: Vec<_> = plan.send.iter().map(|occurrence| (occurrence.number, occurrence.at)).collect();
    assert_eq!(sent[..2], [(1, at(0)), (2, at(100))], "with its own instant, which no other number gets");
}

#[test]
fn holes_that_the_trigger_has_no_instants_for_are_missed() {
    let mut state = state(None);
    claim(&mut state, 3, 200, 200);
    state.close(3, Token(3), rondo_domain::state::Closing::Waiting, None, None, at(201));
    state.change(&Change::Update { occurrences: None, rebase: true }, Token(77), at(210));
    let plan = planned(&state, &rule(100, Some(300)), &Policy::default(), 211);
    assert_eq!((numbers(&plan), runs(&plan)), (vec![1], vec![(2, 2)]));
    assert!(plan.exhausted);
    save(&mut state, &plan, 211);
    assert_eq!((state.counts.missed, state.is_closed(2)), (1, true));
    assert_eq!(runs(&planned(&state, &rule(100, Some(300)), &Policy::default(), 212)), []);
}

#[test]
fn an_old_plan_is_not_saved() {
    let mut limited = state(Some(1));
    let plan = planned(&limited, &rule(10, None), &Policy::default(), 0);
    let write =
        PlanWrite { id: limited.id, if_version: limited.version, token: Token(5), plan, far_wake: None };
    claim(&mut limited, 1, 0, 0);
    let over = rondo_domain::state::Closing::Over(rondo_domain::execution::ExecutionStatus::Succeeded);
    assert!(limited.close(1, Token(1), over, None, None, at(1)).finished);
    assert_eq!(limited.save_plan(&write, at(1)), None, "it has finished meanwhile");
    assert_eq!(limited.look_again_at, None);

    let mut late = state(None);
    let plan = planned(&late, &rule(100, None), &policy(Missed::None), 1000);
    let write = PlanWrite { id: late.id, if_version: late.version, token: Token(5), plan, far_wake: None };
    claim(&mut late, 2, 100, 1000);
    assert_eq!(late.save_plan(&write, at(1000)), None, "number 2 runs, and is not missed");
    assert_eq!(late.counts.done, 0);
}

#[test]
fn a_long_absence_is_walked_in_stretches() {
    let mut state = state(None);
    let rule = rule(1, None);
    let now = 20_000;
    let mut rounds = 0;
    loop {
        let plan = planned(
            &state,
            &rule,
            &Policy { max_lateness: Some(Span::from_secs(60)), ..Policy::default() },
            now,
        );
        save(&mut state, &plan, now);
        rounds += 1;
        assert!(rounds < 10, "each stretch must lead on");
        if !plan.send.is_empty() {
            break;
        }
    }
    assert_eq!(state.anchor.at, at(now - 301 + 1));
}

#[test]
fn an_idle_schedule_is_looked_at_when_its_next_wake_is_missed_and_not_before() {
    let (rule, mut state) = (rule(3600, None), state(None));
    let plan = planned(&state, &rule, &Policy::default(), 0);
    // The next wake comes 180 s before 3600, and is missed 60 s later.
    let (while_open, wake_missed) = (Some(at(180)), Some(at(3600 - 180 + 60)));
    assert_eq!((plan.look_again_at, plan.look_when_idle), (while_open, wake_missed));
    save(&mut state, &plan, 0);
    claim(&mut state, 1, 0, 0);
    assert_eq!(state.look_again_at, while_open);
    assert!(state.close(1, Token(1), Closing::Waiting, Some(500), None, at(1)).applied);
    assert_eq!((state.look_again_at, state.look_when_idle), (wake_missed, None));

    // After a change somebody has to look at once, whatever of the old closes meanwhile.
    let plan = planned(&state, &rule, &Policy::default(), 3420);
    save(&mut state, &plan, 3420);
    claim(&mut state, 2, 3600, 3600);
    let change = Change::Update { occurrences: Some(9), rebase: false };
    assert!(matches!(state.change(&change, Token(77), at(3601)), Changed::Done { .. }));
    assert!(
        state.close(2, Token(2), Closing::Over(ExecutionStatus::Succeeded), None, None, at(3602)).applied
    );
    assert_eq!(state.look_again_at, Some(at(3601)));
}
