//! The `Queue` port on SQS: against ministack, against moto as a second opinion, and beneath answers that SQS gives
//! only on bad days.

use aws_sdk_sqs::types::QueueAttributeName;
use rondo_aws::{Clients, SqsQueue, envelope, http, queue::MAX_BYTES};
use rondo_domain::{
    ids::{ExecutionId, NO_SLOT, ScheduleId},
    message::{Delayed, Message},
    notice::Notice,
    ports::{Clock as _, Queue as _, StoreError},
    time::{Span, Timestamp},
};
use rondo_system::SystemClock;
use rondo_tests::{
    emulator::{Emulator, fresh},
    faults::sdk::{Asked, Fault, faulty, forgetful, throttling},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::Ordering},
};

/// A queue of one's own, and the way to it.
struct Lane {
    url: String,
    clients: Clients,
    queue: SqsQueue,
}

impl Lane {
    async fn new(emulator: &Emulator) -> Lane {
        let clients = Clients::new(&emulator.settings(), http::client(), None);
        let made = clients.sqs.create_queue().queue_name(fresh("lane")).send().await;
        let url = made.expect("the queue can be made").queue_url.expect("a queue has an address");
        let queue = SqsQueue::new(clients.sqs.clone(), &url, Arc::new(SystemClock));
        Lane { url, clients, queue }
    }

    /// The same queue, through faults.
    fn through(
        &self,
        emulator: &Emulator,
        decide: impl Fn(&Asked<'_>) -> Option<Fault> + Send + Sync + 'static,
    ) -> SqsQueue {
        let clients = Clients::new(&emulator.settings(), faulty(http::client(), decide), None);
        SqsQueue::new(clients.sqs, &self.url, Arc::new(SystemClock))
    }

    /// Everything visible, by how often it is there.
    async fn drain(&self) -> BTreeMap<String, u32> {
        let mut all = BTreeMap::new();
        loop {
            let asked = self.clients.sqs.receive_message().queue_url(&self.url).max_number_of_messages(10);
            let received = asked.send().await.expect("the queue is there").messages.unwrap_or_default();
            if received.is_empty() {
                return all;
            }
            for message in received {
                let receipt = message.receipt_handle.expect("what is received has a receipt");
                let deleted = self.clients.sqs.delete_message().queue_url(&self.url).receipt_handle(receipt);
                deleted.send().await.expect("it can be deleted");
                *all.entry(message.body.expect("messages have a body")).or_default() += 1;
            }
        }
    }

    async fn delayed(&self) -> String {
        let name = QueueAttributeName::ApproximateNumberOfMessagesDelayed;
        let asked =
            self.clients.sqs.get_queue_attributes().queue_url(&self.url).attribute_names(name.clone());
        let answer = asked.send().await.expect("the queue is there");
        answer.attributes.and_then(|mut all| all.remove(&name)).expect("it says what was asked")
    }
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn attempt(number: u32) -> Delayed {
    let execution: ExecutionId = ScheduleId::new(now(), 7).execution(number, NO_SLOT);
    Delayed { at: now(), message: Message::Attempt { execution, at: None } }
}

/// With a body of so many bytes, and characters that neither a queue nor a scheduler passes on by itself.
fn notice(number: u32, size: usize) -> Delayed {
    let body = format!("\u{ffff}\u{fffe}<aws.scheduler.scheduled-time>\u{1}é😀{}", "x".repeat(size));
    let (app, url) = ("ours".parse().expect("an app"), "https://a.example/".parse().expect("a URL"));
    let notice = Notice { id: number.to_string(), app, url, listener: None, body, attempts: 0, since: now() };
    Delayed { at: now(), message: Message::Notice(notice) }
}

fn bodies(messages: &[Delayed]) -> BTreeMap<String, u32> {
    messages.iter().map(|message| (envelope::write(message), 1)).collect()
}

fn ids(request: &[u8]) -> Vec<String> {
    let request: Value = serde_json::from_slice(request).expect("the SDK sends JSON");
    let entries = request["Entries"].as_array().expect("a batch has entries");
    entries.iter().map(|entry| entry["MessageBody"].as_str().expect("with bodies").to_owned()).collect()
}

async fn a_batch_of_mixed_sizes_arrives_whole(emulator: &Emulator) {
    let lane = Lane::new(emulator).await;
    let sizes = [10, 200_000, 0, 70_000, 1_000_000];
    let messages: Vec<_> =
        (0..25).map(|number| notice(number, sizes[number as usize % sizes.len()])).collect();
    lane.queue.send(messages.clone()).await.expect("they fit");
    let arrived = lane.drain().await;
    assert!(arrived == bodies(&messages), "{} of 25 arrived as they were", arrived.len());
    for body in arrived.keys() {
        let read = envelope::read(body).expect("it is a message");
        assert!(messages.contains(&read));
    }
}

#[tokio::test]
async fn a_batch_of_mixed_sizes_arrives_whole_on_ministack() {
    a_batch_of_mixed_sizes_arrives_whole(Emulator::ministack()).await;
}

#[tokio::test]
async fn a_batch_of_mixed_sizes_arrives_whole_on_moto() {
    a_batch_of_mixed_sizes_arrives_whole(Emulator::moto()).await;
}

async fn each_message_has_its_own_delay(emulator: &Emulator) {
    let lane = Lane::new(emulator).await;
    let later = |number, millis| Delayed { at: now().plus(Span::from_millis(millis)), ..attempt(number) };
    let soon = later(3, 2900);
    let due = soon.at;
    let messages = vec![attempt(1), later(2, 1900), soon.clone(), later(4, 600_000), later(5, 86_400_000)];
    lane.queue.send(messages.clone()).await.expect("they are sent");
    assert_eq!(lane.drain().await, bodies(&messages[..2]), "what is due within two seconds is there at once");
    assert_eq!(lane.delayed().await, "3");
    let asked = lane.clients.sqs.receive_message().queue_url(&lane.url).wait_time_seconds(5);
    let received = asked.send().await.expect("the queue is there").messages.unwrap_or_default();
    assert_eq!(received.first().and_then(|message| message.body.clone()), Some(envelope::write(&soon)));
    assert!(now() < due, "it came at {}, and is due at {due}", now());
}

#[tokio::test]
async fn each_message_has_its_own_delay_on_ministack() {
    each_message_has_its_own_delay(Emulator::ministack()).await;
}

#[tokio::test]
async fn each_message_has_its_own_delay_on_moto() {
    each_message_has_its_own_delay(Emulator::moto()).await;
}

#[tokio::test]
async fn no_delay_is_over_what_sqs_takes() {
    let lane = Lane::new(Emulator::ministack()).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let queue = lane.through(Emulator::ministack(), move |asked| {
        sink.lock().expect("no panic under it").push(asked.body.to_vec());
        None
    });
    let far = Delayed { at: Timestamp::MAX, ..attempt(1) };
    queue.send(vec![far]).await.expect("it is sent");
    let sent: Value = serde_json::from_slice(&seen.lock().expect("no panic under it")[0]).expect("JSON");
    assert_eq!(sent["Entries"][0]["DelaySeconds"], 900);
}

async fn a_missing_queue_is_named(emulator: &Emulator) {
    let lane = Lane::new(emulator).await;
    let queue =
        SqsQueue::new(lane.clients.sqs.clone(), format!("{}-elsewhere", lane.url), Arc::new(SystemClock));
    let name = lane.url.rsplit('/').next().expect("an address has a last part").to_owned() + "-elsewhere";
    for error in [queue.send(vec![attempt(1)]).await.err(), queue.backlog().await.err()] {
        let error = error.expect("there is no such queue");
        assert!(matches!(&error, StoreError::Unavailable(why) if why.contains(&name)), "{error}");
    }
}

#[tokio::test]
async fn a_missing_queue_is_named_on_ministack() {
    a_missing_queue_is_named(Emulator::ministack()).await;
}

#[tokio::test]
async fn a_missing_queue_is_named_on_moto() {
    a_missing_queue_is_named(Emulator::moto()).await;
}

#[tokio::test]
async fn the_backlog_is_what_is_visible() {
    let lane = Lane::new(Emulator::ministack()).await;
    assert_eq!(lane.queue.backlog().await, Ok(0));
    let later = Delayed { at: now().plus(Span::from_secs(600)), ..attempt(9) };
    let messages: Vec<_> = (1..=12).map(attempt).chain([later]).collect();
    lane.queue.send(messages).await.expect("they are sent");
    assert_eq!(lane.queue.backlog().await, Ok(12));
}

/// SQS answers 200, and says of each message what became of it.
fn partly(request: &[u8], refused: impl Fn(usize) -> bool, code: &str, sender_fault: bool) -> Fault {
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for place in 0..ids(request).len() {
        if refused(place) {
            failed.push(json!({"Id": place.to_string(), "Code": code, "SenderFault": sender_fault, "Message": "not now"}));
        } else {
            successful.push(json!({"Id": place.to_string(), "MessageId": "m", "MD5OfMessageBody": "d"}));
        }
    }
    Fault::Answer(200, json!({"Successful": successful, "Failed": failed}).to_string())
}

#[tokio::test]
async fn only_what_was_refused_is_sent_again() {
    let lane = Lane::new(Emulator::ministack()).await;
    let rounds = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&rounds);
    let queue = lane.through(Emulator::ministack(), move |asked| {
        let mut rounds = sink.lock().expect("no panic under it");
        rounds.push(ids(asked.body));
        match rounds.len() {
            1 => Some(partly(asked.body, |place| place % 2 == 1, "InternalError", false)),
            2 => Some(partly(asked.body, |place| place < 2, "ThrottlingException", true)),
            _ => None,
        }
    });
    let messages: Vec<_> = (1..=9).map(attempt).collect();
    queue.send(messages.clone()).await.expect("the third round takes the rest");
    let all: Vec<String> = messages.iter().map(envelope::write).collect();
    let odd = [1, 3, 5, 7].map(|place: usize| all[place].clone()).to_vec();
    assert_eq!(*rounds.lock().expect("no panic under it"), [all, odd.clone(), odd[..2].to_vec()]);
    assert_eq!(lane.drain().await.into_keys().collect::<Vec<_>>(), odd[..2]);
}

#[tokio::test]
async fn what_is_refused_for_good_is_an_error_without_its_body() {
    let lane = Lane::new(Emulator::ministack()).await;
    for (code, sender_fault, rounds) in [("InternalError", false, 4), ("InvalidMessageContents", true, 1)] {
        let count = Arc::new(Mutex::new(0));
        let sink = Arc::clone(&count);
        let queue = lane.through(Emulator::ministack(), move |asked| {
            *sink.lock().expect("no panic under it") += 1;
            Some(partly(asked.body, |place| place == 0, code, sender_fault))
        });
        let error = queue.send(vec![notice(1, 10), attempt(2)]).await.expect_err("one is refused");
        let name = lane.url.rsplit('/').next().expect("an address has a last part");
        let StoreError::Unavailable(why) = &error else { panic!("{error}") };
        assert!(why.contains(code) && why.contains(name) && !why.contains("xxx"), "{why}");
        assert_eq!(*count.lock().expect("no panic under it"), rounds, "{code}");
    }
}

#[tokio::test]
async fn one_batch_that_fails_keeps_no_other_from_being_sent() {
    let lane = Lane::new(Emulator::ministack()).await;
    let marked = envelope::write(&attempt(30));
    let mark = marked.clone();
    let queue = lane.through(Emulator::ministack(), move |asked| {
        ids(asked.body)
            .contains(&mark)
            .then(|| Fault::Answer(400, r#"{"__type":"com.amazonaws.sqs#InvalidSecurity"}"#.to_owned()))
    });
    let mut messages: Vec<_> = (1..30).map(attempt).collect();
    messages.insert(0, envelope::read(&marked).expect("it was written just now"));
    queue.send(messages).await.expect_err("the first batch is refused");
    assert_eq!(lane.drain().await.len(), 20);
}

#[tokio::test]
async fn a_message_that_no_queue_takes_keeps_all_from_being_sent() {
    let lane = Lane::new(Emulator::ministack()).await;
    let error = lane.queue.send(vec![attempt(1), notice(2, MAX_BYTES)]).await.expect_err("it is too large");
    assert!(matches!(error, StoreError::TooLarge(_)), "{error}");
    assert_eq!(lane.queue.backlog().await, Ok(0));
}

#[tokio::test]
async fn throttling_is_waited_out() {
    let emulator = Emulator::ministack();
    let lane = Lane::new(emulator).await;
    let http = throttling(http::client(), "SendMessageBatch", 2);
    let queue =
        SqsQueue::new(Clients::new(&emulator.settings(), http, None).sqs, &lane.url, Arc::new(SystemClock));
    let messages = vec![attempt(1)];
    queue.send(messages.clone()).await.expect("the third try is let through");
    assert_eq!(lane.drain().await, bodies(&messages));
}

#[tokio::test]
async fn with_every_answer_lost_all_is_there_and_nothing_more_than_twice() {
    let emulator = Emulator::ministack();
    let lane = Lane::new(emulator).await;
    let (http, lost) = forgetful(http::client());
    let queue =
        SqsQueue::new(Clients::new(&emulator.settings(), http, None).sqs, &lane.url, Arc::new(SystemClock));
    let messages: Vec<_> = (1..=25).map(attempt).collect();
    queue.send(messages.clone()).await.expect("the SDK repeats by itself");
    assert_eq!(lost.load(Ordering::SeqCst), 3);
    let arrived = lane.drain().await;
    assert_eq!(arrived.keys().collect::<Vec<_>>(), bodies(&messages).keys().collect::<Vec<_>>());
    assert!(arrived.values().all(|times| *times == 2), "{arrived:?}");
}

#[tokio::test]
async fn nothing_to_send_is_no_request() {
    let lane = Lane::new(Emulator::ministack()).await;
    let queue = lane.through(Emulator::ministack(), |asked| panic!("{asked:?}"));
    assert_eq!(queue.send(Vec::new()).await, Ok(()));
}
