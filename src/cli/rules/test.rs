//! `shipwatch rules test`

use std::collections::BTreeSet;
use std::process::ExitCode;

use super::ShipyardArgs;
use crate::cli::exit::FOUND;
use crate::cli::output::{self, Format, OutputArgs};
use crate::cli::words::count;
use crate::domain::rules::{RuleSet, TestOutcome, run_tests};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    shipyard: ShipyardArgs,
    /// Run the tests of the packs in the binary too: one that fails shows what the team's rules take over
    #[arg(long)]
    builtin: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(in crate::cli) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let shipyard = args.shipyard.read()?;
    let rules = shipyard.compile()?;
    let asked = |outcome: &TestOutcome| args.builtin || !RuleSet::is_builtin(&outcome.file);
    let mut outcomes: Vec<TestOutcome> = run_tests(&rules).into_iter().filter(asked).collect();
    outcomes.iter_mut().for_each(|outcome| outcome.file = shipyard.place(&outcome.file).into());
    let format = args.output.output;
    output::print(format, &serde_json::to_string(&outcomes)?, || Ok(table(&outcomes)))?;
    if format == Format::Table {
        eprintln!("{}", footer(&outcomes, &shipyard.place("rules")));
    }
    let passed = outcomes.iter().all(|outcome| outcome.passed);
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(FOUND) })
}

fn table(outcomes: &[TestOutcome]) -> String {
    if outcomes.is_empty() {
        return String::new();
    }
    let mut table = output::table(&["PLACE", "TEST", "RESULT", "DIFFERENCE"]);
    for TestOutcome { file, line, name, passed, differences, .. } in outcomes {
        let result = if *passed { "ok" } else { "failed" };
        let mut differences = differences.iter().cloned();
        table.row([format!("{file}:{line}"), name.clone(), result.to_owned(), differences.next().unwrap_or_default()]);
        differences.for_each(|more| table.row([String::new(), String::new(), String::new(), more]));
    }
    table.text()
}

fn footer(outcomes: &[TestOutcome], folder: &str) -> String {
    if outcomes.is_empty() {
        return format!("no tests: no file in {folder} has a `tests:` list");
    }
    let files = outcomes.iter().map(|outcome| &outcome.file).collect::<BTreeSet<_>>().len() as u64;
    let failed = outcomes.iter().filter(|outcome| !outcome.passed).count();
    format!("{} in {}, {failed} failed", count(outcomes.len() as u64, "test"), count(files, "file"))
}
