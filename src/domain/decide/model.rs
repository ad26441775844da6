//! The fold over plain maps, for tests: the same decisions without a store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Decided, Incoming, Judge, Memory, Settings, TaskNames, decide};
use crate::domain::event::{Event, Form};
use crate::domain::ids::{KeyId, Position, ScopeId};
use crate::domain::issue::{ChangeKind, Issue, Key, KeyState, Scope, ScopeState};
use crate::domain::issue::{IssueType, Outcome, Severity};
use crate::domain::keptn::{Phase, Type};
use crate::domain::lookup::{Lookup, Unreadable};
use crate::domain::messages::{self, Message};
use crate::domain::row::{Mark, Row};
use crate::domain::rules::{Resolves, Signal, Texts, Verdict};
use crate::domain::time::Time;

/// State in maps.
pub struct Model {
    /// When the stream takes the next event.
    pub now: Time,
    pub keys: BTreeMap<KeyId, Arc<KeyState>>,
    pub scopes: BTreeMap<ScopeId, Arc<ScopeState>>,
    pub rows: BTreeMap<Position, Arc<Row>>,
    pub marks: BTreeMap<u64, Vec<Position>>,
    pub parked: std::collections::BTreeSet<Position>,
    pub opened: u64,
    pub sequence: u64,
}

impl Default for Model {
    fn default() -> Model {
        Model {
            now: minute(1000),
            keys: BTreeMap::new(),
            scopes: BTreeMap::new(),
            rows: BTreeMap::new(),
            marks: BTreeMap::new(),
            parked: Default::default(),
            opened: 0,
            sequence: 0,
        }
    }
}

impl Lookup for Model {
    fn key(&self, id: KeyId) -> Option<Arc<KeyState>> {
        self.keys.get(&id).cloned()
    }
    fn scope(&self, id: ScopeId) -> Option<Arc<ScopeState>> {
        self.scopes.get(&id).cloned()
    }
    fn numbered(&self, number: u64) -> Option<KeyId> {
        self.keys.iter().find(|(_, s)| s.marks.issue.as_ref().is_some_and(|i| i.number == number)).map(|(id, _)| *id)
    }
    fn keys_with_scope(&self, scope: &Scope) -> Vec<KeyId> {
        self.scopes.values().filter(|s| s.scope == *scope).flat_map(|s| s.keys.clone()).collect()
    }
    fn keys_of_stage(&self, project: &str, stage: &str) -> Vec<KeyId> {
        let of = |s: &&Arc<ScopeState>| s.project == project && s.stage == stage;
        self.scopes.values().filter(of).flat_map(|s| s.keys.clone()).collect()
    }
    fn next_number(&self) -> u64 {
        self.opened + 1
    }
    fn rows(&self, mark: Mark<'_>) -> Result<Vec<Arc<Row>>, Unreadable> {
        Ok(self.marks.get(&mark.hash()).into_iter().flatten().map(|p| self.rows[p].clone()).collect())
    }
    fn is_parked(&self, position: Position) -> bool {
        self.parked.contains(&position)
    }
    fn row(&self, position: Position) -> Result<Option<Arc<Row>>, Unreadable> {
        Ok(self.rows.get(&position).cloned())
    }
}

/// Keptn's task rule and a scope-wide one, in code.
pub struct TestRules;

impl Judge for TestRules {
    fn current(&self) -> &str {
        "test"
    }

    fn evaluate(&self, _: &str, event: &Event) -> Verdict {
        let whole = |name: &str| event.text(name).unwrap_or_default().to_owned();
        let (resolves, check) = match Type::parse(&event.ty) {
            Some(Type::Task { task: "all", phase: Phase::Finished }) => (Resolves::Scope, "all".to_owned()),
            Some(Type::Task { task, phase: Phase::Finished }) => (Resolves::Check, task.to_owned()),
            None if event.ty.starts_with("hook") => (Resolves::Scope, "hook".to_owned()),
            _ => return Verdict::NoRule,
        };
        let outcome = match (event.text("status"), event.text("result")) {
            (Some("aborted"), _) => return Verdict::Neutral { rule: "keptn-task".into(), why: "aborted".into() },
            (Some("errored"), _) | (_, Some("fail")) => Outcome::Failure,
            (Some("succeeded"), Some("warning")) => Outcome::Warning,
            (Some("succeeded"), Some("pass")) => Outcome::Success,
            _ => return Verdict::Neutral { rule: "keptn-task".into(), why: "unknown".into() },
        };
        let namespace = format!("{}-{}", whole("project"), whole("stage"));
        Verdict::Signal(Box::new(Signal {
            rule: "keptn-task".into(),
            outcome,
            key: Key {
                namespace: namespace.clone(),
                scope: Scope {
                    resource_type: "component".into(),
                    resource_name: whole("service"),
                    resource_namespace: namespace,
                },
                issue_type: IssueType::Test,
                check,
                project: whole("project"),
                stage: whole("stage"),
            },
            run: event.text("buildId").map(str::to_owned).or(event.triggered_id.clone()).unwrap_or(event.id.clone()),
            at: event.time,
            resolves,
            service: whole("service"),
            texts: outcome.is_broken().then(|| Texts {
                title: format!("failed {}", event.id),
                description: String::new(),
                severity: if outcome == Outcome::Warning { Severity::Minor } else { Severity::Major },
                links: vec![],
                labels: super::labels(event),
            }),
        }))
    }
}

pub fn settings() -> Settings {
    Settings {
        tasks: TaskNames::default(),
        issue_events: vec![ChangeKind::Opened, ChangeKind::Reopened, ChangeKind::Resolved],
        keep_events: Duration::from_secs(30 * 86400),
        public_url: "http://shipwatch".into(),
    }
}

/// Minute `m` of the test day.
pub fn minute(m: i64) -> Time {
    Time::from_unix(1_780_000_000 + m * 60, 0).unwrap()
}

impl Model {
    pub fn feed(&mut self, event: &Value) -> (Decided, Vec<Message>) {
        self.feed_bytes(event.to_string().into())
    }

    pub fn feed_bytes(&mut self, payload: Bytes) -> (Decided, Vec<Message>) {
        self.judged(payload, &TestRules)
    }

    /// Folds one event by these rules.
    pub fn judged(&mut self, payload: Bytes, judge: &impl Judge) -> (Decided, Vec<Message>) {
        self.sequence += 1;
        let event = Event::from_json(&payload);
        let verdict = event.as_ref().map_or(Verdict::NoRule, |e| judge.evaluate("", e));
        let incoming = Incoming {
            position: Position::new(self.sequence, 0),
            stream_time: self.now,
            subject: "s".into(),
            form: Form::Bare,
            event: event.map(|e| (e.clone(), super::Head::of(&e))),
            verdict,
            payload,
            tell: None,
        };
        let decided = decide(incoming, self, judge, &settings(), &Memory::new(0)).unwrap();
        for (id, state) in &decided.keys {
            let is_new = self.keys.get(id).is_none_or(|s| s.marks.issue.is_none());
            match state {
                Some(state) => {
                    if let Some(Issue { number, .. }) = &state.marks.issue
                        && is_new
                    {
                        self.opened = self.opened.max(*number);
                    }
                    self.keys.insert(*id, Arc::new(state.clone()));
                }
                None => {
                    self.keys.remove(id);
                }
            }
        }
        for (id, scope) in &decided.scopes {
            self.scopes.insert(*id, Arc::new(scope.clone()));
        }
        let row = Arc::new(decided.row.clone());
        self.rows.insert(row.position, row.clone());
        if decided.parked {
            self.parked.insert(row.position);
        }
        if let Some(unparked) = &decided.unparked {
            self.parked.remove(unparked);
        }
        for mark in &decided.marks {
            self.marks.entry(*mark).or_default().push(row.position);
        }
        let messages = messages::again(&row, self, &settings()).unwrap();
        (decided, messages)
    }

    pub fn issues(&self) -> Vec<&Issue> {
        let mut issues: Vec<_> = self.keys.values().filter_map(|s| s.marks.issue.as_ref()).collect();
        issues.sort_by_key(|i| i.number);
        issues
    }
}

/// A `.finished` of Keptn.
pub fn finished(id: &str, task: &str, run: &str, result: &str, at: i64) -> Value {
    json!({"specversion":"1.0","id":id,"source":"executor","type":format!("sh.keptn.event.{task}.finished"),
        "time":minute(at),"shkeptncontext":"ctx","triggeredid":run,
        "data":{"project":"shop","stage":"dev","service":"carts","status":"succeeded","result":result}})
}

/// A trigger of one of our tasks.
pub fn trigger(id: &str, task: &str, block: Value, at: i64) -> Value {
    json!({"specversion":"1.0","id":id,"source":"shipyard-controller","type":format!("sh.keptn.event.{task}.triggered"),
        "time":minute(at),"shkeptncontext":"ctx",
        "data":{"project":"shop","stage":"dev","service":"carts","labels":{"build":"7"},task:block}})
}
