//! What is allowed in a rule set and probably a mistake.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::Verdict;
use super::condition::{Condition, Test, Word};
use super::path::{Path, View};
use super::rule::{Action, Rule, Says};
use super::set::RuleSet;
use super::template::Template;
use crate::domain::event::Event;

/// One doubt about one rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The file of the rule.
    pub file: Arc<str>,
    /// Its line.
    pub line: u32,
    /// The rule.
    pub rule: Arc<str>,
    /// What kind of doubt.
    pub kind: FindingKind,
    /// In words.
    pub message: String,
}

/// What lint looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// An earlier rule takes every event that this one could.
    Unreachable,
    /// Some events fit this rule and an earlier one, and neither is a special case of the other.
    Overlapping,
    /// It can open an issue that no success ever closes.
    Unresolved,
    /// A template looks at a path that none of the file's test events has.
    UnknownPath,
}

/// Looks through a rule set. A team's rule before a built-in one is no finding: that is what the order is for.
pub fn lint(rules: &RuleSet) -> Vec<Finding> {
    let all = &rules.inner.rules;
    let mut findings = Vec::new();
    for (n, rule) in all.iter().enumerate() {
        findings.extend(shadowed(&all[..n], rule));
        findings.extend(unresolved(all, rule));
    }
    findings.extend(unknown_paths(rules));
    let place = |f: &Finding| all.iter().position(|r| r.name == f.rule && r.file == f.file);
    findings.sort_by_key(place);
    findings
}

fn finding(rule: &Rule, kind: FindingKind, message: String) -> Finding {
    Finding { file: rule.file.clone(), line: rule.at.line, rule: rule.name.clone(), kind, message }
}

/// Whether an earlier rule takes all, or takes some in a way that is hardly meant.
fn shadowed(earlier: &[Rule], rule: &Rule) -> Option<Finding> {
    let builtin = RuleSet::is_builtin(&rule.file);
    let rivals = earlier.iter().filter(|e| RuleSet::is_builtin(&e.file) == builtin);
    let mut overlap = None;
    for rival in rivals {
        let meet = rival.on.iter().any(|a| rule.on.iter().any(|b| a.overlaps(b)));
        if !meet || exclude(&rival.conditions, &rule.conditions) {
            continue;
        }
        let wider = |a: &Rule, b: &Rule| {
            b.on.iter().all(|b| a.on.iter().any(|a| a.covers(b))) && implied(&a.conditions, &b.conditions)
        };
        let place = format!("{:?} ({} line {})", &*rival.name, rival.file, rival.at.line);
        if wider(rival, rule) {
            let message = format!("rule {place} comes first and takes every event that fits");
            return Some(finding(rule, FindingKind::Unreachable, message));
        }
        let alike = matches!((&rival.action, &rule.action), (Action::Ignore(_), Action::Ignore(_)));
        if overlap.is_none() && !alike && !wider(rule, rival) {
            let message = format!("some events fit rule {place} too, which comes first and decides");
            overlap = Some(finding(rule, FindingKind::Overlapping, message));
        }
    }
    overlap
}

/// Whether no event can fulfil both lists.
fn exclude(a: &[Condition], b: &[Condition]) -> bool {
    a.iter().any(|a| {
        b.iter()
            .filter(|b| a.path == b.path)
            .any(|b| a.tests.iter().any(|x| b.tests.iter().any(|y| exclusive(x, y) || exclusive(y, x))))
    })
}

fn exclusive(a: &Test, b: &Test) -> bool {
    match (a, b) {
        (Test::Any(a), Test::Any(b)) => !a.iter().any(|a| b.iter().any(|b| may_meet(a, b))),
        (Test::Any(a), Test::Not(b)) => a.iter().all(|a| b.iter().any(|b| within(a, b))),
        (Test::Any(_) | Test::Exists(true), Test::Exists(false)) => true,
        _ => false,
    }
}

/// Whether every event that fulfils all of `narrow` fulfils all of `wide`.
fn implied(wide: &[Condition], narrow: &[Condition]) -> bool {
    wide.iter().all(|wide| {
        let mut same = narrow.iter().filter(|n| n.path == wide.path);
        same.any(|n| wide.tests.iter().all(|w| n.tests.iter().any(|n| implies(n, w))))
    })
}

fn implies(narrow: &Test, wide: &Test) -> bool {
    match (narrow, wide) {
        (Test::Any(n), Test::Any(w)) => n.iter().all(|n| w.iter().any(|w| within(n, w))),
        (Test::Any(n), Test::Not(w)) => !n.iter().any(|n| w.iter().any(|w| may_meet(n, w))),
        (Test::Not(n), Test::Not(w)) => w.iter().all(|w| n.iter().any(|n| within(w, n))),
        (Test::Any(_), Test::Exists(true)) | (Test::Exists(false), Test::Not(_)) => true,
        (Test::Exists(n), Test::Exists(w)) => n == w,
        _ => false,
    }
}

fn may_meet(a: &Word, b: &Word) -> bool {
    match (a, b) {
        (Word::Exact(a), Word::Exact(b)) => a == b,
        (Word::Exact(text), Word::Glob(glob)) | (Word::Glob(glob), Word::Exact(text)) => glob.matches(text),
        (Word::Glob(_), Word::Glob(_)) => true,
    }
}

fn within(narrow: &Word, wide: &Word) -> bool {
    match (narrow, wide) {
        (Word::Exact(a), Word::Exact(b)) => a == b,
        (Word::Exact(text), Word::Glob(glob)) => glob.matches(text),
        (Word::Glob(a), Word::Glob(b)) => a == b,
        (Word::Glob(_), Word::Exact(_)) => false,
    }
}

/// The lists of a rule by what they do: can it open, can it resolve.
fn sides(rule: &Rule) -> Option<(bool, bool, &Says)> {
    let Action::Decide(decide) = &rule.action else { return None };
    let [_, failure, warning, success] = decide.outcomes.each_ref().map(|list| !list.is_empty());
    Some((failure || warning, success, decide.says.as_ref()?))
}

fn unresolved(all: &[Rule], rule: &Rule) -> Option<Finding> {
    let (opens, resolves, says) = sides(rule)?;
    if !opens || resolves {
        return None;
    }
    let same = |a: &Template, b: &Template| a.source() == b.source();
    let closed = all.iter().filter_map(sides).any(|(_, resolves, other)| {
        resolves && same(&other.resource_type, &says.resource_type) && same(&other.resource_name, &says.resource_name)
    });
    let message = "it knows a failure or warning, and neither it nor another rule with this scope knows a success";
    (!closed).then(|| finding(rule, FindingKind::Unresolved, message.into()))
}

/// Paths into the payload that none of the events a rule decides in its tests has. Rules without tests are left alone.
fn unknown_paths(rules: &RuleSet) -> Vec<Finding> {
    let mut samples: HashMap<(Arc<str>, Arc<str>), Vec<Event>> = HashMap::new();
    for proof in &rules.inner.proofs {
        let Ok(event) = proof.event(rules) else { continue };
        let name = match rules.evaluate(&event) {
            Verdict::Signal(signal) => signal.rule,
            Verdict::Broken { rule, .. } => rule,
            Verdict::Neutral { .. } | Verdict::Ignored { .. } | Verdict::NoRule => continue,
        };
        samples.entry((proof.file.clone(), name)).or_default().push(event);
    }
    let mut findings = Vec::new();
    for rule in &rules.inner.rules {
        let Some(events) = samples.get(&(rule.file.clone(), rule.name.clone())) else { continue };
        let Some((_, _, says)) = sides(rule) else { continue };
        for (field, template) in says.templates() {
            for path in template.paths(&rules.inner.engine) {
                let Ok(read) = Path::parse(&path) else { continue };
                if read.in_data() && !events.iter().any(|e| View::of(e).get(&read).is_some()) {
                    let message = format!("{field} looks at {path}, which no event of its tests has");
                    findings.push(finding(rule, FindingKind::UnknownPath, message));
                }
            }
        }
    }
    findings
}

impl Says {
    /// All templates with the field they fill.
    fn templates(&self) -> impl Iterator<Item = (&'static str, &Template)> {
        let Says {
            resource_type,
            resource_name,
            resource_namespace,
            namespace,
            project,
            stage,
            service,
            run,
            at,
            check,
            issue_type,
            severity,
            title,
            description,
            links,
            resolves: _,
        } = self;
        let fixed = [
            ("scope.resourceType", Some(resource_type)),
            ("scope.resourceName", Some(resource_name)),
            ("scope.resourceNamespace", Some(resource_namespace)),
            ("namespace", namespace.as_ref()),
            ("project", project.as_ref()),
            ("stage", stage.as_ref()),
            ("service", service.as_ref()),
            ("run", run.as_ref()),
            ("at", at.as_ref()),
            ("check", check.as_ref()),
            ("issue.issueType", issue_type.as_ref()),
            ("issue.severity", severity.as_ref()),
            ("issue.title", title.as_ref()),
            ("issue.description", description.as_ref()),
        ];
        let links = links.iter().flat_map(|(title, url)| [("issue.links title", title), ("issue.links url", url)]);
        fixed.into_iter().filter_map(|(field, template)| Some((field, template?))).chain(links)
    }
}
