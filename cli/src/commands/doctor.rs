//! `rondo doctor`: whether a Rondo, on this machine or deployed, is as a client needs it. From outside alone, as
//! the profile's app: what goes on inside is the business of the deployment's own alarms.

mod callback;
mod clock;
mod finding;

use super::trigger_args::span;
use crate::{
    client::{Client, Heard, is_loopback},
    failure::{Failure, Result, with_causes},
    output::{Output, cell},
    profile::Reach,
};
use clap::Args;
use clock::Offset;
use finding::{Finding, Verdict, list};
use http::StatusCode;
use rondo_domain::{
    ports::Clock as _,
    span_text::parse_span,
    time::{Span, Timestamp},
};
use rondo_local::SystemClock;
use serde_json::{Value, json};
use std::{error::Error, io};
use url::Url;

/// So many requests are measured, after the first one of all.
const MEASURED: usize = 9;
/// Half of the requests slower than this: something is wrong, or far away.
const SLOW: Span = Span::from_millis(1000);
/// `--at` and what is on record are off by as much.
const CLOCK_WARNING: u64 = 2000;
/// Receivers refuse signatures as old as five minutes: this machine would soon be one of them.
const CLOCK_PROBLEM: u64 = 60_000;

#[derive(Args)]
pub struct Doctor {
    /// Have this URL called once, and watch: one that the service can reach, and that answers 2xx. To receive it
    /// on this machine, `rondo listen` behind a tunnel will do
    #[arg(long, value_name = "URL", value_parser = web)]
    callback: Option<Url>,
    /// How far ahead that callback is due. On AWS, what is more than 15 minutes ahead goes through EventBridge
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "5s", requires = "callback")]
    after: String,
    /// How long to wait for its outcome, from when it is due
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "30s", requires = "callback")]
    patience: String,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    output: Output,
}

fn web(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| "must be a URL that begins with https:// or http://".to_owned())
}

/// An answer with the instants between which it came.
struct Exchange {
    asked: Timestamp,
    heard: Timestamp,
    answer: Heard,
}

impl Exchange {
    async fn with(client: &Client, path: &str) -> Result<Exchange, reqwest::Error> {
        let asked = SystemClock.now();
        let answer = client.hear(path).await?;
        Ok(Exchange { asked, heard: SystemClock.now(), answer })
    }

    fn took(&self) -> Span {
        self.heard.since(self.asked)
    }
}

impl Doctor {
    pub async fn run(self) -> Result<()> {
        let client = Client::of(&self.reach)?;
        let findings = self.examine(&client).await?;
        let json: Vec<Value> = findings.iter().map(Finding::as_json).collect();
        let bad = findings.iter().filter(|finding| finding.verdict == Verdict::Problem).count();
        let json = json!({"host": client.shown(), "healthy": bad == 0, "findings": json});
        self.output.put(&json, |lines| list(&findings, lines))?;
        for finding in &findings {
            for hint in &finding.hints {
                eprintln!("hint: {}: {hint}", finding.check);
            }
        }
        match bad {
            0 => Ok(()),
            1 => Err(Failure::new("one check found a problem")),
            more => Err(Failure::new(format!("{more} checks found problems"))),
        }
    }

    async fn examine(&self, client: &Client) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let first = match Exchange::with(client, "healthz").await {
            Err(error) => return Ok(vec![unreachable(client, &error).await]),
            Ok(first) => first,
        };
        findings.push(reached(client, &first));
        let health = healthy(&first.answer);
        let lives = health.verdict == Verdict::Ok;
        findings.push(health);
        if !lives {
            return Ok(findings);
        }
        let mut exchanges = vec![first];
        // Not all at once: the clock shows more where the answers fall into different parts of a second.
        for turn in 0..MEASURED {
            if turn > 0 {
                tokio::time::sleep(Span::from_millis(70).std()).await;
            }
            match Exchange::with(client, "v1/app").await {
                Ok(exchange) => exchanges.push(exchange),
                Err(error) => {
                    findings.push(Finding::problem("reach", broke_off(&error)));
                    return Ok(findings);
                }
            }
        }
        let app = &exchanges[1].answer;
        let known = credentials(app);
        let admitted = known.verdict == Verdict::Ok;
        findings.extend([version(app), known, clock(&exchanges), latency(&exchanges[1..])]);
        findings.push(match &self.callback {
            Some(url) if admitted => {
                callback::check(client, url, parse_span(&self.after)?, parse_span(&self.patience)?).await
            }
            Some(_) => Finding::skipped("callback", "the app must be known first"),
            None => Finding::skipped("callback", "not tried: name a URL with --callback"),
        });
        Ok(findings)
    }
}

fn reached(client: &Client, first: &Exchange) -> Finding {
    let (base, took) = (client.base(), first.took().millis());
    let says = format!("{} answers, the first time in {took} ms", client.shown());
    let figures = json!({"first_ms": took});
    if base.scheme() == "http" && !is_loopback(base) {
        Finding::warning("reach", format!("{says}, unencrypted"))
            .hint("the app's secret can be read on its way: give the https URL with --host")
            .with(figures)
    } else {
        Finding::ok("reach", says).with(figures)
    }
}

async fn unreachable(client: &Client, error: &reqwest::Error) -> Finding {
    let base = client.base();
    let (host, port) = (base.host_str().unwrap_or_default(), base.port_or_known_default().unwrap_or(443));
    if let Some(why) = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return Finding::problem("reach", format!("no safe connection to {}: {why}", client.shown()))
            .hint("the certificate must be for the name in --host, valid today, and of a public authority");
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if tokio::net::lookup_host((bare, port)).await.is_err() {
        return Finding::problem("reach", format!("the name {host} leads nowhere"))
            .hint("is --host spelt as the deployment's outputs say, and is this machine online?");
    }
    if error.is_timeout() {
        return Finding::problem("reach", format!("{} does not answer", client.shown()))
            .hint("does a firewall or a proxy stand between?");
    }
    if error.is_connect() {
        return Finding::problem("reach", format!("nobody listens at {}", client.shown()))
            .hint("start one with `rondo serve`, or say where it is with --host or --profile");
    }
    Finding::problem("reach", broke_off(error)).hint("is it HTTP that is spoken there? see --host")
}

fn broke_off(error: &reqwest::Error) -> String {
    format!(
        "the exchange broke off: {}",
        causes(error).last().map_or_else(|| with_causes(error), ToString::to_string)
    )
}

/// An `io::Error` that wraps another error has it inside, not as its source.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause| {
        let cause: &'a (dyn Error + 'static) = *cause;
        match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => cause.source(),
        }
    })
}

fn healthy(answer: &Heard) -> Finding {
    let is_rondo = answer.body.as_ref().is_some_and(|body| body["status"] == "ok");
    match answer.status {
        StatusCode::OK if is_rondo => Finding::ok("health", "the service answers"),
        status if status.is_server_error() => {
            Finding::problem("health", format!("/healthz answers {status}"))
                .hint("the service is there and does not work: its own log says why")
        }
        status => Finding::problem("health", format!("/healthz answers {status}, and not as Rondo does"))
            .hint("another service answers there: is --host right, its path included?"),
    }
}

fn version(answer: &Heard) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    let theirs = answer.body.as_ref().and_then(|body| body["service"]["version"].as_str());
    let figures = json!({"service": theirs, "command": own});
    match theirs {
        Some(theirs) if theirs == own => Finding::ok("version", format!("{own}, as this command")),
        Some(theirs) => {
            Finding::warning("version", format!("the service is {theirs}, and this command {own}"))
                .hint("with different versions, a flag of this command may be unknown to the service")
        }
        None => Finding::skipped("version", "the service says none"),
    }
    .with(figures)
}

fn credentials(answer: &Heard) -> Finding {
    let body = answer.body.as_ref().unwrap_or(&Value::Null);
    match answer.status {
        StatusCode::OK if body["key"].is_string() => {
            let limit = match &body["limits"]["max_schedules"] {
                Value::Null => "no limit".to_owned(),
                limit => format!("at most {limit} schedules"),
            };
            let (key, name, zone) = (cell(&body["key"]), cell(&body["name"]), cell(&body["time_zone"]));
            Finding::ok("credentials", format!("app {key} ({name}), {zone}, {limit}"))
        }
        StatusCode::UNAUTHORIZED => Finding::problem("credentials", "key or secret are not known there")
            .hint("choose a profile with --profile, or set RONDO_APP_KEY and RONDO_APP_SECRET")
            .hint("a secret may have been rotated away: the operator gives a new one"),
        status => {
            let code = cell(&body["code"]);
            Finding::problem("credentials", format!("/v1/app answers {status} {code}").trim_end().to_owned())
                .hint("the service is there and cannot read its store: its own log says why")
        }
    }
}

fn clock(exchanges: &[Exchange]) -> Finding {
    let offsets = exchanges
        .iter()
        .filter_map(|exchange| Some(Offset::of(exchange.asked, exchange.heard, exchange.answer.date?)));
    // Where two answers contradict each other, the later one counts.
    let Some(offset) = offsets.reduce(|known, next| known.and(next).unwrap_or(next)) else {
        return Finding::skipped("clock", "the service's answers bear no date");
    };
    let figures = json!({"ahead_at_least_ms": offset.least, "ahead_at_most_ms": offset.most});
    let surely = offset.surely();
    let direction = if offset.is_ahead() { "ahead of" } else { "behind" };
    let off = format!("this machine's clock is at least {surely} ms {direction} the service's");
    let hint = "set the clocks by NTP: instants given here, and the age of signatures, are off by as much";
    match surely {
        0 => Finding::ok("clock", "no difference that answers could show"),
        1..CLOCK_WARNING => Finding::ok("clock", off),
        CLOCK_WARNING..CLOCK_PROBLEM => Finding::warning("clock", off).hint(hint),
        _ => Finding::problem("clock", off).hint(hint),
    }
    .with(figures)
}

fn latency(exchanges: &[Exchange]) -> Finding {
    let mut took: Vec<u64> = exchanges.iter().map(|exchange| exchange.took().millis()).collect();
    took.sort_unstable();
    let (p50, max) = (took[took.len() / 2], took[took.len() - 1]);
    let says = format!("half of {} requests within {p50} ms, the slowest {max} ms", took.len());
    let finding = if p50 < SLOW.millis() {
        Finding::ok("latency", says)
    } else {
        Finding::warning("latency", says)
            .hint("a region nearby, or functions with more memory, would answer sooner")
    };
    finding.with(json!({"p50_ms": p50, "max_ms": max, "requests": took.len()}))
}
