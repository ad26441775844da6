//! Lifts raw JSON into CloudEvents where a rule pack says how, and bare CDEvents always.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::engine::Engine;
use super::path::View;
use super::subject::Subject;
use super::template::Template;
use crate::domain::event::{Data, Event};
use crate::domain::time::Time;

/// How the raw bodies on one subject become events.
#[derive(Debug)]
pub struct Adapter {
    pub(super) rule: Arc<str>,
    pub(super) subject: Subject,
    pub(super) id: Template,
    pub(super) ty: Template,
    pub(super) time: Option<Template>,
    pub(super) source: Option<Template>,
    pub(super) engine: Arc<Engine>,
}

/// Longest attribute an adapter makes.
const LONGEST: usize = 2 << 10;

impl Adapter {
    /// The rule that declares it.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// The subjects it takes bodies from.
    pub fn subject(&self) -> &str {
        self.subject.as_str()
    }

    /// Whether it takes bodies from a subject.
    pub fn accepts(&self, subject: &str) -> bool {
        self.subject.matches(subject)
    }

    /// The event that a body stands for.
    ///
    /// # Errors
    /// Which attribute cannot be made, and why.
    pub fn lift(&self, subject: &str, body: &Value) -> Result<Event, String> {
        let view = View::of_body(subject, body);
        let render = |name: &str, template: &Template| {
            use super::engine::Failure;
            template.render(&view, &self.engine, LONGEST).map_err(|e| match e {
                Failure::Missing(path) => {
                    format!("adapter {}: {name} {:?}: {path} is missing", self.rule, template.source())
                }
                Failure::Other(message) => format!("adapter {}: {name} {:?}: {message}", self.rule, template.source()),
            })
        };
        let time = match &self.time {
            None => None,
            Some(template) => read_time(&render("time", template)?)?,
        };
        let event = Event {
            id: render("id", &self.id)?,
            source: self.source.as_ref().map_or_else(|| Ok(subject.to_owned()), |t| render("source", t))?,
            ty: render("type", &self.ty)?,
            time,
            subject: None,
            content_type: None,
            context: None,
            triggered_id: None,
            extensions: Map::new(),
            data: Data::from(body.clone()),
        };
        event.check().map_err(|e| format!("adapter {}: {e}", self.rule))
    }
}

fn read_time(text: &str) -> Result<Option<Time>, String> {
    match text.trim() {
        "" => Ok(None),
        text => {
            Time::parse(text).map(Some).ok_or_else(|| format!("time {text:?} is neither RFC 3339 nor Unix seconds"))
        }
    }
}

/// Whether a body is a CDEvent that nobody wrapped into a CloudEvent.
pub fn is_bare_cdevent(body: &Value) -> bool {
    let object = |name| body.get(name).is_some_and(Value::is_object);
    object("context") && object("subject") && body.get("specversion").is_none()
}

/// The CloudEvent around a bare CDEvent.
///
/// # Errors
/// Which member of its context is missing or wrong.
pub fn lift_cdevent(body: &Value) -> Result<Event, String> {
    let context = |name: &str| body.get("context").and_then(|c| c.get(name)).and_then(Value::as_str);
    let need =
        |name: &str| context(name).map(str::to_owned).ok_or_else(|| format!("CDEvent: context.{name} is missing"));
    let mut extensions = Map::new();
    if let Some(chain) = context("chainId").filter(|c| !c.is_empty()) {
        extensions.insert("chainid".into(), chain.into());
    }
    let event = Event {
        id: need("id")?,
        source: need("source")?,
        ty: need("type")?,
        time: read_time(context("timestamp").unwrap_or_default()).map_err(|e| format!("CDEvent: {e}"))?,
        subject: body.get("subject").and_then(|s| s.get("id")).and_then(Value::as_str).map(str::to_owned),
        content_type: None,
        context: None,
        triggered_id: None,
        extensions,
        data: Data::Json(body.clone()),
    };
    event.check().map_err(|e| format!("CDEvent: {e}"))
}
