//! Alarms and dashboard: each alarm has its section in the operators' page, and tells somebody.

use crate::document::{Template, file, text};
use serde_json::{Value, json};

/// As the page's headings are linked.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'))
        .collect::<String>()
        .replace(' ', "-")
}

#[test]
fn every_alarm_says_what_to_do() {
    let template = Template::read();
    let page = file("infra/alarms.md");
    let headings: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor).collect();
    let alarms = template.of_type("AWS::CloudWatch::Alarm");
    assert!(alarms.len() >= 8);
    for (name, alarm) in alarms {
        let (_, linked) = alarm["AlarmDescription"].as_str().unwrap().split_once("infra/alarms.md#").unwrap();
        assert!(headings.iter().any(|heading| heading == linked), "{name}: no section {linked}");
        let called = text(&template.value(&alarm["AlarmName"]));
        assert!(page.contains(&format!("`{}`", called.replacen("rondo-", "", 1))), "{name}: {called}");
        assert_eq!(alarm["AlarmActions"], json!([{"Ref": "AlarmTopic"}]), "{name}");
        assert!(alarm.get("TreatMissingData").is_some(), "{name}");
    }
}

#[test]
fn the_dashboard_is_what_cloudwatch_reads() {
    let template = Template::read();
    let body = text(&template.value(&template.properties("Dashboard")["DashboardBody"]));
    let body: Value = serde_json::from_str(&body).unwrap();
    let widgets = body["widgets"].as_array().unwrap();
    assert!(widgets.len() >= 6);
    for widget in widgets {
        assert_eq!(widget["properties"]["region"], "us-east-1");
        assert!(!widget["properties"]["metrics"].as_array().unwrap().is_empty());
        // Twenty-four columns.
        assert!(widget["x"].as_u64().unwrap() + widget["width"].as_u64().unwrap() <= 24);
    }
}
