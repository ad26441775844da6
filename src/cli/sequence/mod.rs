//! `shipwatch sequence`: sequences of a shipyard, looked through and run.

mod drive;
mod lint;
mod run;
mod tell;
mod view;

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Tell every mistake and every doubt about a shipyard, each with its place; exits 3 where there is more than a note
    Lint(lint::Args),
    /// Run a sequence over NATS as Keptn's control plane would, with its branches; exits 0 where it passes, else 1
    Run(Box<run::Args>),
}

pub(super) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Lint(args) => lint::run(&args),
        Command::Run(args) => run::run(*args).await,
    }
}

/// A path as messages show it.
fn shown(file: &Path) -> String {
    file.display().to_string()
}
