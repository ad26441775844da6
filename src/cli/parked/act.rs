//! `shipwatch parked retry` and `parked drop`: a word into the stream, and what the fold makes of it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::cli::client::{Client, ServerArgs};
use crate::cli::exit::Usage;
use crate::cli::listing::{Listing, PageArgs, text};
use crate::cli::logging;
use crate::cli::output::{self, Format, OutputArgs};
use crate::cli::settings::ConfigArgs;
use crate::cli::wiring::{self, Broker, Receipt};
use crate::config::LogFormat;
use crate::domain::ids::Position;
use crate::domain::messages::CONTROL;
use crate::domain::parked::{DROP, DROPPED, Line, RETRY};
use crate::units::Span;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Ids, as `parked list` shows them, or sequences in the stream
    #[arg(value_name = "ID", required_unless_present = "all")]
    ids: Vec<String>,
    /// All that is parked now
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// How long the service may take
    #[arg(long, value_name = "SPAN", default_value = "30s")]
    timeout: Span,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

/// What is to be done with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Retry,
    Drop,
}

impl Act {
    fn ty(self) -> &'static str {
        match self {
            Act::Retry => RETRY,
            Act::Drop => DROP,
        }
    }
}

/// Time between two looks at what the service has made of it.
const LOOK: Duration = Duration::from_millis(100);

pub(in crate::cli) async fn run(args: Args, act: Act) -> anyhow::Result<ExitCode> {
    logging::init(LogFormat::Text, "warn")?;
    let config = args.config.load([])?;
    let client = Client::new(&args.server)?;
    let chosen = chosen(&client, &args).await?;
    if chosen.is_empty() {
        eprintln!("nothing is parked");
        return Ok(ExitCode::SUCCESS);
    }
    let broker = wiring::connect(&config.nats).await?;
    let mut asked = Vec::with_capacity(chosen.len());
    for position in chosen {
        let id = Uuid::new_v4().to_string();
        let event = Line::at(position).event(act.ty(), id.clone());
        let body = Bytes::from(event.to_value().to_string());
        match broker.publish(act.ty(), &id, body).await? {
            Receipt::Stored { .. } => asked.push((position, id)),
            Receipt::Sent => bail!("no stream holds {}, so nobody acts on it; is this the service's broker?", act.ty()),
        }
    }
    let end = Instant::now() + args.timeout.get();
    let mut done = Vec::with_capacity(asked.len());
    for (position, id) in asked {
        done.push(Done::of(position, id.clone(), &made_of(&client, &id, end).await?));
    }
    print(args.output.output, &done)?;
    // What is parked still was not what was asked for.
    let failed = done.iter().any(|done| done.outcome == "parked");
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The parked messages that are meant, in order. A sequence means all that is parked of that message.
async fn chosen(client: &Client, args: &Args) -> anyhow::Result<Vec<Position>> {
    let parked = Listing::get(client, &["parked"], &[], &PageArgs::everything()).await?;
    let mut known = Vec::new();
    for raw in parked.items()? {
        let item: Value = serde_json::from_str(raw.get())?;
        let id = text(&item, &["id"]);
        let position = Position::parse(&id).with_context(|| format!("the service's id {id:?} is not a place"))?;
        known.push((position, id, text(&item, &["sequence"])));
    }
    let mut chosen: Vec<Position> = Vec::new();
    for wanted in &args.ids {
        let fits: Vec<Position> = match known.iter().find(|(_, id, _)| id == wanted) {
            Some((position, ..)) => vec![*position],
            None => known.iter().filter(|(_, _, sequence)| sequence == wanted).map(|(p, ..)| *p).collect(),
        };
        if fits.is_empty() {
            return Err(Usage(format!("nothing is parked under {wanted:?}")).into());
        }
        chosen.extend(fits);
    }
    if args.all {
        chosen.extend(known.iter().map(|(position, ..)| *position));
    }
    chosen.sort_unstable();
    chosen.dedup();
    Ok(chosen)
}

/// What the fold has made of a word, once it has.
async fn made_of(client: &Client, id: &str, end: Instant) -> anyhow::Result<Value> {
    let query = [("source".to_owned(), CONTROL.to_owned())];
    loop {
        match client.api(&["events", id], &query).await {
            Ok(body) => return Ok(serde_json::from_str(&body)?),
            Err(error) if error.is_absent() && Instant::now() < end => tokio::time::sleep(LOOK).await,
            Err(error) if error.is_absent() => {
                bail!("the service has not acted on it in time; it stands in the stream as {id} and will be acted on")
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// What became of one parked message.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    /// Where it was parked.
    id: String,
    /// The word about it.
    control_id: String,
    /// What it says, `parked` where it is parked again, `dropped`, or `none` where the word came too late.
    outcome: String,
    /// Where it is now.
    sequence: String,
    rule: Option<String>,
    change: Option<String>,
    issue_id: Option<String>,
    why: String,
}

impl Done {
    fn of(position: Position, control_id: String, decision: &Value) -> Done {
        let some = |name: &str| Some(text(decision, &[name])).filter(|text| !text.is_empty());
        let retried = decision.get("retry").is_some_and(Value::is_object);
        let why = text(decision, &["why"]);
        let outcome = match retried {
            true => text(decision, &["outcome"]),
            false if why.starts_with(DROPPED) => "dropped".into(),
            false => "none".into(),
        };
        Done {
            id: position.to_string(),
            control_id,
            outcome,
            sequence: text(decision, &["sequence"]),
            rule: some("rule"),
            change: some("change"),
            issue_id: some("issueId"),
            why,
        }
    }
}

fn print(format: Format, done: &[Done]) -> anyhow::Result<()> {
    let body = serde_json::to_string(done)?;
    output::print(format, &body, || {
        let mut table = output::table(&["ID", "OUTCOME", "RULE", "CHANGE", "WHY"]);
        for one in done {
            let [rule, change] = [&one.rule, &one.change].map(|text| text.clone().unwrap_or_default());
            table.row([one.id.clone(), one.outcome.clone(), rule, change, one.why.clone()]);
        }
        Ok(table.text())
    })
}
