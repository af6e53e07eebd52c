//! `rondo cancel`, `pause`, `resume` and `run`: one word to a schedule.

use super::{schedule_view, show::execution_whole};
use crate::{client::Client, failure::Result, output::Output, profile::Reach};
use clap::Args;
use rondo_domain::ids::ScheduleId;

#[derive(Args)]
pub struct Change {
    /// Of the schedule
    id: ScheduleId,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    output: Output,
}

impl Change {
    pub async fn cancel(self) -> Result<()> {
        let changed = Client::of(&self.reach)?.delete(&format!("v1/schedules/{}", self.id)).await?;
        in_flight(&changed);
        self.output.put(&changed, |lines| schedule_view::whole(&changed, lines))
    }

    pub async fn pause(self) -> Result<()> {
        self.post("pause").await
    }

    pub async fn resume(self) -> Result<()> {
        self.post("resume").await
    }

    /// Answers with the execution, which is attempted at once.
    pub async fn run_now(self) -> Result<()> {
        let path = format!("v1/schedules/{}/run", self.id);
        let execution = Client::of(&self.reach)?.post(&path, None).await?;
        self.output.put(&execution, |lines| execution_whole(&execution, lines))
    }

    async fn post(self, word: &str) -> Result<()> {
        let path = format!("v1/schedules/{}/{word}", self.id);
        let changed = Client::of(&self.reach)?.post(&path, None).await?;
        in_flight(&changed);
        self.output.put(&changed, |lines| schedule_view::whole(&changed, lines))
    }
}

fn in_flight(changed: &serde_json::Value) {
    if let Some(count @ 1..) = changed["in_flight"].as_u64() {
        eprintln!("note: {count} of its executions had started before, and may still arrive");
    }
}
