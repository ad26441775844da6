//! Which events of a type a webhook is for.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::domain::event::Event;
use crate::domain::yaml::fields::{Fields, text};
use crate::domain::yaml::problem::Problems;
use crate::domain::yaml::{Kind, Node};

/// Lists of which any value will do; an empty one admits everything. All of them, and all labels, must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// `data.project`.
    pub project: Vec<String>,
    /// `data.stage`.
    pub stage: Vec<String>,
    /// `data.service`.
    pub service: Vec<String>,
    /// `data.result`.
    pub result: Vec<String>,
    /// `data.status`.
    pub status: Vec<String>,
    /// `data.labels`.
    pub labels: BTreeMap<String, Vec<String>>,
}

impl Filter {
    /// Reads a filter.
    pub fn read(node: &Node, problems: &mut Problems) -> Filter {
        let Some(mut f) = Fields::of(node, "filter", problems) else { return Filter::default() };
        let mut scope = |key: &'static str, keptn: &'static str| {
            let mut list = f.texts(key, problems);
            list.extend(f.texts(keptn, problems));
            for glob in list.iter().filter(|text| text.text.contains(['*', '?'])) {
                problems.suggest(
                    glob.at,
                    format!("{key} {:?} has a wildcard", glob.text),
                    "filters name values as they are",
                );
            }
            list.into_iter().map(|text| text.text).collect()
        };
        let (project, stage, service) =
            (scope("project", "projects"), scope("stage", "stages"), scope("service", "services"));
        let mut words = |key: &'static str, known: &[&str]| {
            let list = f.texts(key, problems);
            for word in list.iter().filter(|word| !known.contains(&word.text.as_str())) {
                problems.unknown(word.at, key, &word.text, known);
            }
            list.into_iter().map(|text| text.text).collect()
        };
        let result = words("result", &["pass", "warning", "fail"]);
        let status = words("status", &["succeeded", "errored", "unknown", "aborted"]);
        let labels = f.get("labels").map(|node| labels(node, problems)).unwrap_or_default();
        f.finish(problems);
        Filter { project, stage, service, result, status, labels }
    }

    /// Whether it lets an event through.
    pub fn admits(&self, event: &Event) -> bool {
        let data = [
            ("project", &self.project),
            ("stage", &self.stage),
            ("service", &self.service),
            ("result", &self.result),
            ("status", &self.status),
        ];
        let one_of = |list: &[String], value: Option<&str>| {
            list.is_empty() || value.is_some_and(|value| list.iter().any(|want| want == value))
        };
        if !data.iter().all(|(member, list)| one_of(list, event.text(member))) {
            return false;
        }
        self.labels.iter().all(|(name, list)| {
            let value: Option<Cow<'_, str>> = event.labels().find(|(label, _)| label == name).map(|(_, value)| value);
            one_of(list, value.as_deref())
        })
    }

    /// The higher, the more specific.
    pub fn rank(&self) -> [bool; 3] {
        [!self.service.is_empty(), !self.stage.is_empty(), !self.project.is_empty()]
    }
}

fn labels(node: &Node, problems: &mut Problems) -> BTreeMap<String, Vec<String>> {
    let Kind::Map(entries) = &node.kind else {
        problems.add(node.at, format!("labels is {}, not a mapping", node.kind_word()));
        return BTreeMap::new();
    };
    let mut labels = BTreeMap::new();
    for (key, value) in entries {
        let values: Vec<String> = match &value.kind {
            Kind::List(list) => list.iter().filter_map(|n| text(n, "label", problems)).map(|t| t.text).collect(),
            _ => text(value, "label", problems).map(|t| t.text).into_iter().collect(),
        };
        if values.is_empty() {
            problems.add(value.at, format!("label {:?} has no value", key.name));
        }
        if labels.insert(key.name.clone(), values).is_some() {
            problems.add(key.at, format!("key {:?} stands twice", key.name));
        }
    }
    labels
}
