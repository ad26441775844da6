//! A sealed part of the index: the marks of a run of journal lines, sorted, never changed, removed as a whole.
//!
//! Entries are 16 bytes, the mark and the position, both big-endian, in chunks whose keys hold the first mark. A look-up that
//! the filter lets through is one ordered seek.

use serde::{Deserialize, Serialize};
use sled::{Batch, Tree};

use super::chunks;
use super::error::Error;
use super::filter::{Filter, Probe};
use super::journal::Marks;
use super::keyspace;
use super::record::{self, Record};
use crate::domain::ids::Position;

const ENTRY: usize = 16;
const ENTRIES: usize = chunks::CHUNK / ENTRY;

/// One segment, as kept in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Segments are numbered from 0 in the order of sealing.
    pub number: u32,
    /// Where its lines lie.
    pub span: Span,
    filter: Filter,
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First line.
    pub first: Position,
    /// Last line.
    pub last: Position,
    /// Entries, that is, pairs of mark and line.
    pub entries: u32,
}

impl Record for Span {
    const VERSION: u8 = 1;
}

/// A segment that has not been written yet.
pub struct Sealed {
    number: u32,
    pub span: Span,
    filter: Filter,
    entries: Vec<(u64, Position)>,
}

/// Sorts the marks of these lines, of which there is at least one.
pub fn seal<'a>(number: u32, lines: impl Iterator<Item = (Position, &'a Marks)>) -> Sealed {
    let (mut first, mut last) = (None, Position::from_u64(0));
    let mut entries = Vec::new();
    for (position, marks) in lines {
        first = first.or(Some(position));
        last = position;
        entries.extend(marks.iter().map(|mark| (*mark, position)));
    }
    entries.sort_unstable();
    entries.dedup();
    let mut marks: Vec<u64> = entries.iter().map(|(mark, _)| *mark).collect();
    marks.dedup();
    let filter = Filter::of(marks.len(), marks.into_iter());
    let span = Span { first: first.unwrap_or(last), last, entries: entries.len() as u32 };
    Sealed { number, span, filter, entries }
}

impl Sealed {
    /// Writes it.
    pub fn write(&self, batch: &mut Batch) {
        let mut value = Vec::with_capacity(ENTRIES * ENTRY);
        for (ordinal, chunk) in self.entries.chunks(ENTRIES).enumerate() {
            value.clear();
            for (mark, position) in chunk {
                value.extend_from_slice(&mark.to_be_bytes());
                value.extend_from_slice(&position.to_u64().to_be_bytes());
            }
            batch.insert(&keyspace::segment_entries(self.number, chunk[0].0, ordinal as u32), &value[..]);
        }
        chunks::write(batch, &keyspace::segment_filter(self.number), &self.filter.to_bytes());
        batch.insert(&keyspace::segment_head(self.number), record::encode(&self.span));
    }

    /// What is kept in memory of it.
    pub fn into_memory(self) -> Segment {
        Segment { number: self.number, span: self.span, filter: self.filter }
    }
}

impl Segment {
    /// Reads what is kept in memory of the segment with this number; `head` is the value of its header.
    pub fn load(tree: &Tree, number: u32, head: &[u8]) -> Result<Segment, Error> {
        let what = || format!("index segment {number}");
        let broken = |problem: String| Error::Corrupt { what: what(), problem };
        let span: Span = record::decode(head, what)?;
        let key = keyspace::segment_filter(number);
        let first = tree.get(key).map_err(|e| broken(e.to_string()))?;
        let first = first.ok_or_else(|| broken("its filter is missing".to_owned()))?;
        let bytes = chunks::read(tree, &key, &first).map_err(|e| broken(e.to_string()))?;
        let filter = Filter::from_bytes(&bytes).ok_or_else(|| broken("its filter is cut".to_owned()))?;
        Ok(Segment { number, span, filter })
    }

    /// Adds the lines that carry the mark to `found`, in order.
    pub fn find(&self, tree: &Tree, probe: &Probe, found: &mut Vec<Position>) -> sled::Result<()> {
        if !self.filter.maybe(probe) {
            return Ok(());
        }
        let mark = probe.mark();
        // The chunk in which the mark would begin is the last one that begins before it.
        let low = keyspace::segment_entries(self.number, 0, 0);
        let here = keyspace::segment_entries(self.number, mark, 0);
        let start = tree.range(low..here).next_back().transpose()?;
        let start = start.map_or_else(|| here.to_vec(), |(key, _)| key.to_vec());
        let end = keyspace::segment_entries(self.number, mark, u32::MAX).to_vec();
        for chunk in tree.range(start..=end).values() {
            let chunk = chunk?;
            let (entries, _) = chunk.as_chunks::<ENTRY>();
            let wanted = mark.to_be_bytes();
            let from = entries.partition_point(|e| e[..8] < wanted[..]);
            let hits = entries[from..].iter().take_while(|e| e[..8] == wanted);
            found
                .extend(hits.filter_map(|e| Some(u64::from_be_bytes(e[8..].try_into().ok()?))).map(Position::from_u64));
        }
        Ok(())
    }

    /// Removes all its records.
    pub fn remove(&self, tree: &Tree, batch: &mut Batch) -> sled::Result<()> {
        for key in tree.scan_prefix(keyspace::segment(self.number)).keys() {
            batch.remove(key?);
        }
        Ok(())
    }
}
