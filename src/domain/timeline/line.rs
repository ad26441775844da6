//! What a timeline reads of one journal line.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::domain::decision::{Change, Fate, Layer};
use crate::domain::event::Event;
use crate::domain::ids::Position;
use crate::domain::issue::Issue;
use crate::domain::messages::Message;
use crate::domain::row::{Head, Recorded};
use crate::domain::text::one_line;
use crate::domain::time::Time;

/// One event of a context.
#[derive(Clone, Debug)]
pub struct Line {
    /// Where it stands in the stream.
    pub position: Position,
    pub(super) head: Head,
    /// `time`, or when the stream took it.
    pub(super) at: Time,
    pub(super) said: Said,
    pub(super) changes: Vec<Change>,
}

/// The members of `data` that a timeline shows. What has another type than it should have is as good as absent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Said {
    #[serde(deserialize_with = "words")]
    pub status: Option<String>,
    #[serde(deserialize_with = "words")]
    pub result: Option<String>,
    #[serde(deserialize_with = "words")]
    pub message: Option<String>,
    #[serde(rename = "ProblemTitle", deserialize_with = "words")]
    problem_title: Option<String>,
    #[serde(deserialize_with = "problem_of_remediation")]
    problem: Option<String>,
}

impl Said {
    /// The title of the problem that a problem report or a remediation is about.
    pub fn problem(&self) -> Option<String> {
        self.problem_title.clone().or_else(|| self.problem.clone())
    }
}

fn words<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(text(&Value::deserialize(from)?))
}

fn problem_of_remediation<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Value::deserialize(from)?.get("problemTitle").and_then(text))
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(one_line)
}

#[derive(Deserialize)]
struct Body {
    data: Option<Said>,
}

impl Said {
    fn read(payload: &[u8]) -> Said {
        // Nothing but these members is built: a chain's payload may be large.
        match serde_json::from_slice(payload) {
            Ok(Body { data: Some(said) }) => said,
            Ok(Body { data: None }) => {
                let event = Event::from_json(payload).ok();
                event.and_then(|e| Said::deserialize(e.json()?).ok()).unwrap_or_default()
            }
            Err(_) => Said::default(),
        }
    }
}

impl Line {
    /// Whether a sequence was asked for by it, or ended.
    pub fn is_of_sequence(&self) -> bool {
        self.head.sequence().is_some()
    }

    /// Somebody else's event, if it belongs to this context. A repeat says nothing new, and what is parked has not been said.
    pub fn of_event(position: Position, stream_time: Time, recorded: &Recorded, context: &str) -> Option<Line> {
        let said_nothing = matches!(recorded.decision.fate, Fate::Duplicate(Layer::Id) | Fate::Parked);
        // A parked trigger that was answered did begin something.
        if said_nothing && recorded.decision.answer.is_none() && recorded.decision.calls.is_empty() {
            return None;
        }
        let head = recorded.head.as_ref().filter(|head| head.context.as_deref() == Some(context))?;
        Some(Line {
            position,
            head: head.clone(),
            at: head.time.unwrap_or(stream_time),
            said: Said::read(&recorded.payload),
            changes: recorded.decision.changes.clone(),
        })
    }

    /// A message of our own that stands in the stream at `position`, if it belongs to this context.
    pub fn of_message(position: Position, stream_time: Time, message: &Message, context: &str) -> Option<Line> {
        let event = Event::from_json(&message.body).ok()?;
        let head = Head::of(&event);
        let mine = head.context.as_deref() == Some(context);
        let at = head.time.unwrap_or(stream_time);
        mine.then(|| Line { position, head, at, said: Said::read(&message.body), changes: Vec::new() })
    }
}

/// Number and title of an issue as a change found it.
pub(super) fn found(change: &Change) -> Option<(u64, String)> {
    let issue: &Issue = change.before.as_ref()?.issue.as_ref()?;
    Some((issue.number, issue.title.clone()))
}
