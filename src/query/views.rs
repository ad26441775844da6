//! The JSON of issues.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::ids::{self, KeyId};
use crate::domain::issue::{KeyState, Related, View};
use crate::store::catalog::Catalog;

/// Makes views of issues with their relations. Issues at the far end of several are looked up once.
pub struct Views<'a> {
    catalog: &'a Catalog,
    far: HashMap<KeyId, Option<Arc<KeyState>>>,
}

impl<'a> Views<'a> {
    pub fn new(catalog: &'a Catalog) -> Views<'a> {
        Views { catalog, far: HashMap::new() }
    }

    /// The view of one issue; none where the key has none.
    pub fn of(&mut self, state: &KeyState) -> Option<View> {
        let mut view = state.marks.issue.as_ref()?.view(&state.key);
        let relations = self.catalog.related(state);
        view.related_from = self.relations(&view, &relations.newer, true);
        view.related_to = self.relations(&view, &relations.older, false);
        Some(view)
    }

    fn relations(&mut self, near: &View, ids: &[KeyId], newer: bool) -> Vec<Related> {
        let mut relations = Vec::with_capacity(ids.len());
        for id in ids {
            let far = self.far.entry(*id).or_insert_with(|| self.catalog.get(*id));
            let Some(state) = far.as_deref() else { continue };
            let Some(issue) = &state.marks.issue else { continue };
            let (source, target) = if newer { (near.id, id.0) } else { (id.0, near.id) };
            relations.push(Related {
                id: ids::derive("relation", &[&source.to_string(), &target.to_string()]),
                source_id: source,
                target_id: target,
                issue: issue.related_end(&state.key),
            });
        }
        relations
    }
}
