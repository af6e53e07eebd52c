//! How a schedule of the native API looks on a terminal: a row of a list, and whole.

use crate::output::{Lines, cell, fields, table};
use serde_json::Value;

pub const HEADER: [&str; 7] = ["id", "name", "status", "trigger", "done", "next due", "target"];

pub fn row(schedule: &Value) -> [String; 7] {
    let http = &schedule["target"]["http"];
    [
        cell(&schedule["id"]),
        cell(&schedule["name"]),
        cell(&schedule["status"]),
        trigger(&schedule["trigger"]),
        progress(schedule),
        cell(&schedule["next_due_at"]),
        format!("{} {}", cell(&http["method"]), cell(&http["url"])),
    ]
}

pub fn list(schedules: &[Value], lines: Lines) -> String {
    table(lines, HEADER, schedules.iter().map(row).collect())
}

pub fn whole(schedule: &Value, lines: Lines) -> String {
    let http = &schedule["target"]["http"];
    let counts = &schedule["counts"];
    let count = |name: &str| Some(cell(&counts[name])).filter(|count| count != "0").unwrap_or_default();
    let tags = schedule["tags"].as_object().into_iter().flatten();
    let tags: Vec<String> = tags.map(|(key, value)| format!("{key}={}", cell(value))).collect();
    fields(
        lines,
        vec![
            ("id", cell(&schedule["id"])),
            ("name", cell(&schedule["name"])),
            ("status", cell(&schedule["status"])),
            ("trigger", trigger(&schedule["trigger"])),
            ("next due", cell(&schedule["next_due_at"])),
            ("done", progress(schedule)),
            ("failed", count("failed")),
            ("missed", count("missed")),
            ("skipped", count("skipped")),
            ("waiting", count("waiting")),
            ("running", count("running")),
            (
                "in flight",
                Some(cell(&schedule["in_flight"])).filter(|count| count != "0").unwrap_or_default(),
            ),
            ("last status", cell(&schedule["last_status"])),
            ("target", format!("{} {}", cell(&http["method"]), cell(&http["url"]))),
            ("headers", cell(&http["headers"])),
            ("payload", cell(&http["payload"])),
            ("body", cell(&http["body"])),
            ("delivery", cell(&schedule["delivery"])),
            ("policy", cell(&schedule["policy"])),
            ("tags", tags.join(", ")),
            ("created", cell(&schedule["created_at"])),
            ("first sent", cell(&schedule["first_sent_at"])),
            ("ended", cell(&schedule["ended_at"])),
            ("because", cell(&schedule["ended_because"])),
        ],
    )
}

/// `3 of 10`, or `3` where there is no end.
fn progress(schedule: &Value) -> String {
    let done = cell(&schedule["counts"]["done"]);
    match &schedule["occurrences"] {
        Value::Null => done,
        limit => format!("{done} of {limit}"),
    }
}

/// A trigger in a few words.
fn trigger(trigger: &Value) -> String {
    let Some((kind, rule)) = trigger.as_object().and_then(|trigger| trigger.iter().next()) else {
        return String::new();
    };
    let zone = rule["time_zone"].as_str().map(|zone| format!(" {zone}")).unwrap_or_default();
    match kind.as_str() {
        "single" => format!("at {}", cell(&rule["time"])),
        "interval" => format!("every {}", cell(&rule["every"])),
        "cron" => format!("cron {}{zone}", cell(&rule["expression"])),
        "periodical" => {
            let unit = match rule["frequency"].as_u64() {
                Some(0 | 1) | None => cell(&rule["unit"]),
                Some(count) => format!("{count} {}s", cell(&rule["unit"])),
            };
            let days: Vec<String> = rule["points"].as_array().into_iter().flatten().map(cell).collect();
            let on = if days.is_empty() { String::new() } else { format!(" on {}", days.join(", ")) };
            format!("every {unit}{on} at {}{zone}", cell(&rule["time"]))
        }
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn triggers_in_a_few_words() {
        let words = |value: Value| trigger(&value);
        assert_eq!(words(json!({"interval": {"every": "5s"}})), "every 5s");
        assert_eq!(
            words(json!({"cron": {"expression": "0 2 * * *", "time_zone": "Europe/Madrid"}})),
            "cron 0 2 * * * Europe/Madrid"
        );
        let month = json!({"unit": "month", "points": [1, 15], "frequency": 2, "time": "09:00:00", "time_zone": "UTC"});
        assert_eq!(words(json!({"periodical": month})), "every 2 months on 1, 15 at 09:00:00 UTC");
    }

    #[test]
    fn progress_knows_its_end() {
        assert_eq!(progress(&json!({"counts": {"done": 3}, "occurrences": 10})), "3 of 10");
        assert_eq!(progress(&json!({"counts": {"done": 3}, "occurrences": null})), "3");
    }
}
