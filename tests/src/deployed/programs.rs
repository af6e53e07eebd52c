//! The functions as programs for this machine, in the profile of the tests: what they do is under test here, and not
//! how they are built for Lambda.

use anyhow::{Context as _, ensure};
use std::{collections::BTreeMap, env, path::PathBuf, process::Command};

use crate::emulator::checkout;

/// The template's folder of each function, and the name of its package and program.
const FUNCTIONS: [&str; 6] = ["schedules", "requests", "pushes", "dispatcher", "sweeper", "admin"];

/// Each function's folder (`functions/NAME`) and its program, built where anything of it has changed.
pub fn functions() -> anyhow::Result<BTreeMap<String, PathBuf>> {
    // target/PROFILE/deps/TEST-hash
    let test = env::current_exe()?;
    let folder = test.ancestors().nth(2).context("the test lies in target/PROFILE/deps")?;
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The whole workspace, as in `./test`: packages alone would have other features, and build everything anew.
    cargo.args(["build", "--workspace", "--bins", "--quiet"]).current_dir(checkout());
    cargo.arg("--target-dir").arg(folder.parent().context("the target folder")?);
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    ensure!(cargo.status()?.success(), "the functions cannot be built");
    Ok(FUNCTIONS.iter().map(|name| (format!("functions/{name}"), folder.join(name))).collect())
}
