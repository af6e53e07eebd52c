//! The one JSON object that a subcommand prints on its last line.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Lateness or latency in ms, from microseconds.
pub fn percentiles(micros: &[i64]) -> Value {
    let mut histogram = match Histogram::<u64>::new_with_bounds(1, 600_000_000, 3) {
        Ok(histogram) => histogram,
        Err(_) => return Value::Null,
    };
    for value in micros {
        histogram.saturating_record((*value).max(0) as u64);
    }
    let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    json!({
        "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999),
        "max": histogram.max() as f64 / 1000.0, "samples": histogram.len(),
    })
}

pub fn print(bench: &str, unit: &str, value: f64, control: f64, more: Value) {
    let mut report = json!({
        "bench": bench,
        "value": rounded(value),
        "control": rounded(control),
        "ratio": rounded(value / control),
        "unit": unit,
    });
    if let (Some(report), Value::Object(more)) = (report.as_object_mut(), more) {
        report.extend(more);
    }
    println!("{report}");
}

pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
