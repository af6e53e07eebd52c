//! `rondo comment`: a remark on an execution's record.

use crate::{client::Client, failure::Result, profile::Reach};
use clap::Args;
use rondo_domain::ids::ExecutionId;
use serde_json::json;

#[derive(Args)]
pub struct Comment {
    /// Of the execution
    id: ExecutionId,
    /// Replaces the comment before it
    comment: String,
    #[command(flatten)]
    reach: Reach,
}

impl Comment {
    pub async fn run(self) -> Result<()> {
        let body = json!({"executionId": self.id, "comment": self.comment});
        Client::of(&self.reach)?.post("set/execution/comment", Some(&body)).await?;
        eprintln!("comment added");
        Ok(())
    }
}
