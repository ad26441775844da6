//! Two results beside each other: which issues appear, vanish and differ, and the event that made it so.
//!
//! Not compared are an issue's number and its relations: they follow from which other issues there are.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::domain::decision::Decision;
use crate::domain::ids::{KeyId, Position};
use crate::domain::issue::{Origin, View};
use crate::domain::row::Entry;
use crate::store::{self, Reader};

use super::history::Timeline;

/// Members of an issue that follow from others.
const FOLLOWING: [&str; 3] = ["number", "relatedFrom", "relatedTo"];

/// What differs, in a fixed order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Diff {
    /// Issues that are there only on the second side.
    pub appear: Vec<Alone>,
    /// Issues that are there only on the first.
    pub vanish: Vec<Alone>,
    /// Issues that are on both sides and not the same.
    pub differ: Vec<Differing>,
    /// How many are the same.
    pub same: u64,
}

/// An issue that is on one side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alone {
    /// The issue.
    pub issue: View,
    /// The event that made the difference; null where it cannot be told any more.
    pub event: Option<Cause>,
}

/// An issue that is on both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Differing {
    /// The issue as it is on the second side.
    pub issue: View,
    /// What differs, by the name of the member.
    pub fields: Vec<Field>,
}

/// One member of an issue.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Field {
    /// Its name.
    pub field: String,
    /// Its value on the first side.
    pub before: Value,
    /// Its value on the second.
    pub after: Value,
    /// The event that made the difference; null where it cannot be told any more.
    pub event: Option<Cause>,
}

/// The event from which on two results differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// Its id.
    pub id: String,
    /// Its source.
    pub source: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: String,
    /// Where it stands: its sequence, or its line of a file.
    pub sequence: String,
    /// What became of it on the first side; null where nobody knows.
    pub before: Option<Became>,
    /// What became of it on the second.
    pub after: Option<Became>,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Became {
    /// Its outcome, or the fate that kept it from counting.
    pub outcome: String,
    /// The rule that decided, or null.
    pub rule: Option<String>,
    /// Why, in words.
    pub why: String,
}

impl Became {
    fn of(decision: &Decision) -> Became {
        let Decision { rule, why, .. } = decision;
        Became { outcome: decision.outcome_word().to_owned(), rule: rule.clone(), why: why.clone() }
    }
}

impl Diff {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.appear.is_empty() && self.vanish.is_empty() && self.differ.is_empty()
    }

    /// Compares the issues of two sides without saying why they differ.
    pub fn of(before: Vec<View>, after: Vec<View>) -> Diff {
        let by_id = |views: Vec<View>| views.into_iter().map(|view| (order(&view), view)).collect::<BTreeMap<_, _>>();
        let (before, mut after) = (by_id(before), by_id(after));
        let mut diff = Diff::default();
        for (key, old) in before {
            let Some(new) = after.remove(&key) else {
                diff.vanish.push(Alone { issue: old, event: None });
                continue;
            };
            let fields = fields(&old, &new);
            match fields.is_empty() {
                true => diff.same += 1,
                false => diff.differ.push(Differing { issue: new, fields }),
            }
        }
        diff.appear = after.into_values().map(|issue| Alone { issue, event: None }).collect();
        diff
    }

    /// Compares two folds of the same events, and finds for every difference the event from which on it is there.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn of_folds(before: &Reader, after: &Reader) -> Result<Diff, store::Error> {
        let mut diff = Diff::of(super::issues(before), super::issues(after));
        let sides = Sides { before, after };
        for alone in diff.appear.iter_mut().chain(&mut diff.vanish) {
            alone.event = sides.cause(KeyId(alone.issue.id), |issue| Some(Value::Bool(issue.is_some())))?;
        }
        for differing in &mut diff.differ {
            let id = KeyId(differing.issue.id);
            for field in &mut differing.fields {
                field.event = sides.cause(id, |issue| issue?.get(&field.field).cloned())?;
            }
        }
        Ok(diff)
    }
}

/// People look for a thing by its name; the id tells apart what shares one.
fn order(view: &View) -> (String, String, String, uuid::Uuid) {
    let scope = &view.scope;
    let scope = format!("{}/{}/{}", scope.resource_type, scope.resource_name, scope.resource_namespace);
    (view.namespace.clone(), scope, view.check.clone(), view.id)
}

fn members(view: &View) -> Map<String, Value> {
    match serde_json::to_value(view) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

fn fields(before: &View, after: &View) -> Vec<Field> {
    let (mut before, mut after) = (members(before), members(after));
    let names: BTreeSet<String> = before.keys().chain(after.keys()).cloned().collect();
    let mut fields = Vec::new();
    for field in names.into_iter().filter(|name| !FOLLOWING.contains(&name.as_str())) {
        let (before, after) = (before.remove(&field).unwrap_or_default(), after.remove(&field).unwrap_or_default());
        if before != after {
            fields.push(Field { field, before, after, event: None });
        }
    }
    fields
}

/// Two folds of the same events.
struct Sides<'a> {
    before: &'a Reader,
    after: &'a Reader,
}

impl Sides<'_> {
    /// The event behind which what `part` gives of an issue differs for good.
    fn cause(&self, id: KeyId, part: impl Fn(Option<&Value>) -> Option<Value>) -> Result<Option<Cause>, store::Error> {
        let (before, after) = (Timeline::of(self.before, id)?, Timeline::of(self.after, id)?);
        let places: BTreeSet<Position> = before.positions().chain(after.positions()).collect();
        let differs = |at: &&Position| part(before.at(**at)) != part(after.at(**at));
        match places.iter().rev().take_while(differs).last() {
            Some(position) => self.event(*position),
            None => Ok(None),
        }
    }

    fn event(&self, position: Position) -> Result<Option<Cause>, store::Error> {
        let before = met(self.before, position)?;
        let after = met(self.after, position)?;
        let Some((origin, ty, _)) = before.as_ref().or(after.as_ref()) else { return Ok(None) };
        let cause = Cause {
            id: origin.id.clone(),
            source: origin.source.clone(),
            ty: ty.clone(),
            sequence: position.to_string(),
            before: before.as_ref().map(|(_, _, became)| became.clone()),
            after: after.as_ref().map(|(_, _, became)| became.clone()),
        };
        Ok(Some(cause))
    }
}

/// The event of a line, and what became of it.
fn met(reader: &Reader, position: Position) -> Result<Option<(Origin, String, Became)>, store::Error> {
    let Some(row) = reader.row(position)? else { return Ok(None) };
    let Entry::Event(recorded) = &row.entry else { return Ok(None) };
    let head = recorded.head.as_ref();
    Ok(head.map(|head| (head.origin.clone(), head.ty.clone(), Became::of(&recorded.decision))))
}

/// The event of a line of a replay that is compared with what somebody else shows.
///
/// # Errors
/// When the journal cannot be read.
pub fn cause_at(reader: &Reader, position: Position) -> Result<Option<Cause>, store::Error> {
    let found = met(reader, position)?;
    Ok(found.map(|(Origin { source, id }, ty, became)| Cause {
        id,
        source,
        ty,
        sequence: position.to_string(),
        before: Some(became),
        after: None,
    }))
}

/// The first line with an event of this source and id.
///
/// # Errors
/// When the journal cannot be read.
pub fn find(reader: &Reader, origin: &Origin) -> Result<Option<Position>, store::Error> {
    let mark = crate::domain::row::Mark::EventId(&origin.id).hash();
    for position in reader.positions(mark)? {
        if met(reader, position)?.is_some_and(|(found, _, _)| found == *origin) {
            return Ok(Some(position));
        }
    }
    Ok(None)
}
