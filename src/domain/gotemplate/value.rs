//! Values while a template runs.

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::{Number, Value};

/// A value.
#[derive(Clone, Debug)]
pub enum Val<'v> {
    /// Of the root, or a literal.
    Json(&'v Value),
    Bool(bool),
    Count(u64),
    Text(Arc<str>),
    /// JSON text, written as it is where JSON may stand.
    Raw(Arc<str>),
    /// Percent-encoded already.
    Url(Arc<str>),
    /// Escaped for JavaScript; in JSON the plain text is escaped instead.
    Js {
        escaped: Arc<str>,
        plain: Arc<str>,
    },
    /// What a key that is missing gives, and which key it was.
    Absent(Arc<str>),
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fail {
    /// A key is missing; `default` helps.
    Missing(String),
    /// Anything else.
    Other(String),
}

impl Fail {
    /// With the place of the action.
    pub fn at(self, at: crate::domain::yaml::problem::At) -> super::Failure {
        let (Fail::Missing(message) | Fail::Other(message)) = self;
        super::Failure { line: at.line, message }
    }
}

pub fn other<T>(message: impl Into<String>) -> Result<T, Fail> {
    Err(Fail::Other(message.into()))
}

impl Val<'_> {
    /// The word for its kind in messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Val::Json(value) => crate::domain::event::kind(value),
            Val::Bool(_) => "a boolean",
            Val::Count(_) => "a number",
            Val::Text(_) | Val::Raw(_) | Val::Url(_) | Val::Js { .. } => "a string",
            Val::Absent(_) => "missing",
        }
    }

    /// The text, where it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Val::Json(Value::String(text)) => Some(text),
            Val::Text(text) | Val::Raw(text) | Val::Url(text) | Val::Js { escaped: text, .. } => Some(text),
            _ => None,
        }
    }

    /// The number, where it is one.
    pub fn as_number(&self) -> Option<Number> {
        match self {
            Val::Json(Value::Number(n)) => Some(n.clone()),
            Val::Count(n) => Some(Number::from(*n)),
            _ => None,
        }
    }

    /// The boolean, where it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Val::Json(Value::Bool(b)) | Val::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// Whether it counts as true: neither false, 0, null, missing nor empty.
    pub fn truth(&self) -> bool {
        match self {
            Val::Json(Value::Null) | Val::Absent(_) => false,
            Val::Json(Value::Array(list)) => !list.is_empty(),
            Val::Json(Value::Object(map)) => !map.is_empty(),
            other => match (other.as_bool(), other.as_number()) {
                (Some(b), _) => b,
                (_, Some(n)) => n.as_f64() != Some(0.0),
                _ => other.as_str().is_some_and(|text| !text.is_empty()),
            },
        }
    }

    /// Whether `default` stands in for it.
    pub fn is_nothing(&self) -> bool {
        match self {
            Val::Json(Value::Null) | Val::Absent(_) => true,
            other => other.as_str().is_some_and(str::is_empty),
        }
    }

    /// Whether both are the same; none where they cannot be compared.
    pub fn equals(&self, other: &Val<'_>) -> Option<bool> {
        let container = |v: &Val<'_>| matches!(v, Val::Json(Value::Array(_) | Value::Object(_)));
        let null = |v: &Val<'_>| matches!(v, Val::Json(Value::Null) | Val::Absent(_));
        match (self, other) {
            (a, b) if null(a) || null(b) => Some(null(a) && null(b)),
            (a, b) if container(a) || container(b) => None,
            (a, b) => Some(match (a.as_bool(), b.as_bool()) {
                (Some(a), Some(b)) => a == b,
                (None, None) => a.order(b) == Some(Ordering::Equal),
                _ => false,
            }),
        }
    }

    /// Which is first, of two numbers or two texts.
    pub fn order(&self, other: &Val<'_>) -> Option<Ordering> {
        if let (Some(a), Some(b)) = (self.as_number(), other.as_number()) {
            return match (a.as_i128(), b.as_i128()) {
                (Some(a), Some(b)) => Some(a.cmp(&b)),
                _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
            };
        }
        Some(self.as_str()?.cmp(other.as_str()?))
    }
}

/// As in JSON, and never with an exponent.
pub fn number_text(n: &Number) -> String {
    let text = n.to_string();
    match n.as_f64() {
        Some(float) if text.contains(['e', 'E']) => float.to_string(),
        _ => text,
    }
}
