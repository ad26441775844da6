//! `shipwatch events`

mod input;
mod list;
mod publish;
mod why;

use std::process::ExitCode;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the journal
    List(list::Args),
    /// Tell what an event did, and why
    Why(why::Args),
    /// Publish events from files or standard input
    Publish(publish::Args),
}

pub(super) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List(args) => list::run(args).await,
        Command::Why(args) => why::run(args).await,
        Command::Publish(args) => publish::run(args).await,
    }
}
