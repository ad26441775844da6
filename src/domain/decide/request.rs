//! What a trigger of ours asks for: the fields of `data.<task>`, checked, with the traps of Keptn's payload merge.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::domain::event::{Event, kind};
use crate::domain::issue::{IssueType, Link, Scope, Severity};

/// The fields a request may have. All optional; what is needed depends on the task.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub title: Option<String>,
    pub description: Option<String>,
    pub severity: Option<Severity>,
    pub issue_type: Option<IssueType>,
    pub check: Option<String>,
    pub links: Option<Vec<Link>>,
    pub labels: Option<BTreeMap<String, String>>,
    pub scope: Option<PartScope>,
    pub id: Option<String>,
    pub number: Option<u64>,
    /// The block holds what an earlier reply of the same task left there.
    pub repeated: bool,
}

/// A scope of which some parts may be left to their defaults.
#[derive(Debug, Default)]
pub(super) struct PartScope {
    pub resource_type: Option<String>,
    pub resource_name: Option<String>,
    pub resource_namespace: Option<String>,
}

impl PartScope {
    /// Fills up what was left out.
    pub fn or(&self, default: Scope) -> Scope {
        let part = |given: &Option<String>, default: String| given.clone().unwrap_or(default);
        Scope {
            resource_type: part(&self.resource_type, default.resource_type),
            resource_name: part(&self.resource_name, default.resource_name),
            resource_namespace: part(&self.resource_namespace, default.resource_namespace),
        }
    }
}

/// Keys that only replies have. Keptn merges replies into the next trigger, so they come back.
const REPLY_ONLY: &[&str] = &["state", "change", "url", "closed", "numbers", "active", "worst", "issues"];

impl Request {
    /// Reads a request. Null and absent are the same.
    ///
    /// # Errors
    /// In words, naming the field.
    pub fn read(task: &str, block: Option<&Value>) -> Result<Request, String> {
        let mut request = Request::default();
        let Some(block) = block else { return Ok(request) };
        if block.is_null() {
            return Ok(request);
        }
        let block = block.as_object().ok_or_else(|| format!("data[{task:?}] is {}, not an object", kind(block)))?;
        for (name, value) in block.iter().filter(|(_, value)| !value.is_null()) {
            let field = format!("data[{task:?}].{name}");
            match name.as_str() {
                "title" => request.title = Some(text(&field, value)?),
                "description" => request.description = Some(text(&field, value)?),
                "check" => request.check = Some(text(&field, value)?),
                "id" => request.id = Some(text(&field, value)?),
                "severity" => request.severity = Some(word(&field, value, Severity::parse, Severity::ALL)?),
                "issueType" => request.issue_type = Some(word(&field, value, IssueType::parse, IssueType::ALL)?),
                "number" => request.number = Some(number(&field, value)?),
                "links" => request.links = Some(links(&field, value)?),
                "labels" => request.labels = Some(labels(&field, value)?),
                "scope" => request.scope = Some(scope(&field, value)?),
                reply if REPLY_ONLY.contains(&reply) => request.repeated = true,
                _ => return Err(format!("{field} is not a field of this request{}", near(name))),
            }
        }
        Ok(request)
    }
}

const FIELDS: &[&str] =
    &["title", "description", "severity", "issueType", "check", "links", "labels", "scope", "id", "number"];

fn near(name: &str) -> String {
    let close = FIELDS.iter().map(|f| (strsim::jaro_winkler(name, f), f)).max_by(|a, b| a.0.total_cmp(&b.0));
    match close {
        Some((score, field)) if score > 0.8 => format!("; did you mean {field}?"),
        _ => format!("; it may have {}", FIELDS.join(", ")),
    }
}

fn text(field: &str, value: &Value) -> Result<String, String> {
    let text = value.as_str().ok_or_else(|| format!("{field} is {}, not a string", kind(value)))?;
    if text.trim().is_empty() {
        return Err(format!("{field} is empty"));
    }
    Ok(text.to_owned())
}

fn word<T: Copy + std::fmt::Display>(
    field: &str,
    value: &Value,
    parse: impl Fn(&str) -> Option<T>,
    all: &[T],
) -> Result<T, String> {
    let text = text(field, value)?;
    parse(&text).ok_or_else(|| {
        let all: Vec<String> = all.iter().map(ToString::to_string).collect();
        format!("{field} is {text:?}, not one of {}", all.join(", "))
    })
}

/// A number, or its digits in a string, as Keptn's template properties are often written.
fn number(field: &str, value: &Value) -> Result<u64, String> {
    let read = value.as_u64().or_else(|| value.as_str()?.trim().trim_start_matches('#').parse().ok());
    read.filter(|n| *n > 0).ok_or_else(|| format!("{field} is {value}, not the number of an issue"))
}

fn links(field: &str, value: &Value) -> Result<Vec<Link>, String> {
    let items = value.as_array().ok_or_else(|| format!("{field} is {}, not an array", kind(value)))?;
    let mut links = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let object = item.as_object().ok_or_else(|| format!("{field}[{index}] is {}, not an object", kind(item)))?;
        if let Some(other) = object.keys().find(|k| !matches!(k.as_str(), "title" | "url" | "id" | "issueId")) {
            return Err(format!("{field}[{index}].{other} is not a field of a link; it has title and url"));
        }
        let member = |name: &str| match object.get(name) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(format!("{field}[{index}].{name} is {}, not a string", kind(other))),
        };
        let (title, url) = (member("title")?, member("url")?);
        if !url.is_empty() {
            links.push(Link { title: if title.is_empty() { url.clone() } else { title }, url });
        }
    }
    Ok(links)
}

fn labels(field: &str, value: &Value) -> Result<BTreeMap<String, String>, String> {
    let object = value.as_object().ok_or_else(|| format!("{field} is {}, not an object", kind(value)))?;
    let one = |(name, value): (&String, &Value)| match value {
        Value::String(text) => Ok((name.clone(), text.clone())),
        Value::Number(_) | Value::Bool(_) => Ok((name.clone(), value.to_string())),
        other => Err(format!("{field}.{name} is {}, not a string", kind(other))),
    };
    object.iter().map(one).collect()
}

fn scope(field: &str, value: &Value) -> Result<PartScope, String> {
    let object = value.as_object().ok_or_else(|| format!("{field} is {}, not an object", kind(value)))?;
    let mut scope = PartScope::default();
    for (name, value) in object {
        let member = format!("{field}.{name}");
        match name.as_str() {
            "resourceType" => scope.resource_type = Some(text(&member, value)?),
            "resourceName" => scope.resource_name = Some(text(&member, value)?),
            "resourceNamespace" => scope.resource_namespace = Some(text(&member, value)?),
            "id" => {}
            _ => {
                return Err(format!(
                    "{member} is not a part of a scope; it has resourceType, resourceName, resourceNamespace"
                ));
            }
        }
    }
    Ok(scope)
}

/// What can still be told of a message that is no valid event: enough to answer a trigger.
pub(crate) fn salvage(payload: &[u8]) -> Option<Event> {
    let object: Map<String, Value> = serde_json::from_slice(payload).ok()?;
    if object.contains_key(super::REPLAY) {
        return None;
    }
    let text = |name: &str| object.get(name).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned);
    Some(Event {
        id: text("id")?,
        source: text("source").unwrap_or_default(),
        ty: text("type")?,
        time: None,
        subject: None,
        content_type: None,
        context: text("shkeptncontext"),
        triggered_id: None,
        extensions: Map::new(),
        data: match object.get("data") {
            Some(data @ Value::Object(_)) => crate::domain::event::Data::Json(data.clone()),
            _ => crate::domain::event::Data::None,
        },
    })
}
