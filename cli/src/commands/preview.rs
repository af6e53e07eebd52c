//! `rondo preview`: when a trigger would be due, and what daylight saving does to it. Nothing is stored.

use super::{schedule_args::PolicyArgs, trigger_args::TriggerArgs};
use crate::{
    client::Client,
    failure::Result,
    output::{Output, cell, table},
    profile::Reach,
};
use clap::{ArgGroup, Args};
use serde_json::{Map, Value, json};

#[derive(Args)]
#[command(group = ArgGroup::new("when").required(true))]
pub struct Preview {
    #[command(flatten)]
    trigger: TriggerArgs,
    #[command(flatten)]
    policy: PolicyArgs,
    /// How many instants to show
    #[arg(short, long, default_value_t = 10)]
    count: u32,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    output: Output,
}

impl Preview {
    pub async fn run(self) -> Result<()> {
        let mut asked = Map::new();
        asked.insert("trigger".to_owned(), self.trigger.json(None).unwrap_or_default());
        if let Some(policy) = self.policy.json() {
            asked.insert("policy".to_owned(), policy);
        }
        asked.insert("count".to_owned(), json!(self.count));
        let preview = Client::of(&self.reach)?.post("v1/preview", Some(&Value::Object(asked))).await?;
        let rows = preview["instants"].as_array().into_iter().flatten().map(|instant| {
            let columns = ["occurrence", "at", "local", "dst_meaning"];
            columns.map(|name| cell(&instant[name]))
        });
        let header = ["no", "due", "local", "note"];
        self.output.put(&preview, |lines| table(lines, header, rows.collect()))
    }
}
