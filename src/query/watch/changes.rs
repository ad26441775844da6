//! The changes of issues behind a cursor, read from the journal.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;

use super::cursor::Cursor;
use crate::domain::decision::Change;
use crate::domain::ids::{KeyId, Position};
use crate::domain::issue::{ChangeKind, Issue, Key, Marks, State as IssueState, View};
use crate::domain::messages::left_behind;
use crate::domain::row::{Entry, Recorded, Row};
use crate::query::Problem;
use crate::query::list::bytes;
use crate::store::Reader;
use crate::store::catalog::Matcher;

/// Lines read at a time.
const LINES: usize = 1024;

/// Changes told at a time.
const CHANGES: usize = 256;

/// Bytes of events and issues at a time: what is told stays in memory for a while.
const BYTES: usize = 1 << 20;

/// One change, ready to be sent.
pub struct Told {
    key: Key,
    before: Option<Arc<Marks>>,
    after: Issue,
    /// As server-sent events have it.
    pub frame: Bytes,
}

impl Told {
    /// Whether the issue fits, or did before this change: who watches it is told how it left.
    pub fn concerns(&self, wanted: &Matcher) -> bool {
        let before = self.before.as_ref().and_then(|marks| marks.issue.as_ref());
        wanted.fits(&self.key, &self.after) || before.is_some_and(|before| wanted.fits(&self.key, before))
    }
}

/// What stands between two cursors.
pub struct Batch {
    pub from: Cursor,
    pub to: Cursor,
    pub changes: Vec<Told>,
}

/// A change as it stands in the journal.
struct Found {
    id: Cursor,
    line: Position,
    kind: ChangeKind,
    at: Resolved,
    change: Change,
    key: Option<Key>,
}

/// What a line says about an issue that it resolves, where the record afterwards is not there any more.
struct Resolved {
    at: crate::domain::time::Time,
    stream_time: crate::domain::time::Time,
    by: Option<crate::domain::issue::Origin>,
}

/// Reads on from a cursor, up to the last line or to what is enough for once.
pub fn read(reader: &Reader, from: Cursor) -> Result<Batch, Problem> {
    let mut found = Vec::new();
    let mut to = from;
    let mut room = BYTES;
    // Where no line is left behind the cursor, all is read.
    let last = reader.progress().last;
    let mut rows = reader.rows_from(from.line).take(LINES).peekable();
    if rows.peek().is_none() {
        to = from.max(Cursor::behind(last));
    }
    for row in rows {
        let row = row?;
        let skip = if row.position == from.line { from.told } else { 0 };
        to = Cursor::behind(Some(row.position));
        let Entry::Event(recorded) = &row.entry else { continue };
        for (index, change) in recorded.decision.changes.iter().enumerate().skip(skip as usize) {
            let Some(kind) = change.kind else { continue };
            let id = Cursor { line: row.position, told: index as u32 + 1 };
            found.push(of(&row, recorded, change, kind, id));
            let texts = change.before.as_ref().and_then(|marks| Some(marks.issue.as_ref()?.description.len()));
            room = room.saturating_sub(recorded.payload.len().max(texts.unwrap_or_default()));
            if found.len() >= CHANGES || room == 0 {
                to = id;
                return told(reader, from, to, found);
            }
        }
    }
    told(reader, from, to, found)
}

fn of(row: &Row, recorded: &Recorded, change: &Change, kind: ChangeKind, id: Cursor) -> Found {
    let decision = &recorded.decision;
    Found {
        id,
        line: row.position,
        kind,
        at: Resolved {
            at: decision.at,
            stream_time: row.stream_time,
            by: recorded.head.as_ref().map(|head| head.origin.clone()),
        },
        change: change.clone(),
        key: decision.key.clone().filter(|key| key.id() == change.key),
    }
}

/// Adds what each change left behind. Backwards: what a change found is what the one before it left.
fn told(reader: &Reader, from: Cursor, to: Cursor, found: Vec<Found>) -> Result<Batch, Problem> {
    let mut next: HashMap<KeyId, Option<Arc<Marks>>> = HashMap::new();
    let mut keys: HashMap<KeyId, Key> = HashMap::new();
    let mut changes = Vec::with_capacity(found.len());
    for Found { id, line, kind, at, change, key } in found.into_iter().rev() {
        let after = match next.insert(change.key, change.before.clone()) {
            Some(after) => after,
            None => {
                let state = left_behind(line, change.key, reader)?;
                state.map(|state| {
                    keys.insert(change.key, state.key);
                    state.marks
                })
            }
        };
        // Retention has taken the record, and nothing in the journal says whose it was.
        let Some(key) = keys.get(&change.key).cloned().or(key) else { continue };
        let Some(after) = issue_after(kind, &change, after.as_deref(), &at) else { continue };
        let frame = frame(id, kind, &after.view(&key))?;
        changes.push(Told { key, before: change.before, after, frame });
    }
    changes.reverse();
    Ok(Batch { from, to, changes })
}

/// The issue as a change left it. One that is taken back, or that retention has removed since, is what it was, resolved.
fn issue_after(kind: ChangeKind, change: &Change, after: Option<&Marks>, at: &Resolved) -> Option<Issue> {
    if let Some(issue) = after.and_then(|marks| marks.issue.as_ref()) {
        return Some(issue.clone());
    }
    let mut issue = change.before.as_ref()?.issue.clone()?;
    if !matches!(kind, ChangeKind::Resolved | ChangeKind::Withdrawn) {
        return None;
    }
    issue.state = IssueState::Resolved;
    issue.resolved_at = Some(if kind == ChangeKind::Withdrawn { at.stream_time } else { at.at });
    issue.resolved_by.clone_from(&at.by);
    issue.updated_at = at.stream_time;
    Some(issue)
}

fn frame(id: Cursor, kind: ChangeKind, view: &View) -> Result<Bytes, Problem> {
    // What was withdrawn is no longer broken, as in the events that are published.
    let kind = if kind == ChangeKind::Withdrawn { ChangeKind::Resolved } else { kind };
    let mut frame = format!("id: {id}\nevent: {kind}\ndata: ").into_bytes();
    // JSON has no line ends of its own.
    frame.extend_from_slice(&bytes(view)?);
    frame.extend_from_slice(b"\n\n");
    Ok(frame.into())
}
