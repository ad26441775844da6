//! A page of the list of sequences.

use std::collections::HashMap;
use std::sync::Arc;

use super::read;
use super::recent::Summary;
use super::view::SequenceView;
use crate::domain::ids::Position;
use crate::domain::row::{Entry, Head, Mark, Row};
use crate::domain::time::Time;
use crate::domain::timeline::State as SequenceState;
use crate::query::list::List;
use crate::query::{Problem, State};

/// What one request may cost ([`read::cost`]), give or take one context.
const SCAN: usize = 20_000;

/// Marks that are taken from the index at once.
const CHUNK: usize = 512;

/// What a request asks of the sequences.
pub struct Wanted {
    /// Contexts themselves.
    pub contexts: Vec<String>,
    pub projects: Vec<String>,
    /// Any of the stages that the context went through.
    pub stages: Vec<String>,
    pub services: Vec<String>,
    /// Names of sequences.
    pub names: Vec<String>,
    pub states: Vec<SequenceState>,
    pub results: Vec<&'static str>,
    pub from: Option<Time>,
    pub before: Option<Time>,
}

fn any(wanted: &[String], value: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|w| w == value)
}

impl Wanted {
    fn fits(&self, view: &SequenceView) -> bool {
        let result = view.result.as_deref();
        any(&self.projects, &view.project)
            && any(&self.services, &view.service)
            && any(&self.names, &view.name)
            && (self.stages.is_empty() || view.stages.iter().any(|stage| self.stages.contains(&stage.name)))
            && (self.states.is_empty() || self.states.contains(&view.state))
            && (self.results.is_empty() || self.results.iter().any(|wanted| Some(*wanted) == result))
            && view.triggered_at.is_none_or(|at| self.in_time(at))
    }

    fn in_time(&self, at: Time) -> bool {
        self.from.is_none_or(|from| at >= from) && self.before.is_none_or(|before| at < before)
    }

    /// Whether a context whose first sequence began with this event can fit. The events of that context need not be read to know.
    fn may_begin_with(&self, head: &Head, stream_time: Time) -> bool {
        let text = |wanted: &[String], value: &str| value.is_empty() || any(wanted, value);
        text(&self.projects, &head.project)
            && text(&self.services, &head.service)
            && head.sequence().is_some_and(|name| any(&self.names, name))
            && self.in_time(head.time.unwrap_or(stream_time))
    }
}

/// One page, behind `after` or else with the newest.
pub fn list(
    state: &State,
    wanted: &Wanted,
    limit: usize,
    offset: usize,
    after: Option<Position>,
) -> Result<List<SequenceView>, Problem> {
    let mut page =
        Page { data: Vec::new(), last: after.unwrap_or(Position::MAX), limit, skip: offset, met: 0, next: None };
    if after.is_some() {
        page.skip = 0;
    }
    if wanted.contexts.is_empty() {
        walk(state, wanted, &mut page)?;
    } else {
        named(state, wanted, &mut page)?;
    }
    let offset = if after.is_some() { 0 } else { offset };
    let next_cursor = page.next.map(|p| p.to_string());
    Ok(List { data: page.data, total: page.met, limit, offset, next_cursor })
}

/// A page being filled, from the newest entry to the oldest.
struct Page {
    data: Vec<SequenceView>,
    /// Where the last entry stands, or what was given as the cursor.
    last: Position,
    limit: usize,
    skip: usize,
    /// Entries that fit, with those left out.
    met: u64,
    next: Option<Position>,
}

impl Page {
    /// Takes in the entry that stands at `at`. False where the page was full: the rest is for the next one.
    fn take(&mut self, at: Position, view: &SequenceView) -> bool {
        if self.data.len() == self.limit {
            self.next = Some(self.last);
            return false;
        }
        self.met += 1;
        if self.skip > 0 {
            self.skip -= 1;
        } else {
            self.data.push(view.clone());
        }
        self.last = at;
        true
    }
}

/// The contexts that are asked for by name.
fn named(state: &State, wanted: &Wanted, page: &mut Page) -> Result<(), Problem> {
    let mut contexts = wanted.contexts.clone();
    contexts.sort_unstable();
    contexts.dedup();
    let mut found = Vec::new();
    let mut spent = 0;
    for context in &contexts {
        if spent >= SCAN {
            let details = "the contexts have too many events for one answer; ask for fewer at once";
            return Err(Problem::parameter("keptnContext", details));
        }
        let (summary, cost) = summary(state, context)?;
        spent += cost;
        if let Some(start) = summary.start
            && start < page.last
            && summary.view.as_ref().is_some_and(|view| wanted.fits(view))
        {
            found.push((start, summary));
        }
    }
    found.sort_unstable_by_key(|(start, _)| std::cmp::Reverse(*start));
    for (start, summary) in found {
        if summary.view.as_ref().is_some_and(|view| !page.take(start, view)) {
            break;
        }
    }
    Ok(())
}

/// All contexts, back from the newest event of a sequence.
fn walk(state: &State, wanted: &Wanted, page: &mut Page) -> Result<(), Problem> {
    let mut met: HashMap<String, Arc<Summary>> = HashMap::new();
    let (mut before, mut spent) = (page.last, 0);
    loop {
        let marked = state.reader.newest_positions(Mark::Sequences.hash(), before, CHUNK)?;
        if marked.is_empty() {
            return Ok(());
        }
        for position in marked.into_iter().rev() {
            if spent >= SCAN {
                page.next = Some(before);
                return Ok(());
            }
            before = position;
            let Some(row) = state.reader.row(position)? else { continue };
            spent += read::cost(&row);
            let Some(head) = head(&row).filter(|head| wanted.may_begin_with(head, row.stream_time)) else { continue };
            let Some(context) = &head.context else { continue };
            let summary = match met.get(context) {
                Some(summary) => summary.clone(),
                None => {
                    let (summary, cost) = summary(state, context)?;
                    spent += cost;
                    met.insert(context.clone(), summary.clone());
                    summary
                }
            };
            // A context stands where its first sequence began, so that its place stays the same as it goes on.
            let view = summary.view.as_ref().filter(|view| summary.start == Some(position) && wanted.fits(view));
            if view.is_some_and(|view| !page.take(position, view)) {
                return Ok(());
            }
        }
    }
}

fn head(row: &Row) -> Option<&Head> {
    match &row.entry {
        Entry::Event(recorded) => recorded.head.as_ref(),
        Entry::Own(_) => None,
    }
}

/// A context in short, and what it cost.
fn summary(state: &State, context: &str) -> Result<(Arc<Summary>, usize), Problem> {
    let mark = Mark::Context(context).hash();
    let last = state.reader.newest_positions(mark, Position::MAX, 1)?.pop().unwrap_or_default();
    if let Some(kept) = state.sequences.get(context, last) {
        // Retention may have taken the line where it stands.
        let stands = kept.start.map(|start| state.reader.row(start)).transpose()?;
        if stands.is_none_or(|row| row.is_some()) {
            return Ok((kept, 1));
        }
    }
    let lines = read::lines(state, context)?;
    let cost = lines.cost;
    let start = lines.lines.iter().find(|line| line.is_of_sequence()).map(|line| line.position);
    let view = SequenceView::of(read::timeline(state, context, lines));
    let summary = Arc::new(Summary { last, start, view });
    state.sequences.keep(context, &summary);
    Ok((summary, cost))
}
