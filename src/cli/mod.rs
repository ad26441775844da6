//! The command line: one file per command. Data goes to standard output, everything else to standard error.

mod client;
mod demo;
mod doctor;
mod events;
mod exit;
mod health;
mod issues;
mod json;
mod listing;
mod logging;
mod output;
mod parked;
mod replay;
mod rules;
mod sequence;
mod serve;
mod settings;
mod sse;
mod table;
mod wiring;
mod words;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use exit::failed;

/// Keeps watch over deliveries: turns their events on NATS into scoped issues.
#[derive(Debug, Parser)]
#[command(name = "shipwatch", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service
    Serve(Box<serve::Args>),
    /// Play a believable afternoon on a broker of its own, and show what Shipwatch makes of it
    Demo(demo::Args),
    /// Look at issues
    #[command(subcommand)]
    Issues(issues::Command),
    /// Look at events, ask why they did what they did, publish some
    #[command(subcommand)]
    Events(events::Command),
    /// Check, run and look at the sequences of a shipyard
    #[command(subcommand)]
    Sequence(sequence::Command),
    /// Fold events again: what there would be, what other rules would make of them, a lost store
    Replay(Box<replay::Args>),
    /// Look at what could not be handled
    #[command(subcommand)]
    Parked(parked::Command),
    /// Check, test and explain the team's rules; needs no service
    #[command(subcommand)]
    Rules(rules::Command),
    /// Check that everything is in place and works, and say what to do where it is not
    Doctor(doctor::Args),
    /// Ask the service whether it lives: for health checks of containers
    Health(health::Args),
}

/// Carries out a command.
///
/// # Errors
/// Whatever kept it from being done; [`failed`] tells it and picks the exit code.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    // One crypto provider for all clients. An error means that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match cli.command {
        Command::Serve(args) => serve::run(*args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Issues(command) => issues::run(command).await,
        Command::Events(command) => events::run(command).await,
        Command::Sequence(command) => sequence::run(command).await,
        Command::Replay(args) => replay::run(*args).await,
        Command::Parked(command) => parked::run(command).await,
        Command::Rules(command) => rules::run(command),
        Command::Doctor(args) => doctor::run(args).await,
        Command::Health(args) => health::run(args).await,
    }
}
