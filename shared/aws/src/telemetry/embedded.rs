//! CloudWatch's embedded metric format: JSON lines on standard output from which CloudWatch makes metrics
//! ("Specification: Embedded metric format", its user guide).
//!
//! Each combination of dimensions is a metric that costs by the month: by app and outcome, never by schedule.

use rondo_domain::{ids::AppKey, time::Timestamp};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const NAMESPACE: &str = "Rondo";
/// Of one metric in one line, by the specification.
const MAX_VALUES: usize = 100;

/// What has happened since the last lines.
#[derive(Debug, Default)]
pub(super) struct Happened {
    pub ended: BTreeMap<(AppKey, &'static str), Ended>,
    /// Of the whole deployment, by the metric's name.
    pub counts: BTreeMap<&'static str, u64>,
}

/// Executions of one app and outcome.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub executions: u64,
    /// Of their first attempts, in ms.
    pub lateness: Vec<u64>,
}

impl Happened {
    /// `stack`: the deployment's name. Executions and their lateness are there by `Stack` alone, for alarms, and by
    /// `Stack`, `App` and `Outcome`; other counts by `Stack`.
    pub fn lines(&self, stack: &str, now: Timestamp) -> Vec<String> {
        let mut lines = Vec::new();
        for ((app, outcome), ended) in &self.ended {
            let mut chunks = ended.lateness.chunks(MAX_VALUES);
            let mut first = Metrics::default().with("Executions", "Count", json!(ended.executions));
            if let Some(values) = chunks.next() {
                first = first.with("LatenessMs", "Milliseconds", json!(values));
            }
            let rest =
                chunks.map(|values| Metrics::default().with("LatenessMs", "Milliseconds", json!(values)));
            for metrics in std::iter::once(first).chain(rest) {
                let labels = [("Stack", stack), ("App", app.as_str()), ("Outcome", outcome)];
                lines.push(metrics.line(&[&["Stack"], &["Stack", "App", "Outcome"]], &labels, now));
            }
        }
        if !self.counts.is_empty() {
            let counts = self.counts.iter();
            let metrics =
                counts.fold(Metrics::default(), |all, (name, count)| all.with(name, "Count", json!(count)));
            lines.push(metrics.line(&[&["Stack"]], &[("Stack", stack)], now));
        }
        lines
    }
}

#[derive(Default)]
struct Metrics {
    kinds: Vec<Value>,
    values: Map<String, Value>,
}

impl Metrics {
    fn with(mut self, name: &str, unit: &str, value: Value) -> Metrics {
        self.kinds.push(json!({"Name": name, "Unit": unit}));
        self.values.insert(name.to_owned(), value);
        self
    }

    fn line(self, dimensions: &[&[&str]], labels: &[(&str, &str)], now: Timestamp) -> String {
        let of = json!({"Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": self.kinds});
        let mut line = Map::new();
        line.insert("_aws".to_owned(), json!({"Timestamp": now.millis(), "CloudWatchMetrics": [of]}));
        line.extend(labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
        line.extend(self.values);
        Value::Object(line).to_string()
    }
}
