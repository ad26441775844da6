//! How the issue of a key came to be what it is, step by step.

use std::sync::Arc;

use serde_json::Value;

use crate::domain::ids::{KeyId, Position};
use crate::domain::issue::{ChangeKind, Key, Marks, Origin};
use crate::domain::row::{Entry, Mark};
use crate::store::{self, Reader};

/// One change of an issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where the event stands.
    pub position: Position,
    /// The event.
    pub event: Origin,
    /// What it did.
    pub kind: ChangeKind,
}

/// All changes of an issue, oldest first, as far back as lines are kept.
///
/// # Errors
/// When the journal cannot be read.
pub fn changes(reader: &Reader, id: KeyId) -> Result<Vec<Change>, store::Error> {
    let mut all = Vec::new();
    for position in reader.positions(Mark::Key(id).hash())? {
        let Some(row) = reader.row(position)? else { continue };
        let Entry::Event(recorded) = &row.entry else { continue };
        let Some(head) = &recorded.head else { continue };
        let kind = recorded.decision.changes.iter().find(|change| change.key == id).and_then(|change| change.kind);
        all.extend(kind.map(|kind| Change { position, event: head.origin.clone(), kind }));
    }
    Ok(all)
}

/// A key's issue over time: what it was behind each line that touched it. None: there was no issue.
pub struct Timeline(Vec<(Position, Option<Value>)>);

impl Timeline {
    /// Reads it from the lines of the journal, each of which holds the record as it was before.
    pub fn of(reader: &Reader, id: KeyId) -> Result<Timeline, store::Error> {
        let now = reader.catalog().get(id);
        let mut key = now.as_ref().map(|state| state.key.clone());
        let mut befores: Vec<(Position, Option<Arc<Marks>>)> = Vec::new();
        for position in reader.positions(Mark::Key(id).hash())? {
            let Some(row) = reader.row(position)? else { continue };
            let Entry::Event(recorded) = &row.entry else { continue };
            let Some(change) = recorded.decision.changes.iter().find(|change| change.key == id) else { continue };
            // A key that retention has forgotten stands in the lines about it.
            key = key.or_else(|| recorded.decision.key.clone().filter(|key| key.id() == id));
            befores.push((position, change.before.clone()));
        }
        let Some(key) = key else { return Ok(Timeline(Vec::new())) };
        let mut after = now.as_ref().map(|state| state.marks.clone());
        let mut steps = Vec::with_capacity(befores.len() + 1);
        for (position, before) in befores.into_iter().rev() {
            steps.push((position, after.as_deref().and_then(|marks| shown(&key, marks))));
            after = before;
        }
        // What was there before the first line that is kept.
        steps.push((Position::default(), after.as_deref().and_then(|marks| shown(&key, marks))));
        steps.reverse();
        Ok(Timeline(steps))
    }

    /// The places where it changed.
    pub fn positions(&self) -> impl Iterator<Item = Position> {
        self.0.iter().map(|(position, _)| *position)
    }

    /// What it was behind a place.
    pub fn at(&self, position: Position) -> Option<&Value> {
        let behind = self.0.partition_point(|(p, _)| *p <= position);
        self.0.get(behind.checked_sub(1)?)?.1.as_ref()
    }
}

fn shown(key: &Key, marks: &Marks) -> Option<Value> {
    // An issue is always JSON.
    serde_json::to_value(marks.issue.as_ref()?.view(key)).ok()
}
