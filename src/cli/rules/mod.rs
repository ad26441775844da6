//! `shipwatch rules`: looks at a team's rule files without a service.

mod check;
mod explain;
mod story;
mod test;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::exit::Usage;
use crate::domain::rules::{Problem, RuleSet};
use crate::shipyard::{RuleFiles, WrongRules};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Tell every mistake and every doubt about the team's rules; exits 3 where there is one
    Check(check::Args),
    /// Run the tests that the team's rule files carry; exits 3 where one fails
    Test(test::Args),
    /// Tell what the rules make of an event: each rule tried, each condition with the value seen, and the result
    Explain(explain::Args),
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Check(args) => check::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Explain(args) => explain::run(&args),
    }
}

/// Where a team's files are.
#[derive(Clone, Debug, Args)]
struct ShipyardArgs {
    /// Folder with the team's `rules/*.yaml`; ./shipyard where not given
    #[arg(long, env = "SHIPWATCH_SHIPYARD_DIR", value_name = "DIR")]
    shipyard_dir: Option<OsString>,
}

/// A shipyard folder and the rule files in it.
struct Shipyard {
    folder: PathBuf,
    rules: RuleFiles,
}

impl ShipyardArgs {
    /// Reads the rule files. Only a folder that was asked for must be there.
    fn read(&self) -> anyhow::Result<Shipyard> {
        // An empty variable is one that is not set.
        let given = self.shipyard_dir.as_ref().filter(|dir| !dir.is_empty()).map(PathBuf::from);
        if let Some(dir) = &given {
            let wrong = |e| Usage(format!("cannot read the shipyard folder {}: {e}", dir.display()));
            std::fs::read_dir(dir).map_err(wrong)?;
        }
        let folder = given.unwrap_or_else(|| "./shipyard".into());
        let rules = RuleFiles::read(&folder);
        Ok(Shipyard { folder, rules })
    }
}

impl Shipyard {
    /// The rules in force: the team's before the packs in the binary.
    fn compile(&self) -> Result<RuleSet, WrongRules> {
        let placed = |problem: Problem| Problem { file: self.place(&problem.file).into(), ..problem };
        self.rules.clone().compile().map_err(|wrong| WrongRules(wrong.0.into_iter().map(placed).collect()))
    }

    /// A file as the user finds it from here.
    fn place(&self, file: &str) -> String {
        if RuleSet::is_builtin(file) { file.to_owned() } else { self.folder.join(file).display().to_string() }
    }
}
