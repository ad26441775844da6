//! `shipwatch parked list`

use std::process::ExitCode;

use crate::cli::client::{Client, ServerArgs};
use crate::cli::listing::{Listing, PageArgs, text};
use crate::cli::output::{self, OutputArgs};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(in crate::cli) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let parked = Listing::get(&client, &["parked"], &[], &args.page).await?;
    parked.print(args.output.output, "parked message", |items| {
        let mut table = output::table(&["ID", "SEQUENCE", "AT", "SUBJECT", "REASON"]).right(1);
        for item in items {
            table.row(["id", "sequence", "at", "subject", "reason"].map(|name| text(item, &[name])));
        }
        table.text()
    })?;
    Ok(ExitCode::SUCCESS)
}
