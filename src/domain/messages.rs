//! Events that Shipwatch publishes because of an event it folded: replies to its tasks, and the life of issues.
//!
//! They are a function of the journal line and of the state around it, so after a crash the same bytes are made again.

use bytes::Bytes;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::call::Replies;
use super::decide::{SLI_TASK, Settings, TaskNames};
use super::decision::{Answer, Change, Decision, ResultWord, Status};
use super::event::Event;
use super::ids::{self, KeyId, Position};
use super::issue::{ChangeKind, KeyState, Origin, State, View};
use super::keptn::{Phase, Type};
use super::lookup::{Lookup, Unreadable};
use super::row::{Entry, Mark, Own, OwnKind, Recorded, Row};
use super::time::Time;

/// `source` of everything Shipwatch publishes of its own accord.
pub const SOURCE: &str = "shipwatch";

/// `source` of what the service or the command line puts into the stream so that the fold acts on it.
pub const CONTROL: &str = "shipwatch/control";

/// A message owed to the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Which of the messages of its journal line.
    pub kind: OwnKind,
    /// `id` of the event, also its `Nats-Msg-Id`.
    pub id: Uuid,
    /// `type` of the event, also its NATS subject.
    pub subject: String,
    /// The event as structured JSON.
    pub body: Bytes,
}

/// Link to an issue.
pub fn issue_url(public_url: &str, id: KeyId) -> String {
    format!("{public_url}/api/v1/issues/{id}")
}

/// The subjects of everything that [`caused_by`] can give where no webhook is called.
pub fn subjects(settings: &Settings) -> Vec<String> {
    let TaskNames { open, update, close, check } = &settings.tasks;
    let replies = [open, update, close, check]
        .into_iter()
        .map(String::as_str)
        .chain([SLI_TASK])
        .flat_map(|task| [OwnKind::Started, OwnKind::Finished].map(|kind| reply_subject(task, kind)));
    let events = settings.issue_events.iter().map(|kind| issue_subject(*kind));
    replies.chain(events).collect()
}

fn reply_subject(task: &str, kind: OwnKind) -> String {
    format!("sh.keptn.event.{task}.{}", reply_word(kind))
}

fn issue_subject(published: ChangeKind) -> String {
    format!("dev.shipwatch.issue.{}", published.as_str())
}

/// The id of a reply: UUIDv5 of trigger source, trigger id and kind (contract section 5).
pub fn reply_id(trigger: &Origin, kind: &str) -> Uuid {
    ids::derive("reply", &[&trigger.source, &trigger.id, kind])
}

/// The id of a reply about a webhook: as [`reply_id`], with its subscription, since several may answer one trigger.
pub fn call_reply_id(trigger: &Origin, kind: &str, subscription: &str) -> Uuid {
    ids::derive("reply", &[&trigger.source, &trigger.id, kind, subscription])
}

fn issue_event_id(cause: &Origin, key: KeyId, kind: ChangeKind) -> Uuid {
    ids::derive("issue-event", &[&cause.source, &cause.id, &key.to_string(), kind.as_str()])
}

/// What a line's messages are made from, besides the line.
pub struct Sources<'a> {
    /// The line's own event.
    pub event: &'a Event,
    /// Where the line reports about a call for a task: the trigger of that task, and the subscription of the call.
    pub trigger: Option<(&'a Event, &'a str)>,
}

/// All messages that a journal line causes, in the order in which they are published.
///
/// `after` gives the record of a key as the line left it.
pub fn caused_by(
    stream_time: Time,
    decision: &Decision,
    from: &Sources<'_>,
    after: impl Fn(KeyId) -> Option<KeyState>,
    settings: &Settings,
) -> Vec<Message> {
    let event = from.event;
    let origin = Origin { source: event.source.clone(), id: event.id.clone() };
    let mut messages = Vec::new();
    if let Some(answer) = &decision.answer {
        for kind in [OwnKind::Started, OwnKind::Finished] {
            let id = reply_id(&origin, reply_word(kind));
            messages.push(reply(stream_time, event, answer, kind, id));
        }
    }
    if let Some(answer) = decision.report.as_ref().and_then(|report| report.answer.as_ref())
        && let Some((trigger, subscription)) = from.trigger
    {
        let asked = Origin { source: trigger.source.clone(), id: trigger.id.clone() };
        let id = call_reply_id(&asked, "finished", subscription);
        messages.push(reply(stream_time, trigger, answer, OwnKind::Finished, id));
    }
    for (index, change) in decision.changes.iter().enumerate() {
        if let Some(kind) = change.kind
            && let Some(published) = published_as(kind, settings)
            && let Some(view) = view_of(change, kind, after(change.key), stream_time)
        {
            messages.push(issue_event(stream_time, event, &origin, change, published, index, &view));
        }
    }
    messages.extend(starts(stream_time, decision, event));
    messages
}

/// The `started` of each call that the sequence is told about.
pub(super) fn starts(stream_time: Time, decision: &Decision, event: &Event) -> Vec<Message> {
    if decision.calls.is_empty() {
        return Vec::new();
    }
    let origin = &Origin { source: event.source.clone(), id: event.id.clone() };
    let Some(Type::Task { task, phase: Phase::Triggered }) = Type::parse(&event.ty) else { return Vec::new() };
    let told = decision.calls.iter().enumerate().filter(|(_, call)| call.replies != Replies::None);
    told.map(|(index, call)| {
        let id = call_reply_id(origin, "started", &call.subscription);
        let started = Answer {
            task: task.to_owned(),
            status: Status::Succeeded,
            result: ResultWord::Pass,
            message: String::new(),
            block: String::new(),
        };
        reply(stream_time, event, &started, OwnKind::CallStarted(index as u32), id)
    })
    .collect()
}

/// Which event a change is published as, if the configuration asks for it. What was withdrawn is no longer broken.
fn published_as(kind: ChangeKind, settings: &Settings) -> Option<ChangeKind> {
    let kind = if kind == ChangeKind::Withdrawn { ChangeKind::Resolved } else { kind };
    settings.issue_events.contains(&kind).then_some(kind)
}

fn view_of(change: &Change, kind: ChangeKind, after: Option<KeyState>, now: Time) -> Option<View> {
    let state = after?;
    if kind != ChangeKind::Withdrawn {
        return state.marks.issue.as_ref().map(|issue| issue.view(&state.key));
    }
    let mut issue = change.before.as_ref()?.issue.clone()?;
    issue.state = State::Resolved;
    issue.resolved_at = Some(now);
    Some(issue.view(&state.key))
}

#[derive(Serialize)]
struct Envelope<'a, D: Serialize> {
    specversion: &'static str,
    id: Uuid,
    source: &'static str,
    #[serde(rename = "type")]
    ty: &'a str,
    time: Time,
    datacontenttype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shkeptncontext: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    triggeredid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causationid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gitcommitid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shkeptnspecversion: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    data: D,
}

fn envelope<'a, D: Serialize>(event: &'a Event, id: Uuid, ty: &'a str, time: Time, data: D) -> Envelope<'a, D> {
    Envelope {
        specversion: "1.0",
        id,
        source: SOURCE,
        ty,
        time,
        datacontenttype: "application/json",
        subject: None,
        shkeptncontext: event.context.as_deref(),
        triggeredid: None,
        causationid: None,
        gitcommitid: event.extension("gitcommitid"),
        shkeptnspecversion: event.extension("shkeptnspecversion"),
        traceparent: event.extension("traceparent"),
        data,
    }
}

fn bytes<D: Serialize>(envelope: &Envelope<'_, D>) -> Bytes {
    // Maps have string keys and nothing in here fails to serialise; an empty body would be refused by every reader.
    serde_json::to_vec(envelope).map(Bytes::from).unwrap_or_default()
}

/// The id of a message that begins as ours do, read without the rest.
pub fn id_of_own(body: &[u8]) -> Option<Uuid> {
    let id = body.strip_prefix(br#"{"specversion":"1.0","id":""#)?;
    let (id, rest) = id.split_at_checked(36)?;
    rest.starts_with(br#"","source":"shipwatch","#).then(|| Uuid::try_parse_ascii(id).ok())?
}

/// `data` of a reply.
struct ReplyData<'a> {
    event: &'a Event,
    answer: &'a Answer,
    finished: bool,
}

impl Serialize for ReplyData<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        for member in ["project", "stage", "service"] {
            map.serialize_entry(member, self.event.text(member).unwrap_or_default())?;
        }
        if let Some(labels) = self.event.json().and_then(|d| d.get("labels")).filter(|l| l.is_object()) {
            map.serialize_entry("labels", labels)?;
        }
        let Answer { task, status, result, message, block } = self.answer;
        if self.finished {
            map.serialize_entry("status", status)?;
            map.serialize_entry("result", result)?;
            map.serialize_entry("message", message)?;
            match serde_json::from_str::<&RawValue>(block) {
                Ok(block) => map.serialize_entry(task, block)?,
                Err(_) => map.serialize_entry(task, &Value::Object(serde_json::Map::new()))?,
            }
        } else {
            // Keptn's own `.started` events carry these as well; only `.finished` decides.
            map.serialize_entry("status", &Status::Succeeded)?;
            map.serialize_entry("result", &ResultWord::Pass)?;
        }
        map.end()
    }
}

fn reply_word(kind: OwnKind) -> &'static str {
    if kind == OwnKind::Finished { "finished" } else { "started" }
}

fn reply(stream_time: Time, event: &Event, answer: &Answer, kind: OwnKind, id: Uuid) -> Message {
    let finished = kind == OwnKind::Finished;
    let subject = reply_subject(&answer.task, kind);
    let data = ReplyData { event, answer, finished };
    let mut envelope = envelope(event, id, &subject, stream_time, data);
    envelope.triggeredid = Some(&event.id);
    let body = bytes(&envelope);
    Message { kind, id, subject, body }
}

fn issue_event(
    stream_time: Time,
    event: &Event,
    origin: &Origin,
    change: &Change,
    published: ChangeKind,
    index: usize,
    view: &View,
) -> Message {
    let subject = issue_subject(published);
    let id = issue_event_id(origin, change.key, published);
    let mut envelope = envelope(event, id, &subject, stream_time, view);
    envelope.subject = Some(change.key.to_string());
    envelope.causationid = Some(&event.id);
    let body = bytes(&envelope);
    Message { kind: OwnKind::Issue(index as u32), id, subject, body }
}

/// A reply that is too large for the broker, cut down to what a sequence needs: a `finished` is errored then, since what it
/// says is lost. None where the message is no reply, or is as short as can be.
pub fn shortened(message: &Message) -> Option<Bytes> {
    const SHORT: usize = 8 << 10;
    let finished = matches!(message.kind, OwnKind::Finished);
    if !finished && !matches!(message.kind, OwnKind::Started | OwnKind::CallStarted(_)) {
        return None;
    }
    if message.body.len() <= SHORT {
        return None;
    }
    let mut event: Value = serde_json::from_slice(&message.body).ok()?;
    let data = event.get_mut("data")?.as_object_mut()?;
    let kept = ["project", "stage", "service", "status", "result"];
    let task = message.subject.split('.').nth(3).unwrap_or_default().to_owned();
    data.retain(|name, _| kept.contains(&name.as_str()));
    if finished {
        data.insert("status".into(), "errored".into());
        data.insert("result".into(), "fail".into());
        let why = format!("the reply has {} bytes, more than the broker takes", message.body.len());
        data.insert("message".into(), why.into());
        data.insert(task, Value::Object(serde_json::Map::new()));
    }
    serde_json::to_vec(&event).ok().map(Bytes::from)
}

/// Makes the messages of a journal line again, after a restart or to compare with what came back.
///
/// # Errors
/// Where the state cannot be read.
pub fn again<L: Lookup>(row: &Row, lookup: &L, settings: &Settings) -> Result<Vec<Message>, Unreadable> {
    let Entry::Event(recorded) = &row.entry else { return Ok(Vec::new()) };
    let decision = &recorded.decision;
    let silent = decision.answer.is_none() && decision.calls.is_empty() && decision.report.is_none();
    if silent && decision.changes.iter().all(|c| c.kind.is_none()) {
        return Ok(Vec::new());
    }
    let Some(event) = event_of(recorded) else { return Ok(Vec::new()) };
    let mut after = Vec::new();
    for change in decision.changes.iter().filter(|c| c.kind.is_some_and(|k| published_as(k, settings).is_some())) {
        after.push((change.key, left_behind(row.position, change.key, lookup)?));
    }
    let find = |id| after.iter().find(|(key, _)| *key == id).and_then(|(_, state)| state.clone());
    let asked = match &decision.report {
        Some(report) if report.answer.is_some() => lookup.row(report.of)?,
        _ => None,
    };
    let asked = asked.as_deref().and_then(|row| trigger_of(row, decision));
    let trigger = asked.as_ref().map(|(event, subscription)| (event, *subscription));
    Ok(caused_by(row.stream_time, decision, &Sources { event: &event, trigger }, find, settings))
}

/// The event of a line, or what can still be recognised of it.
pub fn event_of(recorded: &Recorded) -> Option<Event> {
    Event::from_json(&recorded.payload).ok().or_else(|| super::decide::salvage(&recorded.payload))
}

/// The trigger that a report is about, and the subscription of the call; `row` is the line that caused the call.
fn trigger_of<'a>(row: &'a Row, decision: &Decision) -> Option<(Event, &'a str)> {
    let (Entry::Event(caused), Some(report)) = (&row.entry, &decision.report) else { return None };
    let call = caused.decision.calls.get(report.call as usize)?;
    Some((event_of(caused)?, &call.subscription))
}

/// The record of a key as the line at `position` left it: what the next change of that key found, else what it is now.
pub(crate) fn left_behind<L: Lookup>(
    position: Position,
    id: KeyId,
    lookup: &L,
) -> Result<Option<KeyState>, Unreadable> {
    let Some(now) = lookup.key(id) else { return Ok(None) };
    let change = |row: &Row| match &row.entry {
        Entry::Event(r) => {
            r.decision.changes.iter().find(|c| c.key == id).map(|c| c.before.clone().unwrap_or_default())
        }
        Entry::Own(_) => None,
    };
    let next = lookup.first_after(Mark::Key(id), position, &|row| change(row).is_some())?;
    let next = next.and_then(|row| change(&row));
    Ok(Some(match next {
        Some(marks) => KeyState { key: now.key.clone(), marks },
        None => (*now).clone(),
    }))
}

/// The message that an own journal line stands for.
///
/// # Errors
/// Where the state cannot be read.
pub fn of_own<L: Lookup>(own: Own, lookup: &L, settings: &Settings) -> Result<Option<Message>, Unreadable> {
    let Some(row) = lookup.row(own.of)? else { return Ok(None) };
    Ok(again(&row, lookup, settings)?.into_iter().find(|m| m.kind == own.kind))
}
