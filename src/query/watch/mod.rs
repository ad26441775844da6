//! `GET /api/v1/issues/watch`: changes of issues as server-sent events.
//!
//! A watcher is a cursor into the journal. It reads on when a commit is told, and only as fast as its client takes what it
//! is sent, so a slow one costs no memory; one that takes nothing for long is closed, and goes on by its last id.

mod changes;
mod cursor;
mod feed;

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State as From};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use tokio::sync::{OwnedSemaphorePermit, watch as told};
use tokio::time::Instant;

use super::filter::{FILTERS, filter};
use super::params::Params;
use super::{Problem, State};
use crate::domain::ids::Position;
use crate::store::catalog::Matcher;
use cursor::Cursor;
pub use feed::Feed;

/// How long a client hears nothing.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Changes of issues from now on, as server-sent events: `event` is `opened`, `updated`, `reopened` or `resolved`, `data` the
/// issue as the change left it (without its relations, which depend on others), `id` a cursor. Takes the filters of the list;
/// a change by which an issue begins or ceases to fit is told. `Last-Event-ID` (or `lastEventId`) goes on exactly behind that
/// change, also after a restart of the service. Every 15 seconds without a change there is a comment, with an `id` that holds
/// for all that was passed over. 410: the cursor is older than events are kept; list again and watch anew.
#[utoipa::path(get, path = "/api/v1/issues/watch", tag = "issues",
    params(("lastEventId" = Option<String>, Query, description = "where the header cannot be set"),
        ("Last-Event-ID" = Option<String>, Header, description = "go on behind this change")),
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = 400, body = Problem),
        (status = 410, body = Problem), (status = 503, body = Problem)))]
pub async fn watch(
    From(state): From<State>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let params = Params::read(query.as_deref(), &[FILTERS, &["lastEventId"]].concat())?;
    let wanted = Matcher::new(filter(&params)?);
    // Subscribed first: what is committed from here on is told.
    let committed = state.reader.committed();
    let last = state.reader.progress().last;
    let cursor = match asked(&headers, &params)? {
        Some(cursor) => held(&state, cursor, last)?,
        None => Cursor::behind(last),
    };
    if state.ending.is_cancelled() {
        return Err(Problem::unavailable("the service is stopping", "watch again when it is back"));
    }
    let place = state.feed.places.clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::unavailable("too many watchers", "the places for watchers are taken"))?;
    let watcher = Watcher { state, wanted, cursor, committed, begun: false, _place: place };
    let body = Body::from_stream(futures_util::stream::unfold(watcher, |mut watcher| async move {
        let bytes = watcher.next().await?;
        Some((Ok::<Bytes, Infallible>(bytes), watcher))
    }));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    // Proxies that collect answers before they hand them on are told not to.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// The cursor that a request brings. The header counts first: a browser sets it when it comes back with the same address.
fn asked(headers: &HeaderMap, params: &Params) -> Result<Option<Cursor>, Problem> {
    let header = headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?"));
    let (name, text) = match header.filter(|text| !text.is_empty()) {
        Some(text) => ("Last-Event-ID", text),
        None => match params.one(&["lastEventId"]) {
            Some(found) => found,
            None => return Ok(None),
        },
    };
    Cursor::parse(text)
        .map(Some)
        .ok_or_else(|| Problem::parameter(name, format!("{text:?} is not an id of this stream")))
}

/// A cursor, if the journal still holds all that comes behind it.
fn held(state: &State, cursor: Cursor, last: Option<Position>) -> Result<Cursor, Problem> {
    let again = "list the issues again, and watch without an id";
    if cursor > Cursor::behind(last) {
        let details = format!("the journal ends before {cursor}, so it is not the one this id is from; {again}");
        return Err(Problem::gone("the id is not known", details));
    }
    if is_gone(state, cursor) {
        let details = format!("events from {cursor} on are not kept any more; {again}");
        return Err(Problem::gone("the id is too old", details));
    }
    Ok(cursor)
}

/// Whether retention has taken lines behind a cursor.
fn is_gone(state: &State, cursor: Cursor) -> bool {
    cursor.line < state.reader.progress().oldest
}

/// One client.
struct Watcher {
    state: State,
    wanted: Matcher,
    cursor: Cursor,
    committed: told::Receiver<Option<Position>>,
    begun: bool,
    _place: OwnedSemaphorePermit,
}

impl Watcher {
    /// What is sent next; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        // The client sees at once that it is heard, and from where on.
        if !std::mem::replace(&mut self.begun, true) {
            return Some(self.heartbeat());
        }
        let beat = Instant::now() + HEARTBEAT;
        let ending = self.state.ending.clone();
        loop {
            let there = self.committed.borrow_and_update().is_some_and(|last| self.cursor.line <= last);
            if ending.is_cancelled() {
                return None;
            }
            if there {
                match self.read().await {
                    Err(()) => return None,
                    Ok(Some(frames)) => return Some(frames),
                    Ok(None) if Instant::now() >= beat => return Some(self.heartbeat()),
                    Ok(None) => continue,
                }
            }
            tokio::select! {
                () = ending.cancelled() => return None,
                () = tokio::time::sleep_until(beat) => return Some(self.heartbeat()),
                changed = self.committed.changed() => changed.ok()?,
            }
        }
    }

    /// Goes one batch on; the frames of what concerns this client, if there are any.
    async fn read(&mut self) -> Result<Option<Bytes>, ()> {
        let batch = self.state.feed.behind(&self.state, self.cursor).await.map_err(|_| ())?;
        // Looked at after reading: what was removed meanwhile is not passed over in silence.
        if is_gone(&self.state, self.cursor) {
            return Err(());
        }
        self.cursor = batch.to;
        let frames: Vec<&Bytes> =
            batch.changes.iter().filter(|change| change.concerns(&self.wanted)).map(|change| &change.frame).collect();
        Ok(match frames[..] {
            [] => None,
            [one] => Some(one.clone()),
            _ => Some(frames.iter().flat_map(|frame| frame.iter().copied()).collect()),
        })
    }

    fn heartbeat(&self) -> Bytes {
        // An id without data is noted by clients and told to nobody.
        format!(": watching\nid: {}\n\n", self.cursor).into()
    }
}
