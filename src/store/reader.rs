//! Reads for the query endpoint. Holds no writer.

use std::sync::Arc;

use parking_lot::RwLockReadGuard;

use super::catalog::Catalog;
use super::space::{self, JOURNAL, PARKED, key};
use super::{Error, Shared, journal_key, parked_key, position_of, record};
use crate::domain::ids::{KeyId, Position, ScopeId};
use crate::domain::issue::{KeyState, Scope, ScopeState};
use crate::domain::lookup::{Lookup, Unreadable};
use crate::domain::row::{Mark, Row};
use crate::domain::stream::Reached;

/// A read-only view of the store; clones share it.
#[derive(Clone, Debug)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Reader {
        Reader { shared }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// All keys, scopes and issues. Held for short: commits wait for it.
    pub fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.shared.catalog.read()
    }

    /// The last position that readers see. Lines of a group are in sled a moment before its issues are in the catalogue.
    fn visible(&self) -> Position {
        let meta = self.shared.meta.read();
        meta.reached.as_ref().map_or(Position::new(0, 0), |r| r.position(r.sequence, u16::MAX))
    }

    /// How far the fold is.
    pub fn progress(&self) -> Option<Reached> {
        self.shared.meta.read().reached.clone()
    }

    /// Lines in the journal.
    pub fn journal_len(&self) -> u64 {
        self.shared.meta.read().lines
    }

    /// Messages that are parked.
    pub fn parked_len(&self) -> u64 {
        self.shared.meta.read().parked
    }

    /// Bytes the folder takes.
    pub fn size_on_disk(&self) -> u64 {
        let meta = self.shared.tree.len();
        meta as u64
    }

    /// One journal line.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn line(&self, position: Position) -> Result<Option<Row>, Error> {
        if position > self.visible() {
            return Ok(None);
        }
        let Some(value) = space::get(&self.shared.tree, &journal_key(position))? else { return Ok(None) };
        Ok(Some(record::decode_row(position, &value)?.0))
    }

    /// Journal lines from a position on, or, backwards, from it towards the beginning.
    pub fn journal(
        &self,
        from: Option<Position>,
        backwards: bool,
    ) -> Box<dyn Iterator<Item = Result<Row, Error>> + '_> {
        let tree = &self.shared.tree;
        let read = move |entry: sled::Result<(sled::IVec, sled::IVec)>| {
            let (key, stored) = entry?;
            let value = space::whole(tree, &key, stored)?;
            Ok(record::decode_row(position_of(&key)?, &value)?.0)
        };
        let last = self.visible();
        if backwards {
            let end = from.map_or(last, |p| p.min(last));
            Box::new(tree.range(key(JOURNAL, &[])..=journal_key(end)).rev().map(read))
        } else {
            let start = from.unwrap_or(Position::new(0, 0));
            if start > last {
                return Box::new(std::iter::empty());
            }
            Box::new(tree.range(journal_key(start)..=journal_key(last)).map(read))
        }
    }

    /// Positions of parked lines, oldest first.
    pub fn parked(&self) -> impl DoubleEndedIterator<Item = Result<Position, Error>> + '_ {
        self.shared.tree.scan_prefix([PARKED]).keys().map(|key| position_of(&key?))
    }

    /// Positions of parked lines before one, newest first.
    pub fn parked_before(&self, end: Option<Position>) -> impl Iterator<Item = Result<Position, Error>> + '_ {
        let end = end.map_or_else(|| key(PARKED + 1, &[]), parked_key);
        self.shared.tree.range(key(PARKED, &[])..end).keys().rev().map(|key| position_of(&key?))
    }

    /// Whether a line is parked.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn is_parked(&self, position: Position) -> Result<bool, Error> {
        Ok(self.shared.tree.contains_key(parked_key(position))?)
    }

    /// Positions of lines that may carry a mark, oldest first.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn find(&self, mark: Mark<'_>) -> Result<Vec<Position>, Error> {
        let last = self.visible();
        let mut found = self.shared.postings.read().find(&self.shared.tree, mark.hash())?.into_vec();
        found.retain(|position| *position <= last);
        Ok(found)
    }
}

impl Lookup for Reader {
    fn key(&self, id: KeyId) -> Option<Arc<KeyState>> {
        self.catalog().get(id)
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
    fn next_number(&self) -> u64 {
        self.shared.meta.read().next_number
    }
    fn rows(&self, mark: Mark<'_>) -> Result<Vec<Arc<Row>>, Unreadable> {
        let mut rows = Vec::new();
        for position in self.find(mark).map_err(|e| Unreadable(e.to_string()))? {
            rows.extend(self.row(position)?);
        }
        Ok(rows)
    }
    fn first_after(
        &self,
        mark: Mark<'_>,
        after: Position,
        wanted: &dyn Fn(&Row) -> bool,
    ) -> Result<Option<Arc<Row>>, Unreadable> {
        let found = self.find(mark).map_err(|e| Unreadable(e.to_string()))?;
        for position in found.into_iter().filter(|p| *p > after) {
            if let Some(row) = self.row(position)?.filter(|row| wanted(row)) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
    fn row(&self, position: Position) -> Result<Option<Arc<Row>>, Unreadable> {
        self.line(position).map(|row| row.map(Arc::new)).map_err(|e| Unreadable(e.to_string()))
    }
}
