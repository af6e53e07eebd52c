//! `rondo show`: one schedule, or one execution with its attempts.

use super::schedule_view;
use crate::{
    client::Client,
    failure::Result,
    output::{Lines, Output, cell, fields, table},
    profile::Reach,
};
use clap::Args;
use rondo_domain::ids::{ExecutionId, ScheduleId};
use serde_json::Value;

#[derive(Args)]
pub struct Show {
    /// Of a schedule or of an execution
    #[arg(value_parser = either)]
    id: Either,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Copy)]
enum Either {
    Schedule(ScheduleId),
    Execution(ExecutionId),
}

fn either(text: &str) -> Result<Either, String> {
    if let Ok(id) = text.parse() {
        return Ok(Either::Schedule(id));
    }
    text.parse().map(Either::Execution).map_err(|_| "is not the id of a schedule or an execution".to_owned())
}

impl Show {
    pub async fn run(self) -> Result<()> {
        let client = Client::of(&self.reach)?;
        match self.id {
            Either::Schedule(id) => {
                let schedule = client.get(&format!("v1/schedules/{id}")).await?;
                self.output.put(&schedule, |lines| schedule_view::whole(&schedule, lines))
            }
            Either::Execution(id) => {
                let execution = client.get(&format!("v1/executions/{id}")).await?;
                self.output.put(&execution, |lines| execution_whole(&execution, lines))
            }
        }
    }
}

pub fn execution_whole(execution: &Value, lines: Lines) -> String {
    let by_hand = execution["by_hand"] == true;
    let record = fields(
        lines,
        vec![
            ("id", cell(&execution["id"])),
            ("schedule", cell(&execution["schedule_id"])),
            ("occurrence", if by_hand { "by hand".to_owned() } else { cell(&execution["occurrence"]) }),
            ("through", cell(&execution["through"])),
            ("status", cell(&execution["status"])),
            ("nominal", cell(&execution["nominal_at"])),
            ("due", cell(&execution["due_at"])),
            ("late (ms)", cell(&execution["lateness_ms"])),
            ("reason", cell(&execution["reason"])),
            ("next attempt", cell(&execution["next_attempt_at"])),
            ("comment", cell(&execution["comment"])),
        ],
    );
    let attempts = execution["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    if attempts.is_empty() {
        return record;
    }
    let rows = attempts.iter().map(|attempt| {
        let failure = &attempt["failure"];
        let what = if failure.is_null() { cell(&attempt["body"]) } else { cell(&failure["detail"]) };
        [
            cell(&attempt["number"]),
            cell(&attempt["sent_at"]),
            cell(&attempt["duration_ms"]),
            cell(&attempt["status"]),
            what,
        ]
    });
    let header = ["attempt", "sent", "took (ms)", "status", "answer"];
    format!("{record}\n\n{}", table(lines, header, rows.collect()))
}
