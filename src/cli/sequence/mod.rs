//! `shipwatch sequence`

mod lanes;
mod picture;
mod show;

use std::process::ExitCode;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Draw what happened in a context: stages, tasks, executors, times, outcomes, issues
    Show(show::Args),
}

pub(super) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Show(args) => show::run(args).await,
    }
}
