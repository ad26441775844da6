//! `shipwatch issues list`

use std::process::ExitCode;

use serde_json::Value;

use crate::cli::client::{Client, ServerArgs};
use crate::cli::listing::{Listing, PageArgs, text};
use crate::cli::output::{self, OutputArgs};
use crate::cli::words::{age, moment};

use super::filters::FilterArgs;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    filters: FilterArgs,
    /// `detectedAt`, `updatedAt`, `lastSeenAt`, `number` or `severity`; with `-` before it the largest first
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    sort: Option<String>,
    /// As they were then: a time, or a span back from now like `2h`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<String>,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(in crate::cli) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let more = [("sort", args.sort), ("at", args.at)];
    let more = more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let query: Vec<_> = args.filters.query().into_iter().chain(more).collect();
    let issues = Listing::get(&client, &["issues"], &query, &args.page).await?;
    issues.print(args.output.output, "issue", issue_table)?;
    Ok(ExitCode::SUCCESS)
}

/// The table of issues, as the list and the demo show it.
pub(in crate::cli) fn issue_table(items: &[Value]) -> String {
    let columns = ["NO", "STATE", "SEVERITY", "CHECK", "SCOPE", "SEEN", "AGE", "LAST", "TITLE"];
    let mut table = output::table(&columns).right(0).right(5).right(6).right(7);
    for issue in items {
        let get = |path: &[&str]| text(issue, path);
        let scope = [&["scope", "resourceType"], &["scope", "resourceName"], &["scope", "resourceNamespace"]];
        table.row([
            get(&["number"]),
            get(&["state"]),
            get(&["severity"]),
            get(&["check"]),
            scope.map(|path| get(path)).join("/"),
            get(&["occurrences"]),
            age(&get(&["detectedAt"])),
            age(&get(&["lastSeenAt"])),
            get(&["title"]),
        ]);
    }
    table.text()
}
