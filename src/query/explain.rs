//! `?explain=true` of an event: each rule tried, what it was held against, and what it did to issues.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use uuid::Uuid;

use super::{Problem, State};
use crate::domain::decision::{Change, Fate, Layer};
use crate::domain::issue::{ChangeKind, Key, Newest, Origin, Outcome, View};
use crate::domain::lookup::Lookup as _;
use crate::domain::messages::{event_of, left_behind};
use crate::domain::row::{Entry, Mark, Recorded, Row};
use crate::domain::rules::{RuleSet, Tried};
use crate::domain::time::Time;
use crate::store::Reader;

/// Changes of issues that are shown of one event; a success for a scope may resolve more.
const CHANGES: usize = 20;

/// How the decision came about.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trail {
    /// The rules tried, in order, by the set that judged the event, each condition with the value it saw; the last one decided,
    /// where any did. Empty where no rule was asked, null where that set is not kept any more.
    pub tried: Option<Vec<Tried>>,
    /// What the event was held against: of a repeat the line that it repeats, else what had been said of its key before.
    pub against: Option<Against>,
    /// What happened to issues, up to 20 of them.
    pub changes: Vec<ChangeView>,
    /// How many issues were changed.
    pub changed: usize,
}

/// An earlier word.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Against {
    /// Where it stands.
    pub sequence: String,
    /// Its time, by which the newest run is found; of a repeated event when the stream took it first.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// The run that spoke; null for a repeated event.
    pub run: Option<String>,
    /// What that run came to.
    pub outcome: Option<Outcome>,
    /// The event that stands there, where it is still kept.
    pub event: Option<Origin>,
}

/// A change of an issue.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangeView {
    /// The issue.
    pub issue_id: Uuid,
    /// What happened.
    pub change: ChangeKind,
    /// The issue before; null where there was none.
    pub before: Option<View>,
    /// The issue as the event left it; null where it was withdrawn, or retention has removed it since.
    pub after: Option<View>,
}

/// The rule set that was asked for last, compiled.
#[derive(Default)]
pub struct Sets {
    last: Mutex<Option<(String, Arc<RuleSet>)>>,
}

impl Sets {
    /// The set with a short hash, where its texts are kept.
    fn get(&self, reader: &Reader, short: &str) -> Result<Option<Arc<RuleSet>>, Problem> {
        if let Some((_, set)) = self.last.lock().as_ref().filter(|(known, _)| known == short) {
            return Ok(Some(set.clone()));
        }
        let kept = reader.rules()?;
        let Some(texts) = kept.iter().find(|texts| texts.hash.get(..12).unwrap_or(&texts.hash) == short) else {
            return Ok(None);
        };
        let Ok(set) = RuleSet::compile(&texts.files) else { return Ok(None) };
        let set = Arc::new(set);
        *self.last.lock() = Some((short.to_owned(), set.clone()));
        Ok(Some(set))
    }
}

/// How the decision about a line came about.
pub fn trail(state: &State, row: &Row, recorded: &Recorded) -> Result<Trail, Problem> {
    let (reader, decision) = (&state.reader, &recorded.decision);
    let shown = |change: &&Change| change.kind.is_some();
    let mut changes = Vec::new();
    for change in decision.changes.iter().filter(shown).take(CHANGES) {
        changes.extend(change_view(reader, row, decision.key.as_ref(), change)?);
    }
    Ok(Trail {
        tried: tried(state, recorded)?,
        against: against(reader, row, recorded)?,
        changes,
        changed: decision.changes.iter().filter(shown).count(),
    })
}

fn tried(state: &State, recorded: &Recorded) -> Result<Option<Vec<Tried>>, Problem> {
    let decision = &recorded.decision;
    // These are settled before any rule is asked.
    let unasked = matches!(decision.fate, Fate::Own | Fate::Answered | Fate::Duplicate(Layer::Id));
    let event = event_of(recorded).filter(|_| recorded.head.is_some() && !unasked);
    let Some(event) = event else { return Ok(Some(Vec::new())) };
    let set = state.sets.get(&state.reader, &decision.rule_set)?;
    Ok(set.map(|set| set.explain(&event).tried))
}

fn change_view(reader: &Reader, row: &Row, key: Option<&Key>, change: &Change) -> Result<Option<ChangeView>, Problem> {
    let Some(kind) = change.kind else { return Ok(None) };
    let after = left_behind(row.position, change.key, reader)?;
    let key = after.as_ref().map(|state| &state.key).or(key.filter(|key| key.id() == change.key));
    let before = change.before.as_ref().and_then(|marks| marks.issue.as_ref());
    let before = before.zip(key).map(|(issue, key)| issue.view(key));
    let after = after.as_ref().and_then(|state| Some(state.marks.issue.as_ref()?.view(&state.key)));
    Ok(Some(ChangeView { issue_id: change.key.0, change: kind, before, after }))
}

fn against(reader: &Reader, row: &Row, recorded: &Recorded) -> Result<Option<Against>, Problem> {
    let decision = &recorded.decision;
    if decision.fate == Fate::Duplicate(Layer::Id) {
        return repeated(reader, row, recorded);
    }
    let Some(key) = decision.key.as_ref().filter(|_| decision.outcome != Outcome::Neutral) else { return Ok(None) };
    let id = key.id();
    let newest = match decision.changes.iter().find(|change| change.key == id) {
        Some(change) => change.before.as_ref().and_then(|marks| marks.newest.clone()),
        // It changed nothing, so what it left is what it found.
        None => left_behind(row.position, id, reader)?.and_then(|state| state.marks.newest.clone()),
    };
    // A key that nobody had spoken of goes by what was said for its whole scope.
    let for_scope = || reader.scope(key.scope_id()).and_then(|scope| scope.success.clone());
    let newest = newest.or_else(for_scope).filter(|newest| newest.position < row.position);
    newest.map(|newest| word(reader, newest)).transpose()
}

fn word(reader: &Reader, newest: Newest) -> Result<Against, Problem> {
    let row = reader.row(newest.position)?;
    Ok(Against {
        sequence: newest.position.to_string(),
        at: newest.at,
        run: Some(newest.run),
        outcome: Some(newest.outcome),
        event: row.as_deref().and_then(origin),
    })
}

/// The first line with the same source and id.
fn repeated(reader: &Reader, row: &Row, recorded: &Recorded) -> Result<Option<Against>, Problem> {
    let Some(head) = &recorded.head else { return Ok(None) };
    let same = |line: &&Arc<Row>| match &line.entry {
        Entry::Event(r) => {
            line.position < row.position
                && r.decision.fate != Fate::Parked
                && r.head.iter().map(|h| &h.origin).chain(r.retry.iter().map(|r| &r.by)).any(|o| *o == head.origin)
        }
        Entry::Own(_) => false,
    };
    let rows = reader.rows(Mark::EventId(&head.origin.id).hash())?;
    Ok(rows.iter().find(same).map(|line| Against {
        sequence: line.position.to_string(),
        at: line.stream_time,
        run: None,
        outcome: None,
        event: origin(line),
    }))
}

fn origin(row: &Row) -> Option<Origin> {
    match &row.entry {
        Entry::Event(recorded) => recorded.head.as_ref().map(|head| head.origin.clone()),
        Entry::Own(_) => None,
    }
}
