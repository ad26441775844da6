//! Names and numbers that identify things. All of them derive from events, so a fresh fold gives the same ones.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Root of all UUIDv5 that Shipwatch derives; itself the UUIDv5 of `shipwatch.dev` in the DNS name space of RFC 9562.
pub const NAMESPACE: Uuid = Uuid::from_u128(0xd4c4_0db3_b3a0_5e1b_a15d_b12b_d468_0251);

/// UUIDv5 of a list of words. The words are joined as length and text, so `["a","bc"]` and `["ab","c"]` differ.
pub fn derive(kind: &str, words: &[&str]) -> Uuid {
    let mut name = Vec::with_capacity(kind.len() + 1 + words.iter().map(|w| w.len() + 5).sum::<usize>());
    name.extend_from_slice(kind.as_bytes());
    for word in words {
        name.push(0);
        name.extend_from_slice(&(word.len() as u32).to_be_bytes());
        name.extend_from_slice(word.as_bytes());
    }
    Uuid::new_v5(&NAMESPACE, &name)
}

/// Where an event stands in the stream: the stream sequence, and the element within a batch message.
///
/// One `u64`, ordered as the fold goes: 48 bits of sequence, 16 bits of element.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(u64);

impl Position {
    /// Elements a batch may have; a longer one is parked whole.
    pub const MAX_BATCH: usize = 1 << 16;

    /// Behind every line.
    pub const MAX: Position = Position(u64::MAX);

    /// The position of `element` (0 for a message that holds one event) of the message with stream sequence `sequence`.
    pub const fn new(sequence: u64, element: u16) -> Position {
        Position(sequence << 16 | element as u64)
    }

    /// The stream sequence.
    pub const fn sequence(self) -> u64 {
        self.0 >> 16
    }

    /// The element within the batch, 0 for a single event.
    pub const fn element(self) -> u16 {
        self.0 as u16
    }

    /// As an ordered number, for keys.
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// From [`Position::to_u64`].
    pub const fn from_u64(n: u64) -> Position {
        Position(n)
    }

    /// Reads `17` or `17.2`.
    pub fn parse(text: &str) -> Option<Position> {
        let (sequence, element) = text.split_once('.').unwrap_or((text, "0"));
        let sequence: u64 = sequence.parse().ok().filter(|s| *s < 1 << 48)?;
        Some(Position::new(sequence, element.parse().ok()?))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.element() {
            0 => write!(f, "{}", self.sequence()),
            element => write!(f, "{}.{element}", self.sequence()),
        }
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Id of an issue and of the state kept for its key: UUIDv5 of the [`crate::domain::issue::Key`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub Uuid);

/// Id of a scope: UUIDv5 of its three parts, and of project and stage where they are given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScopeId(pub Uuid);

macro_rules! show_as_uuid {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    )*};
}
show_as_uuid!(KeyId, ScopeId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_do_not_run_together() {
        assert_ne!(derive("k", &["a", "bc"]), derive("k", &["ab", "c"]));
        assert_ne!(derive("k", &["a", ""]), derive("k", &["a"]));
    }

    #[test]
    fn positions_order_like_the_stream() {
        assert!(Position::new(1, 5) < Position::new(2, 0));
        assert_eq!(Position::parse("7.3"), Some(Position::new(7, 3)));
        assert_eq!(Position::new(7, 0).to_string(), "7");
    }
}
