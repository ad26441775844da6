//! `shipwatch events list`

use std::process::ExitCode;

use crate::cli::client::{Client, ServerArgs};
use crate::cli::listing::{Listing, PageArgs, text};
use crate::cli::output::{self, OutputArgs};
use crate::cli::words::moment;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Keptn context
    #[arg(long)]
    context: Option<String>,
    /// Type of event
    #[arg(long = "type", value_name = "TYPE")]
    ty: Option<String>,
    /// Source of event
    #[arg(long)]
    source: Option<String>,
    /// Keptn project
    #[arg(long)]
    project: Option<String>,
    /// Keptn stage
    #[arg(long)]
    stage: Option<String>,
    /// Keptn service
    #[arg(long)]
    service: Option<String>,
    /// `success`, `failure`, `warning`, `neutral`, `stale`, `duplicate`, `parked`, `ignored` or `withdrawn`
    #[arg(long)]
    outcome: Option<String>,
    /// From this time on: a time, or a span back from now like `2h`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    before: Option<String>,
    #[command(flatten)]
    page: PageArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(in crate::cli) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let query = [
        ("keptnContext", args.context),
        ("type", args.ty),
        ("source", args.source),
        ("project", args.project),
        ("stage", args.stage),
        ("service", args.service),
        ("outcome", args.outcome),
        ("fromTime", args.from),
        ("beforeTime", args.before),
    ];
    let query: Vec<_> = query.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    let client = Client::new(&args.server)?;
    let events = Listing::get(&client, &["events"], &query, &args.page).await?;
    events.print(args.output.output, "event", |items| {
        let mut table = output::table(&["TIME", "OUTCOME", "CHANGE", "SCOPE", "SOURCE", "ID", "TYPE"]);
        for item in items {
            // A decision holds its event; what cannot be read has none.
            let event = item.get("event").filter(|e| e.is_object()).unwrap_or(item);
            let get = |path: &[&str]| text(event, path);
            let parts = ["project", "stage", "service"].map(|name| get(&["data", name]));
            table.row([
                get(&["time"]),
                text(item, &["outcome"]),
                text(item, &["change"]),
                parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("/"),
                get(&["source"]),
                get(&["id"]),
                get(&["type"]),
            ]);
        }
        table.text()
    })?;
    Ok(ExitCode::SUCCESS)
}
