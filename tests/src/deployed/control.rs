//! A control for lateness: what the machine makes of calls that a mere timer sends, with nothing in between.

use super::{Lateness, Ledger};
use crate::receiver::Receiver;
use chrono::{DateTime, Utc};
use std::time::Duration;
use tokio::{sync::oneshot, task::JoinHandle};

/// About as often as the callbacks under test come.
const EVERY: Duration = Duration::from_millis(250);

/// Calls a receiver of its own until it is stopped.
pub struct Control {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Lateness>,
}

impl Control {
    pub fn start() -> Control {
        let (stop, stopped) = oneshot::channel();
        Control { stop, task: tokio::spawn(calls(stopped)) }
    }

    /// How late its calls came in.
    pub async fn stop(self) -> Lateness {
        let _ = self.stop.send(());
        self.task.await.expect("the control calls until it is stopped")
    }
}

async fn calls(mut stopped: oneshot::Receiver<()>) -> Lateness {
    let receiver = Receiver::start().await;
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("a client");
    let mut ticks = tokio::time::interval(EVERY);
    let mut number: u32 = 0;
    // Due now, which is when the timer was set and nobody was late yet.
    let (started, begun) = (now(), ticks.tick().await);
    while stopped.try_recv().is_err() {
        let due = started + (ticks.tick().await - begun);
        number += 1;
        let call = http.post(receiver.url("/control")).header("rondo-attempt", "1");
        let call = call.header("rondo-due-at", due.to_rfc3339()).header("rondo-occurrence", number);
        call.send().await.expect("the receiver answers");
    }
    let ledger = Ledger::default();
    ledger.note("control", &receiver.received());
    ledger.read()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the control is measured in real time, as what it stands beside"
)]
fn now() -> DateTime<Utc> {
    std::time::SystemTime::now().into()
}
