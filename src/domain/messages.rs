//! Events that Shipwatch publishes because of an event it folded: replies to its tasks, and the life of issues.
//!
//! They are a function of the journal line and of the state around it, so after a crash the same bytes are made again.

use bytes::Bytes;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::decide::{SLI_TASK, Settings, TaskNames};
use super::decision::{Answer, Change, ResultWord, Status};
use super::event::Event;
use super::ids::{self, KeyId, Position};
use super::issue::{ChangeKind, KeyState, Origin, State, View};
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

/// The subjects of everything that [`caused_by`] can give.
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
    format!("sh.keptn.event.{task}.{}", if kind == OwnKind::Finished { "finished" } else { "started" })
}

fn issue_subject(published: ChangeKind) -> String {
    format!("dev.shipwatch.issue.{}", published.as_str())
}

/// The id of a reply: UUIDv5 of trigger source, trigger id and kind (contract section 5).
pub fn reply_id(trigger: &Origin, kind: &str) -> Uuid {
    ids::derive("reply", &[&trigger.source, &trigger.id, kind])
}

fn issue_event_id(cause: &Origin, key: KeyId, kind: ChangeKind) -> Uuid {
    ids::derive("issue-event", &[&cause.source, &cause.id, &key.to_string(), kind.as_str()])
}

/// All messages that a journal line causes, in the order in which they are published.
///
/// `event` is the line's own event; `after` gives the record of a key as the line left it.
pub fn caused_by(
    stream_time: Time,
    recorded: &Recorded,
    event: &Event,
    after: impl Fn(KeyId) -> Option<KeyState>,
    settings: &Settings,
) -> Vec<Message> {
    let origin = Origin { source: event.source.clone(), id: event.id.clone() };
    let mut messages = Vec::new();
    if let Some(answer) = &recorded.decision.answer {
        for kind in [OwnKind::Started, OwnKind::Finished] {
            messages.push(reply(stream_time, event, &origin, answer, kind));
        }
    }
    for (index, change) in recorded.decision.changes.iter().enumerate() {
        if let Some(kind) = change.kind
            && let Some(published) = published_as(kind, settings)
            && let Some(view) = view_of(change, kind, after(change.key), stream_time)
        {
            messages.push(issue_event(stream_time, event, &origin, change, published, index, &view));
        }
    }
    messages
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

fn reply(stream_time: Time, event: &Event, origin: &Origin, answer: &Answer, kind: OwnKind) -> Message {
    let finished = kind == OwnKind::Finished;
    let word = if finished { "finished" } else { "started" };
    let subject = reply_subject(&answer.task, kind);
    let id = reply_id(origin, word);
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

/// Makes the messages of a journal line again, after a restart or to compare with what came back.
///
/// # Errors
/// Where the state cannot be read.
pub fn again<L: Lookup>(row: &Row, lookup: &L, settings: &Settings) -> Result<Vec<Message>, Unreadable> {
    let Entry::Event(recorded) = &row.entry else { return Ok(Vec::new()) };
    let decision = &recorded.decision;
    if decision.answer.is_none() && decision.changes.iter().all(|c| c.kind.is_none()) {
        return Ok(Vec::new());
    }
    let event = Event::from_json(&recorded.payload).ok().or_else(|| super::decide::salvage(&recorded.payload));
    let Some(event) = event else { return Ok(Vec::new()) };
    let mut after = Vec::new();
    for change in decision.changes.iter().filter(|c| c.kind.is_some_and(|k| published_as(k, settings).is_some())) {
        after.push((change.key, left_behind(row.position, change.key, lookup)?));
    }
    let find = |id| after.iter().find(|(key, _)| *key == id).and_then(|(_, state)| state.clone());
    Ok(caused_by(row.stream_time, recorded, &event, find, settings))
}

/// The record of a key as the line at `position` left it: what the next change of that key found, else what it is now.
pub(super) fn left_behind<L: Lookup>(
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
