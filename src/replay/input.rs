//! What a source hands to a fold.

use crate::bus::Message;
use crate::bus::binding::Reading;
use crate::domain::ids::Position;

/// One message, or one event of a journal.
#[derive(Clone, Debug)]
pub struct Input {
    /// As the stream would hold it.
    pub message: Message,
    /// Its event, where the source knows it already.
    pub reading: Option<Reading>,
    /// Lies in the range asked for. What does not is there for the rules that it carries.
    pub within: bool,
    /// Kept even where nobody names its subject: a line that somebody wrote into a file.
    pub kept: bool,
}

impl Input {
    /// A message of the range.
    pub(super) fn of(message: Message) -> Input {
        Input { message, reading: None, within: true, kept: false }
    }

    /// Where its first event stands.
    pub(super) fn position(&self) -> Position {
        Position::new(self.message.sequence, self.reading.as_ref().map_or(0, |r| r.element))
    }
}
