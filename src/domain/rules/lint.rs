//! What is allowed in a rule set and probably a mistake.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use super::Verdict;
use super::condition::{Condition, Test, Word};
use super::path::{Path, View};
use super::rivals::{Budget, Rivals};
use super::rule::{Action, Rule, Says};
use super::set::RuleSet;
use crate::domain::event::Event;

/// One doubt about one rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The file of the rule.
    pub file: Arc<str>,
    /// Its line.
    pub line: u32,
    /// Its column.
    pub column: u32,
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
    /// A template looks at a path that none of the test events has which the rule decides.
    UnknownPath,
    /// It was not compared with the rules before it, since that would take too long.
    Uncompared,
}

/// What comparing rules may cost: some seconds, and enough for two thousand rules that are all about the same events.
const WORK: u64 = 20_000_000;

/// Looks through a rule set. A team's rule before a built-in one is no finding: that is what the order is for.
pub fn lint(rules: &RuleSet) -> Vec<Finding> {
    let all = &rules.inner.rules;
    let mut findings = shadowed(all);
    findings.extend(unresolved(all));
    findings.extend(unknown_paths(rules));
    findings.sort_by_key(|(number, _)| *number);
    findings.into_iter().map(|(_, finding)| finding).collect()
}

/// A finding and the number of its rule.
type Numbered = (usize, Finding);

fn finding(number: usize, rule: &Rule, kind: FindingKind, message: String) -> Numbered {
    let (file, name) = (rule.file.clone(), rule.name.clone());
    (number, Finding { file, line: rule.at.line, column: rule.at.column, rule: name, kind, message })
}

/// The rules of which an earlier one takes all, or takes some in a way that is hardly meant.
fn shadowed(all: &[Rule]) -> Vec<Numbered> {
    let mut findings = Vec::new();
    let builtin = |rule: &Rule| RuleSet::is_builtin(&rule.file);
    for of_packs in [false, true] {
        let mut budget = Budget::of(WORK);
        let mut earlier = Rivals::among(all);
        for (number, rule) in all.iter().enumerate().filter(|(_, rule)| builtin(rule) == of_packs) {
            let rivals = earlier.of(rule, &mut budget);
            let Some(shadow) = rivals.and_then(|rivals| shadow(all, &rivals, rule, &mut budget)) else {
                let message = "neither it nor the rules behind it were compared with those before: \
                               too many are about the same events";
                findings.push(finding(number, rule, FindingKind::Uncompared, message.into()));
                break;
            };
            // What an unreachable rule takes, the one before it takes too.
            if shadow.as_ref().is_none_or(|(kind, _)| *kind != FindingKind::Unreachable) {
                earlier.add(number as u32, rule);
            }
            findings.extend(shadow.map(|(kind, message)| finding(number, rule, kind, message)));
        }
    }
    findings
}

/// What the rivals of a rule do to it, if anything; the outer none where the budget does not reach.
fn shadow(all: &[Rule], rivals: &[u32], rule: &Rule, budget: &mut Budget) -> Option<Option<(FindingKind, String)>> {
    let mut overlap = None;
    for rival in rivals.iter().map(|number| &all[*number as usize]) {
        budget.take(weight(rival) * weight(rule))?;
        if exclude(&rival.conditions, &rule.conditions) {
            continue;
        }
        let wider = |a: &Rule, b: &Rule| {
            b.on.iter().all(|b| a.on.iter().any(|a| a.covers(b))) && implied(&a.conditions, &b.conditions)
        };
        let place = format!("{:?} ({} line {})", &*rival.name, rival.file, rival.at.line);
        if wider(rival, rule) {
            let message = format!("rule {place} comes first and takes every event that fits");
            return Some(Some((FindingKind::Unreachable, message)));
        }
        let alike = matches!((&rival.action, &rule.action), (Action::Ignore(_), Action::Ignore(_)));
        if overlap.is_none() && !alike && !wider(rule, rival) {
            let message = format!("some events fit rule {place} too, which comes first and decides");
            overlap = Some((FindingKind::Overlapping, message));
        }
    }
    Some(overlap)
}

/// How much there is to compare in a rule.
fn weight(rule: &Rule) -> u64 {
    let words = |test: &Test| match test {
        Test::Any(words) | Test::Not(words) => words.len(),
        Test::Exists(_) => 1,
    };
    let conditions = rule.conditions.iter().flat_map(|c| &c.tests).map(words).sum::<usize>();
    (rule.on.len() + conditions) as u64
}

/// Whether no event can fulfil both lists.
pub(super) fn exclude(a: &[Condition], b: &[Condition]) -> bool {
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

fn unresolved(all: &[Rule]) -> Vec<Numbered> {
    let scope = |says: &Says| [&says.resource_type, &says.resource_name].map(|part| part.source().to_owned());
    let resolving = all.iter().filter_map(sides).filter(|(_, resolves, _)| *resolves);
    let closed: HashSet<_> = resolving.map(|(_, _, says)| scope(says)).collect();
    let open = all.iter().enumerate().filter(|(_, rule)| {
        sides(rule).is_some_and(|(opens, resolves, says)| opens && !resolves && !closed.contains(&scope(says)))
    });
    let message = "it knows a failure or warning, and neither it nor another rule with this scope knows a success";
    open.map(|(number, rule)| finding(number, rule, FindingKind::Unresolved, message.into())).collect()
}

/// Paths into the payload that none of the test events has which a rule decides, be they of its file or of a pack that it
/// comes before. Rules whose own file tests nothing about them are left alone.
fn unknown_paths(rules: &RuleSet) -> Vec<Numbered> {
    let mut samples: HashMap<usize, Vec<Event>> = HashMap::new();
    let mut tested = HashSet::new();
    for proof in &rules.inner.proofs {
        let Ok(event) = proof.event(rules) else { continue };
        let Some((number, rule)) = rules.deciding(&View::of(&event)) else { continue };
        if matches!(rule.judge(&event, &rules.inner.engine), Verdict::Signal(_) | Verdict::Broken { .. }) {
            if rule.file == proof.file {
                tested.insert(number);
            }
            samples.entry(number).or_default().push(event);
        }
    }
    let mut findings = Vec::new();
    for (number, rule) in rules.inner.rules.iter().enumerate().filter(|(number, _)| tested.contains(number)) {
        let Some((_, _, says)) = sides(rule) else { continue };
        let events = samples.get(&number).map_or(&[][..], Vec::as_slice);
        for (field, template) in says.templates() {
            for path in template.paths(&rules.inner.engine) {
                let Ok(read) = Path::parse(&path) else { continue };
                if read.in_data() && !events.iter().any(|e| View::of(e).get(&read).is_some()) {
                    let message = format!("{field} looks at {path}, which no event of its tests has");
                    findings.push(finding(number, rule, FindingKind::UnknownPath, message));
                }
            }
        }
    }
    findings
}
