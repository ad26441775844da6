//! `shipwatch replay`

mod again;
mod against;
mod differences;
mod progress;
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::client::ServerArgs;
use super::exit::{FOUND, Usage};
use super::output::{self, OutputArgs};
use super::settings::ConfigArgs;
use super::words::count;
use super::{logging, wiring};
use crate::bus::Bound;
use crate::config::{Config, LogFormat};
use crate::domain::issue::View;
use crate::domain::rules::{RuleSet, Subject};
use crate::domain::time::Time;
use crate::replay::diff::Diff;
use crate::replay::{self, Filter, Fold, Mistake, Opening, Place, Plan, Range, Rebuild, Source};
use progress::Progress;
use summary::Summary;

/// Mistakes of a file that are told one by one.
const TOLD: usize = 20;

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Read the data folder of a service that does not run, instead of the stream
    #[arg(long, value_name = "DIR", conflicts_with = "file")]
    journal: Option<PathBuf>,
    /// Read a file with one event a line, `-` for standard input, instead of the stream
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Begin with this time or this sequence of the stream (of a file: its line)
    #[arg(long, value_name = "TIME|SEQUENCE", value_parser = bound)]
    from: Option<Bound>,
    /// End with this time or this sequence
    #[arg(long, value_name = "TIME|SEQUENCE", value_parser = bound)]
    to: Option<Bound>,
    /// Only events of this `shkeptncontext`; may be repeated or hold several, parted by commas, as the others
    #[arg(long, value_delimiter = ',')]
    context: Vec<String>,
    /// Only events of this type; `*` stands for one word of it, `>` for all that follow
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',', value_parser = subject)]
    types: Vec<Subject>,
    /// Only events of this source
    #[arg(long, value_delimiter = ',')]
    source: Vec<String>,
    /// Judge all events by the rules of this shipyard folder, instead of those that held when they came
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// Tell which issues would differ under --rules, or from what the service at --server shows; exits 3 where any does
    #[arg(long)]
    diff: bool,
    /// As --diff, from what the service at this address shows
    #[arg(long, value_name = "URL")]
    against: Option<String>,
    /// Make a data folder of the stream that `serve` can go on with
    #[arg(long, value_name = "DIR", conflicts_with_all = ["journal", "file", "from", "to", "context", "types", "source", "rules", "diff", "against"])]
    rebuild: Option<PathBuf>,
    /// Send the events again, marked so that they cause nothing here
    #[arg(long, requires = "subject_prefix", conflicts_with_all = ["rules", "diff", "against", "rebuild", "output"])]
    publish: bool,
    /// What the subjects of events that are sent again begin with, before their type
    #[arg(long, value_name = "PREFIX", requires = "publish")]
    subject_prefix: Option<String>,
    /// How fast they are sent: `max`, `original` or a factor like `10x`
    #[arg(long, value_name = "SPEED", default_value = "max", value_parser = speed)]
    speed: replay::again::Speed,
    /// Go on over lines of a file that are no events: they are parked
    #[arg(long, requires = "file")]
    keep_going: bool,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

fn bound(text: &str) -> Result<Bound, String> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map(Bound::Sequence).map_err(|_| format!("{text} is no sequence of a stream"));
    }
    let time = Time::parse(text).filter(|_| text.contains('-')).map(Bound::Time);
    time.ok_or_else(|| format!("{text:?} is neither a time like 2026-01-02T03:04:05Z nor a sequence"))
}

fn subject(text: &str) -> Result<Subject, String> {
    Subject::any(text).ok_or_else(|| "a type is not empty".into())
}

fn speed(text: &str) -> Result<replay::again::Speed, String> {
    replay::again::Speed::parse(text).ok_or_else(|| format!("{text:?} is none of max, original and a factor like 10x"))
}

/// What a replay is compared with.
enum Compared {
    /// The same events under the rules that held when they came.
    Rules,
    /// What a service shows.
    Service(ServerArgs),
}

/// A result as JSON.
#[derive(Serialize)]
struct Found<'a> {
    issues: &'a [View],
    summary: &'a Summary,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    logging::init(LogFormat::Text, "warn")?;
    let config = args.config.load([])?;
    let range = args.range()?;
    let compared = args.compared();
    let team = match &args.rules {
        Some(dir) => {
            std::fs::read_dir(dir).map_err(|e| Usage(format!("cannot read the folder {}: {e}", dir.display())))?;
            Some(wiring::rules(dir, None)?)
        }
        None => None,
    };
    // What holds where the events do not say.
    let given = match (&team, &compared) {
        (Some(team), None | Some(Compared::Service(_))) => team.clone(),
        _ => wiring::rules(&config.shipyard_dir, None)?,
    };
    let filter = Filter { contexts: args.context.clone(), types: args.types.clone(), sources: args.source.clone() };
    let setup = wiring::replaying(&config, filter, args.file.is_none());
    if let Some(prefix) = &args.subject_prefix
        && let Some(why) = replay::again::refusal(prefix, given.subjects())
    {
        return Err(Usage(format!("--subject-prefix: {why}")).into());
    }
    let rebuild = args.rebuild.as_deref().map(Rebuild::begin).transpose()?;
    let place = args.place(&config, &given).await?;
    let mut source = Source::open(&place, range, &setup).await?;
    let (plan, mistakes) = source.plan(&setup, &given).await?;
    if !mistakes.is_empty() {
        args.tell(&mistakes)?;
    }
    anyhow::ensure!(plan.matching > 0, "no event matches in {}", plan.place);
    if let Some(prefix) = &args.subject_prefix {
        return again::run(&config, prefix, args.speed, source, &setup, &given, &plan).await;
    }
    eprintln!("{}", matching(&plan));

    let mut openings = vec![match (&team, &compared) {
        (Some(team), None | Some(Compared::Service(_))) => Opening::Fixed(team.clone()),
        _ => source.opening(&given).await?,
    }];
    if let (Some(team), Some(Compared::Rules)) = (&team, &compared) {
        openings.push(Opening::Fixed(team.clone()));
    }
    let spare =
        tempfile::Builder::new().prefix("shipwatch-replay-").tempdir().context("cannot make a throw-away store")?;
    let (mut folds, names) = (Vec::new(), ["one", "two"]);
    for (opening, name) in openings.into_iter().zip(names) {
        let dir = rebuild.as_ref().map_or_else(|| spare.path().join(name), |r| r.beside().to_owned());
        folds.push(Fold::begin(&dir, setup.clone(), source.from(), opening)?);
    }
    let stop = CancellationToken::new();
    wiring::stop_on_signal(stop.clone());
    let done = Arc::new(AtomicU64::new(0));
    let progress = Progress::start(done.clone(), plan.messages);
    let folded = replay::drive(source, folds, done, stop).await;
    let folds = progress.end(folded)?;
    let Some(fold) = folds.last() else { anyhow::bail!("nothing was folded") };
    summary::tell_time(fold);
    match (compared, folds.as_slice()) {
        (Some(Compared::Rules), [before, after]) => {
            let diff = Diff::of_folds(&before.reader(), &after.reader())?;
            args.print_diff(&diff, &Summary::of(after), "as the rules were", "under these rules")
        }
        (Some(Compared::Service(server)), [fold]) => {
            let diff = against::diff(&server, &fold.reader()).await?;
            args.print_diff(&diff, &Summary::of(fold), "on the service", "in the replay")
        }
        _ => match rebuild {
            Some(rebuild) => args.finish(rebuild, folds),
            None => args.print_issues(fold),
        },
    }
}

fn matching(plan: &Plan) -> String {
    let verb = if plan.matching == 1 { "matches" } else { "match" };
    format!("{} {verb}: {}", count(plan.matching, "event"), plan.place)
}

impl Args {
    fn range(&self) -> anyhow::Result<Range> {
        let range = Range { from: self.from.unwrap_or(Bound::Open), to: self.to.unwrap_or(Bound::Open) };
        if range.is_empty() {
            return Err(Usage("--from lies behind --to".into()).into());
        }
        Ok(range)
    }

    fn compared(&self) -> Option<Compared> {
        match (&self.against, self.diff, &self.rules) {
            (Some(url), _, _) => Some(Compared::Service(self.server.at(url))),
            (None, true, Some(_)) => Some(Compared::Rules),
            (None, true, None) => Some(Compared::Service(self.server.clone())),
            (None, false, _) => None,
        }
    }

    async fn place(&self, config: &Config, given: &RuleSet) -> anyhow::Result<Place> {
        match (&self.journal, &self.file) {
            (Some(dir), _) => Ok(Place::Journal(dir.clone())),
            (None, Some(file)) => Ok(Place::File(file.clone())),
            (None, None) => wiring::stream(config, given).await,
        }
    }

    /// Lines that are no events end it, unless it is to go on.
    fn tell(&self, mistakes: &[Mistake]) -> anyhow::Result<()> {
        let mut told: Vec<String> = mistakes.iter().take(TOLD).map(ToString::to_string).collect();
        if mistakes.len() > TOLD {
            told.push(format!("and {} more", mistakes.len() - TOLD));
        }
        let (what, told) = (count(mistakes.len() as u64, "mistake"), told.join("\n  "));
        let file = self.file.as_deref().map(|f| f.display().to_string()).unwrap_or_default();
        anyhow::ensure!(
            self.keep_going,
            "{file}: nothing was replayed, {what}; --keep-going parks such lines and goes on\n  {told}"
        );
        eprintln!("{file}: {what}, parked\n  {told}");
        Ok(())
    }

    fn print_issues(&self, fold: &Fold) -> anyhow::Result<ExitCode> {
        let (issues, summary) = (replay::issues(&fold.reader()), Summary::of(fold));
        let found = serde_json::to_string(&Found { issues: &issues, summary: &summary })?;
        output::print(self.output.output, &found, || Ok(format!("{}{}", summary::table(&issues), summary.text())))?;
        Ok(ExitCode::SUCCESS)
    }

    fn print_diff(&self, diff: &Diff, summary: &Summary, before: &str, after: &str) -> anyhow::Result<ExitCode> {
        #[derive(Serialize)]
        struct Compared<'a> {
            diff: &'a Diff,
            summary: &'a Summary,
        }
        let json = serde_json::to_string(&Compared { diff, summary })?;
        output::print(self.output.output, &json, || Ok(differences::text(diff, before, after)))?;
        Ok(if diff.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
    }

    fn finish(&self, rebuild: Rebuild, mut folds: Vec<Fold>) -> anyhow::Result<ExitCode> {
        let Some(fold) = folds.pop() else { anyhow::bail!("nothing was folded") };
        let (summary, reached) = (Summary::of(&fold), fold.reader().progress().reached);
        // Closed before it moves.
        fold.close()?;
        rebuild.finish()?;
        let json = serde_json::to_string(&serde_json::json!({ "summary": summary }))?;
        output::print(self.output.output, &json, || Ok(summary.text()))?;
        if let (Some(dir), Some(reached)) = (&self.rebuild, reached) {
            eprintln!(
                "{} holds stream {:?} up to sequence {}; go on with: shipwatch serve --data-dir {0}\n\
                 links that a receiver was given to call back are known by callback.key in the old folder: copy it",
                dir.display(),
                reached.stream.name,
                reached.sequence
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}
