//! The changes of one group over the store, before they are committed. Reads see them first.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::due::{self, Subject};
use super::error::Error;
use super::index::ByMark;
use super::journal::{self, Marks};
use super::record::Fold;
use super::rulebook::RuleTexts;
use super::shared::Shared;
use crate::domain::decide::Decided;
use crate::domain::event::Event;
use crate::domain::ids::{KeyId, Position, ScopeId};
use crate::domain::issue::{ChangeKind, KeyState, Scope, ScopeState};
use crate::domain::lookup::{Lookup, Unreadable};
use crate::domain::row::{Entry, Mark, Row};
use crate::domain::time::Time;

/// Hashes faster than the standard library does, and is as hard to flood.
type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// A group's changes. Dropped without a commit, they never were.
pub struct Staged {
    pub(super) shared: Arc<Shared>,
    pub(super) fold: Fold,
    /// Lines in the journal when the group began: a commit in between would show here.
    pub(super) base: u64,
    pub(super) keys: Map<KeyId, Option<Arc<KeyState>>>,
    pub(super) scopes: Map<ScopeId, Option<Arc<ScopeState>>>,
    numbers: Map<u64, Option<KeyId>>,
    names: Map<Scope, Vec<ScopeId>>,
    pub(super) rows: Vec<StagedRow>,
    /// Events that nobody needs any more. Letting go of one costs as much as deciding about it, so the commit does that beside
    /// its own work.
    pub(super) spent: Vec<Event>,
    pub(super) by_mark: ByMark,
    /// The index is to be sealed up to these lines.
    pub(super) seals: Vec<Position>,
    pub(super) parked: BTreeMap<Position, bool>,
    pub(super) parked_count: usize,
    /// The lines retention looks at next.
    pub(super) ahead: VecDeque<(Position, Time)>,
    pub(super) published: Option<Position>,
    /// What this group made due; what was due before is in the store's own set, from `due_from` on.
    pub(super) due: BTreeSet<(Time, Subject)>,
    pub(super) due_from: Option<(Time, Subject)>,
    /// Rule sets that this group brings, and those that no line needs any more.
    pub(super) rules: Vec<RuleTexts>,
    pub(super) rules_gone: Vec<Position>,
}

/// A new line.
pub(super) struct StagedRow {
    pub row: Arc<Row>,
    pub marks: Marks,
}

impl Staged {
    pub(super) fn new(shared: Arc<Shared>) -> Staged {
        let state = shared.state.read();
        let (fold, ahead, parked_count) = (state.fold.clone(), state.ahead.clone(), state.parked.len());
        drop(state);
        let by_mark = std::mem::take(&mut *shared.scratch.lock());
        Staged {
            shared,
            base: fold.added,
            fold,
            ahead,
            parked_count,
            keys: Map::default(),
            scopes: Map::default(),
            numbers: Map::default(),
            names: Map::default(),
            rows: Vec::new(),
            spent: Vec::new(),
            by_mark,
            seals: Vec::new(),
            parked: BTreeMap::new(),
            published: None,
            due: BTreeSet::new(),
            due_from: None,
            rules: Vec::new(),
            rules_gone: Vec::new(),
        }
    }

    /// Sets the record of a key. An issue's number is found by [`Lookup::numbered`] from then on.
    pub fn put_key(&mut self, id: KeyId, state: KeyState) {
        self.set_key(id, Some(Arc::new(state)));
    }

    /// Removes the record of a key. Its scope is another record.
    pub fn remove_key(&mut self, id: KeyId) {
        self.set_key(id, None);
    }

    pub(super) fn set_key(&mut self, id: KeyId, state: Option<Arc<KeyState>>) {
        let number = |state: &Arc<KeyState>| state.marks.issue.as_ref().map(|issue| issue.number);
        let due = |state: &Arc<KeyState>| due::of_key(state, &self.shared.options.retention);
        let before = self.key(id);
        let (old, new) = (before.as_ref().and_then(number), state.as_ref().and_then(number));
        self.redue(Subject::Key(id), before.as_ref().and_then(due), state.as_ref().and_then(due));
        if old != new {
            self.numbers.extend(old.map(|n| (n, None)));
            self.numbers.extend(new.map(|n| (n, Some(id))));
        }
        self.keys.insert(id, state);
    }

    /// Sets the record of a scope.
    pub fn put_scope(&mut self, id: ScopeId, state: ScopeState) {
        self.set_scope(id, Some(Arc::new(state)));
    }

    pub(super) fn set_scope(&mut self, id: ScopeId, state: Option<Arc<ScopeState>>) {
        let due = |state: &Arc<ScopeState>| due::of_scope(state, &self.shared.options.retention);
        let before = self.scope(id);
        self.redue(Subject::Scope(id), before.as_ref().and_then(due), state.as_ref().and_then(due));
        if let Some(state) = &state {
            let named = self.names.entry(state.scope.clone()).or_default();
            if !named.contains(&id) {
                named.push(id);
            }
        }
        self.scopes.insert(id, state);
    }

    fn redue(&mut self, subject: Subject, old: Option<Time>, new: Option<Time>) {
        self.due.extend(new.map(|at| (at, subject)));
        if let Some(at) = old.filter(|_| old != new) {
            self.due.remove(&(at, subject));
        }
    }

    /// Whether this group has changed what is due.
    pub(super) fn touched(&self, subject: Subject) -> bool {
        match subject {
            Subject::Key(id) => self.keys.contains_key(&id),
            Subject::Scope(id) => self.scopes.contains_key(&id),
        }
    }

    /// Takes the next number for a new issue.
    pub fn take_number(&mut self) -> u64 {
        let number = self.fold.next_number;
        self.fold.next_number += 1;
        number
    }

    /// Adds a line behind all others. `own` are the marks of a message of Shipwatch's own, by which [`Lookup::rows`] is to
    /// find it; those of other events follow from the line.
    ///
    /// # Errors
    /// Where the line does not lie behind the last one: it has been folded already.
    pub fn add_row(&mut self, row: Row, own: Marks) -> Result<Arc<Row>, Error> {
        let marks = journal::marks(&row, own);
        self.push(row, marks)
    }

    fn push(&mut self, row: Row, marks: Marks) -> Result<Arc<Row>, Error> {
        let position = row.position;
        if let Some(last) = self.fold.last.filter(|last| position <= *last) {
            return Err(Error::OutOfOrder { position, last });
        }
        for mark in &marks {
            self.by_mark.entry(*mark).or_default().push(position);
        }
        let row = Arc::new(row);
        self.rows.push(StagedRow { row: row.clone(), marks });
        self.fold.last = Some(position);
        self.fold.added += 1;
        self.fold.kept += 1;
        if self.fold.added - self.fold.sealed >= self.shared.options.segment_rows {
            self.seals.push(position);
            (self.fold.sealed, self.fold.sealed_to) = (self.fold.added, Some(position));
            self.fold.next_segment += 1;
        }
        Ok(row)
    }

    /// Adds what was decided about one event, and lets go of what is too old by that event's stream time.
    ///
    /// # Errors
    /// Where the store cannot be read, or the event stands before one that was folded.
    pub fn add(&mut self, decided: Decided) -> Result<(), Error> {
        let Decided { row, keys, scopes, parked, unparked, marks, event, messages: _ } = decided;
        self.spent.extend(event);
        let (position, now) = (row.position, row.stream_time);
        if let Entry::Event(recorded) = &row.entry {
            for _ in recorded.decision.changes.iter().filter(|c| c.kind == Some(ChangeKind::Opened)) {
                self.take_number();
            }
        }
        for (id, state) in keys {
            self.set_key(id, state.map(Arc::new));
        }
        for (id, state) in scopes {
            self.put_scope(id, state);
        }
        self.push(row, marks)?;
        if parked {
            self.park(position);
        }
        if let Some(unparked) = unparked {
            self.unpark(unparked);
        }
        self.expire(now)?;
        Ok(())
    }

    /// The lines of this group so far.
    pub fn added(&self) -> impl ExactSizeIterator<Item = &Arc<Row>> {
        self.rows.iter().map(|r| &r.row)
    }

    /// Marks a line as parked: it is listed, and retention leaves it alone.
    pub fn park(&mut self, position: Position) {
        if self.is_kept(position) && !self.is_parked(position) {
            self.parked.insert(position, true);
            self.parked_count += 1;
        }
    }

    /// Takes the mark away. A line that only the mark has kept is gone.
    pub fn unpark(&mut self, position: Position) {
        if self.is_parked(position) {
            self.parked.insert(position, false);
            self.parked_count -= 1;
            if position < self.fold.oldest {
                self.fold.kept -= 1;
            }
        }
    }

    pub(super) fn is_parked(&self, position: Position) -> bool {
        let stored = || self.shared.state.read().parked.contains(&position);
        self.parked.get(&position).copied().unwrap_or_else(stored)
    }

    fn is_kept(&self, position: Position) -> bool {
        position >= self.fold.oldest || self.is_parked(position)
    }

    /// Says that all effects of the lines up to `position` are done. Never goes back.
    pub fn set_published(&mut self, position: Position) {
        self.published = self.published.max(Some(position));
    }
}

impl Lookup for Staged {
    fn key(&self, id: KeyId) -> Option<Arc<KeyState>> {
        match self.keys.get(&id) {
            Some(state) => state.clone(),
            None => self.shared.catalog.read().get(id),
        }
    }

    fn scope(&self, id: ScopeId) -> Option<Arc<ScopeState>> {
        match self.scopes.get(&id) {
            Some(state) => state.clone(),
            None => self.shared.catalog.read().scope(id).cloned(),
        }
    }

    fn numbered(&self, number: u64) -> Option<KeyId> {
        match self.numbers.get(&number) {
            Some(id) => *id,
            None => self.shared.catalog.read().numbered(number),
        }
    }

    fn keys_with_scope(&self, scope: &Scope) -> Vec<KeyId> {
        let mut ids = self.shared.catalog.read().scopes_named(scope);
        ids.extend(self.names.get(scope).into_iter().flatten());
        ids.sort_unstable();
        ids.dedup();
        let states: Vec<_> = ids.into_iter().filter_map(|id| self.scope(id)).collect();
        let mut keys: Vec<KeyId> = states.iter().flat_map(|state| &state.keys).copied().collect();
        // One scope has its keys in order; over several, the number of an issue is the order of its first failure.
        if states.len() > 1 {
            let number = |id: &KeyId| self.key(*id).and_then(|k| k.marks.issue.as_ref().map(|i| i.number));
            keys.sort_by_cached_key(|id| number(id).unwrap_or(u64::MAX));
        }
        keys
    }

    fn keys_of_stage(&self, project: &str, stage: &str) -> Vec<KeyId> {
        let stored = self.shared.catalog.read();
        let mut scopes: BTreeMap<ScopeId, Arc<ScopeState>> =
            stored.scopes_of_stage(project, stage).map(|(id, s)| (id, s.clone())).collect();
        for (id, state) in &self.scopes {
            match state {
                Some(s) if s.project == project && s.stage == stage => scopes.insert(*id, s.clone()),
                _ => scopes.remove(id),
            };
        }
        scopes.values().flat_map(|s| s.keys.clone()).collect()
    }

    fn next_number(&self) -> u64 {
        self.fold.next_number
    }

    fn rows(&self, mark: Mark<'_>) -> Result<Vec<Arc<Row>>, Unreadable> {
        let hash = mark.hash();
        let mut positions = self.shared.find(hash)?;
        positions.extend(self.by_mark.get(&hash).into_iter().flatten());
        positions.into_iter().filter_map(|position| self.row(position).transpose()).collect()
    }

    fn newest_rows(&self, mark: Mark<'_>, limit: usize) -> Result<Vec<Arc<Row>>, Unreadable> {
        let hash = mark.hash();
        let staged = self.by_mark.get(&hash).map_or(&[][..], |positions| positions.as_slice());
        let staged = &staged[staged.len().saturating_sub(limit)..];
        let mut positions = self.shared.find_newest(hash, Position::MAX, limit - staged.len())?;
        positions.extend_from_slice(staged);
        positions.into_iter().filter_map(|position| self.row(position).transpose()).collect()
    }

    fn first_after(
        &self,
        mark: Mark<'_>,
        after: Position,
        wanted: &dyn Fn(&Row) -> bool,
    ) -> Result<Option<Arc<Row>>, Unreadable> {
        let hash = mark.hash();
        let staged = self.by_mark.get(&hash).into_iter().flatten().copied();
        for position in self.shared.find(hash)?.into_iter().chain(staged).filter(|p| *p > after) {
            if let Some(row) = self.row(position)?.filter(|row| wanted(row)) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    fn is_parked(&self, position: Position) -> bool {
        Staged::is_parked(self, position)
    }

    fn row(&self, position: Position) -> Result<Option<Arc<Row>>, Unreadable> {
        if !self.is_kept(position) {
            return Ok(None);
        }
        if let Ok(at) = self.rows.binary_search_by_key(&position, |r| r.row.position) {
            return Ok(Some(self.rows[at].row.clone()));
        }
        Ok(self.shared.row(position)?)
    }
}
