//! The bytes of a journal line, before lines are packed into blocks.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::error::Error;
use super::journal_1::Recorded1;
use super::journal_2::Recorded2;
use crate::domain::ids::Position;
use crate::domain::row::{Entry, Own, Recorded, Row};
use crate::domain::time::Time;

/// The hashes a line is found by ([`crate::domain::row::Mark::hash`]).
pub type Marks = SmallVec<[u64; 6]>;

/// What a line begins with.
#[derive(Serialize, Deserialize)]
enum Body {
    /// A message of Shipwatch's own, with its marks, since its bytes are not kept.
    Own(Own, Vec<u64>),
    /// The record of somebody else's event follows, and its payload to the end.
    Event,
}

/// A line as it goes into a block.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub position: Position,
    pub time: Time,
    pub bytes: Vec<u8>,
}

/// The marks of a line; `own` are those of a message of Shipwatch's own, whose bytes are not in the line.
pub fn marks(row: &Row, own: Marks) -> Marks {
    match &row.entry {
        Entry::Event(recorded) => recorded.hashes(),
        Entry::Own(_) => own,
    }
}

/// Encodes a line. Of `marks` only those of a message of Shipwatch's own are stored; those of other events follow from the line.
pub fn encode(row: &Row, marks: &[u64]) -> Line {
    // Writing to memory cannot fail for these types.
    let bytes = match &row.entry {
        Entry::Own(own) => postcard::to_allocvec(&Body::Own(*own, marks.to_vec())).unwrap_or_default(),
        Entry::Event(recorded) => {
            let room = Vec::with_capacity(recorded.payload.len() + 512);
            let mut bytes = postcard::to_extend(&(Body::Event, recorded), room).unwrap_or_default();
            bytes.extend_from_slice(&recorded.payload);
            bytes
        }
    };
    Line { position: row.position, time: row.stream_time, bytes }
}

/// Decodes a line and its marks, of a block of this version.
pub fn decode(version: u8, position: Position, stream_time: Time, bytes: &[u8]) -> Result<(Arc<Row>, Marks), Error> {
    let corrupt =
        |e: postcard::Error| Error::Corrupt { what: format!("journal line {position}"), problem: e.to_string() };
    let (body, rest) = postcard::take_from_bytes(bytes).map_err(corrupt)?;
    match body {
        Body::Own(own, marks) => {
            let row = Row { position, stream_time, entry: Entry::Own(own) };
            Ok((Arc::new(row), marks.into()))
        }
        Body::Event => {
            let (mut recorded, payload) = match version {
                1 => postcard::take_from_bytes::<Recorded1>(rest).map(|(old, payload)| (Recorded::from(old), payload)),
                2 => postcard::take_from_bytes::<Recorded2>(rest).map(|(old, payload)| (Recorded::from(old), payload)),
                _ => postcard::take_from_bytes::<Recorded>(rest),
            }
            .map_err(corrupt)?;
            // Copied, so that one line does not keep a whole block in memory.
            recorded.payload = Bytes::copy_from_slice(payload);
            let row = Row { position, stream_time, entry: Entry::Event(Box::new(recorded)) };
            let marks = marks(&row, Marks::new());
            Ok((Arc::new(row), marks))
        }
    }
}
