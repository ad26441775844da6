//! `shipwatch issues history`

use std::process::ExitCode;

use crate::cli::client::{Client, ServerArgs};
use crate::cli::listing::{Listing, PageArgs, text};
use crate::cli::output::{self, OutputArgs};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Id or number
    issue: String,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(in crate::cli) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let path = ["issues", super::named(&args.issue), "history"];
    let changes = Listing::get(&client, &path, &[], &args.page).await?;
    changes.print(args.output.output, "change", |items| {
        let mut table = output::table(&["AT", "CHANGE", "STATE", "RULE", "SOURCE", "EVENT"]);
        for change in items {
            table.row(["at", "change", "state", "rule", "eventSource", "eventId"].map(|name| text(change, &[name])));
        }
        table.text()
    })?;
    Ok(ExitCode::SUCCESS)
}
