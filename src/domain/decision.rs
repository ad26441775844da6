//! What the fold decided about one event, as a value: recorded in the journal, acted on after the commit.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::call::{Call, Report};
use super::ids::{KeyId, ScopeId};
use super::issue::{ChangeKind, Key, Marks, Newest, Outcome};
use super::time::Time;

/// The record of one event's fate. Everything shown by `events why` comes from here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// What became of it.
    pub fate: Fate,
    /// What the event says. `Neutral` where it says nothing.
    pub outcome: Outcome,
    /// The rule that decided.
    pub rule: Option<String>,
    /// Why, in words.
    pub why: String,
    /// The key it speaks of.
    pub key: Option<Key>,
    /// The run it belongs to.
    pub run: Option<String>,
    /// The time that counts for lateness.
    pub at: Time,
    /// Records of keys that this event changed, with what they were before.
    pub changes: Vec<Change>,
    /// The scope whose newest success this event set, with what it was before.
    pub scope_success: Option<(ScopeId, Option<Newest>)>,
    /// The answer to a trigger of ours.
    pub answer: Option<Answer>,
    /// First 12 hex digits of the hash of the rule set in force.
    pub rule_set: String,
    /// Webhooks that are called because of it.
    pub calls: Vec<Call>,
    /// What it reports about an earlier call.
    pub report: Option<Report>,
}

/// What became of an event. A closed list: it labels metrics and fills `outcome` and `layer` of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Fate {
    /// Its outcome counted.
    Applied,
    /// Written down; decides nothing.
    Recorded,
    /// A rule says to ignore it.
    Ignored,
    /// Its outcome had been counted already.
    Duplicate(Layer),
    /// A newer event had spoken already, or it is older than what is kept.
    Stale,
    /// Its outcome was taken back by an `invalidated` event.
    Withdrawn,
    /// Published by Shipwatch itself.
    Own,
    /// Could not be handled; kept whole with the reason in `why`.
    Parked,
    /// A task of ours, answered.
    Answered,
}

/// Which of the dedup layers recognised a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Layer {
    /// Same `source` and `id`.
    Id,
    /// Same key, run and outcome.
    Run,
}

impl Layer {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Layer::Id => "id",
            Layer::Run => "run",
        }
    }
}

impl Decision {
    /// The word for `outcome` in the API and in metrics: the event's outcome, or the fate that kept it from counting.
    pub fn outcome_word(&self) -> &'static str {
        match self.fate {
            Fate::Stale => "stale",
            Fate::Duplicate(_) => "duplicate",
            Fate::Parked => "parked",
            Fate::Ignored => "ignored",
            Fate::Withdrawn => "withdrawn",
            Fate::Applied | Fate::Recorded | Fate::Own | Fate::Answered => self.outcome.as_str(),
        }
    }

    /// All words [`Decision::outcome_word`] can give.
    pub const OUTCOME_WORDS: &'static [&'static str] =
        &["neutral", "success", "warning", "failure", "stale", "duplicate", "parked", "ignored", "withdrawn"];
}

/// One key's record was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Whose record.
    pub key: KeyId,
    /// What happened to the issue; none where only the newest run was noted.
    pub kind: Option<ChangeKind>,
    /// The record before, so that an invalidation can take the event back and history can say what was shown when.
    pub before: Option<Arc<Marks>>,
}

/// The answer to a trigger of ours: one `started`, one `finished`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The task's name, as in the type of the trigger.
    pub task: String,
    /// Whether the task could be carried out.
    pub status: Status,
    /// What it came to.
    pub result: ResultWord,
    /// For people.
    pub message: String,
    /// `data.<task>`, JSON text.
    pub block: String,
}

/// Keptn's `status` of a `.finished`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The tool ran.
    Succeeded,
    /// The tool could not run.
    Errored,
}

/// Keptn's `result` of a `.finished`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResultWord {
    /// All is well.
    Pass,
    /// Not quite.
    Warning,
    /// Not.
    Fail,
}
