//! `rondo list`: the app's schedules, newest first.

use super::schedule_view;
use crate::{client::Client, failure::Result, output::Output, profile::Reach};
use clap::Args;
use rondo_domain::{contract, state::Status};
use serde_json::{Value, json};

/// As many as the API gives at once.
const PAGE: usize = 200;

#[derive(Args)]
pub struct List {
    /// Only those that are pending, active (ON_GOING), paused, finished or canceled
    #[arg(short, long, value_parser = status)]
    status: Option<Status>,
    /// Only those whose name holds this
    #[arg(short, long)]
    name: Option<String>,
    /// Only those with this tag; may be repeated
    #[arg(long = "tag", value_name = "KEY[=VALUE]")]
    tags: Vec<String>,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    output: Output,
}

/// The native words and the recurring-callback contract's, in any case.
fn status(text: &str) -> Result<Status, String> {
    let native = Status::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(text));
    native.or_else(|| contract::parse_status(text)).ok_or_else(|| {
        let words =
            Status::ALL.map(|status| format!("{} ({})", status.as_str(), contract::status_name(status)));
        format!("must be one of {}", words.join(", "))
    })
}

impl List {
    pub async fn run(self) -> Result<()> {
        let client = Client::of(&self.reach)?;
        let mut query = vec![
            ("status", self.status.map(|status| status.as_str().to_owned())),
            ("name", self.name.clone()),
        ];
        query.extend(self.tags.iter().map(|tag| ("tag", Some(tag.replacen('=', ":", 1)))));
        let schedules = pages(&client, "v1/schedules", "schedules", query, self.limit as usize).await?;
        let json = json!({"schedules": schedules});
        self.output.put(&json, |lines| schedule_view::list(&schedules, lines))
    }
}

/// Page after page, up to `limit`.
pub async fn pages(
    client: &Client,
    path: &str,
    member: &str,
    mut query: Vec<(&str, Option<String>)>,
    limit: usize,
) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    query.push(("limit", None));
    query.push(("cursor", None));
    let (limit_at, cursor_at) = (query.len() - 2, query.len() - 1);
    loop {
        query[limit_at].1 = Some((limit - all.len()).min(PAGE).to_string());
        let mut page = client.query(path, &query).await?;
        if let Value::Array(items) = page[member].take() {
            all.extend(items);
        }
        let next = page["next_cursor"].as_str().map(str::to_owned);
        if next.is_none() || all.len() >= limit {
            // Those that run just now come on top of the page that was asked for.
            all.truncate(limit);
            return Ok(all);
        }
        query[cursor_at].1 = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_vocabularies_are_understood() {
        assert_eq!(status("ON_GOING"), Ok(Status::Active));
        assert_eq!(status("active"), Ok(Status::Active));
        assert_eq!(status("Canceled"), Ok(Status::Canceled));
        assert!(status("done").unwrap_err().contains("active (ON_GOING)"));
    }
}
