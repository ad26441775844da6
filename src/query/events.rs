//! The journal: events with what was decided about them, and what is parked.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State as From};
use axum::response::Response;
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::deliveries::{self, DeliveryView};
use super::explain::{Trail, trail};
use super::list::{List, json};
use super::params::Params;
use super::{Id, Problem, State};
use crate::domain::decision::{Decision, Fate};
use crate::domain::event::{Event, Form};
use crate::domain::ids::Position;
use crate::domain::issue::{Origin, ScopeView};
use crate::domain::messages;
use crate::domain::row::{Entry, Head, Mark, Recorded, Row};
use crate::domain::time::Time;
use crate::store::Direction;

/// Journal lines one request looks at, at most. `nextCursor` goes on from there.
const SCAN: usize = 100_000;

/// What a request asks of the journal.
struct Wanted {
    contexts: Vec<String>,
    types: Vec<String>,
    sources: Vec<String>,
    projects: Vec<String>,
    stages: Vec<String>,
    services: Vec<String>,
    outcomes: Vec<String>,
    from: Option<Time>,
    before: Option<Time>,
}

impl Wanted {
    fn anything(&self) -> bool {
        let lists =
            [&self.contexts, &self.types, &self.sources, &self.projects, &self.stages, &self.services, &self.outcomes];
        lists.iter().all(|l| l.is_empty()) && self.from.is_none() && self.before.is_none()
    }

    fn fits(&self, line: &Line) -> bool {
        let any = |wanted: &[String], value: &str| wanted.is_empty() || wanted.iter().any(|w| w == value);
        let head = line.head.as_ref();
        let text = |get: fn(&Head) -> &str| head.map_or("", get);
        let time = head.and_then(|h| h.time).unwrap_or(line.stream_time);
        any(&self.contexts, head.and_then(|h| h.context.as_deref()).unwrap_or_default())
            && any(&self.types, text(|h| &h.ty))
            && any(&self.sources, text(|h| &h.origin.source))
            && any(&self.projects, text(|h| &h.project))
            && any(&self.stages, text(|h| &h.stage))
            && any(&self.services, text(|h| &h.service))
            && any(&self.outcomes, line.outcome)
            && self.from.is_none_or(|from| time >= from)
            && self.before.is_none_or(|before| time < before)
    }
}

/// A journal line ready to be shown; our own messages are made again.
struct Line {
    position: Position,
    stream_time: Time,
    head: Option<Head>,
    outcome: &'static str,
    entry: Shown,
}

enum Shown {
    Recorded(Box<Recorded>),
    Own { body: Value },
}

fn line(state: &State, row: &Row) -> Result<Option<Line>, Problem> {
    let Row { position, stream_time, entry } = row.clone();
    Ok(Some(match entry {
        Entry::Event(recorded) => Line {
            position,
            stream_time,
            head: recorded.head.clone(),
            outcome: recorded.decision.outcome_word(),
            entry: Shown::Recorded(recorded),
        },
        Entry::Own(own) => {
            let Some(message) = messages::of_own(own, &state.reader, &state.settings)? else { return Ok(None) };
            let body = serde_json::from_slice(&message.body).unwrap_or(Value::Null);
            let event = Event::from_json(&message.body).ok();
            Line {
                position,
                stream_time,
                head: event.as_ref().map(Head::of),
                outcome: "neutral",
                entry: Shown::Own { body },
            }
        }
    }))
}

/// An event of the journal: its own attributes and data, and in short what was decided.
fn item(line: Line) -> Value {
    let Line { position, stream_time, outcome, entry, .. } = line;
    let (event, extra) = match entry {
        Shown::Own { body } => (body, json!({ "why": "published by Shipwatch", "rule": null, "issueId": null })),
        Shown::Recorded(recorded) => {
            let event = serde_json::from_slice(&recorded.payload).unwrap_or(Value::Null);
            let d = &recorded.decision;
            let extra = json!({
                "why": d.why, "rule": d.rule, "issueId": issue_id(d), "subject": recorded.subject, "form": recorded.form,
            });
            (event, extra)
        }
    };
    let mut map = match event {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    // CloudEvents has an attribute `subject`; the event's own stays.
    if let Value::Object(extra) = extra {
        for (name, value) in extra {
            map.entry(name).or_insert(value);
        }
    }
    map.insert("sequence".into(), position.to_string().into());
    map.insert("streamTime".into(), stream_time.to_string().into());
    map.insert("outcome".into(), outcome.into());
    Value::Object(map)
}

fn issue_id(decision: &Decision) -> Option<Uuid> {
    let changed = decision.changes.iter().find(|c| c.kind.is_some()).or(decision.changes.first());
    let about = decision.key.as_ref().map(|k| k.id().0);
    changed.map(|c| c.key.0).or(about)
}

/// Events, the newest first. `total` is exact without filters and by `keptnContext`; with other filters it counts what
/// fits within the part of the journal that was looked at, and `nextCursor` goes on behind that part.
#[utoipa::path(get, path = "/api/v1/events", tag = "events",
    params(("keptnContext" = Option<String>, Query), ("type" = Option<String>, Query), ("source" = Option<String>, Query),
        ("project" = Option<String>, Query), ("stage" = Option<String>, Query), ("service" = Option<String>, Query),
        ("outcome" = Option<String>, Query), ("fromTime" = Option<String>, Query), ("beforeTime" = Option<String>, Query),
        ("pageSize" = Option<u32>, Query), ("nextPageKey" = Option<String>, Query),
        ("limit" = Option<u32>, Query), ("cursor" = Option<String>, Query), ("offset" = Option<u32>, Query)),
    responses((status = 200, body = List<Object>), (status = 400, body = Problem)))]
pub async fn list(From(state): From<State>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let known = [
        "keptnContext",
        "type",
        "source",
        "project",
        "stage",
        "service",
        "outcome",
        "fromTime",
        "beforeTime",
        "pageSize",
        "nextPageKey",
        "limit",
        "cursor",
        "offset",
    ];
    let params = Params::read(query.as_deref(), &known)?;
    let outcome = |word: &str| Decision::OUTCOME_WORDS.iter().copied().find(|w| w.eq_ignore_ascii_case(word));
    let outcomes = params.words("outcome", outcome, Decision::OUTCOME_WORDS)?;
    let wanted = Wanted {
        contexts: params.many("keptnContext"),
        types: params.many("type"),
        sources: params.many("source"),
        projects: params.many("project"),
        stages: params.many("stage"),
        services: params.many("service"),
        outcomes: outcomes.into_iter().map(str::to_owned).collect(),
        from: params.time("fromTime")?,
        before: params.time("beforeTime")?,
    };
    let limit = params.limit(&["limit", "pageSize"])?;
    let offset = params.offset()?;
    let after = match params.one(&["cursor", "nextPageKey"]) {
        // Keptn's clients begin with a key of 0.
        None | Some((_, "0")) => None,
        Some((name, text)) => {
            let read =
                Position::parse(text).ok_or_else(|| Problem::parameter(name, "is not a nextCursor of a list"))?;
            Some(read)
        }
    };
    let offset = if after.is_some() { 0 } else { offset };
    let found = state.reading(move |state| scan(state, &wanted, limit, offset, after)).await?;
    Ok(json(&found))
}

fn scan(
    state: &State,
    wanted: &Wanted,
    limit: usize,
    offset: usize,
    after: Option<Position>,
) -> Result<List<Value>, Problem> {
    if !wanted.contexts.is_empty() {
        return by_context(state, wanted, limit, offset, after);
    }
    let before = after.map(|p| Position::from_u64(p.to_u64().saturating_sub(1)));
    let everything = wanted.anything();
    let (mut data, mut total, mut skipped, mut next, mut seen) = (Vec::new(), 0u64, 0, None, 0);
    let mut last = None;
    let upto = before.unwrap_or(Position::from_u64(u64::MAX));
    for row in state.reader.journal(..=upto, Direction::Backward) {
        let row = row?;
        let position = row.position;
        seen += 1;
        if seen > SCAN {
            next = next.or(last);
            break;
        }
        last = Some(position);
        let Some(line) = line(state, &row)? else { continue };
        if !wanted.fits(&line) {
            continue;
        }
        total += 1;
        if skipped < offset {
            skipped += 1;
        } else if data.len() < limit {
            data.push((position, item(line)));
        } else {
            next = next.or(data.last().map(|(p, _)| *p));
            if everything {
                break;
            }
        }
    }
    let total = if everything { state.reader.journal_len() } else { total };
    let next_cursor = next.map(|p| p.to_string());
    Ok(List { data: data.into_iter().map(|(_, v)| v).collect(), total, limit, offset, next_cursor })
}

fn by_context(
    state: &State,
    wanted: &Wanted,
    limit: usize,
    offset: usize,
    after: Option<Position>,
) -> Result<List<Value>, Problem> {
    let mut lines = Vec::new();
    let mut positions = Vec::new();
    for context in &wanted.contexts {
        positions.extend(state.reader.positions(Mark::Context(context).hash())?);
    }
    positions.sort_unstable();
    positions.dedup();
    for position in positions.into_iter().rev() {
        let Some(row) = state.reader.row(position)? else { continue };
        lines.extend(line(state, &row)?.filter(|l| wanted.fits(l)));
    }
    let total = lines.len() as u64;
    let start = match after {
        Some(after) => lines.partition_point(|l| l.position >= after),
        None => offset,
    };
    let more = lines.len() > start + limit;
    let page: Vec<Line> = lines.into_iter().skip(start).take(limit).collect();
    let next_cursor = page.last().filter(|_| more).map(|l| l.position.to_string());
    Ok(List { data: page.into_iter().map(item).collect(), total, limit, offset, next_cursor })
}

/// A reply or an issue event that was caused.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// `id` of the event.
    pub id: Uuid,
    /// `type` of the event.
    #[serde(rename = "type")]
    pub ty: String,
    /// Whether it has been seen in the stream.
    pub seen: bool,
    /// When the stream took it; null while it has not been seen.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Time>,
}

/// An event and all that was decided about it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionView {
    /// The event, as it came.
    pub event: Value,
    /// How it was carried.
    #[schema(value_type = String)]
    pub form: Form,
    /// The rule that decided; null where none did.
    pub rule: Option<String>,
    /// Why, in words.
    pub why: String,
    /// The broken or mended thing.
    pub scope: Option<ScopeView>,
    /// What the event says, or what kept it from counting.
    pub outcome: String,
    /// The dedup layer that recognised it: `id` or `run`.
    pub layer: Option<String>,
    /// What happened to the issue.
    pub change: Option<String>,
    /// The issue.
    pub issue_id: Option<Uuid>,
    /// What was published because of it.
    pub replies: Vec<Reply>,
    /// Calls of webhooks because of it.
    pub deliveries: Vec<DeliveryView>,
    /// Rules in force, by the beginning of their hash.
    pub rule_set: String,
    /// Stream sequence.
    pub sequence: String,
    /// When the stream took it.
    #[schema(value_type = String, format = DateTime)]
    pub stream_time: Time,
    /// The run it belongs to.
    pub run: Option<String>,
    /// The check it speaks of.
    pub check: Option<String>,
    /// Where it was parked before, if it was decided about again here.
    pub retry: Option<RetryView>,
    /// How it came about; only with `explain=true`.
    #[serde(flatten)]
    pub trail: Option<Trail>,
}

/// A parked message was decided about again.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryView {
    /// The place where it was parked.
    pub of: String,
    /// The event that asked for it, at the place where it was decided again.
    pub by: Origin,
}

/// The messages that a line causes.
pub(super) fn replies(state: &State, row: &Row) -> Result<Vec<Reply>, Problem> {
    let mut replies = Vec::new();
    for message in messages::again(row, &state.reader, &state.settings)? {
        let id = message.id.to_string();
        let rows = state.reader.rows(Mark::EventId(&id).hash())?;
        let own = rows.iter().find(|r| matches!(r.entry, Entry::Own(own) if own.of == row.position));
        let at = own.map(|own| own.stream_time);
        replies.push(Reply { id: message.id, ty: message.subject, seen: at.is_some(), at });
    }
    Ok(replies)
}

fn decision_view(state: &State, row: &Row, explain: bool) -> Result<Option<DecisionView>, Problem> {
    let (sequence, stream_time) = (row.position.to_string(), row.stream_time);
    match &row.entry {
        Entry::Own(own) => {
            let Some(message) = messages::of_own(*own, &state.reader, &state.settings)? else { return Ok(None) };
            Ok(Some(DecisionView {
                event: serde_json::from_slice(&message.body).unwrap_or(Value::Null),
                form: Form::Bare,
                rule: None,
                why: format!("published by Shipwatch because of the event at {}", own.of),
                scope: None,
                outcome: "neutral".into(),
                layer: None,
                change: None,
                issue_id: None,
                replies: Vec::new(),
                deliveries: Vec::new(),
                rule_set: String::new(),
                sequence,
                stream_time,
                run: None,
                check: None,
                retry: None,
                trail: None,
            }))
        }
        Entry::Event(recorded) => {
            let d = &recorded.decision;
            let mut replies = replies(state, row)?;
            let (deliveries, more) = deliveries::of(state, row, recorded)?;
            replies.extend(more);
            let layer = match d.fate {
                Fate::Duplicate(layer) => Some(layer.as_str().to_owned()),
                _ => None,
            };
            let text = || Value::from(String::from_utf8_lossy(&recorded.payload).into_owned());
            Ok(Some(DecisionView {
                event: serde_json::from_slice(&recorded.payload).unwrap_or_else(|_| text()),
                form: recorded.form,
                rule: d.rule.clone(),
                why: d.why.clone(),
                scope: d.key.as_ref().map(crate::domain::issue::Key::scope_view),
                outcome: d.outcome_word().to_owned(),
                layer,
                change: d.changes.iter().find_map(|c| c.kind).map(|k| k.as_str().to_owned()),
                issue_id: issue_id(d),
                replies,
                deliveries,
                rule_set: d.rule_set.clone(),
                sequence,
                stream_time,
                run: d.run.clone(),
                check: d.key.as_ref().map(|k| k.check.clone()),
                retry: recorded.retry.as_ref().map(|r| RetryView { of: r.of.to_string(), by: r.by.clone() }),
                trail: if explain { Some(trail(state, row, recorded)?) } else { None },
            }))
        }
    }
}

/// One event with its decision. Of several with this id, the first that counted; `?source=` picks one.
#[utoipa::path(get, path = "/api/v1/events/{id}", tag = "events",
    params(("id" = String, Path), ("source" = Option<String>, Query),
        ("explain" = Option<bool>, Query, description = "adds `tried`, `against`, `changes` and `changed`: how the decision came about")),
    responses((status = 200, body = DecisionView), (status = 404, body = Problem)))]
pub async fn one(
    From(state): From<State>,
    Id(id): Id,
    RawQuery(query): RawQuery,
) -> Result<Json<DecisionView>, Problem> {
    let params = Params::read(query.as_deref(), &["source", "explain"])?;
    let explain = match params.one(&["explain"]) {
        None | Some((_, "false")) => false,
        Some((_, "true")) => true,
        Some((name, text)) => return Err(Problem::parameter(name, format!("{text:?} is neither true nor false"))),
    };
    let source = params.one(&["source"]).map(|(_, s)| s.to_owned());
    let found = state.reading(move |state| find(state, &id, source.as_deref(), explain)).await?;
    Ok(Json(found))
}

fn find(state: &State, id: &str, source: Option<&str>, explain: bool) -> Result<DecisionView, Problem> {
    let mut fit: Vec<Arc<Row>> = Vec::new();
    for row in state.reader.rows(Mark::EventId(id).hash())? {
        let matches = match &row.entry {
            Entry::Event(r) => {
                // Who asks for the word that a parked message be decided again gets what became of that.
                let origins = r.head.iter().map(|h| &h.origin).chain(r.retry.iter().map(|r| &r.by));
                origins.into_iter().any(|o| o.id == id && source.is_none_or(|s| s == o.source))
            }
            Entry::Own(own) => {
                source.is_none_or(|s| s == messages::SOURCE)
                    && messages::of_own(*own, &state.reader, &state.settings)?.is_some_and(|m| m.id.to_string() == id)
            }
        };
        if matches {
            fit.push(row);
        }
    }
    let counts = |row: &Arc<Row>| match &row.entry {
        Entry::Event(r) => !matches!(r.decision.fate, Fate::Duplicate(_) | Fate::Parked),
        Entry::Own(_) => true,
    };
    let first = fit.iter().find(|r| counts(r)).or(fit.first());
    let missing = || Problem::not_found("Event not found", format!("no event with the id {id:?} is kept"));
    let row = first.ok_or_else(missing)?;
    decision_view(state, row, explain)?.ok_or_else(missing)
}

/// A message that could not be handled.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParkedView {
    /// Its place in the stream, as an id.
    pub id: String,
    /// Stream sequence.
    pub sequence: u64,
    /// NATS subject.
    pub subject: String,
    /// Why it could not be handled.
    pub reason: String,
    /// The message, where it is text.
    pub payload: Option<String>,
    /// The message in base64, where it is not.
    pub payload_base64: Option<String>,
    /// When the stream took it.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
}

fn parked_view(row: &Row) -> Option<ParkedView> {
    let Row { position, stream_time, entry } = row.clone();
    let Entry::Event(recorded) = entry else { return None };
    let Recorded { subject, decision, payload, .. } = *recorded;
    let text = String::from_utf8(payload.to_vec());
    let base64 = text.is_err().then(|| base64::engine::general_purpose::STANDARD.encode(&payload));
    Some(ParkedView {
        id: position.to_string(),
        sequence: position.sequence(),
        subject,
        reason: decision.why,
        payload: text.ok(),
        payload_base64: base64,
        at: stream_time,
    })
}

/// Payloads in one page of parked messages, in bytes: they may be as large as messages are, and JSON makes some of them longer.
const PARKED: usize = 4 << 20;

/// What could not be handled, the newest first, whole and with the reason. A page ends early where its payloads are large;
/// `nextCursor` goes on behind it.
#[utoipa::path(get, path = "/api/v1/parked", tag = "events",
    params(("limit" = Option<u32>, Query), ("offset" = Option<u32>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = List<ParkedView>), (status = 400, body = Problem)))]
pub async fn parked(From(state): From<State>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let params = Params::read(query.as_deref(), &["limit", "offset", "cursor"])?;
    let (limit, offset) = (params.limit(&["limit"])?, params.offset()?);
    let after = match params.one(&["cursor"]) {
        None => None,
        Some((name, text)) => {
            Some(Position::parse(text).ok_or_else(|| Problem::parameter(name, "is not a nextCursor of a list"))?)
        }
    };
    let list = state.reading(move |state| {
        let total = state.reader.parked_count() as u64;
        let mut data = Vec::new();
        let (mut more, mut room) = (false, PARKED);
        let skip = if after.is_some() { 0 } else { offset };
        let positions = state.reader.parked().into_iter().rev().filter(|p| after.is_none_or(|after| *p < after));
        for position in positions.skip(skip) {
            if data.len() == limit || room == 0 {
                more = true;
                break;
            }
            let view = state.reader.row(position)?.as_deref().and_then(parked_view);
            let size = |text: &Option<String>| text.as_ref().map_or(0, String::len);
            room = room.saturating_sub(view.as_ref().map_or(0, |v| size(&v.payload) + size(&v.payload_base64)));
            data.extend(view);
        }
        let next_cursor = data.last().filter(|_| more).map(|p: &ParkedView| p.id.clone());
        Ok(List { data, total, limit, offset: skip, next_cursor })
    });
    Ok(json(&list.await?))
}

/// One parked message.
#[utoipa::path(get, path = "/api/v1/parked/{id}", tag = "events", params(("id" = String, Path)),
    responses((status = 200, body = ParkedView), (status = 404, body = Problem)))]
pub async fn parked_one(From(state): From<State>, Id(id): Id) -> Result<Json<ParkedView>, Problem> {
    let missing = || Problem::not_found("Parked message not found", format!("nothing is parked under {id:?}"));
    let position = Position::parse(&id).ok_or_else(missing)?;
    let row = if state.reader.is_parked(position) { state.reader.row(position)? } else { None };
    row.as_deref().and_then(parked_view).map(Json).ok_or_else(missing)
}
