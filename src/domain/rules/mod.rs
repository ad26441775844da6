//! Rules: what an event says about which thing. Written in YAML, compiled once, matched without state.

mod adapter;
mod compile;
mod condition;
mod engine;
mod explain;
mod expr;
mod fields;
mod glob;
mod index;
mod lint;
mod names;
mod path;
pub(crate) mod problem;
mod proof;
mod raw;
mod rule;
mod set;
mod subject;
mod template;
mod webhook;
pub(crate) mod yaml;

pub use adapter::Adapter;
pub use explain::{Checked, Entry, Explanation, Outcome as Told, Said, Tried};
pub use lint::{Finding, FindingKind, lint};
pub use problem::{At, Problem};
pub use proof::{TestOutcome, run_tests};
pub use set::{Listed, RuleSet};
pub use subject::Subject;
pub use webhook::{SecretRef, Webhook};

use std::collections::BTreeMap;
use std::sync::Arc;

use super::issue::{Key, Link, Outcome, Severity};
use super::time::Time;

/// What a rule made of one event.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It says success, warning or failure of a check.
    Signal(Box<Signal>),
    /// A rule fits, and the event decides nothing.
    Neutral {
        /// The rule that fits.
        rule: Arc<str>,
        /// Which condition made it neutral, in words.
        why: String,
    },
    /// A rule says to ignore it.
    Ignored {
        /// The rule.
        rule: Arc<str>,
        /// The reason it gives.
        reason: String,
    },
    /// No rule fits.
    NoRule,
    /// A rule fits and cannot be applied, for example because a path its templates need is missing. The event is parked.
    Broken {
        /// The rule.
        rule: Arc<str>,
        /// What is missing or wrong, by name.
        reason: String,
    },
}

/// A decisive event: its outcome, the key it speaks of, and the texts of the issue where it is a failure.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// The rule that matched.
    pub rule: Arc<str>,
    /// Success, warning or failure; never neutral.
    pub outcome: Outcome,
    /// Which issue.
    pub key: Key,
    /// Id of one execution; outcomes of one run merge.
    pub run: String,
    /// When it happened: the rule's `at`, else the event's time; none where neither is given (then the stream's time holds).
    pub at: Option<Time>,
    /// What a success resolves.
    pub resolves: Resolves,
    /// Keptn service, or empty.
    pub service: String,
    /// The texts; present for failure and warning.
    pub texts: Option<Texts>,
}

/// What a success resolves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolves {
    /// The issue with the same key.
    Check,
    /// Every active issue of the scope.
    Scope,
}

/// What an issue shows, rendered from an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Texts {
    /// One line.
    pub title: String,
    /// As much as the event says.
    pub description: String,
    /// How bad.
    pub severity: Severity,
    /// Links that have a URL.
    pub links: Vec<Link>,
    /// Labels of the event.
    pub labels: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests;
