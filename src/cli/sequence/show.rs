//! `shipwatch sequence show`

use std::process::ExitCode;

use anyhow::Context as _;

use super::picture::{Look, picture};
use crate::cli::client::{Client, ServerArgs};
use crate::cli::output::{self, OutputArgs};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Its `shkeptncontext`
    context: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(in crate::cli) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let body = client.api(&["sequences", &args.context], &[]).await?;
    output::print(args.output.output, &body, || {
        let timeline = serde_json::from_str(&body).context("the service's answer is not a timeline")?;
        let look = Look { width: output::width(), unicode: output::is_unicode(), styled: output::is_styled() };
        Ok(picture(&timeline, look))
    })?;
    Ok(ExitCode::SUCCESS)
}
