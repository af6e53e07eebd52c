//! The `Wakes` port on EventBridge Scheduler and SQS, against ministack. What fires, and when, is the end-to-end
//! tests' business; ministack validates little, so what is asked is compared word by word.

use rondo_aws::{
    AwsSettings, Clients, Meter, SchedulerWakes, SqsQueue, envelope, http,
    wakes::{self, SchedulePlace},
};
use rondo_domain::{
    ids::ScheduleId,
    message::{Delayed, Message},
    ports::{Clock as _, StoreError, Wake, Wakes as _},
    state::FarWake,
    time::{Span, Timestamp},
};
use rondo_system::SystemClock;
use rondo_tests::{
    emulator::Emulator,
    faults::sdk::{Fault, Service, faulty, forgetful, throttling},
};
use serde_json::json;
use std::sync::{Arc, atomic::Ordering};

struct World {
    settings: AwsSettings,
    clients: Clients,
}

impl World {
    async fn new() -> World {
        let (settings, clients) = Emulator::ministack().with_queue(None).await;
        World { settings, clients }
    }

    fn place(&self) -> SchedulePlace {
        SchedulePlace {
            group: self.settings.schedule_group.clone().expect("it has a group"),
            queue_arn: self.settings.queue_arn.clone().expect("it has a queue"),
            role_arn: self.settings.scheduler_role_arn.clone().expect("it has a role"),
            dead_letter_arn: Some("arn:aws:sqs:us-east-1:000000000000:dead".to_owned()),
        }
    }

    fn wakes(&self) -> SchedulerWakes {
        self.through(&self.clients, self.place())
    }

    fn through(&self, clients: &Clients, place: SchedulePlace) -> SchedulerWakes {
        let url = self.settings.queue_url.clone().expect("it has a queue");
        let queue = SqsQueue::new(clients.sqs.clone(), url, Arc::new(SystemClock));
        SchedulerWakes::new(clients.scheduler.clone(), queue, place)
    }

    /// The names of what waits.
    async fn waiting(&self) -> Vec<String> {
        let asked = self.clients.scheduler.list_schedules().group_name(self.place().group);
        let listed = asked.send().await.expect("the group is there");
        listed.schedules.into_iter().filter_map(|schedule| schedule.name).collect()
    }
}

fn wake(ahead: Span, far: bool) -> Wake {
    let id = ScheduleId::new(SystemClock.now(), 7);
    let at = SystemClock.now().plus(ahead);
    Wake { id, generation: 3, at, far, message: Message::Wake { id, generation: 3 } }
}

fn far_of(wake: &Wake) -> FarWake {
    FarWake { at: wake.at, generation: wake.generation }
}

const DAY: Span = Span::from_secs(86_400);

#[tokio::test]
async fn a_far_wake_is_a_one_time_schedule_that_removes_itself() {
    let world = World::new().await;
    let mut wake = wake(DAY, true);
    wake.at = Timestamp::from_millis(4_102_444_799_999);
    world.wakes().set(wake.clone()).await.expect("it is made");
    let name = wakes::name(wake.id, far_of(&wake));
    let place = world.place();
    let asked = world.clients.scheduler.get_schedule().name(&name).group_name(&place.group);
    let made = asked.send().await.expect("it is there");
    assert_eq!(made.schedule_expression.as_deref(), Some("at(2099-12-31T23:59:59)"));
    assert_eq!(made.schedule_expression_timezone.as_deref(), Some("UTC"));
    assert_eq!(made.flexible_time_window.map(|window| window.mode.to_string()).as_deref(), Some("OFF"));
    assert_eq!(made.action_after_completion.map(|action| action.to_string()).as_deref(), Some("DELETE"));
    let target = made.target.expect("it has a target");
    assert_eq!((target.arn, target.role_arn), (place.queue_arn, place.role_arn));
    let retries = target.retry_policy.expect("it says how often");
    assert_eq!(
        (retries.maximum_event_age_in_seconds, retries.maximum_retry_attempts),
        (Some(3600), Some(185))
    );
    assert_eq!(target.dead_letter_config.and_then(|dead| dead.arn), place.dead_letter_arn);
    let carried = envelope::read(target.input.as_deref().unwrap_or_default()).expect("it carries a message");
    assert_eq!(carried, Delayed { at: wake.at, message: wake.message });
}

#[tokio::test]
async fn the_same_wake_again_is_the_same_wake() {
    let world = World::new().await;
    let wake = wake(DAY, true);
    for _ in 0..2 {
        world.wakes().set(wake.clone()).await.expect("made, or there already");
    }
    assert_eq!(world.waiting().await, [wakes::name(wake.id, far_of(&wake))]);
    let other = Wake { generation: 4, ..wake.clone() };
    world.wakes().set(other).await.expect("another generation is another wake");
    assert_eq!(world.waiting().await.len(), 2);
    for _ in 0..2 {
        world.wakes().clear(wake.id, Some(far_of(&wake))).await.expect("removed, or gone already");
    }
    assert_eq!(world.waiting().await, [wakes::name(wake.id, FarWake { generation: 4, ..far_of(&wake) })]);
}

#[tokio::test]
async fn a_near_wake_goes_through_the_queue() {
    let world = World::new().await;
    let wake = wake(Span::ZERO, false);
    world.wakes().set(wake.clone()).await.expect("it is sent");
    assert!(world.waiting().await.is_empty());
    let url = world.settings.queue_url.clone().expect("it has a queue");
    let received =
        world.clients.sqs.receive_message().queue_url(url).send().await.expect("the queue is there");
    let body = received.messages.unwrap_or_default().remove(0).body.expect("messages have a body");
    assert_eq!(envelope::read(&body).expect("it is ours"), Delayed { at: wake.at, message: wake.message });
}

#[tokio::test]
async fn what_has_fired_or_never_was_is_not_asked_for() {
    let world = World::new().await;
    let meter = Meter::default();
    let clients = Clients::new(&world.settings, http::client(), Some(meter.clone()));
    let wakes = world.through(&clients, world.place());
    let id = wake(DAY, true).id;
    let ago = |seconds| FarWake { at: SystemClock.now().minus(Span::from_secs(seconds)), generation: 1 };
    wakes.clear(id, None).await.expect("nothing is to be done");
    wakes.clear(id, Some(ago(125))).await.expect("it has removed itself");
    assert!(meter.read().is_empty());
    wakes.clear(id, Some(ago(60))).await.expect("it may have fired");
    assert_eq!(meter.read()[&("Scheduler".to_owned(), "DeleteSchedule".to_owned())].requests, 1);
}

#[tokio::test]
async fn a_missing_group_is_named() {
    let world = World::new().await;
    let place = SchedulePlace { group: "nowhere".to_owned(), ..world.place() };
    // ministack makes the schedule all the same; this is AWS's answer.
    let body =
        json!({"__type": "ResourceNotFoundException", "Message": "Schedule group nowhere does not exist."});
    let http = faulty(http::client(), move |asked| {
        (asked.service == Service::Scheduler).then(|| Fault::Answer(404, body.to_string()))
    });
    let wakes = world.through(&Clients::new(&world.settings, http, None), place);
    let wake = wake(DAY, true);
    let error = wakes.set(wake.clone()).await.expect_err("there is no such group");
    assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("nowhere")), "{error}");
    wakes.clear(wake.id, Some(far_of(&wake))).await.expect("what is in no group is gone");
}

#[tokio::test]
async fn a_full_account_is_full_and_a_busy_one_is_unavailable() {
    let world = World::new().await;
    for (status, kind, full) in
        [(402, "ServiceQuotaExceededException", true), (429, "ThrottlingException", false)]
    {
        let body = json!({"__type": kind, "Message": "no more"}).to_string();
        let http = faulty(http::client(), move |_| Some(Fault::Answer(status, body.clone())));
        let wakes = world.through(&Clients::new(&world.settings, http, None), world.place());
        let error = wakes.set(wake(DAY, true)).await.expect_err("it is refused");
        let told = error.to_string();
        assert!(told.contains(kind) && told.contains(&world.place().group), "{told}");
        assert_eq!(matches!(error, StoreError::Full(_)), full, "{told}");
    }
}

#[tokio::test]
async fn throttling_is_waited_out() {
    let world = World::new().await;
    let http = throttling(http::client(), "CreateSchedule", 2);
    let wakes = world.through(&Clients::new(&world.settings, http, None), world.place());
    wakes.set(wake(DAY, true)).await.expect("the third try is let through");
    assert_eq!(world.waiting().await.len(), 1);
}

#[tokio::test]
async fn with_every_answer_lost_it_is_made_once_and_removed() {
    let world = World::new().await;
    let (http, lost) = forgetful(http::client());
    let wakes = world.through(&Clients::new(&world.settings, http, None), world.place());
    let wake = wake(DAY, true);
    wakes.set(wake.clone()).await.expect("the SDK repeats by itself");
    assert_eq!(world.waiting().await.len(), 1);
    wakes.clear(wake.id, Some(far_of(&wake))).await.expect("the SDK repeats by itself");
    assert!(world.waiting().await.is_empty());
    assert_eq!(lost.load(Ordering::SeqCst), 2);
}
