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
use super::subjects::{covers, intersection};
use super::{Error, StreamWish};
use crate::domain::stream::StreamIdentity;

/// How a stream of our own is told from one that merely has the name.
const MARK: &str = "Made by Shipwatch";

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

/// The stream as it is now.
pub(super) async fn info(bus: &Bus, name: &str) -> Result<Info, Asked> {
    if name.is_empty() || name.contains(['.', '*', '>', ' ', '/', '\\']) {
        return Err(Error::Settings(format!("{name:?} is not a stream name")).into());
    }
    bus.api(&format!("read stream {name:?}"), format!("STREAM.INFO.{name}"), &json!({})).await
}

async fn list(bus: &Bus) -> Result<Vec<Info>, Error> {
    #[derive(Deserialize)]
    struct Page {
        total: usize,
        #[serde(default)]
        streams: Option<Vec<Info>>,
    }
    let mut all = Vec::new();
    loop {
        let page: Page = bus.api("list streams", "STREAM.LIST".into(), &json!({"offset": all.len()})).await?;
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

/// A stream as far as the choice looks at it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    name: String,
    subjects: Vec<String>,
    sources: Vec<SourceOf>,
    ours: bool,
    mirror: bool,
}

/// A stream that is sourced, and which of its subjects; none is all.
#[derive(Clone, Debug, PartialEq)]
struct SourceOf {
    stream: String,
    filter: Option<String>,
}

/// Own subjects and sources of our stream.
#[derive(Clone, Debug, Default, PartialEq)]
struct Layout {
    subjects: Vec<String>,
    sources: Vec<SourceOf>,
}

#[derive(Debug, PartialEq)]
enum Plan {
    Use(String),
    Create(Layout),
    Widen(Layout),
}

impl Seen {
    fn of(info: &Info) -> Seen {
        let config = &info.config;
        let sources = config.sources.iter().flatten().map(|s| SourceOf {
            stream: s.name.clone(),
            filter: s.filter_subject.clone().filter(|f| !f.is_empty() && f != ">"),
        });
        Seen {
            name: config.name.clone(),
            subjects: config.subjects.clone(),
            sources: sources.collect(),
            ours: config.description.as_deref().is_some_and(|d| d.starts_with(MARK)),
            mirror: config.mirror.is_some(),
        }
    }

    /// Whether all messages on `subject` end up in this stream, as far as its own configuration tells.
    fn holds(&self, subject: &str, all: &[Seen]) -> bool {
        self.subjects.iter().any(|s| covers(s, subject))
            || self.sources.iter().any(|source| match &source.filter {
                Some(filter) => covers(filter, subject),
                None => {
                    let origin = all.iter().find(|s| s.name == source.stream);
                    origin.is_some_and(|o| o.subjects.iter().any(|s| covers(s, subject)))
                }
            })
    }

    fn holds_all(&self, wish: &StreamWish, all: &[Seen]) -> bool {
        wish.subjects.iter().all(|w| self.holds(w, all))
    }
}

/// Decides what to do, and which wished subjects can be had only in part (subject to the streams in the way).
fn plan(
    wish: &StreamWish,
    all: &[Seen],
    last: Option<&str>,
    many_filters: bool,
) -> (Plan, BTreeMap<String, Vec<String>>) {
    let mut partly = BTreeMap::new();
    let ours = all.iter().find(|s| s.name == wish.create_as);
    let whole = |name: &str| all.iter().any(|s| s.name == name && s.holds_all(wish, all));
    if let Some(last) = last.filter(|l| whole(l)) {
        return (Plan::Use(last.to_owned()), partly);
    }
    if let Some(other) = all.iter().find(|s| !s.mirror && s.holds_all(wish, all)) {
        let name = ours.filter(|o| o.holds_all(wish, all)).unwrap_or(other).name.clone();
        return (Plan::Use(name), partly);
    }
    if let Some(ours) = ours.filter(|o| !o.ours) {
        // Somebody made a stream by our name: it is theirs, and used as it is.
        return (Plan::Use(ours.name.clone()), partly);
    }
    let mut layout =
        ours.map_or_else(Layout::default, |o| Layout { subjects: o.subjects.clone(), sources: o.sources.clone() });
    let before = layout.clone();
    for subject in &wish.subjects {
        if ours.is_some_and(|o| o.holds(subject, all)) || layout.subjects.iter().any(|s| covers(s, subject)) {
            continue;
        }
        let mut holders = Vec::new();
        let mut complete = false;
        for other in all.iter().filter(|s| s.name != wish.create_as && !s.mirror) {
            for both in other.subjects.iter().filter_map(|s| intersection(s, subject)) {
                complete |= both == *subject;
                holders.push(SourceOf { stream: other.name.clone(), filter: Some(both) });
            }
        }
        if holders.is_empty() {
            // A wider subject swallows narrower ones we have.
            layout.subjects.retain(|s| !covers(subject, s));
            layout.subjects.push(subject.clone());
            continue;
        }
        if !complete {
            let names = holders.iter().map(|h| h.stream.clone()).collect();
            partly.insert(subject.clone(), names);
        }
        for holder in holders {
            add_source(&mut layout.sources, holder, many_filters);
        }
    }
    match ours {
        None => (Plan::Create(layout), partly),
        Some(ours) if layout == before => (Plan::Use(ours.name.clone()), partly),
        Some(_) => (Plan::Widen(layout), partly),
    }
}

/// Adds a source. Brokers before 2.10 take a stream as source only once, with one filter: there it comes in whole, and
/// what nobody asked for is passed over by the fold.
fn add_source(sources: &mut Vec<SourceOf>, new: SourceOf, many_filters: bool) {
    let covered = |old: &SourceOf| match (&old.filter, &new.filter) {
        (None, _) => true,
        (Some(old), Some(new)) => covers(old, new),
        (Some(_), None) => false,
    };
    if sources.iter().any(|s| s.stream == new.stream && covered(s)) {
        return;
    }
    let wider = |old: &SourceOf| match (&old.filter, &new.filter) {
        (_, None) => true,
        (Some(old), Some(new)) => covers(new, old),
        (None, Some(_)) => false,
    };
    sources.retain(|s| s.stream != new.stream || !wider(s));
    match sources.iter_mut().find(|s| s.stream == new.stream) {
        Some(old) if !many_filters => old.filter = None,
        _ => sources.push(new),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(subjects: &[&str]) -> StreamWish {
        StreamWish { subjects: subjects.iter().map(|s| (*s).to_owned()).collect(), ..StreamWish::default() }
    }

    fn seen(name: &str, subjects: &[&str]) -> Seen {
        let subjects = subjects.iter().map(|s| (*s).to_owned()).collect();
        Seen { name: name.into(), subjects, ours: name == "shipwatch", ..Seen::default() }
    }

    fn source(stream: &str, filter: &str) -> SourceOf {
        SourceOf { stream: stream.into(), filter: Some(filter.into()) }
    }

    fn layout(subjects: &[&str], sources: &[SourceOf]) -> Layout {
        Layout { subjects: subjects.iter().map(|s| (*s).to_owned()).collect(), sources: sources.to_vec() }
    }

    #[test]
    fn nobody_has_anything() {
        let plan = plan(&wish(&["sh.keptn.>", "dev.x.>"]), &[], None, true).0;
        assert_eq!(plan, Plan::Create(layout(&["sh.keptn.>", "dev.x.>"], &[])));
    }

    #[test]
    fn a_stream_that_has_all_is_used_as_it_is() {
        let all = [seen("a", &["sh.>"]), seen("ci", &["dev.>", "sh.>"])];
        assert_eq!(plan(&wish(&["sh.keptn.>", "dev.x.>"]), &all, None, true).0, Plan::Use("ci".into()));
    }

    #[test]
    fn what_others_hold_is_sourced() {
        let all = [seen("keptn", &["sh.keptn.>"])];
        let plan = plan(&wish(&["sh.keptn.>", "dev.x.>"]), &all, None, true).0;
        assert_eq!(plan, Plan::Create(layout(&["dev.x.>"], &[source("keptn", "sh.keptn.>")])));
    }

    #[test]
    fn our_own_stream_is_widened_and_another_one_by_its_name_is_not() {
        let wish = wish(&["sh.keptn.>", "dev.x.>"]);
        let ours = seen("shipwatch", &["sh.keptn.>"]);
        let all = [ours.clone()];
        assert_eq!(plan(&wish, &all, None, true).0, Plan::Widen(layout(&["sh.keptn.>", "dev.x.>"], &[])));
        let theirs = [Seen { ours: false, ..ours }];
        assert_eq!(plan(&wish, &theirs, None, true).0, Plan::Use("shipwatch".into()));
    }

    #[test]
    fn our_own_stream_that_has_all_by_its_sources_is_left_alone() {
        let mut ours = seen("shipwatch", &["dev.x.>"]);
        ours.sources.push(source("keptn", "sh.keptn.>"));
        let all = [seen("keptn", &["sh.keptn.>"]), ours];
        assert_eq!(plan(&wish(&["sh.keptn.>", "dev.x.>"]), &all, None, true).0, Plan::Use("shipwatch".into()));
    }

    #[test]
    fn a_subject_held_in_part_is_named() {
        let all = [seen("cd", &["dev.cdevents.build.>"])];
        let (plan, partly) = plan(&wish(&["dev.cdevents.>"]), &all, None, true);
        assert_eq!(plan, Plan::Create(layout(&[], &[source("cd", "dev.cdevents.build.>")])));
        assert_eq!(partly["dev.cdevents.>"], ["cd"]);
    }

    #[test]
    fn old_brokers_take_a_stream_whole_where_it_has_two_of_our_subjects() {
        let all = [seen("ci", &["a.>", "b.>", "c.>"])];
        let wish = wish(&["a.>", "b.>", "d.>"]);
        let new = layout(&["d.>"], &[source("ci", "a.>"), source("ci", "b.>")]);
        assert_eq!(plan(&wish, &all, None, true).0, Plan::Create(new));
        let old = layout(&["d.>"], &[SourceOf { stream: "ci".into(), filter: None }]);
        assert_eq!(plan(&wish, &all, None, false).0, Plan::Create(old));
    }

    #[test]
    fn the_stream_folded_so_far_is_kept() {
        let all = [seen("a", &["x.>"]), seen("b", &["x.>"])];
        assert_eq!(plan(&wish(&["x.>"]), &all, Some("b"), true).0, Plan::Use("b".into()));
        assert_eq!(plan(&wish(&["x.>"]), &all, Some("gone"), true).0, Plan::Use("a".into()));
    }
}
