//! Items and back: whatever the domain says comes back as it was, and what is usual stays small.

use super::{
    calls::Item,
    keys::Key,
    push_items_tests::push_record,
    records::{definition_in, definition_item, json_of, record_of},
    schema::{DUE_SHARD, EXPIRES_AT, LOOK_AGAIN_AT},
    size,
    state_item::{StateItem, travels},
    values::attributes_of,
};
use proptest::{collection::vec, option::of, prelude::*};
use rondo_domain::{
    call::{CallFailure, FailureKind, Method},
    execution::{Attempt, Execution, ExecutionStatus, RecordClaim, Round},
    ids::{AppKey, ExecutionId, ScheduleId, Token},
    policy::{Delivery, Policy},
    ports::StoreError,
    schedule::{Body, Contract, Definition, HttpTarget, RequestFields, Target},
    state::{Claim, Counts, FarWake, Mark, Run, State, Status},
    time::{Span, Timestamp},
    trigger::{Interval, Single, Trigger},
};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};

const RETENTION: Span = Span::from_secs(30 * 86_400);
const NOW: Timestamp = Timestamp::from_millis(1_764_547_200_123);

fn id() -> ScheduleId {
    ScheduleId::new(NOW, 0x1234_5678_9abc_def0 << 40)
}

/// As Rondo chooses them: 24 hexadecimal digits.
fn app() -> AppKey {
    AppKey::from_random(u128::MAX / 3)
}

fn definition(trigger: Trigger, body: Body) -> Definition {
    let url = format!("https://example.com/{}", "x".repeat(40));
    assert_eq!(url.len(), 60);
    Definition {
        id: id(),
        app: app(),
        name: None,
        trigger,
        occurrences: None,
        target: Target::Http(HttpTarget {
            url: url.parse().expect("a URL"),
            method: Method::Post,
            headers: Vec::new(),
            body,
        }),
        delivery: Delivery::default(),
        policy: Policy::default(),
        tags: BTreeMap::new(),
        created_at: NOW,
        updated_at: NOW,
        request: None,
        push: None,
    }
}

fn item_of(state: State) -> StateItem {
    StateItem {
        state,
        created_with: Token(0x9e37_79b9_7f4a_7c15),
        counted: false,
        counted_push: false,
        contract: None,
        beside: None,
        definition: None,
        record: None,
    }
}

/// A schedule every five seconds that has run for a month, with one execution under way.
fn recurring() -> StateItem {
    let at = |seconds: u64| NOW.plus(Span::from_secs(seconds));
    let mut state = State::new(id(), app(), None, NOW, Token(0x9e37_79b9_7f4a_7c15));
    state.status = Status::Active;
    state.version = 3_100;
    state.revision = 1_040_000;
    state.anchor = Mark { number: 518_400, at: at(2_592_000) };
    state.planned = 518_520;
    state.claims = vec![Claim {
        number: 518_401,
        at: at(2_592_005),
        due: at(2_592_005),
        generation: 1,
        token: Token(u64::MAX),
        lease_until: at(2_592_080),
        tries: 1,
        skip: false,
    }];
    state.last_claimed = Some(Mark { number: 518_401, at: at(2_592_005) });
    state.counts = Counts { done: 518_400, failed: 12, missed: 3, skipped: 0 };
    state.look_again_at = Some(at(2_592_900));
    state.next_due = Some(at(2_592_010));
    state.first_sent_at = Some(at(5));
    state.last_status = Some(200);
    state.plan_token = Token(u64::MAX - 1);
    item_of(state)
}

fn attempt(status: u16) -> Attempt {
    Attempt {
        sent_at: NOW,
        first_byte_at: Some(NOW.plus(Span::from_millis(41))),
        done_at: NOW.plus(Span::from_millis(42)),
        status: Some(status),
        failure: None,
        body: String::new(),
    }
}

fn succeeded(id: ExecutionId) -> Execution {
    let mut record = Execution::new(id, app(), 1, NOW, NOW, Token(u64::MAX));
    record.status = ExecutionStatus::Succeeded;
    record.attempts.push(attempt(200));
    record
}

#[test]
fn a_recurring_schedules_state_is_small() {
    let item = recurring();
    let bytes = size::item(&item.item(RETENTION).expect("it can be written"));
    println!("the state of a schedule every 5 s, one execution under way: {bytes} bytes");
    assert!(bytes < 600, "{bytes} bytes");
}

#[test]
fn a_callback_and_its_record_fit_into_a_write_unit() {
    let at = NOW.plus(Span::from_secs(86_400));
    let definition = definition(
        Trigger::Single(Single { at }),
        Body::Json(json!({"order": 4711, "event": "reminder", "customer": "c-1029"})),
    );
    let json = json_of(&definition).expect("it can be written");
    assert!(travels(&definition, &json));
    let mut state = State::new(id(), app(), None, NOW, Token(0x9e37_79b9_7f4a_7c15));
    state.status = Status::Active;
    (state.planned, state.exhausted) = (1, true);
    state.far_wake = Some(FarWake { at, generation: 1 });
    state.next_due = Some(at);
    state.look_again_at = Some(at);
    let claim = Claim {
        number: 1,
        at,
        due: at,
        generation: 1,
        token: Token(u64::MAX),
        lease_until: at,
        tries: 1,
        skip: false,
    };
    let mut item = StateItem { definition: Some(Arc::from(json)), counted: true, ..item_of(state) };
    let created = size::item(&item.item(RETENTION).expect("it can be written"));
    item.state.claims = vec![claim];
    item.state.last_claimed = Some(Mark { number: 1, at });
    let claimed = size::item(&item.item(RETENTION).expect("it can be written"));
    let sent_at = Some(at);
    let closing = rondo_domain::state::Closing::Over(ExecutionStatus::Succeeded);
    assert!(item.state.close(1, Token(u64::MAX), closing, Some(200), sent_at, at).finished);
    item.record = Some(succeeded(id().execution(1, 0)));
    let closed = size::item(&item.item(RETENTION).expect("it can be written"));
    println!("a one-time callback: {created} bytes created, {claimed} claimed, {closed} closed");
    assert!(created < 1024 && claimed < 1024 && closed < 1024, "{created}, {claimed}, {closed}");
}

#[test]
fn what_has_ended_expires_and_is_looked_at_no_more() {
    let mut item = recurring();
    item.state.status = Status::Canceled;
    item.state.ended_at = Some(NOW);
    item.state.look_again_at = None;
    let attributes = item.item(RETENTION).expect("it can be written");
    let expires = attributes[EXPIRES_AT].as_n().expect("a number").parse::<i64>().expect("whole");
    assert_eq!(expires, NOW.plus(RETENTION).seconds());
    assert!(!attributes.contains_key(DUE_SHARD) && !attributes.contains_key(LOOK_AGAIN_AT));
    let live = recurring().item(RETENTION).expect("it can be written");
    assert!(live.contains_key(DUE_SHARD) && !live.contains_key(EXPIRES_AT));
}

#[test]
fn a_users_body_comes_back_letter_by_letter() {
    let body = json!({"big": 12_345_678_901_234_567_890_u64, "pi": 0.1 + 0.2, "z": 1, "a": [null, {}]});
    let definition = definition(Trigger::Single(Single { at: NOW }), Body::Json(body));
    let json = json_of(&definition).expect("it can be written");
    let item = definition_item(id(), &json, Some(NOW));
    assert_eq!(item["definition"].as_s().expect("text"), &json);
    assert_eq!(*definition_in(&item).expect("it can be read"), definition);
    let state = State::new(id(), app(), None, NOW, Token(1));
    let state = StateItem { definition: Some(Arc::from(json.as_str())), ..item_of(state) };
    let again = StateItem::read(&state.item(RETENTION).expect("it can be written")).expect("it can be read");
    assert_eq!(again.definition.as_deref(), Some(json.as_str()));
}

#[test]
fn only_small_schedules_that_fire_once_travel_with_their_state() {
    let single = Trigger::Single(Single { at: NOW });
    let every = Trigger::Interval(Interval { every: Span::from_secs(5), first: NOW, end: None });
    let travels = |definition: &Definition| travels(definition, &json_of(definition).expect("JSON"));
    assert!(travels(&definition(single.clone(), Body::Empty)));
    assert!(!travels(&definition(every.clone(), Body::Empty)));
    assert!(travels(&Definition { occurrences: Some(1), ..definition(every, Body::Empty) }));
    assert!(!travels(&definition(single, Body::Text("x".repeat(4000)))));
}

/// An item that is wrong names itself, and says nothing of what it holds.
#[test]
fn what_cannot_be_read_names_the_item_alone() {
    use aws_sdk_dynamodb::types::AttributeValue::{L, M, N, S};
    let good = recurring().item(RETENTION).expect("it can be written");
    let secret = || S("s3cret".to_owned());
    for (name, wrong) in [
        ("anchor", secret()),
        ("claims", L(vec![secret()])),
        ("app_shard", secret()),
        ("created_with", secret()),
        ("record", M([("status".to_owned(), secret())].into())),
        ("status", secret()),
        ("revision", N("-5".to_owned())),
    ] {
        let mut item = good.clone();
        item.insert(name.to_owned(), wrong);
        let error = StateItem::read(&item).expect_err(name);
        let StoreError::Corrupt(text) = &error else { panic!("{error}") };
        assert!(text.contains(&format!("SCHEDULE#{} STATE", id())), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
    let mut torn = definition_item(id(), r#"{"id": "s3cret"#, None);
    let error = definition_in(&torn).expect_err("torn JSON").to_string();
    assert!(error.contains("DEFINITION") && !error.contains("s3cret"), "{error}");
    torn.remove("definition");
    assert!(definition_in(&torn).is_err());
}

/// Items of a version that knew fewer fields than the domain does now, and of one that knows more.
#[test]
fn older_and_newer_items_can_be_read() {
    let item = recurring();
    let mut attributes = item.item(RETENTION).expect("it can be written");
    attributes.remove("planned");
    attributes.insert("of_tomorrow".to_owned(), super::calls::number(1));
    let read = StateItem::read(&attributes).expect("it can be read");
    assert_eq!(read.state, State { planned: 0, ..item.state });
}

fn at() -> impl Strategy<Value = Timestamp> {
    (0i64..253_402_300_799_999).prop_map(Timestamp::from_millis)
}

fn mark() -> impl Strategy<Value = Mark> {
    (any::<u32>(), at()).prop_map(|(number, at)| Mark { number, at })
}

fn token() -> impl Strategy<Value = Token> {
    any::<u64>().prop_map(Token)
}

fn claim() -> impl Strategy<Value = Claim> {
    let times = (at(), at(), at());
    (any::<u32>(), times, any::<u32>(), token(), any::<u8>(), any::<bool>()).prop_map(
        |(number, (at, due, lease_until), generation, token, tries, skip)| Claim {
            number,
            at,
            due,
            generation,
            token,
            lease_until,
            tries,
            skip,
        },
    )
}

fn status() -> impl Strategy<Value = Status> {
    (0..Status::ALL.len()).prop_map(|which| Status::ALL[which])
}

prop_compose! {
    fn state()(
        status in status(),
        (generation, version, revision) in (1..u32::MAX, 1..u64::MAX, 1..u64::MAX),
        (occurrences, planned, waiting, manual_runs) in (of(any::<u32>()), any::<u32>(), 0u32..3, 0u32..3),
        (anchor, last_claimed) in (mark(), of(mark())),
        beyond in vec((mark(), mark()).prop_map(|(from, to)| Run { from, to }), 0..3),
        claims in vec(claim(), 0..3),
        (done, failed, missed, skipped) in (any::<u32>(), 0u32..2, 0u32..2, 0u32..2),
        (look_again_at, next_due, first_sent_at, ended_at) in (of(at()), of(at()), of(at()), of(at())),
        far_wake in of((at(), any::<u32>()).prop_map(|(at, generation)| FarWake { at, generation })),
        (last_status, ended_because) in (of(-1i32..600), of(".{0,20}")),
        (exhausted, untold, overdue_looks) in (any::<bool>(), any::<bool>(), any::<u8>()),
        (change_token, plan_token) in (token(), token()),
    ) -> State {
        State {
            status, generation, version, revision, occurrences, anchor, beyond, planned, exhausted, claims,
            last_claimed, waiting, manual_runs, look_again_at, far_wake, next_due, first_sent_at, last_status,
            ended_at, ended_because, untold, change_token, plan_token, overdue_looks,
            counts: Counts { done, failed, missed, skipped },
            ..State::new(id(), app(), None, NOW, Token(0))
        }
    }
}

prop_compose! {
    fn record(id: ExecutionId)(
        generation in any::<u32>(),
        (nominal_at, due_at) in (at(), at()),
        status in (0..ExecutionStatus::ALL.len()).prop_map(|which| ExecutionStatus::ALL[which]),
        (through, next_attempt_at) in (of(any::<u32>()), of(at())),
        attempts in vec((at(), of(at()), at(), of(100u16..600), ".{0,30}", any::<bool>()), 0..3),
        (reason, comment) in (of(".{0,20}"), of(".{0,20}")),
        claim in of((token(), at(), any::<u8>())),
        token in token(),
        counted in of(Just(ExecutionStatus::Failed)),
        round in of((at(), any::<u16>())),
    ) -> Execution {
        Execution {
            generation, status, through, reason, next_attempt_at, comment, counted_as: counted,
            attempts: attempts.into_iter().map(|(sent_at, first_byte_at, done_at, status, body, fails)| Attempt {
                sent_at, first_byte_at, done_at, status, body,
                failure: fails.then(|| CallFailure { kind: FailureKind::Timeout, detail: "late".to_owned() }),
            }).collect(),
            claim: claim.map(|(token, lease_until, tries)| RecordClaim { token, lease_until, tries }),
            round: round.map(|(since, attempts_before)| Round { since, attempts_before }),
            ..Execution::new(id, app(), 1, nominal_at, due_at, token)
        }
    }
}

proptest! {
    #[test]
    fn every_state_comes_back(
        state in state(),
        created_with in token(),
        (counted, counted_push, beside) in (any::<bool>(), any::<bool>(), of(any::<u64>())),
        contract in of(prop::sample::select(vec![Contract::Requests, Contract::Pushes])),
        record in of(record(id().execution(1, 0))),
    ) {
        let item = StateItem {
            state, created_with, counted, counted_push, contract, beside, definition: None, record,
        };
        let stored = item.item(RETENTION).expect("it can be written");
        prop_assert_eq!(StateItem::read(&stored).expect("it can be read"), item);
    }

    #[test]
    fn every_record_comes_back(
        number in 1..u32::MAX,
        page in of(any::<(u8, u16)>()),
        record in record(id().execution(7, 3)),
        push in of(push_record()),
    ) {
        let execution = id().execution(number, 3);
        let execution = page.map_or(execution, |(slot, page)| execution.page(slot, page));
        let record = Execution { id: execution, push: push.map(Box::new), ..record };
        let mut item: Item = attributes_of(&record).expect("it can be written");
        item.remove("id");
        item.extend(Key::of_execution(record.id).item());
        prop_assert_eq!(record_of(&item).expect("it can be read"), record);
    }

    #[test]
    fn every_definition_comes_back(
        (name, text) in (of(".{0,20}"), ".{0,200}"),
        tags in vec(("[a-z]{1,5}", ".{0,9}"), 0..3),
        number in of(any::<u64>()),
    ) {
        let request = number.map(|internal_id| RequestFields { internal_id, delay: Span::from_secs(1) });
        let whole = definition(Trigger::Single(Single { at: NOW }), Body::Text(text));
        let whole = Definition { name, request, tags: tags.into_iter().collect(), ..whole };
        let json = json_of(&whole).expect("it can be written");
        let item = definition_item(id(), &json, None);
        prop_assert_eq!(&*definition_in(&item).expect("it can be read"), &whole);
    }
}
