//! Deciding which stream to read and what to make, from what is there. Pure, so that every case is a test.

use std::collections::BTreeMap;

use async_nats::jetstream::stream::Info;

use super::StreamWish;
use super::subjects::{covers, intersection};

/// How a stream of our own is told from one that merely has the name.
pub(super) const MARK: &str = "Made by Shipwatch";

/// A stream as far as the choice looks at it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen {
    pub name: String,
    pub subjects: Vec<String>,
    pub sources: Vec<SourceOf>,
    pub ours: bool,
    pub mirror: bool,
}

/// A stream that is sourced, and which of its subjects; none is all.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SourceOf {
    pub stream: String,
    pub filter: Option<String>,
}

/// Own subjects and sources of our stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Layout {
    pub subjects: Vec<String>,
    pub sources: Vec<SourceOf>,
}

/// What to do.
#[derive(Debug, PartialEq)]
pub(super) enum Plan {
    Use(String),
    Create(Layout),
    Widen(Layout),
}

impl Seen {
    pub(super) fn of(info: &Info) -> Seen {
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
    pub(super) fn holds(&self, subject: &str, all: &[Seen]) -> bool {
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
pub(super) fn plan(
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
