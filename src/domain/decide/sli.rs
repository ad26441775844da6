//! `get-sli` for the provider `shipwatch`: what issues and outcomes of a time frame come to, for Keptn's quality gates.
//!
//! Everything is read from the journal: each change in it holds the record as it was before, so the episodes of an issue are
//! known as they are seen today, with what was taken back left out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Case, Effect, Judge, recorded, stuck, tasks};
use crate::domain::decision::{Answer, Change, Fate, ResultWord, Status};
use crate::domain::event::{Event, kind};
use crate::domain::ids::{KeyId, Position};
use crate::domain::issue::{Issue, IssueType, Key, KeyState, Outcome, Severity, State};
use crate::domain::keptn::{Phase, Type};
use crate::domain::lookup::{Lookup, Unreadable};
use crate::domain::row::{Head, Mark, Row};
use crate::domain::time::Time;

/// The task.
pub const TASK: &str = "get-sli";

/// The `sliProvider` that is us.
const PROVIDER: &str = "shipwatch";

/// How long the time frame is where it has no start.
const FRAME: Duration = Duration::from_secs(24 * 60 * 60);

/// Journal lines that one answer may look at, so that nobody keeps the fold busy. Fewer where a test goes beyond.
const LINES: usize = if cfg!(test) { 500 } else { 20_000 };

/// Lines of a key that are read at first.
const FIRST: usize = 64;

/// How far an event's own time may be ahead of the stream's, in what is looked at.
const AHEAD: Duration = Duration::from_secs(60 * 60);

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Indicator {
    Active,
    ActiveCritical,
    Reopened,
    FailureRate,
    MeanTimeToResolve,
}

impl Indicator {
    const ALL: [(Indicator, &str); 5] = [
        (Indicator::Active, "active_issues"),
        (Indicator::ActiveCritical, "active_critical"),
        (Indicator::Reopened, "reopened"),
        (Indicator::FailureRate, "failure_rate"),
        (Indicator::MeanTimeToResolve, "mean_time_to_resolve_seconds"),
    ];

    fn parse(name: &str) -> Option<Indicator> {
        Indicator::ALL.into_iter().find_map(|(indicator, known)| (known == name).then_some(indicator))
    }
}

/// Whether an event asks us, and not another provider.
pub(super) fn is_ours(event: &Event) -> bool {
    matches!(Type::parse(&event.ty), Some(Type::Task { task: TASK, phase: Phase::Triggered }))
        && event.json().and_then(|d| d.get(TASK)?.get("sliProvider")?.as_str()) == Some(PROVIDER)
}

/// A request, checked.
struct Request {
    start: Time,
    end: Time,
    indicators: Vec<String>,
    filters: Vec<(Filter, Vec<String>)>,
}

/// What issues are narrowed by.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Filter {
    Severity,
    IssueType,
    Check,
    ResourceType,
    ResourceName,
    Service,
    Label(String),
}

impl Filter {
    const KNOWN: &str = "severity, issueType, check, resourceType, resourceName, service, label.<name>";

    fn parse(key: &str) -> Option<Filter> {
        Some(match key {
            "severity" => Filter::Severity,
            "issueType" => Filter::IssueType,
            "check" => Filter::Check,
            "resourceType" => Filter::ResourceType,
            "resourceName" => Filter::ResourceName,
            "service" => Filter::Service,
            label => Filter::Label(label.strip_prefix("label.").filter(|name| !name.is_empty())?.to_owned()),
        })
    }

    fn fits(&self, state: &KeyState, value: &str) -> bool {
        let (key, issue) = (&state.key, state.marks.issue.as_ref());
        match self {
            Filter::Severity => issue.is_some_and(|i| Severity::parse(value) == Some(i.severity)),
            Filter::IssueType => IssueType::parse(value) == Some(key.issue_type),
            Filter::Check => key.check == value,
            Filter::ResourceType => key.scope.resource_type == value,
            Filter::ResourceName => key.scope.resource_name == value,
            Filter::Service => is_of(state, value),
            Filter::Label(name) => issue.and_then(|i| i.labels.get(name)).is_some_and(|is| is == value),
        }
    }
}

/// Whether a key is about this service: its issue says so, or its component or sequence is the service's.
fn is_of(state: &KeyState, service: &str) -> bool {
    let Key { scope, .. } = &state.key;
    let of_scope = match scope.resource_type.as_str() {
        "component" => scope.resource_name == service,
        "sequence" => scope.resource_name.split_once('/').is_some_and(|(of, _)| of == service),
        _ => false,
    };
    of_scope || state.marks.issue.as_ref().is_some_and(|i| i.service == service)
}

impl Request {
    /// Reads a request; `now` is when it was made.
    ///
    /// # Errors
    /// In words, naming the field.
    fn read(event: &Event, now: Time) -> Result<Request, String> {
        let block = event.json().and_then(|d| d.get(TASK)).unwrap_or(&Value::Null);
        let field = |name: &str| format!("data[{TASK:?}].{name}");
        let given = |name: &str| block.get(name).filter(|v| !v.is_null());
        let time = |name: &str| match given(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => {
                Time::parse(text).map(Some).ok_or_else(|| format!("{} is {text:?}, not an RFC 3339 time", field(name)))
            }
            Some(other) => Err(format!("{} is {}, not a string", field(name), kind(other))),
        };
        let end = time("end")?.unwrap_or(now);
        let start = time("start")?.unwrap_or_else(|| end.minus(FRAME));
        if start > end {
            return Err(format!("{} lies behind {}", field("start"), field("end")));
        }
        Ok(Request {
            start,
            end,
            indicators: texts(&field("indicators"), given("indicators"))?,
            filters: filters(&field("customFilters"), given("customFilters"))?,
        })
    }

    fn wants(&self, state: &KeyState) -> bool {
        self.filters.iter().all(|(filter, values)| values.iter().any(|value| filter.fits(state, value)))
    }

    fn covers(&self, at: Time) -> bool {
        (self.start..=self.end).contains(&at)
    }
}

fn texts(field: &str, value: Option<&Value>) -> Result<Vec<String>, String> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let items = value.as_array().ok_or_else(|| format!("{field} is {}, not an array", kind(value)))?;
    let text = |(index, item): (usize, &Value)| {
        item.as_str().map(str::to_owned).ok_or_else(|| format!("{field}[{index}] is {}, not a string", kind(item)))
    };
    items.iter().enumerate().map(text).collect()
}

/// Filters by key; several values of one key are alternatives.
fn filters(field: &str, value: Option<&Value>) -> Result<Vec<(Filter, Vec<String>)>, String> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let items = value.as_array().ok_or_else(|| format!("{field} is {}, not an array", kind(value)))?;
    let mut all: Vec<(Filter, Vec<String>)> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let member = |name: &str| {
            let text = item.get(name).and_then(Value::as_str);
            text.ok_or_else(|| format!("{field}[{index}].{name} is missing or not a string"))
        };
        let (key, value) = (member("key")?, member("value")?);
        let filter = Filter::parse(key)
            .ok_or_else(|| format!("{field}[{index}].key is {key:?}, not one of {}", Filter::KNOWN))?;
        let known = match filter {
            Filter::Severity => Severity::parse(value).is_some(),
            Filter::IssueType => IssueType::parse(value).is_some(),
            _ => true,
        };
        if !known {
            return Err(format!("{field}[{index}].value is {value:?}, which is no {key}"));
        }
        match all.iter_mut().find(|(known, _)| *known == filter) {
            Some((_, values)) => values.push(value.to_owned()),
            None => all.push((filter, vec![value.to_owned()])),
        }
    }
    Ok(all)
}

/// One time that a thing was broken.
#[derive(Clone, Debug, PartialEq)]
struct Episode {
    from: Time,
    until: Option<Time>,
    severity: Severity,
}

/// The episodes of an issue by number, as they are known now.
type Episodes = BTreeMap<u64, Episode>;

/// Goes on with a later record of the issue. What a record does not have any more was taken back.
fn go_on(episodes: &mut Episodes, issue: Option<&Issue>, severity_counts: bool) {
    let Some(issue) = issue else { return episodes.clear() };
    episodes.retain(|number, _| *number <= issue.episodes);
    let before = episodes.get(&issue.episodes).map(|e| e.severity).filter(|_| !severity_counts);
    let until = issue.resolved_at.filter(|_| issue.state == State::Resolved);
    let severity = before.unwrap_or(issue.severity);
    episodes.insert(issue.episodes, Episode { from: issue.detected_at, until, severity });
}

/// What a time frame holds.
#[derive(Debug, Default)]
struct Measured {
    active: u64,
    critical: u64,
    reopened: u64,
    resolved: Vec<f64>,
    /// Each event once, whatever number of issues it speaks of.
    outcomes: BTreeMap<Position, Outcome>,
}

impl Measured {
    fn add(&mut self, request: &Request, state: &KeyState, rows: &[Arc<Row>]) {
        let changes: Vec<_> = rows
            .iter()
            .filter_map(|row| {
                let d = &recorded(row)?.decision;
                let change = d.changes.iter().find(|c| c.key == state.key.id())?;
                Some((d.at, change.before.as_ref().and_then(|m| m.issue.as_ref())))
            })
            .collect();
        let mut episodes = Episodes::new();
        if let Some((_, before)) = changes.first() {
            go_on(&mut episodes, *before, true);
        }
        for (index, (at, _)) in changes.iter().enumerate() {
            let after = changes.get(index + 1).map_or(state.marks.issue.as_ref(), |(_, before)| *before);
            go_on(&mut episodes, after, *at <= request.end);
        }
        if changes.is_empty() {
            go_on(&mut episodes, state.marks.issue.as_ref(), true);
        }
        for (number, episode) in &episodes {
            let open = episode.from <= request.end && episode.until.is_none_or(|until| until > request.end);
            self.active += u64::from(open);
            self.critical += u64::from(open && episode.severity == Severity::Critical);
            self.reopened += u64::from(*number > 1 && request.covers(episode.from));
            if let Some(until) = episode.until.filter(|until| request.covers(*until)) {
                self.resolved.push(until.seconds_since(episode.from).max(0.0));
            }
        }
        self.count(request, state.key.id(), rows);
    }

    /// Outcomes that counted, or would have, had they not come late; not those that were taken back.
    fn count(&mut self, request: &Request, id: KeyId, rows: &[Arc<Row>]) {
        let taken_back: BTreeSet<(&str, &str)> = rows
            .iter()
            .filter_map(|row| {
                let head = recorded(row)?.head.as_ref()?;
                let Some(Type::Task { task, phase: Phase::Invalidated }) = Type::parse(&head.ty) else { return None };
                Some((task, head.triggered_id.as_deref()?))
            })
            .collect();
        for row in rows {
            let Some(r) = recorded(row) else { continue };
            let (d, Some(head)) = (&r.decision, &r.head) else { continue };
            let stands = match (Type::parse(&head.ty), head.triggered_id.as_deref()) {
                (Some(Type::Task { task, phase: Phase::Finished }), Some(trigger)) => {
                    !taken_back.contains(&(task, trigger))
                }
                _ => true,
            };
            // That a task has ended is no outcome of the issue that says it was stuck.
            let changed = |c: &Change| c.key == id && !stuck::ends(c, head.triggered_id.as_deref().unwrap_or_default());
            let speaks = d.key.as_ref().map(Key::id) == Some(id) || d.changes.iter().any(changed);
            let counts = speaks && matches!(d.fate, Fate::Applied | Fate::Stale) && d.outcome != Outcome::Neutral;
            if counts && stands && request.covers(d.at) {
                self.outcomes.insert(row.position, d.outcome);
            }
        }
    }

    fn value(&self, indicator: Indicator) -> (Value, String) {
        match indicator {
            Indicator::Active => (self.active.into(), format!("{} active at the end of the time frame", self.active)),
            Indicator::ActiveCritical => {
                (self.critical.into(), format!("{} active and critical at the end of the time frame", self.critical))
            }
            Indicator::Reopened => (self.reopened.into(), format!("{} opened again", self.reopened)),
            Indicator::FailureRate => {
                let failures = self.outcomes.values().filter(|o| **o == Outcome::Failure).count();
                match self.outcomes.len() {
                    0 => (0.into(), "nothing succeeded or failed".into()),
                    all => (json!(failures as f64 / all as f64), format!("{failures} failures among {all} outcomes")),
                }
            }
            Indicator::MeanTimeToResolve => match self.resolved.len() {
                0 => (0.into(), "nothing was resolved".into()),
                all => (json!(self.resolved.iter().sum::<f64>() / all as f64), format!("{all} resolved")),
            },
        }
    }
}

impl<L: Lookup, J: Judge> Case<'_, L, J> {
    /// Answers a `get-sli` of ours.
    pub(super) fn measure(&self, event: &Event, head: &Head) -> Result<Effect, Unreadable> {
        let answer = self.measured(event, head)?.unwrap_or_else(|message| tasks::refuse(TASK, &message));
        let mut effect = Effect::new(Fate::Answered, answer.message.clone());
        effect.run = Some(event.id.clone());
        effect.answer = Some(answer);
        Ok(effect)
    }

    /// The inner error is a wrong request, in words.
    fn measured(&self, event: &Event, head: &Head) -> Result<Result<Answer, String>, Unreadable> {
        let Head { project, stage, service, .. } = head;
        for (member, value) in [("project", project), ("stage", stage)] {
            if value.is_empty() {
                return Ok(Err(format!("data.{member} is missing")));
            }
        }
        let request = match Request::read(event, event.time.unwrap_or(self.stream_time)) {
            Ok(request) => request,
            Err(message) => return Ok(Err(message)),
        };
        let mut measured = Measured::default();
        let mut left = LINES;
        for id in self.lookup.keys_of_stage(project, stage) {
            let Some(state) = self.lookup.key(id) else { continue };
            if !(service.is_empty() || is_of(&state, service)) || !request.wants(&state) {
                continue;
            }
            let Some(rows) = self.lines_since(Mark::Key(id), request.start.minus(AHEAD), left)? else {
                return Ok(Err(format!(
                    "more than {LINES} events would have to be looked at; shorten the time frame, or narrow it by {TASK}.customFilters"
                )));
            };
            left -= rows.len().max(1);
            measured.add(&request, &state, &rows);
        }
        Ok(Ok(reply(&request, &measured)))
    }

    /// The lines that the stream took since a time, and some before; none where there are more than `most`.
    fn lines_since(&self, mark: Mark<'_>, since: Time, most: usize) -> Result<Option<Vec<Arc<Row>>>, Unreadable> {
        let mut limit = FIRST;
        loop {
            let rows = self.lookup.newest_rows(mark, limit.min(most.saturating_add(1)))?;
            if rows.len() > most || most == 0 {
                return Ok(None);
            }
            if rows.len() < limit || rows.first().is_none_or(|row| row.stream_time < since) {
                return Ok(Some(rows));
            }
            limit *= 2;
        }
    }
}

fn reply(request: &Request, measured: &Measured) -> Answer {
    let mut unknown = 0;
    let values = request.indicators.iter().map(|name| match Indicator::parse(name) {
        Some(indicator) => {
            let (value, message) = measured.value(indicator);
            json!({"metric": name, "value": value, "success": true, "message": message})
        }
        None => {
            unknown += 1;
            let known: Vec<&str> = Indicator::ALL.iter().map(|(_, name)| *name).collect();
            let message = format!("{name:?} is not one of {}", known.join(", "));
            json!({"metric": name, "value": 0, "success": false, "message": message})
        }
    });
    let values: Vec<Value> = values.collect();
    let all = values.len();
    // Some may be another provider's; a request of which nothing is known is a mistake.
    let (result, message) = match unknown {
        0 => (ResultWord::Pass, format!("measured {all} of {all} indicators")),
        n if n == all => (ResultWord::Fail, "none of the indicators is known".to_owned()),
        n => (ResultWord::Pass, format!("measured {} of {all} indicators", all - n)),
    };
    Answer {
        task: TASK.to_owned(),
        status: Status::Succeeded,
        result,
        message,
        block: json!({"start": request.start, "end": request.end, "indicatorValues": values}).to_string(),
    }
}
