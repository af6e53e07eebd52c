//! What memory this process takes, as Linux counts it.

use anyhow::Context as _;

fn status(name: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(name)).with_context(|| name.to_owned())?;
    let kilobytes: f64 = line.split_whitespace().nth(1).with_context(|| name.to_owned())?.parse()?;
    Ok((kilobytes / 102.4).round() / 10.0)
}

/// In MB.
pub fn resident() -> anyhow::Result<f64> {
    status("VmRSS")
}

/// The most since [`forget_peak`], in MB.
pub fn peak() -> anyhow::Result<f64> {
    status("VmHWM")
}

/// The peak counts from now on (proc(5), `clear_refs`).
pub fn forget_peak() -> anyhow::Result<()> {
    std::fs::write("/proc/self/clear_refs", "5").context("/proc/self/clear_refs")
}
