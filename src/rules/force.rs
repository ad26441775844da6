//! The rules in force, ready to be asked by the reader, which judges ahead of the fold.

use std::sync::Arc;

use crate::domain::event::Event;
use crate::domain::ids::Position;
use crate::domain::rules::{RuleSet, Subject, Verdict};

/// The fold's word about its rules. Cheap to clone.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The set.
    pub set: RuleSet,
    /// It holds for the events behind this position.
    pub since: Position,
}

/// One rule set. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RulesInForce {
    set: RuleSet,
    subjects: Arc<[Subject]>,
    short: Arc<str>,
}

impl RulesInForce {
    /// From a set.
    pub fn new(set: RuleSet) -> RulesInForce {
        let subjects = set.subjects().iter().filter_map(|s| Subject::any(s)).collect();
        RulesInForce { subjects, short: set.short_hash().into(), set }
    }

    /// The set.
    pub fn set(&self) -> &RuleSet {
        &self.set
    }

    /// Short hash of the set.
    pub fn short(&self) -> &Arc<str> {
        &self.short
    }

    /// What the set makes of an event.
    pub fn evaluate(&self, event: &Event) -> Verdict {
        self.set.evaluate(event)
    }

    /// Whether a pack, a rule or an adapter names this subject or type.
    pub fn names(&self, subject: &str) -> bool {
        self.subjects.iter().any(|s| s.matches(subject))
    }
}
