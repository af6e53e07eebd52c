//! How a schedule of the native API looks on a terminal: a row of a list, and whole.

use super::push::to as push_to;
use crate::output::{Lines, cell, fields, table};
use serde_json::{Value, json};

pub const HEADER: [&str; 7] = ["id", "name", "status", "trigger", "done", "next due", "target"];

pub fn row(schedule: &Value) -> [String; 7] {
    [
        cell(&schedule["id"]),
        cell(&schedule["name"]),
        cell(&schedule["status"]),
        trigger(&schedule["trigger"]),
        progress(schedule),
        cell(&schedule["next_due_at"]),
        target(&schedule["target"]),
    ]
}

/// What is called, or to whom it is pushed.
fn target(target: &Value) -> String {
    match &target["push"] {
        Value::Null => format!("{} {}", cell(&target["http"]["method"]), cell(&target["http"]["url"])),
        push => format!("push to {}", push_to(push)),
    }
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
            ("target", target(&schedule["target"])),
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
    if kind == "fan_out" {
        let own = if rule["per_recipient"] == true { ", each recipient's time" } else { "" };
        return match (&rule["single"], &rule["periodical"]) {
            (Value::Null, Value::Null) => "each recipient's best time".to_owned(),
            (Value::Null, periodical) => {
                format!("{}{own}", self::trigger(&json!({"periodical": periodical})))
            }
            (single, _) => format!("at {}{own}", cell(&single["time"])),
        };
    }
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
        let single =
            json!({"single": {"time": "2030-01-01T09:00:00"}, "time_zone": "UTC", "per_recipient": true});
        assert_eq!(words(json!({"fan_out": single})), "at 2030-01-01T09:00:00, each recipient's time");
        let week = json!({"periodical": {"unit": "week", "points": ["mon"], "time": "09:00:00"}, "per_recipient": false});
        assert_eq!(words(json!({"fan_out": week})), "every week on mon at 09:00:00");
        assert_eq!(words(json!({"fan_out": {"best_time": {}}})), "each recipient's best time");
    }

    #[test]
    fn targets_in_a_few_words() {
        assert_eq!(
            target(&json!({"http": {"method": "POST", "url": "https://a.example/"}})),
            "POST https://a.example/"
        );
        assert_eq!(target(&json!({"push": {"to": {"tag": ["news"]}}})), "push to tag news");
    }

    #[test]
    fn progress_knows_its_end() {
        assert_eq!(progress(&json!({"counts": {"done": 3}, "occurrences": 10})), "3 of 10");
        assert_eq!(progress(&json!({"counts": {"done": 3}, "occurrences": null})), "3");
    }
}
