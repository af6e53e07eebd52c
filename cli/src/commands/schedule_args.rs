//! The flags that say what is called, how, and under which policies, as the native API's fields. One set for
//! `add` and `update`.

use super::trigger_args::{TriggerArgs, span};
use crate::failure::{Result, While as _};
use clap::Args;
use serde_json::{Map, Value, json};
use std::{fs, io::Read as _};

#[derive(Args, Clone, Default)]
pub struct ScheduleArgs {
    #[command(flatten)]
    pub trigger: TriggerArgs,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub delivery: DeliveryArgs,
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// A name, for people
    #[arg(short, long)]
    pub name: Option<String>,
    /// A label to find it by; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = pair)]
    pub tags: Vec<(String, String)>,
}

/// What is called.
#[derive(Args, Clone, Default)]
pub struct TargetArgs {
    /// The URL to call
    #[arg(short = 'u', long, visible_alias = "url", value_name = "URL", help_heading = "What is called")]
    pub return_url: Option<String>,
    /// GET, POST, PUT, PATCH or DELETE [default: POST]
    #[arg(
        short = 'm',
        long,
        visible_alias = "method",
        value_name = "METHOD",
        help_heading = "What is called"
    )]
    pub callback_method: Option<String>,
    /// Sent within the recurring-callback object (number, ids, links); @FILE and @- (stdin) read it
    #[arg(short, long, value_name = "TEXT", conflicts_with = "body", help_heading = "What is called")]
    pub payload: Option<String>,
    /// Sent as the whole body instead: JSON, or else text; @FILE and @- (stdin) read it
    #[arg(long, value_name = "BODY", help_heading = "What is called")]
    pub body: Option<String>,
    /// A header of your own; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header, help_heading = "What is called")]
    pub headers: Vec<(String, String)>,
}

/// How it is called, and how again.
#[derive(Args, Clone, Default)]
pub struct DeliveryArgs {
    /// How long an answer may take [default: 10s]
    #[arg(long, value_name = "SPAN", value_parser = span, help_heading = "Delivery")]
    pub timeout: Option<String>,
    /// How often one execution is attempted at most; 1: no retries
    #[arg(long, value_name = "COUNT", help_heading = "Delivery")]
    pub max_attempts: Option<u16>,
    /// The wait before the second attempt
    #[arg(long, value_name = "SPAN", value_parser = span, help_heading = "Delivery")]
    pub retry_initial: Option<String>,
    /// Each further wait is so many times the one before
    #[arg(long, value_name = "NUMBER", help_heading = "Delivery")]
    pub retry_factor: Option<f64>,
    /// The longest wait between attempts
    #[arg(long, value_name = "SPAN", value_parser = span, help_heading = "Delivery")]
    pub retry_max_interval: Option<String>,
    /// No attempt starts so long after the due instant
    #[arg(long, value_name = "SPAN", value_parser = span, help_heading = "Delivery")]
    pub retry_max_age: Option<String>,
    /// Told by POST when an execution has failed for good
    #[arg(long, visible_alias = "notify-status-not-ok", value_name = "URL", help_heading = "Delivery")]
    pub on_failure: Option<String>,
}

/// What becomes of the unusual.
#[derive(Args, Clone, Default)]
pub struct PolicyArgs {
    /// What was due while the service was away [default: all where --occurrences is given, else latest]
    #[arg(long, value_name = "POLICY", value_parser = ["all", "latest", "none"], help_heading = "Policy")]
    pub missed: Option<String>,
    /// What is later than this never fires [default: 24h]
    #[arg(long, value_name = "SPAN", value_parser = span, help_heading = "Policy")]
    pub max_lateness: Option<String>,
    /// While an earlier execution still runs [default: allow]
    #[arg(long, value_name = "POLICY", value_parser = ["allow", "skip"], help_heading = "Policy")]
    pub overlap: Option<String>,
    /// A wall time that the clock jumps over [default: shift]
    #[arg(long, value_name = "POLICY", value_parser = ["shift", "skip"], help_heading = "Policy")]
    pub dst_gap: Option<String>,
    /// A wall time that comes twice [default: first]
    #[arg(long, value_name = "POLICY", value_parser = ["first", "second", "both"], help_heading = "Policy")]
    pub dst_fold: Option<String>,
    /// A window in which the schedule's id places it, so that not all come at once
    #[arg(long, value_name = "SPAN", value_parser = span, help_heading = "Policy")]
    pub spread: Option<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("must be NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

impl ScheduleArgs {
    /// The fields that were given, and no others: a schedule to create, or a merge patch. `present` is the
    /// kind of the trigger that is changed.
    pub fn json(&self, present: Option<&str>) -> Result<Map<String, Value>> {
        let mut schedule = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                schedule.insert(name.to_owned(), value);
            }
        };
        put("name", self.name.clone().map(Value::from));
        put("trigger", self.trigger.json(present));
        put("target", self.target.json()?.map(|http| json!({"http": http})));
        put("delivery", self.delivery.json());
        put("policy", self.policy.json());
        let tags: Map<String, Value> =
            self.tags.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
        put("tags", (!tags.is_empty()).then_some(Value::Object(tags)));
        Ok(schedule)
    }
}

impl TargetArgs {
    fn json(&self) -> Result<Option<Value>> {
        let mut http = Map::new();
        if let Some(url) = &self.return_url {
            http.insert("url".to_owned(), url.as_str().into());
        }
        if let Some(method) = &self.callback_method {
            http.insert("method".to_owned(), method.to_ascii_uppercase().into());
        }
        if !self.headers.is_empty() {
            let headers: Map<String, Value> =
                self.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
            http.insert("headers".to_owned(), headers.into());
        }
        if let Some(payload) = &self.payload {
            http.insert("payload".to_owned(), given(payload)?.into());
        }
        if let Some(body) = &self.body {
            let text = given(body)?;
            http.insert("body".to_owned(), serde_json::from_str(&text).unwrap_or(Value::String(text)));
        }
        Ok((!http.is_empty()).then_some(Value::Object(http)))
    }
}

/// The text itself, or with `@` the file that holds it.
fn given(text: &str) -> Result<String> {
    match text.strip_prefix('@') {
        None => Ok(text.to_owned()),
        Some("-") => {
            let mut read = String::new();
            std::io::stdin().read_to_string(&mut read).when(|| "cannot read stdin".to_owned())?;
            Ok(read)
        }
        Some(path) => fs::read_to_string(path).when(|| format!("cannot read {path}")),
    }
}

impl DeliveryArgs {
    fn json(&self) -> Option<Value> {
        let retry = filled([
            ("max_attempts", self.max_attempts.map(Value::from)),
            ("initial", self.retry_initial.clone().map(Value::from)),
            ("factor", self.retry_factor.map(Value::from)),
            ("max_interval", self.retry_max_interval.clone().map(Value::from)),
            ("max_age", self.retry_max_age.clone().map(Value::from)),
        ]);
        filled([
            ("timeout", self.timeout.clone().map(Value::from)),
            ("retry", retry),
            ("on_failure", self.on_failure.clone().map(Value::from)),
        ])
    }
}

impl PolicyArgs {
    pub fn json(&self) -> Option<Value> {
        filled([
            ("missed", self.missed.clone().map(Value::from)),
            ("max_lateness", self.max_lateness.clone().map(Value::from)),
            ("overlap", self.overlap.clone().map(Value::from)),
            ("dst_gap", self.dst_gap.clone().map(Value::from)),
            ("dst_fold", self.dst_fold.clone().map(Value::from)),
            ("spread", self.spread.clone().map(Value::from)),
        ])
    }
}

fn filled<const N: usize>(fields: [(&str, Option<Value>); N]) -> Option<Value> {
    let object: Map<String, Value> =
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    (!object.is_empty()).then_some(Value::Object(object))
}
