//! A group's changes over the store: what deciding reads, and what one commit writes.

use std::collections::HashMap;
use std::sync::Arc;

use sled::Batch;

use super::expiry::Expiry;
use super::space::{self, JOURNAL, KEYS, SCOPES, key};
use super::{Error, META_KEY, Meta, Shared, journal_key, parked_key, position_of, record};
use crate::domain::decide::{Decided, Marked};
use crate::domain::ids::{KeyId, Position, ScopeId};
use crate::domain::issue::{ChangeKind, KeyState, Scope, ScopeState};
use crate::domain::lookup::{Lookup, Unreadable};
use crate::domain::row::{Entry, Mark, Row};
use crate::domain::stream::Reached;
use crate::domain::time::Time;

/// Records that one event may remove by retention, of each kind. Small steps, so that no event waits for a sweep.
const STEP: usize = 4;

/// A group of decisions on top of what is stored.
#[derive(Debug)]
pub struct Staged {
    shared: Arc<Shared>,
    keys: HashMap<KeyId, Option<Arc<KeyState>>>,
    scopes: HashMap<ScopeId, Option<Arc<ScopeState>>>,
    numbers: HashMap<u64, KeyId>,
    rows: Vec<(Arc<Row>, Marked)>,
    at: HashMap<Position, usize>,
    marks: HashMap<u64, Vec<Position>>,
    parked: Vec<Position>,
    forgotten: Vec<Position>,
    expiry: Expiry,
    meta: Meta,
}

/// What a commit has written and readers shall see.
pub struct Applied {
    keys: HashMap<KeyId, Option<Arc<KeyState>>>,
    scopes: HashMap<ScopeId, Option<Arc<ScopeState>>>,
    meta: Meta,
}

impl Staged {
    pub(super) fn new(shared: Arc<Shared>) -> Staged {
        let meta = shared.meta.read().clone();
        Staged {
            shared,
            keys: HashMap::new(),
            scopes: HashMap::new(),
            numbers: HashMap::new(),
            rows: Vec::new(),
            at: HashMap::new(),
            marks: HashMap::new(),
            parked: Vec::new(),
            forgotten: Vec::new(),
            expiry: Expiry::default(),
            meta,
        }
    }

    /// Adds what was decided about one event, and lets go of what is too old by that event's stream time.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn add(&mut self, decided: Decided) -> Result<(), Unreadable> {
        let Decided { row, keys, scopes, parked, marks, event: _ } = decided;
        let (position, now) = (row.position, row.stream_time);
        if let Entry::Event(recorded) = &row.entry {
            let opened = recorded.decision.changes.iter().filter(|c| c.kind == Some(ChangeKind::Opened)).count();
            self.meta.next_number += opened as u64;
        }
        for (id, state) in keys {
            if let Some(issue) = state.as_ref().and_then(|s| s.marks.issue.as_ref()) {
                self.numbers.insert(issue.number, id);
            }
            self.expiry.put(id, state.as_ref(), &self.shared.options);
            self.keys.insert(id, state.map(Arc::new));
        }
        for (id, state) in scopes {
            self.scopes.insert(id, Some(Arc::new(state)));
        }
        for mark in &marks {
            self.marks.entry(*mark).or_default().push(position);
        }
        if parked {
            self.parked.push(position);
            self.meta.parked += 1;
        }
        self.meta.lines += 1;
        self.at.insert(position, self.rows.len());
        self.rows.push((Arc::new(row), marks));
        self.expire(now).map_err(|e| Unreadable(e.to_string()))
    }

    /// The messages of all lines up to `position` are published.
    pub fn set_published(&mut self, position: Position) {
        self.meta.published = self.meta.published.max(position);
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Retention. Depends on the event just added and on what was there before it, never on how events are grouped.
    fn expire(&mut self, now: Time) -> Result<(), Error> {
        let options = self.shared.options;
        let horizon = now.minus(options.keep_events);
        for _ in 0..STEP {
            let Some((position, time)) = self.line_from(self.meta.oldest)? else { break };
            if time >= horizon {
                break;
            }
            self.meta.oldest = Position::from_u64(position.to_u64() + 1);
            if !self.is_parked(position)? {
                self.forgotten.push(position);
                self.meta.lines -= 1;
            }
        }
        let mut due: Vec<(Time, KeyId)> = {
            let stored = self.shared.expiry.read();
            stored.due(now).filter(|(_, id)| !self.keys.contains_key(id)).take(STEP).collect()
        };
        // A stream that is folded late has months in one group, so what the group itself holds may be due already.
        due.extend(self.expiry.due(now).take(STEP));
        due.sort_unstable();
        for (_, id) in due.into_iter().take(STEP) {
            self.forget(id);
        }
        Ok(())
    }

    fn forget(&mut self, id: KeyId) {
        let Some(state) = self.key(id) else { return };
        self.expiry.put(id, None, &self.shared.options);
        self.keys.insert(id, None);
        let scope_id = state.key.scope_id();
        let Some(scope) = self.scope(scope_id) else { return };
        let mut scope = (*scope).clone();
        scope.keys.retain(|k| *k != id);
        let empty = scope.keys.is_empty();
        self.scopes.insert(scope_id, (!empty).then(|| Arc::new(scope)));
    }

    /// The first journal line at or behind a position, and its stream time.
    fn line_from(&self, position: Position) -> Result<Option<(Position, Time)>, Error> {
        let from = journal_key(position);
        if let Some(entry) = self.shared.tree.range(from..key(JOURNAL + 1, &[])).next() {
            let (key, stored) = entry?;
            let value = space::whole(&self.shared.tree, &key, stored)?;
            return Ok(Some((position_of(&key)?, record::stream_time(&value)?)));
        }
        Ok(self.rows.iter().find(|(row, _)| row.position >= position).map(|(row, _)| (row.position, row.stream_time)))
    }

    fn is_parked(&self, position: Position) -> Result<bool, Error> {
        Ok(self.parked.contains(&position) || self.shared.tree.contains_key(parked_key(position))?)
    }

    fn stored_row(&self, position: Position) -> Result<Option<Arc<Row>>, Error> {
        let Some(value) = space::get(&self.shared.tree, &journal_key(position))? else { return Ok(None) };
        Ok(Some(Arc::new(record::decode_row(position, &value)?.0)))
    }

    /// Turns the group into one batch.
    pub(super) fn write(mut self, batch: &mut Batch, reached: Reached) -> Result<Applied, Error> {
        let tree = &self.shared.tree;
        {
            let mut postings = self.shared.postings.write();
            for (row, marks) in &self.rows {
                if !self.forgotten.contains(&row.position) {
                    space::put(batch, &journal_key(row.position), &record::encode_row(row, marks)?, None);
                }
                postings.add(row.position, marks, batch)?;
            }
            for position in self.forgotten.iter().filter(|p| !self.at.contains_key(*p)) {
                let at = journal_key(*position);
                if let Some(stored) = tree.get(&at)? {
                    space::remove(batch, &at, &stored);
                }
            }
            if !self.forgotten.is_empty() {
                postings.drop_before(self.meta.oldest, tree, batch)?;
            }
            self.meta.tail_lines = postings.tail_lines();
        }
        for (id, state) in &self.keys {
            put_record(tree, batch, &key(KEYS, id.0.as_bytes()), state.as_deref())?;
        }
        for (id, state) in &self.scopes {
            put_record(tree, batch, &key(SCOPES, id.0.as_bytes()), state.as_deref())?;
        }
        for position in &self.parked {
            batch.insert(parked_key(*position), &[][..]);
        }
        self.meta.reached = Some(reached);
        space::put(batch, &META_KEY, &record::encode(&self.meta)?, None);
        Ok(Applied { keys: self.keys, scopes: self.scopes, meta: self.meta })
    }
}

/// Writes or removes a record. Only a large one is looked at first, for the pieces of what it replaces.
fn put_record<T: serde::Serialize>(
    tree: &sled::Tree,
    batch: &mut Batch,
    at: &[u8],
    record: Option<&T>,
) -> Result<(), Error> {
    let stored = tree.get(at)?;
    match (record, stored) {
        (Some(record), stored) => space::put(batch, at, &super::record::encode(record)?, stored.as_ref()),
        (None, Some(stored)) => space::remove(batch, at, &stored),
        (None, None) => {}
    }
    Ok(())
}

impl Applied {
    /// Lets readers see what is on disk now.
    pub(super) fn publish(self, shared: &Shared) {
        let mut expiry = shared.expiry.write();
        let mut catalog = shared.catalog.write();
        for (id, state) in self.keys {
            expiry.put(id, state.as_deref(), &shared.options);
            catalog.put(id, state);
        }
        for (id, state) in self.scopes {
            catalog.put_scope(id, state);
        }
        *shared.meta.write() = self.meta;
    }
}

impl Lookup for Staged {
    fn key(&self, id: KeyId) -> Option<Arc<KeyState>> {
        match self.keys.get(&id) {
            Some(staged) => staged.clone(),
            None => self.shared.catalog.read().get(id),
        }
    }

    fn scope(&self, id: ScopeId) -> Option<Arc<ScopeState>> {
        match self.scopes.get(&id) {
            Some(staged) => staged.clone(),
            None => self.shared.catalog.read().scope(id).cloned(),
        }
    }

    fn numbered(&self, number: u64) -> Option<KeyId> {
        self.numbers.get(&number).copied().or_else(|| self.shared.catalog.read().numbered(number))
    }

    fn keys_with_scope(&self, scope: &Scope) -> Vec<KeyId> {
        let mut ids = self.shared.catalog.read().scopes_named(scope);
        ids.extend(
            self.scopes.iter().filter(|(_, s)| s.as_ref().is_some_and(|s| s.scope == *scope)).map(|(id, _)| *id),
        );
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().filter_map(|id| self.scope(id)).flat_map(|s| s.keys.clone()).collect()
    }

    fn next_number(&self) -> u64 {
        self.meta.next_number
    }

    fn rows(&self, mark: Mark<'_>) -> Result<Vec<Arc<Row>>, Unreadable> {
        let hash = mark.hash();
        let find = || -> Result<Vec<Arc<Row>>, Error> {
            let stored = self.shared.postings.read().find(&self.shared.tree, hash)?;
            let mut rows = Vec::new();
            for position in stored {
                if position >= self.meta.oldest || self.is_parked(position)? {
                    rows.extend(self.stored_row(position)?);
                }
            }
            let staged = self.marks.get(&hash).into_iter().flatten();
            for position in staged.filter(|p| !self.forgotten.contains(p)) {
                rows.extend(self.at.get(position).map(|i| self.rows[*i].0.clone()));
            }
            Ok(rows)
        };
        find().map_err(|e| Unreadable(e.to_string()))
    }

    fn first_after(
        &self,
        mark: Mark<'_>,
        after: Position,
        wanted: &dyn Fn(&Row) -> bool,
    ) -> Result<Option<Arc<Row>>, Unreadable> {
        let hash = mark.hash();
        let stored =
            self.shared.postings.read().find(&self.shared.tree, hash).map_err(|e| Unreadable(e.to_string()))?;
        let staged = self.marks.get(&hash).into_iter().flatten().copied();
        for position in stored.into_iter().chain(staged).filter(|p| *p > after) {
            if let Some(row) = self.row(position)?.filter(|row| wanted(row)) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    fn row(&self, position: Position) -> Result<Option<Arc<Row>>, Unreadable> {
        if self.forgotten.contains(&position) {
            return Ok(None);
        }
        match self.at.get(&position) {
            Some(index) => Ok(Some(self.rows[*index].0.clone())),
            None => self.stored_row(position).map_err(|e| Unreadable(e.to_string())),
        }
    }
}
