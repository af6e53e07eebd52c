//! `rondo listen`: a receiver on this machine that verifies signatures and prints what arrives.

use super::{serve::StopSignals, trigger_args::span};
use crate::{
    failure::{Failure, Result, While as _},
    output::{print, printable},
    profile::Reach,
    receiver::{Answer, Arrival, Receiver, Signature},
};
use clap::Args;
use http::{HeaderValue, StatusCode};
use rondo_domain::span_text::parse_span;
use rondo_outbound::SigningSecret;
use serde_json::{Value, json};
use std::env;

/// How much of a body is shown on a line, in characters.
const SHOWN: usize = 400;

/// Signing secrets come from RONDO_SIGNING_SECRET (several separated by spaces), or from the profile.
#[derive(Args)]
pub struct Listen {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9000")]
    listen: String,
    /// Answer with this status
    #[arg(long, default_value = "200")]
    status: StatusCode,
    /// Wait before answering
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "0s")]
    delay: String,
    /// Answer with this Retry-After header: seconds, or an HTTP date
    #[arg(long, value_name = "VALUE")]
    retry_after: Option<HeaderValue>,
    /// Answer with this body
    #[arg(long, default_value = "")]
    body: String,
    /// Exit after so many callbacks: with 0, or with 1 where a signature was rejected
    #[arg(long, value_name = "COUNT")]
    count: Option<u64>,
    /// Print each callback as a line of JSON
    #[arg(long)]
    json: bool,
    /// The profile whose signing secrets verify
    #[arg(long, value_name = "NAME", env = "RONDO_PROFILE")]
    profile: Option<String>,
}

impl Listen {
    pub async fn run(self) -> Result<()> {
        let secrets = self.secrets()?;
        if secrets.is_empty() {
            eprintln!("warning: signatures are not verified: no signing secret is known");
            eprintln!("hint: set RONDO_SIGNING_SECRET, or choose a profile that has one");
        }
        let answer = Answer {
            status: self.status,
            after: parse_span(&self.delay)?.std(),
            retry_after: self.retry_after.clone(),
            body: self.body.clone(),
        };
        let mut stop = StopSignals::new()?;
        let mut receiver = Receiver::start(&self.listen, secrets, answer).await?;
        eprintln!("listening on {}", receiver.server.url());
        let (mut seen, mut rejected) = (0, 0);
        while self.count.is_none_or(|count| seen < count) {
            let arrival = tokio::select! {
                Some(arrival) = receiver.arrivals.recv() => arrival,
                () = stop.wait() => break,
            };
            seen += 1;
            rejected += u64::from(matches!(arrival.signature, Signature::Rejected(_)));
            print(&if self.json { format!("{}\n", as_json(&arrival)) } else { line(&arrival) })?;
        }
        // The last callback still gets its answer.
        receiver.server.stop().await;
        match rejected {
            0 => Ok(()),
            _ => {
                Err(Failure::new(format!("{rejected} of {seen} callbacks were not signed as they should be")))
            }
        }
    }

    fn secrets(&self) -> Result<Vec<SigningSecret>> {
        let given = match env::var("RONDO_SIGNING_SECRET").ok().filter(|given| !given.trim().is_empty()) {
            Some(given) => given.split_whitespace().map(str::to_owned).collect(),
            None => {
                let reach = Reach { host: None, profile: self.profile.clone() };
                reach.profile()?.map(|profile| profile.signing_secrets).unwrap_or_default()
            }
        };
        given.iter().map(|secret| secret.parse().when(|| "the signing secret".to_owned())).collect()
    }
}

/// `08:00:00.002 #3 attempt 1, 2 ms late, verified: POST /hook {"…"}`
fn line(arrival: &Arrival) -> String {
    let mut words = vec![arrival.at.utc().format("%H:%M:%S%.3f").to_string()];
    if let Some(number) = arrival.occurrence {
        words.push(format!("#{number}"));
    }
    if let Some(attempt) = arrival.attempt {
        words.push(format!("attempt {attempt},"));
    }
    if let Some(lateness) = arrival.lateness() {
        words.push(format!("{} ms late,", lateness.millis()));
    }
    words.push(match &arrival.signature {
        Signature::Verified => "verified:".to_owned(),
        Signature::Rejected(why) => format!("REJECTED ({why}):"),
        Signature::NotChecked => "not verified:".to_owned(),
    });
    words.push(arrival.method.clone());
    words.push(arrival.path.clone());
    let body = String::from_utf8_lossy(&arrival.body);
    let mut shown: String = body.chars().take(SHOWN).collect();
    if shown.len() < body.len() {
        shown.push('…');
    }
    words.push(shown);
    format!("{}\n", printable(words.join(" ").trim_end()))
}

fn as_json(arrival: &Arrival) -> Value {
    let body = String::from_utf8_lossy(&arrival.body);
    let (signature, why) = match &arrival.signature {
        Signature::Verified => ("verified", None),
        Signature::Rejected(why) => ("rejected", Some(why)),
        Signature::NotChecked => ("not_checked", None),
    };
    json!({
        "at": arrival.at.to_string(),
        "method": arrival.method,
        "path": arrival.path,
        "webhook_id": arrival.webhook_id,
        "schedule": arrival.schedule,
        "occurrence": arrival.occurrence,
        "attempt": arrival.attempt,
        "due_at": arrival.due_at.map(|due| due.to_string()),
        "lateness_ms": arrival.lateness().map(|lateness| lateness.millis()),
        "signature": signature,
        "rejected_because": why,
        "body": serde_json::from_slice(&arrival.body).unwrap_or_else(|_| Value::from(body)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rondo_domain::time::Timestamp;

    fn arrival(signature: Signature) -> Arrival {
        Arrival {
            at: Timestamp::from_millis(28_800_002),
            method: "POST".to_owned(),
            path: "/hook?a=b".to_owned(),
            webhook_id: None,
            schedule: None,
            occurrence: Some(3),
            attempt: Some(1),
            due_at: Some(Timestamp::from_millis(28_800_000)),
            signature,
            body: b"{\"a\":\"\x1b[2J\"}".to_vec(),
        }
    }

    #[test]
    fn a_line_says_number_lateness_and_signature_and_does_not_steer_the_terminal() {
        assert_eq!(
            line(&arrival(Signature::Verified)),
            "08:00:00.002 #3 attempt 1, 2 ms late, verified: POST /hook?a=b {\"a\":\" [2J\"}\n"
        );
        assert!(line(&arrival(Signature::Rejected("why".to_owned()))).contains("REJECTED (why): POST"));
    }

    #[test]
    fn json_bodies_stay_json() {
        let mut arrival = arrival(Signature::NotChecked);
        arrival.body = b"{\"n\":1}".to_vec();
        let json = as_json(&arrival);
        assert_eq!((&json["body"]["n"], &json["lateness_ms"]), (&json!(1), &json!(2)));
    }
}
