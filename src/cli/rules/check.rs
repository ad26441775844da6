//! `shipwatch rules check`

use std::process::ExitCode;

use serde::Serialize;

use super::{Shipyard, ShipyardArgs};
use crate::cli::exit::FOUND;
use crate::cli::output::{self, Format, OutputArgs};
use crate::cli::words::count;
use crate::domain::rules::{Finding, FindingKind, Problem, RuleSet, lint};
use crate::domain::webhooks;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    shipyard: ShipyardArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// A mistake or a doubt.
#[derive(Debug, Serialize)]
struct Found {
    file: String,
    /// From 1; 0 where the whole file is meant.
    line: u32,
    column: u32,
    kind: &'static str,
    rule: Option<String>,
    message: String,
    suggestion: Option<String>,
}

pub(in crate::cli) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let shipyard = args.shipyard.read()?;
    let (found, fine) = match shipyard.compile() {
        Ok(rules) => (doubts(&shipyard, &rules), fine(&shipyard, &rules)),
        Err(wrong) => (wrong.0.into_iter().map(Found::mistake).collect(), String::new()),
    };
    let format = args.output.output;
    output::print(format, &serde_json::to_string(&found)?, || Ok(if found.is_empty() { fine } else { table(&found) }))?;
    if found.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if format == Format::Table {
        eprintln!("{}", footer(&found));
    }
    Ok(ExitCode::from(FOUND))
}

/// What lint says about the team's rules; the packs in the binary are none of the team's business.
fn doubts(shipyard: &Shipyard, rules: &RuleSet) -> Vec<Found> {
    let team = lint(rules).into_iter().filter(|finding| !RuleSet::is_builtin(&finding.file));
    team.map(|finding| Found::doubt(shipyard, finding)).collect()
}

fn fine(shipyard: &Shipyard, rules: &RuleSet) -> String {
    let webhooks = rules.outgoing().all().len() as u64;
    let files = shipyard.rules.files.iter().filter(|(name, _)| name != webhooks::FILE).count() as u64;
    let team = rules.rules().filter(|rule| !RuleSet::is_builtin(rule.file)).count() as u64;
    let mut fine = Vec::new();
    if files > 0 {
        fine.push((team, format!("{} in {}", count(team, "rule"), count(files, "file"))));
    }
    if webhooks > 0 {
        fine.push((webhooks, format!("{} in {}", count(webhooks, "webhook"), webhooks::FILE)));
    }
    let what: Vec<&str> = fine.iter().map(|(_, what)| what.as_str()).collect();
    match fine.as_slice() {
        [] => format!("no rule files in {}, only the packs in the binary are in force", shipyard.place("rules")),
        [(1, _)] => format!("{} is fine", what.join(" and ")),
        _ => format!("{} are fine", what.join(" and ")),
    }
}

fn table(found: &[Found]) -> String {
    let mut table = output::table(&["PLACE", "KIND", "FOUND"]);
    for Found { file, line, column, kind, rule, message, suggestion } in found {
        let place = if *line == 0 { file.clone() } else { format!("{file}:{line}:{column}") };
        let rule = rule.as_ref().map(|rule| format!("{rule}: ")).unwrap_or_default();
        let suggestion = suggestion.as_ref().map(|s| format!(" ({s})")).unwrap_or_default();
        table.row([place, (*kind).to_owned(), format!("{rule}{message}{suggestion}")]);
    }
    table.text()
}

fn footer(found: &[Found]) -> String {
    let mistakes = found.iter().filter(|f| f.kind == MISTAKE).count() as u64;
    match mistakes {
        0 => count(found.len() as u64, "doubt"),
        n => format!("{}; without them the rules would be looked through for doubts too", count(n, "mistake")),
    }
}

/// The kind of what keeps rules from being loaded.
const MISTAKE: &str = "mistake";

impl Found {
    fn mistake(problem: Problem) -> Found {
        let Problem { file, line, column, message, suggestion } = problem;
        Found { file: file.to_string(), line, column, kind: MISTAKE, rule: None, message, suggestion }
    }

    fn doubt(shipyard: &Shipyard, finding: Finding) -> Found {
        let Finding { file, line, column, rule, kind, message } = finding;
        let kind = match kind {
            FindingKind::Unreachable => "unreachable",
            FindingKind::Overlapping => "overlapping",
            FindingKind::Unresolved => "unresolved",
            FindingKind::UnknownPath => "unknown-path",
            FindingKind::Uncompared => "uncompared",
        };
        let (file, rule) = (shipyard.place(&file), Some(rule.to_string()));
        Found { file, line, column, kind, rule, message, suggestion: None }
    }
}
