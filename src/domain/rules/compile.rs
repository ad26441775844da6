//! From rules as written to rules that run: patterns built, templates parsed, words checked.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::Resolves;
use super::condition::{Condition, Test, Word};
use super::engine::Engine;
use super::fields::Text;
use super::glob::Glob;
use super::path::Path;
use super::problem::{At, Problems};
use super::raw::{RawAdapter, RawCondition, RawEntry, RawRule, RawScope, RawTestOf, RawWebhook};
use super::rule::{Action, Decide, Entry, Rule, Says};
use super::subject::Subject;
use super::template::Template;
use super::webhook::{SecretRef, Webhook};
use crate::domain::issue::{IssueType, Severity};

/// Compiles the rules of one file.
pub struct Compiler<'c> {
    /// The file.
    pub file: Arc<str>,
    /// Where templates of the full language go.
    pub engine: &'c mut Engine,
    /// Where mistakes go.
    pub problems: &'c mut Problems,
}

/// An adapter before the engine is shared.
pub struct Lifting {
    pub rule: Arc<str>,
    pub subject: Subject,
    pub id: Template,
    pub ty: Template,
    pub time: Option<Template>,
    pub source: Option<Template>,
}

/// What a written rule gives.
#[derive(Default)]
pub struct Compiled {
    pub rule: Option<Rule>,
    pub webhook: Option<Webhook>,
    pub adapter: Option<Lifting>,
}

impl Compiler<'_> {
    /// Compiles one rule; what is wrong is noted and left out.
    pub fn rule(&mut self, raw: RawRule) -> Compiled {
        let name: Arc<str> = match &raw.name {
            Some(name) if name.text.len() <= 200 && !name.text.chars().any(char::is_control) => {
                name.text.as_str().into()
            }
            Some(name) => {
                self.problems.add(name.at, "rule name is too long or holds a control character");
                return Compiled::default();
            }
            None => "".into(),
        };
        let mut webhook = raw.webhook.as_ref().and_then(|w| self.webhook(w, &name));
        let adapter = raw.adapter.as_ref().and_then(|a| self.adapter(a, &name));
        let lifts_only = raw.adapter.is_some()
            && raw.webhook.is_none()
            && raw.outcomes.is_none()
            && !raw.ignore
            && raw.on.is_empty();
        let rule = if lifts_only { None } else { self.matching(raw, name) };
        if let Some(webhook) = &mut webhook
            && let Some(Rule { action: Action::Decide(decide), .. }) = &rule
        {
            let templates = decide.says.iter().flat_map(Says::templates);
            let written: BTreeSet<Path> = templates.flat_map(|(_, t)| t.written()).filter(Path::in_data).collect();
            webhook.written = written.into_iter().collect();
        }
        Compiled { rule, webhook, adapter }
    }

    fn matching(&mut self, raw: RawRule, name: Arc<str>) -> Option<Rule> {
        let mut on: Vec<Subject> = raw.on.iter().filter_map(|t| self.subject(t)).collect();
        if raw.on.is_empty() {
            match &raw.webhook {
                Some(hook) => {
                    let pattern =
                        Text { at: hook.name.at, text: format!("dev.shipwatch.webhook.{}.*", hook.name.text) };
                    on.extend(self.subject(&pattern));
                }
                None => self.problems.add(raw.at, "rule has no \"on\": which event types it is about"),
            }
        }
        if let Some(hook) = raw.webhook.as_ref().filter(|_| on.len() == raw.on.len()) {
            self.covered(&hook.name, &on);
        }
        let conditions = self.conditions(&raw.matches);
        let require = raw.require.iter().filter_map(|t| self.path(t)).collect();
        let (file, at) = (self.file.clone(), raw.at);
        let action = if raw.ignore { self.ignoring(&raw) } else { self.deciding(raw) }?;
        Some(Rule { name, file, at, on, conditions, require, action })
    }

    /// What a webhook takes has to come to its rule; else a failure would be taken with a 200 and lost.
    fn covered(&mut self, hook: &Text, on: &[Subject]) {
        let prefix = format!("dev.shipwatch.webhook.{}", hook.text);
        let lost: Vec<String> = ["failure", "success"]
            .map(|end| format!("{prefix}.{end}"))
            .into_iter()
            .filter(|ty| !on.iter().any(|pattern| pattern.matches(ty)))
            .collect();
        if !lost.is_empty() {
            let message =
                format!("webhook {:?}: \"on\" does not cover {}, which would be lost", hook.text, lost.join(" and "));
            self.problems.suggest(hook.at, message, format!("add {prefix}.* to on, or leave on out"));
        }
    }

    fn ignoring(&mut self, raw: &RawRule) -> Option<Action> {
        if raw.outcomes.is_some() || raw.scope.is_some() || raw.issue.is_some() {
            self.problems.add(raw.at, "ignore stands beside outcome, scope or issue, which it makes meaningless");
        }
        let Some(reason) = &raw.reason else {
            self.problems.add(raw.at, "ignore without \"reason\": nobody would know why");
            return None;
        };
        Some(Action::Ignore(reason.text.clone()))
    }

    fn deciding(&mut self, raw: RawRule) -> Option<Action> {
        if let Some(reason) = &raw.reason {
            self.problems.suggest(
                reason.at,
                "reason without ignore",
                "ignore: true, or a reason inside an outcome entry",
            );
        }
        let Some(written) = &raw.outcomes else {
            self.problems.add(raw.at, "rule has neither \"outcome\" nor \"ignore\"");
            return None;
        };
        let outcomes = written.each_ref().map(|list| list.iter().map(|e| self.entry(e)).collect::<Vec<Entry>>());
        let [_, failure, warning, success] = written.each_ref().map(|list| !list.is_empty());
        let decisive = failure || warning || success;
        if !decisive && written[0].is_empty() {
            self.problems.add(raw.at, "outcome names none of neutral, failure, warning and success");
        }
        let mut seen = HashSet::new();
        let paths = outcomes.iter().flatten().flat_map(|e| &e.conditions).map(|c| &c.path);
        let looked_at: Vec<Path> = paths.filter(|path| seen.insert(*path)).cloned().collect();
        let says = if decisive { Some(self.says(raw, failure || warning)?) } else { None };
        Some(Action::Decide(Box::new(Decide { outcomes, looked_at, says })))
    }

    /// Compiles every part before giving up on one, so that all mistakes are noted.
    fn says(&mut self, raw: RawRule, shown: bool) -> Option<Says> {
        let RawScope { resource_type, resource_name, resource_namespace } = raw.scope.unwrap_or_else(|| {
            self.problems.add(raw.at, "rule has no \"scope\": which thing is broken or whole");
            RawScope::default()
        });
        let issue = raw.issue.unwrap_or_default();
        if shown && issue.title.is_none() {
            self.problems.add(raw.at, "rule knows a failure or warning and has no \"issue.title\"");
        }
        let issue_words: Vec<&str> = IssueType::ALL.iter().map(|w| w.as_str()).collect();
        let severity_words: Vec<&str> = Severity::ALL.iter().map(|w| w.as_str()).collect();
        let mut links = Vec::new();
        for (title, url) in &issue.links {
            links.extend(self.template(title).zip(self.template(url)));
        }
        let resource_type = self.optional(resource_type);
        let resource_name = self.optional(resource_name);
        let resource_namespace = self.optional(resource_namespace);
        let namespace = self.optional(raw.namespace);
        let project = self.optional(raw.project);
        let stage = self.optional(raw.stage);
        let service = self.optional(raw.service);
        let run = self.optional(raw.run);
        let at = self.optional(raw.time);
        let check = self.optional(raw.check);
        let issue_type = self.word(issue.issue_type, "issueType", &issue_words);
        let severity = self.word(issue.severity, "severity", &severity_words);
        let title = self.optional(issue.title);
        let description = self.optional(issue.description);
        let resolves = match raw.resolves {
            Some(t) if t.text == "scope" => Resolves::Scope,
            Some(t) if t.text != "check" => {
                self.problems.unknown(t.at, "resolves", &t.text, &["check", "scope"]);
                Resolves::Check
            }
            Some(_) | None => Resolves::Check,
        };
        Some(Says {
            resource_type: resource_type?,
            resource_name: resource_name?,
            resource_namespace: resource_namespace?,
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
            resolves,
        })
    }

    fn entry(&mut self, raw: &RawEntry) -> Entry {
        Entry { conditions: self.conditions(&raw.conditions), reason: raw.reason.as_ref().map(|t| t.text.clone()) }
    }

    fn conditions(&mut self, raw: &[RawCondition]) -> Vec<Condition> {
        raw.iter().filter_map(|c| self.condition(c)).collect()
    }

    fn condition(&mut self, raw: &RawCondition) -> Option<Condition> {
        let path = self.path(&raw.path)?;
        if path.is_outcome() {
            self.problems.add(raw.path.at, "outcome is known only after matching");
            return None;
        }
        let words = |this: &mut Self, texts: &[Text]| texts.iter().filter_map(|t| this.match_word(t)).collect();
        let tests = raw.tests.iter().map(|test| match test {
            RawTestOf::Any(texts) => Test::Any(words(self, texts)),
            RawTestOf::Not(texts) => Test::Not(words(self, texts)),
            RawTestOf::Exists(want) => Test::Exists(*want),
        });
        Some(Condition { path, tests: tests.collect() })
    }

    fn match_word(&mut self, text: &Text) -> Option<Word> {
        if !Glob::is_glob(&text.text) {
            return Some(Word::Exact(text.text.as_str().into()));
        }
        self.noted(text.at, Glob::parse(&text.text)).map(Word::Glob)
    }

    fn path(&mut self, text: &Text) -> Option<Path> {
        self.noted(text.at, Path::parse(&text.text))
    }

    fn subject(&mut self, text: &Text) -> Option<Subject> {
        self.noted(text.at, Subject::parse(&text.text))
    }

    fn noted<T>(&mut self, at: At, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.problems.add(at, message)).ok()
    }

    fn template(&mut self, text: &Text) -> Option<Template> {
        match Template::parse(&text.text, self.engine) {
            Ok(template) => Some(template),
            Err((message, suggestion, line)) => {
                let line = text.at.line + line.saturating_sub(1) as u32;
                let (at, message) = (At { line, ..text.at }, format!("template: {message}"));
                match suggestion {
                    Some(suggestion) => self.problems.suggest(at, message, suggestion),
                    None => self.problems.add(at, message),
                }
                None
            }
        }
    }

    fn optional(&mut self, text: Option<Text>) -> Option<Template> {
        text.and_then(|t| self.template(&t))
    }

    /// A template that gives one of `known`; checked now where it is fixed.
    fn word(&mut self, text: Option<Text>, what: &str, known: &[&str]) -> Option<Template> {
        let text = text?;
        let template = self.template(&text)?;
        if let Some(fixed) = template.fixed()
            && !known.iter().any(|k| k.eq_ignore_ascii_case(fixed))
        {
            self.problems.unknown(text.at, what, fixed, known);
        }
        Some(template)
    }

    fn webhook(&mut self, raw: &RawWebhook, rule: &Arc<str>) -> Option<Webhook> {
        let name = &raw.name.text;
        let plain =
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') && name.len() <= 100;
        if !plain {
            self.problems
                .add(raw.name.at, format!("webhook name {name:?} is not lower-case letters, digits and hyphens"));
            return None;
        }
        let mut fields = |texts: &[Text]| -> Vec<_> {
            let path = |t: &Text| Text { at: t.at, text: format!("data.{}", t.text) };
            texts.iter().filter_map(|t| Some((t.text.as_str().into(), self.path(&path(t))?))).collect()
        };
        Some(Webhook {
            name: name.as_str().into(),
            rule: rule.clone(),
            failure: fields(&raw.failure),
            success: fields(&raw.success),
            text: fields(&raw.text),
            lists: fields(&raw.lists),
            written: Vec::new(),
            secret: raw.secret.as_ref().map(|(name, key)| SecretRef { name: name.text.clone(), key: key.text.clone() }),
        })
    }

    fn adapter(&mut self, raw: &RawAdapter, rule: &Arc<str>) -> Option<Lifting> {
        Some(Lifting {
            rule: rule.clone(),
            subject: self.subject(raw.subject.as_ref()?)?,
            id: self.template(raw.id.as_ref()?)?,
            ty: self.template(raw.ty.as_ref()?)?,
            time: self.optional(raw.time.clone()),
            source: self.optional(raw.source.clone()),
        })
    }
}
