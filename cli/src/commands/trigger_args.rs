//! The flags that say when a schedule is due, as the native API's `trigger`.

use clap::Args;
use rondo_domain::span_text::{parse_span, write_span};
use serde_json::{Map, Value, json};

/// When it is due: at most one of the flags of group `when`, and what belongs to it.
#[derive(Args, Clone, Default)]
pub struct TriggerArgs {
    /// Every so often: 5s, 1h+30m, 250 (ms); at least 100ms
    #[arg(short, long, value_name = "SPAN", value_parser = span, group = "when", help_heading = "When")]
    pub interval: Option<String>,
    /// Once, at this instant: 2026-12-01T09:00:00+01:00
    #[arg(long, value_name = "TIME", group = "when", help_heading = "When")]
    pub at: Option<String>,
    /// Once, after this span
    #[arg(long, value_name = "SPAN", value_parser = span, group = "when", help_heading = "When")]
    pub after: Option<String>,
    /// By a cron expression of 5 fields, or 6 with seconds: "0 2 * * MON-FRI"
    #[arg(long, value_name = "EXPRESSION", group = "when", help_heading = "When")]
    pub cron: Option<String>,
    /// Every day, week or month, at --time
    #[arg(
        long,
        value_name = "UNIT",
        value_parser = ["day", "week", "month"],
        group = "when",
        requires = "time",
        help_heading = "When"
    )]
    pub every: Option<String>,
    /// Time of day for --every: 09:00, 09:00:30
    #[arg(long, value_name = "TIME", requires = "every", help_heading = "When")]
    pub time: Option<String>,
    /// Days for --every week (mon,thu) or --every month (1,15)
    #[arg(long, value_name = "DAYS", value_delimiter = ',', value_parser = day, requires = "every", help_heading = "When")]
    pub on: Vec<Value>,
    /// Every n-th day, week or month only
    #[arg(long, value_name = "N", requires = "every", help_heading = "When")]
    pub frequency: Option<u16>,
    /// Wait before the first execution of an interval
    #[arg(short = 'l', long, value_name = "SPAN", value_parser = span, help_heading = "When")]
    pub delay: Option<String>,
    /// Nothing is due before this: an instant; for --every a date, with or without a time
    #[arg(long, value_name = "TIME", help_heading = "When")]
    pub start: Option<String>,
    /// Nothing is due after this; the same forms
    #[arg(long, value_name = "TIME", help_heading = "When")]
    pub end: Option<String>,
    /// How many executions there are; without it they go on until --end or `rondo cancel`
    #[arg(short, long, value_name = "COUNT", help_heading = "When")]
    pub occurrences: Option<u32>,
    /// IANA time zone of --cron and --every [default: the app's]
    #[arg(long, value_name = "ZONE", help_heading = "When")]
    pub time_zone: Option<String>,
}

/// A span in any form, as the canonical text.
pub fn span(text: &str) -> Result<String, String> {
    parse_span(text).map(write_span).map_err(|error| error.to_string())
}

/// A day of the month is a number, a weekday a word.
fn day(text: &str) -> Result<Value, String> {
    let text = text.trim();
    if let Ok(day) = text.parse::<u8>() {
        return if (1..=31).contains(&day) { Ok(json!(day)) } else { Err("must be 1 to 31".to_owned()) };
    }
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let known = text.get(..3).map(str::to_ascii_lowercase).filter(|start| days.contains(&start.as_str()));
    known.map(Value::from).ok_or_else(|| "must be a weekday (mon) or a day of the month (15)".to_owned())
}

impl TriggerArgs {
    /// Something is said about a trigger, but not of which kind it is: `--occurrences 20` alone.
    pub fn changes_kind_unsaid(&self) -> bool {
        self.json(None).is_none() && self.json(Some("interval")).is_some()
    }

    /// None where no flag says anything about it. Without a flag of the group `when` (an update), the flags
    /// that are left change the trigger of the kind that `present` names.
    pub fn json(&self, present: Option<&str>) -> Option<Value> {
        let kind = match () {
            () if self.interval.is_some() => "interval",
            () if self.at.is_some() || self.after.is_some() => "single",
            () if self.cron.is_some() => "cron",
            () if self.every.is_some() => "periodical",
            () => present?,
        };
        let mut trigger = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                trigger.insert(name.to_owned(), value);
            }
        };
        let text = |value: &Option<String>| value.clone().map(Value::from);
        put("every", text(&self.interval));
        put("time", text(&self.at));
        put("after", text(&self.after));
        put("expression", text(&self.cron));
        put("unit", text(&self.every));
        put("time", text(&self.time));
        put("points", (!self.on.is_empty()).then(|| Value::from(self.on.clone())));
        put("frequency", self.frequency.map(Value::from));
        put("delay", text(&self.delay));
        put(if kind == "interval" { "first" } else { "start" }, text(&self.start));
        put("end", text(&self.end));
        put("occurrences", self.occurrences.map(Value::from));
        put("time_zone", text(&self.time_zone));
        if trigger.is_empty() { None } else { Some(json!({kind: trigger})) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_become_canonical_and_days_become_points() {
        assert_eq!(span("1h+30m"), Ok("1h30m".to_owned()));
        assert_eq!(span("250"), Ok("250ms".to_owned()));
        assert!(span("5x").is_err() && span("-1s").is_err());
        assert_eq!((day("15"), day("Monday")), (Ok(json!(15)), Ok(json!("mon"))));
        assert!(day("32").is_err() && day("x").is_err());
    }

    #[test]
    fn each_kind_takes_its_own_fields() {
        let interval =
            TriggerArgs { interval: Some("5s".to_owned()), occurrences: Some(3), ..TriggerArgs::default() };
        assert_eq!(interval.json(None), Some(json!({"interval": {"every": "5s", "occurrences": 3}})));
        let weekly = TriggerArgs {
            every: Some("week".to_owned()),
            time: Some("09:00".to_owned()),
            on: vec![json!("mon")],
            ..TriggerArgs::default()
        };
        let points = json!({"periodical": {"unit": "week", "time": "09:00", "points": ["mon"]}});
        assert_eq!(weekly.json(None), Some(points));
        let only_count = TriggerArgs { occurrences: Some(20), ..TriggerArgs::default() };
        assert!(only_count.changes_kind_unsaid() && !interval.changes_kind_unsaid());
        assert_eq!(only_count.json(Some("cron")), Some(json!({"cron": {"occurrences": 20}})));
        assert!(!TriggerArgs::default().changes_kind_unsaid());
    }
}
