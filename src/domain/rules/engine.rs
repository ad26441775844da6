//! The full template language: minijinja with strict undefined, bounded in time and memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value, escape_formatter};
use serde_json::Value as Json;

use super::names::{Name, names};
use super::path::View;

/// Work one rendering may do: about as many steps, or 64 bytes of data each.
const FUEL: u64 = 100_000;
/// Text from an event longer than this is cut before a template sees it; nothing longer is ever shown.
const LONGEST: usize = 64 << 10;

/// All templates of a rule set that need the full language.
pub struct Engine {
    env: Environment<'static>,
    wants: BTreeMap<Box<str>, Wants>,
}

/// Which parts of an event a template looks at.
#[derive(Debug, Default)]
struct Wants {
    /// It looks at this value itself, not only at members of it.
    whole: bool,
    /// It looks at members of it by a name in brackets, which are not listed below.
    brackets: bool,
    members: BTreeMap<Box<str>, Wants>,
}

/// Why a template has no text for an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// This path leads nowhere and has no default.
    Missing(String),
    /// Anything else, in words.
    Other(String),
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("templates", &self.wants.len()).finish_non_exhaustive()
    }
}

impl Engine {
    /// No templates yet.
    pub fn new() -> Engine {
        let mut env = Environment::new();
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        env.set_fuel(Some(FUEL));
        env.set_recursion_limit(64);
        env.set_debug(false);
        env.set_formatter(|out, state, value| match value.kind() {
            ValueKind::Map | ValueKind::Seq => out.write_str(&to_json(value, 0).to_string()).map_err(Error::from),
            ValueKind::Bool => out.write_str(if value.is_true() { "true" } else { "false" }).map_err(Error::from),
            _ => escape_formatter(out, state, value),
        });
        env.add_filter("default", default);
        env.add_filter("d", default);
        env.add_filter("required", required);
        env.add_filter("pick", pick);
        env.add_filter("unless", |value: Value, other: &Value| match text_of(&value) == text_of(other) {
            true => Value::UNDEFINED,
            false => value,
        });
        env.add_filter("json", |value: &Value| to_json(value, 0).to_string());
        env.add_filter("quote", |value: &Value| Json::String(text_of(value)).to_string());
        env.add_filter("truncate", truncate);
        env.add_function("first", |values: Rest<Value>| {
            let found = values.iter().find(|v| is_there(v)).cloned();
            found.ok_or_else(|| Error::new(ErrorKind::UndefinedError, "none of the values of first() is there"))
        });
        env.add_test("defined", is_there);
        env.add_test("undefined", |value: &Value| !is_there(value));
        Engine { env, wants: BTreeMap::new() }
    }

    /// Adds a template; the text is its name.
    ///
    /// # Errors
    /// What is wrong with it, and the line within it.
    pub fn add(&mut self, source: &str) -> Result<(), (String, Option<usize>)> {
        if self.wants.contains_key(source) {
            return Ok(());
        }
        let added = self.env.add_template_owned(source.to_owned(), source.to_owned());
        added.map_err(|e| (plain(&e), e.line()))?;
        let mut unknown = None;
        names(source, |name| unknown = unknown.take().or_else(|| self.unknown(name)));
        if let Some(message) = unknown {
            return Err((message, None));
        }
        let template = self.env.get_template(source).map_err(|e| (plain(&e), e.line()))?;
        let mut wants = Wants::default();
        for path in template.undeclared_variables(true) {
            let mut at = &mut wants;
            for name in path.split('.') {
                at = at.members.entry(name.into()).or_default();
            }
            at.whole = true;
            at.brackets = path.rsplit('.').next().is_some_and(|last| source.contains(&format!("{last}[")));
        }
        self.wants.insert(source.into(), wants);
        Ok(())
    }

    /// What is wrong with a name that the engine does not know.
    fn unknown(&self, name: Name<'_>) -> Option<String> {
        let is = |name: &str, what: &str| {
            let expression = format!("{name:?} is {what}");
            self.env.compile_expression_owned(expression).and_then(|e| e.eval(())).is_ok_and(|v| v.is_true())
        };
        match name {
            Name::Filter(name) if !is(name, "filter") => Some(format!("filter {name:?} is unknown")),
            Name::Test(name) if !is(name, "test") => Some(format!("test {name:?} is unknown")),
            Name::Function(name) if !self.env.globals().any(|(known, _)| known == name) => {
                Some(format!("function {name:?} is unknown"))
            }
            // Values have no methods; only `loop` has these two.
            Name::Method(name) if !matches!(name, "cycle" | "changed") => Some(format!("method {name:?} is unknown")),
            Name::Filter(_) | Name::Test(_) | Name::Function(_) | Name::Method(_) => None,
        }
    }

    /// The paths a template looks at, as dotted names.
    pub fn paths(&self, source: &str) -> BTreeSet<String> {
        fn collect(wants: &Wants, prefix: &str, into: &mut BTreeSet<String>) {
            for (name, wants) in &wants.members {
                let path = if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
                if wants.whole {
                    into.insert(path.clone());
                }
                collect(wants, &path, into);
            }
        }
        let mut paths = BTreeSet::new();
        if let Some(wants) = self.wants.get(source) {
            collect(wants, "", &mut paths);
        }
        paths
    }

    /// Renders a template that was added, up to `limit` bytes.
    ///
    /// # Errors
    /// See [`Failure`].
    pub fn render(&self, source: &str, view: &View<'_>, limit: usize) -> Result<String, Failure> {
        let other = |e: Error| Failure::Other(plain(&e));
        let (Ok(template), Some(wants)) = (self.env.get_template(source), self.wants.get(source)) else {
            return Err(Failure::Other("template is not loaded".into()));
        };
        let members = wants
            .members
            .iter()
            .filter_map(|(name, wants)| Some((name.to_string(), wanted(view.root_json(name).as_deref(), wants)?)));
        let context = Value::from_pairs(members);
        let mut out = Bounded { bytes: Vec::new(), limit };
        match template.render_captured_to(context, &mut out) {
            Ok(_) => {}
            Err(_) if out.bytes.len() >= limit => {}
            Err(e) if e.kind() == ErrorKind::UndefinedError => {
                return Err(Failure::Missing(self.missing(wants, view).unwrap_or_else(|| plain(&e))));
            }
            Err(e) => return Err(other(e)),
        }
        Ok(match String::from_utf8(out.bytes) {
            Ok(text) => text,
            // Only the cut at the limit can have split a character.
            Err(e) => String::from_utf8_lossy(e.as_bytes()).trim_end_matches('\u{fffd}').to_owned(),
        })
    }

    /// The paths of a template that lead nowhere in this event.
    fn missing(&self, wants: &Wants, view: &View<'_>) -> Option<String> {
        fn collect(wants: &Wants, value: Option<&Json>, path: &str, into: &mut Vec<String>) {
            if wants.whole && value.is_none_or(Json::is_null) {
                into.push(path.to_owned());
            }
            for (name, wants) in &wants.members {
                collect(wants, value.and_then(|v| v.get(&**name)), &format!("{path}.{name}"), into);
            }
        }
        let mut paths = Vec::new();
        for (name, wants) in &wants.members {
            if !self.env.globals().any(|(global, _)| global == &**name) {
                collect(wants, view.root_json(name).as_deref(), name, &mut paths);
            }
        }
        (!paths.is_empty()).then(|| paths.join(" or "))
    }
}

/// The part of `value` that is wanted. A missing object of which members are wanted is an empty one, so that
/// `data.a.b | default('x')` works where `data.a` is missing; null is missing.
fn wanted(value: Option<&Json>, wants: &Wants) -> Option<Value> {
    match value {
        None | Some(Json::Null) if wants.members.is_empty() && !wants.brackets => None,
        None | Some(Json::Null) => Some(object(None, wants)),
        Some(Json::Object(map)) if !wants.members.is_empty() => Some(object(Some(map), wants)),
        Some(other) => Some(from_json(other)),
    }
}

fn object(map: Option<&serde_json::Map<String, Json>>, wants: &Wants) -> Value {
    let mut members = BTreeMap::new();
    for (name, value) in map.into_iter().flatten().filter(|(_, v)| wants.whole && !v.is_null()) {
        members.insert(name.clone(), from_json(value));
    }
    for (name, wants) in &wants.members {
        if let Some(value) = wanted(map.and_then(|m| m.get(&**name)), wants) {
            members.insert(name.to_string(), value);
        }
    }
    Value::from_pairs(members)
}

fn from_json(value: &Json) -> Value {
    match value {
        Json::Null => Value::UNDEFINED,
        Json::Bool(b) => Value::from(*b),
        Json::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(n), ..) => Value::from(n),
            (_, Some(n), _) => Value::from(n),
            (.., n) => Value::from(n.unwrap_or_default()),
        },
        Json::String(text) => Value::from(cut(text, LONGEST)),
        Json::Array(list) => list.iter().map(|v| if v.is_null() { Value::from(()) } else { from_json(v) }).collect(),
        Json::Object(map) => {
            Value::from_pairs(map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), from_json(v))))
        }
    }
}

fn to_json(value: &Value, depth: u32) -> Json {
    let items = || value.try_iter().into_iter().flatten();
    match value.kind() {
        _ if depth > 64 => Json::Null,
        ValueKind::Undefined | ValueKind::None => Json::Null,
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number => match (value.as_i64(), value.to_string().parse::<f64>()) {
            (Some(n), _) if value.is_integer() => n.into(),
            (_, Ok(n)) => n.into(),
            _ => Json::String(value.to_string()),
        },
        ValueKind::Seq | ValueKind::Iterable => items().map(|v| to_json(&v, depth + 1)).collect(),
        ValueKind::Map => Json::Object(
            items()
                .map(|key| (key.to_string(), to_json(&value.get_item(&key).unwrap_or_default(), depth + 1)))
                .collect(),
        ),
        _ => Json::String(value.to_string()),
    }
}

/// As rules write it: JSON of what is not text.
fn text_of(value: &Value) -> String {
    match value.kind() {
        ValueKind::Bool | ValueKind::Map | ValueKind::Seq => to_json(value, 0).to_string(),
        _ => value.to_string(),
    }
}

/// Missing, null, empty text and an empty object are all "not there", as in Keptn's payloads.
fn is_there(value: &Value) -> bool {
    let empty = match value.kind() {
        ValueKind::Undefined | ValueKind::None => true,
        ValueKind::String | ValueKind::Map => value.len() == Some(0),
        _ => false,
    };
    !empty
}

fn default(value: &Value, other: Option<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    kwargs.assert_all_used()?;
    Ok(if is_there(value) { value.clone() } else { other.unwrap_or_else(|| Value::from("")) })
}

fn required(value: &Value) -> Result<Value, Error> {
    match is_there(value) {
        true => Ok(value.clone()),
        false => Err(Error::new(ErrorKind::UndefinedError, "a required value is missing or empty")),
    }
}

fn pick(value: &Value, words: &Value, other: Option<Value>) -> Result<Value, Error> {
    let beside = if value.is_undefined() { Value::UNDEFINED } else { words.get_item(&Value::from(text_of(value)))? };
    match (beside.is_undefined(), other) {
        (false, _) => Ok(beside),
        (true, Some(other)) => Ok(other),
        (true, None) if value.is_undefined() => Err(Error::from(ErrorKind::UndefinedError)),
        (true, None) => Ok(value.clone()),
    }
}

fn truncate(value: &Value, length: usize, end: Option<String>) -> Result<String, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let text = value.to_string();
    Ok(match text.char_indices().nth(length) {
        Some((at, _)) => format!("{}{}", &text[..at], end.as_deref().unwrap_or("…")),
        None => text,
    })
}

/// `text` up to `limit` bytes, on a character boundary.
pub fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

fn plain(error: &Error) -> String {
    match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "takes too much work".into(),
        (_, Some(detail)) => detail.to_owned(),
        (kind, None) => kind.to_string(),
    }
}

/// Takes bytes up to a limit, then fails, which ends the rendering.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.limit.saturating_sub(self.bytes.len());
        if room == 0 {
            return Err(io::Error::other("output is over the limit"));
        }
        let taken = &bytes[..bytes.len().min(room)];
        self.bytes.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
