//! Deciding: one event, the rules and the state before it in, one [`Decided`] out.
//!
//! Pure. Ids derive from the event, times come with the event or from the stream, and nothing is written here.

mod calls;
mod effect;
mod invalidate;
mod own;
mod parked;
mod request;
mod sli;
mod stuck;
mod tasks;
mod transition;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod hooks;
#[cfg(test)]
pub(crate) mod model;
#[cfg(test)]
mod parked_tests;
#[cfg(test)]
mod sli_tests;
#[cfg(test)]
mod stuck_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::call::{CALLBACK, DELIVERY, Replies};
use super::deadline;
use super::decision::{Change, Fate, Layer};
use super::event::{Data, Event, Form, Invalid};
use super::feedback::GATEWAY;
use super::ids::{KeyId, Position, ScopeId};
use super::issue::{ChangeKind, Key, KeyState, Marks, Newest, Origin, Outcome, ScopeState};
use super::keptn::{Phase, Type};
use super::lookup::{Lookup, Unreadable};
use super::messages::{CONTROL, Message, SOURCE};
use super::parked as line;
use super::row::{Entry, Head, Mark, Own, Recorded, Row};
use super::rules::{Resolves, Signal, Verdict};
use super::time::Time;
use effect::{Effect, Written};
use transition::{Claim, Prior, Step, claim};

pub use calls::{FINISHED, UNKNOWN, is_finished};
pub use own::{Known, Memory};
pub(crate) use request::salvage;
pub(crate) use sli::TASK as SLI_TASK;
pub use tasks::TaskNames;

/// Extension of events that are sent again for other consumers: recorded, and the cause of nothing.
pub const REPLAY: &str = "shipwatchreplay";

/// Most events of one run that are looked at: far more than executors of a task, and few enough to be compared with each other.
const RUN: usize = 64;

/// Why such an event decides nothing.
pub const REPLAYED: &str = "marked as a replay, which causes nothing";

/// Says what an event means. The rules in force, and those that were in force earlier.
pub trait Judge {
    /// Applies the rule set with this short hash, or the current one where it is not known any more.
    fn evaluate(&self, rule_set: &str, event: &Event) -> Verdict;
    /// Reads a message again that is no event as it is. Rules may say what it stands for.
    ///
    /// # Errors
    /// Why it is none.
    fn read(&self, _subject: &str, payload: &Bytes) -> Result<(Form, Event, Bytes), Invalid> {
        Ok((Form::Bare, Event::from_json(payload)?, payload.clone()))
    }
    /// Short hash of the rule set in force.
    fn current(&self) -> &str;
    /// Whether any webhook may be called.
    fn calls_any(&self) -> bool {
        false
    }
    /// The subscriptions of the webhooks that are called for an event, and what the sequence is told about each.
    fn called(&self, _event: &Event) -> Vec<(&str, Replies)> {
        Vec::new()
    }
}

/// Configuration that decisions depend on. Part of the input, like the rules.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names of the tasks Shipwatch answers.
    pub tasks: TaskNames,
    /// Which changes of issues are published.
    pub issue_events: Vec<ChangeKind>,
    /// Events older than this, by stream time, are stale.
    pub keep_events: Duration,
    /// Base of links in replies, without a slash at the end.
    pub public_url: String,
}

/// One element of a stream message, decoded and judged, on its way into the fold.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Where it stands.
    pub position: Position,
    /// When the stream took it.
    pub stream_time: Time,
    /// The NATS subject.
    pub subject: String,
    /// How it was carried.
    pub form: Form,
    /// The event with its head, or why there is none.
    pub event: Result<(Event, Head), Invalid>,
    /// What the current rules make of it.
    pub verdict: Verdict,
    /// The JSON as it came, or the unreadable bytes.
    pub payload: Bytes,
    /// Where the publisher waits to be told what became of it.
    pub tell: Option<Box<str>>,
}

/// Everything one event leads to. Committed as a whole.
#[derive(Clone, Debug)]
pub struct Decided {
    /// The journal line, with the decision in it.
    pub row: Row,
    /// Records of keys afterwards; none to remove.
    pub keys: Vec<(KeyId, Option<KeyState>)>,
    /// Records of scopes afterwards.
    pub scopes: Vec<(ScopeId, ScopeState)>,
    /// Whether the line is parked.
    pub parked: bool,
    /// A line that is not parked any more.
    pub unparked: Option<Position>,
    /// The event, where there is one.
    pub event: Option<Event>,
    /// Hashes of the marks by which the line is found.
    pub marks: Marked,
    /// What is published because of it.
    pub messages: Vec<Message>,
}

/// Hashes of the marks of one line.
pub type Marked = smallvec::SmallVec<[u64; 6]>;

/// Decides about one event.
///
/// # Errors
/// Only where the state cannot be read.
pub fn decide<L: Lookup, J: Judge>(
    incoming: Incoming,
    lookup: &L,
    judge: &J,
    settings: &Settings,
    memory: &Memory,
) -> Result<Decided, Unreadable> {
    let Incoming { position, stream_time, subject, form, event, verdict, payload, .. } = incoming;
    let case = Case { position, stream_time, lookup, judge, settings };
    let (written, effect, event) = match event {
        Err(reason) => {
            let (event, effect) = case.unreadable(&payload, &reason)?;
            let head = event.as_ref().map(Head::of);
            (Written { form: Form::Unreadable, subject, head, payload, retry: None }, effect, event)
        }
        Ok((event, head)) => {
            if event.source == SOURCE
                && let Some(own) = own::recognise(&event, lookup, settings, memory)?
            {
                let context = event.context.as_deref().map(|c| Mark::Context(c).hash());
                return Ok(own_line(position, stream_time, own, &event.id, context));
            }
            if (event.source.as_str(), event.ty.as_str()) == (CONTROL, line::RETRY)
                && let Some(decided) = case.retry(&event, &head)?
            {
                return Ok(decided);
            }
            let effect = case.event(&event, &head, verdict)?;
            (Written { form, subject, head: Some(head), payload, retry: None }, effect, Some(event))
        }
    };
    Ok(effect.finish(position, stream_time, written, event, judge, settings))
}

/// Decides about a message that [`Memory`] knows for one of Shipwatch's own, without having read more of it than its id.
/// `None` where it has come back before, which only the whole event tells apart.
///
/// # Errors
/// Only where the state cannot be read.
pub fn decide_known<L: Lookup>(
    position: Position,
    stream_time: Time,
    known: &Known,
    lookup: &L,
    settings: &Settings,
) -> Result<Option<Decided>, Unreadable> {
    let id = known.id.to_string();
    if own::came_back(&id, known.id, lookup, settings)? {
        return Ok(None);
    }
    Ok(Some(own_line(position, stream_time, known.own, &id, known.context)))
}

fn own_line(position: Position, stream_time: Time, own: Own, id: &str, context: Option<u64>) -> Decided {
    let mut marks = Marked::from_slice(&[Mark::EventId(id).hash()]);
    marks.extend(context);
    let row = Row { position, stream_time, entry: Entry::Own(own) };
    Decided {
        row,
        keys: Vec::new(),
        scopes: Vec::new(),
        parked: false,
        unparked: None,
        event: None,
        marks,
        messages: Vec::new(),
    }
}

/// One event being decided: where it stands, and what may be looked at.
struct Case<'a, L, J> {
    position: Position,
    stream_time: Time,
    lookup: &'a L,
    judge: &'a J,
    settings: &'a Settings,
}

impl<L: Lookup, J: Judge> Case<'_, L, J> {
    /// A message that is no event. If it can still be recognised as a trigger of ours, the sequence gets its answer.
    fn unreadable(&self, payload: &[u8], reason: &Invalid) -> Result<(Option<Event>, Effect), Unreadable> {
        let mut effect = Effect::new(Fate::Parked, reason.to_string());
        let Some(event) = request::salvage(payload) else { return Ok((None, effect)) };
        let Some(Type::Task { task, phase: Phase::Triggered }) = Type::parse(&event.ty) else {
            return Ok((None, effect));
        };
        let ours = self.is_ours(&event, task);
        if !(ours || calls::is_answered(self.judge, &event)) || self.seen_before(&Head::of(&event).origin)? {
            return Ok((None, effect));
        }
        if ours {
            effect.answer = Some(tasks::refuse(task, &format!("the event cannot be read: {reason}")));
        }
        Ok((Some(event), effect))
    }

    fn event(&self, event: &Event, head: &Head, verdict: Verdict) -> Result<Effect, Unreadable> {
        if event.extensions.contains_key(REPLAY) {
            return Ok(Effect::new(Fate::Recorded, REPLAYED));
        }
        if self.seen_before(&head.origin)? {
            return Ok(Effect::new(Fate::Duplicate(Layer::Id), "an event with this source and id has been handled"));
        }
        match (event.source.as_str(), event.ty.as_str()) {
            (CONTROL, DELIVERY) => return self.delivered(event, head),
            (GATEWAY, CALLBACK) => return self.called_back(event, head),
            (CONTROL, deadline::TYPE) => return self.deadline_passed(event, head),
            (CONTROL, line::RETRY) => return self.unparked(event, false),
            (CONTROL, line::DROP) => return self.unparked(event, true),
            _ => {}
        }
        if event.source == SOURCE || event.source == CONTROL {
            return Ok(Effect::new(Fate::Own, "published by Shipwatch"));
        }
        let keptn = Type::parse(&event.ty);
        if matches!(keptn, Some(Type::Task { .. } | Type::Sequence { .. } | Type::Problem))
            && !matches!(&event.data, Data::Json(serde_json::Value::Object(_)))
        {
            let mut effect = Effect::new(Fate::Parked, "data is not a JSON object, which Keptn events need");
            if let Some(Type::Task { task, phase: Phase::Triggered }) = keptn
                && self.is_ours(event, task)
            {
                effect.answer = Some(tasks::refuse(task, "data is not a JSON object"));
            }
            return Ok(effect);
        }
        if matches!(keptn, Some(Type::Task { .. } | Type::Sequence { .. } | Type::Problem))
            && let Some(reason) = not_text(event)
        {
            let mut effect = Effect::new(Fate::Parked, reason.clone());
            if let Some(Type::Task { task, phase: Phase::Triggered }) = keptn
                && self.is_ours(event, task)
            {
                effect.answer = Some(tasks::refuse(task, &reason));
            }
            return Ok(effect);
        }
        match keptn {
            Some(Type::Task { task, phase: Phase::Triggered }) => {
                if let Some(ours) = self.settings.tasks.get(task) {
                    return self.answer(event, head, task, ours);
                }
                if sli::is_ours(event) {
                    return self.measure(event, head);
                }
            }
            Some(Type::Task { task, phase: Phase::Invalidated }) => return self.invalidate(event, task),
            _ => {}
        }
        let mut effect = match verdict {
            Verdict::Signal(signal) => self.signal(event, head, *signal)?,
            Verdict::Neutral { rule, why } => Effect::new(Fate::Recorded, why).by(&rule),
            Verdict::Ignored { rule, reason } => Effect::new(Fate::Ignored, reason).by(&rule),
            Verdict::NoRule => Effect::new(Fate::Recorded, no_rule(keptn)),
            Verdict::Broken { rule, reason } => Effect::new(Fate::Parked, reason).by(&rule),
        };
        if let Some(Type::Task { task, phase: Phase::Finished }) = keptn {
            self.late_finish(&mut effect, head, task)?;
        }
        Ok(effect)
    }

    /// Whether Shipwatch answers this trigger.
    fn is_ours(&self, event: &Event, task: &str) -> bool {
        self.settings.tasks.get(task).is_some() || sli::is_ours(event)
    }

    /// Same `source` and `id`. A parked event does not count, so that a mended one can be sent again, unless it was answered or
    /// called somebody.
    fn seen_before(&self, origin: &Origin) -> Result<bool, Unreadable> {
        if origin.source == SOURCE
            && let Ok(id) = origin.id.parse()
            && own::came_back(&origin.id, id, self.lookup, self.settings)?
        {
            return Ok(true);
        }
        let handled = |r: &Recorded| {
            // Whatever became of the message that it was about.
            if r.retry.as_ref().is_some_and(|retry| retry.by == *origin) {
                return true;
            }
            r.head.as_ref().is_some_and(|h| h.origin == *origin)
                && (r.decision.fate != Fate::Parked || r.decision.answer.is_some() || !r.decision.calls.is_empty())
                && r.decision.why != REPLAYED
        };
        let seen = |row: &Row| recorded(row).is_some_and(handled);
        Ok(self.lookup.first_after(Mark::EventId(&origin.id), Position::default(), &seen)?.is_some())
    }

    fn signal(&self, event: &Event, head: &Head, signal: Signal) -> Result<Effect, Unreadable> {
        let mut effect = Effect::new(Fate::Applied, "");
        self.heed(&mut effect, event, head, &signal)?;
        effect.rule = Some(signal.rule.to_string());
        effect.key = Some(signal.key);
        effect.run = Some(signal.run);
        Ok(effect)
    }

    fn heed(&self, effect: &mut Effect, event: &Event, head: &Head, signal: &Signal) -> Result<(), Unreadable> {
        let at = signal.at.unwrap_or(self.stream_time);
        effect.outcome = signal.outcome;
        effect.at = Some(at);

        let same_run = self.run(&signal.run)?;
        if self.withdrawn(head, &signal.run, &same_run)? {
            effect.fate = Fate::Withdrawn;
            effect.why = "an invalidated event has taken this outcome back".into();
            return Ok(());
        }
        if at < self.stream_time.minus(self.settings.keep_events) {
            effect.fate = Fate::Stale;
            effect.why = "older than events are kept".into();
            return Ok(());
        }
        let context = event.context.as_deref().unwrap_or_default();
        let claim = Claim {
            position: self.position,
            stream_time: self.stream_time,
            at,
            run: &signal.run,
            outcome: signal.outcome,
            texts: signal.texts.as_ref(),
            service: &signal.service,
            rule: &signal.rule,
            origin: &head.origin,
            context,
            triggered_id: event.triggered_id.as_deref().unwrap_or_default(),
        };
        let scope_id = signal.key.scope_id();
        if signal.resolves == Resolves::Scope && signal.outcome == Outcome::Success {
            self.claim_for_scope(effect, scope_id, &signal.key, &claim, &same_run)
        } else {
            self.claim_for_key(effect, &signal.key, &claim, &same_run)
        }
    }

    /// A success for everything in a scope: each key hears it, and the scope remembers it for keys that do not exist yet.
    fn claim_for_scope(
        &self,
        effect: &mut Effect,
        scope_id: ScopeId,
        key: &Key,
        claim: &Claim<'_>,
        same_run: &[Arc<Row>],
    ) -> Result<(), Unreadable> {
        let known = self.lookup.scope(scope_id);
        let keys = known.as_ref().map(|s| s.keys.clone()).unwrap_or_default();
        let mut steps = Vec::new();
        for id in keys {
            let Some(state) = self.lookup.key(id) else { continue };
            let step = self.step(effect, id, &state.marks, claim, same_run)?;
            steps.push(step.fate);
            self.put(effect, id, &state.key, Some(&state.marks), step);
        }
        let newest = Newest {
            at: claim.at,
            position: claim.position,
            run: claim.run.to_owned(),
            outcome: Outcome::Success,
            seen: claim.stream_time,
        };
        let before = known.as_ref().and_then(|s| s.success.clone());
        let newer = before.as_ref().is_none_or(|b| (b.at, b.position) < (newest.at, newest.position));
        if newer {
            let mut scope = match effect.scopes.iter().position(|(id, _)| *id == scope_id) {
                Some(index) => effect.scopes.swap_remove(index).1,
                None => known.map_or_else(|| empty_scope(key), |s| (*s).clone()),
            };
            effect.scope_success = Some((scope_id, before));
            scope.success = Some(newest);
            effect.scopes.push((scope_id, scope));
        }
        let resolved = effect.changes.iter().filter(|c| c.kind == Some(ChangeKind::Resolved)).count();
        effect.why = match resolved {
            0 => "nothing active in the scope".to_owned(),
            n => format!("resolves {n} active in the scope"),
        };
        effect.fate = if newer || steps.is_empty() || steps.contains(&Fate::Applied) {
            Fate::Applied
        } else {
            steps.first().copied().unwrap_or(Fate::Applied)
        };
        Ok(())
    }

    fn claim_for_key(
        &self,
        effect: &mut Effect,
        key: &Key,
        claim: &Claim<'_>,
        same_run: &[Arc<Row>],
    ) -> Result<(), Unreadable> {
        let id = key.id();
        let known = self.lookup.key(id);
        let marks = match &known {
            Some(state) => state.marks.clone(),
            None => Arc::new(self.marks_of_scope(key.scope_id())),
        };
        let step = self.step(effect, id, &marks, claim, same_run)?;
        effect.fate = step.fate;
        effect.why.clone_from(&step.why);
        self.put(effect, id, key, known.as_ref().map(|s| &s.marks), step);
        Ok(())
    }

    /// What a key that nobody has spoken of inherits: the newest success for its whole scope.
    fn marks_of_scope(&self, id: ScopeId) -> Marks {
        Marks { newest: self.lookup.scope(id).and_then(|s| s.success.clone()), issue: None }
    }

    fn step(
        &self,
        so_far: &Effect,
        id: KeyId,
        marks: &Marks,
        c: &Claim<'_>,
        same_run: &[Arc<Row>],
    ) -> Result<Step, Unreadable> {
        let prior = self.prior(same_run, id, c.run, Position::from_u64(u64::MAX))?;
        Ok(claim(marks, &prior, self.next_number(so_far), c, |position| self.texts_of(position)))
    }

    /// The events of a run. Of a run without end, which a rule or a publisher got wrong, the newest ones speak for all.
    fn run(&self, run: &str) -> Result<Vec<Arc<Row>>, Unreadable> {
        self.lookup.newest_rows(Mark::Run(run), RUN)
    }

    /// Whether an `invalidated` event takes this event back. A rule may have a run of its own; invalidation goes by trigger.
    fn withdrawn(&self, head: &Head, run: &str, same_run: &[Arc<Row>]) -> Result<bool, Unreadable> {
        let Some(trigger) = head.triggered_id.as_deref() else { return Ok(false) };
        if trigger == run {
            return Ok(invalidate::is_withdrawn(same_run, &head.ty, Some(trigger)));
        }
        Ok(invalidate::is_withdrawn(&self.run(trigger)?, &head.ty, Some(trigger)))
    }

    /// Earlier events of a run that spoke of a key and were not taken back.
    fn prior(&self, same_run: &[Arc<Row>], id: KeyId, run: &str, until: Position) -> Result<Vec<Prior>, Unreadable> {
        let mut all = Vec::new();
        for row in same_run.iter().filter(|row| row.position < until) {
            let Some(Recorded { head: Some(head), decision: d, .. }) = recorded(row) else { continue };
            let counts = matches!(d.fate, Fate::Applied | Fate::Stale | Fate::Duplicate(Layer::Run));
            let changed = d.changes.iter().any(|c| c.key == id);
            let about = changed || d.key.as_ref().is_some_and(|k| k.id() == id);
            let speaks = counts && about && d.run.as_deref() == Some(run) && d.outcome != Outcome::Neutral;
            if speaks && !self.withdrawn(head, run, same_run)? {
                all.push(Prior { outcome: d.outcome, at: d.at, position: row.position, counted: changed });
            }
        }
        Ok(all)
    }

    /// The number of the next new issue, issues that this event opened already counted.
    fn next_number(&self, so_far: &Effect) -> u64 {
        let opened = so_far.changes.iter().filter(|c| c.kind == Some(ChangeKind::Opened)).count();
        self.lookup.next_number() + opened as u64
    }

    /// The texts of an earlier failure, by the rules that judged it then.
    fn texts_of(&self, position: Position) -> Option<super::rules::Texts> {
        let row = self.lookup.row(position).ok()??;
        match self.judge_again(&row)? {
            Verdict::Signal(signal) => signal.texts,
            _ => None,
        }
    }

    fn judge_again(&self, row: &Row) -> Option<Verdict> {
        let recorded = recorded(row)?;
        let event = Event::from_json(&recorded.payload).ok()?;
        Some(self.judge.evaluate(&recorded.decision.rule_set, &event))
    }

    /// Notes a changed record, and the key in its scope where it is new.
    fn put(&self, effect: &mut Effect, id: KeyId, key: &Key, before: Option<&Arc<Marks>>, step: Step) {
        let Some(marks) = step.marks else { return };
        effect.changes.push(Change { key: id, kind: step.kind, before: before.cloned() });
        effect.keys.push((id, Some(KeyState { key: key.clone(), marks: Arc::new(marks) })));
        if before.is_none() {
            let scope_id = key.scope_id();
            let mut scope = self.lookup.scope(scope_id).map_or_else(|| empty_scope(key), |s| (*s).clone());
            if !scope.keys.contains(&id) {
                scope.keys.push(id);
                effect.scopes.push((scope_id, scope));
            }
        }
    }
}

fn empty_scope(key: &Key) -> ScopeState {
    ScopeState {
        scope: key.scope.clone(),
        project: key.project.clone(),
        stage: key.stage.clone(),
        keys: Vec::new(),
        success: None,
    }
}

/// The line of an event that is not Shipwatch's own.
fn recorded(row: &Row) -> Option<&Recorded> {
    match &row.entry {
        Entry::Event(recorded) => Some(recorded),
        Entry::Own(_) => None,
    }
}

/// Which of the members that say where an event belongs is not text.
fn not_text(event: &Event) -> Option<String> {
    let data = event.json()?;
    ["project", "stage", "service"].into_iter().find_map(|member| match data.get(member) {
        None | Some(serde_json::Value::Null | serde_json::Value::String(_)) => None,
        Some(other) => Some(format!("data.{member} is {}, not a string", super::event::kind(other))),
    })
}

/// Why an event that no rule names decides nothing, in words.
fn no_rule(keptn: Option<Type<'_>>) -> &'static str {
    match keptn {
        Some(Type::Task { phase: Phase::Triggered | Phase::Started | Phase::StatusChanged, .. }) => {
            "only finished events decide"
        }
        Some(Type::Log) => "an integration's error report decides nothing",
        Some(Type::Management) => "management events decide nothing",
        _ => "no rule names this event",
    }
}

/// Labels of an event as an ordered map.
fn labels(event: &Event) -> BTreeMap<String, String> {
    event.labels().map(|(name, value)| (name.to_owned(), value.into_owned())).collect()
}
