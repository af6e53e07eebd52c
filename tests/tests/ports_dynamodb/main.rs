//! The store on DynamoDB, as two emulators do it: ministack, and moto as a second opinion. First the contract of the
//! ports, then what is DynamoDB's alone: several processes on one table, lost answers beneath the SDK, items and
//! their cost, lists over shards, removals that are cut off.
//!
//! Neither emulator knows what an eventually consistent read is.

mod devices;
mod lists;
mod one_item;
mod pages;
mod processes;
mod removal;
mod table;
mod troubles;

use rondo_tests::{
    faults::{
        Stores,
        sdk::{Fault, Lost, faulty},
    },
    port_suite::World,
};
use serde_json::{Map, Value};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, atomic::Ordering},
};

mod ministack {
    async fn world() -> rondo_tests::port_suite::World {
        crate::table::Table::new().await.world()
    }

    rondo_tests::port_suite!(crate::ministack::world);
}

/// Moto undoes a refused transaction by putting the whole table back as it was, other requests' writes of the
/// meantime with it. So it is asked one thing at a time.
mod moto {
    async fn world() -> rondo_tests::port_suite::World {
        crate::table::Table::of(rondo_tests::emulator::Emulator::moto(), crate::table::one_at_a_time())
            .await
            .world()
    }

    rondo_tests::port_suite!(crate::moto::world, once);
}

/// Each write is done, its answer lost, and done again by the SDK. But for the numbers of requests, which then have
/// gaps, everything is as if it had been done once.
mod every_answer_lost_beneath_the_sdk {
    rondo_tests::port_suite! { @tests once crate::forgetful_world;
        apps: keys_are_unique replacing_is_conditional removing_takes_everything
            listeners_are_kept_by_url a_failing_listener_is_removed;
        schedules: creating_is_all_or_nothing the_limit_is_exact_under_concurrency
            the_push_limit_counts_pushes_alone the_push_limit_is_exact_under_concurrency
            a_key_makes_one_schedule a_key_is_free_once_it_expires
            a_key_goes_before_the_limit of_many_with_one_key_one_is_made a_change_is_made_once
            a_change_is_conditional a_refused_change_writes_nothing a_change_stores_its_definition
            an_edit_stores_its_definition_and_stops_nothing
            no_older_generation_is_claimed_after_a_change;
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
        scans: a_scan_goes_by_position;
    }
}

/// Fails its test where no answer was lost.
struct LosesSomething(Lost);

impl Drop for LosesSomething {
    fn drop(&mut self) {
        assert!(std::thread::panicking() || self.0.load(Ordering::SeqCst) > 0, "no answer was lost");
    }
}

/// Not [`rondo_tests::faults::sdk::forgetful`]: a transaction that is tried again has another request token, and
/// losing its answer as well would use up what the SDK grants a client for retries.
async fn forgetful_world() -> World {
    let table = table::Table::new().await;
    let (lost, seen) = (Lost::default(), Mutex::new(HashSet::new()));
    let count = Arc::clone(&lost);
    let http = faulty(rondo_aws::http::client(), move |asked| {
        let mut body: Map<String, Value> = serde_json::from_slice(asked.body).unwrap_or_default();
        body.remove("ClientRequestToken");
        let write = format!("{} {}", asked.operation, Value::Object(body));
        let first = asked.writes && seen.lock().expect("nobody panics under it").insert(write);
        count.fetch_add(u32::from(first), Ordering::SeqCst);
        first.then_some(Fault::LoseAnswer)
    });
    let stores = Stores::of(&table.store_through(http));
    World { stores, keep: Box::new(LosesSomething(lost)), leases_lapse: true }
}
