//! From counts to dollars: the price table, what is assumed where nothing can be counted, and each part of the sum
//! on a line of its own.

use super::usage::Usage;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `infra/prices.json`, as it was when this was built.
const TABLE: &str = include_str!("../../../infra/prices.json");

#[derive(Debug, Deserialize)]
pub struct Prices {
    pub region: String,
    pub date: String,
    prices: BTreeMap<String, Price>,
}

#[derive(Debug, Deserialize)]
struct Price {
    price: f64,
}

impl Prices {
    pub fn read() -> Result<Prices, serde_json::Error> {
        serde_json::from_str(TABLE)
    }

    /// A price that is not in the table makes a sum that is not a number, and so cannot be overlooked.
    pub fn of(&self, name: &str) -> f64 {
        self.prices.get(name).map_or(f64::NAN, |price| price.price)
    }
}

/// What is not counted but assumed; all of it is printed with the figures.
#[derive(Clone, Copy, Debug)]
pub struct Assumptions {
    /// Memory of the dispatcher and of the API functions, in MB.
    pub dispatcher_memory: f64,
    pub api_memory: f64,
    pub arm64: bool,
    /// Messages in a batch.
    pub batch: f64,
    /// Seconds that the target takes to answer, one call of a table, and a function's own work for a request.
    pub target: f64,
    pub table_call: f64,
    pub own_work: f64,
    /// A message becomes visible so many seconds before it is due: at least, and at most.
    pub visible_early: (f64, f64),
    /// Days that records are kept.
    pub retention: f64,
    /// Bytes that Lambda itself logs of each invocation.
    pub platform_lines: f64,
}

impl Default for Assumptions {
    fn default() -> Self {
        Assumptions {
            dispatcher_memory: 128.0,
            api_memory: 256.0,
            arm64: true,
            batch: 10.0,
            target: 0.100,
            table_call: 0.005,
            own_work: 0.005,
            visible_early: (1.0, 2.0),
            retention: 30.0,
            platform_lines: 350.0,
        }
    }
}

impl Assumptions {
    /// How long an invocation holds, s: until the last of its batch is due. Of n instants spread evenly over a
    /// stretch the last lies, on average, at n/(n+1) of it.
    pub fn hold(&self) -> f64 {
        let (least, most) = self.visible_early;
        least + (most - least) * self.batch / (self.batch + 1.0)
    }

    /// An invocation that calls: the hold, the claim, the call, the record and the count.
    pub fn calling(&self) -> f64 {
        self.hold() + self.target + 3.0 * self.table_call + self.own_work
    }

    /// One that only plans or sends on.
    pub fn brief(&self) -> f64 {
        4.0 * self.table_call + self.own_work
    }
}

/// One part of a sum.
#[derive(Clone, Debug)]
pub struct Line {
    pub what: &'static str,
    /// How many of it for one execution, callback or request.
    pub quantity: f64,
    pub unit: &'static str,
    /// Dollars for a million executions, callbacks or requests.
    pub dollars: f64,
    /// Whether the target for the whole counts it.
    pub counted: bool,
}

/// What one of a kind asked for, and through how many API requests it was made.
#[derive(Clone, Debug)]
pub struct One {
    pub usage: Usage,
    pub api_requests: f64,
    /// Requests to AWS that the API function made for it: they make it last.
    pub api_calls: f64,
}

pub fn bill(one: &One, assumed: &Assumptions, prices: &Prices) -> Vec<Line> {
    let usage = &one.usage;
    let per_million = |name: &str, quantity: f64| prices.of(name) * quantity;
    let gb_second =
        prices.of(if assumed.arm64 { "lambda_gb_second_arm64" } else { "lambda_gb_second_x86_64" });
    let batches = usage.messages_received / assumed.batch;
    let held = usage.messages_held / assumed.batch;
    let sends = usage.sends - usage.sends_again + usage.messages_again / assumed.batch;
    let queue = sends + 2.0 * batches + usage.schedules_fired;
    let dispatcher =
        (held * assumed.calling() + (batches - held) * assumed.brief()) * assumed.dispatcher_memory / 1024.0;
    let api = (one.api_calls * assumed.table_call + one.api_requests * assumed.own_work) * assumed.api_memory
        / 1024.0;
    let line = |what, quantity, unit, dollars| Line { what, quantity, unit, dollars, counted: true };
    let logged = usage.log_bytes + (batches + one.api_requests) * assumed.platform_lines;
    let gigabytes = |bytes: f64| bytes * 1e6 / 1e9;
    vec![
        line("HTTP API", one.api_requests, "requests", per_million("http_api_million", one.api_requests)),
        line(
            "API function, requests",
            one.api_requests,
            "requests",
            per_million("lambda_million", one.api_requests),
        ),
        line("API function, time", api, "GB-s", gb_second * api * 1e6),
        line(
            "DynamoDB, writes",
            usage.write_units,
            "units",
            per_million("dynamodb_write_million", usage.write_units),
        ),
        line(
            "DynamoDB, reads",
            usage.read_units,
            "units",
            per_million("dynamodb_read_million", usage.read_units),
        ),
        line(
            "EventBridge Scheduler",
            usage.schedules_fired,
            "invocations",
            per_million("scheduler_million", usage.schedules_fired),
        ),
        line("SQS", queue, "requests", per_million("sqs_million", queue)),
        line("dispatcher, requests", batches, "requests", per_million("lambda_million", batches)),
        line("dispatcher, time", dispatcher, "GB-s", gb_second * dispatcher * 1e6),
        Line { counted: false, ..line("logs", logged, "bytes", prices.of("logs_gb") * gigabytes(logged)) },
        Line {
            counted: false,
            ..line(
                "storage until it expires",
                usage.stored_bytes,
                "bytes",
                prices.of("dynamodb_stored_gb_month") * gigabytes(usage.stored_bytes) * assumed.retention
                    / 30.0,
            )
        },
    ]
}

/// Of what the targets count.
pub fn total(lines: &[Line]) -> f64 {
    lines.iter().filter(|line| line.counted).map(|line| line.dollars).sum()
}

/// Logs and storage included.
pub fn all_told(lines: &[Line]) -> f64 {
    lines.iter().map(|line| line.dollars).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_price_that_a_bill_asks_for_is_in_the_table() {
        let usage = Usage {
            write_units: 3.0,
            read_units: 0.5,
            messages_received: 1.0,
            messages_held: 1.0,
            messages_sent: 1.0,
            sends: 0.1,
            schedules_fired: 1.0,
            log_bytes: 300.0,
            stored_bytes: 500.0,
            ..Usage::default()
        };
        let prices = Prices::read().expect("the price table is read");
        let one = One { usage, api_requests: 1.0, api_calls: 3.0 };
        for arm64 in [true, false] {
            let lines = bill(&one, &Assumptions { arm64, ..Assumptions::default() }, &prices);
            for line in &lines {
                assert!(line.dollars.is_finite() && line.dollars > 0.0, "{line:?}");
            }
            assert!(total(&lines) < all_told(&lines));
        }
    }

    #[test]
    fn a_batch_shares_its_hold_and_its_requests() {
        let usage = Usage { messages_received: 1.0, messages_held: 1.0, ..Usage::default() };
        let one = One { usage, api_requests: 0.0, api_calls: 0.0 };
        let prices = Prices::read().expect("the price table is read");
        let at = |batch| total(&bill(&one, &Assumptions { batch, ..Assumptions::default() }, &prices));
        // Receive and delete, one invocation of 1.62 s at 128 MB.
        assert!((at(1.0) - (0.8 + 0.2 + 1.62 * 0.125 * 13.3334)).abs() < 1e-6, "{}", at(1.0));
        let hold = 1.0 + 10.0 / 11.0 + 0.12;
        assert!((at(10.0) - (0.08 + 0.02 + hold / 10.0 * 0.125 * 13.3334)).abs() < 1e-6, "{}", at(10.0));
    }
}
