//! What others may see of the store. Cannot write.

use std::collections::VecDeque;
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLockReadGuard;
use sled::IVec;
use tokio::sync::watch;

use super::catalog::Catalog;
use super::error::Error;
use super::record::Fold;
use super::rulebook::{self, RuleTexts};
use super::segment::Segment;
use super::shared::Shared;
use crate::domain::ids::{KeyId, Position, ScopeId};
use crate::domain::issue::{KeyState, Scope, ScopeState};
use crate::domain::lookup::{Lookup, Unreadable};
use crate::domain::row::{Mark, Row};
use crate::domain::time::Time;

/// Reads of the committed state. Cheap to clone; the folder stays open as long as one is held.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

/// Which way the journal is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the oldest line on.
    Forward,
    /// From the newest line back.
    Backward,
}

/// How far back the store can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Changes before this moment are gone; none where all are there.
    pub changes: Option<Time>,
    /// Issues that were resolved, and have not changed since before this moment, may be gone; none where all stay.
    pub resolved: Option<Time>,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Reader {
        Reader { shared }
    }

    /// All keys and scopes. The next commit waits while the guard is held: look up, clone what is needed, let go. Never take it
    /// twice in one thread.
    pub fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.shared.catalog.read()
    }

    /// The same at a moment at which the journal has every line that the catalogue is the state after, and no more. A commit
    /// changes one after the other; whoever compares the two needs both of the same commit.
    pub fn settled(&self) -> RwLockReadGuard<'_, Catalog> {
        loop {
            let catalog = self.shared.catalog.read();
            if catalog.last() == self.shared.state.read().fold.last {
                return catalog;
            }
            drop(catalog);
            std::thread::yield_now();
        }
    }

    /// Tells the last line of each commit from now on. Who is slow is told of the last one only.
    pub fn committed(&self) -> watch::Receiver<Option<Position>> {
        self.shared.committed.subscribe()
    }

    /// The rule sets that are kept, in the order in which they came into force; the last one holds.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn rules(&self) -> Result<Vec<RuleTexts>, Error> {
        rulebook::read(&self.shared)
    }

    /// One journal line.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn row(&self, position: Position) -> Result<Option<Arc<Row>>, Error> {
        self.shared.row(position)
    }

    /// Where the lines are that may carry a mark ([`crate::domain::row::Mark::hash`]), oldest first.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn positions(&self, mark: u64) -> Result<Vec<Position>, Error> {
        self.shared.find(mark)
    }

    /// The lines that may carry a mark, oldest first. Compare: another mark may have the same hash.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn rows(&self, mark: u64) -> Result<Vec<Arc<Row>>, Error> {
        self.positions(mark)?.into_iter().filter_map(|position| self.row(position).transpose()).collect()
    }

    /// The newest `limit` of [`Reader::positions`] before `before`, oldest first. Reads no more of the index than it needs.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn newest_positions(&self, mark: u64, before: Position, limit: usize) -> Result<Vec<Position>, Error> {
        self.shared.find_newest(mark, before, limit)
    }

    /// The lines of the journal in `range`.
    pub fn journal(&self, range: impl RangeBounds<Position>, direction: Direction) -> Journal {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let number = Position::to_u64;
        let from = match range.start_bound() {
            Included(p) => Some(number(*p)),
            Excluded(p) => number(*p).checked_add(1),
            Unbounded => Some(0),
        };
        let to = match range.end_bound() {
            Included(p) => Some(number(*p)),
            Excluded(p) => number(*p).checked_sub(1),
            Unbounded => Some(u64::MAX),
        };
        // Lines of a commit are in the engine a moment before they count. Whoever passed one by then and met the one behind it
        // would never see it, so what comes while the journal is read is not among its lines.
        let last = self.shared.state.read().fold.last.map(number);
        let to = to.zip(last).map(|(to, last)| to.min(last));
        Journal {
            shared: self.shared.clone(),
            span: from.zip(to).filter(|(from, to)| from <= to),
            direction,
            ready: VecDeque::new(),
        }
    }

    /// The lines from `position` on, oldest first: at start, those behind [`Fold::published`] give what is still to be published.
    pub fn rows_from(&self, position: Position) -> Journal {
        self.journal(position.., Direction::Forward)
    }

    /// The first line that the stream took after `at`, of those that retention has left in order; taken to be in the order of
    /// their times, as lines of one stream are.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn first_line_after(&self, at: Time) -> Result<Option<Position>, Error> {
        let (oldest, last) = {
            let state = self.shared.state.read();
            (state.fold.oldest.to_u64(), state.fold.last)
        };
        let Some(last) = last else { return Ok(None) };
        // All lines before `from` are at or before `at`, and all from `to` on behind it.
        let (mut from, mut to) = (oldest, last.to_u64().saturating_add(1));
        while from < to {
            let half = from + (to - from) / 2;
            match self.line_from(Position::from_u64(half))? {
                Some((line, time)) if line.to_u64() < to && time <= at => from = line.to_u64().saturating_add(1),
                _ => to = half,
            }
        }
        Ok(self.line_from(Position::from_u64(from))?.map(|(line, _)| line).filter(|line| *line <= last))
    }

    /// The first line at `position` or behind it, with the time at which the stream took it.
    fn line_from(&self, position: Position) -> Result<Option<(Position, Time)>, Error> {
        self.shared.check()?;
        let Some((block, _)) = self.shared.block_from(position)? else { return Ok(None) };
        Ok(block.lines().find(|(line, _)| *line >= position))
    }

    /// What retention has left of the past.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn kept(&self) -> Result<Kept, Error> {
        let (oldest, lost, now) = {
            let state = self.shared.state.read();
            // Lines that are parked are kept whatever their age.
            let lost = state.fold.added > state.fold.kept || state.fold.oldest.to_u64() > 0;
            (state.fold.oldest, lost, state.fold.reached.as_ref().map(|reached| reached.time))
        };
        let changes = if lost { self.line_from(oldest)?.map(|(_, time)| time) } else { None };
        let span = self.shared.options.retention.resolved_issues;
        Ok(Kept { changes, resolved: now.zip(span).map(|(now, span)| now.minus(span)) })
    }

    /// Lines in the journal.
    pub fn journal_len(&self) -> u64 {
        self.shared.state.read().fold.kept
    }

    /// The positions of all parked lines, oldest first.
    pub fn parked(&self) -> Vec<Position> {
        self.shared.state.read().parked.iter().copied().collect()
    }

    /// Whether a line is parked.
    pub fn is_parked(&self, position: Position) -> bool {
        self.shared.state.read().parked.contains(&position)
    }

    /// How many lines are parked.
    pub fn parked_count(&self) -> usize {
        self.shared.state.read().parked.len()
    }

    /// How far the fold is.
    pub fn progress(&self) -> Fold {
        self.shared.state.read().fold.clone()
    }

    /// Bytes of the database on disk.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn size_on_disk(&self) -> Result<u64, Error> {
        self.shared.tree.size_on_disk().map_err(|e| self.shared.engine(e))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.shared.dir
    }

    pub(super) fn segments(&self) -> Vec<Segment> {
        self.shared.state.read().index.segments().to_vec()
    }

    /// All records whose key begins with `prefix`.
    pub(super) fn scan(&self, prefix: &[u8]) -> impl Iterator<Item = Result<(IVec, IVec), Error>> + use<'_> {
        self.shared.tree.scan_prefix(prefix).map(|entry| entry.map_err(|e| self.shared.engine(e)))
    }
}

impl Lookup for Reader {
    fn key(&self, id: KeyId) -> Option<Arc<KeyState>> {
        // What came behind a line is looked for in the journal, and what is not there is taken to be as it is here.
        self.settled().get(id)
    }

    fn scope(&self, id: ScopeId) -> Option<Arc<ScopeState>> {
        self.catalog().scope(id).cloned()
    }

    fn numbered(&self, number: u64) -> Option<KeyId> {
        self.catalog().numbered(number)
    }

    fn keys_with_scope(&self, scope: &Scope) -> Vec<KeyId> {
        let catalog = self.catalog();
        let ids = catalog.scopes_named(scope);
        ids.into_iter().filter_map(|id| catalog.scope(id)).flat_map(|s| s.keys.clone()).collect()
    }

    fn keys_of_stage(&self, project: &str, stage: &str) -> Vec<KeyId> {
        self.catalog().scopes_of_stage(project, stage).flat_map(|(_, s)| s.keys.clone()).collect()
    }

    fn next_number(&self) -> u64 {
        self.shared.state.read().fold.next_number
    }

    fn rows(&self, mark: Mark<'_>) -> Result<Vec<Arc<Row>>, Unreadable> {
        Ok(Reader::rows(self, mark.hash())?)
    }

    fn newest_rows(&self, mark: Mark<'_>, limit: usize) -> Result<Vec<Arc<Row>>, Unreadable> {
        let positions = self.shared.find_newest(mark.hash(), Position::MAX, limit)?;
        positions.into_iter().filter_map(|position| Lookup::row(self, position).transpose()).collect()
    }

    fn is_parked(&self, position: Position) -> bool {
        Reader::is_parked(self, position)
    }

    fn row(&self, position: Position) -> Result<Option<Arc<Row>>, Unreadable> {
        Ok(self.shared.row(position)?)
    }

    fn first_after(
        &self,
        mark: Mark<'_>,
        after: Position,
        wanted: &dyn Fn(&Row) -> bool,
    ) -> Result<Option<Arc<Row>>, Unreadable> {
        for position in self.positions(mark.hash())?.into_iter().filter(|p| *p > after) {
            if let Some(row) = self.shared.row(position)?.filter(|row| wanted(row)) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}

/// Lines of the journal, in order; ends with the first error. Lines that come meanwhile are not among them; those that retention
/// takes meanwhile may or may not be.
pub struct Journal {
    shared: Arc<Shared>,
    /// What is still to be read, both ends included.
    span: Option<(u64, u64)>,
    direction: Direction,
    ready: VecDeque<Arc<Row>>,
}

impl Journal {
    /// Reads one more block.
    fn advance(&mut self) -> Result<(), Error> {
        let Some((from, to)) = self.span.take() else { return Ok(()) };
        self.shared.check()?;
        let found = match self.direction {
            Direction::Forward => self.shared.block_from(Position::from_u64(from))?,
            Direction::Backward => self.shared.block_before(Some(Position::from_u64(to)))?,
        };
        let Some((block, bytes)) = found else { return Ok(()) };
        let wanted: Vec<Position> = {
            let state = self.shared.state.read();
            let here = block.lines().map(|(p, _)| p);
            here.filter(|p| (from..=to).contains(&p.to_u64()) && state.is_kept(*p) && Some(*p) <= state.fold.last)
                .collect()
        };
        let rows = block.rows(&bytes, |p| wanted.binary_search(&p).is_ok())?;
        self.ready.extend(rows.into_iter().map(|(row, _)| row));
        let rest = match self.direction {
            Direction::Forward => block.last().to_u64().checked_add(1).map(|from| (from, to)),
            Direction::Backward => block.first().to_u64().checked_sub(1).map(|to| (from, to)),
        };
        self.span = rest.filter(|(from, to)| from <= to);
        Ok(())
    }
}

impl Iterator for Journal {
    type Item = Result<Arc<Row>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && self.span.is_some() {
            if let Err(e) = self.advance() {
                return Some(Err(e));
            }
        }
        match self.direction {
            Direction::Forward => self.ready.pop_front(),
            Direction::Backward => self.ready.pop_back(),
        }
        .map(Ok)
    }
}
