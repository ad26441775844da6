//! The newest journal lines, decoded: most look-ups are for what came a moment ago.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::ids::Position;
use crate::domain::row::{Entry, Row};

/// Bytes of payload kept, with an estimate for the rest of a line.
const BUDGET: usize = 4 << 20;
const LINE: usize = 1024;

/// A window over the end of the journal.
#[derive(Default)]
pub struct Recent {
    rows: VecDeque<Arc<Row>>,
    bytes: usize,
}

fn weight(row: &Row) -> usize {
    match &row.entry {
        Entry::Event(recorded) => LINE + recorded.payload.len(),
        Entry::Own(_) => size_of::<Row>(),
    }
}

impl Recent {
    /// A line, if it is new enough.
    pub fn get(&self, position: Position) -> Option<&Arc<Row>> {
        let at = self.rows.binary_search_by_key(&position, |row| row.position).ok()?;
        self.rows.get(at)
    }

    /// Takes in a line behind all others.
    pub fn push(&mut self, row: Arc<Row>) {
        self.bytes += weight(&row);
        self.rows.push_back(row);
        while self.bytes > BUDGET {
            let Some(old) = self.rows.pop_front() else { break };
            self.bytes -= weight(&old);
        }
    }
}
