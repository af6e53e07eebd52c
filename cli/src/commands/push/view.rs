//! How the scheduled-push contract's answers look on a terminal.

use crate::output::{Lines, cell, fields, table};
use rondo_domain::time::Timestamp;
use serde_json::Value;

pub fn sent(answer: &Value, lines: Lines) -> String {
    fields(lines, vec![("message id", cell(&answer["msg_id"])), ("request id", cell(&answer["request_id"]))])
}

pub fn created(answer: &Value, lines: Lines) -> String {
    fields(lines, vec![("id", cell(&answer["schedule_id"])), ("name", cell(&answer["name"]))])
}

pub fn list(answer: &Value, lines: Lines) -> String {
    let schedules = answer["schedules"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows = schedules.iter().map(|schedule| {
        [
            cell(&schedule["schedule_id"]),
            cell(&schedule["name"]),
            enabled(schedule),
            trigger(&schedule["trigger"]),
            to(&schedule["push"]),
            alert(&schedule["push"]),
        ]
    });
    table(lines, ["id", "name", "enabled", "trigger", "to", "says"], rows.collect())
}

pub fn whole(schedule: &Value, lines: Lines) -> String {
    let push = &schedule["push"];
    fields(
        lines,
        vec![
            ("id", cell(&schedule["schedule_id"])),
            ("name", cell(&schedule["name"])),
            ("enabled", enabled(schedule)),
            ("trigger", trigger(&schedule["trigger"])),
            ("to", to(push)),
            ("platform", cell(&push["body"]["platform"])),
            ("notification", cell(&push["body"]["notification"])),
            ("message", cell(&push["body"]["message"])),
            ("options", cell(&push["body"]["options"])),
            ("custom args", cell(&push["custom_args"])),
            ("request id", cell(&push["request_id"])),
        ],
    )
}

/// Each message id comes as JSON in a string.
pub fn messages(answer: &Value, lines: Lines) -> String {
    let texts = answer["MsgIds"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows = texts.iter().map(|text| {
        let message: Value =
            text.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let error = &message["error"];
        let failed = error["code"].as_i64().is_some_and(|code| code != 0);
        let told = if failed {
            format!("{}: {}", cell(&error["code"]), cell(&error["message"]))
        } else {
            String::new()
        };
        let at = message["ts"].as_i64().map(|ts| Timestamp::from_millis(ts).to_string());
        let again = if message["needRetry"] == true { "yes" } else { "" };
        [cell(&message["msg_id"]), at.unwrap_or_default(), told, again.to_owned()]
    });
    table(lines, ["message id", "at", "error", "tried again"], rows.collect())
}

fn enabled(schedule: &Value) -> String {
    if schedule["enabled"] == true { "yes" } else { "no" }.to_owned()
}

/// A trigger in a few words.
fn trigger(trigger: &Value) -> String {
    let whose = |rule: &Value| if rule["zone_type"] == 2 { ", each recipient's time" } else { "" };
    if let Some(rule) = trigger.get("single") {
        return format!("at {}{}", cell(&rule["time"]), whose(rule));
    }
    if let Some(rule) = trigger.get("periodical") {
        let unit = cell(&rule["time_unit"]).to_lowercase();
        let every = match rule["frequency"].as_u64() {
            Some(0 | 1) | None => unit,
            Some(count) => format!("{count} {unit}s"),
        };
        let points: Vec<String> = rule["point"].as_array().into_iter().flatten().map(cell).collect();
        let on = if points.is_empty() { String::new() } else { format!(" on {}", points.join(", ")) };
        let (start, end) = (cell(&rule["start"]), cell(&rule["end"]));
        return format!("every {every}{on} at {}, {start} to {end}{}", cell(&rule["time"]), whose(rule));
    }
    match trigger.get("intelligent") {
        Some(rule) => format!("each recipient's best time, else {}", cell(&rule["backup_time"])),
        None => cell(trigger),
    }
}

/// Whom a push is for.
pub fn to(push: &Value) -> String {
    let Some(kinds) = push["to"].as_object() else { return cell(&push["to"]) };
    let kinds = kinds.iter().filter_map(|(kind, value)| {
        let names = value.as_array().map(Vec::as_slice).unwrap_or_default();
        match names {
            [] if value.is_array() => None,
            [] => Some(format!("{kind} {}", cell(value))),
            [one] => Some(format!("{kind} {}", cell(one))),
            many if many.len() <= 3 => {
                Some(format!("{kind} {}", many.iter().map(cell).collect::<Vec<_>>().join(", ")))
            }
            many => Some(format!("{kind} ({})", many.len())),
        }
    });
    kinds.collect::<Vec<_>>().join("; ")
}

/// What the recipient reads, wherever in the push it stands.
fn alert(push: &Value) -> String {
    let body = &push["body"];
    let notification = &body["notification"];
    let places = ["web", "android", "ios", "hmos"].map(|platform| &notification[platform]["alert"]);
    let mut places =
        [&notification["alert"]].into_iter().chain(places).chain([&body["message"]["msg_content"]]);
    places.find(|place| !place.is_null()).map(cell).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn triggers_in_a_few_words() {
        let single = json!({"single": {"time": "2030-01-01 09:00:00", "zone_type": 2}});
        assert_eq!(trigger(&single), "at 2030-01-01 09:00:00, each recipient's time");
        let week = json!({"periodical": {"start": "2030-01-01 00:00:00", "end": "2030-06-30 00:00:00", "time": "09:00:00",
            "time_unit": "WEEK", "frequency": 2, "point": ["MON", "FRI"], "zone_type": 1}});
        assert_eq!(
            trigger(&week),
            "every 2 weeks on MON, FRI at 09:00:00, 2030-01-01 00:00:00 to 2030-06-30 00:00:00"
        );
        assert_eq!(
            trigger(&json!({"intelligent": {"backup_time": "now"}})),
            "each recipient's best time, else now"
        );
    }

    #[test]
    fn whom_it_is_for_and_what_it_says() {
        assert_eq!(to(&json!({"to": "all"})), "all");
        let many = json!({"to": {"alias": [], "registration_id": ["1", "2", "3", "4"], "tag": ["a", "b"]}});
        assert_eq!(to(&many), "registration_id (4); tag a, b");
        assert_eq!(alert(&json!({"body": {"notification": {"ios": {"alert": "hello"}}}})), "hello");
        assert_eq!(alert(&json!({"body": {"message": {"msg_content": {"n": 1}}}})), r#"{"n":1}"#);
    }

    #[test]
    fn messages_are_unpacked() {
        let message = |id: &str, code: u32, text: &str, again: bool| {
            json!({"msg_id": id, "error": {"code": code, "message": text}, "needRetry": again, "ts": 1_707_278_411_611_u64})
                .to_string()
        };
        let answer = json!({"count": 2, "MsgIds": [message("1088009", 0, "", false), message("0", 27000, "busy", true)]});
        assert_eq!(
            messages(&answer, Lines::None),
            "MESSAGE ID  AT                        ERROR        TRIED AGAIN\n\
             1088009     2024-02-07T04:00:11.611Z\n\
             0           2024-02-07T04:00:11.611Z  27000: busy  yes"
        );
    }
}
