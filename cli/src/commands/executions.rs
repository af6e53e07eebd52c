//! `rondo executions`: what became of a schedule's occurrences, newest first.

use super::list::pages;
use crate::{
    client::Client,
    failure::Result,
    output::{Output, cell, table},
    profile::Reach,
};
use clap::Args;
use rondo_domain::ids::ScheduleId;
use serde_json::{Value, json};

#[derive(Args)]
pub struct Executions {
    /// Of the schedule
    id: ScheduleId,
    /// Only those that are so
    #[arg(short, long, value_parser = ["running", "waiting", "succeeded", "failed", "missed", "skipped"], ignore_case = true)]
    status: Option<String>,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    output: Output,
}

impl Executions {
    pub async fn run(self) -> Result<()> {
        let client = Client::of(&self.reach)?;
        let path = format!("v1/schedules/{}/executions", self.id);
        let query = vec![("status", self.status.map(|status| status.to_ascii_lowercase()))];
        let executions = pages(&client, &path, "executions", query, self.limit as usize).await?;
        let header = ["no", "status", "due", "late (ms)", "attempts", "answer", "comment", "id"];
        let json = json!({"executions": executions});
        self.output.put(&json, |lines| table(lines, header, executions.iter().map(row).collect()))
    }
}

fn row(execution: &Value) -> [String; 8] {
    let number = match (&execution["occurrence"], &execution["through"]) {
        (Value::Null, _) => "by hand".to_owned(),
        (number, Value::Null) => cell(number),
        (number, through) => format!("{number}-{through}"),
    };
    let answer = match &execution["last_status"] {
        status if *status == -1 => "none".to_owned(),
        status => cell(status),
    };
    [
        number,
        cell(&execution["status"]),
        cell(&execution["due_at"]),
        cell(&execution["lateness_ms"]),
        cell(&execution["attempt_count"]),
        answer,
        cell(&execution["comment"]),
        cell(&execution["id"]),
    ]
}
