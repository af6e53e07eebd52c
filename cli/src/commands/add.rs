//! `rondo add`: a new schedule.

use super::{schedule_args::ScheduleArgs, schedule_view::whole};
use crate::{client::Client, failure::Result, output::Output, profile::Reach};
use clap::{ArgGroup, Args};
use http::Method;
use serde_json::Value;

/// Needs a target (--return-url) and one of --interval, --at, --after, --cron and --every.
#[derive(Args)]
#[command(group = ArgGroup::new("when").required(true), mut_arg("return_url", |arg| arg.required(true)))]
pub struct Add {
    #[command(flatten)]
    schedule: ScheduleArgs,
    /// Make it once, however often this command is repeated with this key within a day (visible ASCII; a UUID)
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    output: Output,
}

impl Add {
    pub async fn run(self) -> Result<()> {
        let mut schedule = Value::Object(self.schedule.json(None)?);
        // Without a body of its own a callback carries the recurring-callback object, payload or not.
        if let Some(http) = schedule["target"]["http"].as_object_mut()
            && !http.contains_key("body")
        {
            http.entry("payload").or_insert(Value::Null);
        }
        let headers: Vec<_> =
            self.idempotency_key.iter().map(|key| ("idempotency-key", key.as_str())).collect();
        let client = Client::of(&self.reach)?;
        let created = client.ask(Method::POST, "v1/schedules", &headers, Some(&schedule)).await?;
        self.output.put(&created, |lines| whole(&created, lines))
    }
}
