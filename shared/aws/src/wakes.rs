//! The `Wakes` port: near ones through the queue, far ones as one-time schedules of EventBridge Scheduler, which send
//! to the same queue. Nothing depends on either: a wake that is lost is found by its `look_again_at`.

use crate::{
    SqsQueue, envelope,
    failures::{unavailable, why},
};
use async_trait::async_trait;
use aws_sdk_scheduler::{
    Client,
    types::{
        ActionAfterCompletion, DeadLetterConfig, FlexibleTimeWindow, FlexibleTimeWindowMode, RetryPolicy,
        Target,
    },
};
use rondo_domain::{
    ids::ScheduleId,
    message::Delayed,
    ports::{Queue as _, StoreError, Wake, Wakes},
    state::FarWake,
    time::{Span, Timestamp},
};

/// How long EventBridge Scheduler goes on trying to reach the queue. What it could not deliver by then the sweeper
/// has woken long since; the most that it allows, a day, would only bring wakes that nobody needs.
const TRIES_FOR_SECONDS: i32 = 3600;
/// As many as it allows: time alone is to end them.
const RETRIES: i32 = 185;
/// It fires within a minute of its instant, and then removes what it fired: later than this there is nothing left
/// to remove.
const FIRED_AFTER: Span = Span::from_secs(120);
/// What EventBridge Scheduler passes on (its quota for a target's input).
const MAX_INPUT_BYTES: usize = 256 * 1024;

#[derive(Clone)]
pub struct SchedulerWakes {
    client: Client,
    queue: SqsQueue,
    place: SchedulePlace,
}

/// Where schedules are made, and what they do.
#[derive(Clone, Debug)]
pub struct SchedulePlace {
    pub group: String,
    pub queue_arn: String,
    pub role_arn: String,
    pub dead_letter_arn: Option<String>,
}

impl SchedulerWakes {
    pub fn new(client: Client, queue: SqsQueue, place: SchedulePlace) -> SchedulerWakes {
        SchedulerWakes { client, queue, place }
    }

    /// Once, within a minute after the second in which `wake.at` lies; then it removes itself.
    async fn create(&self, wake: Wake) -> Result<(), StoreError> {
        let name = name(wake.id, FarWake { at: wake.at, generation: wake.generation });
        let expression = expression(wake.at);
        let input = envelope::write(&Delayed { at: wake.at, message: wake.message });
        if input.len() > MAX_INPUT_BYTES {
            let size = input.len();
            return Err(StoreError::TooLarge(format!(
                "a wake of {size} bytes; a schedule takes {MAX_INPUT_BYTES}"
            )));
        }
        let broken = |error: &dyn std::error::Error| StoreError::Unavailable(error.to_string());
        let dead_letters = DeadLetterConfig::builder().set_arn(self.place.dead_letter_arn.clone()).build();
        let retries = RetryPolicy::builder()
            .maximum_event_age_in_seconds(TRIES_FOR_SECONDS)
            .maximum_retry_attempts(RETRIES)
            .build();
        let target = Target::builder()
            .arn(&self.place.queue_arn)
            .role_arn(&self.place.role_arn)
            .input(input)
            .retry_policy(retries)
            .set_dead_letter_config(self.place.dead_letter_arn.is_some().then_some(dead_letters))
            .build()
            .map_err(|error| broken(&error))?;
        let window = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build();
        let created = self
            .client
            .create_schedule()
            .name(name)
            .group_name(&self.place.group)
            .schedule_expression(expression)
            .schedule_expression_timezone("UTC")
            .flexible_time_window(window.map_err(|error| broken(&error))?)
            .action_after_completion(ActionAfterCompletion::Delete)
            .target(target)
            .send()
            .await;
        match created {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                // The same name is the same wake: made before, and its answer lost.
                Some(known) if known.is_conflict_exception() => Ok(()),
                Some(known) if known.is_service_quota_exceeded_exception() => {
                    Err(StoreError::Full(format!("{}: {}", self.what(), why(&error))))
                }
                _ => Err(unavailable(&self.what(), &error)),
            },
        }
    }

    fn what(&self) -> String {
        format!("schedule group {}", self.place.group)
    }
}

#[async_trait]
impl Wakes for SchedulerWakes {
    async fn set(&self, wake: Wake) -> Result<(), StoreError> {
        if wake.far {
            return self.create(wake).await;
        }
        self.queue.send(vec![Delayed { at: wake.at, message: wake.message }]).await
    }

    /// What is in the queue cannot be taken out: it is of an older generation, and dropped as it comes.
    async fn clear(&self, id: ScheduleId, far: Option<FarWake>) -> Result<(), StoreError> {
        let Some(far) = far.filter(|far| self.queue.now() < far.at.plus(FIRED_AFTER)) else { return Ok(()) };
        let deleted =
            self.client.delete_schedule().name(name(id, far)).group_name(&self.place.group).send().await;
        match deleted {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(|known| known.is_resource_not_found_exception()) =>
            {
                Ok(())
            }
            Err(error) => Err(unavailable(&self.what(), &error)),
        }
    }
}

/// `<schedule id>-<generation>-<ms since 1970>`: at most 64 characters, as EventBridge Scheduler demands.
pub fn name(id: ScheduleId, far: FarWake) -> String {
    format!("{id}-{}-{}", far.generation, far.at.millis())
}

/// Whole seconds, rounded down: it fires late, never early.
fn expression(at: Timestamp) -> String {
    format!("at({})", at.utc().format("%Y-%m-%dT%H:%M:%S"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_in_utc_to_the_second() {
        assert_eq!(expression(Timestamp::from_millis(1_764_547_199_999)), "at(2025-11-30T23:59:59)");
        assert_eq!(expression(Timestamp::MAX), "at(9999-12-31T23:59:59)");
    }

    #[test]
    fn the_longest_name_is_short_enough() {
        let id = ScheduleId::new(Timestamp::MAX, u128::MAX);
        let name = name(id, FarWake { at: Timestamp::MAX, generation: u32::MAX });
        assert!(name.len() <= 64, "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{name}");
    }
}
