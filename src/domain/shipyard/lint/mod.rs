//! What is understood and will not do what its author hopes: held against the specification, and against what Keptn's control
//! plane really does.

mod chain;
mod names;
mod tasks;
mod traps;
mod triggers;

use std::sync::Arc;

use serde::Serialize;

use super::Shipyard;
use super::read::PREFIX;
use crate::domain::rules::At;
use chain::Chain;

/// How bad a [`Finding`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It cannot work.
    Error,
    /// It works otherwise than it reads.
    Warning,
    /// Good to know.
    Note,
}

/// One doubt about a shipyard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// How bad.
    pub level: Level,
    /// What is the matter.
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

/// Which tasks somebody answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The tasks that Shipwatch itself answers, as they are called in its configuration.
    pub ours: Vec<String>,
    /// Those that webhooks or other executors answer.
    pub answered: Vec<String>,
}

/// Looks through a shipyard. What is found comes in the order of the file.
pub fn lint(shipyard: &Shipyard, known: &Known) -> Vec<Finding> {
    let mut found = Findings { file: shipyard.file.clone(), list: Vec::new() };
    head(shipyard, &mut found);
    names::look(shipyard, &mut found);
    let chain = Chain::of(shipyard);
    triggers::look(&chain, &mut found);
    tasks::look(shipyard, known, &mut found);
    traps::look(&chain, &mut found);
    found.list.sort_by_key(|f| (f.line, f.column, f.level));
    found.list
}

/// Collects findings.
struct Findings {
    file: Arc<str>,
    list: Vec<Finding>,
}

impl Findings {
    fn add(&mut self, level: Level, at: At, message: impl Into<String>) {
        self.suggest(level, at, message, None);
    }

    fn suggest(&mut self, level: Level, at: At, message: impl Into<String>, suggestion: impl Into<Option<String>>) {
        let (file, At { line, column }) = (self.file.clone(), at);
        let (message, suggestion) = (message.into(), suggestion.into());
        self.list.push(Finding { file, line, column, level, message, suggestion });
    }
}

/// What the schema wants and Keptn never looks at.
fn head(shipyard: &Shipyard, found: &mut Findings) {
    let head = &shipyard.head;
    let mut warn = |at, message: String, right: String| found.suggest(Level::Warning, at, message, right);
    if !head.api_version.text.starts_with(PREFIX) {
        let right = format!("\"{PREFIX}{}\"", head.api_version.text);
        warn(head.api_version.at, format!("apiVersion {:?} is not as the schema has it", head.api_version.text), right);
    }
    match &head.kind {
        Some(kind) if kind.text == "Shipyard" => {}
        Some(kind) => warn(kind.at, format!("kind is {:?}", kind.text), "the schema has \"Shipyard\"".into()),
        None => warn(head.at, "shipyard has no \"kind\"".into(), "the schema has kind: Shipyard".into()),
    }
    if head.name.as_ref().is_none_or(|name| name.text.trim().is_empty()) {
        warn(head.at, "shipyard has no name".into(), "metadata: {name: …}".into());
    }
}

#[cfg(test)]
mod tests;
