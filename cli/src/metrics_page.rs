//! `/metrics` for Prometheus, on a listener of its own: it names every app, so it is not for the public API's
//! port, and needs no credentials. Text format 0.0.4.

use axum::{Router, extract::State, routing::get};
use http::header::CONTENT_TYPE;
use rondo_domain::{ids::AppKey, ports::Statistics};
use rondo_local::{Depths, LocalStore, Metrics};
use std::{fmt::Write as _, sync::Arc};

#[derive(Clone)]
struct Source {
    metrics: Arc<Metrics>,
    store: LocalStore,
}

pub fn router(metrics: Arc<Metrics>, store: LocalStore) -> Router {
    let page = async |State(source): State<Source>| {
        let Source { metrics, store } = source;
        let text = page(&metrics.all(), metrics.troubles(), store.depths());
        ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text)
    };
    Router::new().route("/metrics", get(page)).with_state(Source { metrics, store })
}

fn page(apps: &[(AppKey, Statistics)], troubles: u64, depths: Depths) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, u64)]| {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let alone = |value: u64| vec![(String::new(), value)];
    let ended = apps.iter().flat_map(|(app, figures)| {
        [
            ("succeeded", figures.succeeded),
            ("failed", figures.failed),
            ("missed", figures.missed),
            ("skipped", figures.skipped),
        ]
        // A key is letters, digits and '-': nothing to escape.
        .map(|(outcome, count)| (format!("{{app=\"{app}\",outcome=\"{outcome}\"}}"), count))
    });
    let late =
        apps.iter().filter_map(|(app, figures)| Some((app, figures.lateness?))).flat_map(|(app, late)| {
            [("0.5", late.p50), ("0.9", late.p90), ("0.99", late.p99), ("0.999", late.p999), ("1", late.max)]
                .map(|(quantile, millis)| (format!("{{app=\"{app}\",quantile=\"{quantile}\"}}"), millis))
        });
    let help = "Executions that have ended since the start, by app and outcome.";
    family("rondo_executions_total", "counter", help, &ended.collect::<Vec<_>>());
    let help = "Sent minus due of first attempts since the start.";
    family("rondo_lateness_milliseconds", "gauge", help, &late.collect::<Vec<_>>());
    let help = "What went wrong and cost punctuality, not promises.";
    family("rondo_troubles_total", "counter", help, &alone(troubles));
    let help = "Schedules held in memory: due soon, or running.";
    family("rondo_schedules_held", "gauge", help, &alone(depths.schedules as u64));
    let help = "Messages held in memory: due soon, or waiting for their turn.";
    family("rondo_messages_held", "gauge", help, &alone(depths.messages as u64));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rondo_domain::ports::LatenessMillis;

    #[test]
    fn each_family_is_told_once_with_a_sample_for_each_app() {
        let lateness = Some(LatenessMillis { p50: 1, p90: 2, p99: 3, p999: 4, max: 5 });
        let busy = Statistics { succeeded: 7, failed: 1, lateness, ..Statistics::default() };
        let apps = [("busy", busy), ("idle", Statistics::default())];
        let apps = apps.map(|(key, figures)| (key.parse().expect("a key"), figures));
        let text = page(&apps, 2, Depths { schedules: 3, messages: 4 });
        assert_eq!(text.matches("# TYPE rondo_executions_total counter\n").count(), 1);
        for line in [
            "rondo_executions_total{app=\"busy\",outcome=\"succeeded\"} 7",
            "rondo_executions_total{app=\"idle\",outcome=\"failed\"} 0",
            "rondo_lateness_milliseconds{app=\"busy\",quantile=\"0.99\"} 3",
            "rondo_troubles_total 2",
            "rondo_schedules_held 3",
            "rondo_messages_held 4",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} in {text}");
        }
        assert!(!text.contains("{app=\"idle\",quantile"), "nothing was sent, so nothing was late");
    }
}
