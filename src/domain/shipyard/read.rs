//! Reads a shipyard file whole and notes every mistake with its place.

use std::sync::Arc;

use super::{Head, Match, Sequence, Shipyard, Stage, Task, Trigger};
use crate::domain::rules::Problem;
use crate::domain::yaml::fields::{Fields, Text, text};
use crate::domain::yaml::problem::Problems;
use crate::domain::yaml::{self, Kind, Node};

/// The oldest version of the format that Keptn takes.
const OLDEST: (u64, u64) = (0, 2);

/// What stands before the version.
pub(super) const PREFIX: &str = "spec.keptn.sh/";

impl Shipyard {
    /// Reads a file; `name` is how messages call it.
    ///
    /// # Errors
    /// Everything that keeps it from being understood, keys that nobody knows among them.
    pub fn read(name: &str, source: &str) -> Result<Shipyard, Vec<Problem>> {
        let file: Arc<str> = name.into();
        let mut problems = Problems::of(file.clone());
        let shipyard = yaml::read(source, &mut problems).and_then(|node| shipyard(file, &node, &mut problems));
        let problems = problems.into_list();
        match shipyard {
            Some(shipyard) if problems.is_empty() => Ok(shipyard),
            _ => Err(problems),
        }
    }
}

fn shipyard(file: Arc<str>, node: &Node, problems: &mut Problems) -> Option<Shipyard> {
    let mut f = Fields::of(node, "shipyard", problems)?;
    let api_version = f.require_text("apiVersion", problems);
    if let Some(found) = &api_version {
        version(found, problems);
    }
    let kind = f.text("kind", problems);
    let name = f.get("metadata").and_then(|n| metadata(n, problems));
    let spec = f.require("spec", problems);
    f.finish(problems);
    let mut f = Fields::of(spec?, "spec", problems)?;
    let at = f.at();
    let stages: Vec<Stage> = list(&mut f, "stages", problems).into_iter().filter_map(|n| stage(n, problems)).collect();
    if stages.is_empty() && !f.has("stages") {
        problems.add(at, "spec has no \"stages\"");
    } else if stages.is_empty() {
        problems.add(at, "spec has no stage that can be read");
    }
    f.finish(problems);
    let head = Head { at: node.at, api_version: api_version?, kind, name };
    Some(Shipyard { file, stages, head })
}

/// The version must be one that Keptn's control plane takes: 0.2 or newer.
fn version(found: &Text, problems: &mut Problems) {
    let number = found.text.strip_prefix(PREFIX).unwrap_or(&found.text);
    let mut parts = number.split('.').map(str::parse::<u64>);
    let read = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Ok(major)), minor, patch, None) => match (minor.unwrap_or(Ok(0)), patch.unwrap_or(Ok(0))) {
            (Ok(minor), Ok(_)) => Some((major, minor)),
            _ => None,
        },
        _ => None,
    };
    if read.is_none_or(|version| version < OLDEST) {
        let message = format!("apiVersion {:?} is no version of the shipyard from 0.2 on", found.text);
        problems.suggest(found.at, message, format!("for example \"{PREFIX}0.2.3\""));
    }
}

fn metadata(node: &Node, problems: &mut Problems) -> Option<Text> {
    let mut f = Fields::of(node, "metadata", problems)?;
    let name = f.text("name", problems);
    // What Kubernetes' tools put beside a name hurts nobody.
    for key in ["description", "labels", "annotations", "namespace"] {
        f.get(key);
    }
    f.finish(problems);
    name
}

fn stage(node: &Node, problems: &mut Problems) -> Option<Stage> {
    let mut f = Fields::of(node, "stage", problems)?;
    let name = f.require_text("name", problems);
    let sequences = list(&mut f, "sequences", problems).into_iter().filter_map(|n| sequence(n, problems)).collect();
    f.finish(problems);
    Some(Stage { name: name?, sequences })
}

fn sequence(node: &Node, problems: &mut Problems) -> Option<Sequence> {
    let mut f = Fields::of(node, "sequence", problems)?;
    let name = f.require_text("name", problems);
    let triggered_on = list(&mut f, "triggeredOn", problems).into_iter().filter_map(|n| trigger(n, problems)).collect();
    let tasks = list(&mut f, "tasks", problems).into_iter().filter_map(|n| task(n, problems)).collect();
    f.finish(problems);
    Some(Sequence { name: name?, triggered_on, tasks })
}

fn trigger(node: &Node, problems: &mut Problems) -> Option<Trigger> {
    let mut f = Fields::of(node, "entry of triggeredOn", problems)?;
    let event = f.require_text("event", problems);
    let mut matches = None;
    if let Some(mut selector) = f.get("selector").and_then(|n| Fields::of(n, "selector", problems)) {
        matches = selector.get("match").and_then(|n| pairs(n, problems));
        selector.finish(problems);
    }
    f.finish(problems);
    Some(Trigger { event: event?, matches })
}

fn pairs(node: &Node, problems: &mut Problems) -> Option<Match> {
    let Kind::Map(entries) = &node.kind else {
        problems.add(node.at, format!("match is {}, not a mapping", node.kind_word()));
        return None;
    };
    let mut pairs: Vec<(Text, Text)> = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        if pairs.iter().any(|(known, _)| known.text == key.name) {
            problems.add(key.at, format!("key {:?} stands twice", key.name));
        }
        let value = match &value.kind {
            Kind::Null => Some(Text { at: value.at, text: String::new() }),
            _ => text(value, &format!("value of {:?}", key.name), problems),
        };
        pairs.extend(value.map(|value| (Text { at: key.at, text: key.name.clone() }, value)));
    }
    Some(Match { at: node.at, pairs })
}

fn task(node: &Node, problems: &mut Problems) -> Option<Task> {
    let mut f = Fields::of(node, "task", problems)?;
    let name = f.require_text("name", problems);
    let triggered_after = f.text("triggeredAfter", problems);
    let properties = f.get("properties").filter(|n| Fields::of(n, "properties", problems).is_some()).cloned();
    if let Some(node) = &properties {
        twice(node, problems);
    }
    f.finish(problems);
    Some(Task { name: name?, triggered_after, properties })
}

/// Properties are free, but a key that stands twice is a slip at any depth.
fn twice(node: &Node, problems: &mut Problems) {
    let mut open = vec![node];
    while let Some(node) = open.pop() {
        match &node.kind {
            Kind::Map(entries) => {
                let mut seen = std::collections::HashSet::new();
                for (key, value) in entries {
                    if !seen.insert(key.name.as_str()) {
                        problems.add(key.at, format!("key {:?} stands twice", key.name));
                    }
                    open.push(value);
                }
            }
            Kind::List(list) => open.extend(list),
            Kind::Null | Kind::Bool(_) | Kind::Number(..) | Kind::Text(_) => {}
        }
    }
}

/// The items of a list that cannot be written as a single value.
fn list<'n>(fields: &mut Fields<'n>, key: &'static str, problems: &mut Problems) -> Vec<&'n Node> {
    match fields.get(key) {
        None => Vec::new(),
        Some(Node { kind: Kind::List(list), .. }) => list.iter().collect(),
        Some(node) => {
            problems.add(node.at, format!("{key} is {}, not a list", node.kind_word()));
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(source: &str) -> Vec<String> {
        match Shipyard::read("s.yaml", source) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn the_documented_file_is_read_whole() {
        let shipyard = Shipyard::read("s.yaml", include_str!("fixtures/documented.yaml")).unwrap();
        let names: Vec<_> = shipyard.sequences().map(|(s, q)| format!("{}.{}", s.name.text, q.name.text)).collect();
        assert_eq!(names, ["staging.delivery", "production.delivery", "production.rollback"]);
        let delivery = shipyard.tasks_of("staging", "delivery").unwrap();
        assert_eq!(
            delivery.iter().map(|t| t.name.text.as_str()).collect::<Vec<_>>(),
            ["deployment", "test", "evaluation", "release"]
        );
        assert_eq!(delivery[0].properties().unwrap(), serde_json::json!({"deploymentstrategy": "direct"}));
        assert_eq!(delivery[2].delay().as_secs(), 120);
        let rollback = &shipyard.stages[1].sequences[1];
        assert_eq!(rollback.triggered_on[0].of(), Some(("production", "delivery")));
        assert_eq!(rollback.triggered_on[0].matches.as_ref().unwrap().get("result"), Some("failed"));
    }

    #[test]
    fn every_mistake_comes_at_once_with_its_place_and_a_suggestion() {
        let source = "\
apiVersion: spec.keptn.sh/0.1.7
kind: Shipyard
metadata: {nam: shop}
spec:
  stages:
    - name: dev
      sequence: []
    - sequences:
        - name: delivery
          triggers: [dev.delivery.finished]
          triggeredOn: {event: x}
          tasks:
            - nmae: test
            - {name: evaluation, trigeredAfter: 2m, properties: [1]}
            - {name: release, properties: {a: {b: 1, b: 2}}}
";
        let got = mistakes(source);
        let want = [
            "s.yaml:1:13: apiVersion \"spec.keptn.sh/0.1.7\" is no version of the shipyard from 0.2 on (for example \"spec.keptn.sh/0.2.3\")",
            "s.yaml:3:12: key \"nam\" is unknown (did you mean \"name\"?)",
            "s.yaml:7:7: key \"sequence\" is unknown (did you mean \"sequences\"?)",
            "s.yaml:8:7: stage has no \"name\"",
            "s.yaml:10:11: key \"triggers\" is unknown (did you mean \"triggeredOn\"?)",
            "s.yaml:11:24: triggeredOn is a mapping, not a list",
            "s.yaml:13:15: task has no \"name\"",
            "s.yaml:13:15: key \"nmae\" is unknown (did you mean \"name\"?)",
            "s.yaml:14:34: key \"trigeredAfter\" is unknown (did you mean \"triggeredAfter\"?)",
            "s.yaml:14:65: properties is a list, not a mapping",
            "s.yaml:15:54: key \"b\" stands twice",
        ];
        assert_eq!(got, want, "{got:#?}");
    }

    #[test]
    fn what_is_no_shipyard_is_said() {
        for (source, want) in [
            ("", "shipyard is empty, not a mapping"),
            ("[]", "shipyard is a list"),
            ("a: [", "not valid YAML"),
            ("stages: [{name: dev}]", "has no \"spec\""),
            ("apiVersion: spec.keptn.sh/0.2.3\nspec: {}", "spec has no \"stages\""),
            ("apiVersion: spec.keptn.sh/0.2.3\nspec: {stages: []}", "no stage that can be read"),
            ("apiVersion: v1\nspec: {stages: [{name: dev}]}", "apiVersion \"v1\""),
        ] {
            let got = mistakes(source);
            assert!(got.iter().any(|m| m.contains(want)), "{source:?}: {got:?}");
        }
        for version in ["spec.keptn.sh/0.2.0", "spec.keptn.sh/0.2.3", "0.3.0", "spec.keptn.sh/1.0.0", "spec.keptn.sh/1"]
        {
            let source = format!("apiVersion: {version}\nspec: {{stages: [{{name: dev}}]}}");
            assert_eq!(mistakes(&source), [""; 0], "{version}");
        }
    }

    #[test]
    fn a_sequence_is_found_as_keptn_finds_it() {
        let source = "apiVersion: spec.keptn.sh/0.2.3\nspec: {stages: [{name: dev, sequences: [{name: empty}]}]}";
        let shipyard = Shipyard::read("s.yaml", source).unwrap();
        let missing = |stage: &str, sequence: &str| shipyard.tasks_of(stage, sequence).unwrap_err();
        assert_eq!(missing("prod", "x"), "no stage with name prod");
        assert_eq!(missing("dev", "x"), "no sequence with name x found in stage dev");
        assert_eq!(missing("dev", "empty"), "sequence empty does not contain any tasks");
        assert_eq!(shipyard.tasks_of("dev", "evaluation").unwrap()[0].name.text, "evaluation");
    }
}
