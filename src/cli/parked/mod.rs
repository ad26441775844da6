//! `shipwatch parked`

mod act;
mod list;
mod show;

use std::process::ExitCode;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List what could not be handled, and why
    List(list::Args),
    /// Show one of them with its payload
    Show(show::Args),
    /// Have some of them decided about again, by the rules of now
    Retry(act::Args),
    /// Let some of them go
    Drop(act::Args),
}

pub(super) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List(args) => list::run(args).await,
        Command::Show(args) => show::run(args).await,
        Command::Retry(args) => act::run(args, act::Act::Retry).await,
        Command::Drop(args) => act::run(args, act::Act::Drop).await,
    }
}
