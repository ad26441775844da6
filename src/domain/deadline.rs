//! `dev.shipwatch.deadline.passed`: the clock's word that nobody took a task up in time, or that somebody did not end it.
//!
//! The fold has no clock. Whoever has one puts this event into the stream, and the fold looks whether the task is still open
//! at that place. What counts as a task that is watched, as a reply and as the end is said here, for both of them.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Map;
use uuid::Uuid;

use super::call;
use super::decide::REPLAYED;
use super::decision::{Fate, Layer};
use super::event::{Data, Event};
use super::ids;
use super::issue::Origin;
use super::keptn::{Phase, Type};
use super::messages::CONTROL;
use super::row::{Entry, Head, Recorded, Row};
use super::time::Time;

/// The type, and the subject.
pub const TYPE: &str = "dev.shipwatch.deadline.passed";

/// What stands between trigger and deadline in the name of a run.
const RUN: &str = "/deadline/";

/// Which deadline of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deadline {
    /// Until anybody says anything about a trigger; counts from the trigger.
    Started,
    /// Until all who started have finished; counts from the newest `started`.
    Finished,
}

impl Deadline {
    /// Both.
    pub const ALL: [Deadline; 2] = [Deadline::Started, Deadline::Finished];

    /// The word in the event.
    pub const fn as_str(self) -> &'static str {
        match self {
            Deadline::Started => "started",
            Deadline::Finished => "finished",
        }
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// `data` of the event, labels aside, which are those of the trigger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Passed {
    /// Keptn project of the trigger.
    pub project: String,
    /// Its stage.
    pub stage: String,
    /// Its service.
    pub service: String,
    /// The task.
    pub task: String,
    /// Which deadline.
    pub deadline: Deadline,
    /// How long it is, as in the configuration.
    pub after: String,
    /// When the stream took the trigger.
    pub triggered_at: Time,
    /// When the stream took the `started` that the deadline counts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
}

impl Passed {
    /// Reads the event.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn read(event: &Event) -> Result<Passed, String> {
        let data = event.json().ok_or("it has no data")?;
        Passed::deserialize(data).map_err(|e| format!("data: {e}"))
    }

    /// The event that says so of a trigger. `time` is when the deadline passed.
    pub fn event(&self, trigger: &Event, time: Time) -> Event {
        let origin = Origin { source: trigger.source.clone(), id: trigger.id.clone() };
        let mut data = serde_json::to_value(self).unwrap_or_default();
        if let Some(labels) = trigger.json().and_then(|d| d.get("labels")).filter(|l| l.is_object()) {
            data["labels"] = labels.clone();
        }
        Event {
            id: id(&origin, self.deadline).to_string(),
            source: CONTROL.into(),
            ty: TYPE.into(),
            time: Some(time),
            subject: None,
            content_type: Some("application/json".into()),
            context: trigger.context.clone(),
            triggered_id: Some(trigger.id.clone()),
            extensions: Map::new(),
            data: Data::Json(data),
        }
    }
}

/// The id of the event: there is one for a trigger and a deadline, whoever publishes it and how often.
pub fn id(trigger: &Origin, deadline: Deadline) -> Uuid {
    ids::derive("deadline", &[&trigger.source, &trigger.id, deadline.as_str()])
}

/// The run under which a deadline of a trigger speaks: not that of the task's outcome, whose success must not be held back.
pub fn run(trigger: &str, deadline: Deadline) -> String {
    format!("{trigger}{RUN}{deadline}")
}

/// The deadline that a run is of, if it is one of this trigger.
pub fn of_run(run: &str, trigger: &str) -> Option<Deadline> {
    let word = run.strip_prefix(trigger)?.strip_prefix(RUN)?;
    Deadline::ALL.into_iter().find(|d| d.as_str() == word)
}

/// The trigger and the deadline that a journal line speaks of, whether or not the task was still open.
pub fn said(recorded: &Recorded) -> Option<(&str, Deadline)> {
    let head = recorded.head.as_ref().filter(|h| h.ty == TYPE)?;
    let trigger = head.triggered_id.as_deref()?;
    Some((trigger, of_run(recorded.decision.run.as_deref()?, trigger)?))
}

/// The task that a journal line asks for, where its deadlines are watched: somebody else has to carry it out, it is no replay
/// and no repeat, no rule ignores it, and it says where it belongs.
pub fn asked(recorded: &Recorded) -> Option<(&Head, &str)> {
    let head = recorded.head.as_ref()?;
    let Some(Type::Task { task, phase: Phase::Triggered }) = Type::parse(&head.ty) else { return None };
    let whole = ![&head.project, &head.stage, &head.service].into_iter().any(String::is_empty);
    let left_out = matches!(
        recorded.decision.fate,
        Fate::Answered | Fate::Ignored | Fate::Own | Fate::Parked | Fate::Duplicate(Layer::Id)
    );
    (whole && !left_out && recorded.decision.why != REPLAYED).then_some((head, task))
}

/// The trigger that a journal line answers, and with what. What is parked or a repeat has not been said.
pub fn reply(recorded: &Recorded) -> Option<(&str, Phase)> {
    let head = recorded.head.as_ref()?;
    let Some(Type::Task { phase, .. }) = Type::parse(&head.ty) else { return None };
    let counts = !matches!(recorded.decision.fate, Fate::Parked | Fate::Own | Fate::Duplicate(Layer::Id));
    let answers = matches!(phase, Phase::Started | Phase::StatusChanged | Phase::Finished);
    let trigger = head.triggered_id.as_deref().filter(|_| counts && answers && recorded.decision.why != REPLAYED)?;
    Some((trigger, phase))
}

/// What Shipwatch itself answers for webhooks because of a journal line: to which trigger, how often, and with what. Its replies
/// go out behind the line, but they are as good as said.
pub fn reply_of_ours(recorded: &Recorded) -> Option<(&str, usize, Phase)> {
    let (head, decision) = (recorded.head.as_ref()?, &recorded.decision);
    let started = decision.calls.iter().filter(|call| call.replies != call::Replies::None).count();
    if started > 0 {
        return Some((&head.origin.id, started, Phase::Started));
    }
    decision.report.as_ref()?.answer.as_ref()?;
    Some((head.triggered_id.as_deref()?, 1, Phase::Finished))
}

/// The sequence that a journal line ends, however it ends: context, stage and service.
pub fn ended(recorded: &Recorded) -> Option<(&str, &str, &str)> {
    let head = recorded.head.as_ref()?;
    let Some(Type::Sequence { stage, phase: Phase::Finished, .. }) = Type::parse(&head.ty) else { return None };
    let left_out = matches!(recorded.decision.fate, Fate::Own | Fate::Parked | Fate::Duplicate(Layer::Id));
    let context = head.context.as_deref().filter(|_| !left_out && recorded.decision.why != REPLAYED)?;
    Some((context, stage, &head.service))
}

/// What was answered to one trigger so far, counted as Keptn does: a task is done once as many finished as started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replies {
    /// How many started.
    pub started: u32,
    /// How many finished.
    pub finished: u32,
    /// Anybody said anything.
    heard: bool,
    done: bool,
}

impl Replies {
    /// One more reply, in the order of the stream. What comes behind the end of a task changes nothing, as in Keptn.
    pub fn add(&mut self, phase: Phase) {
        if self.done {
            return;
        }
        self.heard = true;
        match phase {
            Phase::Started => self.started = self.started.saturating_add(1),
            Phase::Finished => self.finished = self.finished.saturating_add(1),
            Phase::Triggered | Phase::StatusChanged | Phase::Invalidated => {}
        }
        self.done = self.finished > 0 && self.finished >= self.started;
    }

    /// Counts the journal lines of a trigger; gives when the newest `started` came as well.
    pub fn of<'r>(trigger: &str, rows: impl IntoIterator<Item = &'r Row>) -> (Replies, Option<Time>) {
        let (mut replies, mut started_at) = (Replies::default(), None);
        for row in rows {
            let Entry::Event(recorded) = &row.entry else { continue };
            let foreign = reply(recorded).map(|(of, phase)| (of, 1, phase));
            for (_, times, phase) in
                foreign.into_iter().chain(reply_of_ours(recorded)).filter(|(of, ..)| *of == trigger)
            {
                if phase == Phase::Started && !replies.done {
                    started_at = Some(row.stream_time);
                }
                (0..times).for_each(|_| replies.add(phase));
            }
        }
        (replies, started_at)
    }

    /// Whether the task is at its end.
    pub fn done(&self) -> bool {
        self.done
    }

    /// Whether what the deadline waits for is still to come.
    pub fn misses(&self, deadline: Deadline) -> bool {
        match deadline {
            Deadline::Started => !self.heard,
            Deadline::Finished => self.started > 0 && !self.done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(phases: &[Phase]) -> Replies {
        let mut replies = Replies::default();
        phases.iter().for_each(|p| replies.add(*p));
        replies
    }

    #[test]
    fn replies_are_counted_as_keptn_counts_them() {
        use Phase::{Finished, Started, StatusChanged};
        for (phases, starts, ends) in [
            (&[][..], true, false),
            (&[StatusChanged], false, false),
            (&[Started], false, true),
            (&[Started, Finished], false, false),
            (&[Started, Started, Finished], false, true),
            (&[Started, Started, Finished, Finished], false, false),
            // Done already: a late executor is ignored.
            (&[Started, Finished, Started], false, false),
            (&[Finished], false, false),
            (&[Finished, Started], false, false),
        ] {
            let replies = after(phases);
            assert_eq!(
                (replies.misses(Deadline::Started), replies.misses(Deadline::Finished)),
                (starts, ends),
                "{phases:?}"
            );
        }
    }
}
