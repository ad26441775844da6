//! Templates in the language of Go's `text/template`, as Keptn's webhooks are written in it. Compiled once, rendered often.
//!
//! # The language
//!
//! `{{.data.service}}`, `{{index .data "get-sli" "start"}}`, pipelines `|`, parentheses, `if`/`else if`/`else`/`end`, `range` over
//! lists and over objects in the order of their keys (`{{range $key, $value := .data}}`, with `else`), `with`, variables
//! (`{{$x := …}}`, `{{$x = …}}`), `$` for the root, comments, and the trim markers `{{-` and `-}}`. The functions are `and or not eq ne
//! lt le gt ge len index printf print println js html urlquery`, and beyond Go `json` (a value as JSON text) and `default`
//! (`{{.data.x | default "none"}}`, for what is missing, null or the empty text).
//!
//! Where it differs from Go, on purpose:
//!
//! - A key that is missing is an error that names it. So is printing what `index` did not find; as a condition it is false.
//! - Numbers print as in JSON and never with an exponent; objects and lists print as JSON; `printf "%q"` quotes as JSON does.
//! - `eq` of values of different kinds is false, and numbers compare as numbers.
//! - `.env`, `.secret` and `.callback` of the root are known when the file is read ([`Named`]), so they are written out, as
//!   `.secret.tracker.token` or `index .secret "tracker" "api-token"`. The root is otherwise without them: `{{json .}}` shows none.
//! - There is no `define`, `template`, `block`, `break`, `continue`, `call` or `slice`.
//!
//! What a value becomes depends on where it is written ([`Format`]), so that no event can break out of its place. Time, depth and
//! output are bounded.

mod ast;
mod eval;
mod funcs;
mod lex;
mod out;
mod parse;
mod printf;
mod value;

#[cfg(test)]
mod tests;

pub use ast::{Kind, Named};
pub use out::Format;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::yaml::problem::At;
use ast::{Node, Parsed};
use eval::Eval;
use out::Out;
use value::Val;

/// Longest template.
pub const LONGEST: usize = 64 << 10;

/// A compiled template. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Template {
    source: Arc<str>,
    format: Format,
    parsed: Arc<Parsed>,
}

/// Why text is not a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Where in the text.
    pub at: At,
    /// What is wrong.
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

/// Why a template gives nothing for an event. Names keys, never values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The line of the action in the text.
    pub line: u32,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 | 1 => f.write_str(&self.message),
            line => write!(f, "line {line}: {}", self.message),
        }
    }
}

impl Template {
    /// Compiles a template whose output stands in a place of the given kind.
    ///
    /// # Errors
    /// The first mistake.
    pub fn parse(source: &str, format: Format) -> Result<Template, Wrong> {
        if source.len() > LONGEST {
            let message = format!("template of {} bytes is over the limit of {LONGEST}", source.len());
            return Err(Wrong { at: At { line: 1, column: 1 }, message, suggestion: None });
        }
        let parsed = Arc::new(parse::parse(source)?);
        Ok(Template { source: source.into(), format, parsed })
    }

    /// The same template for a place of another kind.
    pub fn with_format(mut self, format: Format) -> Template {
        self.format = format;
        self
    }

    /// The template as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text, where it is the same for every event.
    pub fn fixed(&self) -> Option<String> {
        let texts = self.parsed.nodes.iter().map(|node| match node {
            Node::Text(text) => Some(&**text),
            _ => None,
        });
        texts.collect()
    }

    /// What it names of `.env`, `.secret` and `.callback`.
    pub fn named(&self) -> &[Named] {
        &self.parsed.named
    }

    /// The kind of place it is for.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The fixed text that its output begins with, without white space before it; of alternatives the first.
    pub fn lead(&self) -> &str {
        ast::lead(&self.parsed.nodes)
    }

    /// Whether nothing of an event is in its output: no more than its own text, `.env`, `.secret` and `.callback`.
    pub fn is_trusted(&self) -> bool {
        ast::is_trusted(&self.parsed.nodes)
    }

    /// The text for a root, at most `limit` bytes.
    ///
    /// # Errors
    /// A key that is missing, a value that cannot stand in its place, or a limit.
    pub fn render(&self, root: &Value, limit: usize) -> Result<String, Failure> {
        let mut out = Out::new(self.format, limit);
        if self.format == Format::Url {
            out.anchor(ast::has_text(&self.parsed.nodes, &out::begins_host));
        }
        Eval::new(root, limit).run(&self.parsed.nodes, &mut out)?;
        Ok(out.into_text())
    }

    /// As [`Template::render`], as a JSON value: where the whole template is one action, its value keeps its kind, and what
    /// `json` made is the value it was made of. Everything else is text.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub fn value(&self, root: &Value, limit: usize) -> Result<Value, Failure> {
        let [Node::Print { pipeline, at }] = &*self.parsed.nodes else {
            return self.render(root, limit).map(Value::String);
        };
        let mut eval = Eval::new(root, limit);
        let value = eval.pipeline(pipeline).map_err(|fail| fail.at(*at))?;
        let made = match &value {
            Val::Json(json) if !eval.is_root(json) => Ok((*json).clone()),
            Val::Bool(b) => Ok(Value::Bool(*b)),
            Val::Count(n) => Ok(Value::from(*n)),
            Val::Text(text) | Val::Url(text) | Val::Js { escaped: text, .. } => Ok(Value::from(&**text)),
            Val::Raw(text) => serde_json::from_str(text).or_else(|_| Ok(Value::from(&**text))),
            Val::Json(_) | Val::Absent(_) => {
                let text = eval.json(&value);
                text.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text)))
            }
        };
        made.map_err(|fail| fail.at(*at))
    }
}
