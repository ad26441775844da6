//! `POST /api/v1/events`: CloudEvents over HTTP, structured, binary and in batches. The caller's ids are kept.

use std::future::IntoFuture as _;

use axum::Json;
use axum::body::Body;
use axum::extract::State as From;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::{Refusal, State, body, text};
use crate::bus::binding::{self, Mode};
use crate::bus::{Error, Headers, Message, Publisher, STRUCTURED};
use crate::domain::event::{Event, Invalid};
use crate::domain::rules::{RuleSet, Subject};
use crate::domain::time::Time;

/// Takes events, all of them or none.
pub async fn take(From(state): From<State>, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let _place = state.place()?;
    let bytes = body::read(&headers, body, state.options.max_body).await?;
    let events = read(&headers, bytes, state.options.event_size)?;
    let publisher = state.link()?.publisher;
    let rules = state.options.rules.borrow().clone();
    let stored = events.into_iter().map(|event| store(&publisher, &rules, event));
    let stored = try_join_all(stored).await?;
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
        let source = &event.source;
        if event.ty.starts_with("dev.shipwatch.") || source == "shipwatch" || source.starts_with("shipwatch/") {
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

async fn store(publisher: &Publisher, rules: &RuleSet, (event, json): Taken) -> Result<Value, Refusal> {
    let receipt = publisher.publish_raw(&event.ty, &[("Content-Type", STRUCTURED)], json).await?;
    match receipt.into_future().await {
        Ok(stored) => Ok(json!({ "id": event.id, "source": event.source, "sequence": stored.sequence })),
        Err(Error::NoStreamFor(_)) if !names(rules, &event.ty) => {
            let details = format!("type {:?}: no stream has this subject, and no rule names it", event.ty);
            Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "Nobody takes this event", details))
        }
        Err(error) => Err(error.into()),
    }
}

fn names(rules: &RuleSet, subject: &str) -> bool {
    rules.subjects().iter().filter_map(|s| Subject::any(s)).any(|s| s.matches(subject))
}
