//! `rondo update`: what is given changes, the rest stays.

use super::{schedule_args::ScheduleArgs, schedule_view};
use crate::{
    client::Client,
    failure::{Failure, Result},
    output::Output,
    profile::Reach,
};
use clap::Args;
use http::Method;
use rondo_domain::ids::ScheduleId;
use serde_json::Value;

#[derive(Args)]
pub struct Update {
    /// Of the schedule
    id: ScheduleId,
    #[command(flatten)]
    schedule: ScheduleArgs,
    /// Take a tag away; may be repeated
    #[arg(long, value_name = "KEY")]
    untag: Vec<String>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    output: Output,
}

impl Update {
    pub async fn run(self) -> Result<()> {
        let client = Client::of(&self.reach)?;
        let path = format!("v1/schedules/{}", self.id);
        let mut patch = if self.schedule.trigger.changes_kind_unsaid() {
            let present = client.get(&path).await?;
            let kind = present["trigger"].as_object().and_then(|trigger| trigger.keys().next().cloned());
            self.schedule.json(kind.as_deref())?
        } else {
            self.schedule.json(None)?
        };
        for key in &self.untag {
            let tags = patch.entry("tags").or_insert_with(|| Value::Object(Default::default()));
            tags[key] = Value::Null;
        }
        if patch.is_empty() {
            return Err(
                Failure::usage("nothing to change was given").hint("`rondo update --help` lists what can be")
            );
        }
        let updated = client.ask(Method::PATCH, &path, &[], Some(&Value::Object(patch))).await?;
        self.output.put(&updated, |lines| schedule_view::whole(&updated, lines))
    }
}
