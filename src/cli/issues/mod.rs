//! `shipwatch issues`

mod filters;
mod history;
mod list;
mod show;
mod watch;

pub(in crate::cli) use list::issue_table;

use std::process::ExitCode;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List issues, the newest first
    List(Box<list::Args>),
    /// Show one issue
    Show(show::Args),
    /// Show every change of one issue
    History(history::Args),
    /// Tell the changes of issues as they happen
    Watch(Box<watch::Args>),
}

pub(super) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List(args) => list::run(*args).await,
        Command::Show(args) => show::run(args).await,
        Command::History(args) => history::run(args).await,
        Command::Watch(args) => watch::run(*args).await,
    }
}

/// An issue as people name it: an id, `12`, or `#12`.
fn named(text: &str) -> &str {
    text.strip_prefix('#').unwrap_or(text)
}
