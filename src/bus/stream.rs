//! Which stream holds the order: an existing one as it is, else one of our own that sources what others hold.
//!
//! Two streams of one account cannot have overlapping subjects, so what another stream holds can only be sourced.

use std::collections::BTreeMap;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::stream::{Config, Info, RetentionPolicy, Source, StorageType};
use serde::Deserialize;
use serde_json::json;

use super::connect::{Asked, Bus};
use super::error::quoted;
use super::plan::{Layout, MARK, Plan, Seen, plan};
use super::subjects::covers;
use super::{Error, StreamWish, consumer};
use crate::domain::stream::StreamIdentity;

/// The stream to read, and what is worth saying about the choice.
#[derive(Debug)]
pub(super) struct Chosen {
    pub info: Info,
    /// Lines for the log and for `doctor`.
    pub notes: Vec<String>,
}

impl Chosen {
    pub(super) fn identity(&self) -> StreamIdentity {
        identity(&self.info)
    }
}

pub(super) fn identity(info: &Info) -> StreamIdentity {
    StreamIdentity { name: info.config.name.clone(), created: info.created.into() }
}

/// Finds or makes the stream that `wish` describes. `last` is the name of the stream folded so far: of several that
/// would do, that one is kept.
pub(super) async fn choose(bus: &Bus, wish: &StreamWish, last: Option<&str>) -> Result<Chosen, Error> {
    pick(bus, wish, last, true).await
}

/// Finds the stream without making or changing one.
pub(super) async fn look(bus: &Bus, wish: &StreamWish) -> Result<Chosen, Error> {
    pick(bus, wish, None, false).await
}

async fn pick(bus: &Bus, wish: &StreamWish, last: Option<&str>, make: bool) -> Result<Chosen, Error> {
    if let Some(name) = &wish.named {
        let info = match info(bus, name).await {
            Err(asked) if asked.is(ErrorCode::STREAM_NOT_FOUND) => {
                return Err(Error::NoStream(format!(
                    "stream {name:?} does not exist; create it with: {}",
                    create_command(name, &wish.subjects)
                )));
            }
            other => other?,
        };
        let notes = notes(&info, wish, &BTreeMap::new());
        return Ok(Chosen { info, notes });
    }
    let existing = list(bus).await?;
    let seen: Vec<Seen> = existing.iter().map(Seen::of).collect();
    let (plan, partly) = plan(wish, &seen, last, bus.server_at_least(2, 10));
    let chosen = match plan {
        Plan::Use(name) => existing.into_iter().find(|i| i.config.name == name),
        Plan::Create(layout) if !make => {
            return Err(Error::NoStream(format!(
                "no stream holds {}; `shipwatch serve` makes one, or: {}",
                quoted(&wish.subjects),
                create_command(&wish.create_as, &layout.subjects)
            )));
        }
        Plan::Widen(_) if !make => existing.into_iter().find(|i| i.config.name == wish.create_as),
        Plan::Create(layout) => Some(create(bus, wish, layout).await?),
        Plan::Widen(layout) => match existing.into_iter().find(|i| i.config.name == wish.create_as) {
            Some(info) => Some(widen(bus, info, layout).await?),
            None => None,
        },
    };
    let info = chosen.ok_or_else(|| Error::StreamChanged("the stream vanished while it was being chosen".into()))?;
    let notes = notes(&info, wish, &partly);
    Ok(Chosen { info, notes })
}

/// Widens the stream that is being read, where it is one of our own. What is lacking afterwards comes back as notes.
pub(super) async fn widen_to(bus: &Bus, name: &str, wish: &StreamWish) -> Result<Vec<String>, Error> {
    let mut info = still(bus, name).await?;
    let mut in_part = BTreeMap::new();
    if wish.named.is_none() && name == wish.create_as && Seen::of(&info).ours {
        let seen: Vec<Seen> = list(bus).await?.iter().map(Seen::of).collect();
        let (plan, partly) = plan(wish, &seen, Some(name), bus.server_at_least(2, 10));
        in_part = partly;
        if let Plan::Widen(layout) = plan {
            info = widen(bus, info, layout).await?;
        }
    }
    let mut notes = notes(&info, wish, &in_part);
    notes.extend(consumer::unseen(bus, name, wish).await?);
    Ok(notes)
}

/// The stream being read, as it is now.
pub(super) async fn still(bus: &Bus, name: &str) -> Result<Info, Error> {
    info(bus, name).await.map_err(|asked| match asked.is(ErrorCode::STREAM_NOT_FOUND) {
        true => Error::StreamChanged(format!("stream {name:?} is gone")),
        false => asked.error,
    })
}

/// The stream as it is now.
pub(super) async fn info(bus: &Bus, name: &str) -> Result<Info, Asked> {
    if name.is_empty() || name.contains(['.', '*', '>', ' ', '/', '\\']) {
        return Err(Error::Settings(format!("{name:?} is not a stream name")).into());
    }
    bus.api(&format!("read stream {name:?}"), format!("STREAM.INFO.{name}"), &json!({})).await
}

pub(super) async fn list(bus: &Bus) -> Result<Vec<Info>, Error> {
    #[derive(Deserialize)]
    struct Page {
        total: usize,
        #[serde(default)]
        streams: Option<Vec<Info>>,
    }
    let mut all = Vec::new();
    loop {
        let page: Result<Page, Asked> =
            bus.api("list streams", "STREAM.LIST".into(), &json!({"offset": all.len()})).await;
        let page = page.map_err(|asked| match asked.error {
            Error::NotAllowed { what, why } => {
                Error::NoStream(format!("not allowed to {what} ({why}); name the one to read (nats.stream, --stream)"))
            }
            other => other,
        })?;
        let new = page.streams.unwrap_or_default();
        let empty = new.is_empty();
        all.extend(new);
        if empty || all.len() >= page.total {
            all.sort_by(|a, b| a.config.name.cmp(&b.config.name));
            return Ok(all);
        }
    }
}

async fn create(bus: &Bus, wish: &StreamWish, layout: Layout) -> Result<Info, Error> {
    let name = wish.create_as.as_str();
    let remedy = create_command(name, &layout.subjects);
    let config = Config {
        name: name.to_owned(),
        subjects: layout.subjects.clone(),
        sources: sources(&layout),
        description: Some(format!("{MARK}: the events it folds, in order")),
        storage: StorageType::File,
        retention: RetentionPolicy::Limits,
        max_bytes: -1,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        max_message_size: -1,
        num_replicas: 1,
        ..Config::default()
    };
    let what = format!("create stream {name:?}");
    let made: Result<Info, Asked> = bus.api(&what, format!("STREAM.CREATE.{name}"), &config).await;
    let made = made.map_err(|asked| with_remedy(asked, &what, &remedy))?;
    tracing::info!(stream = name, subjects = %quoted(&made.config.subjects), "created the stream");
    Ok(made)
}

async fn widen(bus: &Bus, info: Info, layout: Layout) -> Result<Info, Error> {
    let mut config = info.config;
    let name = config.name.clone();
    config.subjects = layout.subjects.clone();
    config.sources = sources(&layout);
    let what = format!("widen stream {name:?}");
    let remedy = format!("nats stream edit {name} --subjects {}", quoted([layout.subjects.join(",")]));
    let made: Result<Info, Asked> = bus.api(&what, format!("STREAM.UPDATE.{name}"), &config).await;
    let made = made.map_err(|asked| with_remedy(asked, &what, &remedy))?;
    tracing::info!(stream = name, subjects = %quoted(&made.config.subjects), "widened the stream");
    Ok(made)
}

/// A refused change of a stream ends with the command that someone with the right can type.
fn with_remedy(asked: Asked, what: &str, remedy: &str) -> Error {
    match asked.error {
        Error::NotAllowed { why, .. } => {
            Error::NoStream(format!("not allowed to {what} ({why}); have it done with: {remedy}"))
        }
        Error::Broker { why, .. } => Error::NoStream(format!("cannot {what}: {why}; have it done with: {remedy}")),
        other => other,
    }
}

fn create_command(name: &str, subjects: &[String]) -> String {
    format!("nats stream add {name} --subjects \"{}\" --storage file --defaults", subjects.join(","))
}

fn sources(layout: &Layout) -> Option<Vec<Source>> {
    let all: Vec<Source> = layout
        .sources
        .iter()
        .map(|s| Source { name: s.stream.clone(), filter_subject: s.filter.clone(), ..Source::default() })
        .collect();
    (!all.is_empty()).then_some(all)
}

fn notes(info: &Info, wish: &StreamWish, partly: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let stream = Seen::of(info);
    let name = &stream.name;
    let mut notes = Vec::new();
    for (subject, holders) in partly {
        notes.push(format!(
            "subject \"{subject}\" is held in part by stream {}: only that part is received",
            quoted(holders)
        ));
    }
    // Where a stream takes other streams in whole, what it holds cannot be told from here.
    let opaque = stream.mirror || stream.sources.iter().any(|s| s.filter.is_none());
    let missing: Vec<&String> =
        wish.subjects.iter().filter(|w| !partly.contains_key(*w) && !stream.holds(w, &[])).collect();
    if !opaque && !missing.is_empty() {
        notes.push(format!("stream {name:?} does not hold {}: those events are not seen", quoted(missing)));
    }
    if stream.ours && stream.subjects.iter().any(|s| covers(s, "sh.keptn.>")) {
        notes.push(format!(
            "stream {name:?} holds \"sh.keptn.>\", so Keptn's shipyard-controller cannot make its own stream; \
             where Keptn is still to come, start with --stream keptn, which waits for Keptn's"
        ));
    }
    match info.config.retention {
        RetentionPolicy::Limits => {}
        RetentionPolicy::Interest | RetentionPolicy::WorkQueue => notes.push(format!(
            "stream {name:?} deletes messages once they are acknowledged: a lost store cannot be rebuilt from it"
        )),
    }
    if info.config.storage == StorageType::Memory {
        notes.push(format!("stream {name:?} lives in the broker's memory: a restart of the broker empties it"));
    }
    notes
}
