//! All keys, scopes and issues in memory, with the indexes that listings need; sled holds the durable form.
//!
//! A bitmap of issue numbers per value of each filter answers any combination of filters with its exact total; ordered
//! sets give the pages. Memory grows with issues, not with events.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::select::Order;
use crate::domain::ids::{KeyId, ScopeId};
use crate::domain::issue::{Issue, KeyState, Scope, ScopeState, Severity, State};
use crate::domain::time::Time;

/// What issues are filtered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// `namespace`.
    Namespace,
    /// `state`.
    State,
    /// `severity`.
    Severity,
    /// `issueType`.
    IssueType,
    /// `resourceType` of the scope.
    ResourceType,
    /// `resourceName` of the scope.
    ResourceName,
    /// `resourceNamespace` of the scope.
    ResourceNamespace,
    /// `check`.
    Check,
    /// `project`.
    Project,
    /// `stage`.
    Stage,
    /// `service`.
    Service,
    /// `keptnContext`.
    Context,
    /// A label, as `name=value`.
    Label,
}

const FIELDS: usize = Field::Label as usize + 1;

/// Everything but the journal.
#[derive(Debug, Default)]
pub struct Catalog {
    keys: HashMap<KeyId, Arc<KeyState>>,
    scopes: BTreeMap<ScopeId, Arc<ScopeState>>,
    named: HashMap<Scope, Vec<ScopeId>>,
    pub(super) numbers: BTreeMap<u32, KeyId>,
    pub(super) all: RoaringBitmap,
    pub(super) fields: [HashMap<Box<str>, RoaringBitmap>; FIELDS],
    pub(super) detected: BTreeSet<(Time, u32)>,
    pub(super) updated: BTreeSet<(Time, u32)>,
    pub(super) seen: BTreeSet<(Time, u32)>,
    pub(super) texts: HashMap<u32, Box<str>>,
}

impl Catalog {
    /// The record of a key.
    pub fn get(&self, id: KeyId) -> Option<&Arc<KeyState>> {
        self.keys.get(&id)
    }

    /// The record of a scope.
    pub fn scope(&self, id: ScopeId) -> Option<&Arc<ScopeState>> {
        self.scopes.get(&id)
    }

    /// All scopes, by id.
    pub fn scopes(&self) -> impl ExactSizeIterator<Item = (ScopeId, &Arc<ScopeState>)> {
        self.scopes.iter().map(|(id, s)| (*id, s))
    }

    /// All keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = (KeyId, &Arc<KeyState>)> {
        self.keys.iter().map(|(id, s)| (*id, s))
    }

    /// The key of the issue with this number.
    pub fn numbered(&self, number: u64) -> Option<KeyId> {
        self.numbers.get(&u32::try_from(number).ok()?).copied()
    }

    /// All scopes with these three parts, whatever their project and stage.
    pub fn scopes_named(&self, scope: &Scope) -> Vec<ScopeId> {
        self.named.get(scope).cloned().unwrap_or_default()
    }

    /// Issues there are.
    pub fn issues(&self) -> u64 {
        self.all.len()
    }

    /// How many issues have this state and severity.
    pub fn count(&self, state: State, severity: Severity) -> u64 {
        match (self.value(Field::State, state.as_str()), self.value(Field::Severity, severity.as_str())) {
            (Some(state), Some(severity)) => state.intersection_len(severity),
            _ => 0,
        }
    }

    /// Numbers of issues with a value.
    pub(super) fn value(&self, field: Field, value: &str) -> Option<&RoaringBitmap> {
        self.fields[field as usize].get(value)
    }

    /// The values of a field, with the numbers of issues that have them.
    pub fn values(&self, field: Field) -> impl Iterator<Item = (&str, &RoaringBitmap)> {
        self.fields[field as usize].iter().map(|(value, bits)| (&**value, bits))
    }

    /// Issues related to one: of the same scope, or of the same `shkeptncontext`; the newest first.
    pub fn related(&self, state: &KeyState) -> Vec<Arc<KeyState>> {
        let Some(issue) = &state.marks.issue else { return Vec::new() };
        let own = issue.number as u32;
        let mut numbers = RoaringBitmap::new();
        if let Some(scope) = self.scope(state.key.scope_id()) {
            numbers.extend(scope.keys.iter().filter_map(|id| self.number_of(*id)));
        }
        if !issue.context.is_empty()
            && let Some(same) = self.value(Field::Context, &issue.context)
        {
            numbers |= same;
        }
        numbers.remove(own);
        numbers.iter().rev().take(RELATED).filter_map(|n| self.by_number(n)).collect()
    }

    fn number_of(&self, id: KeyId) -> Option<u32> {
        self.keys.get(&id)?.marks.issue.as_ref().map(|i| i.number as u32)
    }

    pub(super) fn by_number(&self, number: u32) -> Option<Arc<KeyState>> {
        self.keys.get(self.numbers.get(&number)?).cloned()
    }

    /// Inserts, replaces or removes a key.
    pub fn put(&mut self, id: KeyId, state: Option<Arc<KeyState>>) {
        let old = match &state {
            Some(state) => self.keys.insert(id, state.clone()),
            None => self.keys.remove(&id),
        };
        let issue = |state: &Option<Arc<KeyState>>| state.as_ref().is_some_and(|s| s.marks.issue.is_some());
        if !issue(&old) && !issue(&state) {
            return;
        }
        self.index(id, old.as_deref(), state.as_deref());
    }

    /// Brings the indexes from one record of a key to the next; only what differs is touched.
    fn index(&mut self, id: KeyId, old: Option<&KeyState>, new: Option<&KeyState>) {
        let was = old.and_then(|s| s.marks.issue.as_ref().map(|i| (s, i)));
        let is = new.and_then(|s| s.marks.issue.as_ref().map(|i| (s, i)));
        if was.map(|(_, i)| i.number) != is.map(|(_, i)| i.number) {
            if let Some((state, issue)) = was {
                self.unlist(state, issue);
            }
            if let Some((state, issue)) = is {
                self.list(id, state, issue);
            }
            return;
        }
        let (Some((_, a)), Some((_, b))) = (was, is) else { return };
        let number = b.number as u32;
        for (field, from, to) in [
            (Field::State, a.state.as_str(), b.state.as_str()),
            (Field::Severity, a.severity.as_str(), b.severity.as_str()),
            (Field::Service, &*a.service, &*b.service),
            (Field::Context, &*a.context, &*b.context),
        ] {
            if from != to {
                self.clear(field, from, number);
                self.set(field, to, number);
            }
        }
        if a.labels != b.labels {
            a.labels.iter().for_each(|(k, v)| self.clear(Field::Label, &format!("{k}={v}"), number));
            b.labels.iter().for_each(|(k, v)| self.set(Field::Label, &format!("{k}={v}"), number));
        }
        for (order, from, to) in [
            (&mut self.detected, a.detected_at, b.detected_at),
            (&mut self.updated, a.updated_at, b.updated_at),
            (&mut self.seen, a.last_seen_at, b.last_seen_at),
        ] {
            if from != to {
                order.remove(&(from, number));
                order.insert((to, number));
            }
        }
        if a.title != b.title || a.description != b.description {
            self.texts.insert(number, searchable(b));
        }
    }

    fn list(&mut self, id: KeyId, state: &KeyState, issue: &Issue) {
        let number = issue.number as u32;
        self.numbers.insert(number, id);
        self.all.insert(number);
        for (field, value) in values(state, issue) {
            self.set(field, value, number);
        }
        issue.labels.iter().for_each(|(k, v)| self.set(Field::Label, &format!("{k}={v}"), number));
        self.detected.insert((issue.detected_at, number));
        self.updated.insert((issue.updated_at, number));
        self.seen.insert((issue.last_seen_at, number));
        self.texts.insert(number, searchable(issue));
    }

    fn unlist(&mut self, state: &KeyState, issue: &Issue) {
        let number = issue.number as u32;
        self.numbers.remove(&number);
        self.all.remove(number);
        for (field, value) in values(state, issue) {
            self.clear(field, value, number);
        }
        issue.labels.iter().for_each(|(k, v)| self.clear(Field::Label, &format!("{k}={v}"), number));
        self.detected.remove(&(issue.detected_at, number));
        self.updated.remove(&(issue.updated_at, number));
        self.seen.remove(&(issue.last_seen_at, number));
        self.texts.remove(&number);
    }

    fn set(&mut self, field: Field, value: &str, number: u32) {
        let values = &mut self.fields[field as usize];
        match values.get_mut(value) {
            Some(bits) => {
                bits.insert(number);
            }
            None => {
                values.insert(value.into(), RoaringBitmap::from_iter([number]));
            }
        }
    }

    fn clear(&mut self, field: Field, value: &str, number: u32) {
        let values = &mut self.fields[field as usize];
        if let Some(bits) = values.get_mut(value) {
            bits.remove(number);
            if bits.is_empty() {
                values.remove(value);
            }
        }
    }

    pub(super) fn order(&self, order: Order) -> Option<&BTreeSet<(Time, u32)>> {
        match order {
            Order::DetectedAt => Some(&self.detected),
            Order::UpdatedAt => Some(&self.updated),
            Order::LastSeenAt => Some(&self.seen),
            Order::Number | Order::Severity => None,
        }
    }

    /// Inserts, replaces or removes a scope.
    pub fn put_scope(&mut self, id: ScopeId, state: Option<Arc<ScopeState>>) {
        match state {
            Some(state) => {
                let named = self.named.entry(state.scope.clone()).or_default();
                if !named.contains(&id) {
                    named.push(id);
                }
                self.scopes.insert(id, state);
            }
            None => {
                let Some(old) = self.scopes.remove(&id) else { return };
                if let Some(named) = self.named.get_mut(&old.scope) {
                    named.retain(|n| *n != id);
                    if named.is_empty() {
                        self.named.remove(&old.scope);
                    }
                }
            }
        }
    }
}

/// Relations shown of one issue, at most.
pub const RELATED: usize = 50;

fn values<'a>(state: &'a KeyState, issue: &'a Issue) -> [(Field, &'a str); FIELDS - 1] {
    let (key, scope) = (&state.key, &state.key.scope);
    [
        (Field::Namespace, &key.namespace),
        (Field::State, issue.state.as_str()),
        (Field::Severity, issue.severity.as_str()),
        (Field::IssueType, key.issue_type.as_str()),
        (Field::ResourceType, &scope.resource_type),
        (Field::ResourceName, &scope.resource_name),
        (Field::ResourceNamespace, &scope.resource_namespace),
        (Field::Check, &key.check),
        (Field::Project, &key.project),
        (Field::Stage, &key.stage),
        (Field::Service, &issue.service),
        (Field::Context, &issue.context),
    ]
}

/// Title and description, folded to lower case, with a separator that no search text can hold.
fn searchable(issue: &Issue) -> Box<str> {
    format!("{}\u{0}{}", issue.title, issue.description).to_lowercase().into()
}
