//! `POST /api/v1/events`: CloudEvents over HTTP, structured, binary and in batches. The caller's ids are kept.

use std::collections::BTreeSet;
use std::future::IntoFuture as _;

use axum::Json;
use axum::body::Body;
use axum::extract::State as From;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{Link, Refusal, State, body, text};
use crate::bus::binding::{self, Mode};
use crate::bus::{Error, Headers, Message, Publisher, STRUCTURED, publishable};
use crate::domain::event::{Event, Invalid};
use crate::domain::rules::{RuleSet, Subject};
use crate::domain::time::Time;

/// Events on their way at a time; a request waits for the stream's word on so many before it sends more.
const TOGETHER: usize = 512;

/// Takes events, and sends them in the order of the request. All are checked before the first is sent, so that a refusal
/// means that none is stored. Where the broker fails in between, the first ones may be stored although the answer is an
/// error; to send the request again is no harm, since the ids are the caller's.
pub async fn take(From(state): From<State>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let _place = state.place()?;
    let bytes = body::read(&headers, body, state.options.max_body).await?;
    let events = read(&headers, bytes, state.options.event_size)?;
    let link = state.link()?;
    let rules = state.options.rules.borrow().clone();
    taken_by_somebody(&link, &rules, &events).await?;
    let mut stored = Vec::with_capacity(events.len());
    for part in events.chunks(TOGETHER) {
        stored.extend(store(&link.publisher, part).await?);
    }
    Ok((StatusCode::ACCEPTED, Json(json!({ "status": "accepted", "events": stored }))).into_response())
}

/// An event and its JSON: as it came, where it came as JSON.
type Taken = (Event, Bytes);

fn read(headers: &HeaderMap, bytes: Bytes, event_size: usize) -> Result<Vec<Taken>, Refusal> {
    let message = message(headers, bytes)?;
    let batch = match Mode::of(&message.headers, &message.payload) {
        Mode::Batch => true,
        Mode::Structured | Mode::Binary | Mode::Plain => false,
        Mode::Foreign => {
            let details = "CloudEvents are read as JSON, in batches of JSON, and in binary mode with ce- headers";
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported event format", details));
        }
    };
    let readings = binding::read(&message, usize::MAX).into_iter();
    let taken = readings.map(|reading| {
        // A batch that is none at all has one reading, and no element of its own.
        let place = if batch { format!("event {} of the batch: ", reading.element) } else { String::new() };
        if reading.payload.len() > event_size {
            let limit = Invalid::TooLarge { size: reading.payload.len(), limit: event_size };
            return Err(Refusal::too_large(format!("{place}{limit}")));
        }
        let event = reading.event.map_err(|e| Refusal::bad("Not a CloudEvent", format!("{place}{e}")))?;
        let (ty, source) = (&event.ty, &event.source);
        if ty.starts_with(['$', '_']) || ty.starts_with("shipwatch.") {
            let details =
                format!("{place}type {ty:?}: on such subjects the broker and Shipwatch speak, it is no event's");
            return Err(Refusal::new(StatusCode::FORBIDDEN, "This event may not be published here", details));
        }
        if !publishable(ty) {
            let details = format!("{place}type {ty:?} is not a subject to publish on");
            return Err(Refusal::bad("Not a CloudEvent that can be published", details));
        }
        if ty.starts_with("dev.shipwatch.") || source == "shipwatch" || source.starts_with("shipwatch/") {
            let details = format!("{place}type dev.shipwatch.* and source shipwatch are Shipwatch's own");
            return Err(Refusal::new(StatusCode::FORBIDDEN, "This event may not be published here", details));
        }
        Ok((event, reading.payload))
    });
    taken.collect()
}

/// The request as a message of the NATS binding, which is read by the same rules.
fn message(headers: &HeaderMap, payload: Bytes) -> Result<Message, Refusal> {
    let content_type = text(headers, "content-type")?.unwrap_or_default();
    let mut pairs = vec![("content-type", content_type)];
    for name in headers.keys().map(|name| name.as_str()).filter(|name| name.starts_with("ce-")) {
        pairs.extend(text(headers, name)?.map(|value| (name, value)));
    }
    let pairs: Vec<_> = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let mut read = Headers::from_pairs(pairs.iter().copied());
    if Mode::of(&read, &payload) == Mode::Binary {
        // The header says what the data is. In HTTP values are percent-encoded always, and by this name the reader knows.
        let named = pairs.into_iter().map(|(name, value)| match name {
            "content-type" => ("ce-datacontenttype", value),
            other => (other, value),
        });
        read = Headers::from_pairs(named);
    }
    Ok(Message { sequence: 0, subject: String::new(), stream_time: Time::EPOCH, headers: read, payload })
}

/// Without a stream a message goes to whoever listens, which may be a service that takes it for a command.
async fn taken_by_somebody(link: &Link, rules: &RuleSet, events: &[Taken]) -> Result<(), Refusal> {
    let types: BTreeSet<&str> = events.iter().map(|(event, _)| event.ty.as_str()).collect();
    for ty in types.into_iter().filter(|ty| !names(rules, ty)) {
        let why = match link.bus.is_stored(ty).await {
            Ok(true) => continue,
            Ok(false) => "no stream has this subject, and no rule names it".to_owned(),
            Err(error @ Error::NotAllowed { .. }) => format!("no rule names it, and its stream is not known: {error}"),
            Err(error) => return Err(error.into()),
        };
        let details = format!("type {ty:?}: {why}");
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "Nobody takes this event", details));
    }
    Ok(())
}

/// Sends one after the other, and only then waits for the stream's word.
async fn store(publisher: &Publisher, events: &[Taken]) -> Result<Vec<Value>, Refusal> {
    let mut sent = Vec::with_capacity(events.len());
    for (event, json) in events {
        let receipt = publisher.publish_raw(&event.ty, &[("Content-Type", STRUCTURED)], json.clone()).await?;
        sent.push((event, receipt));
    }
    let mut stored = Vec::with_capacity(sent.len());
    for (event, receipt) in sent {
        let sequence = receipt.into_future().await?.sequence;
        stored.push(json!({ "id": event.id, "source": event.source, "sequence": sequence }));
    }
    Ok(stored)
}

fn names(rules: &RuleSet, subject: &str) -> bool {
    rules.subjects().iter().filter_map(|s| Subject::any(s)).any(|s| s.matches(subject))
}
