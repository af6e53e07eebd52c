//! `rondo push`: the scheduled-push contract (`/v4/push`, `/v4/schedules`) from the command line. Bodies are the
//! contract's own JSON, so that what works here works with any of its clients.

mod view;

pub(super) use view::to;

use super::json_file;
use crate::{
    client::Client,
    failure::Result,
    output::{Lines, Output},
    profile::Reach,
};
use clap::{Args, Subcommand};
use http::Method;
use rondo_domain::ids::ScheduleId;
use serde_json::{Value, json};

#[derive(Args)]
pub struct Push {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Push now
    Send(Body),
    /// Check a push; nothing is sent
    Validate(Body),
    /// Schedule a push: name, enabled, trigger, push
    Schedule(Body),
    /// List scheduled pushes that have not expired, oldest first, 50 a page
    List(List),
    /// Show a scheduled push
    Show(One),
    /// List the message ids of a scheduled push, and what went wrong
    Messages(One),
    /// Change name, enabled, trigger or push of a scheduled push; each is given whole
    Update(Update),
    /// Let a paused scheduled push go on
    Enable(One),
    /// Pause a scheduled push
    Disable(One),
    /// Delete a scheduled push
    Delete(One),
}

#[derive(Args)]
struct Body {
    /// The contract's JSON; `-` reads stdin
    #[arg(value_name = "FILE")]
    input: String,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
struct One {
    /// Of the schedule
    id: ScheduleId,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
struct List {
    /// Which page
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    page: u32,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
struct Update {
    /// Of the schedule
    id: ScheduleId,
    #[command(flatten)]
    body: Body,
}

impl Push {
    pub async fn run(self) -> Result<()> {
        match self.action {
            Action::Send(body) => body.post("v4/push", view::sent).await,
            Action::Validate(body) => body.post("v4/push/validate", |_, _| "valid".to_owned()).await,
            Action::Schedule(body) => body.post("v4/schedules", view::created).await,
            Action::List(list) => list.run().await,
            Action::Show(one) => one.show("", |answer, lines| view::whole(&answer[0], lines)).await,
            Action::Messages(one) => one.show("/msg-ids", view::messages).await,
            Action::Update(update) => {
                let changes = json_file::read(&update.body.input)?;
                change(&update.body.reach, &update.body.output, update.id, &changes).await
            }
            Action::Enable(one) => one.set_enabled(true).await,
            Action::Disable(one) => one.set_enabled(false).await,
            Action::Delete(one) => one.delete().await,
        }
    }
}

fn path_of(id: ScheduleId) -> String {
    format!("v4/schedules/{id}")
}

async fn change(reach: &Reach, output: &Output, id: ScheduleId, changes: &Value) -> Result<()> {
    let changed = Client::of(reach)?.ask(Method::PUT, &path_of(id), &[], Some(changes)).await?;
    output.put(&changed, |lines| view::whole(&changed, lines))
}

impl Body {
    async fn post(&self, path: &str, text: impl FnOnce(&Value, Lines) -> String) -> Result<()> {
        let body = json_file::read(&self.input)?;
        let answer = Client::of(&self.reach)?.post(path, Some(&body)).await?;
        self.output.put(&answer, |lines| text(&answer, lines))
    }
}

impl List {
    async fn run(&self) -> Result<()> {
        let query = [("page", Some(self.page.to_string()))];
        let found = Client::of(&self.reach)?.query("v4/schedules", &query).await?;
        let (count, pages) = (&found["total_count"], found["total_pages"].as_u64().unwrap_or(0));
        if pages > 1 || u64::from(self.page) > pages.max(1) {
            eprintln!("note: page {} of {pages}; there are {count} in all", self.page);
        }
        self.output.put(&found, |lines| view::list(&found, lines))
    }
}

impl One {
    async fn show(&self, rest: &str, text: impl FnOnce(&Value, Lines) -> String) -> Result<()> {
        let answer = Client::of(&self.reach)?.get(&format!("{}{rest}", path_of(self.id))).await?;
        self.output.put(&answer, |lines| text(&answer, lines))
    }

    async fn set_enabled(&self, enabled: bool) -> Result<()> {
        change(&self.reach, &self.output, self.id, &json!({"enabled": enabled})).await
    }

    async fn delete(&self) -> Result<()> {
        Client::of(&self.reach)?.delete(&path_of(self.id)).await?;
        eprintln!("scheduled push {} deleted", self.id);
        Ok(())
    }
}
