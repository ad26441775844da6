//! Tests that a rule file carries: an event, and what the rules must make of it.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::fields::Text;
use super::problem::{At, Problems};
use super::raw::{RawEvent, RawTest};
use super::set::RuleSet;
use super::{Resolves, Verdict};
use crate::domain::event::Event;

/// One test of a file.
#[derive(Debug)]
pub struct Proof {
    pub file: Arc<str>,
    at: At,
    name: String,
    input: Input,
    expect: Vec<(&'static str, Text)>,
}

#[derive(Debug)]
enum Input {
    Event(Box<Event>),
    Body { subject: String, body: Value },
}

/// What became of one test.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TestOutcome {
    /// The file it stands in.
    pub file: Arc<str>,
    /// Its line.
    pub line: u32,
    /// Its name.
    pub name: String,
    /// Whether everything was as expected.
    pub passed: bool,
    /// What was not, one line each.
    pub differences: Vec<String>,
    /// The rule that fitted, or empty.
    pub rule: String,
    /// The outcome, in words.
    pub outcome: String,
    /// The scope as `type/name/namespace`, or empty.
    pub scope: String,
    /// The title, or empty.
    pub title: String,
}

impl Proof {
    /// Reads the event of a test; what it leaves out is filled in.
    pub fn of(file: &Arc<str>, raw: RawTest, problems: &mut Problems) -> Option<Proof> {
        let input = match raw.event {
            RawEvent::Body { subject, body } => Input::Body { subject, body },
            RawEvent::Event(mut event) => {
                if let Some(event) = event.as_object_mut() {
                    for (name, value) in [("specversion", "1.0"), ("id", "test"), ("source", "shipwatch/rules-test")] {
                        event.entry(name).or_insert_with(|| json!(value));
                    }
                }
                match Event::from_value(event) {
                    Ok(event) => Input::Event(Box::new(event)),
                    Err(e) => {
                        problems.add(raw.at, format!("event of the test: {e}"));
                        return None;
                    }
                }
            }
        };
        Some(Proof { file: file.clone(), at: raw.at, name: raw.name, input, expect: raw.expect })
    }

    /// The event, lifted where the test gives a raw body.
    pub fn event(&self, rules: &RuleSet) -> Result<Event, String> {
        match &self.input {
            Input::Event(event) => Ok((**event).clone()),
            Input::Body { subject, body } => {
                rules.lift(subject, body).unwrap_or_else(|| Err(format!("no adapter takes bodies from {subject}")))
            }
        }
    }

    fn run(&self, rules: &RuleSet) -> TestOutcome {
        let verdict = match self.event(rules) {
            Ok(event) => rules.evaluate(&event),
            Err(reason) => Verdict::Broken { rule: "".into(), reason },
        };
        let differences = self.expect.iter().filter_map(|(field, want)| {
            let got = field_of(&verdict, field);
            (got != want.text).then(|| format!("{field} is {got:?}, expected {:?}", want.text))
        });
        let mut differences: Vec<String> = differences.collect();
        if let (Verdict::Broken { reason, .. }, false) = (&verdict, differences.is_empty()) {
            differences.push(format!("the rule cannot be applied: {reason}"));
        }
        TestOutcome {
            file: self.file.clone(),
            line: self.at.line,
            name: self.name.clone(),
            passed: differences.is_empty(),
            differences,
            rule: field_of(&verdict, "rule"),
            outcome: field_of(&verdict, "outcome"),
            scope: field_of(&verdict, "scope"),
            title: field_of(&verdict, "title"),
        }
    }
}

/// A field of a verdict by the name it has in `expect`; empty where the verdict has no such thing.
fn field_of(verdict: &Verdict, field: &str) -> String {
    let (word, rule, reason) = match verdict {
        Verdict::Signal(signal) => (signal.outcome.as_str(), &*signal.rule, ""),
        Verdict::Neutral { rule, why } => ("neutral", &**rule, &**why),
        Verdict::Ignored { rule, reason } => ("ignored", &**rule, &**reason),
        Verdict::NoRule => ("none", "", ""),
        Verdict::Broken { rule, reason } => ("broken", &**rule, &**reason),
    };
    match field {
        "outcome" => return word.to_owned(),
        "rule" => return rule.to_owned(),
        "reason" => return reason.to_owned(),
        _ => {}
    }
    let Verdict::Signal(signal) = verdict else { return String::new() };
    let texts = signal.texts.as_ref();
    match field {
        "scope" => signal.key.scope.to_string(),
        "issueType" => signal.key.issue_type.to_string(),
        "check" => signal.key.check.clone(),
        "namespace" => signal.key.namespace.clone(),
        "project" => signal.key.project.clone(),
        "stage" => signal.key.stage.clone(),
        "service" => signal.service.clone(),
        "run" => signal.run.clone(),
        "at" => signal.at.map(|t| t.to_string()).unwrap_or_default(),
        "resolves" if signal.resolves == Resolves::Scope => "scope".into(),
        "resolves" => "check".into(),
        "title" => texts.map(|t| t.title.clone()).unwrap_or_default(),
        "description" => texts.map(|t| t.description.clone()).unwrap_or_default(),
        "severity" => texts.map(|t| t.severity.to_string()).unwrap_or_default(),
        "link" => texts.and_then(|t| t.links.first()).map(|l| l.url.clone()).unwrap_or_default(),
        _ => String::new(),
    }
}

/// Runs the tests of all files of a rule set, in order.
pub fn run_tests(rules: &RuleSet) -> Vec<TestOutcome> {
    rules.inner.proofs.iter().map(|proof| proof.run(rules)).collect()
}
