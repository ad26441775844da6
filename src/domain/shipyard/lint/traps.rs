//! Properties that the merge of Keptn's control plane does not let through.
//!
//! What an executor gives back stays in `data` for the rest of the chain, and many give back the whole block they were asked
//! with. The properties of a later task of that name are merged into it: a number or a boolean that is there stays, and lists are
//! joined.

use super::chain::Chain;
use super::{Findings, Level};
use crate::domain::shipyard::Task;
use crate::domain::yaml::{Kind, Node};

pub(super) fn look(chain: &Chain<'_>, found: &mut Findings) {
    for node in 0..chain.nodes.len() {
        let before: Vec<&Task> = chain.before(node).into_iter().flat_map(|n| &chain.nodes[n].1.tasks).collect();
        let tasks = &chain.nodes[node].1.tasks;
        for (n, task) in tasks.iter().enumerate() {
            let earlier = before.iter().copied().chain(&tasks[..n]).filter(|t| t.name.text == task.name.text);
            let pairs = earlier.filter_map(|e| e.properties.as_ref()).zip(std::iter::repeat(task.properties.as_ref()));
            let mut told = Vec::new();
            for (old, new) in pairs.filter_map(|(old, new)| Some((old, new?))) {
                merged(old, new, &mut format!("properties of {:?}", task.name.text), &mut told, found);
            }
        }
    }
}

/// Compares what stands at the same place. `told` holds the places already spoken of.
fn merged(old: &Node, new: &Node, path: &mut String, told: &mut Vec<crate::domain::rules::At>, found: &mut Findings) {
    match (&old.kind, &new.kind) {
        (Kind::Map(old), Kind::Map(new)) => {
            for (key, value) in new {
                let Some((_, was)) = old.iter().rfind(|(k, _)| k.name == key.name) else { continue };
                let length = path.len();
                path.push_str(" › ");
                path.push_str(&key.name);
                merged(was, value, path, told, found);
                path.truncate(length);
            }
        }
        (Kind::Number(..) | Kind::Bool(_), _) if old.to_json() != new.to_json() && !told.contains(&new.at) => {
            told.push(new.at);
            let (kept, line) = (old.to_json(), old.at.line);
            let message = format!(
                "{path}: {kept} of line {line} stays where an executor gives it back, for a number or a boolean is never overwritten"
            );
            found.suggest(Level::Warning, new.at, message, format!("a string, like \"{kept}\", is"));
        }
        (Kind::List(old_items), Kind::List(new_items))
            if !old_items.is_empty() && !new_items.is_empty() && !told.contains(&new.at) =>
        {
            told.push(new.at);
            let message = format!(
                "{path}: put before the list of line {}, not in its place, where an executor gives that back",
                old.at.line
            );
            found.add(Level::Note, new.at, message);
        }
        _ => {}
    }
}
