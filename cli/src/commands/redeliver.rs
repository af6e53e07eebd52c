//! `rondo redeliver`: an execution that is over, delivered once more under the same id.

use super::show::execution_whole;
use crate::{client::Client, failure::Result, output::Output, profile::Reach};
use clap::Args;
use rondo_domain::ids::ExecutionId;

#[derive(Args)]
pub struct Redeliver {
    /// Of the execution
    id: ExecutionId,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    output: Output,
}

impl Redeliver {
    pub async fn run(self) -> Result<()> {
        let path = format!("v1/executions/{}/redeliver", self.id);
        let execution = Client::of(&self.reach)?.post(&path, None).await?;
        self.output.put(&execution, |lines| execution_whole(&execution, lines))
    }
}
