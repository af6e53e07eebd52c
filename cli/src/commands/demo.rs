//! `rondo demo`: the service, a receiver and one recurring callback, all real, all on this machine, in about ten
//! seconds. Succeeds only if every occurrence arrived exactly once and in order.

use super::{serve::StopSignals, trigger_args::span};
use crate::{
    client::Client,
    failure::{Failure, Result, While as _},
    output::{Lines, cell, fields, print},
    profile::Account,
    receiver::{Answer, Arrival, Receiver, Signature},
    service::{Service, ServiceOptions},
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rondo_domain::{
    engine::{AppGrant, NewApp},
    span_text::parse_span,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _},
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// How much later than due an occurrence may arrive before the demo gives up on it.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Args)]
pub struct Demo {
    /// Between two callbacks
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "1s")]
    interval: String,
    /// How many callbacks
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    occurrences: u32,
}

impl Demo {
    pub async fn run(self) -> Result<()> {
        let mut stop = StopSignals::new()?;
        let folder = tempfile::Builder::new().prefix("rondo-demo-").tempdir()?;
        let mut options = ServiceOptions::new(folder.path().join("data"), "127.0.0.1:0");
        options.allow_private_targets = true;
        let prepared = Service::prepare(options).await?;
        let new = NewApp { name: "demo".to_owned(), ..NewApp::default() };
        let grant = prepared.world.engine.create_app(new, &*prepared.world.vault).await?;
        let service = prepared.run()?;
        let secrets = vec![grant.signing_secret.parse()?];
        let receiver = Receiver::start("127.0.0.1:0", secrets, Answer::default()).await?;
        print(&format!(
            "the service listens on {}, its data in {}\nthe receiver listens on {}\n\n",
            service.url(),
            folder.path().display(),
            receiver.server.url()
        ))?;
        let watched = tokio::select! {
            watched = self.watch(&service, grant, receiver) => watched,
            () = stop.wait() => Err(Failure::new("interrupted")),
        };
        service.stop().await;
        watched
    }

    /// Registers the request, shows what arrives, and judges it.
    async fn watch(&self, service: &Service, grant: AppGrant, mut receiver: Receiver) -> Result<()> {
        let interval = parse_span(&self.interval)?;
        let client = Client::new(&Account {
            host: service.url(),
            app_key: grant.key.to_string(),
            app_secret: grant.secret,
        })?;
        let request = json!({
            "interval": interval.millis(),
            "occurrences": self.occurrences,
            "name": "example_task",
            "return_url": format!("{}/hook", receiver.server.url()),
            "payload": "{\"key\": \"value\"}",
            "callback_type": "POST",
        });
        print(&format!("POST /set/notifier {request}\n"))?;
        let created = client.post("set/notifier", Some(&request)).await?;
        print(&format!("200 {created}\n\n"))?;

        let progress = Progress::new(self.occurrences);
        let mut arrivals = Vec::new();
        while !complete(self.occurrences, &arrivals) {
            match timeout(interval.std() + PATIENCE, receiver.arrivals.recv()).await {
                Ok(Some(arrival)) => {
                    progress.show(&arrival)?;
                    arrivals.push(arrival);
                }
                _ => break,
            }
        }
        // One more interval: what arrives twice, or too much, arrives now.
        while let Ok(Some(arrival)) = timeout(interval.std(), receiver.arrivals.recv()).await {
            progress.show(&arrival)?;
            arrivals.push(arrival);
        }
        progress.end();
        let record = final_record(&client, cell(&created["id"])).await?;
        show_record(&record)?;
        receiver.server.stop().await;
        let verdict = judge(self.occurrences, &arrivals, record["status"].as_str());
        if verdict.is_empty() {
            let lateness = arrivals.iter().filter_map(Arrival::lateness).max().unwrap_or_default();
            print(&format!(
                "\nall {} callbacks arrived, each once and in order, verified, at most {} ms late\n",
                self.occurrences,
                lateness.millis()
            ))
        } else {
            Err(verdict.into_iter().fold(Failure::new("the demo did not go as it should"), Failure::with))
        }
    }
}

/// The request once its last outcome is on record, which may be a moment after its last callback.
async fn final_record(client: &Client, id: String) -> Result<Value> {
    let mut record = Value::Null;
    for _ in 0..20 {
        let list = client.query("requests/get_list", &[("requestId", Some(id.clone()))]).await;
        record = list.when(|| "cannot read the request back".to_owned())?[0].take();
        if record["status"] == "FINISHED" {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(record)
}

fn show_record(record: &Value) -> Result<()> {
    let shown: Vec<(&str, String)> =
        record.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), cell(value))).collect();
    print(&format!("\nthe request's record:\n{}\n", fields(Lines::None, shown)))
}

fn complete(expected: u32, arrivals: &[Arrival]) -> bool {
    (1..=expected).all(|number| arrivals.iter().any(|arrival| arrival.occurrence == Some(number)))
}

/// What was not as promised; nothing where all was.
fn judge(expected: u32, arrivals: &[Arrival], status: Option<&str>) -> Vec<String> {
    let numbers: Vec<u32> = arrivals.iter().map(|arrival| arrival.occurrence.unwrap_or(0)).collect();
    let mut times: BTreeMap<u32, usize> = BTreeMap::new();
    for number in &numbers {
        *times.entry(*number).or_default() += 1;
    }
    let list = |numbers: Vec<u32>| numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let mut verdict = Vec::new();
    let mut say = |what: &str, numbers: Vec<u32>| {
        if !numbers.is_empty() {
            verdict.push(format!("{what}: {}", list(numbers)));
        }
    };
    say("missing", (1..=expected).filter(|number| !times.contains_key(number)).collect());
    say(
        "arrived more than once",
        times.iter().filter(|(_, times)| **times > 1).map(|(number, _)| *number).collect(),
    );
    say("never asked for", times.keys().copied().filter(|number| !(1..=expected).contains(number)).collect());
    say("out of order", numbers.windows(2).filter(|pair| pair[0] > pair[1]).map(|pair| pair[1]).collect());
    let unverified = arrivals.iter().filter(|arrival| arrival.signature != Signature::Verified);
    say("not verified", unverified.map(|arrival| arrival.occurrence.unwrap_or(0)).collect());
    if status != Some("FINISHED") {
        verdict.push(format!("the request is {}, not FINISHED", status.unwrap_or("not on record")));
    }
    verdict
}

/// A bar on a terminal; lines alone elsewhere.
struct Progress(Option<ProgressBar>);

impl Progress {
    fn new(occurrences: u32) -> Progress {
        let drawn = io::stdout().is_terminal() && io::stderr().is_terminal();
        Progress(drawn.then(|| {
            let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} callbacks")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(occurrences.into()).with_style(style)
        }))
    }

    fn show(&self, arrival: &Arrival) -> Result<()> {
        let line = line(arrival);
        match &self.0 {
            None => print(&line),
            Some(bar) => {
                bar.suspend(|| print(&line))?;
                bar.inc(1);
                Ok(())
            }
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn line(arrival: &Arrival) -> String {
    let number = arrival.occurrence.map_or("?".to_owned(), |number| number.to_string());
    let lateness = arrival.lateness().map_or("?".to_owned(), |lateness| lateness.millis().to_string());
    let signature = match &arrival.signature {
        Signature::Verified => "signature verified".to_owned(),
        Signature::Rejected(why) => format!("signature REJECTED: {why}"),
        Signature::NotChecked => "signature not checked".to_owned(),
    };
    let at = arrival.at.utc().format("%H:%M:%S%.3f");
    format!("{at}  callback {number:>2}  {lateness:>3} ms late  {signature}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rondo_domain::time::Timestamp;

    fn arrivals(numbers: &[u32]) -> Vec<Arrival> {
        let arrival = |number: &u32| Arrival {
            at: Timestamp::from_millis(2),
            method: "POST".to_owned(),
            path: "/hook".to_owned(),
            webhook_id: None,
            schedule: None,
            occurrence: Some(*number),
            attempt: Some(1),
            due_at: Some(Timestamp::EPOCH),
            signature: Signature::Verified,
            body: Vec::new(),
        };
        numbers.iter().map(arrival).collect()
    }

    fn verdict(numbers: &[u32]) -> String {
        judge(4, &arrivals(numbers), Some("FINISHED")).join("; ")
    }

    #[test]
    fn only_each_once_and_in_order_will_do() {
        assert_eq!(verdict(&[1, 2, 3, 4]), "");
        assert_eq!(verdict(&[1, 2, 4]), "missing: 3");
        assert_eq!(verdict(&[]), "missing: 1, 2, 3, 4");
        assert_eq!(verdict(&[1, 2, 2, 3, 4]), "arrived more than once: 2");
        assert_eq!(verdict(&[1, 3, 2, 4]), "out of order: 2");
        assert_eq!(verdict(&[1, 2, 3, 4, 5]), "never asked for: 5");
    }

    #[test]
    fn a_bad_signature_and_an_unfinished_request_count_too() {
        let mut forged = arrivals(&[1, 2, 3, 4]);
        forged[2].signature = Signature::Rejected("forged".to_owned());
        assert_eq!(judge(4, &forged, Some("FINISHED")), ["not verified: 3"]);
        assert_eq!(judge(1, &arrivals(&[1]), Some("ON_GOING")), ["the request is ON_GOING, not FINISHED"]);
        assert_eq!(judge(1, &arrivals(&[1]), None), ["the request is not on record, not FINISHED"]);
    }

    #[test]
    fn a_line_shows_number_lateness_and_signature() {
        assert_eq!(line(&arrivals(&[3])[0]), "00:00:00.002  callback  3    2 ms late  signature verified\n");
    }
}
