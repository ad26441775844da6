//! Paths into an event, as rules write them, and the values they lead to.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use crate::domain::event::Event;
use crate::domain::issue::Outcome;
use crate::domain::keptn;

/// A path such as `type`, `data.a.b`, `data["a-b"]`, `data.list[0]` or `keptn.task`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    root: Root,
    steps: Box<[Step]>,
}

/// Where a path begins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Root {
    Id,
    Source,
    Type,
    Subject,
    Time,
    Context,
    TriggeredId,
    Attribute(Box<str>),
    Data,
    Keptn(Part),
    Outcome,
}

/// What `keptn.*` computes from the type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part {
    Kind,
    Task,
    Stage,
    Sequence,
    Phase,
}

const PARTS: &[(&str, Part)] = &[
    ("kind", Part::Kind),
    ("task", Part::Task),
    ("stage", Part::Stage),
    ("sequence", Part::Sequence),
    ("phase", Part::Phase),
];

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Step {
    Key(Box<str>),
    Index(usize),
}

/// More steps than any sensible payload is deep.
const MOST_STEPS: usize = 32;

impl Path {
    /// Reads a whole text as a path; member names may hold hyphens.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Path, String> {
        let (path, rest) = Path::take(text, true)?;
        match rest.is_empty() {
            true => Ok(path),
            false => Err(format!("path {text:?} ends unexpectedly at {rest:?}")),
        }
    }

    /// Reads a path at the beginning of a template expression; returns what follows it.
    pub(super) fn take(text: &str, hyphens: bool) -> Result<(Path, &str), String> {
        let word_end = |text: &str, hyphens: bool| {
            text.find(|c: char| !(c.is_alphanumeric() || c == '_' || (hyphens && c == '-'))).unwrap_or(text.len())
        };
        let (name, mut rest) = text.split_at(word_end(text, false));
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(format!("{text:?} does not begin with a name"));
        }
        let mut steps = Vec::new();
        loop {
            if steps.len() > MOST_STEPS {
                return Err("path is too deep".into());
            }
            if let Some(after) = rest.strip_prefix('.') {
                let (member, after) = after.split_at(word_end(after, hyphens));
                if member.is_empty() {
                    return Err(format!("path {text:?} has an empty step"));
                }
                steps.push(Step::Key(member.into()));
                rest = after;
            } else if let Some(after) = rest.strip_prefix('[') {
                let (step, after) = bracket(after).ok_or_else(|| {
                    format!("path {text:?}: after `[` stands neither a number nor a quoted name and `]`")
                })?;
                steps.push(step);
                rest = after;
            } else {
                break;
            }
        }
        Ok((Path::rooted(name, steps)?, rest))
    }

    fn rooted(name: &str, mut steps: Vec<Step>) -> Result<Path, String> {
        let root = match name {
            "id" => Root::Id,
            "source" => Root::Source,
            "type" => Root::Type,
            "subject" => Root::Subject,
            "time" => Root::Time,
            "shkeptncontext" => Root::Context,
            "triggeredid" => Root::TriggeredId,
            "data" => Root::Data,
            "outcome" => Root::Outcome,
            "keptn" => {
                let part = match steps.first() {
                    Some(Step::Key(word)) => PARTS.iter().find(|(name, _)| *name == &**word),
                    _ => None,
                };
                let Some((_, part)) = part.filter(|_| steps.len() == 1) else {
                    return Err("keptn has kind, task, stage, sequence and phase, nothing else".into());
                };
                steps.clear();
                Root::Keptn(*part)
            }
            other if other.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') => {
                Root::Attribute(other.into())
            }
            other => return Err(format!("{other:?} is no attribute: their names are lower-case letters and digits")),
        };
        let plain = !matches!(root, Root::Data | Root::Attribute(_));
        if plain && !steps.is_empty() {
            return Err(format!("{name} is text and has no members"));
        }
        Ok(Path { root, steps: steps.into() })
    }

    /// Whether the path leads into the payload.
    pub fn in_data(&self) -> bool {
        self.root == Root::Data
    }

    /// Whether it is the outcome, which only templates of issues know.
    pub fn is_outcome(&self) -> bool {
        self.root == Root::Outcome
    }
}

/// A number or quoted name and the closing bracket.
fn bracket(text: &str) -> Option<(Step, &str)> {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote) {
            let (name, after) = inner.split_once(quote)?;
            return Some((Step::Key(name.into()), after.strip_prefix(']')?));
        }
    }
    let (number, after) = text.split_once(']')?;
    Some((Step::Index(number.parse().ok()?), after))
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = match &self.root {
            Root::Id => "id",
            Root::Source => "source",
            Root::Type => "type",
            Root::Subject => "subject",
            Root::Time => "time",
            Root::Context => "shkeptncontext",
            Root::TriggeredId => "triggeredid",
            Root::Attribute(name) => name,
            Root::Data => "data",
            Root::Outcome => "outcome",
            Root::Keptn(part) => {
                let name = PARTS.iter().find(|(_, p)| p == part).map_or("", |(name, _)| name);
                return write!(f, "keptn.{name}");
            }
        };
        f.write_str(root)?;
        for step in &self.steps {
            match step {
                Step::Key(k) if k.chars().all(|c| c.is_alphanumeric() || c == '_') && !k.is_empty() => {
                    write!(f, ".{k}")?;
                }
                Step::Key(k) => write!(f, "[{k:?}]")?,
                Step::Index(n) => write!(f, "[{n}]")?,
            }
        }
        Ok(())
    }
}

/// A value found at the end of a path; JSON null counts as nothing found.
#[derive(Clone, Debug)]
pub enum Seen<'v> {
    /// Text.
    Text(Cow<'v, str>),
    /// JSON other than text and null.
    Json(Cow<'v, Value>),
}

impl<'v> Seen<'v> {
    fn of(value: Cow<'v, Value>) -> Option<Seen<'v>> {
        match value {
            Cow::Borrowed(Value::Null) | Cow::Owned(Value::Null) => None,
            Cow::Borrowed(Value::String(text)) => Some(Seen::Text(Cow::Borrowed(text))),
            Cow::Owned(Value::String(text)) => Some(Seen::Text(Cow::Owned(text))),
            other => Some(Seen::Json(other)),
        }
    }

    /// As text: what is not text as its JSON.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Seen::Text(text) => Cow::Borrowed(text),
            Seen::Json(value) => match &**value {
                Value::Bool(true) => Cow::Borrowed("true"),
                Value::Bool(false) => Cow::Borrowed("false"),
                other => Cow::Owned(other.to_string()),
            },
        }
    }

    /// As [`Seen::text`], keeping what was borrowed.
    pub fn into_text(self) -> Cow<'v, str> {
        match self {
            Seen::Text(text) => text,
            Seen::Json(value) => Cow::Owned(value.to_string()),
        }
    }

    /// Whether it is the empty text, which in Keptn's payloads is the same as nothing.
    pub fn is_empty(&self) -> bool {
        matches!(self, Seen::Text(text) if text.is_empty())
    }

    /// For people: JSON, cut to a readable length.
    pub fn show(&self) -> String {
        const MOST: usize = 80;
        let mut text = match self {
            Seen::Text(text) => Value::from(text.chars().take(MOST + 1).collect::<String>()).to_string(),
            Seen::Json(value) => value.to_string(),
        };
        if let Some((at, _)) = text.char_indices().nth(MOST) {
            text.truncate(at);
            text.push('…');
        }
        text
    }
}

/// What paths and templates are read against: an event, or the raw body an adapter lifts.
pub struct View<'e> {
    event: Option<&'e Event>,
    data: Option<&'e Value>,
    subject: Option<&'e str>,
    outcome: Option<Outcome>,
    keptn: Option<keptn::Type<'e>>,
}

impl<'e> View<'e> {
    /// The view of an event.
    pub fn of(event: &'e Event) -> View<'e> {
        View {
            event: Some(event),
            data: event.json(),
            subject: None,
            outcome: None,
            keptn: keptn::Type::parse(&event.ty),
        }
    }

    /// The view of a raw body: `data` is the body and `subject` the NATS subject.
    pub fn of_body(subject: &'e str, body: &'e Value) -> View<'e> {
        View { event: None, data: Some(body), subject: Some(subject), outcome: None, keptn: None }
    }

    /// Lets templates see the outcome.
    pub fn with_outcome(mut self, outcome: Outcome) -> View<'e> {
        self.outcome = Some(outcome);
        self
    }

    /// The `type` of the event; empty for a raw body.
    pub fn ty(&self) -> &'e str {
        self.event.map_or("", |e| &e.ty)
    }

    /// The value at `path`; none where it is missing or null.
    pub fn get(&self, path: &Path) -> Option<Seen<'e>> {
        let some = |text: &'e str| Some(Seen::Text(Cow::Borrowed(text)));
        let value = match &path.root {
            Root::Data => Cow::Borrowed(self.data?),
            Root::Type => return some(&self.event?.ty),
            Root::Source => return some(&self.event?.source),
            Root::Id => return some(&self.event?.id),
            Root::Subject => return self.event.map_or(self.subject, |e| e.subject.as_deref()).and_then(some),
            Root::Context => return self.event?.context.as_deref().and_then(some),
            Root::TriggeredId => return self.event?.triggered_id.as_deref().and_then(some),
            Root::Time => return Some(Seen::Text(Cow::Owned(self.event?.time?.to_string()))),
            Root::Outcome => return self.outcome.and_then(|o| some(o.as_str())),
            Root::Keptn(part) => return self.keptn(*part).and_then(some),
            Root::Attribute(name) => self.event?.attribute(name)?,
        };
        match value {
            Cow::Borrowed(value) => Seen::of(Cow::Borrowed(walk(value, &path.steps)?)),
            Cow::Owned(value) => Seen::of(Cow::Owned(walk(&value, &path.steps)?.clone())),
        }
    }

    /// The JSON of an attribute, of `data`, of `keptn` or of `outcome`, for the template engine.
    pub fn root_json(&self, name: &str) -> Option<Cow<'e, Value>> {
        match name {
            "data" => self.data.map(Cow::Borrowed),
            "outcome" => self.outcome.map(|o| Cow::Owned(o.as_str().into())),
            "keptn" => {
                let part = |(name, part): &(&str, Part)| Some((String::from(*name), self.keptn(*part)?.into()));
                Some(Cow::Owned(Value::Object(PARTS.iter().filter_map(part).collect())))
            }
            "subject" if self.event.is_none() => self.subject.map(|s| Cow::Owned(s.into())),
            other => self.event?.attribute(other),
        }
    }

    fn keptn(&self, part: Part) -> Option<&'e str> {
        let ty = self.keptn?;
        use keptn::Type::{Log, Management, Problem, Sequence, Task, Unknown};
        match (part, ty) {
            (Part::Kind, Task { .. }) => Some("task"),
            (Part::Kind, Sequence { .. }) => Some("sequence"),
            (Part::Kind, Problem) => Some("problem"),
            (Part::Kind, Log) => Some("log"),
            (Part::Kind, Management) => Some("management"),
            (Part::Kind, Unknown) => Some("unknown"),
            (Part::Task, Task { task, .. }) => Some(task),
            (Part::Stage, Sequence { stage, .. }) => Some(stage),
            (Part::Sequence, Sequence { sequence, .. }) => Some(sequence),
            (Part::Phase, Task { phase, .. } | Sequence { phase, .. }) => Some(phase.as_str()),
            _ => None,
        }
    }
}

fn walk<'v>(mut value: &'v Value, steps: &[Step]) -> Option<&'v Value> {
    for step in steps {
        value = match step {
            Step::Key(key) => value.get(&**key)?,
            Step::Index(n) => value.get(n)?,
        };
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event::from_json(
            br#"{"specversion":"1.0","id":"1","source":"s","type":"sh.keptn.event.test.finished","ext":"x","time":"2026-01-02T03:04:05Z",
                "data":{"a":{"b":3},"a-b":"h","list":[true,null],"n":null,"e":""}}"#,
        )
        .unwrap()
    }

    #[test]
    fn paths_lead_to_attributes_data_and_keptn() {
        let event = event();
        let view = View::of(&event);
        for (path, want) in [
            ("type", Some("sh.keptn.event.test.finished")),
            ("ext", Some("x")),
            ("time", Some("2026-01-02T03:04:05Z")),
            ("specversion", Some("1.0")),
            ("subject", None),
            ("data.a.b", Some("3")),
            ("data.a", Some(r#"{"b":3}"#)),
            ("data[\"a-b\"]", Some("h")),
            ("data.a-b", Some("h")),
            ("data['list'][0]", Some("true")),
            ("data.list[1]", None),
            ("data.list[7].x", None),
            ("data.n", None),
            ("data.e", Some("")),
            ("keptn.kind", Some("task")),
            ("keptn.task", Some("test")),
            ("keptn.phase", Some("finished")),
            ("keptn.stage", None),
        ] {
            let path = Path::parse(path).unwrap();
            assert_eq!(view.get(&path).map(|s| s.text().into_owned()).as_deref(), want, "{path}");
            assert_eq!(Path::parse(&path.to_string()).unwrap(), path);
        }
    }

    #[test]
    fn what_is_no_path_is_said() {
        for bad in [
            "",
            "data.",
            "data..a",
            "data[",
            "data[x]",
            "data[\"a]",
            "Data.x",
            "keptn.color",
            "keptn",
            "type.x",
            "a b",
            "0a",
        ] {
            assert!(Path::parse(bad).is_err(), "{bad}");
        }
    }
}
