//! Names: they become parts of event types and so of NATS subjects.

use std::collections::HashMap;

use super::{Findings, Level};
use crate::domain::keptn::Type;
use crate::domain::rules::At;
use crate::domain::shipyard::{Sequence, Shipyard, Stage, Text};

pub(super) fn look(shipyard: &Shipyard, found: &mut Findings) {
    let mut stages = Seen::default();
    for stage in &shipyard.stages {
        stage_name(&stage.name, found);
        stages.note("stage", &stage.name, found);
        if stage.sequences.is_empty() {
            found.add(Level::Warning, stage.name.at, format!("stage {:?} has no sequences", stage.name.text));
        }
        let mut sequences = Seen::default();
        for sequence in &stage.sequences {
            part_of_type("sequence", &sequence.name, found);
            sequences.note("sequence", &sequence.name, found);
            reserved(stage, sequence, found);
            if sequence.tasks.is_empty() {
                let message =
                    format!("sequence {:?} has no tasks, so it counts as missing and ends errored", sequence.name.text);
                found.add(Level::Error, sequence.name.at, message);
            }
            for task in &sequence.tasks {
                part_of_type("task", &task.name, found);
            }
        }
    }
}

/// Names seen, each with its first place.
#[derive(Default)]
struct Seen<'s>(HashMap<&'s str, At>);

impl<'s> Seen<'s> {
    fn note(&mut self, what: &str, name: &'s Text, found: &mut Findings) {
        if let Some(first) = self.0.get(name.text.as_str()) {
            let message =
                format!("{what} {:?} stands twice; only the first, in line {}, is ever run", name.text, first.line);
            found.add(Level::Error, name.at, message);
        } else {
            self.0.insert(&name.text, name.at);
        }
    }
}

/// Keptn refuses a project with another stage name.
fn stage_name(name: &Text, found: &mut Findings) {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.text.starts_with(|c: char| c.is_ascii_lowercase()) || !name.text.chars().all(plain) {
        let message =
            format!("stage {:?}: Keptn takes lower-case letters, digits and hyphens, a letter first", name.text);
        found.suggest(Level::Error, name.at, message, repaired(&name.text));
    }
}

/// Nothing checks the names of sequences and tasks, and then their events do not arrive.
fn part_of_type(what: &str, name: &Text, found: &mut Findings) {
    let mut say = |level, message: String| found.suggest(level, name.at, message, repaired(&name.text));
    let text = &name.text;
    if text.contains('.') {
        say(
            Level::Error,
            format!("{what} {text:?}: with a dot the event type has one part too many, and nobody takes its events"),
        );
    } else if text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '*' | '>')) {
        say(
            Level::Error,
            format!("{what} {text:?} cannot be part of a NATS subject, so its events cannot be published"),
        );
    } else if !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        say(Level::Warning, format!("{what} {text:?}: lower-case letters, digits and hyphens are what all tools take"));
    }
}

/// The name with what is odd made a hyphen.
fn repaired(name: &str) -> Option<String> {
    let mut right = String::new();
    for c in name.trim().chars() {
        match c {
            c if c.is_ascii_alphanumeric() => right.push(c.to_ascii_lowercase()),
            _ if right.is_empty() || right.ends_with('-') => {}
            _ => right.push('-'),
        }
    }
    let right = right.trim_end_matches('-');
    (!right.is_empty() && right != name).then(|| format!("for example {right:?}"))
}

/// `project.create` and the like are Keptn's own management events.
fn reserved(stage: &Stage, sequence: &Sequence, found: &mut Findings) {
    let (stage, name) = (&stage.name.text, &sequence.name);
    if Type::parse(&format!("sh.keptn.event.{stage}.{}.triggered", name.text)) == Some(Type::Management) {
        let message =
            format!("{stage}.{} is the name of a management event, so it is never taken for a sequence", name.text);
        found.add(Level::Error, name.at, message);
    }
}
