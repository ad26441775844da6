//! The JSON of issues.

use std::sync::Arc;

use super::{Catalog, Past, Relations};
use crate::domain::ids;
use crate::domain::issue::{KeyState, Related, View};

/// The view of an issue with its relations; none where the key has no issue.
pub fn view(catalog: &Catalog, state: &KeyState) -> Option<View> {
    view_with(state, || catalog.related(state))
}

/// The view of an issue as it was, with its relations of then.
pub fn view_then(past: &Past, now: &Catalog, state: &KeyState) -> Option<View> {
    view_with(state, || past.related(now, state))
}

/// The view of an issue without its relations; none where the key has no issue.
pub fn alone(state: &KeyState) -> Option<View> {
    Some(state.marks.issue.as_ref()?.view(&state.key))
}

fn view_with(state: &KeyState, relations: impl FnOnce() -> Relations) -> Option<View> {
    let mut view = alone(state)?;
    let relations = relations();
    view.related_from = relations.newer.iter().filter_map(|far| related(&view, far, true)).collect();
    view.related_to = relations.older.iter().filter_map(|far| related(&view, far, false)).collect();
    Some(view)
}

fn related(near: &View, far: &Arc<KeyState>, newer: bool) -> Option<Related> {
    let far = far.marks.issue.as_ref()?.related_end(&far.key);
    let (source_id, target_id) = if newer { (near.id, far.id) } else { (far.id, near.id) };
    let id = ids::derive("relation", &[&source_id.to_string(), &target_id.to_string()]);
    Some(Related { id, source_id, target_id, issue: far })
}
