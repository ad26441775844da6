//! One run of one sequence.

use serde_json::Value;

use super::payload::Common;
use super::{Ending, Object, SOURCE, Status, Tasks, Verdict};
use crate::domain::event::{Data, Event};
use crate::domain::shipyard::Task;
use crate::domain::time::Time;

/// The version of Keptn's specification that is spoken.
const SPEC_VERSION: &str = "0.2.4";

/// One run of one sequence.
#[derive(Debug)]
pub(super) struct Execution {
    /// The id of the event that asked for it.
    pub trigger: String,
    pub context: Option<String>,
    pub commit: Option<String>,
    pub project: String,
    pub stage: String,
    pub service: String,
    pub sequence: String,
    /// The `data` of that event.
    pub input: Object,
    tasks: Tasks,
    /// The tasks that are complete.
    pub done: Vec<Done>,
    /// The task that is triggered, or about to be.
    pub current: Option<Current>,
    /// What the last `.finished` says in general; at first what the trigger says.
    pub last: Common,
    pub state: State,
}

/// Where a run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Started,
    /// Holds no other sequence up.
    WaitingForApproval,
    Ended(Ending),
}

/// A task that is complete.
#[derive(Debug)]
pub(super) struct Done {
    pub task: String,
    /// The `data` of everything that finished it, merged.
    pub properties: Value,
    pub status: Status,
    pub verdict: Verdict,
}

/// A task that is not.
#[derive(Debug)]
pub(super) struct Current {
    pub task: String,
    pub event: Event,
    pub due: Time,
    pub sent: Option<Time>,
    /// It was said that another sequence holds it up.
    pub held: bool,
    /// When the first event came that answers it, of whatever kind.
    pub answered: Option<Time>,
    pub started: usize,
    pub finished: Vec<Object>,
}

impl Current {
    pub fn new(task: String, event: Event, due: Time) -> Current {
        Current { task, event, due, sent: None, held: false, answered: None, started: 0, finished: Vec::new() }
    }

    /// Keptn only counts; who started and who finished does not matter.
    pub fn is_complete(&self) -> bool {
        !self.finished.is_empty() && self.finished.len() == self.started
    }
}

impl Execution {
    pub fn new(event: &Event, sequence: &str, common: Common, tasks: Tasks) -> Execution {
        Execution {
            trigger: event.id.clone(),
            context: event.context.clone(),
            commit: event.extension("gitcommitid").filter(|c| !c.is_empty()).map(str::to_owned),
            project: common.project.clone(),
            stage: common.stage.clone(),
            service: common.service.clone(),
            sequence: sequence.to_owned(),
            input: super::payload::data_of(event),
            tasks,
            done: Vec::new(),
            current: None,
            last: common,
            state: State::Started,
        }
    }

    pub fn runs(&self) -> bool {
        !matches!(self.state, State::Ended(_))
    }

    pub fn same_place(&self, other: &Execution) -> bool {
        (&self.project, &self.stage, &self.service) == (&other.project, &other.stage, &other.service)
    }

    /// The task to go on with; none at the end, and where the last one stops the sequence. `aborted` and `warning` do not.
    pub fn next_task(&self) -> Option<Task> {
        let stops = |last: &Done| last.verdict == Verdict::Fail || last.status == Status::Errored;
        if self.done.last().is_some_and(stops) { None } else { self.tasks.get(self.done.len()).cloned() }
    }

    /// An event of this run's context.
    pub fn event(&self, id: String, ty: String, time: Time, data: Object) -> Event {
        let mut extensions = Object::new();
        extensions.insert("shkeptnspecversion".into(), SPEC_VERSION.into());
        Event {
            id,
            source: SOURCE.into(),
            ty,
            time: Some(time),
            subject: None,
            content_type: Some("application/json".into()),
            context: self.context.clone(),
            triggered_id: None,
            extensions,
            data: Data::Json(Value::Object(data)),
        }
    }
}
