//! Several journal lines in one record.
//!
//! Lines packed together take a fraction of the bytes, and one record instead of sixteen is what makes the engine fast: it pays
//! by the record. A block ends after a fixed count of lines or bytes, never with a group. Lines whose block is not full yet
//! stand alone, as blocks of one, and are replaced by the block in the commit that fills it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::journal::{self, Line, Marks};
use super::packing;
use crate::domain::ids::Position;
use crate::domain::row::Row;
use crate::domain::time::Time;

/// Lines in a full block.
pub const LINES: usize = 16;
/// Bytes of lines, not packed, that make a block full.
const BYTES: usize = 64 << 10;
const VERSION: u8 = 3;

/// Whether these lines fill a block.
pub fn is_full<'a>(lines: impl ExactSizeIterator<Item = &'a Line>) -> bool {
    lines.len() >= LINES || lines.map(|line| line.bytes.len()).sum::<usize>() >= BYTES
}

/// What stands before the packed lines: enough for retention, which reads no further.
#[derive(Serialize, Deserialize)]
struct Head {
    lines: Vec<Place>,
    /// Whether the lines are packed; not where that would make them longer.
    packed: bool,
}

/// One line, relative to the one before it.
#[derive(Serialize, Deserialize)]
struct Place {
    position: u64,
    seconds: i64,
    nanos: u32,
    len: u32,
}

/// Encodes a block.
pub fn encode<'a>(lines: impl IntoIterator<Item = &'a Line>) -> Vec<u8> {
    let (mut position, mut seconds) = (0, 0);
    let (mut places, mut plain) = (Vec::with_capacity(LINES), Vec::new());
    for line in lines {
        let (p, s) = (line.position.to_u64(), line.time.unix_seconds());
        let place = Place {
            position: p.wrapping_sub(position),
            seconds: s.wrapping_sub(seconds),
            nanos: line.time.nanos(),
            len: line.bytes.len() as u32,
        };
        (position, seconds) = (p, s);
        places.push(place);
        plain.extend_from_slice(&line.bytes);
    }
    let mut head = Head { lines: places, packed: true };
    let body = match packing::pack(&plain) {
        Ok(packed) if packed.len() < plain.len() => packed,
        Ok(_) | Err(_) => {
            head.packed = false;
            plain
        }
    };
    let start = Vec::with_capacity(body.len() + 16 * head.lines.len());
    // Writing to memory cannot fail for these types.
    let mut bytes = postcard::to_extend(&(VERSION, head), start).unwrap_or_default();
    bytes.extend_from_slice(&body);
    bytes
}

/// A block whose head has been read.
#[derive(Debug)]
pub struct Block {
    version: u8,
    /// Position, stream time, and end of the bytes of each line.
    lines: Vec<(Position, Time, usize)>,
    packed: bool,
    /// Where the body begins.
    body: usize,
}

impl Block {
    /// Reads the head of a block from its first chunk; `at` is the position in its key.
    pub fn head(at: Position, first: &[u8]) -> Result<Block, Error> {
        let (&version, rest) = first.split_first().ok_or_else(|| corrupt(at, "it is empty"))?;
        if !(1..=VERSION).contains(&version) {
            return Err(Error::version(format!("journal line {at}"), version, VERSION));
        }
        let (head, body) = postcard::take_from_bytes::<Head>(rest).map_err(|e| corrupt(at, e))?;
        let (mut position, mut seconds, mut end) = (0u64, 0i64, 0usize);
        let mut lines = Vec::with_capacity(head.lines.len());
        for place in &head.lines {
            position = position.wrapping_add(place.position);
            seconds = seconds.wrapping_add(place.seconds);
            end += place.len as usize;
            let time = Time::from_unix(seconds, place.nanos).ok_or_else(|| corrupt(at, "its time is out of range"))?;
            lines.push((Position::from_u64(position), time, end));
        }
        if lines.is_empty() {
            return Err(corrupt(at, "it has no lines"));
        }
        Ok(Block { version, lines, packed: head.packed, body: first.len() - body.len() })
    }

    /// Positions and stream times of the lines, in order.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = (Position, Time)> {
        self.lines.iter().map(|(position, time, _)| (*position, *time))
    }

    /// The position of the first line.
    pub fn first(&self) -> Position {
        self.lines[0].0
    }

    /// The position of the last line.
    pub fn last(&self) -> Position {
        self.lines[self.lines.len() - 1].0
    }

    /// Decodes the lines for which `wanted` holds, in order; `bytes` is the whole block.
    pub fn rows(&self, bytes: &[u8], wanted: impl Fn(Position) -> bool) -> Result<Vec<(Arc<Row>, Marks)>, Error> {
        let mut rows = Vec::new();
        if self.lines.iter().any(|(position, ..)| wanted(*position)) {
            self.each(bytes, |position, time, line| {
                if wanted(position) {
                    rows.push(journal::decode(self.version, position, time, line)?);
                }
                Ok(())
            })?;
        }
        Ok(rows)
    }

    /// The lines as they were before they were packed; older ones in the form of today, since they go on into a new block.
    pub fn unpacked(&self, bytes: &[u8]) -> Result<Vec<Line>, Error> {
        let mut lines = Vec::with_capacity(self.lines.len());
        self.each(bytes, |position, time, line| {
            lines.push(match self.version {
                VERSION => Line { position, time, bytes: line.to_vec() },
                old => {
                    let (row, marks) = journal::decode(old, position, time, line)?;
                    journal::encode(&row, &marks)
                }
            });
            Ok(())
        })?;
        Ok(lines)
    }

    fn each(
        &self,
        bytes: &[u8],
        mut each: impl FnMut(Position, Time, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (at, _, len) = (self.lines[0].0, self.lines[0].1, self.lines[self.lines.len() - 1].2);
        let body = bytes.get(self.body..).unwrap_or_default();
        let unpacked;
        let plain = if self.packed {
            unpacked = packing::unpack(body, len).map_err(|e| corrupt(at, e))?;
            &unpacked
        } else {
            body
        };
        let mut from = 0;
        for (position, time, end) in &self.lines {
            let line = plain.get(from..*end).ok_or_else(|| corrupt(*position, "it is cut"))?;
            each(*position, *time, line)?;
            from = *end;
        }
        Ok(())
    }
}

fn corrupt(position: Position, problem: impl ToString) -> Error {
    Error::Corrupt { what: format!("journal line {position}"), problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use crate::domain::row::{Entry, Own, OwnKind};

    fn round_trip(rows: &[(Row, Marks)]) -> usize {
        let lines: Vec<Line> = rows.iter().map(|(row, marks)| journal::encode(row, marks)).collect();
        let bytes = encode(&lines);
        let block = Block::head(rows[0].0.position, &bytes).unwrap();
        let back = block.rows(&bytes, |_| true).unwrap();
        assert!(back.iter().zip(rows).all(|(back, row)| *back.0 == row.0 && back.1 == row.1));
        assert_eq!(back.len(), rows.len());
        assert_eq!(block.last(), rows[rows.len() - 1].0.position);
        assert_eq!(block.unpacked(&bytes).unwrap(), lines);
        bytes.len()
    }

    #[test]
    fn lines_come_back_as_they_were() {
        let marked = |row: Row| {
            let marks = journal::marks(&row, Marks::new());
            (row, marks)
        };
        let event = samples::failure(7, "cart", "test");
        let alone = round_trip(&[marked(event.clone())]);
        let block: Vec<_> = (7..23).map(|n| marked(samples::failure(n, "cart", "test"))).collect();
        let together = round_trip(&block) / 16;
        assert!(together < alone * 3 / 4, "{together} and alone {alone}");
        let Entry::Event(recorded) = &event.entry else { unreachable!() };
        assert!(alone < recorded.payload.len() * 3 / 4, "{alone} of {}", recorded.payload.len());

        let own = Own { of: Position::new(3, 0), kind: OwnKind::Issue(2) };
        let own = Row { entry: Entry::Own(own), ..samples::failure(30, "cart", "test") };
        round_trip(&[marked(event.clone()), (own, [1, u64::MAX].into_iter().collect())]);

        let mut noise = event;
        let Entry::Event(recorded) = &mut noise.entry else { unreachable!() };
        recorded.payload = samples::noise(1 << 20).into();
        round_trip(&[marked(noise.clone())]);
        let Entry::Event(recorded) = &mut noise.entry else { unreachable!() };
        (recorded.payload, recorded.head) = (bytes::Bytes::new(), None);
        round_trip(&[marked(noise)]);
    }

    /// Written by the version before webhooks were called: a failure, and a message of Shipwatch's own.
    #[test]
    fn blocks_of_the_first_version_are_read_and_go_on_in_the_form_of_today() {
        let bytes = include_bytes!("fixtures/block-1.bin");
        let block = Block::head(Position::new(7, 0), bytes).unwrap();
        let rows = block.rows(bytes, |_| true).unwrap();
        assert_eq!(*rows[0].0, samples::failure(7, "cart", "test"));
        assert!(matches!(rows[1].0.entry, Entry::Own(Own { kind: OwnKind::Issue(2), .. })));
        let again = encode(&block.unpacked(bytes).unwrap());
        assert_eq!(again[0], VERSION);
        let block = Block::head(Position::new(7, 0), &again).unwrap();
        assert_eq!(block.rows(&again, |_| true).unwrap(), rows);
    }

    /// Written by the version before parked messages were decided about again: the same lines.
    #[test]
    fn blocks_of_the_second_version_are_read_too() {
        let bytes = include_bytes!("fixtures/block-2.bin");
        assert_eq!(bytes[0], 2);
        let block = Block::head(Position::new(7, 0), bytes).unwrap();
        let rows = block.rows(bytes, |_| true).unwrap();
        assert_eq!(*rows[0].0, samples::failure(7, "cart", "test"));
        assert!(matches!(rows[1].0.entry, Entry::Own(Own { kind: OwnKind::Issue(2), .. })));
        let again = encode(&block.unpacked(bytes).unwrap());
        let block = Block::head(Position::new(7, 0), &again).unwrap();
        assert_eq!(block.rows(&again, |_| true).unwrap(), rows);
    }

    #[test]
    fn broken_bytes_are_an_error_that_names_the_line() {
        let at = Position::new(7, 0);
        let bytes = encode(&[journal::encode(&samples::failure(7, "cart", "test"), &[])]);
        let read = |bytes: &[u8]| Block::head(at, bytes).and_then(|block| block.rows(bytes, |_| true));
        for broken in [&[][..], &[0, 1, 1], &bytes[..bytes.len() / 2], &bytes[..3], &[VERSION, 0, 1]] {
            let error = read(broken).unwrap_err();
            assert!(error.to_string().starts_with("journal line 7 cannot be read"), "{error}");
            assert!(error.is_fatal());
        }
    }
}
