//! The issues as they were at an earlier moment: those of now, but for the ones that have changed since.

use std::collections::HashSet;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::select::{Filter, Page, Selection};
use super::values::Hashed;
use super::{Catalog, RELATED, Relations};
use crate::domain::ids::KeyId;
use crate::domain::issue::{Key, KeyState, Marks};

/// What has changed since a moment, as it was then. Together with the catalogue of now it answers as the one of then did.
#[derive(Debug, Default)]
pub struct Past {
    /// The keys that have changed, with their records of then where those could be made already.
    changed: HashSet<KeyId, Hashed>,
    /// The issues of then of those keys.
    then: Catalog,
    /// The slots of the changed keys in the catalogue of now, for one version of it.
    slots: (u64, RoaringBitmap),
}

impl Past {
    /// Notes what a change found. Of several changes of a key the first since the moment counts. `key` is asked where there was
    /// an issue; where it has no answer, the issue is missing.
    pub fn note(&mut self, id: KeyId, before: Option<&Arc<Marks>>, key: impl FnOnce() -> Option<Key>) {
        if self.changed.insert(id)
            && let Some(marks) = before.filter(|marks| marks.issue.is_some())
            && let Some(key) = key()
        {
            self.then.put(id, Some(Arc::new(KeyState { key, marks: marks.clone() })));
        }
    }

    /// How many keys have changed.
    pub fn len(&self) -> usize {
        self.changed.len()
    }

    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty()
    }

    /// Makes ready for a version of the catalogue of now, of which all changes are noted.
    pub fn follow(&mut self, now: &Catalog) {
        if self.slots.0 != now.version() {
            self.slots = (now.version(), now.slots(self.changed.iter().copied()));
        }
    }

    /// The record of a key as it was.
    pub fn get(&self, now: &Catalog, id: KeyId) -> Option<Arc<KeyState>> {
        if self.changed.contains(&id) { self.then.get(id) } else { now.get(id) }
    }

    /// The key of the issue that had this number.
    pub fn numbered(&self, now: &Catalog, number: u64) -> Option<KeyId> {
        self.then.numbered(number).or_else(|| now.numbered(number).filter(|id| !self.changed.contains(id)))
    }

    /// One page of the issues that fitted a filter.
    pub fn select(&self, now: &Catalog, filter: &Filter, page: &Page) -> Selection {
        let skip = if page.after.is_some() { 0 } else { page.offset };
        // What comes first is among what comes first of each.
        let wide = Page { offset: 0, limit: page.limit.saturating_add(skip), ..*page };
        let same = now.select_without(filter, &wide, &self.slots.1);
        let then = self.then.select(filter, &wide);
        let total = same.total + then.total;
        let more = same.next.is_some() || then.next.is_some() || same.issues.len() + then.issues.len() > wide.limit;
        let mut issues = same.issues;
        issues.extend(then.issues);
        issues.sort_by_cached_key(|state| {
            let key = page.order.key(state).unwrap_or_default();
            if page.descending { !key } else { key }
        });
        issues.truncate(wide.limit);
        issues.drain(..skip.min(issues.len()));
        let next = issues.last().filter(|_| more).and_then(|state| page.order.key(state));
        Selection { issues, total, next }
    }

    /// Issues that were related to one.
    pub fn related(&self, now: &Catalog, state: &KeyState) -> Relations {
        let same = now.related_without(state, &self.slots.1);
        let then = self.then.related(state);
        let merge = |mut a: Vec<Arc<KeyState>>, b: Vec<Arc<KeyState>>| {
            a.extend(b);
            a.sort_by_key(|state| std::cmp::Reverse(state.marks.issue.as_ref().map_or(0, |issue| issue.number)));
            a.truncate(RELATED);
            a
        };
        Relations { newer: merge(same.newer, then.newer), older: merge(same.older, then.older) }
    }
}
