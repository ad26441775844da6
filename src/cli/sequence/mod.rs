//! `shipwatch sequence`: sequences of a shipyard, looked through, run, and shown.

mod drive;
mod lanes;
mod lint;
mod picture;
mod run;
mod show;
mod tell;
mod view;

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

pub(super) use run::{Asked, stage};
pub(super) use tell::words;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Tell every mistake and every doubt about a shipyard, each with its place; exits 3 where there is more than a note
    Lint(lint::Args),
    /// Run a sequence over NATS as Keptn's control plane would, with its branches; exits 0 where it passes, else 1
    Run(Box<run::Args>),
    /// Draw what happened in a context: stages, tasks, executors, times, outcomes, issues
    Show(show::Args),
}

pub(super) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Lint(args) => lint::run(&args),
        Command::Run(args) => run::run(*args).await,
        Command::Show(args) => show::run(args).await,
    }
}

/// A path as messages show it.
fn shown(file: &Path) -> String {
    file.display().to_string()
}
