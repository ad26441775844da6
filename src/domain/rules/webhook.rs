//! Webhooks that rules declare for the gateway.

use std::sync::Arc;

use serde_json::Value;

use super::path::{Path, Seen, View};
use crate::domain::event;

/// `POST /api/v1/webhooks/<name>-failure` and `-success`.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its name.
    pub name: Arc<str>,
    /// The rule that declares it.
    pub rule: Arc<str>,
    pub(super) failure: Vec<(Arc<str>, Path)>,
    pub(super) success: Vec<(Arc<str>, Path)>,
    /// Fields that are text where they are given.
    pub(super) text: Vec<(Arc<str>, Path)>,
    /// Fields that are lists of text where they are given.
    pub(super) lists: Vec<(Arc<str>, Path)>,
    /// What the rule's templates write as it is.
    pub(super) written: Vec<Path>,
    /// The secret that signs requests, where one is asked for.
    pub secret: Option<SecretRef>,
}

/// Where a secret is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRef {
    /// Folder in the secrets directory.
    pub name: String,
    /// File in that folder.
    pub key: String,
}

impl Webhook {
    /// Type of the event that a failure is published as.
    pub fn failure_type(&self) -> String {
        format!("dev.shipwatch.webhook.{}.failure", self.name)
    }

    /// Type of the event that a success is published as.
    pub fn success_type(&self) -> String {
        format!("dev.shipwatch.webhook.{}.success", self.name)
    }

    /// The fields that the body of a failure must have.
    pub fn required_for_failure(&self) -> impl Iterator<Item = &str> {
        self.failure.iter().map(|(name, _)| &**name)
    }

    /// The fields that the body of a success must have.
    pub fn required_for_success(&self) -> impl Iterator<Item = &str> {
        self.success.iter().map(|(name, _)| &**name)
    }

    /// The required fields that the body of a failure lacks; null and the empty text count as lacking.
    pub fn lacking_for_failure(&self, body: &Value) -> Vec<&str> {
        lacking(&self.failure, body)
    }

    /// As [`Webhook::lacking_for_failure`], for a success.
    pub fn lacking_for_success(&self, body: &Value) -> Vec<&str> {
        lacking(&self.success, body)
    }

    /// The fields of a body that are of the wrong kind, in words. What the rule declares as text or as a list is nothing
    /// else, and what its templates write as it is may be a number or a boolean, but neither an object nor a list.
    pub fn wrong_kinds(&self, body: &Value) -> Vec<String> {
        let view = View::of_body("", body);
        let json = |path: &Path| match view.get(path) {
            Some(Seen::Json(value)) => Some(value),
            Some(Seen::Text(_)) | None => None,
        };
        let mut wrong = Vec::new();
        for (name, path) in &self.text {
            wrong.extend(json(path).map(|value| format!("{name} is {}, not a string", event::kind(&value))));
        }
        for (name, path) in &self.lists {
            wrong.extend(view.get(path).and_then(|seen| no_list(name, &seen)));
        }
        for path in &self.written {
            if let Some(value) = json(path).filter(|value| value.is_object() || value.is_array()) {
                let path = path.to_string();
                let name = path.strip_prefix("data.").unwrap_or(&path);
                let said = format!("{name} is {}, not a string", event::kind(&value));
                if !wrong.contains(&said) {
                    wrong.push(said);
                }
            }
        }
        wrong
    }
}

/// What keeps a value from being a list of text.
fn no_list(name: &str, seen: &Seen<'_>) -> Option<String> {
    let is = match seen {
        Seen::Text(_) => "a string",
        Seen::Json(value) => match value.as_array() {
            Some(items) => {
                let (at, item) = items.iter().enumerate().find(|(_, item)| !item.is_string())?;
                return Some(format!("{name}[{at}] is {}, not a string", event::kind(item)));
            }
            None => event::kind(value),
        },
    };
    Some(format!("{name} is {is}, not a list of strings"))
}

fn lacking<'w>(required: &'w [(Arc<str>, Path)], body: &Value) -> Vec<&'w str> {
    let view = View::of_body("", body);
    let lacks = required.iter().filter(|(_, path)| view.get(path).is_none_or(|seen| seen.is_empty()));
    lacks.map(|(name, _)| &**name).collect()
}
