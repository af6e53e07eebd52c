//! `rondo completions`: a shell's completion script, on stdout.

use crate::{failure::Result, output::print};
use clap::{Args, Command};
use clap_complete::{Shell, generate};

#[derive(Args)]
pub struct Completions {
    shell: Shell,
}

impl Completions {
    pub fn run(self, mut command: Command) -> Result<()> {
        let mut script = Vec::new();
        generate(self.shell, &mut command, "rondo", &mut script);
        print(&String::from_utf8_lossy(&script))
    }
}
