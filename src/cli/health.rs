//! `shipwatch health`

use std::process::ExitCode;

use super::client::{Client, ServerArgs};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// Ask whether it is ready, not only whether it lives
    #[arg(long)]
    ready: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let path = if args.ready { "readyz" } else { "healthz" };
    Client::new(&args.server)?.get(&[path], &[]).await?;
    Ok(ExitCode::SUCCESS)
}
