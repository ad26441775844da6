//! Webhooks that rules declare for the gateway.

use std::sync::Arc;

use serde_json::Value;

use super::path::{Path, View};

/// `POST /api/v1/webhooks/<name>-failure` and `-success`.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its name.
    pub name: Arc<str>,
    /// The rule that declares it.
    pub rule: Arc<str>,
    pub(super) failure: Vec<(Arc<str>, Path)>,
    pub(super) success: Vec<(Arc<str>, Path)>,
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
}

fn lacking<'w>(required: &'w [(Arc<str>, Path)], body: &Value) -> Vec<&'w str> {
    let view = View::of_body("", body);
    let lacks = required.iter().filter(|(_, path)| view.get(path).is_none_or(|seen| seen.is_empty()));
    lacks.map(|(name, _)| &**name).collect()
}
