//! The tasks Shipwatch owns: `open-issue`, `update-issue`, `close-issue` and the gate `check-issues`.
//!
//! Commands act in stream order. They are not late against outcomes: whoever asks for an issue to be closed means now.

use std::sync::Arc;

use serde_json::{Value, json};

use super::request::Request;
use super::transition::{Claim, Step, claim};
use super::{Case, Effect, Judge, labels};
use crate::domain::decision::{Answer, Decision, Fate, ResultWord, Status};
use crate::domain::event::Event;
use crate::domain::ids::KeyId;
use crate::domain::issue::{
    ChangeKind, Issue, IssueType, Key, KeyState, Marks, Origin, Outcome, Scope, Severity, State,
};
use crate::domain::lookup::{Lookup, Unreadable};
use crate::domain::messages::issue_url;
use crate::domain::row::{Head, Row};
use crate::domain::rules::Texts;
use crate::domain::text;
use crate::domain::time::Time;

/// What the tasks are called in shipyards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskNames {
    /// Opens or updates an issue.
    pub open: String,
    /// Changes texts of an issue.
    pub update: String,
    /// Resolves issues.
    pub close: String,
    /// Fails where something is broken.
    pub check: String,
}

impl Default for TaskNames {
    fn default() -> TaskNames {
        TaskNames {
            open: "open-issue".into(),
            update: "update-issue".into(),
            close: "close-issue".into(),
            check: "check-issues".into(),
        }
    }
}

/// Which of the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Opens or updates an issue.
    Open,
    /// Changes texts of an issue.
    Update,
    /// Resolves issues.
    Close,
    /// Fails where something is broken.
    Check,
}

impl TaskNames {
    /// The task of this name, if it is one of ours.
    pub fn get(&self, name: &str) -> Option<Task> {
        [(&self.open, Task::Open), (&self.update, Task::Update), (&self.close, Task::Close), (&self.check, Task::Check)]
            .into_iter()
            .find_map(|(ours, task)| (ours == name).then_some(task))
    }
}

/// The answer to a request that cannot be carried out.
pub(super) fn refuse(task: &str, message: &str) -> Answer {
    Answer {
        task: task.to_owned(),
        status: Status::Errored,
        result: ResultWord::Fail,
        message: message.to_owned(),
        block: "{}".to_owned(),
    }
}

fn done(task: &str, message: String, block: &Value) -> Answer {
    Answer {
        task: task.to_owned(),
        status: Status::Succeeded,
        result: ResultWord::Pass,
        message,
        block: block.to_string(),
    }
}

/// Issues listed in the reply of a gate.
const LISTED: usize = 50;

/// Where the trigger stands in the estate.
struct Place<'a> {
    project: &'a str,
    stage: &'a str,
    service: &'a str,
}

impl Place<'_> {
    fn namespace(&self) -> String {
        format!("{}-{}", self.project, self.stage)
    }

    fn scope(&self) -> Scope {
        Scope {
            resource_type: "component".into(),
            resource_name: self.service.to_owned(),
            resource_namespace: self.namespace(),
        }
    }
}

impl<L: Lookup, J: Judge> Case<'_, L, J> {
    pub(super) fn answer(&self, event: &Event, head: &Head, name: &str, task: Task) -> Result<Effect, Unreadable> {
        let mut effect = Effect::new(Fate::Answered, "");
        effect.run = Some(event.id.clone());
        let outcome = self.carry_out(&mut effect, event, head, name, task)?;
        let answer = outcome.unwrap_or_else(|message| {
            effect.changes.clear();
            effect.keys.clear();
            effect.scopes.clear();
            refuse(name, &message)
        });
        effect.why.clone_from(&answer.message);
        effect.answer = Some(answer);
        Ok(effect)
    }

    /// The inner error is a wrong request, in words.
    fn carry_out(
        &self,
        effect: &mut Effect,
        event: &Event,
        head: &Head,
        name: &str,
        task: Task,
    ) -> Result<Result<Answer, String>, Unreadable> {
        let place = Place { project: &head.project, stage: &head.stage, service: &head.service };
        for (member, value) in [("project", place.project), ("stage", place.stage), ("service", place.service)] {
            if value.is_empty() {
                return Ok(Err(format!("data.{member} is missing")));
            }
        }
        let data = event.json();
        let block = |name: &str| data.and_then(|d| d.get(name));
        let mut request = match Request::read(name, block(name)) {
            Ok(request) => request,
            Err(message) => return Ok(Err(message)),
        };
        let opened = block(&self.settings.tasks.open).filter(|_| task != Task::Open);
        if request.scope.is_none()
            && let Some(Ok(earlier)) = opened.map(|b| Request::read(&self.settings.tasks.open, Some(b)))
        {
            request.scope = earlier.scope;
        }
        Ok(match task {
            Task::Open => Ok(self.open(effect, event, head, name, &place, &request)),
            Task::Update => self.update(effect, name, &place, &request, opened),
            Task::Close => self.close(effect, event, head, name, &place, &request, opened),
            Task::Check => Ok(self.check(name, &place, &request)),
        })
    }

    fn open(
        &self,
        effect: &mut Effect,
        event: &Event,
        head: &Head,
        name: &str,
        place: &Place<'_>,
        request: &Request,
    ) -> Answer {
        let key = requested_key(name, place, request);
        let texts = requested_texts(event, place, request);
        let id = key.id();
        let known = self.lookup.key(id);
        let none = || Arc::new(self.marks_of_scope(key.scope_id()));
        let marks = known.as_ref().map_or_else(none, |s| s.marks.clone());
        let step = {
            let claim_ = self.command(event, &head.origin, name, &marks, Outcome::Failure, Some(&texts), place.service);
            claim(&marks, &[], self.next_number(effect), &claim_, |_| None)
        };
        effect.key = Some(key.clone());
        let change = step.kind.map_or("unchanged", ChangeKind::as_str);
        let issue = step.marks.as_ref().and_then(|m| m.issue.clone()).or_else(|| marks.issue.clone());
        self.put(effect, id, &key, known.as_ref().map(|s| &s.marks), step);
        match issue {
            Some(issue) => {
                done(name, format!("{change} #{}: {}", issue.number, issue.title), &self.block(&key, &issue, change))
            }
            None => refuse(name, "the issue could not be opened"),
        }
    }

    fn update(
        &self,
        effect: &mut Effect,
        name: &str,
        place: &Place<'_>,
        request: &Request,
        opened: Option<&Value>,
    ) -> Result<Answer, String> {
        let targets = self.targets(name, place, request, opened)?;
        let Some(id) = targets.first().copied() else {
            return Err(format!("no issue to update in scope {}", self.wanted_scope(place, request)));
        };
        if targets.len() > 1 {
            return Err(format!("{} issues fit; name one by id or number", targets.len()));
        }
        let Some(state) = self.lookup.key(id) else { return Err(format!("no issue {id}")) };
        let Some(before) = &state.marks.issue else { return Err(format!("no issue {id}")) };
        let mut issue = before.clone();
        edit(&mut issue, request);
        let changed = issue != *before;
        if changed {
            issue.updated_at = self.stream_time;
        }
        let change = if changed { "updated" } else { "unchanged" };
        let answer =
            done(name, format!("{change} #{}: {}", issue.number, issue.title), &self.block(&state.key, &issue, change));
        effect.key = Some(state.key.clone());
        if changed {
            let marks = Marks { newest: state.marks.newest.clone(), issue: Some(issue) };
            let step =
                Step { marks: Some(marks), kind: Some(ChangeKind::Updated), fate: Fate::Answered, why: String::new() };
            self.put(effect, id, &state.key, Some(&state.marks), step);
        }
        Ok(answer)
    }

    #[allow(clippy::too_many_arguments, reason = "one request, all of it needed")]
    fn close(
        &self,
        effect: &mut Effect,
        event: &Event,
        head: &Head,
        name: &str,
        place: &Place<'_>,
        request: &Request,
        opened: Option<&Value>,
    ) -> Result<Answer, String> {
        let mut numbers = Vec::new();
        for id in self.targets(name, place, request, opened)? {
            let Some(state) = self.lookup.key(id) else { continue };
            let Some(issue) = &state.marks.issue else { continue };
            if effect.key.is_none() {
                effect.key = Some(state.key.clone());
            }
            if issue.state == State::Resolved {
                continue;
            }
            let number = issue.number;
            let claim_ = self.command(event, &head.origin, name, &state.marks, Outcome::Success, None, place.service);
            let step = claim(&state.marks, &[], number, &claim_, |_| None);
            if step.kind == Some(ChangeKind::Resolved) {
                numbers.push(number);
            }
            self.put(effect, id, &state.key, Some(&state.marks), step);
        }
        let message = match numbers.as_slice() {
            [] => "nothing active to close".to_owned(),
            [one] => format!("closed #{one}"),
            many => format!("closed {} issues: {}", many.len(), list(many)),
        };
        Ok(done(name, message, &json!({ "closed": numbers.len(), "numbers": numbers })))
    }

    fn check(&self, name: &str, place: &Place<'_>, request: &Request) -> Answer {
        let least = request.severity.unwrap_or(Severity::Info);
        let mut active: Vec<_> = self
            .in_scope(place, request)
            .into_iter()
            .filter_map(|id| self.lookup.key(id))
            .filter(|s| fits(&s.key, request))
            .filter(|s| s.marks.issue.as_ref().is_some_and(|i| i.state == State::Active && i.severity >= least))
            .collect();
        let rank = |s: &KeyState| s.marks.issue.as_ref().map(|i| (std::cmp::Reverse(i.severity), i.number));
        active.sort_by_key(|s| rank(s));
        let issues: Vec<Value> = active
            .iter()
            .take(LISTED)
            .filter_map(|s| {
                let i = s.marks.issue.as_ref()?;
                Some(json!({
                    "id": s.key.id().0, "number": i.number, "title": i.title, "severity": i.severity,
                    "check": s.key.check, "url": issue_url(&self.settings.public_url, s.key.id()),
                }))
            })
            .collect();
        let worst = active.first().and_then(|s| s.marks.issue.as_ref()).map(|i| i.severity);
        let block = json!({ "active": active.len(), "worst": worst.map_or("", Severity::as_str), "issues": issues });
        let scope = self.wanted_scope(place, request);
        match worst {
            None => done(name, format!("no active issue at or above {least} in {scope}"), &block),
            Some(worst) => {
                let n = active.len();
                let noun = if n == 1 { "issue" } else { "issues" };
                let message = format!("{n} active {noun} at or above {least} in {scope}, the worst is {worst}");
                Answer { result: ResultWord::Fail, ..done(name, message, &block) }
            }
        }
    }

    /// The issues that a request names: by id, by number, by what `open-issue` left, or by scope.
    fn targets(
        &self,
        name: &str,
        place: &Place<'_>,
        request: &Request,
        opened: Option<&Value>,
    ) -> Result<Vec<KeyId>, String> {
        let by_id = |text: &str, field: String| {
            let id = text.parse().map(KeyId).map_err(|_| format!("{field} is {text:?}, not the id of an issue"))?;
            self.exists(id).then_some(vec![id]).ok_or_else(|| format!("{field}: no issue {text}"))
        };
        // An earlier reply of the same task left its id here; what open-issue left says more.
        if !request.repeated || opened.is_none() {
            if let Some(text) = &request.id {
                return by_id(text, format!("data[{name:?}].id"));
            }
            if let Some(number) = request.number {
                let id = self.lookup.numbered(number).filter(|id| self.exists(*id));
                return id.map(|id| vec![id]).ok_or_else(|| format!("data[{name:?}].number: no issue #{number}"));
            }
        }
        if let Some(text) = opened.and_then(|o| o.get("id")).and_then(Value::as_str) {
            return by_id(text, format!("data[{:?}].id", self.settings.tasks.open));
        }
        let ids = self.in_scope(place, request).into_iter().filter(|id| {
            let Some(state) = self.lookup.key(*id) else { return false };
            fits(&state.key, request) && state.marks.issue.as_ref().is_some_and(|i| i.state == State::Active)
        });
        Ok(ids.collect())
    }

    fn exists(&self, id: KeyId) -> bool {
        self.lookup.key(id).is_some_and(|s| s.marks.issue.is_some())
    }

    fn wanted_scope(&self, place: &Place<'_>, request: &Request) -> Scope {
        request.scope.as_ref().map_or_else(|| place.scope(), |part| part.or(place.scope()))
    }

    /// Keys in the wanted scope: those of this project and stage, and those of sources that have neither.
    fn in_scope(&self, place: &Place<'_>, request: &Request) -> Vec<KeyId> {
        let mut keys = self.lookup.keys_with_scope(&self.wanted_scope(place, request));
        keys.retain(|id| {
            self.lookup.key(*id).is_some_and(|s| {
                (s.key.project.is_empty() || s.key.project == place.project)
                    && (s.key.stage.is_empty() || s.key.stage == place.stage)
            })
        });
        keys
    }

    /// A claim that is never late: it counts from the newest word on.
    #[allow(clippy::too_many_arguments, reason = "the parts of a claim")]
    fn command<'c>(
        &self,
        event: &'c Event,
        origin: &'c Origin,
        rule: &'c str,
        marks: &Marks,
        outcome: Outcome,
        texts: Option<&'c Texts>,
        service: &'c str,
    ) -> Claim<'c> {
        Claim {
            position: self.position,
            stream_time: self.stream_time,
            at: command_time(event, marks, self.stream_time),
            run: &event.id,
            outcome,
            texts,
            service,
            rule,
            origin,
            context: event.context.as_deref().unwrap_or_default(),
            triggered_id: &event.id,
        }
    }

    fn block(&self, key: &Key, issue: &Issue, change: &str) -> Value {
        json!({
            "id": key.id().0, "number": issue.number, "state": issue.state, "change": change,
            "url": issue_url(&self.settings.public_url, key.id()), "scope": key.scope_view(),
        })
    }
}

fn command_time(event: &Event, marks: &Marks, stream_time: Time) -> Time {
    let own = event.time.unwrap_or(stream_time);
    marks.newest.as_ref().map_or(own, |n| own.max(n.at))
}

/// Applies the command of a journal line to a key's record once more, after something before it was taken back.
pub(super) fn again(
    marks: &mut Marks,
    event: &Event,
    settings: &super::Settings,
    row: &Row,
    decision: &Decision,
    number: u64,
) {
    let Some(answer) = &decision.answer else { return };
    let data = event.json();
    let Ok(request) = Request::read(&answer.task, data.and_then(|d| d.get(&answer.task))) else { return };
    let head = Head::of(event);
    let place = Place { project: &head.project, stage: &head.stage, service: &head.service };
    let texts;
    let (outcome, texts) = match settings.tasks.get(&answer.task) {
        Some(Task::Open) => {
            texts = requested_texts(event, &place, &request);
            (Outcome::Failure, Some(&texts))
        }
        Some(Task::Close) => (Outcome::Success, None),
        Some(Task::Update) => {
            if let Some(issue) = marks.issue.as_mut() {
                edit(issue, &request);
                issue.updated_at = row.stream_time;
            }
            return;
        }
        Some(Task::Check) | None => return,
    };
    let claim_ = Claim {
        position: row.position,
        stream_time: row.stream_time,
        at: command_time(event, marks, row.stream_time),
        run: &event.id,
        outcome,
        texts,
        service: place.service,
        rule: &answer.task,
        origin: &head.origin,
        context: event.context.as_deref().unwrap_or_default(),
        triggered_id: &event.id,
    };
    if let Some(after) = claim(marks, &[], number, &claim_, |_| None).marks {
        *marks = after;
    }
}

fn requested_key(task: &str, place: &Place<'_>, request: &Request) -> Key {
    let scope = request.scope.as_ref().map_or_else(|| place.scope(), |part| part.or(place.scope()));
    Key {
        namespace: place.namespace(),
        scope,
        issue_type: request.issue_type.unwrap_or(IssueType::Pipeline),
        check: request.check.clone().unwrap_or_else(|| task.to_owned()),
        project: place.project.to_owned(),
        stage: place.stage.to_owned(),
    }
}

fn requested_texts(event: &Event, place: &Place<'_>, request: &Request) -> Texts {
    let title = request
        .title
        .clone()
        .unwrap_or_else(|| format!("Issue reported for {} in {}/{}", place.service, place.project, place.stage));
    let mut labels = labels(event);
    labels.extend(request.labels.clone().unwrap_or_default());
    Texts {
        title: text::one_line(&title),
        description: text::body(request.description.as_deref().or(event.text("message")).unwrap_or_default()),
        severity: request.severity.unwrap_or(Severity::Major),
        links: request.links.clone().unwrap_or_default(),
        labels,
    }
}

fn edit(issue: &mut Issue, request: &Request) {
    if let Some(title) = &request.title {
        issue.title = text::one_line(title);
    }
    if let Some(description) = &request.description {
        issue.description = text::body(description);
    }
    if let Some(severity) = request.severity {
        issue.severity = severity;
    }
    if let Some(links) = &request.links {
        issue.links.clone_from(links);
    }
    if let Some(labels) = &request.labels {
        issue.labels.extend(labels.clone());
    }
}

/// Whether a key has the check and the issue type that the request names, if it names them.
fn fits(key: &Key, request: &Request) -> bool {
    request.check.as_ref().is_none_or(|c| *c == key.check) && request.issue_type.is_none_or(|t| t == key.issue_type)
}

fn list(numbers: &[u64]) -> String {
    let words: Vec<String> = numbers.iter().map(|n| format!("#{n}")).collect();
    words.join(", ")
}
