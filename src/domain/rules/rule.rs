//! A compiled rule, and what it makes of an event that fits it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::condition::Condition;
use super::engine::{Engine, Failure, cut};
use super::path::{Path, View};
use super::problem::At;
use super::subject::Subject;
use super::template::Template;
use super::{Resolves, Signal, Texts, Verdict};
use crate::domain::event::Event;
use crate::domain::issue::{IssueType, Key, Link, Outcome, Scope, Severity};
use crate::domain::time::Time;

/// One rule, ready to run.
#[derive(Debug)]
pub struct Rule {
    pub name: Arc<str>,
    pub file: Arc<str>,
    pub at: At,
    pub on: Vec<Subject>,
    pub conditions: Vec<Condition>,
    pub require: Vec<Path>,
    pub action: Action,
}

/// What a rule does with an event that fits.
#[derive(Debug)]
pub enum Action {
    /// Says that it does not matter.
    Ignore(String),
    /// Reads an outcome from it.
    Decide(Box<Decide>),
}

/// How a rule reads an outcome.
#[derive(Debug)]
pub struct Decide {
    /// In the order they are tried.
    pub outcomes: [Vec<Entry>; 4],
    /// The paths that the outcomes look at, for the words of an event that none of them fits.
    pub looked_at: Vec<Path>,
    /// Absent where the rule knows no outcome but neutral.
    pub says: Option<Says>,
}

/// Which outcome each list of [`Decide::outcomes`] stands for.
pub const ORDER: [Outcome; 4] = [Outcome::Neutral, Outcome::Failure, Outcome::Warning, Outcome::Success];

/// One entry of an outcome list.
#[derive(Debug)]
pub struct Entry {
    pub conditions: Vec<Condition>,
    pub reason: Option<String>,
}

/// What a decisive event says.
#[derive(Debug)]
pub struct Says {
    pub resource_type: Template,
    pub resource_name: Template,
    pub resource_namespace: Template,
    pub namespace: Option<Template>,
    pub project: Option<Template>,
    pub stage: Option<Template>,
    pub service: Option<Template>,
    pub run: Option<Template>,
    pub at: Option<Template>,
    pub check: Option<Template>,
    pub issue_type: Option<Template>,
    pub severity: Option<Template>,
    pub title: Option<Template>,
    pub description: Option<Template>,
    pub links: Vec<(Template, Template)>,
    pub resolves: Resolves,
}

/// Longest part of a key, and longest run.
const LONGEST_WORD: usize = 1 << 10;
/// Longest title.
const LONGEST_TITLE: usize = 1 << 10;
/// Longest description.
const LONGEST_DESCRIPTION: usize = 64 << 10;

impl Says {
    /// All templates with the field they fill.
    pub fn templates(&self) -> impl Iterator<Item = (&'static str, &Template)> {
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

impl Rule {
    /// Whether all conditions of `match` hold.
    pub fn fits(&self, view: &View<'_>) -> bool {
        self.conditions.iter().all(|c| c.holds(view))
    }

    /// What the rule says about an event that fits it.
    pub fn judge(&self, event: &Event, engine: &Engine) -> Verdict {
        let view = View::of(event);
        let rule = self.name.clone();
        let decide = match &self.action {
            Action::Ignore(reason) => return Verdict::Ignored { rule, reason: reason.clone() },
            Action::Decide(decide) => decide,
        };
        if let Some(path) = self.require.iter().find(|p| view.get(p).is_none_or(|seen| seen.is_empty())) {
            return Verdict::Broken { rule, reason: format!("{path} is missing") };
        }
        let (outcome, says) = match (decide.outcome(&view), &decide.says) {
            (Some((Outcome::Neutral, entry)), _) => return Verdict::Neutral { rule, why: entry.why(&view) },
            (Some((outcome, _)), Some(says)) => (outcome, says),
            (Some((_, entry)), None) => return Verdict::Neutral { rule, why: entry.why(&view) },
            (None, _) => return Verdict::Neutral { rule, why: decide.why_none(&view) },
        };
        match says.signal(&rule, outcome, event, engine) {
            Ok(signal) => Verdict::Signal(Box::new(signal)),
            Err(reason) => Verdict::Broken { rule, reason },
        }
    }
}

impl Decide {
    /// The first list of which an entry fits.
    pub fn outcome(&self, view: &View<'_>) -> Option<(Outcome, &Entry)> {
        ORDER.into_iter().zip(&self.outcomes).find_map(|(outcome, entries)| {
            let entry = entries.iter().find(|e| e.conditions.iter().all(|c| c.holds(view)))?;
            Some((outcome, entry))
        })
    }

    fn why_none(&self, view: &View<'_>) -> String {
        const MOST: usize = 6;
        let seen: Vec<String> = self.looked_at.iter().take(MOST).map(|p| describe(p, view)).collect();
        format!("no outcome fits: {}", seen.join(", "))
    }
}

impl Entry {
    fn why(&self, view: &View<'_>) -> String {
        match &self.reason {
            Some(reason) => reason.clone(),
            None if self.conditions.is_empty() => "the rule says neutral".into(),
            None => self.conditions.iter().map(|c| describe(&c.path, view)).collect::<Vec<_>>().join(", "),
        }
    }
}

/// `data.status is "aborted"`.
pub fn describe(path: &Path, view: &View<'_>) -> String {
    match view.get(path) {
        Some(seen) => format!("{path} is {}", seen.show()),
        None => format!("{path} is absent"),
    }
}

impl Says {
    fn signal(&self, rule: &Arc<str>, outcome: Outcome, event: &Event, engine: &Engine) -> Result<Signal, String> {
        let from = From { view: View::of(event).with_outcome(outcome), engine };
        let scope = Scope {
            resource_type: from.part("scope.resourceType", &self.resource_type)?,
            resource_name: from.part("scope.resourceName", &self.resource_name)?,
            resource_namespace: from.part("scope.resourceNamespace", &self.resource_namespace)?,
        };
        let namespace = match &self.namespace {
            Some(template) => from.part("namespace", template)?,
            None => scope.resource_namespace.clone(),
        };
        let key = Key {
            namespace,
            scope,
            issue_type: from
                .known("issueType", self.issue_type.as_ref(), IssueType::parse, IssueType::ALL)?
                .unwrap_or(IssueType::Pipeline),
            check: match &self.check {
                Some(template) => from.part("check", template)?,
                None => rule.to_string(),
            },
            project: from.optional("project", self.project.as_ref())?,
            stage: from.optional("stage", self.stage.as_ref())?,
        };
        let texts = match outcome {
            Outcome::Failure | Outcome::Warning => Some(self.texts(rule, outcome, &from, event)?),
            Outcome::Neutral | Outcome::Success => None,
        };
        Ok(Signal {
            rule: rule.clone(),
            outcome,
            key,
            run: from.run(self.run.as_ref(), event)?,
            at: from.time(self.at.as_ref())?.or(event.time),
            resolves: self.resolves,
            service: from.optional("service", self.service.as_ref())?,
            texts,
        })
    }

    fn texts(&self, rule: &str, outcome: Outcome, from: &From<'_>, event: &Event) -> Result<Texts, String> {
        let severity = from.known("severity", self.severity.as_ref(), Severity::parse, Severity::ALL)?;
        let usual = if outcome == Outcome::Warning { Severity::Minor } else { Severity::Major };
        let title = match &self.title {
            Some(template) => one_line(&from.render("title", template, LONGEST_TITLE)?),
            None => String::new(),
        };
        let description = match &self.description {
            Some(template) => readable(&from.render("description", template, LONGEST_DESCRIPTION)?),
            None => String::new(),
        };
        Ok(Texts {
            title: if title.is_empty() { format!("{rule}: {outcome}") } else { title },
            description,
            severity: severity.unwrap_or(usual),
            links: self
                .links
                .iter()
                .filter_map(|(title, url)| from.link(title, url).transpose())
                .collect::<Result<_, _>>()?,
            labels: event.labels().map(|(k, v)| (k.to_owned(), v.into_owned())).collect::<BTreeMap<_, _>>(),
        })
    }
}

/// What templates are rendered from.
struct From<'a> {
    view: View<'a>,
    engine: &'a Engine,
}

impl From<'_> {
    /// The text of a template, at least one byte longer than `limit` where it is too long.
    fn try_render(&self, template: &Template, limit: usize) -> Result<String, Failure> {
        // A whole character may not fit: with room for the longest one more than `limit` bytes come out.
        template.render(&self.view, self.engine, limit + 4)
    }

    fn render(&self, field: &str, template: &Template, limit: usize) -> Result<String, String> {
        let text = self.try_render(template, limit).map_err(|e| broken(field, template, &e))?;
        Ok(shorten(text, limit))
    }

    /// A word that may be empty.
    fn word(&self, field: &str, template: &Template) -> Result<String, String> {
        let text = self.try_render(template, LONGEST_WORD).map_err(|e| broken(field, template, &e))?;
        if text.len() > LONGEST_WORD {
            return Err(format!("{field} is longer than {LONGEST_WORD} bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err(format!("{field} holds a control character: {:?}", cut(&text, 80)));
        }
        Ok(text)
    }

    fn optional(&self, field: &str, template: Option<&Template>) -> Result<String, String> {
        template.map_or(Ok(String::new()), |t| self.word(field, t))
    }

    /// A part of the key, which must not be empty.
    fn part(&self, field: &str, template: &Template) -> Result<String, String> {
        let text = self.word(field, template)?;
        if text.trim().is_empty() {
            return Err(format!("{field} {:?} is empty", template.source()));
        }
        Ok(text)
    }

    /// A word of a closed list; none where the text is empty.
    fn known<T: Copy + ToString>(
        &self,
        field: &str,
        template: Option<&Template>,
        parse: fn(&str) -> Option<T>,
        all: &[T],
    ) -> Result<Option<T>, String> {
        let Some(template) = template else { return Ok(None) };
        if let Some(found) = template.fixed().and_then(parse) {
            return Ok(Some(found));
        }
        let text = self.word(field, template)?;
        match text.trim() {
            "" => Ok(None),
            word => parse(word).map(Some).ok_or_else(|| {
                let all = all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                format!("{field} is {:?}, not one of {all}", cut(word, 80))
            }),
        }
    }

    /// The run; the event's id where the rule's path leads nowhere.
    fn run(&self, template: Option<&Template>, event: &Event) -> Result<String, String> {
        let run = match template.map(|t| (t, self.try_render(t, LONGEST_WORD))) {
            None | Some((_, Err(Failure::Missing(_)))) => String::new(),
            Some((_, Ok(run))) => run,
            Some((template, Err(e))) => return Err(broken("run", template, &e)),
        };
        if run.len() > LONGEST_WORD {
            return Err(format!("run is longer than {LONGEST_WORD} bytes"));
        }
        Ok(if run.is_empty() { event.id.clone() } else { run })
    }

    fn time(&self, template: Option<&Template>) -> Result<Option<Time>, String> {
        let Some(template) = template else { return Ok(None) };
        let text = self.word("at", template)?;
        match text.trim() {
            "" => Ok(None),
            text => Time::parse(text)
                .map(Some)
                .ok_or_else(|| format!("at is {:?}, neither an RFC 3339 time nor Unix seconds", cut(text, 80))),
        }
    }

    /// A link; none where it leads nowhere.
    fn link(&self, title: &Template, url: &Template) -> Result<Option<Link>, String> {
        const LONGEST_URL: usize = 4 << 10;
        let text = match self.try_render(url, LONGEST_URL) {
            Ok(text) => text,
            Err(Failure::Missing(_)) => return Ok(None),
            Err(e) => return Err(broken("link url", url, &e)),
        };
        let url = text.trim();
        let scheme = url.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let harmful = matches!(&*scheme, "javascript" | "data" | "vbscript");
        if url.is_empty() || harmful || text.len() > LONGEST_URL || url.chars().any(|c| c.is_control() || c == ' ') {
            return Ok(None);
        }
        let title = one_line(&self.render("link title", title, LONGEST_TITLE)?);
        Ok(Some(Link { title, url: url.to_owned() }))
    }
}

fn broken(field: &str, template: &Template, failure: &Failure) -> String {
    let source = shorten(template.source().to_owned(), 200);
    match failure {
        Failure::Missing(path) => format!("{field} {source:?}: {path} is missing"),
        Failure::Other(message) => format!("{field} {source:?}: {message}"),
    }
}

/// Cuts a text that is too long on a character boundary and says so by an ellipsis.
fn shorten(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit.saturating_sub('…'.len_utf8())));
        text.push('…');
    }
    text
}

fn one_line(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Lines stay, other control characters would reach terminals.
fn readable(text: &str) -> String {
    let text = text.trim_end();
    if !text.contains(|c: char| c.is_control() && c != '\n' && c != '\t') {
        return text.to_owned();
    }
    text.replace("\r\n", "\n").chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { ' ' } else { c }).collect()
}
