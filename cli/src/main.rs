//! The `rondo` binary: one arm for each command. What a command does is in a file of its own, in `commands`.

use clap::{CommandFactory as _, Parser, Subcommand};
use rondo::{
    commands::{
        add, app, change, comment, completions, demo, device, doctor, executions, list, listen, preview,
        push, redeliver, serve, show, stats, update,
    },
    failure::Result,
    logs,
};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Calls you back on time: register a schedule, and Rondo calls your URL at every due instant.
///
/// Exit codes: 0 done, 1 refused or failed, 2 wrong usage. Data goes to stdout, everything else to stderr.
#[derive(Parser)]
#[command(name = "rondo", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service on this machine
    Serve(serve::Serve),
    /// See it at work: the service, a receiver and ten callbacks, in ten seconds
    Demo(demo::Demo),
    /// Add a schedule
    #[command(visible_alias = "add-request")]
    Add(Box<add::Add>),
    /// List schedules
    #[command(visible_alias = "show-requests")]
    List(list::List),
    /// Show a schedule, or an execution with its attempts
    Show(show::Show),
    /// List a schedule's executions
    #[command(visible_alias = "show-executions")]
    Executions(executions::Executions),
    /// Cancel a schedule for good
    Cancel(change::Change),
    /// Pause a schedule
    Pause(change::Change),
    /// Resume a paused schedule
    Resume(change::Change),
    /// Run a schedule once, now, beside its own occurrences
    Run(change::Change),
    /// Change a schedule
    Update(Box<update::Update>),
    /// Show when a trigger would be due
    Preview(Box<preview::Preview>),
    /// Comment on an execution
    Comment(comment::Comment),
    /// Deliver an execution once more
    Redeliver(redeliver::Redeliver),
    /// Show counts and lateness
    Stats(stats::Stats),
    /// Check that a Rondo answers, knows this app, is in time, and calls back
    Doctor(doctor::Doctor),
    /// Receive callbacks on this machine, verify and print them
    Listen(listen::Listen),
    /// Push to devices, now or as scheduled (`/v4/push`, `/v4/schedules`)
    Push(push::Push),
    /// Register devices that pushes go to
    Device(device::Device),
    /// Manage apps and their secrets, as the owner of the data folder
    App(app::App),
    /// Print a shell's completion script
    Completions(completions::Completions),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    logs::start(if matches!(command, Command::Serve(_)) { "info" } else { "warn" });
    match run(command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.exit_code)
        }
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Serve(serve) => serve.run().await,
        Command::Demo(demo) => demo.run().await,
        Command::Add(add) => add.run().await,
        Command::List(list) => list.run().await,
        Command::Show(show) => show.run().await,
        Command::Executions(executions) => executions.run().await,
        Command::Cancel(change) => change.cancel().await,
        Command::Pause(change) => change.pause().await,
        Command::Resume(change) => change.resume().await,
        Command::Run(change) => change.run_now().await,
        Command::Update(update) => update.run().await,
        Command::Preview(preview) => preview.run().await,
        Command::Comment(comment) => comment.run().await,
        Command::Redeliver(redeliver) => redeliver.run().await,
        Command::Stats(stats) => stats.run().await,
        Command::Doctor(doctor) => doctor.run().await,
        Command::Listen(listen) => listen.run().await,
        Command::Push(push) => push.run().await,
        Command::Device(device) => device.run().await,
        Command::App(app) => app.run().await,
        Command::Completions(completions) => completions.run(Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
