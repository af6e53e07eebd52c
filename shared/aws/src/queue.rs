//! The `Queue` port on SQS: messages in batches, each with its delay, and what was refused once more.

use crate::{
    MAX_DELAY, envelope,
    failures::{unavailable, why},
};
use async_trait::async_trait;
use aws_sdk_sqs::{
    Client,
    types::{QueueAttributeName, SendMessageBatchRequestEntry},
};
use futures_util::{StreamExt as _, stream};
use rondo_domain::{
    message::Delayed,
    ports::{Clock, Queue, StoreError},
    time::{Span, Timestamp},
};
use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

/// Of a message, and of all that are sent at once: 1 MiB (SQS quotas). Every 64 KB begun of a request are billed as
/// a request; packing messages together never costs more than sending each alone.
pub const MAX_BYTES: usize = 1024 * 1024;
/// In one request (SQS quotas).
const MAX_ENTRIES: usize = 10;
/// A plan of 600 segments is 60 requests; so many at once put it out within some 10 round trips.
const BATCHES_AT_ONCE: usize = 6;
/// A message is visible so much before its instant, and up to a second more as delays are whole seconds: what
/// receives it holds it, and none comes late for SQS's rounding.
const EARLY: Span = Span::from_secs(1);
/// How often messages that SQS could not take just then are sent, the first time included.
const ROUNDS: u32 = 4;
/// Before the second round; it doubles, and up to as much again is added.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub struct SqsQueue {
    client: Client,
    url: String,
    clock: Arc<dyn Clock>,
}

impl SqsQueue {
    pub fn new(client: Client, url: impl Into<String>, clock: Arc<dyn Clock>) -> SqsQueue {
        SqsQueue { client, url: url.into(), clock }
    }

    /// About how many messages are visible and not yet received: the sweeper holds off while there are many.
    pub async fn backlog(&self) -> Result<u64, StoreError> {
        let name = QueueAttributeName::ApproximateNumberOfMessages;
        let asked = self.client.get_queue_attributes().queue_url(&self.url).attribute_names(name.clone());
        let answer = asked.send().await.map_err(|error| unavailable(&self.what(), &error))?;
        let count =
            answer.attributes.as_ref().and_then(|all| all.get(&name)).and_then(|count| count.parse().ok());
        count.ok_or_else(|| StoreError::Unavailable(format!("{}: it did not say its length", self.what())))
    }

    /// Sends a batch, and what was refused for SQS's own reasons again, a few times.
    async fn send_batch(&self, mut batch: Vec<Entry>) -> Result<(), StoreError> {
        for round in 1.. {
            let refused = self.send_once(&batch).await?;
            let Some(first) = refused.first() else { break };
            if round == ROUNDS {
                let why = format!("{}: {} of its messages: {}", self.what(), refused.len(), first.why);
                return Err(StoreError::Unavailable(why));
            }
            let again: Vec<usize> = refused.iter().map(|refused| refused.place).collect();
            let mut place = 0;
            batch.retain(|_| {
                place += 1;
                again.contains(&(place - 1))
            });
            tokio::time::sleep(pause(round, &batch)).await;
        }
        Ok(())
    }

    /// Answers what was refused and may be sent again.
    async fn send_once(&self, batch: &[Entry]) -> Result<Vec<Refused>, StoreError> {
        // By now, not by when it was handed in: an earlier round has taken time.
        let now = self.clock.now();
        let mut request = self.client.send_message_batch().queue_url(&self.url);
        for (place, entry) in batch.iter().enumerate() {
            let message = SendMessageBatchRequestEntry::builder()
                .id(place.to_string())
                .message_body(&entry.body)
                .delay_seconds(delay(entry.at, now));
            let message = message.build().map_err(|error| StoreError::Unavailable(error.to_string()))?;
            request = request.entries(message);
        }
        let answer = request.send().await.map_err(|error| {
            match error.as_service_error().is_some_and(|error| error.is_batch_request_too_long()) {
                true => StoreError::TooLarge(format!("{}: {}", self.what(), why(&error))),
                false => unavailable(&self.what(), &error),
            }
        })?;
        let mut refused = Vec::new();
        for failed in answer.failed {
            let why = format!("{}: {}", failed.code, failed.message.unwrap_or_default());
            // Throttling counts as the sender's doing, and passes like SQS's own faults.
            let passes = !failed.sender_fault || failed.code.contains("Throttl");
            let Some(place) = failed.id.parse().ok().filter(|_| passes) else {
                return Err(StoreError::Unavailable(format!("{}: a message is refused: {why}", self.what())));
            };
            refused.push(Refused { place, why });
        }
        Ok(refused)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// By its name: an address holds the account.
    fn what(&self) -> String {
        format!("queue {}", self.url.rsplit('/').next().unwrap_or_default())
    }
}

#[async_trait]
impl Queue for SqsQueue {
    /// A message over [`MAX_BYTES`] is refused before anything is sent. With any other error some of the messages
    /// may be in the queue all the same, each at most once for each time it was sent; those whose answer was lost
    /// are in it twice even where all went well. Receivers bear that: see `rondo_domain::message`.
    async fn send(&self, messages: Vec<Delayed>) -> Result<(), StoreError> {
        let batches = batches(messages)?;
        let sent = stream::iter(batches.into_iter().map(|batch| self.send_batch(batch)))
            .buffer_unordered(BATCHES_AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        // All are tried whatever becomes of one: what is on its way is on time.
        sent.into_iter().collect()
    }
}

struct Entry {
    at: Timestamp,
    body: String,
}

struct Refused {
    place: usize,
    why: String,
}

/// In the order given, as few as SQS's limits allow.
fn batches(messages: Vec<Delayed>) -> Result<Vec<Vec<Entry>>, StoreError> {
    let mut batches: Vec<Vec<Entry>> = Vec::new();
    let mut room = 0;
    for message in messages {
        let entry = Entry { at: message.at, body: envelope::write(&message) };
        let size = entry.body.len();
        if size > MAX_BYTES {
            return Err(StoreError::TooLarge(format!(
                "a message of {size} bytes; a queue takes {MAX_BYTES}"
            )));
        }
        match batches.last_mut() {
            Some(last) if last.len() < MAX_ENTRIES && size <= room => {
                room -= size;
                last.push(entry);
            }
            _ => {
                room = MAX_BYTES - size;
                batches.push(vec![entry]);
            }
        }
    }
    Ok(batches)
}

/// Whole seconds, so that it becomes visible [`EARLY`] to a second more before its instant.
fn delay(at: Timestamp, now: Timestamp) -> i32 {
    let ahead = at.since(now.plus(EARLY)).millis().min(MAX_DELAY.millis()) / 1000;
    i32::try_from(ahead).unwrap_or_default()
}

/// Between rounds. Those who were refused at the same moment carry different messages, and so come back apart.
fn pause(round: u32, batch: &[Entry]) -> Duration {
    let mut hasher = DefaultHasher::new();
    batch.iter().for_each(|entry| entry.body.hash(&mut hasher));
    let share = f64::from(u32::try_from(hasher.finish() >> 32).unwrap_or_default()) / f64::from(u32::MAX);
    PAUSE.saturating_mul(1 << (round - 1).min(8)).mul_f64(1.0 + share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rondo_domain::{ids::ScheduleId, message::Message, notice::Notice};

    const NOW: Timestamp = Timestamp::from_millis(1_764_547_200_000);

    fn wake() -> Delayed {
        Delayed { at: NOW, message: Message::Wake { id: ScheduleId::new(NOW, 1), generation: 1 } }
    }

    /// Of about so many bytes.
    fn notice(size: usize) -> Delayed {
        let (app, url) = ("ours".parse().unwrap(), "https://a.example/".parse().unwrap());
        let notice = Notice {
            id: "n".to_owned(),
            app,
            url,
            listener: None,
            body: "x".repeat(size),
            attempts: 0,
            since: NOW,
        };
        Delayed { at: NOW, message: Message::Notice(notice) }
    }

    fn sizes(messages: Vec<Delayed>) -> Vec<usize> {
        batches(messages).map(|all| all.iter().map(Vec::len).collect()).unwrap()
    }

    #[test]
    fn batches_keep_to_ten_messages_and_a_mebibyte() {
        assert!(sizes(Vec::new()).is_empty());
        assert_eq!(sizes(vec![wake(); 25]), [10, 10, 5]);
        assert_eq!(sizes(vec![notice(300 * 1024); 4]), [3, 1]);
        let mixed = vec![wake(), notice(1_000_000), notice(100_000), wake(), notice(1_040_000), wake()];
        assert_eq!(sizes(mixed), [2, 2, 2]);
        for batch in batches(vec![notice(104_700); 30]).unwrap() {
            assert!(batch.iter().map(|entry| entry.body.len()).sum::<usize>() <= MAX_BYTES);
        }
    }

    #[test]
    fn what_no_queue_takes_is_refused_before_anything_is_sent() {
        let error = batches(vec![wake(), notice(MAX_BYTES)]).err().unwrap();
        assert!(matches!(&error, StoreError::TooLarge(why) if why.contains("1048576")), "{error}");
    }

    #[test]
    fn delays_end_one_to_two_seconds_early() {
        let ahead = |millis: u64| delay(NOW.plus(Span::from_millis(millis)), NOW);
        assert_eq!([0, 999, 1000, 1999, 2000, 2999, 3000].map(ahead), [0, 0, 0, 0, 1, 1, 2]);
        assert_eq!([900_999, 901_000, 10_000_000_000].map(ahead), [899, 900, 900]);
        assert_eq!(delay(NOW.minus(Span::from_secs(60)), NOW), 0);
    }

    #[test]
    fn pauses_double_and_differ() {
        let of = |body: &str| vec![Entry { at: NOW, body: body.to_owned() }];
        for round in 1..ROUNDS {
            let least = PAUSE * 2_u32.pow(round - 1);
            let pauses: Vec<_> = ["a", "b", "c", "d"].map(|body| pause(round, &of(body))).to_vec();
            assert!(pauses.iter().all(|pause| (least..=2 * least).contains(pause)), "{pauses:?}");
            assert!(pauses.windows(2).all(|two| two[0] != two[1]), "{pauses:?}");
        }
    }
}
