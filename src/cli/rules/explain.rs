//! `shipwatch rules explain`

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use serde_json::Value;

use super::ShipyardArgs;
use super::story::story;
use crate::cli::output::{self, OutputArgs};
use crate::domain::event::Event;
use crate::domain::rules::RuleSet;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// File with one event as JSON, `-` for standard input
    #[arg(value_name = "EVENT")]
    event: PathBuf,
    /// Subject the event comes on, for raw JSON that an adapter makes an event of
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    #[command(flatten)]
    shipyard: ShipyardArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// No broker takes messages of this size unless told to.
const MOST_BYTES: u64 = 64 << 20;

pub(in crate::cli) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let shipyard = args.shipyard.read()?;
    let rules = shipyard.compile()?;
    let name = if args.event.as_os_str() == "-" { "standard input".into() } else { args.event.display().to_string() };
    let bytes = read(&args.event).with_context(|| format!("cannot read {name}"))?;
    let event = event(&rules, &bytes, args.subject.as_deref()).with_context(|| name)?;
    let mut told = rules.explain(&event);
    told.tried.iter_mut().for_each(|tried| tried.file = shipyard.place(&tried.file));
    output::print(args.output.output, &serde_json::to_string(&told)?, || Ok(story(&event, &told)))?;
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match file.as_os_str() == "-" {
        true => std::io::stdin().lock().take(MOST_BYTES + 1).read_to_end(&mut bytes)?,
        false => std::fs::File::open(file)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?,
    };
    if bytes.len() as u64 > MOST_BYTES {
        bail!("it is over the limit of {MOST_BYTES} bytes");
    }
    Ok(bytes)
}

/// The event that the bytes are, or that the rules lift them to.
fn event(rules: &RuleSet, bytes: &[u8], subject: Option<&str>) -> anyhow::Result<Event> {
    let invalid = match Event::from_json(bytes) {
        Ok(event) => return Ok(event),
        Err(invalid) => anyhow!("not a CloudEvent: {invalid}"),
    };
    let Ok(body) = serde_json::from_slice::<Value>(bytes) else { return Err(invalid) };
    match (rules.lift(subject.unwrap_or_default(), &body), subject) {
        (Some(lifted), _) => lifted.map_err(|e| anyhow!("{e}")),
        (None, Some(subject)) => Err(invalid.context(format!("no adapter takes raw JSON from {subject:?}"))),
        (None, None) if body.is_object() => {
            Err(anyhow!("{invalid}; where an adapter makes an event of it, name its subject with --subject"))
        }
        (None, None) => Err(invalid),
    }
}
