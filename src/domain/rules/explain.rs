//! Why an event came to its verdict: each rule tried, each condition with the value seen.

use serde::Serialize;

use super::condition::Condition;
use super::path::View;
use super::rule::{Action, ORDER, Rule};
use super::set::RuleSet;
use super::{Resolves, Signal, Verdict};
use crate::domain::event::Event;
use crate::domain::issue::{IssueType, Link, Severity};

/// The whole story of one event.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// `type` of the event.
    #[serde(rename = "type")]
    pub ty: String,
    /// Rules in force.
    pub rules: usize,
    /// Rules whose `on` does not fit the type and which were therefore not tried.
    pub passed_over: usize,
    /// The rules tried, in order; the last one decided, where any did.
    pub tried: Vec<Tried>,
    /// What came of it.
    pub result: Told,
}

/// One rule that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = TriedRule)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    /// The rule.
    pub rule: String,
    /// Its file.
    pub file: String,
    /// Its line.
    pub line: u32,
    /// The conditions of its `match`.
    pub conditions: Vec<Checked>,
    /// Whether all of them hold.
    pub fits: bool,
    /// Its outcome entries, looked at only where the rule fits.
    pub outcomes: Vec<Entry>,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = CheckedCondition)]
pub struct Checked {
    /// Where it looks.
    pub path: String,
    /// What it asks for, in words.
    pub wants: String,
    /// What it saw, as JSON; none where nothing is there.
    pub seen: Option<String>,
    /// Whether it holds.
    pub holds: bool,
}

/// One entry of an outcome list.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = TriedOutcome)]
pub struct Entry {
    /// The outcome it stands for.
    pub outcome: &'static str,
    /// Its conditions.
    pub conditions: Vec<Checked>,
    /// Whether all of them hold; the first entry that holds decides.
    pub holds: bool,
}

/// A verdict in words, for listings.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// `success`, `warning`, `failure`, `neutral`, `ignored`, `broken` or `none`.
    pub outcome: &'static str,
    /// The rule, or empty.
    pub rule: String,
    /// Why, where there is no signal.
    pub why: String,
    /// What is said, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<Said>,
}

/// What a decisive event says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Said {
    /// Owner.
    pub namespace: String,
    /// `type/name/namespace`.
    pub scope: String,
    /// Keptn project, or empty.
    pub project: String,
    /// Keptn stage, or empty.
    pub stage: String,
    /// Keptn service, or empty.
    pub service: String,
    /// Kind of work.
    pub issue_type: IssueType,
    /// The check.
    pub check: String,
    /// The run.
    pub run: String,
    /// When, where the rule or the event says.
    pub at: Option<String>,
    /// What a success resolves.
    pub resolves: &'static str,
    /// How bad; none for a success.
    pub severity: Option<Severity>,
    /// Title; none for a success.
    pub title: Option<String>,
    /// Description; none for a success.
    pub description: Option<String>,
    /// The links that have a URL.
    pub links: Vec<Link>,
}

impl RuleSet {
    /// Evaluates an event and tells how it came to its verdict.
    pub fn explain(&self, event: &Event) -> Explanation {
        let view = View::of(event);
        let candidates = self.inner.index.for_type(&event.ty);
        let mut tried = Vec::new();
        for rule in candidates.iter().map(|n| &self.inner.rules[*n as usize]) {
            tried.push(try_rule(rule, &view));
            if tried.last().is_some_and(|t| t.fits) {
                break;
            }
        }
        Explanation {
            ty: event.ty.clone(),
            rules: self.inner.rules.len(),
            passed_over: self.inner.rules.len() - candidates.len(),
            tried,
            result: Told::of(&self.evaluate(event)),
        }
    }
}

fn try_rule(rule: &Rule, view: &View<'_>) -> Tried {
    let conditions = check_all(&rule.conditions, view);
    let fits = conditions.iter().all(|c| c.holds);
    let outcomes = match &rule.action {
        Action::Decide(decide) if fits => ORDER
            .into_iter()
            .zip(&decide.outcomes)
            .flat_map(|(outcome, entries)| entries.iter().map(move |entry| (outcome, entry)))
            .map(|(outcome, entry)| {
                let conditions = check_all(&entry.conditions, view);
                Entry { outcome: outcome.as_str(), holds: conditions.iter().all(|c| c.holds), conditions }
            })
            .collect(),
        _ => Vec::new(),
    };
    Tried { rule: rule.name.to_string(), file: rule.file.to_string(), line: rule.at.line, conditions, fits, outcomes }
}

fn check_all(conditions: &[Condition], view: &View<'_>) -> Vec<Checked> {
    let check = |c: &Condition| Checked {
        path: c.path.to_string(),
        wants: c.wants(),
        seen: view.get(&c.path).map(|seen| seen.show()),
        holds: c.holds(view),
    };
    conditions.iter().map(check).collect()
}

impl Told {
    /// The words for a verdict.
    pub fn of(verdict: &Verdict) -> Told {
        let plain =
            |outcome, rule: &str, why: &str| Told { outcome, rule: rule.to_owned(), why: why.to_owned(), signal: None };
        match verdict {
            Verdict::Signal(signal) => {
                Told { signal: Some(Said::of(signal)), ..plain(signal.outcome.as_str(), &signal.rule, "") }
            }
            Verdict::Neutral { rule, why } => plain("neutral", rule, why),
            Verdict::Ignored { rule, reason } => plain("ignored", rule, reason),
            Verdict::NoRule => plain("none", "", "no rule fits"),
            Verdict::Broken { rule, reason } => plain("broken", rule, reason),
        }
    }
}

impl Said {
    fn of(signal: &Signal) -> Said {
        let texts = signal.texts.as_ref();
        Said {
            namespace: signal.key.namespace.clone(),
            scope: signal.key.scope.to_string(),
            project: signal.key.project.clone(),
            stage: signal.key.stage.clone(),
            service: signal.service.clone(),
            issue_type: signal.key.issue_type,
            check: signal.key.check.clone(),
            run: signal.run.clone(),
            at: signal.at.map(|t| t.to_string()),
            resolves: match signal.resolves {
                Resolves::Check => "check",
                Resolves::Scope => "scope",
            },
            severity: texts.map(|t| t.severity),
            title: texts.map(|t| t.title.clone()),
            description: texts.map(|t| t.description.clone()),
            links: texts.map(|t| t.links.clone()).unwrap_or_default(),
        }
    }
}
