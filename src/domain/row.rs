//! One line of the journal: an event as it came, and what was decided about it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::call::Reporter;
use super::decision::{Decision, Fate, Layer};
use super::event::{Event, Form};
use super::ids::{KeyId, Position};
use super::issue::Origin;
use super::keptn::{Phase, Type};
use super::time::Time;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Where it stands in the stream.
    pub position: Position,
    /// When the stream took it.
    pub stream_time: Time,
    /// What it is.
    pub entry: Entry,
}

/// What a journal line holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// Somebody else's event, or a message that cannot be read.
    Event(Box<Recorded>),
    /// An event that Shipwatch published itself and has seen come back. Its bytes can be made again from the line that caused it.
    Own(Own),
}

/// Somebody else's event with its decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// How it was carried.
    pub form: Form,
    /// The NATS subject.
    pub subject: String,
    /// What listings filter by; none where the message cannot be read.
    pub head: Option<Head>,
    /// What was decided.
    pub decision: Decision,
    /// Where it was parked before, if somebody asked for it to be decided again here.
    pub retry: Option<Retry>,
    /// The event's JSON as it came (binary messages in their JSON form), or the bytes that could not be read.
    #[serde(skip)]
    pub payload: Bytes,
}

/// A parked message was decided about again: the line is as if it had come here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Where it was parked.
    pub of: Position,
    /// The event at this place, which asked for it.
    pub by: Origin,
}

/// Which message of Shipwatch's own came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Own {
    /// The line that caused it.
    pub of: Position,
    /// Which of the messages caused by that line.
    pub kind: OwnKind,
}

/// The messages that one event can cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum OwnKind {
    /// `sh.keptn.event.<task>.started`.
    Started,
    /// `sh.keptn.event.<task>.finished`.
    Finished,
    /// `dev.shipwatch.issue.*` for the change with this index.
    Issue(u32),
    /// `sh.keptn.event.<task>.started` for the call with this index.
    CallStarted(u32),
    /// Not a message: the call with this index, which is owed as messages are.
    Call(u32),
}

/// The attributes of an event that listings filter by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// `source` and `id`.
    pub origin: Origin,
    /// `type`.
    pub ty: String,
    /// `time`.
    pub time: Option<Time>,
    /// `shkeptncontext`.
    pub context: Option<String>,
    /// `triggeredid`.
    pub triggered_id: Option<String>,
    /// `data.project`, or empty.
    pub project: String,
    /// `data.stage`, or empty.
    pub stage: String,
    /// `data.service`, or empty.
    pub service: String,
}

impl Head {
    /// The head of an event.
    pub fn of(event: &Event) -> Head {
        let text = |member| event.text(member).unwrap_or_default().to_owned();
        Head {
            origin: Origin { source: event.source.clone(), id: event.id.clone() },
            ty: event.ty.clone(),
            time: event.time,
            context: event.context.clone(),
            triggered_id: event.triggered_id.clone(),
            project: text("project"),
            stage: text("stage"),
            service: text("service"),
        }
    }

    /// The sequence that this event asks for or ends.
    pub fn sequence(&self) -> Option<&str> {
        match Type::parse(&self.ty) {
            Some(Type::Sequence { sequence, phase: Phase::Triggered | Phase::Finished, .. }) => Some(sequence),
            _ => None,
        }
    }
}

/// What journal lines are found by. Only a 64-bit hash of a mark is kept, so whoever looks one up checks the line it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark<'a> {
    /// The `id` of an event, of any source.
    EventId(&'a str),
    /// `shkeptncontext`.
    Context(&'a str),
    /// The run of a decisive event, or the `triggeredid` of any.
    Run(&'a str),
    /// A key of which the event speaks, whether or not it changed anything.
    Key(KeyId),
    /// A sequence was asked for, or has ended. The same mark for all of them: its newest lines lead to the newest sequences.
    Sequences,
}

impl Mark<'_> {
    /// The hash kept in the index.
    pub fn hash(self) -> u64 {
        use xxhash_rust::xxh3::xxh3_64_with_seed as hash;
        match self {
            Mark::EventId(text) => hash(text.as_bytes(), 1),
            Mark::Context(text) => hash(text.as_bytes(), 2),
            Mark::Run(text) => hash(text.as_bytes(), 3),
            Mark::Key(id) => hash(id.0.as_bytes(), 4),
            Mark::Sequences => hash(&[], 5),
        }
    }
}

impl Recorded {
    /// The call that this line settles, by reporting that it was made.
    pub fn settles(&self) -> Option<Own> {
        let report = self.decision.report.as_ref().filter(|report| report.by == Reporter::Caller)?;
        Some(Own { of: report.of, kind: OwnKind::Call(report.call) })
    }

    /// The calls that this line owes.
    pub fn calls(&self) -> impl Iterator<Item = OwnKind> {
        (0..self.decision.calls.len() as u32).map(OwnKind::Call)
    }

    /// The hashes of all marks of this line, each once.
    pub fn hashes(&self) -> SmallVec<[u64; 6]> {
        let mut hashes = SmallVec::new();
        self.marks(|mark| {
            let hash = mark.hash();
            if !hashes.contains(&hash) {
                hashes.push(hash);
            }
        });
        hashes
    }

    /// Calls `each` with every mark of this line.
    pub fn marks(&self, mut each: impl FnMut(Mark<'_>)) {
        // A repeat is found by the line it repeats. A source that gives each event the same id would make every look-up longer.
        let repeat = self.decision.fate == Fate::Duplicate(Layer::Id);
        if let Some(retry) = &self.retry {
            each(Mark::EventId(&retry.by.id));
        }
        if let Some(head) = &self.head {
            if !repeat {
                each(Mark::EventId(&head.origin.id));
            }
            if let Some(context) = &head.context {
                each(Mark::Context(context));
            }
        }
        if repeat {
            return;
        }
        let run = self.decision.run.as_deref();
        let answered = self.head.as_ref().and_then(|h| h.triggered_id.as_deref()).filter(|t| run != Some(*t));
        run.into_iter().chain(answered).for_each(|run| each(Mark::Run(run)));
        let own = self.decision.key.as_ref().map(super::issue::Key::id);
        if let Some(id) = own {
            each(Mark::Key(id));
        }
        for change in self.decision.changes.iter().filter(|c| Some(c.key) != own) {
            each(Mark::Key(change.key));
        }
        if self.head.as_ref().is_some_and(|head| head.context.is_some() && head.sequence().is_some()) {
            each(Mark::Sequences);
        }
    }
}
