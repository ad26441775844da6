//! What has happened, to be shown and logged.

use serde::Serialize;

use super::execution::Execution;
use super::payload::Common;
use super::{Status, Verdict};
use crate::domain::event::Event;
use crate::domain::time::Time;

/// One thing that has happened. Members that say nothing are left out of its JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// When.
    pub at: Time,
    /// What.
    pub step: What,
    /// The context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keptn_context: Option<String>,
    /// The stage.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stage: String,
    /// The sequence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sequence: String,
    /// The task.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub task: String,
    /// Who sent the event.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Type of the event.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub ty: String,
    /// Id of the event.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What the event answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub triggered_id: Option<String>,
    /// Until when a task waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Its status.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// Its result.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub result: String,
    /// What is said about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// The kind of a [`Step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A sequence began.
    SequenceStarted,
    /// A task waits for its `triggeredAfter`.
    TaskDelayed,
    /// A task waits for another sequence of its stage.
    TaskHeld,
    /// A task was triggered.
    TaskTriggered,
    /// Somebody began to work on a task.
    ExecutorStarted,
    /// Somebody tells of progress.
    ExecutorProgress,
    /// Somebody is done with a task.
    ExecutorFinished,
    /// All who began are done.
    TaskFinished,
    /// A sequence ended.
    SequenceFinished,
    /// An event that changes nothing, and why.
    Ignored,
}

impl Step {
    pub(super) fn of(execution: &Execution, step: What, at: Time) -> Step {
        let (stage, sequence) = (execution.stage.clone(), execution.sequence.clone());
        Step { stage, sequence, ..Step::bare(step, at, execution.context.clone()) }
    }

    pub(super) fn ignored(event: &Event, at: Time, why: String) -> Step {
        Step { message: why, ..Step::bare(What::Ignored, at, event.context.clone()) }.by(event)
    }

    fn bare(step: What, at: Time, keptn_context: Option<String>) -> Step {
        let none = String::new;
        let (stage, sequence, task, source, ty, id) = (none(), none(), none(), none(), none(), none());
        let (status, result, message) = (none(), none(), none());
        let (triggered_id, until) = (None, None);
        Step {
            at,
            step,
            keptn_context,
            stage,
            sequence,
            task,
            source,
            ty,
            id,
            triggered_id,
            until,
            status,
            result,
            message,
        }
    }

    pub(super) fn task(self, task: &str) -> Step {
        Step { task: task.to_owned(), ..self }
    }

    /// The event it is about.
    pub(super) fn by(self, event: &Event) -> Step {
        let (source, ty, id) = (event.source.clone(), event.ty.clone(), event.id.clone());
        Step { source, ty, id, triggered_id: event.triggered_id.clone(), ..self }
    }

    pub(super) fn until(self, until: Time) -> Step {
        Step { until: Some(until), ..self }
    }

    pub(super) fn outcome(self, status: Status, verdict: Verdict, message: &str) -> Step {
        Step { status: status.as_str().into(), result: verdict.as_str().into(), message: message.to_owned(), ..self }
    }

    /// What an executor says. A `.started` repeats the outcome of the task before, which would only mislead.
    pub(super) fn said(self, common: &Common) -> Step {
        let finished = self.step == What::ExecutorFinished;
        let of = |text: &str| if finished { text.to_owned() } else { String::new() };
        Step { status: of(&common.status), result: of(&common.result), message: common.message.clone(), ..self }
    }
}
