//! `shipwatch demo`

use std::path::PathBuf;
use std::process::ExitCode;

use super::{logging, wiring};
use crate::config::LogFormat;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Leave at the end instead of serving on until Ctrl-C
    #[arg(long)]
    pub oneshot: bool,
    /// The `nats-server` to start
    #[arg(long, value_name = "FILE", default_value = "nats-server")]
    pub nats_server: PathBuf,
    /// Where the query endpoint listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: String,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    logging::init(LogFormat::Text, "warn")?;
    wiring::demo(&args).await
}
