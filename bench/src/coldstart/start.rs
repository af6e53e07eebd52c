//! Starting a function and ending it: by the clock, and under callgrind, which counts instructions.

use super::standin::{Heard, StandIn};
use anyhow::{Context as _, bail};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::process::{Child, Command};

/// Under valgrind everything takes some fifty times as long.
const PATIENCE: Duration = Duration::from_secs(120);

/// As Lambda sets it, and as `template.yaml` does.
fn environment(name: &str, stand_in: &StandIn) -> Vec<(String, String)> {
    let queue = format!("http://{}/000000000000/queue", stand_in.aws);
    [
        ("PATH", "/usr/bin:/bin".to_owned()),
        ("AWS_LAMBDA_RUNTIME_API", stand_in.runtime.to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", name.to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}")),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "1".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_SESSION_TOKEN", "test".to_owned()),
        ("AWS_ENDPOINT_URL", format!("http://{}", stand_in.aws)),
        ("RONDO_TABLE", "table".to_owned()),
        ("RONDO_QUEUE_URL", queue),
        ("RONDO_QUEUE_ARN", "arn:aws:sqs:us-east-1:000000000000:queue".to_owned()),
        ("RONDO_DEAD_LETTER_ARN", "arn:aws:sqs:us-east-1:000000000000:dead".to_owned()),
        ("RONDO_SCHEDULE_GROUP", "group".to_owned()),
        ("RONDO_SCHEDULER_ROLE_ARN", "arn:aws:iam::000000000000:role/scheduler".to_owned()),
        ("RONDO_SEALING_SECRET", "sealing".to_owned()),
        ("RONDO_PUBLIC_URL", "https://api.example".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn spawn(mut command: Command, name: &str, stand_in: &StandIn) -> anyhow::Result<Child> {
    command.env_clear().envs(environment(name, stand_in));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().with_context(|| format!("{name} cannot be started"))
}

async fn ready(child: &mut Child, name: &str, stand_in: &StandIn) -> anyhow::Result<i64> {
    let heard = async {
        tokio::select! {
            heard = stand_in.hears() => heard,
            ended = child.wait() => bail!("it ended with {}", ended?),
        }
    };
    match tokio::time::timeout(PATIENCE, heard).await {
        Ok(Ok(Heard::Ready(at))) => Ok(at),
        Ok(Ok(Heard::Failed(why))) => bail!("{name} does not start: {why}"),
        Ok(Err(error)) => Err(error.context(format!("{name} does not start"))),
        Err(_) => bail!("{name} was not ready after {} s", PATIENCE.as_secs()),
    }
}

/// From before the process is made to its first request for work, in ms.
pub async fn time(binary: &Path, name: &str, stand_in: &StandIn) -> anyhow::Result<f64> {
    stand_in.begin().await;
    let begun = crate::moment::micros();
    let mut child = spawn(Command::new(binary), name, stand_in)?;
    let at = ready(&mut child, name, stand_in).await?;
    child.kill().await?;
    Ok((at - begun) as f64 / 1000.0)
}

/// Instructions up to then, all threads, of the program and its libraries alone; `None` where there is no valgrind.
pub async fn instructions(
    binary: &Path,
    name: &str,
    stand_in: &StandIn,
    folder: &Path,
) -> anyhow::Result<Option<u64>> {
    let output = folder.join(format!("{name}.callgrind"));
    let Some(command) = callgrind(binary, &output) else {
        return Ok(None);
    };
    stand_in.begin().await;
    let mut child = spawn(command, name, stand_in)?;
    ready(&mut child, name, stand_in).await?;
    end(&mut child).await?;
    counted(&output).map(Some)
}

/// The command that runs a program under callgrind, where valgrind is installed.
pub fn callgrind(binary: &Path, output: &Path) -> Option<Command> {
    let valgrind = ["/usr/bin/valgrind", "/usr/local/bin/valgrind"].map(PathBuf::from);
    let mut command = Command::new(valgrind.into_iter().find(|path| path.exists())?);
    command.arg("--tool=callgrind").arg("--quiet");
    command.arg(format!("--callgrind-out-file={}", output.display())).arg(binary);
    Some(command)
}

/// Asks the process to end, as callgrind writes what it counted only then.
async fn end(child: &mut Child) -> anyhow::Result<()> {
    let id = child.id().context("the process has ended already")?;
    let asked = Command::new("kill").arg(id.to_string()).status().await?;
    anyhow::ensure!(asked.success(), "the process cannot be ended");
    tokio::time::timeout(PATIENCE, child.wait()).await.context("the process does not end")??;
    Ok(())
}

/// The sum that callgrind wrote.
pub fn counted(output: &Path) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(output).context("callgrind has written nothing")?;
    let line = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    line.and_then(|total| total.split_whitespace().next()?.parse().ok()).context("callgrind wrote no sum")
}
