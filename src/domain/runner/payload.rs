//! The `data` of events, read and made.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::execution::Execution;
use super::{Ending, Object, merge};
use crate::domain::event::Event;
use crate::domain::shipyard::Task;

/// What all `data` of Keptn has in common. One member of the wrong type makes all of it unreadable, as with Keptn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Written {
    project: Option<String>,
    stage: Option<String>,
    service: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    status: Option<String>,
    result: Option<String>,
    message: Option<String>,
}

/// [`Written`], with project, stage and service there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Common {
    pub project: String,
    pub stage: String,
    pub service: String,
    pub labels: BTreeMap<String, String>,
    pub status: String,
    pub result: String,
    pub message: String,
}

impl Common {
    /// Reads what an event says in general; the error says why Keptn would drop the event.
    pub fn read(event: &Event) -> Result<Common, String> {
        let data = event.json().ok_or("its data is no JSON object")?;
        let written = Written::deserialize(data).map_err(|e| format!("its data cannot be read: {e}"))?;
        let needed = |name: &str, value: Option<String>| {
            value.filter(|v| !v.is_empty()).ok_or_else(|| format!("its data has no {name}"))
        };
        Ok(Common {
            project: needed("project", written.project)?,
            stage: needed("stage", written.stage)?,
            service: needed("service", written.service)?,
            labels: written.labels.unwrap_or_default(),
            status: written.status.unwrap_or_default(),
            result: written.result.unwrap_or_default(),
            message: written.message.unwrap_or_default(),
        })
    }
}

/// The `data` object of an event.
pub(super) fn data_of(event: &Event) -> Object {
    event.json().and_then(Value::as_object).cloned().unwrap_or_default()
}

/// The `data` of the next trigger: what the sequence was asked with, and what all tasks so far have added.
pub(super) fn compose(execution: &Execution, next: Option<&Task>) -> Object {
    let mut data = execution.input.clone();
    for (name, value) in scope(execution) {
        data.insert(name.into(), value.into());
    }
    for done in &execution.done {
        if let Value::Object(merged) = merge(Value::Object(std::mem::take(&mut data)), done.properties.clone()) {
            data = merged;
        }
    }
    if let Some(last) = execution.done.last() {
        data.insert("result".into(), last.verdict.as_str().into());
        data.insert("status".into(), last.status.as_str().into());
    }
    if let Some((task, properties)) = next.and_then(|task| Some((&task.name.text, task.properties()?))) {
        let block = data.remove(task).unwrap_or_default();
        data.insert(task.clone(), merge(block, properties));
    }
    if let Some(message) = data.get_mut("message") {
        *message = "".into();
    }
    data
}

/// The `data` of the end of a sequence: no blocks of tasks, and labels and message of the last `.finished` alone.
pub(super) fn finished(execution: &Execution, ending: &Ending) -> Object {
    let mut data = Object::new();
    for (name, value) in scope(execution) {
        data.insert(name.into(), value.into());
    }
    if !execution.last.labels.is_empty() {
        data.insert(
            "labels".into(),
            execution.last.labels.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect(),
        );
    }
    data.insert("status".into(), ending.status.as_str().into());
    data.insert("result".into(), ending.verdict.as_str().into());
    if !ending.message.is_empty() {
        data.insert("message".into(), ending.message.as_str().into());
    }
    data
}

fn scope(execution: &Execution) -> [(&'static str, &str); 3] {
    let Execution { project, stage, service, .. } = execution;
    [("project", project), ("stage", stage), ("service", service)]
}
