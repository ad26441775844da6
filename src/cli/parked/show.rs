//! `shipwatch parked show`

use std::process::ExitCode;

use anyhow::bail;
use base64::Engine as _;
use serde_json::Value;

use crate::cli::client::{Client, ServerArgs};
use crate::cli::listing::{Listing, PageArgs, text};
use crate::cli::output::{self, OutputArgs};
use crate::cli::table::{lines, one_line};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Id, as `parked list` shows it, or the sequence in the stream
    id: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(in crate::cli) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    match client.api(&["parked", &args.id], &[]).await {
        Ok(raw) => {
            let item: Value = serde_json::from_str(&raw)?;
            output::print(args.output.output, &raw, || Ok(page(&item)))?;
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) if error.is_absent() => {}
        Err(error) => return Err(error.into()),
    }
    // A sequence is not an id where the message is a batch.
    let parked = Listing::get(&client, &["parked"], &[], &PageArgs::everything()).await?;
    for raw in parked.items()? {
        let item: Value = serde_json::from_str(raw.get())?;
        if text(&item, &["id"]) == args.id || text(&item, &["sequence"]) == args.id {
            output::print(args.output.output, raw.get(), || Ok(page(&item)))?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    bail!("nothing is parked under {:?}", args.id)
}

fn page(item: &Value) -> String {
    let mut page = String::new();
    for name in ["id", "sequence", "at", "subject", "reason"] {
        page += &format!("{name:<10}{}\n", one_line(&text(item, &[name])));
    }
    page + "\n" + lines(&payload(item)).trim_end() + "\n"
}

/// The payload as text; bytes that are none are shown as such.
fn payload(item: &Value) -> String {
    match text(item, &["payload"]) {
        payload if !payload.is_empty() => payload,
        _ => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text(item, &["payloadBase64"]));
            bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
        }
    }
}
