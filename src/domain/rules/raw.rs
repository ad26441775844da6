//! A rule file as it is written: read whole, every mistake noted, nothing understood yet beyond its shape.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use super::fields::{Fields, Text, text};
use super::problem::{At, Problems};
use super::yaml::{self, Kind, Node};

/// One file.
#[derive(Debug)]
pub struct RawFile {
    /// Further subjects whose events are recorded even where no rule matches.
    pub subjects: Vec<Text>,
    /// The rules in order.
    pub rules: Vec<RawRule>,
    /// Its tests.
    pub tests: Vec<RawTest>,
}

/// One rule.
#[derive(Debug, Default)]
pub struct RawRule {
    pub at: At,
    pub name: Option<Text>,
    pub webhook: Option<RawWebhook>,
    pub adapter: Option<RawAdapter>,
    pub on: Vec<Text>,
    pub matches: Vec<RawCondition>,
    pub require: Vec<Text>,
    pub ignore: bool,
    pub reason: Option<Text>,
    /// In the order they are tried: neutral, failure, warning, success.
    pub outcomes: Option<[Vec<RawEntry>; 4]>,
    pub scope: Option<RawScope>,
    pub namespace: Option<Text>,
    pub project: Option<Text>,
    pub stage: Option<Text>,
    pub service: Option<Text>,
    pub run: Option<Text>,
    pub time: Option<Text>,
    pub check: Option<Text>,
    pub issue: Option<RawIssue>,
    pub resolves: Option<Text>,
}

/// One entry of an outcome list.
#[derive(Debug)]
pub struct RawEntry {
    pub conditions: Vec<RawCondition>,
    pub reason: Option<Text>,
}

/// One line of a `match`.
#[derive(Debug)]
pub struct RawCondition {
    pub path: Text,
    pub tests: Vec<RawTestOf>,
}

/// What a value must be.
#[derive(Debug)]
pub enum RawTestOf {
    Any(Vec<Text>),
    Not(Vec<Text>),
    Exists(bool),
}

#[derive(Debug, Default)]
pub struct RawScope {
    pub resource_type: Option<Text>,
    pub resource_name: Option<Text>,
    pub resource_namespace: Option<Text>,
}

#[derive(Debug, Default)]
pub struct RawIssue {
    pub issue_type: Option<Text>,
    pub severity: Option<Text>,
    pub title: Option<Text>,
    pub description: Option<Text>,
    pub links: Vec<(Text, Text)>,
}

#[derive(Debug)]
pub struct RawWebhook {
    pub name: Text,
    pub failure: Vec<Text>,
    pub success: Vec<Text>,
    pub text: Vec<Text>,
    pub lists: Vec<Text>,
    pub secret: Option<(Text, Text)>,
}

#[derive(Debug)]
pub struct RawAdapter {
    pub subject: Option<Text>,
    pub id: Option<Text>,
    pub ty: Option<Text>,
    pub time: Option<Text>,
    pub source: Option<Text>,
}

/// One test of a file.
#[derive(Debug)]
pub struct RawTest {
    pub at: At,
    pub name: String,
    pub event: RawEvent,
    pub expect: Vec<(&'static str, Text)>,
}

/// What a test sends.
#[derive(Debug)]
pub enum RawEvent {
    /// An event, of which only the type must be given.
    Event(Value),
    /// A body that an adapter lifts.
    Body { subject: String, body: Value },
}

/// The outcome words in the order in which their lists are tried.
pub const OUTCOMES: [&str; 4] = ["neutral", "failure", "warning", "success"];

/// What a test may expect.
pub const EXPECTATIONS: &[&str] = &[
    "outcome",
    "rule",
    "scope",
    "title",
    "description",
    "severity",
    "issueType",
    "check",
    "run",
    "namespace",
    "project",
    "stage",
    "service",
    "resolves",
    "link",
    "reason",
    "at",
];

/// A rule set with more rules than this is a mistake.
pub const MOST_RULES: usize = 20_000;

/// A rule set with more tests than this is one too: each of them may try every rule.
pub const MOST_TESTS: usize = 20_000;

/// Reads one file.
pub fn read(source: &str, problems: &mut Problems) -> Option<RawFile> {
    let node = yaml::read(source, problems)?;
    let mut file = Fields::of(&node, "rule file", problems)?;
    let mut fixed = |file: &mut Fields<'_>, key, want: &str| {
        let Some(found) = file.require_text(key, problems) else { return };
        if found.text != want {
            problems.suggest(found.at, format!("{key} is {:?}", found.text), format!("only {want:?} is read"));
        }
    };
    fixed(&mut file, "apiVersion", "shipwatch.dev/v1");
    fixed(&mut file, "kind", "RuleSet");
    if let Some(mut metadata) = file.require("metadata", problems).and_then(|n| Fields::of(n, "metadata", problems)) {
        metadata.require_text("name", problems);
        metadata.get("description");
        metadata.get("labels");
        metadata.get("annotations");
        metadata.finish(problems);
    }
    let subjects = file.texts("subjects", problems);
    let nodes = list(&mut file, "rules", problems);
    let proofs = list(&mut file, "tests", problems);
    for (what, count, most) in [("rules", nodes.len(), MOST_RULES), ("tests", proofs.len(), MOST_TESTS)] {
        if count > most {
            problems.add(node.at, format!("{count} {what} in one file are over the limit of {most}"));
            return None;
        }
    }
    let rules = nodes.into_iter().filter_map(|n| rule(n, problems)).collect();
    let tests = proofs.into_iter().filter_map(|n| test(n, problems)).collect();
    file.finish(problems);
    Some(RawFile { subjects, rules, tests })
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

fn rule(node: &Node, problems: &mut Problems) -> Option<RawRule> {
    let mut f = Fields::of(node, "rule", problems)?;
    let rule = RawRule {
        at: f.at(),
        name: f.require_text("name", problems),
        webhook: f.get("webhook").and_then(|n| webhook(n, problems)),
        adapter: f.get("adapter").and_then(|n| adapter(n, problems)),
        on: f.texts("on", problems),
        matches: f.get("match").map(|n| conditions(n, problems)).unwrap_or_default(),
        require: f.texts("require", problems),
        ignore: f.flag("ignore", problems),
        reason: f.text("reason", problems),
        outcomes: f.get("outcome").and_then(|n| outcomes(n, problems)),
        scope: f.get("scope").and_then(|n| scope(n, problems)),
        namespace: f.text("namespace", problems),
        project: f.text("project", problems),
        stage: f.text("stage", problems),
        service: f.text("service", problems),
        run: f.text("run", problems),
        time: f.text("at", problems),
        check: f.text("check", problems),
        issue: f.get("issue").and_then(|n| issue(n, problems)),
        resolves: f.text("resolves", problems),
    };
    f.finish(problems);
    Some(rule)
}

fn outcomes(node: &Node, problems: &mut Problems) -> Option<[Vec<RawEntry>; 4]> {
    let mut f = Fields::of(node, "outcome", problems)?;
    let lists = OUTCOMES.map(|word| f.items(word).into_iter().filter_map(|n| entry(n, problems)).collect());
    f.finish(problems);
    Some(lists)
}

fn entry(node: &Node, problems: &mut Problems) -> Option<RawEntry> {
    let mut f = Fields::of(node, "outcome entry", problems)?;
    let matches = f.require("match", problems);
    let reason = f.text("reason", problems);
    f.finish(problems);
    Some(RawEntry { conditions: conditions(matches?, problems), reason })
}

fn conditions(node: &Node, problems: &mut Problems) -> Vec<RawCondition> {
    let Kind::Map(entries) = &node.kind else {
        problems.add(node.at, format!("match is {}, not a mapping of paths to values", node.kind_word()));
        return Vec::new();
    };
    let mut found: Vec<RawCondition> = Vec::with_capacity(entries.len());
    let mut seen = HashSet::new();
    for (key, value) in entries {
        if !seen.insert(key.name.as_str()) {
            problems.add(key.at, format!("path {:?} stands twice", key.name));
        }
        let tests = match &value.kind {
            Kind::Map(_) => {
                let Some(mut f) = Fields::of(value, "condition", problems) else { continue };
                let mut tests = Vec::new();
                let not: Vec<Text> = f.items("not").into_iter().flat_map(|n| words(n, problems)).collect();
                if !not.is_empty() {
                    tests.push(RawTestOf::Not(not));
                }
                if f.has("exists") {
                    tests.push(RawTestOf::Exists(f.flag("exists", problems)));
                } else {
                    f.get("exists");
                }
                if tests.is_empty() {
                    problems.add(value.at, "condition has neither `not` nor `exists`");
                }
                f.finish(problems);
                tests
            }
            Kind::List(list) => {
                if list.is_empty() {
                    problems.add(value.at, format!("list of values for {:?} is empty, so nothing fits", key.name));
                }
                vec![RawTestOf::Any(list.iter().flat_map(|n| words(n, problems)).collect())]
            }
            Kind::Null => {
                problems.suggest(value.at, format!("value for {:?} is empty", key.name), "absence is {exists: false}");
                continue;
            }
            _ => vec![RawTestOf::Any(words(value, problems))],
        };
        found.push(RawCondition { path: Text { at: key.at, text: key.name.clone() }, tests });
    }
    found
}

/// A value to compare with; a number is compared as JSON has it and as it is written.
fn words(node: &Node, problems: &mut Problems) -> Vec<Text> {
    let mut words: Vec<Text> = text(node, "value", problems).into_iter().collect();
    if let Kind::Number(n, spelled) = &node.kind {
        let json = n.to_string();
        if json != *spelled {
            words.push(Text { at: node.at, text: json });
        }
    }
    words
}

fn scope(node: &Node, problems: &mut Problems) -> Option<RawScope> {
    let mut f = Fields::of(node, "scope", problems)?;
    let scope = RawScope {
        resource_type: f.require_text("resourceType", problems),
        resource_name: f.require_text("resourceName", problems),
        resource_namespace: f.require_text("resourceNamespace", problems),
    };
    f.finish(problems);
    Some(scope)
}

fn issue(node: &Node, problems: &mut Problems) -> Option<RawIssue> {
    let mut f = Fields::of(node, "issue", problems)?;
    let issue = RawIssue {
        issue_type: f.text("issueType", problems),
        severity: f.text("severity", problems),
        title: f.text("title", problems),
        description: f.text("description", problems),
        links: list(&mut f, "links", problems).into_iter().filter_map(|n| link(n, problems)).collect(),
    };
    f.finish(problems);
    Some(issue)
}

fn link(node: &Node, problems: &mut Problems) -> Option<(Text, Text)> {
    let mut f = Fields::of(node, "link", problems)?;
    let (title, url) = (f.require_text("title", problems), f.require_text("url", problems));
    f.finish(problems);
    Some((title?, url?))
}

fn webhook(node: &Node, problems: &mut Problems) -> Option<RawWebhook> {
    let mut f = Fields::of(node, "webhook", problems)?;
    let name = f.require_text("name", problems);
    let (mut failure, mut success) = (Vec::new(), Vec::new());
    if let Some(mut required) = f.get("required").and_then(|n| Fields::of(n, "required", problems)) {
        failure = required.texts("failure", problems);
        success = required.texts("success", problems);
        required.finish(problems);
    }
    let (text, lists) = (f.texts("text", problems), f.texts("lists", problems));
    let secret = f.get("hmac").and_then(|n| secret(n, problems));
    f.finish(problems);
    Some(RawWebhook { name: name?, failure, success, text, lists, secret })
}

fn secret(node: &Node, problems: &mut Problems) -> Option<(Text, Text)> {
    let mut hmac = Fields::of(node, "hmac", problems)?;
    let reference = hmac.require("secretRef", problems);
    hmac.finish(problems);
    let mut f = Fields::of(reference?, "secretRef", problems)?;
    let (name, key) = (f.require_text("name", problems), f.require_text("key", problems));
    f.finish(problems);
    Some((name?, key?))
}

fn adapter(node: &Node, problems: &mut Problems) -> Option<RawAdapter> {
    let mut f = Fields::of(node, "adapter", problems)?;
    let adapter = RawAdapter {
        subject: f.require_text("subject", problems),
        id: f.require_text("id", problems),
        ty: f.require_text("type", problems),
        time: f.text("time", problems),
        source: f.text("source", problems),
    };
    f.finish(problems);
    Some(adapter)
}

fn test(node: &Node, problems: &mut Problems) -> Option<RawTest> {
    let mut f = Fields::of(node, "test", problems)?;
    let at = f.at();
    let name = f.require_text("name", problems);
    let raw = f.get("raw").and_then(|n| raw_body(n, problems));
    let event = if raw.is_some() { f.get("event") } else { f.require("event", problems) };
    let expected = f.require("expect", problems);
    f.finish(problems);
    let event = match (raw, event.filter(|n| Fields::of(n, "event", problems).is_some())) {
        (Some(raw), _) => raw,
        (None, event) => RawEvent::Event(event?.to_json()),
    };
    let mut f = Fields::of(expected?, "expect", problems)?;
    let expect = EXPECTATIONS.iter().filter_map(|key| Some((*key, f.text(key, problems)?))).collect();
    f.finish(problems);
    Some(RawTest { at, name: name?.text, event, expect })
}

fn raw_body(node: &Node, problems: &mut Problems) -> Option<RawEvent> {
    let mut f = Fields::of(node, "raw", problems)?;
    let subject = f.require_text("subject", problems);
    let body = f.require("body", problems);
    f.finish(problems);
    Some(RawEvent::Body { subject: subject?.text, body: body?.to_json() })
}

/// Reads several files; the mistakes of all of them come together.
pub fn read_all(files: &[(Arc<str>, Arc<str>)]) -> Vec<(Option<RawFile>, Problems)> {
    files
        .iter()
        .map(|(name, source)| {
            let mut problems = Problems::of(name.clone());
            (read(source, &mut problems), problems)
        })
        .collect()
}
