//! Takes a YAML mapping apart key by key, and knows at the end which keys nobody asked for.

use std::collections::HashSet;

use super::problem::{At, Problems};
use super::{Key, Kind, Node};

/// Text with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Where it stands.
    pub at: At,
    /// The text.
    pub text: String,
}

/// A mapping being read.
pub struct Fields<'n> {
    at: At,
    what: &'static str,
    entries: &'n [(Key, Node)],
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The fields of `node`; notes a mistake where it is not a mapping. `what` names it in messages.
    pub fn of(node: &'n Node, what: &'static str, problems: &mut Problems) -> Option<Fields<'n>> {
        match &node.kind {
            Kind::Map(entries) => Some(Fields { at: node.at, what, entries, known: Vec::new() }),
            _ => {
                problems.add(node.at, format!("{what} is {}, not a mapping", node.kind_word()));
                None
            }
        }
    }

    /// Where the mapping stands.
    pub fn at(&self) -> At {
        self.at
    }

    /// The value of `key`; an empty one counts as absent.
    pub fn get(&mut self, key: &'static str) -> Option<&'n Node> {
        self.known.push(key);
        let found = self.entries.iter().rfind(|(k, _)| k.name == key)?;
        (!matches!(found.1.kind, Kind::Null)).then_some(&found.1)
    }

    /// The value of `key`; notes a mistake where it is absent.
    pub fn require(&mut self, key: &'static str, problems: &mut Problems) -> Option<&'n Node> {
        let found = self.get(key);
        if found.is_none() {
            problems.add(self.at, format!("{} has no {key:?}", self.what));
        }
        found
    }

    /// The text of `key`.
    pub fn text(&mut self, key: &'static str, problems: &mut Problems) -> Option<Text> {
        self.get(key).and_then(|node| text(node, key, problems))
    }

    /// The text of `key`; notes a mistake where it is absent or empty.
    pub fn require_text(&mut self, key: &'static str, problems: &mut Problems) -> Option<Text> {
        let found = self.require(key, problems).and_then(|node| text(node, key, problems))?;
        if found.text.trim().is_empty() {
            problems.add(found.at, format!("{key} is empty"));
            return None;
        }
        Some(found)
    }

    /// A list of texts, or one text.
    pub fn texts(&mut self, key: &'static str, problems: &mut Problems) -> Vec<Text> {
        self.items(key).into_iter().filter_map(|node| text(node, key, problems)).collect()
    }

    /// The items of a list; a single value is a list of one.
    pub fn items(&mut self, key: &'static str) -> Vec<&'n Node> {
        match self.get(key) {
            Some(Node { kind: Kind::List(list), .. }) => list.iter().collect(),
            Some(node) => vec![node],
            None => Vec::new(),
        }
    }

    /// `true` or `false`; false where absent.
    pub fn flag(&mut self, key: &'static str, problems: &mut Problems) -> bool {
        match self.get(key) {
            None => false,
            Some(Node { kind: Kind::Bool(b), .. }) => *b,
            Some(node) => {
                problems.add(node.at, format!("{key} is {}, not true or false", node.kind_word()));
                false
            }
        }
    }

    /// Whether `key` stands in the mapping.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(k, _)| k.name == key)
    }

    /// Notes the keys that nobody asked for and those that stand twice.
    pub fn finish(self, problems: &mut Problems) {
        let mut seen = HashSet::new();
        for (key, _) in self.entries {
            if !self.known.contains(&key.name.as_str()) {
                problems.unknown(key.at, "key", &key.name, &self.known);
            } else if !seen.insert(key.name.as_str()) {
                problems.add(key.at, format!("key {:?} stands twice", key.name));
            }
        }
    }
}

/// The text of a scalar; numbers and booleans as they are written.
pub fn text(node: &Node, what: &str, problems: &mut Problems) -> Option<Text> {
    let text = match &node.kind {
        Kind::Text(t) => t.clone(),
        Kind::Number(_, spelled) => spelled.clone(),
        Kind::Bool(b) => b.to_string(),
        Kind::Null | Kind::List(_) | Kind::Map(_) => {
            problems.add(node.at, format!("{what} is {}, not text", node.kind_word()));
            return None;
        }
    };
    Some(Text { at: node.at, text })
}
