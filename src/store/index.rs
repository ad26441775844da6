//! Which journal lines carry a mark: an unsealed tail in memory, and sealed segments on disk.
//!
//! Written as one growing index, the random inserts would cost more than everything else an event does. So marks wait in the
//! tail, which a start rebuilds from the journal, and go to disk sorted, in a segment, once a fixed number of lines is there.
//! Where a segment ends depends on the count of lines alone, never on groups or time, so a fresh fold gives the same bytes.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use sled::Tree;
use smallvec::SmallVec;

use super::filter::Probe;
use super::journal::Marks;
use super::segment::Segment;
use crate::domain::ids::Position;

/// Marks are hashes already.
#[derive(Default)]
pub struct AsIs(u64);

impl Hasher for AsIs {
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

/// Lines by mark.
pub type ByMark = HashMap<u64, SmallVec<[Position; 2]>, BuildHasherDefault<AsIs>>;

/// The index.
#[derive(Default)]
pub struct Index {
    tail: VecDeque<(Position, Marks)>,
    by_mark: ByMark,
    segments: Vec<Segment>,
}

impl Index {
    /// The lines that may carry `mark`, in order.
    pub fn find(&self, tree: &Tree, mark: u64) -> sled::Result<Vec<Position>> {
        let mut found = Vec::new();
        let probe = Probe::of(mark);
        for segment in &self.segments {
            segment.find(tree, &probe, &mut found)?;
        }
        found.extend(self.by_mark.get(&mark).into_iter().flatten());
        Ok(found)
    }

    /// The newest `limit` lines before `before` that may carry `mark`, in order.
    pub fn find_newest(&self, tree: &Tree, mark: u64, before: Position, limit: usize) -> sled::Result<Vec<Position>> {
        let newest = |lines: &[Position], limit: usize| {
            let lines = &lines[..lines.partition_point(|p| *p < before)];
            lines[lines.len().saturating_sub(limit)..].to_vec()
        };
        let mut found = newest(self.by_mark.get(&mark).map_or(&[][..], SmallVec::as_slice), limit);
        let probe = Probe::of(mark);
        for segment in self.segments.iter().rev().filter(|s| s.span.first < before) {
            if found.len() >= limit {
                break;
            }
            let mut older = Vec::new();
            segment.find(tree, &probe, &mut older)?;
            let mut older = newest(&older, limit - found.len());
            older.append(&mut found);
            found = older;
        }
        Ok(found)
    }

    /// The unsealed lines.
    pub fn tail(&self) -> impl Iterator<Item = (Position, &Marks)> {
        self.tail.iter().map(|(position, marks)| (*position, marks))
    }

    /// The sealed segments.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Takes in a line behind all others.
    pub fn push(&mut self, position: Position, marks: Marks) {
        for mark in &marks {
            self.by_mark.entry(*mark).or_default().push(position);
        }
        self.tail.push_back((position, marks));
    }

    /// Forgets the unsealed lines up to `last`: they are in a segment now.
    pub fn trim(&mut self, last: Position) {
        if self.tail.front().is_none_or(|(p, _)| *p > last) {
            return;
        }
        while self.tail.front().is_some_and(|(p, _)| *p <= last) {
            self.tail.pop_front();
        }
        self.by_mark.clear();
        for (position, marks) in &self.tail {
            for mark in marks {
                self.by_mark.entry(*mark).or_default().push(*position);
            }
        }
    }

    /// Takes in a segment behind all others.
    pub fn push_segment(&mut self, segment: Segment) {
        self.segments.push(segment);
    }

    /// Forgets the segments with these numbers.
    pub fn drop_segments(&mut self, numbers: &[u32]) {
        self.segments.retain(|s| !numbers.contains(&s.number));
    }
}
