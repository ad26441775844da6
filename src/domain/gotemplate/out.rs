//! What is written, and how a value must look in its place.

use percent_encoding::utf8_percent_encode;
use serde_json::Value;

use super::eval::{Eval, over};
use super::funcs::UNRESERVED;
use super::value::{Fail, Val, other};

/// The place that a template's output is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text: values as they are.
    Text,
    /// JSON: inside a string a value is written as its content, so quotes and line breaks stay inside; outside of strings it is
    /// written as JSON, text in quotes. What `json`, `printf "%q"` and `printf` with one verb for a number gave is JSON already.
    Json,
    /// A URL. Values of the event behind the host are percent-encoded, slashes too, unless `urlquery` did it; those of the
    /// template itself, of `.env`, `.secret` and `.callback` stay as they are. In the host, values of the event may hold only
    /// what a host name and a port hold, and next to a letter or digit only letters, digits and hyphens. An event may give the
    /// whole beginning of a URL; then `/`, `?` or `#` follows.
    Url,
    /// `application/x-www-form-urlencoded`: values are percent-encoded unless `urlquery` did it.
    Form,
}

/// Whether text is the end of a scheme and what follows it, as in `https://` and `://example.com/`.
pub fn begins_host(text: &str) -> bool {
    let scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    text.split_once("://").is_some_and(|(before, _)| before.trim_start().chars().all(scheme))
}

/// The output of one rendering.
pub struct Out {
    text: String,
    format: Format,
    limit: usize,
    /// JSON: whether the end is inside a string, and behind a backslash there.
    in_string: bool,
    escaped: bool,
    /// URL: the template itself says where the host begins.
    anchored: bool,
    /// URL: the event gave the beginning, and nothing came since.
    open_start: bool,
}

impl Out {
    pub fn new(format: Format, limit: usize) -> Out {
        let text = String::new();
        Out { text, format, limit, in_string: false, escaped: false, anchored: false, open_start: false }
    }

    /// Says whether the template itself holds the beginning of the host.
    pub fn anchor(&mut self, anchored: bool) {
        self.anchored = anchored;
    }

    pub fn into_text(self) -> String {
        self.text
    }

    /// Writes text of the template.
    pub fn fixed(&mut self, text: &str) -> Result<(), String> {
        match self.format {
            Format::Json => {
                for byte in text.bytes() {
                    match (self.in_string, self.escaped, byte) {
                        (true, true, _) => self.escaped = false,
                        (true, false, b'\\') => self.escaped = true,
                        (_, false, b'"') => self.in_string = !self.in_string,
                        _ => {}
                    }
                }
            }
            Format::Url if std::mem::take(&mut self.open_start) && !text.starts_with(['/', '?', '#']) => {
                return Err("behind a URL that the event gives stands no `/`, `?` or `#`".into());
            }
            Format::Text | Format::Url | Format::Form => {}
        }
        self.push(text)
    }

    /// Writes a value; `trusted` where nothing of the event is in it.
    pub fn value(&mut self, value: &Val<'_>, trusted: bool, eval: &Eval<'_>) -> Result<(), Fail> {
        let made = match self.format {
            Format::Json if self.escaped => return other("a backslash stands right before this"),
            Format::Json if self.in_string => {
                let quoted = match value {
                    Val::Js { plain, .. } => Value::from(&**plain).to_string(),
                    value => Value::from(&*eval.text(value)?).to_string(),
                };
                return self.push(&quoted[1..quoted.len() - 1]).map_err(Fail::Other);
            }
            Format::Json => match value {
                Val::Js { plain, .. } => Value::from(&**plain).to_string().into(),
                value => eval.json(value)?.into(),
            },
            Format::Url => return self.url_value(value, trusted, eval),
            Format::Form if !matches!(value, Val::Url(_)) => {
                utf8_percent_encode(&eval.text(value)?, UNRESERVED).to_string().into()
            }
            Format::Text | Format::Form => eval.text(value)?,
        };
        self.push(&made).map_err(Fail::Other)
    }

    fn url_value(&mut self, value: &Val<'_>, trusted: bool, eval: &Eval<'_>) -> Result<(), Fail> {
        let text = eval.text(value)?;
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) && (trusted || !self.in_path()) {
            return other("a value with white space cannot stand here in a URL");
        }
        if text.is_empty() {
            return Ok(());
        }
        if trusted {
            self.open_start = false;
            return self.push(&text).map_err(Fail::Other);
        }
        if self.in_path() {
            return match value {
                Val::Url(_) => self.push(&text),
                _ => self.push(&utf8_percent_encode(&text, UNRESERVED).to_string()),
            }
            .map_err(Fail::Other);
        }
        if self.text.is_empty() && !self.anchored {
            self.open_start = true;
            return self.push(&text).map_err(Fail::Other);
        }
        let in_host = self.text.contains("://");
        let beside = self.text.ends_with(|c: char| c.is_ascii_alphanumeric());
        let fits = |c: char| match c {
            '-' => true,
            '.' => !(in_host && beside),
            '_' | ':' | '[' | ']' => in_host && !beside,
            '+' => !in_host,
            c => c.is_ascii_alphanumeric(),
        };
        if !text.chars().all(fits) {
            return other("this value cannot stand in the host of a URL");
        }
        self.push(&text).map_err(Fail::Other)
    }

    /// Whether the end of a URL is behind its host.
    fn in_path(&self) -> bool {
        self.text.split_once("://").is_some_and(|(_, rest)| rest.contains(['/', '?', '#', '\\']))
    }

    fn push(&mut self, text: &str) -> Result<(), String> {
        if self.text.len() + text.len() > self.limit {
            return Err(over(self.limit));
        }
        self.text.push_str(text);
        Ok(())
    }
}
