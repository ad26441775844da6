//! `dev.shipwatch.parked.retry` and `dev.shipwatch.parked.drop`: somebody's word on a parked message, put into the stream by the
//! command line. The fold acts on it where it stands.

use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::event::{Data, Event};
use super::ids::Position;
use super::messages::CONTROL;

/// Decide about it again. The type, and the subject.
pub const RETRY: &str = "dev.shipwatch.parked.retry";

/// Let it go. The type, and the subject.
pub const DROP: &str = "dev.shipwatch.parked.drop";

/// How the decision about a [`DROP`] that let something go begins.
pub const DROPPED: &str = "lets go what was parked at";

/// `data` of both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// The parked message, as `/api/v1/parked` names it: its place in the journal.
    pub id: String,
    /// Its stream sequence, for those who look into the stream.
    pub sequence: u64,
}

impl Line {
    /// Of the message at a place.
    pub fn at(position: Position) -> Line {
        Line { id: position.to_string(), sequence: position.sequence() }
    }

    /// Which place an event means.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn read(event: &Event) -> Result<Position, String> {
        let line = Line::deserialize(event.json().ok_or("it has no data")?).map_err(|e| format!("data: {e}"))?;
        Position::parse(&line.id).ok_or_else(|| format!("data.id {:?} is not a place in the journal", line.id))
    }

    /// The event that says so; `ty` is [`RETRY`] or [`DROP`].
    pub fn event(&self, ty: &str, id: String) -> Event {
        Event {
            id,
            source: CONTROL.into(),
            ty: ty.into(),
            time: None,
            subject: None,
            content_type: Some("application/json".into()),
            context: None,
            triggered_id: None,
            extensions: Map::new(),
            data: Data::Json(serde_json::to_value(self).unwrap_or_default()),
        }
    }
}
