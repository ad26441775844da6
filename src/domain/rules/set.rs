//! A rule set: all rules in force at one time, compiled from the texts of their files.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, LazyLock};

use sha2::{Digest, Sha256};

use super::Verdict;
use super::adapter::{Adapter, is_bare_cdevent, lift_cdevent};
use super::compile::Compiler;
use super::engine::Engine;
use super::index::Index;
use super::path::View;
use super::problem::{At, Problem, Problems};
use super::proof::Proof;
use super::raw::{self, MOST_RULES, MOST_TESTS};
use super::rule::Rule;
use super::subject::Subject;
use super::webhook::Webhook;
use crate::domain::event::Event;
use crate::domain::webhooks::{self, Webhooks};

/// Rules in their order, ready to run. Cheap to clone.
#[derive(Clone)]
pub struct RuleSet {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub rules: Vec<Rule>,
    pub index: Index,
    pub engine: Arc<Engine>,
    pub proofs: Vec<Proof>,
    adapters: Vec<Adapter>,
    webhooks: Vec<Webhook>,
    outgoing: Webhooks,
    subjects: Vec<String>,
    texts: Vec<(Arc<str>, Arc<str>)>,
    hash: String,
}

/// The packs in the binary, in the order they are tried.
const BUILTIN: &[(&str, &str)] = &[
    ("builtin/keptn.yaml", include_str!("../../../shipyard/rules/keptn.yaml")),
    ("builtin/kite.yaml", include_str!("../../../shipyard/rules/kite.yaml")),
    ("builtin/tekton.yaml", include_str!("../../../shipyard/rules/tekton.yaml")),
    ("builtin/cdevents.yaml", include_str!("../../../shipyard/rules/cdevents.yaml")),
    ("builtin/github.yaml", include_str!("../../../shipyard/rules/github.yaml")),
    ("builtin/gitlab.yaml", include_str!("../../../shipyard/rules/gitlab.yaml")),
    ("builtin/argocd.yaml", include_str!("../../../shipyard/rules/argocd.yaml")),
    ("builtin/flux.yaml", include_str!("../../../shipyard/rules/flux.yaml")),
    ("builtin/kubernetes.yaml", include_str!("../../../shipyard/rules/kubernetes.yaml")),
];

/// The subjects that Shipwatch always wants, whatever rules there are.
const ALWAYS: [&str; 4] = ["sh.keptn.>", "dev.tekton.>", "dev.cdevents.>", "dev.shipwatch.>"];

static BUILTIN_SET: LazyLock<RuleSet> = LazyLock::new(|| match RuleSet::compile(BUILTIN) {
    Ok(set) => set,
    Err(problems) => {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        unreachable!("the packs in the binary are tested: {}", problems.join("; "))
    }
});

impl RuleSet {
    /// A file with more bytes than this is not read.
    pub const MOST_BYTES: usize = super::yaml::MOST_BYTES;

    /// Compiles exactly these files, name and text, in this order.
    ///
    /// # Errors
    /// Every mistake of every file.
    pub fn compile<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> Result<RuleSet, Vec<Problem>> {
        let texts: Vec<(Arc<str>, Arc<str>)> =
            files.iter().map(|(name, text)| (name.as_ref().into(), text.as_ref().into())).collect();
        let mut engine = Engine::new();
        let (mut rules, mut webhooks, mut liftings, mut proofs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut hooks = HashSet::new();
        let mut subjects: Vec<Subject> = ALWAYS.iter().filter_map(|s| Subject::parse(s).ok()).collect();
        let mut found = Vec::new();
        // The file of outgoing webhooks travels with the rules, as what it says is decided by as well.
        let (calls, rule_files): (Vec<_>, Vec<_>) =
            texts.iter().cloned().partition(|(name, _)| **name == *webhooks::FILE);
        let outgoing = match calls.first().map(|(name, text)| Webhooks::compile(name, text)) {
            None => Webhooks::default(),
            Some(Ok(outgoing)) => outgoing,
            Some(Err(problems)) => {
                found.extend(problems);
                Webhooks::default()
            }
        };
        for ((file, _), (raw, mut problems)) in rule_files.iter().zip(raw::read_all(&rule_files)) {
            if let Some(raw) = raw {
                let mut compiler = Compiler { file: file.clone(), engine: &mut engine, problems: &mut problems };
                for rule in raw.rules {
                    let compiled = compiler.rule(rule);
                    rules.extend(compiled.rule);
                    liftings.extend(compiled.adapter);
                    webhooks.extend(compiled.webhook.filter(|w: &Webhook| hooks.insert(w.name.clone())));
                }
                for text in &raw.subjects {
                    match Subject::parse(&text.text) {
                        Ok(subject) => subjects.push(subject),
                        Err(message) => problems.add(text.at, message),
                    }
                }
                proofs.extend(raw.tests.into_iter().filter_map(|t| Proof::of(file, t, &mut problems)));
                for (what, count, most) in [("rules", rules.len(), MOST_RULES), ("tests", proofs.len(), MOST_TESTS)] {
                    // The packs come last and are not what makes them too many.
                    if count > most && !RuleSet::is_builtin(file) {
                        found.extend(problems.into_list());
                        found.push(too_many(file, what, most));
                        return Err(found);
                    }
                }
            }
            found.extend(problems.into_list());
        }
        found.extend(named_twice(&rules));
        if !found.is_empty() {
            return Err(found);
        }
        let engine = Arc::new(engine);
        let adapters: Vec<Adapter> = liftings
            .into_iter()
            .map(|l| Adapter {
                rule: l.rule,
                subject: l.subject,
                id: l.id,
                ty: l.ty,
                time: l.time,
                source: l.source,
                engine: engine.clone(),
            })
            .collect();
        subjects.extend(rules.iter().flat_map(|r| r.on.iter().cloned()));
        subjects.extend(adapters.iter().map(|a| a.subject.clone()));
        subjects.extend(outgoing.subjects());
        let subjects = Subject::disjoint(subjects).iter().map(ToString::to_string).collect();
        let hash = hash(&texts);
        let index = Index::of(&rules);
        let inner = Inner { rules, index, engine, proofs, adapters, webhooks, outgoing, subjects, texts, hash };
        Ok(RuleSet { inner: Arc::new(inner) })
    }

    /// A team's files before the packs in the binary.
    ///
    /// # Errors
    /// As [`RuleSet::compile`].
    pub fn with_builtin<N: AsRef<str>, T: AsRef<str>>(team: &[(N, T)]) -> Result<RuleSet, Vec<Problem>> {
        let team = team.iter().map(|(name, text)| (name.as_ref(), text.as_ref()));
        RuleSet::compile(&team.chain(BUILTIN.iter().copied()).collect::<Vec<_>>())
    }

    /// The packs in the binary.
    pub fn builtin() -> RuleSet {
        BUILTIN_SET.clone()
    }

    /// Whether a file is one of the packs in the binary.
    pub fn is_builtin(file: &str) -> bool {
        BUILTIN.iter().any(|(name, _)| *name == file)
    }

    /// What the first rule that fits says about an event.
    pub fn evaluate(&self, event: &Event) -> Verdict {
        match self.deciding(&View::of(event)) {
            Some((_, rule)) => rule.judge(event, &self.inner.engine),
            None => Verdict::NoRule,
        }
    }

    /// The first rule that fits, and its number.
    pub(super) fn deciding(&self, view: &View<'_>) -> Option<(usize, &Rule)> {
        let candidates = self.inner.index.candidates(view);
        let mut rules = candidates.iter().map(|n| (*n as usize, &self.inner.rules[*n as usize]));
        rules.find(|(_, rule)| rule.fits(view))
    }

    /// The event that a body which is no CloudEvent stands for; none where nothing knows it.
    pub fn lift(&self, subject: &str, body: &serde_json::Value) -> Option<Result<Event, String>> {
        let mut first = None;
        for adapter in self.inner.adapters.iter().filter(|a| a.accepts(subject)) {
            match adapter.lift(subject, body) {
                Ok(event) => return Some(Ok(event)),
                Err(e) => first = first.or(Some(Err(e))),
            }
        }
        if is_bare_cdevent(body) { Some(lift_cdevent(body)) } else { first }
    }

    /// SHA-256 over names and texts of the files in order, in hex.
    pub fn hash(&self) -> &str {
        &self.inner.hash
    }

    /// The first twelve digits of [`RuleSet::hash`], which decisions record.
    pub fn short_hash(&self) -> &str {
        &self.inner.hash[..12]
    }

    /// The files this set was compiled from, name and text.
    pub fn texts(&self) -> &[(Arc<str>, Arc<str>)] {
        &self.inner.texts
    }

    /// The NATS subjects that rules and adapters need; none overlaps another.
    pub fn subjects(&self) -> &[String] {
        &self.inner.subjects
    }

    /// The webhooks that rules declare; of two with one name the first.
    pub fn webhooks(&self) -> &[Webhook] {
        &self.inner.webhooks
    }

    /// The webhooks of other systems that are called.
    pub fn outgoing(&self) -> &Webhooks {
        &self.inner.outgoing
    }

    /// The adapters, in the order of their rules.
    pub fn adapters(&self) -> &[Adapter] {
        &self.inner.adapters
    }

    /// The rules in order, for listings.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = Listed<'_>> {
        self.inner.rules.iter().map(|rule| Listed {
            name: &rule.name,
            file: &rule.file,
            at: rule.at,
            on: rule.on.iter().map(Subject::as_str).collect(),
        })
    }
}

/// A rule in a listing.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Listed<'s> {
    /// Its name.
    pub name: &'s str,
    /// Its file.
    pub file: &'s str,
    /// Where in the file.
    pub at: At,
    /// The event types it is about.
    pub on: Vec<&'s str>,
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RuleSet({} rules, {})", self.inner.rules.len(), self.short_hash())
    }
}

impl PartialEq for RuleSet {
    fn eq(&self, other: &RuleSet) -> bool {
        self.inner.hash == other.inner.hash
    }
}

/// A name stands in decisions, so two rules of one team must not share it. A team may take over the name of a built-in rule.
fn named_twice(rules: &[Rule]) -> Vec<Problem> {
    let mut known: HashMap<(&str, bool), &Rule> = HashMap::new();
    let mut problems = Vec::new();
    for rule in rules {
        let Some(first) = known.insert((&rule.name, RuleSet::is_builtin(&rule.file)), rule) else { continue };
        let mut list = Problems::of(rule.file.clone());
        list.add(rule.at, format!("rule {:?} stands already in {} line {}", rule.name, first.file, first.at.line));
        problems.extend(list.into_list());
    }
    problems
}

fn too_many(file: &Arc<str>, what: &str, most: usize) -> Problem {
    let message = format!("the files up to this one have more {what} than the limit of {most}");
    Problem { file: file.clone(), line: 0, column: 0, message, suggestion: None }
}

fn hash(texts: &[(Arc<str>, Arc<str>)]) -> String {
    let mut sha = Sha256::new();
    for part in texts.iter().flat_map(|(name, text)| [name, text]) {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part.as_bytes());
    }
    sha.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
