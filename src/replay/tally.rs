//! What a fold came to, in numbers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::domain::decide::Decided;
use crate::domain::decision::Fate;
use crate::domain::ids::Position;
use crate::domain::issue::ChangeKind;
use crate::domain::row::Entry;

/// Counts of a fold. The same events give the same; how long rules took is kept apart ([`Slowest`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// Events folded.
    pub events: u64,
    /// Events that no pack, rule or adapter names.
    pub passed_over: u64,
    /// Events by what became of them.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Changes of issues by their kind.
    pub issues: BTreeMap<&'static str, u64>,
    /// Events that were parked.
    pub parked: u64,
    /// Rules that could not be applied to events that they fit.
    pub failing_rules: BTreeMap<String, Failing>,
}

/// What a rule could not be applied to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failing {
    /// How many events.
    pub events: u64,
    /// Where the first of them stands.
    pub first: String,
    /// Its id.
    pub event_id: String,
    /// What was missing or wrong.
    pub why: String,
}

impl Tally {
    /// All there is to count, with nothing counted.
    pub fn new() -> Tally {
        let kinds = [ChangeKind::Opened, ChangeKind::Updated, ChangeKind::Reopened, ChangeKind::Resolved];
        Tally { issues: kinds.map(|kind| (kind.as_str(), 0)).into(), ..Tally::default() }
    }

    /// Counts one event.
    pub fn add(&mut self, position: Position, decided: &Decided) {
        self.events += 1;
        let recorded = match &decided.row.entry {
            Entry::Own(_) => {
                *self.outcomes.entry("own").or_default() += 1;
                return;
            }
            Entry::Event(recorded) => recorded,
        };
        let decision = &recorded.decision;
        let word = if decision.fate == Fate::Own { "own" } else { decision.outcome_word() };
        *self.outcomes.entry(word).or_default() += 1;
        for kind in decision.changes.iter().filter_map(|change| change.kind) {
            *self.issues.entry(kind.as_str()).or_default() += 1;
        }
        if decision.fate != Fate::Parked {
            return;
        }
        self.parked += 1;
        if let Some(rule) = &decision.rule {
            let first = || Failing {
                events: 0,
                first: position.to_string(),
                event_id: recorded.head.as_ref().map(|h| h.origin.id.clone()).unwrap_or_default(),
                why: decision.why.clone(),
            };
            self.failing_rules.entry(rule.clone()).or_insert_with(first).events += 1;
        }
    }
}

/// Time that events spent in rules, by the rule that decided. Differs from run to run.
#[derive(Clone, Debug, Default)]
pub struct Slowest(BTreeMap<Arc<str>, (u64, Duration)>);

impl Slowest {
    pub(super) fn note(&mut self, rule: &Arc<str>, took: Duration) {
        match self.0.get_mut(rule) {
            Some((events, sum)) => {
                *events += 1;
                *sum += took;
            }
            None => {
                self.0.insert(rule.clone(), (1, took));
            }
        }
    }

    pub(super) fn merge(&mut self, other: Slowest) {
        for (rule, (events, took)) in other.0 {
            let entry = self.0.entry(rule).or_default();
            entry.0 += events;
            entry.1 += took;
        }
    }

    /// The rule that took the most time in all, its events, and that time.
    pub fn rule(&self) -> Option<(&str, u64, Duration)> {
        let (rule, (events, took)) = self.0.iter().max_by_key(|(_, (_, took))| *took)?;
        Some((rule, *events, *took))
    }
}
