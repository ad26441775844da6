//! Which stream is folded, and how far.

use serde::{Deserialize, Serialize};

use super::ids::Position;
use super::time::Time;

/// A stream. Another one under the same name begins a new count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamIdentity {
    /// Name of the stream.
    pub name: String,
    /// When it was created.
    pub created: Time,
}

/// How far the fold is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// The stream.
    pub stream: StreamIdentity,
    /// Sequence of the last message folded, as the stream counts.
    pub sequence: u64,
    /// When the stream took it.
    pub time: Time,
    /// Sequences of streams folded before lie up to here; positions count on from it.
    pub base: u64,
}

impl Reached {
    /// The position of an element of the message with this stream sequence.
    pub fn position(&self, sequence: u64, element: u16) -> Position {
        Position::new(self.base + sequence, element)
    }
}
