//! What a stretch of work asked of AWS, as counts that can be added up and divided. It knows no prices.

use std::{
    collections::BTreeMap,
    ops::{AddAssign, Sub},
};

/// Of one case, or of one of its kind after [`Usage::each`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Requests by service and operation, repeats included: `DynamoDB PutItem`.
    pub calls: BTreeMap<String, f64>,
    /// By our own arithmetic over item sizes and indexes.
    pub write_units: f64,
    pub read_units: f64,
    /// As the emulator said them, where it did.
    pub reported_write_units: f64,
    pub reported_read_units: f64,
    /// What we sent to the queue: messages, and what AWS bills for (a request for each begun 64 KB).
    pub messages_sent: f64,
    pub sends: f64,
    /// Occurrences in the segments among those.
    pub occurrences_sent: f64,
    /// Of the messages, what came too early and was sent again: its requests shrink with the batch.
    pub messages_again: f64,
    pub sends_again: f64,
    /// One-time schedules of EventBridge Scheduler that were made, removed, and that fired into the queue.
    pub schedules_made: f64,
    pub schedules_removed: f64,
    pub schedules_fired: f64,
    /// Messages that the dispatcher received, and of those the ones that it held until they were due.
    pub messages_received: f64,
    pub messages_held: f64,
    /// Schedules and waiting executions that the sweeper found overdue.
    pub swept: f64,
    /// Bytes of table and indexes that this left behind.
    pub stored_bytes: f64,
    /// Bytes of logs.
    pub log_bytes: f64,
}

impl Usage {
    /// The share of one of so many.
    #[must_use]
    pub fn each(&self, count: usize) -> Usage {
        let by = count.max(1) as f64;
        let mut one = self.clone();
        one.numbers().into_iter().for_each(|number| *number /= by);
        one.calls.values_mut().for_each(|number| *number /= by);
        one
    }

    fn numbers(&mut self) -> [&mut f64; 17] {
        [
            &mut self.write_units,
            &mut self.read_units,
            &mut self.reported_write_units,
            &mut self.reported_read_units,
            &mut self.messages_sent,
            &mut self.sends,
            &mut self.occurrences_sent,
            &mut self.messages_again,
            &mut self.sends_again,
            &mut self.schedules_made,
            &mut self.schedules_removed,
            &mut self.schedules_fired,
            &mut self.messages_received,
            &mut self.messages_held,
            &mut self.swept,
            &mut self.stored_bytes,
            &mut self.log_bytes,
        ]
    }

    pub fn count(&mut self, service: &str, operation: &str) {
        *self.calls.entry(format!("{service} {operation}")).or_default() += 1.0;
    }
}

impl AddAssign<&Usage> for Usage {
    fn add_assign(&mut self, other: &Usage) {
        let mut other = other.clone();
        for (mine, more) in self.numbers().into_iter().zip(other.numbers()) {
            *mine += *more;
        }
        for (name, count) in other.calls {
            *self.calls.entry(name).or_default() += count;
        }
    }
}

/// What came on top of an earlier reading.
impl Sub<&Usage> for Usage {
    type Output = Usage;

    fn sub(mut self, earlier: &Usage) -> Usage {
        let mut earlier = earlier.clone();
        for (mine, less) in self.numbers().into_iter().zip(earlier.numbers()) {
            *mine -= *less;
        }
        for (name, count) in &earlier.calls {
            if let Some(mine) = self.calls.get_mut(name) {
                *mine -= count;
            }
        }
        self.calls.retain(|_, count| *count != 0.0);
        self
    }
}
