//! `shipwatch sequence lint`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::shown;
use crate::cli::exit::{FOUND, Usage};
use crate::cli::output::{self, Format, OutputArgs};
use crate::cli::settings::ConfigArgs;
use crate::cli::words::count;
use crate::domain::rules::Problem;
use crate::domain::shipyard::{Finding, Known, Level, Shipyard, lint};
use crate::domain::webhooks::{self, Webhooks};
use crate::shipyard::read_file;

/// The shipyard's name in a team's folder.
const FILE: &str = "shipyard.yaml";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Shipyards; shipyard.yaml in the shipyard folder where none is given
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder of the team's files; ./shipyard where not given
    #[arg(long, env = "SHIPWATCH_SHIPYARD_DIR", value_name = "DIR")]
    shipyard_dir: Option<PathBuf>,
    /// A task that an executor of yours answers; may be repeated
    #[arg(long, value_name = "TASK")]
    executor: Vec<String>,
    /// Configuration file, for the names of Shipwatch's own tasks
    #[arg(long, env = "SHIPWATCH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(in crate::cli) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let tasks = ConfigArgs::of_file(args.config.clone()).load([])?.tasks;
    let ours = vec![tasks.open_issue, tasks.update_issue, tasks.close_issue, tasks.check_issues];
    let known = Known { ours, answered: args.executor.clone() };
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    let files = args.files();
    for file in &files {
        match look(file, &known) {
            Ok(list) => found.extend(list),
            Err(problem) => unreadable.push(problem.to_string()),
        }
    }
    let format = args.output.output;
    let fine = || if unreadable.is_empty() { fine(&files) } else { String::new() };
    let table = || Ok(if found.is_empty() { fine() } else { table(&found) });
    output::print(format, &serde_json::to_string(&found)?, table)?;
    if !unreadable.is_empty() {
        return Err(Usage(unreadable.join("\n  ")).into());
    }
    if format == Format::Table && !found.is_empty() {
        eprintln!("{}", footer(&found));
    }
    let clean = found.iter().all(|f| f.level == Level::Note);
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
}

impl Args {
    fn files(&self) -> Vec<PathBuf> {
        if !self.files.is_empty() {
            return self.files.clone();
        }
        // An empty variable is one that is not set.
        let given = self.shipyard_dir.as_deref().filter(|dir| !dir.as_os_str().is_empty());
        vec![given.unwrap_or(Path::new("./shipyard")).join(FILE)]
    }
}

/// What is wrong with one file. What keeps it from being understood comes alone, and so does what keeps the webhooks beside it
/// from that: without them nobody could say which tasks are answered.
fn look(file: &Path, known: &Known) -> Result<Vec<Finding>, Problem> {
    let text = read_file(file)?;
    let read = Shipyard::read(&shown(file), &text).and_then(|shipyard| Ok((shipyard, webhooks_beside(file)?)));
    Ok(match read {
        Ok((shipyard, webhooks)) => {
            let tasks = shipyard.sequences().flat_map(|(_, sequence)| &sequence.tasks).map(|task| &task.name.text);
            let called = tasks.filter(|task| webhooks.answer(task)).cloned();
            let answered = known.answered.iter().cloned().chain(called).collect();
            lint(&shipyard, &Known { answered, ..known.clone() })
        }
        Err(problems) => problems.into_iter().map(error).collect(),
    })
}

/// The webhooks in the folder of a shipyard; without their file there are none.
fn webhooks_beside(shipyard: &Path) -> Result<Webhooks, Vec<Problem>> {
    let file = shipyard.with_file_name(webhooks::FILE);
    if !file.exists() {
        return Ok(Webhooks::default());
    }
    Webhooks::compile(&shown(&file), &read_file(&file).map_err(|problem| vec![problem])?)
}

fn error(problem: Problem) -> Finding {
    let Problem { file, line, column, message, suggestion } = problem;
    Finding { file, line, column, level: Level::Error, message, suggestion }
}

fn fine(files: &[PathBuf]) -> String {
    match files {
        [one] => format!("{} is fine", shown(one)),
        many => format!("{} are fine", count(many.len() as u64, "shipyard")),
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "note",
    }
}

fn table(found: &[Finding]) -> String {
    let mut table = output::table(&["PLACE", "LEVEL", "FOUND"]);
    for Finding { file, line, column, level, message, suggestion } in found {
        let place = if *line == 0 { file.to_string() } else { format!("{file}:{line}:{column}") };
        let suggestion = suggestion.as_ref().map(|s| format!(" ({s})")).unwrap_or_default();
        table.row([place, word(*level).to_owned(), format!("{message}{suggestion}")]);
    }
    table.text()
}

fn footer(found: &[Finding]) -> String {
    let of = |level| (found.iter().filter(|f| f.level == level).count() as u64, word(level));
    let counts = [Level::Error, Level::Warning, Level::Note].map(of);
    counts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| count(n, what)).collect::<Vec<_>>().join(", ")
}

/// What keeps a sequence from running as it reads, for those about to run it. Who answers a task is seen then.
pub(super) fn doubts(shipyard: &Shipyard) -> Vec<String> {
    let tasks = shipyard.sequences().flat_map(|(_, sequence)| &sequence.tasks).map(|task| task.name.text.clone());
    let known = Known { ours: Vec::new(), answered: tasks.collect() };
    let bad = lint(shipyard, &known).into_iter().filter(|f| f.level != Level::Note);
    bad.map(|f| {
        let suggestion = f.suggestion.map(|s| format!(" ({s})")).unwrap_or_default();
        format!("{}:{}:{}: {}: {}{suggestion}", f.file, f.line, f.column, word(f.level), f.message)
    })
    .collect()
}
