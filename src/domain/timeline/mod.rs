//! What happened in one `shkeptncontext`, folded from its journal lines: stages, sequences, tasks, executors, issues.
//!
//! The order is that of the stream, as everywhere; `time` is only shown. Whether a task is complete follows Keptn's own rule,
//! which counts (as many `finished` as `started`, and at least one), whoever sent them.

mod fold;
mod line;
mod outcome;
mod state;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use fold::{Known, fold};
pub use line::Line;
pub use state::State;

use super::issue::ChangeKind;
use super::time::Time;

/// One context, from its first event to its newest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// `shkeptncontext`.
    pub keptn_context: String,
    /// The sequence it began with; null where it has none.
    pub name: Option<String>,
    /// Keptn project.
    pub project: String,
    /// Keptn service.
    pub service: String,
    /// How far it is; null where it has no sequence.
    pub state: Option<State>,
    /// The worst result of the sequences that have ended, those that were aborted left out.
    pub result: Option<String>,
    /// Title of the problem it is about.
    pub problem: Option<String>,
    /// Time of the event its first sequence began with, or else of the first event.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub triggered_at: Option<Time>,
    /// End of the sequence that ended last; null while one is open.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Time>,
    /// From the one to the other.
    pub duration_seconds: Option<f64>,
    /// Events it was made from.
    pub events: u64,
    /// There are more events than were read; the oldest are left out.
    pub truncated: bool,
    /// In the order in which they came into play.
    pub stages: Vec<Stage>,
    /// Issues changed by events that belong to no sequence and no task.
    pub issues: Vec<IssueChange>,
    /// Trouble that was reported for no task.
    pub logs: Vec<Trouble>,
}

/// One stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TimelineStage)]
pub struct Stage {
    /// Its name; empty for events that name none.
    pub name: String,
    /// State of its newest sequence; null where it has none.
    pub state: Option<State>,
    /// The newest event of a sequence or a task.
    pub latest_event: Option<EventRef>,
    /// Its sequences, in the order of their triggers.
    pub sequences: Vec<Sequence>,
    /// Tasks that were asked for while no sequence was open here.
    pub tasks: Vec<Task>,
}

/// Which event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EventRef {
    /// `type`.
    #[serde(rename = "type")]
    pub ty: String,
    /// `id`.
    pub id: String,
    /// `source`.
    pub source: String,
    /// `time`.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub time: Option<Time>,
}

/// One execution of a sequence.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TimelineSequence)]
pub struct Sequence {
    /// Its name.
    pub name: String,
    /// `id` of its trigger; null where its `finished` names none.
    pub triggered_id: Option<String>,
    /// Who asked for it; null where the trigger is not kept.
    pub triggered_by: Option<String>,
    /// How far it is.
    pub state: State,
    /// `status` of its end.
    pub status: Option<String>,
    /// `result` of its end.
    pub result: Option<String>,
    /// `message` of its end.
    pub message: Option<String>,
    /// When it was asked for.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub triggered_at: Option<Time>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Time>,
    /// From the trigger to the end.
    pub duration_seconds: Option<f64>,
    /// Its tasks, in order.
    pub tasks: Vec<Task>,
    /// Issues changed by its own events.
    pub issues: Vec<IssueChange>,
}

/// One task that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = TimelineTask)]
pub struct Task {
    /// Its name.
    pub name: String,
    /// `id` of its trigger.
    pub triggered_id: Option<String>,
    /// How far it is.
    pub state: State,
    /// Whether Keptn counts it as done: as many `finished` as `started`, and at least one.
    pub complete: bool,
    /// `status` merged over what has been finished in time.
    pub status: Option<String>,
    /// `result` merged over what has been finished in time.
    pub result: Option<String>,
    /// When it was asked for; null where the trigger is not kept.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub triggered_at: Option<Time>,
    /// When the first executor began.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Time>,
    /// When the last executor ended; null while it is not complete.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Time>,
    /// From the trigger, or else the first executor, to the end.
    pub duration_seconds: Option<f64>,
    /// When its outcome was taken back.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub invalidated_at: Option<Time>,
    /// Who took it on, in the order of their first word.
    pub executors: Vec<Executor>,
    /// Issues changed by its events.
    pub issues: Vec<IssueChange>,
    /// Trouble that was reported for it.
    pub logs: Vec<Trouble>,
}

/// What one integration did for one task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Executor {
    /// `source` of its events.
    pub source: String,
    /// Whether it is Shipwatch itself.
    pub by_shipwatch: bool,
    /// It came, or ended, when the task was complete or its sequence had been cut off: Keptn ignores that.
    pub late: bool,
    /// `started`.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Time>,
    /// `finished`.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Time>,
    /// From the one to the other.
    pub duration_seconds: Option<f64>,
    /// `status` of its end.
    pub status: Option<String>,
    /// `result` of its end.
    pub result: Option<String>,
    /// `message` of its end.
    pub message: Option<String>,
    /// Each `status.changed`.
    pub progress: Vec<Progress>,
}

/// One `status.changed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Progress {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// What it says.
    pub message: Option<String>,
}

/// An issue that an event changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssueChange {
    /// Its id.
    pub id: Uuid,
    /// Its number; null where it is not kept any more.
    pub number: Option<u64>,
    /// What happened to it.
    pub change: ChangeKind,
    /// Its title as it is now.
    pub title: Option<String>,
    /// The event.
    pub event_id: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
}

/// A `sh.keptn.log.error`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Trouble {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// Who reports it.
    pub source: String,
    /// What it says.
    pub message: Option<String>,
}

impl Timeline {
    /// All its sequences, stage by stage.
    pub fn sequences(&self) -> impl Iterator<Item = &Sequence> {
        self.stages.iter().flat_map(|stage| &stage.sequences)
    }
}
