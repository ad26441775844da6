//! Finding journal lines by a mark: event id, context, run, key.
//!
//! An index with random keys in sled costs more than everything else together. So postings are kept in memory for the
//! newest lines, and every [`Postings::size`] lines they are written once, sorted, as an immutable segment with a Bloom
//! filter. A lookup asks the tail, and one ordered seek in each segment whose filter says maybe. Boundaries depend on
//! the count of lines alone, so a fresh fold writes the same segments.

use std::collections::HashMap;

use fastbloom::BloomFilter;
use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};
use smallvec::SmallVec;

use super::space::{self, POSTINGS, SEGMENTS, key};
use super::{Error, record};
use crate::domain::ids::Position;

/// Lines of a segment.
pub const SEGMENT: u32 = 32_768;

/// Entries of one stored piece: 16 bytes each, and a value stays under 8 kB.
const PIECE: usize = 400;

/// About one false alarm in a hundred.
const BITS: usize = 10;
const HASHES: u32 = 6;
const SEED: u128 = 0x5350_5741;

/// Where lines with a mark stand.
#[derive(Debug)]
pub struct Postings {
    size: u32,
    tail: HashMap<u64, SmallVec<[Position; 2]>, Plain>,
    tail_lines: u32,
    segments: Vec<Segment>,
}

/// Marks are hashes already.
type Plain = std::hash::BuildHasherDefault<Identity>;

/// Hands the hash through.
#[derive(Debug, Default)]
pub struct Identity(u64);

impl std::hash::Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

#[derive(Debug)]
struct Segment {
    number: u32,
    last: Position,
    filter: BloomFilter,
}

/// What is stored of a segment besides its entries.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    last: Position,
    filter: Vec<u64>,
}

impl Postings {
    /// Reads the segments; the tail is empty until [`Postings::add`] is called for the lines behind the last segment.
    pub fn open(tree: &Tree, size: u32) -> Result<Postings, Error> {
        let mut segments = Vec::new();
        for entry in space::scan(tree, SEGMENTS) {
            let (key, value) = entry?;
            let number = u32::from_be_bytes(key[1..].try_into().map_err(|_| Error::Broken("segment key".into()))?);
            let stored: Stored = record::decode("segment", &value)?;
            let filter = BloomFilter::from_vec(stored.filter).seed(&SEED).hashes(HASHES);
            segments.push(Segment { number, last: stored.last, filter });
        }
        Ok(Postings { size, tail: HashMap::default(), tail_lines: 0, segments })
    }

    /// The last position of the last segment.
    pub fn sealed(&self) -> Option<Position> {
        self.segments.last().map(|s| s.last)
    }

    /// Lines in the tail.
    pub fn tail_lines(&self) -> u32 {
        self.tail_lines
    }

    /// Sets the count of lines in the tail, some of which retention may have removed.
    pub fn set_tail_lines(&mut self, lines: u32) {
        self.tail_lines = lines;
    }

    /// Adds a line; seals a segment into `batch` where it is the last of one.
    pub fn add(&mut self, position: Position, marks: &[u64], batch: &mut Batch) -> Result<(), Error> {
        self.note(position, marks);
        self.tail_lines += 1;
        if self.tail_lines >= self.size {
            self.seal(position, batch)?;
        }
        Ok(())
    }

    /// Adds a line that is stored already.
    pub fn note(&mut self, position: Position, marks: &[u64]) {
        for mark in marks {
            self.tail.entry(*mark).or_default().push(position);
        }
    }

    fn seal(&mut self, last: Position, batch: &mut Batch) -> Result<(), Error> {
        let number = self.segments.last().map_or(0, |s| s.number + 1);
        let mut entries: Vec<(u64, Position)> =
            self.tail.drain().flat_map(|(mark, positions)| positions.into_iter().map(move |p| (mark, p))).collect();
        entries.sort_unstable();
        let bits = (entries.len() * BITS).next_multiple_of(64).max(64);
        let mut filter = BloomFilter::with_num_bits(bits).seed(&SEED).hashes(HASHES);
        for (mark, _) in &entries {
            filter.insert_hash(*mark);
        }
        for (ordinal, piece) in entries.chunks(PIECE).enumerate() {
            let mut value = Vec::with_capacity(piece.len() * 16);
            for (mark, position) in piece {
                value.extend_from_slice(&mark.to_be_bytes());
                value.extend_from_slice(&position.to_u64().to_be_bytes());
            }
            batch.insert(piece_key(number, piece[0].0, ordinal as u32), value);
        }
        let stored = Stored { last, filter: filter.as_slice().to_vec() };
        space::put(batch, &key(SEGMENTS, &number.to_be_bytes()), &record::encode(&stored)?, None);
        self.segments.push(Segment { number, last, filter });
        self.tail_lines = 0;
        Ok(())
    }

    /// Positions of lines that may carry the mark, in order.
    pub fn find(&self, tree: &Tree, mark: u64) -> Result<SmallVec<[Position; 4]>, Error> {
        let mut found = SmallVec::new();
        for segment in &self.segments {
            if segment.filter.contains_hash(mark) {
                find_in(tree, segment.number, mark, &mut found)?;
            }
        }
        if let Some(positions) = self.tail.get(&mark) {
            found.extend_from_slice(positions);
        }
        Ok(found)
    }

    /// Removes segments all of whose lines are before `first`.
    pub fn drop_before(&mut self, first: Position, tree: &Tree, batch: &mut Batch) -> Result<(), Error> {
        while self.segments.first().is_some_and(|s| s.last < first) {
            let Segment { number, .. } = self.segments.remove(0);
            for entry in tree.scan_prefix(key(POSTINGS, &number.to_be_bytes())).keys() {
                batch.remove(entry?);
            }
            let at = key(SEGMENTS, &number.to_be_bytes());
            if let Some(stored) = tree.get(&at)? {
                space::remove(batch, &at, &stored);
            }
        }
        Ok(())
    }
}

fn piece_key(segment: u32, first: u64, ordinal: u32) -> Vec<u8> {
    let mut key = key(POSTINGS, &segment.to_be_bytes());
    key.extend_from_slice(&first.to_be_bytes());
    key.extend_from_slice(&ordinal.to_be_bytes());
    key
}

fn find_in(tree: &Tree, segment: u32, mark: u64, found: &mut SmallVec<[Position; 4]>) -> Result<(), Error> {
    // The piece before the first that begins with the mark may end with it.
    let from = piece_key(segment, mark, 0);
    let before = tree.range(piece_key(segment, 0, 0)..from.clone()).next_back();
    let upto = tree.range(from..=piece_key(segment, mark, u32::MAX));
    for entry in before.into_iter().chain(upto) {
        let (_, value) = entry?;
        let entries: Vec<&[u8]> = value.chunks_exact(16).collect();
        let start = entries.partition_point(|e| e[..8] < mark.to_be_bytes()[..]);
        for e in entries[start..].iter().take_while(|e| e[..8] == mark.to_be_bytes()[..]) {
            let mut position = [0; 8];
            position.copy_from_slice(&e[8..]);
            found.push(Position::from_u64(u64::from_be_bytes(position)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(24))]
        #[test]
        fn finds_what_a_plain_map_finds(lines in proptest::collection::vec(proptest::collection::vec(0u64..200, 0..5), 1..2000)) {
            let db = sled::Config::new().temporary(true).open().unwrap();
            let mut postings = Postings::open(&db, 700).unwrap();
            let mut model: HashMap<u64, Vec<Position>> = HashMap::new();
            for (n, marks) in lines.iter().enumerate() {
                let position = Position::new(n as u64 + 1, 0);
                let mut batch = Batch::default();
                postings.add(position, marks, &mut batch).unwrap();
                db.apply_batch(batch).unwrap();
                marks.iter().for_each(|m| model.entry(*m).or_default().push(position));
            }
            for mark in 0..210u64 {
                let found = postings.find(&db, mark).unwrap();
                proptest::prop_assert_eq!(found.as_slice(), model.get(&mark).map_or(&[][..], |v| v.as_slice()));
            }
        }
    }
}
