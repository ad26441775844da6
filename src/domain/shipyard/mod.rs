//! A shipyard: which stages there are, the sequences of each, the tasks of each sequence, and which sequence begins
//! when another one has finished (Keptn Shipyard 0.2.x).
//!
//! [`Shipyard::read`] tells everything that keeps the file from being understood; [`lint()`] tells what is understood and will
//! not do what its author hopes.

mod duration;
mod lint;
mod read;

pub use lint::{Finding, Known, Level, lint};

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::rules::At;
use super::yaml::Node;
pub use super::yaml::fields::Text;

/// The name of the task, and of the sequence, that Keptn provides where a stage does not define it.
pub const EVALUATION: &str = "evaluation";

/// One shipyard file.
#[derive(Clone, Debug)]
pub struct Shipyard {
    /// The file, as it was named when it was read.
    pub file: Arc<str>,
    /// The stages in the order of the file.
    pub stages: Vec<Stage>,
    head: Head,
}

/// What stands above the stages, and what Keptn itself does not look at.
#[derive(Clone, Debug)]
struct Head {
    at: At,
    api_version: Text,
    kind: Option<Text>,
    name: Option<Text>,
}

/// One stage.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its name.
    pub name: Text,
    /// Its sequences in the order of the file.
    pub sequences: Vec<Sequence>,
}

/// One sequence.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// Its name.
    pub name: Text,
    /// What begins it, beside somebody who asks for it. Any of them suffices.
    pub triggered_on: Vec<Trigger>,
    /// Its tasks in order.
    pub tasks: Vec<Task>,
}

/// One entry of `triggeredOn`.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// The event, `<stage>.<sequence>.finished`.
    pub event: Text,
    /// `selector.match` where it stands there, be it empty; without it `pass` and `warning` fire.
    pub matches: Option<Match>,
}

/// `selector.match`.
#[derive(Clone, Debug)]
pub struct Match {
    /// Where it stands.
    pub at: At,
    /// Keys and values.
    pub pairs: Vec<(Text, Text)>,
}

/// One task.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its name, the middle of its events' types.
    pub name: Text,
    /// `triggeredAfter` as it is written.
    pub triggered_after: Option<Text>,
    properties: Option<Node>,
}

impl Shipyard {
    /// The stage of this name; of several the first, as Keptn takes it.
    pub fn stage(&self, name: &str) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.name.text == name)
    }

    /// What to run for a sequence of a stage, by Keptn's rules: one without tasks counts as missing, and `evaluation` is there even
    /// where the stage does not define it.
    ///
    /// # Errors
    /// Says what is missing, in the words Keptn's event would carry.
    pub fn tasks_of(&self, stage: &str, sequence: &str) -> Result<Vec<Task>, String> {
        let Some(found) = self.stage(stage) else { return Err(format!("no stage with name {stage}")) };
        match found.sequences.iter().find(|s| s.name.text == sequence) {
            Some(found) if found.tasks.is_empty() => Err(format!("sequence {sequence} does not contain any tasks")),
            Some(found) => Ok(found.tasks.clone()),
            None if sequence == EVALUATION => Ok(vec![Task::builtin(EVALUATION)]),
            None => Err(format!("no sequence with name {sequence} found in stage {stage}")),
        }
    }

    /// All sequences with the stages they belong to, in the order of the file.
    pub fn sequences(&self) -> impl Iterator<Item = (&Stage, &Sequence)> {
        self.stages.iter().flat_map(|stage| stage.sequences.iter().map(move |sequence| (stage, sequence)))
    }
}

impl Trigger {
    /// Stage and sequence whose end it waits for; none where the event is not of that form.
    pub fn of(&self) -> Option<(&str, &str)> {
        let (stage, sequence) = self.event.text.strip_suffix(".finished")?.split_once('.')?;
        (!stage.is_empty() && !sequence.is_empty() && !sequence.contains('.')).then_some((stage, sequence))
    }
}

impl Match {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().rfind(|(k, _)| k.text == key).map(|(_, value)| value.text.as_str())
    }
}

impl Task {
    fn builtin(name: &str) -> Task {
        Task { name: Text { at: At::default(), text: name.into() }, triggered_after: None, properties: None }
    }

    /// `properties`, which become part of the task's block in `data`.
    pub fn properties(&self) -> Option<Value> {
        self.properties.as_ref().map(Node::to_json)
    }

    /// How long to wait before the task is triggered. What cannot be read is no time, as with Keptn.
    pub fn delay(&self) -> Duration {
        let nanos = self.triggered_after.as_ref().and_then(|text| duration::nanos(&text.text)).unwrap_or_default();
        Duration::from_nanos(u64::try_from(nanos).unwrap_or_default())
    }
}
