//! `rondo device`: the app's device registry: who is where, how they are reached, and when they were seen.

use super::json_file;
use crate::{
    client::Client,
    failure::{Failure, Result},
    output::{Lines, Output, cell, fields},
    profile::Reach,
};
use clap::{Args, Subcommand};
use http::Method;
use rondo_domain::push::device::{Platform, RegistrationId};
use serde_json::{Value, json};
use url::Url;

#[derive(Args)]
pub struct Device {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Register a device, or replace what is registered; its visits stay
    Put(Box<Put>),
    /// Show a device
    Show(One),
    /// Say that its owner was seen: visits make the best time
    Visit(Visit),
    /// Add or remove tags
    Tag(Tag),
    /// Remove a device with all that is known of it
    Remove(One),
}

#[derive(Args)]
struct Put {
    #[command(flatten)]
    one: One,
    #[arg(long, value_parser = platform, help = "android, ios, hmos or web", default_value = "web")]
    platform: Platform,
    /// IANA name; without it the app's time zone counts
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// A browser's push subscription, as `JSON.stringify(subscription)` gives it; `-` reads stdin
    #[arg(long, value_name = "FILE")]
    subscription: Option<String>,
    /// May be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    #[arg(long)]
    alias: Option<String>,
}

#[derive(Args)]
struct One {
    /// Of the device; any name you choose, up to 128 bytes
    #[arg(value_parser = registration_id)]
    id: RegistrationId,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
struct Visit {
    #[command(flatten)]
    one: One,
    /// When, in RFC 3339; may be repeated [default: now]
    #[arg(long, value_name = "INSTANT")]
    at: Vec<String>,
}

#[derive(Args)]
struct Tag {
    #[command(flatten)]
    one: One,
    /// May be repeated
    #[arg(long, value_name = "TAG", required_unless_present = "remove")]
    add: Vec<String>,
    /// May be repeated
    #[arg(long, value_name = "TAG")]
    remove: Vec<String>,
}

fn platform(text: &str) -> Result<Platform, String> {
    Platform::parse(text).ok_or_else(|| "must be android, ios, hmos or web".to_owned())
}

/// A path's parts `.` and `..` never arrive.
fn registration_id(text: &str) -> Result<RegistrationId, String> {
    if matches!(text, "." | "..") {
        return Err("must not be . or ..".to_owned());
    }
    text.parse().map_err(|wrong: rondo_domain::push::device::NotAName| wrong.to_string())
}

impl Device {
    pub async fn run(self) -> Result<()> {
        match self.action {
            Action::Put(put) => put.run().await,
            Action::Show(one) => one.show(&Client::of(&one.reach)?).await,
            Action::Visit(visit) => visit.run().await,
            Action::Tag(tag) => tag.run().await,
            Action::Remove(one) => one.remove().await,
        }
    }
}

impl Put {
    async fn run(&self) -> Result<()> {
        let subscription = self.subscription.as_deref().map(json_file::read).transpose()?;
        let mut device = json!({"platform": self.platform.as_str()});
        let given = [
            ("time_zone", self.time_zone.clone().map(Value::from)),
            ("subscription", subscription.as_ref().map(needed_of_subscription)),
            ("tags", Some(json!(self.tags)).filter(|_| !self.tags.is_empty())),
            ("alias", self.alias.clone().map(Value::from)),
        ];
        for (name, value) in given {
            if let Some(value) = value {
                device[name] = value;
            }
        }
        let client = Client::of(&self.one.reach)?;
        client.ask(Method::PUT, &self.one.path("")?, &[], Some(&device)).await?;
        self.one.show(&client).await
    }
}

/// Browsers add more to it, such as `expirationTime`.
fn needed_of_subscription(given: &Value) -> Value {
    let keys = &given["keys"];
    json!({"endpoint": given["endpoint"], "keys": {"p256dh": keys["p256dh"], "auth": keys["auth"]}})
}

impl One {
    fn path(&self, rest: &str) -> Result<String> {
        let mut url = Url::parse("http://host/v4/devices")?;
        let no_path = |()| Failure::new("the path cannot be made");
        url.path_segments_mut().map_err(no_path)?.push(self.id.as_str());
        Ok(format!("{}{rest}", url.path().trim_start_matches('/')))
    }

    async fn show(&self, client: &Client) -> Result<()> {
        let device = client.get(&self.path("")?).await?;
        self.output.put(&device, |lines| view(&self.id, &device, lines))
    }

    async fn remove(&self) -> Result<()> {
        Client::of(&self.reach)?.delete(&self.path("")?).await?;
        eprintln!("device {} removed", self.id);
        Ok(())
    }
}

impl Visit {
    async fn run(&self) -> Result<()> {
        let body = if self.at.is_empty() { json!({}) } else { json!({"events": self.at}) };
        let client = Client::of(&self.one.reach)?;
        client.post(&self.one.path("/activity")?, Some(&body)).await?;
        self.one.show(&client).await
    }
}

impl Tag {
    async fn run(&self) -> Result<()> {
        let body = json!({"tags": {"add": self.add, "remove": self.remove}});
        let client = Client::of(&self.one.reach)?;
        client.post(&self.one.path("")?, Some(&body)).await?;
        self.one.show(&client).await
    }
}

fn view(id: &RegistrationId, device: &Value, lines: Lines) -> String {
    let tags: Vec<String> = device["tags"].as_array().into_iter().flatten().map(cell).collect();
    let best = &device["best_time"];
    let best = match best["local"].as_str() {
        Some(local) => format!("{local} (of {} visits)", cell(&best["visits"])),
        None => String::new(),
    };
    fields(
        lines,
        vec![
            ("id", id.to_string()),
            ("platform", cell(&device["platform"])),
            ("time zone", cell(&device["time_zone"])),
            ("subscribed", if device["subscribed"] == true { "yes" } else { "no" }.to_owned()),
            ("tags", tags.join(", ")),
            ("alias", cell(&device["alias"])),
            ("last active", cell(&device["last_active"])),
            ("best time", best),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_one_part_of_the_path() -> Result<()> {
        for (id, path) in [
            ("r-1", "v4/devices/r-1"),
            ("a/b c", "v4/devices/a%2Fb%20c"),
            ("50%?", "v4/devices/50%25%3F"),
            ("ñ", "v4/devices/%C3%B1"),
        ] {
            let id = registration_id(id).map_err(Failure::new)?;
            let one = One { id, reach: Reach::default(), output: Output::default() };
            assert_eq!(one.path("")?, path);
        }
        assert!(registration_id("..").is_err() && registration_id("").is_err());
        Ok(())
    }

    #[test]
    fn of_a_subscription_goes_what_is_needed() {
        let given = json!({"endpoint": "https://push.example/1", "expirationTime": null,
            "keys": {"auth": "a", "p256dh": "p", "other": 1}});
        assert_eq!(
            needed_of_subscription(&given),
            json!({"endpoint": "https://push.example/1", "keys": {"p256dh": "p", "auth": "a"}})
        );
    }

    #[test]
    fn a_device_reads_well() {
        let device = json!({"tags": ["news", "vip"], "alias": null, "platform": "web", "time_zone": "Europe/Madrid",
            "subscribed": true, "last_active": null, "best_time": {"local": "19:00", "visits": 42}});
        let id: RegistrationId = "r-1".parse().expect("an id");
        assert_eq!(
            view(&id, &device, Lines::None),
            "id          r-1\nplatform    web\ntime zone   Europe/Madrid\nsubscribed  yes\ntags        news, vip\n\
             best time   19:00 (of 42 visits)"
        );
    }
}
