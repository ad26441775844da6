//! The configuration as written: which key has which value, and from which layer.

use std::collections::BTreeMap;
use std::path::Path;

use super::keys::KEYS;
use super::mistakes::{Mistakes, did_you_mean};
use super::node::{Node, Origin};

/// What was written, key by key; of several layers the last one counts. Nothing is checked but the names of keys.
#[derive(Clone, Debug, Default)]
pub struct RawConfig {
    entries: BTreeMap<&'static str, Node>,
}

impl RawConfig {
    /// Lays the file over what there is.
    pub fn file(&mut self, text: &str, path: &Path, mistakes: &mut Mistakes) {
        match Node::from_yaml(text, path) {
            Err(mistake) => mistakes.0.push(mistake),
            Ok(root) if root.is_null() => {}
            Ok(root) => self.section("", &root, mistakes),
        }
    }

    /// Lays variables of the environment over what there is. An empty one counts as not set.
    pub fn variables<'a>(&mut self, variables: impl IntoIterator<Item = (&'a str, &'a str)>) {
        for (name, text) in variables {
            let known = KEYS.iter().find_map(|key| key.variable.filter(|v| *v == name).map(|v| (key.path, v)));
            if let Some((path, name)) = known.filter(|_| !text.is_empty()) {
                self.entries.insert(path, Node::text_of(text, Origin::Variable(name)));
            }
        }
    }

    /// Lays flags over what there is; each is a path and what was typed.
    pub fn flags<'a>(&mut self, flags: impl IntoIterator<Item = (&'a str, String)>) {
        for (path, text) in flags {
            let known = KEYS.iter().find_map(|key| key.flag.filter(|_| key.path == path).map(|f| (key.path, f)));
            if let Some((path, flag)) = known {
                self.entries.insert(path, Node::text_of(text, Origin::Flag(flag)));
            }
        }
    }

    /// The value of a key, where one is written.
    pub(super) fn get(&self, path: &str) -> Option<&Node> {
        self.entries.get(path)
    }

    fn section(&mut self, prefix: &str, node: &Node, mistakes: &mut Mistakes) {
        let entries = match node.map() {
            Ok(entries) => entries,
            Err(problem) if prefix.is_empty() => return mistakes.at(&node.origin, format!("the file {problem}")),
            Err(problem) => return mistakes.add(node, prefix, problem),
        };
        for (name, value) in entries {
            let path = if prefix.is_empty() { name.text.clone() } else { format!("{prefix}.{}", name.text) };
            // A dot is ours, for paths in messages; in the file sections are nested.
            let plain = !name.text.contains('.');
            if let Some(key) = KEYS.iter().find(|key| plain && key.path == path) {
                if !value.is_null() {
                    self.entries.insert(key.path, value.clone());
                }
            } else if plain && is_section(&path) {
                if !value.is_null() {
                    self.section(&path, value, mistakes);
                }
            } else {
                let hint = did_you_mean(&name.text, children(prefix));
                mistakes.at(&name.origin, format!("unknown key {path:?}{hint}"));
            }
        }
    }
}

fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// The names that may stand in a section.
fn children(prefix: &str) -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter_map(move |key| {
        let rest = if prefix.is_empty() { key.path } else { key.path.strip_prefix(prefix)?.strip_prefix('.')? };
        rest.split('.').next()
    })
}
