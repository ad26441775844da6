//! Values as written, each with the place it was written in.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::mistakes::Mistake;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the configuration file; line and column count from 1.
    File {
        /// The file as it was named.
        path: Arc<str>,
        /// Its line.
        line: u64,
        /// Its column.
        column: u64,
    },
    /// A variable of the environment.
    Variable(&'static str),
    /// A flag of the command line, with its dashes.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Origin::Variable(name) => write!(f, "variable {name}"),
            Origin::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One value and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What is written.
    pub value: Value,
    /// Where.
    pub origin: Origin,
}

/// A value of the configuration as written.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing behind the colon, or `null`: as if the key were not there.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, with its text.
    Number(String),
    /// Text. From a variable or a flag everything is text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values in the order of the file.
    Map(Vec<(Name, Node)>),
}

/// A key and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Name {
    /// The key.
    pub text: String,
    /// Where it stands.
    pub origin: Origin,
}

impl Node {
    /// A value of a variable or a flag.
    pub fn text_of(text: impl Into<String>, origin: Origin) -> Node {
        Node { value: Value::Text(text.into()), origin }
    }

    /// Reads a YAML file; `path` is only what mistakes call it.
    ///
    /// # Errors
    /// What is not YAML, at its place.
    pub fn from_yaml(text: &str, path: &Path) -> Result<Node, Mistake> {
        let path: Arc<str> = path.display().to_string().into();
        let at = |location: serde_saphyr::Location| Origin::File {
            path: path.clone(),
            line: location.line(),
            column: location.column(),
        };
        // A file with nothing but comments configures nothing; the reader would call it a missing document.
        let empty = text.lines().all(|line| line.trim_start().starts_with('#') || line.trim().is_empty());
        if empty {
            return Ok(Node { value: Value::Null, origin: Origin::File { path: path.clone(), line: 1, column: 1 } });
        }
        match serde_saphyr::from_str::<Spanned<Tree>>(text) {
            Ok(tree) => Ok(place(tree, &at)),
            Err(error) => {
                let origin = match error.location() {
                    Some(location) => at(location),
                    None => Origin::File { path: path.clone(), line: 1, column: 1 },
                };
                let message = plain(&error.without_snippet().to_string());
                Err(Mistake { origin: Some(origin), message })
            }
        }
    }

    /// Text, or why it is not.
    pub(super) fn text(&self) -> Result<&str, String> {
        match &self.value {
            Value::Text(text) => Ok(text),
            Value::Number(text) => Err(format!("{text} is a number; put it in quotes")),
            Value::Bool(value) => Err(format!("{value} is a boolean; put it in quotes")),
            _ => Err(format!("is {}, not text", self.kind())),
        }
    }

    /// The spelling of text or of a number, for values like sizes that may be both.
    pub(super) fn scalar(&self) -> Result<&str, String> {
        match &self.value {
            Value::Text(text) | Value::Number(text) => Ok(text),
            _ => Err(format!("is {}, not a single value", self.kind())),
        }
    }

    /// `true` or `false`; as text only from variables and flags, which know nothing else.
    pub(super) fn flag(&self) -> Result<bool, String> {
        match &self.value {
            Value::Bool(value) => Ok(*value),
            Value::Text(text) if !self.is_from_file() => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok(true),
                "false" | "no" | "off" | "0" => Ok(false),
                _ => Err(format!("{text:?} is not true or false")),
            },
            _ => Err(format!("is {}, not true or false", self.kind())),
        }
    }

    /// A whole number of at least `least`.
    pub(super) fn number(&self, least: u32) -> Result<u32, String> {
        let text = match &self.value {
            Value::Number(text) => text,
            Value::Text(text) if !self.is_from_file() => text,
            _ => return Err(format!("is {}, not a number", self.kind())),
        };
        text.parse().ok().filter(|n| *n >= least).ok_or_else(|| {
            if text.parse::<f64>().is_ok() {
                format!("{text} is not a whole number from {least} to {}", u32::MAX)
            } else {
                format!("{text:?} is not a number")
            }
        })
    }

    /// The items of a list; from variables and flags they are parted by commas.
    pub(super) fn list(&self) -> Result<Vec<Node>, String> {
        match &self.value {
            Value::List(items) => Ok(items.clone()),
            Value::Text(text) if !self.is_from_file() => Ok(text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| Node::text_of(item, self.origin.clone()))
                .collect()),
            _ => Err(format!("is {}, not a list", self.kind())),
        }
    }

    /// Keys and values.
    pub(super) fn map(&self) -> Result<&[(Name, Node)], String> {
        match &self.value {
            Value::Map(entries) => Ok(entries),
            _ => Err(format!("is {}, not keys and values", self.kind())),
        }
    }

    pub(super) fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    fn is_from_file(&self) -> bool {
        matches!(self.origin, Origin::File { .. })
    }

    fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "empty",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "keys and values",
        }
    }
}

/// The reader's message without the place, which stands before it, and without advice for programmers.
fn plain(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let line = line.split(", set DuplicateKeyPolicy").next().unwrap_or_default();
    match line.rsplit_once(" at line ") {
        Some((message, place)) if place.contains(", column ") => message,
        _ => line,
    }
    .to_owned()
}

/// What serde gives, before the name of the file is put to it.
enum Tree {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Spanned<Tree>>),
    Map(Vec<(Spanned<String>, Spanned<Tree>)>),
}

fn place(tree: Spanned<Tree>, at: &impl Fn(serde_saphyr::Location) -> Origin) -> Node {
    let value = match tree.value {
        Tree::Null => Value::Null,
        Tree::Bool(value) => Value::Bool(value),
        Tree::Number(text) => Value::Number(text),
        Tree::Text(text) => Value::Text(text),
        Tree::List(items) => Value::List(items.into_iter().map(|item| place(item, at)).collect()),
        Tree::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(name, value)| (Name { text: name.value, origin: at(name.referenced) }, place(value, at)))
                .collect(),
        ),
    };
    Node { value, origin: at(tree.referenced) }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Tree, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Null)
            }

            fn visit_none<E>(self) -> Result<Tree, E> {
                Ok(Tree::Null)
            }

            fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Tree, D::Error> {
                from.deserialize_any(Any)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
                Ok(Tree::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
                Ok(Tree::Number(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
                Ok(Tree::Number(value.to_string()))
            }

            fn visit_i128<E>(self, value: i128) -> Result<Tree, E> {
                Ok(Tree::Number(value.to_string()))
            }

            fn visit_u128<E>(self, value: u128) -> Result<Tree, E> {
                Ok(Tree::Number(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
                Ok(Tree::Number(value.to_string()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
                Ok(Tree::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Tree::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Tree::Map(entries))
            }
        }
        from.deserialize_any(Any)
    }
}
