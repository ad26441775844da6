//! A context in the list of sequences.

use serde::{Deserialize, Serialize};

use crate::domain::time::Time;
use crate::domain::timeline::{EventRef, Stage, State, Timeline};

/// One context in short.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SequenceInShort)]
pub struct SequenceView {
    /// `shkeptncontext`.
    pub keptn_context: String,
    /// The sequence it began with.
    pub name: String,
    /// Keptn project.
    pub project: String,
    /// Keptn service.
    pub service: String,
    /// How far it is.
    pub state: State,
    /// The worst result of the sequences that have ended, those that were aborted left out.
    pub result: Option<String>,
    /// Title of the problem it is about.
    pub problem: Option<String>,
    /// Time of the event its first sequence began with.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub triggered_at: Option<Time>,
    /// End of the sequence that ended last; null while one is open.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Time>,
    /// From the one to the other.
    pub duration_seconds: Option<f64>,
    /// In the order in which they came into play.
    pub stages: Vec<StageView>,
}

/// A stage in short.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StageInShort)]
pub struct StageView {
    /// Its name.
    pub name: String,
    /// State of its newest sequence; null where it has none.
    pub state: Option<State>,
    /// The newest event of a sequence or a task.
    pub latest_event: Option<EventRef>,
}

impl SequenceView {
    /// In short; none for a context without a sequence.
    pub fn of(timeline: Timeline) -> Option<SequenceView> {
        let stage = |stage: Stage| StageView { name: stage.name, state: stage.state, latest_event: stage.latest_event };
        Some(SequenceView {
            keptn_context: timeline.keptn_context,
            name: timeline.name?,
            project: timeline.project,
            service: timeline.service,
            state: timeline.state?,
            result: timeline.result,
            problem: timeline.problem,
            triggered_at: timeline.triggered_at,
            finished_at: timeline.finished_at,
            duration_seconds: timeline.duration_seconds,
            stages: timeline.stages.into_iter().map(stage).collect(),
        })
    }
}
