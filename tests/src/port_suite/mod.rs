//! What every adapter of the ports has to keep, as tests that run against any of them. An adapter's test file
//! names a [`World`], and `port_suite!` makes each function here a test of it, twice: with the stores as they
//! are, and with a layer before them that loses the answer of every write once, after it was done.

pub mod apps;
pub mod devices;
pub mod executions;
pub mod listing;
pub mod pages;
pub mod plans;
pub mod retries;
pub mod scans;
pub mod schedules;

use crate::faults::{Faulty, ForgetAnswers, Stores};
use rondo_domain::{
    call::Method,
    execution::{Attempt, Execution, ExecutionStatus},
    ids::{AppKey, NO_SLOT, ScheduleId, Token},
    plan::{Plan, PlanWrite},
    policy::{Delivery, Overlap, Policy},
    ports::{ChangeWrite, CloseWrite, Created, NewSchedule, Schedule, StoreError},
    push::{PushFields, PushTarget},
    schedule::{Body, Definition, HttpTarget, RequestFields, Target},
    state::{ClaimAsk, Closing, State},
    time::{Span, Timestamp},
    trigger::{FanOut, Interval, Times, Trigger},
};
use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// One world under test. `keep` holds whatever must live as long as its stores.
pub struct World {
    pub stores: Stores,
    pub keep: Box<dyn std::any::Any + Send + Sync>,
    /// Whether a claim's lease can end while its process lives.
    pub leases_lapse: bool,
}

/// The world as the tests use it: each write is asked for again as long as its answer is lost.
pub struct Suite {
    pub stores: Stores,
    pub leases_lapse: bool,
    chance: AtomicU64,
    _keep: Box<dyn std::any::Any + Send + Sync>,
}

/// The suite's midnight.
pub const START: Timestamp = Timestamp::from_millis(1_900_000_000_000);

pub fn at(seconds: u64) -> Timestamp {
    START.plus(Span::from_secs(seconds))
}

/// Asks again as long as the answer is lost: what every caller of a port does.
pub async fn insist<T, F: Future<Output = Result<T, StoreError>>>(mut write: impl FnMut() -> F) -> T {
    // Many at once share one layer of faults, and any of them may be hit more than once.
    let mut last = String::new();
    for turn in 0..100 {
        match write().await {
            Ok(answer) => return answer,
            Err(StoreError::Unavailable(why)) => last = why,
            Err(error) => panic!("{error}"),
        }
        // Real time, and only where it is no longer about lost answers: an emulator on a busy machine needs a moment.
        if turn >= 20 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    panic!("the store never answers, and at last: {last}");
}

impl Suite {
    pub fn new(world: World, forgets_answers: bool) -> Suite {
        let stores = if forgets_answers {
            let gate = Arc::new(ForgetAnswers::default());
            Stores::of(&Arc::new(Faulty { inner: world.stores, queue: None, gate, torn_close: None }))
        } else {
            world.stores
        };
        Suite { stores, leases_lapse: world.leases_lapse, chance: AtomicU64::new(1), _keep: world.keep }
    }

    pub fn token(&self) -> Token {
        Token(self.chance.fetch_add(1, Ordering::SeqCst))
    }

    /// Due every ten seconds from [`START`] on.
    pub fn draft(&self, app: &AppKey) -> NewSchedule {
        let random = u128::from(self.chance.fetch_add(1, Ordering::SeqCst)) << 41;
        let id = ScheduleId::new(START.plus(Span::from_millis((random >> 41) as u64)), random);
        let definition = Definition {
            id,
            app: app.clone(),
            name: Some("Nightly report".to_owned()),
            trigger: Trigger::Interval(Interval { every: Span::from_secs(10), first: START, end: None }),
            occurrences: None,
            target: Target::Http(HttpTarget {
                url: "https://target.example/".parse().expect("a URL"),
                method: Method::Post,
                headers: Vec::new(),
                body: Body::Empty,
            }),
            delivery: Delivery::default(),
            policy: Policy::default(),
            tags: BTreeMap::new(),
            created_at: START,
            updated_at: START,
            request: None,
            push: None,
        };
        let mut state = State::new(id, app.clone(), None, START.minus(Span::from_millis(1)), self.token());
        state.look_again_at = Some(at(60));
        NewSchedule { definition, state, number_it: false, limit: None, push_limit: None, idempotency: None }
    }

    pub async fn create(&self, new: NewSchedule) -> ScheduleId {
        let id = new.state.id;
        let created = insist(|| self.stores.schedules.create(new.clone())).await;
        assert!(matches!(created, Created::Done(_)), "{created:?}");
        id
    }

    pub async fn schedule(&self, app: &AppKey) -> ScheduleId {
        self.create(self.draft(app)).await
    }

    pub async fn limited(&self, app: &AppKey, occurrences: u32) -> ScheduleId {
        let mut new = self.draft(app);
        new.definition.occurrences = Some(occurrences);
        new.state.occurrences = Some(occurrences);
        self.create(new).await
    }

    pub async fn load(&self, id: ScheduleId) -> Schedule {
        self.stores.schedules.load(id).await.expect("a read").expect("it is there")
    }

    pub async fn state(&self, id: ScheduleId) -> State {
        self.load(id).await.state
    }

    pub fn ask(&self, id: ScheduleId, number: u32, now: Timestamp) -> ClaimAsk {
        let due = at(u64::from(number - 1) * 10);
        ClaimAsk {
            id,
            number,
            at: due,
            due,
            generation: 1,
            token: self.token(),
            lease_until: now.plus(Span::from_secs(75)),
            overlap: Overlap::Allow,
        }
    }

    /// Claims, and says under which token.
    pub async fn claim(&self, id: ScheduleId, number: u32, now: Timestamp) -> Token {
        let ask = self.ask(id, number, now);
        let answer = insist(|| self.stores.states.claim(&ask, now)).await;
        assert!(matches!(answer, rondo_domain::state::ClaimAnswer::Claimed { tries: 1 }), "{answer:?}");
        ask.token
    }

    pub async fn write(
        &self,
        id: ScheduleId,
        number: u32,
        token: Token,
        status: ExecutionStatus,
        now: Timestamp,
    ) -> CloseWrite {
        let app = self.state(id).await.app;
        let due = at(u64::from(number.min(1000) - 1) * 10);
        let mut execution = Execution::new(id.execution(number, NO_SLOT), app, 1, due, due, token);
        execution.status = status;
        let waits = status == ExecutionStatus::Waiting;
        execution.next_attempt_at = waits.then(|| now.plus(Span::from_secs(5)));
        execution.attempts.push(Attempt {
            sent_at: now,
            first_byte_at: None,
            done_at: now,
            status: Some(if status == ExecutionStatus::Succeeded { 200 } else { 500 }),
            failure: None,
            body: "kept".to_owned(),
        });
        let closing = if waits { Closing::Waiting } else { Closing::Over(status) };
        let last_status = execution.last_status();
        CloseWrite { execution, closing, last_status, now, tell_end: false }
    }

    /// Claims and closes.
    pub async fn run(&self, id: ScheduleId, number: u32, status: ExecutionStatus, now: Timestamp) {
        let token = self.claim(id, number, now).await;
        let write = self.write(id, number, token, status, now).await;
        let closed = insist(|| self.stores.states.close(write.clone())).await;
        assert!(closed.applied, "number {number} was not closed");
    }

    pub fn plan(&self, state: &State) -> PlanWrite {
        let plan = Plan {
            spread: Span::ZERO,
            send: Vec::new(),
            missed: Vec::new(),
            planned: state.planned,
            exhausted: false,
            next_wake: None,
            look_again_at: Some(at(600)),
            look_when_idle: None,
            next_due: None,
        };
        PlanWrite { id: state.id, if_version: state.version, token: self.token(), plan, far_wake: None }
    }

    pub fn change(&self, state: &State, change: rondo_domain::change::Change, now: Timestamp) -> ChangeWrite {
        ChangeWrite {
            id: state.id,
            if_revision: state.revision,
            token: self.token(),
            change,
            definition: None,
            now,
            tell_end: false,
        }
    }

    pub fn numbered(&self, app: &AppKey) -> NewSchedule {
        let mut new = self.draft(app);
        new.number_it = true;
        new.definition.request = Some(RequestFields { internal_id: 0, delay: Span::ZERO });
        new
    }

    /// A scheduled push.
    pub fn push(&self, app: &AppKey) -> NewSchedule {
        let mut new = self.draft(app);
        let wall = at(86_400).utc().naive_utc();
        let times = Times::Single(wall);
        let trigger = FanOut { times, zone: chrono_tz::UTC, per_recipient: true, from: START };
        new.definition.trigger = Trigger::FanOut(trigger);
        let push =
            serde_json::json!({"to": "all", "body": {"platform": "all", "notification": {"alert": "Hi"}}});
        new.definition.target = Target::Push(PushTarget { push });
        let single = serde_json::json!({"single": {"time": wall.to_string(), "zone_type": 2}});
        new.definition.push = Some(PushFields { trigger: Some(single), extra: Default::default() });
        new
    }

    /// A push that is sent at once: none of the app's scheduled ones.
    pub fn push_now(&self, app: &AppKey) -> NewSchedule {
        let mut new = self.push(app);
        new.definition.push = Some(PushFields { trigger: None, extra: Default::default() });
        new
    }
}

pub fn key(name: &str) -> AppKey {
    name.parse().expect("an app's key")
}

/// Makes tests of all functions of the suite. `$world` is an async function that opens a new, empty world. With
/// `once`, no answer is lost before the stores: where a world is slow, or loses answers further down.
#[macro_export]
macro_rules! port_suite {
    (@tests $how:ident $world:path; $($module:ident: $($test:ident)+;)+) => {$(
        mod $module {
            $(
                mod $test {
                    rondo_tests::port_suite!(@$how $world, $module, $test);
                }
            )+
        }
    )+};
    (@once $world:path, $module:ident, $test:ident) => {
        #[tokio::test]
        async fn as_it_is() {
            let suite = rondo_tests::port_suite::Suite::new($world().await, false);
            rondo_tests::port_suite::$module::$test(&suite).await;
        }
    };
    (@twice $world:path, $module:ident, $test:ident) => {
        rondo_tests::port_suite!(@once $world, $module, $test);

        #[tokio::test]
        async fn with_every_answer_lost() {
            let suite = rondo_tests::port_suite::Suite::new($world().await, true);
            rondo_tests::port_suite::$module::$test(&suite).await;
        }
    };
    ($world:path) => {
        $crate::port_suite! { @all twice $world }
    };
    ($world:path, once) => {
        $crate::port_suite! { @all once $world }
    };
    (@all $how:ident $world:path) => {
        $crate::port_suite! { @tests $how $world;
            apps: keys_are_unique replacing_is_conditional removing_takes_everything
                listeners_are_kept_by_url a_failing_listener_is_removed;
            schedules: creating_is_all_or_nothing the_limit_is_exact_under_concurrency
                requests_are_numbered_per_app
                the_push_limit_counts_pushes_alone the_push_limit_is_exact_under_concurrency
                a_key_makes_one_schedule a_key_is_free_once_it_expires
                a_key_goes_before_the_limit of_many_with_one_key_one_is_made a_change_is_made_once a_change_is_conditional
                a_refused_change_writes_nothing a_change_stores_its_definition
                an_edit_stores_its_definition_and_stops_nothing
                no_older_generation_is_claimed_after_a_change;
            listing: pages_are_newest_first_and_complete filters_combine apps_do_not_see_each_other
                contracts_have_their_own_lists;
            plans: a_plan_is_saved_over_its_version_alone missed_runs_are_one_record a_plan_may_finish
                a_plan_never_closes_what_is_claimed overdue_ones_come_most_overdue_first
                looking_later_doubles telling_the_end_ends_the_look;
            executions: a_number_is_claimed_once a_lapsed_claim_is_taken_over overlap_skips
                closing_counts_once the_last_close_finishes a_wrong_token_closes_nothing
                records_are_paged_both_ways a_comment_is_kept;
            retries: a_waiting_execution_gets_its_outcome_once a_change_drops_what_waits
                a_lapsed_attempt_is_taken_over a_run_by_hand_counts_nowhere
                a_redelivery_changes_the_outcome_not_the_count waiting_ones_are_found;
            pages: pages_are_opened_once many_open_the_same_pages pages_are_listed_after_their_occurrence
                a_page_is_told_for_itself pages_hold_up_the_end a_change_drops_pages;
            devices: putting_is_conditional of_many_writers_one_wins apps_have_their_own_devices aliases_are_paged
                groups_follow_their_devices one_is_told_of_each_occasion;
            scans: a_scan_goes_by_position ranges_divide_a_group those_who_moved_are_found
                an_audience_is_whom_it_admits;
        }
    };
}
