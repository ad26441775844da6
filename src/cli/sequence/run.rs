//! `shipwatch sequence run`

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::drive::{Drive, Plays};
use super::tell::{Tell, TellArgs};
use super::{lint, shown};
use crate::cli::exit::Usage;
use crate::cli::logging;
use crate::cli::settings::ConfigArgs;
use crate::cli::wiring;
use crate::config::{self, LogFormat};
use crate::domain::event::{Data, Event};
use crate::domain::runner::{Ending, Options, Play, Runner, SOURCE, Status, Step, Verdict};
use crate::domain::shipyard::{EVALUATION, Shipyard};
use crate::domain::time::Time;
use crate::domain::yaml::problem::did_you_mean;
use crate::shipyard::read_file;
use crate::units::Span;

/// Everything that a sequence consists of, on NATS.
const EVENTS: &str = "sh.keptn.event.>";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The shipyard
    shipyard: PathBuf,
    /// What to run, for example staging.delivery
    #[arg(value_name = "STAGE.SEQUENCE")]
    sequence: String,
    /// Project
    #[arg(long, value_name = "NAME")]
    project: String,
    /// Service
    #[arg(long, value_name = "NAME")]
    service: String,
    /// File with a JSON object, the data the sequence begins with; `-` for standard input
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// A label; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    label: Vec<(String, String)>,
    /// Play an executor that is not there: pass, warning, fail, errored, or hang (begins and never ends); may be repeated
    #[arg(long, value_name = "TASK=HOW", value_parser = play)]
    simulate: Vec<(String, Play)>,
    /// Take `failed` in a selector for `fail`, as Keptn's documentation writes it
    #[arg(long)]
    lenient: bool,
    /// How long a task may stay without any answer
    #[arg(long, value_name = "SPAN", default_value = "10m")]
    start_timeout: Span,
    /// How long a task that was begun may take; 0 for as long as it likes, as with Keptn
    #[arg(long, value_name = "SPAN", default_value = "1h")]
    finish_timeout: Span,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    tell: TellArgs,
}

/// Reads `key=value`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not KEY=VALUE")),
    }
}

fn play(text: &str) -> Result<(String, Play), String> {
    let (task, how) = pair(text)?;
    Ok((task, how.parse()?))
}

pub(in crate::cli) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    logging::init(LogFormat::Text, "warn")?;
    let config = args.config.load([])?;
    let shipyard = read(&args.shipyard)?;
    let (stage, sequence) = sequence_of(&shipyard, &args.sequence)?;
    let plays = plays(&shipyard, &args.simulate)?;
    let mut data = args.data.as_deref().map(data).transpose()?.unwrap_or_default();
    if !args.label.is_empty() {
        let labels = data.entry("labels").or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(labels) = labels else { return Err(Usage("--data: labels is no object".into()).into()) };
        labels.extend(args.label.iter().map(|(key, value)| (key.clone(), value.as_str().into())));
    }
    let trigger = trigger(&stage, &sequence, &args.project, &args.service, data);
    for doubt in lint::doubts(&shipyard) {
        eprintln!("{doubt}");
    }
    let options = Options {
        lenient: args.lenient,
        start_timeout: args.start_timeout.get(),
        finish_timeout: Some(args.finish_timeout.get()).filter(|span| !span.is_zero()),
    };
    // Whatever answers the first event must be seen, so listening comes before it.
    let (broker, following) = wiring::connect_and_follow(&config.nats, EVENTS).await?;
    if following.stream().is_none() {
        eprintln!("warning: no stream holds {EVENTS}; what is said while the connection is lost is missed");
    }
    let stop = CancellationToken::new();
    wiring::stop_on_signal(stop.clone());
    let tell = Tell::new(args.tell, trigger.context.as_deref().unwrap_or_default());
    let mut drive = Drive { broker, following, runner: Runner::new(shipyard, options), plays, tell, stop };
    let ending = drive.run(trigger).await?;
    Ok(if is_good(&ending) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A sequence that is played without a command line.
pub(in crate::cli) struct Asked {
    /// The shipyard.
    pub shipyard: PathBuf,
    /// What to run, for example `staging.delivery`.
    pub sequence: String,
    /// Project.
    pub project: String,
    /// Service.
    pub service: String,
    /// Executors that are not there, by task.
    pub simulate: Vec<(String, String)>,
}

/// Plays a sequence and tells each step. Whether it ended well.
pub(in crate::cli) async fn stage(
    nats: &config::Nats,
    asked: Asked,
    tell: impl FnMut(&Step) -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<bool> {
    let shipyard = read(&asked.shipyard)?;
    let (stage, sequence) = sequence_of(&shipyard, &asked.sequence)?;
    let simulate = asked.simulate.iter().map(|(task, how)| Ok((task.clone(), how.parse().map_err(Usage)?)));
    let plays = plays(&shipyard, &simulate.collect::<Result<Vec<_>, Usage>>()?)?;
    let trigger = trigger(&stage, &sequence, &asked.project, &asked.service, Map::new());
    let options = Options { lenient: false, start_timeout: PATIENCE, finish_timeout: Some(PATIENCE) };
    let (broker, following) = wiring::connect_and_follow(nats, EVENTS).await?;
    let runner = Runner::new(shipyard, options);
    let tell = Tell::Each(Box::new(tell));
    let mut drive = Drive { broker, following, runner, plays, tell, stop: CancellationToken::new() };
    Ok(is_good(&drive.run(trigger).await?))
}

/// How long a played sequence waits for anybody.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pass or warning, by tools that did run.
fn is_good(ending: &Ending) -> bool {
    ending.status == Status::Succeeded && ending.verdict != Verdict::Fail
}

/// Reads a shipyard that is to be run.
fn read(file: &Path) -> anyhow::Result<Shipyard> {
    let text = read_file(file).map_err(|problem| Usage(problem.to_string()))?;
    Shipyard::read(&shown(file), &text).map_err(|problems| {
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Usage(format!("the shipyard cannot be read\n  {}", all.join("\n  "))).into()
    })
}

/// Stage and sequence, which are there.
fn sequence_of(shipyard: &Shipyard, name: &str) -> Result<(String, String), Usage> {
    let wrong = |what: String, suggestion: Option<String>| {
        let file = &shipyard.file;
        Usage(format!("{what} in {file}{}", suggestion.map(|s| format!(" ({s})")).unwrap_or_default()))
    };
    let all: Vec<String> = shipyard.sequences().map(|(s, q)| format!("{}.{}", s.name.text, q.name.text)).collect();
    let known: Vec<&str> = all.iter().map(String::as_str).collect();
    let suggestion = || did_you_mean(name, &known).or_else(|| Some(format!("there are: {}", all.join(", "))));
    let Some((stage, sequence)) = name.split_once('.') else {
        return Err(Usage(format!("{name:?} is not STAGE.SEQUENCE ({})", suggestion().unwrap_or_default())));
    };
    let Some(found) = shipyard.stage(stage) else {
        return Err(wrong(format!("there is no stage {stage:?}"), suggestion()));
    };
    let defined = found.sequences.iter().any(|s| s.name.text == sequence);
    if !defined && sequence != EVALUATION {
        return Err(wrong(format!("there is no sequence {sequence:?} of stage {stage:?}"), suggestion()));
    }
    Ok((stage.to_owned(), sequence.to_owned()))
}

/// The executors to play. One for a task that nowhere stands would wait in vain.
fn plays(shipyard: &Shipyard, asked: &[(String, Play)]) -> Result<Plays, Usage> {
    // What Keptn's own services ask each other stands in no shipyard.
    let unwritten = [EVALUATION, "get-sli", "get-action"];
    let written = shipyard.sequences().flat_map(|(_, sequence)| &sequence.tasks).map(|task| task.name.text.as_str());
    let known: Vec<&str> = written.chain(unwritten).collect();
    for (task, _) in asked {
        if !known.contains(&task.as_str()) {
            let suggestion = did_you_mean(task, &known).map(|s| format!(" ({s})")).unwrap_or_default();
            return Err(Usage(format!("--simulate: there is no task {task:?} in {}{suggestion}", shipyard.file)));
        }
    }
    Ok(asked.iter().cloned().collect())
}

/// The event that asks for the sequence.
fn trigger(stage: &str, sequence: &str, project: &str, service: &str, mut data: Map<String, Value>) -> Event {
    for (name, value) in [("project", project), ("stage", stage), ("service", service)] {
        data.insert(name.into(), value.into());
    }
    Event {
        id: Uuid::new_v4().to_string(),
        source: SOURCE.into(),
        ty: format!("sh.keptn.event.{stage}.{sequence}.triggered"),
        time: Some(Time::from(Utc::now())),
        subject: None,
        content_type: Some("application/json".into()),
        context: Some(Uuid::new_v4().to_string()),
        triggered_id: None,
        extensions: Map::new(),
        data: Data::Json(Value::Object(data)),
    }
}

/// The JSON object of a file.
fn data(file: &Path) -> anyhow::Result<Map<String, Value>> {
    let (name, text) = if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).context("cannot read standard input")?;
        ("standard input".to_owned(), text)
    } else {
        (shown(file), read_file(file).map_err(|problem| Usage(format!("--data: {problem}")))?)
    };
    match serde_json::from_str(&text) {
        Ok(Value::Object(data)) => Ok(data),
        Ok(other) => {
            Err(Usage(format!("--data: {name} holds {}, not an object", crate::domain::event::kind(&other))).into())
        }
        Err(e) => Err(Usage(format!("--data: {name} is not JSON: {e}")).into()),
    }
}
