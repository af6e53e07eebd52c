//! `rondo stats`: how many executions ended how, and how late they were sent.

use crate::{
    client::Client,
    failure::Result,
    output::{Output, cell, fields},
    profile::Reach,
};
use clap::Args;

#[derive(Args)]
pub struct Stats {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    output: Output,
}

impl Stats {
    pub async fn run(self) -> Result<()> {
        let stats = Client::of(&self.reach)?.get("v1/stats").await?;
        let (ended, late) = (&stats["executions"], &stats["lateness_ms"]);
        let rows = vec![
            ("since", cell(&stats["since"])),
            ("succeeded", cell(&ended["succeeded"])),
            ("failed", cell(&ended["failed"])),
            ("missed", cell(&ended["missed"])),
            ("skipped", cell(&ended["skipped"])),
            ("late p50 (ms)", cell(&late["p50"])),
            ("late p90 (ms)", cell(&late["p90"])),
            ("late p99 (ms)", cell(&late["p99"])),
            ("late p99.9 (ms)", cell(&late["p999"])),
            ("late max (ms)", cell(&late["max"])),
        ];
        self.output.put(&stats, |lines| fields(lines, rows))
    }
}
