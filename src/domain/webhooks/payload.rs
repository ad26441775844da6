//! What a request carries.

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::domain::gotemplate::{Failure, Format, Named, Template};

/// Most bytes of a payload.
const MOST: usize = 8 << 20;

/// A payload.
#[derive(Clone, Debug)]
pub enum Payload {
    /// One template.
    Text(Template),
    /// JSON whose texts are templates.
    Tree(Tree),
}

/// A piece of JSON.
#[derive(Clone, Debug)]
pub enum Tree {
    Fixed(Value),
    Leaf(Template),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

/// What the content type says a text is; by the text itself where there is none.
pub fn format(content_type: Option<&str>, template: &Template) -> Format {
    let Some(given) = content_type else { return guess(template.lead()) };
    let media = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media.as_str() {
        "application/x-www-form-urlencoded" => Format::Form,
        "application/json" | "text/json" => Format::Json,
        json if json.ends_with("+json") => Format::Json,
        // A header that only the event tells.
        templated if templated.contains("{{") => guess(template.lead()),
        _ => Format::Text,
    }
}

/// What a text is that begins so.
fn guess(lead: &str) -> Format {
    let inside = lead.get(1..).unwrap_or_default().trim_start();
    let is_json = match lead.chars().next() {
        Some('{') => inside.is_empty() || inside.starts_with(['"', '}']),
        Some('[') => {
            let word = inside.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
            inside.is_empty()
                || inside.starts_with(['"', '{', '[', ']', '-'])
                || inside.starts_with(|c: char| c.is_ascii_digit())
                || matches!(word, "true" | "false" | "null")
        }
        _ => false,
    };
    let name = lead.split_once('=').map(|(name, _)| name).unwrap_or_default();
    let is_form = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.[]%+".contains(&b));
    match (is_json, is_form) {
        (true, _) => Format::Json,
        (_, true) => Format::Form,
        _ => Format::Text,
    }
}

impl Payload {
    /// Its content type where none is given.
    pub fn content_type(&self) -> &'static str {
        match self {
            Payload::Tree(_) => "application/json",
            Payload::Text(template) => match template.format() {
                Format::Json => "application/json",
                Format::Form => "application/x-www-form-urlencoded",
                Format::Text | Format::Url => "text/plain; charset=utf-8",
            },
        }
    }

    /// What can be found wrong before there is an event.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Payload::Text(template) if template.format() == Format::Json => {
                template.fixed().map_or(Ok(()), |fixed| is_json(&fixed))
            }
            _ => Ok(()),
        }
    }

    /// The bytes for a root.
    pub fn render(&self, root: &Value) -> Result<Vec<u8>, String> {
        match self {
            Payload::Text(template) => {
                let text = template.render(root, MOST).map_err(|failure| failure.to_string())?;
                if template.format() == Format::Json {
                    is_json(&text)?;
                }
                Ok(text.into_bytes())
            }
            Payload::Tree(tree) => {
                let mut left = MOST;
                let value = tree.render(root, &mut left).map_err(|failure| failure.to_string())?;
                serde_json::to_vec(&value).map_err(|e| e.to_string())
            }
        }
    }

    /// The templates in it.
    pub fn named(&self) -> Vec<&Named> {
        match self {
            Payload::Text(template) => template.named().iter().collect(),
            Payload::Tree(tree) => {
                let mut found = Vec::new();
                tree.named(&mut found);
                found
            }
        }
    }
}

impl Tree {
    fn render(&self, root: &Value, left: &mut usize) -> Result<Value, Failure> {
        match self {
            Tree::Fixed(value) => Ok(value.clone()),
            Tree::Leaf(template) => {
                let value = template.value(root, *left)?;
                let size = value.to_string().len();
                let over = || Failure { line: 0, message: format!("payload is over the limit of {MOST} bytes") };
                *left = left.checked_sub(size).ok_or_else(over)?;
                Ok(value)
            }
            Tree::List(list) => list.iter().map(|tree| tree.render(root, left)).collect(),
            Tree::Map(map) => {
                let pairs = map.iter().map(|(key, tree)| Ok((key.clone(), tree.render(root, left)?)));
                pairs.collect::<Result<Map<_, _>, _>>().map(Value::Object)
            }
        }
    }

    fn named<'t>(&'t self, found: &mut Vec<&'t Named>) {
        match self {
            Tree::Fixed(_) => {}
            Tree::Leaf(template) => found.extend(template.named()),
            Tree::List(list) => list.iter().for_each(|tree| tree.named(found)),
            Tree::Map(map) => map.iter().for_each(|(_, tree)| tree.named(found)),
        }
    }
}

fn is_json(text: &str) -> Result<(), String> {
    serde_json::from_str::<IgnoredAny>(text).map(drop).map_err(|e| format!("it is not JSON: {e}"))
}
