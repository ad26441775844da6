//! The issues as they were: `?at=` of the list and of one issue.
//!
//! Every change in the journal holds the record that it found. So a key that has changed since a moment was then what the first
//! of those changes found, and all others were what they are. The cost is that of reading the journal from that moment on; what
//! was read is kept for the next page, and goes on with what comes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::filter::cursor;
use super::issues::find_in;
use super::list::List;
use super::params::Params;
use super::{Problem, State};
use crate::domain::ids::{KeyId, Position};
use crate::domain::issue::{Key, View};
use crate::domain::row::{Entry, Mark};
use crate::domain::time::Time;
use crate::store::catalog::select::{Filter, Page};
use crate::store::catalog::view::view_then;
use crate::store::catalog::{Catalog, Past};
use crate::store::{Kept, Reader};

/// Moments kept.
const KEPT: usize = 4;

/// Changed issues that all kept moments hold together, at most: each is a second record in memory.
const ISSUES: usize = 200_000;

/// Lines of the journal between a moment and now, at most.
const LINES: usize = 5_000_000;

/// What a list of the past was made from.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AsOf {
    /// The moment asked for.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// The first stream sequence that does not count any more; null where all of now counts.
    pub before: Option<String>,
    /// Issues that were resolved and have not changed since before this moment may have been removed by retention, and are
    /// missing; null where none are removed.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub resolved_since: Option<Time>,
}

/// A page of issues.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Issues {
    #[serde(flatten)]
    list: List<View>,
    /// Which past this is; only with `at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<AsOf>,
}

/// One issue.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Issue {
    #[serde(flatten)]
    view: View,
    /// Which past this is; only with `at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<AsOf>,
}

/// The moments that were asked for last.
#[derive(Default)]
pub struct Pasts {
    kept: Mutex<VecDeque<Arc<Moment>>>,
    /// One is read at a time.
    reading: Arc<tokio::sync::Mutex<()>>,
}

/// What has happened since a moment.
struct Moment {
    /// The first line that does not count.
    before: Position,
    since: Mutex<Since>,
    /// How many issues that are, without waiting for whoever reads.
    issues: AtomicUsize,
}

impl Moment {
    fn new(before: Position, since: Since) -> Moment {
        Moment { before, issues: AtomicUsize::new(since.past.len()), since: Mutex::new(since) }
    }
}

struct Since {
    past: Past,
    /// The next line to read.
    next: Position,
    lines: usize,
}

impl Since {
    fn new(next: Position) -> Since {
        Since { past: Past::default(), next, lines: 0 }
    }

    /// Reads on to the last line; `key` says what an id stands for.
    fn follow(&mut self, reader: &Reader, key: impl Fn(KeyId) -> Option<Key>) -> Result<(), Problem> {
        for row in reader.rows_from(self.next) {
            let row = row?;
            self.next = Position::from_u64(row.position.to_u64().saturating_add(1));
            self.lines += 1;
            if self.lines > LINES {
                let details = format!("more than {LINES} events have come since; ask for a later moment");
                return Err(Problem::parameter("at", details));
            }
            let Entry::Event(recorded) = &row.entry else { continue };
            for change in &recorded.decision.changes {
                let named = recorded.decision.key.as_ref().filter(|key| key.id() == change.key);
                self.past.note(change.key, change.before.as_ref(), || named.cloned().or_else(|| key(change.key)));
            }
        }
        Ok(())
    }
}

/// What an id stands for, where retention has removed the record as well: some line about it has the key.
fn key_of(reader: &Reader, id: KeyId) -> Option<Key> {
    let known = reader.catalog().get(id).map(|state| state.key.clone());
    known.or_else(|| {
        let rows = reader.rows(Mark::Key(id).hash()).unwrap_or_default();
        rows.iter().find_map(|row| match &row.entry {
            Entry::Event(recorded) => recorded.decision.key.clone().filter(|key| key.id() == id),
            Entry::Own(_) => None,
        })
    })
}

impl Pasts {
    fn get(&self, before: Position) -> Option<Arc<Moment>> {
        self.kept.lock().iter().find(|moment| moment.before == before).cloned()
    }

    fn keep(&self, moment: Arc<Moment>) {
        let mut kept = self.kept.lock();
        kept.push_back(moment);
        let issues = |kept: &VecDeque<Arc<Moment>>| kept.iter().map(|m| m.issues.load(Relaxed)).sum::<usize>();
        while kept.len() > 1 && (kept.len() > KEPT || issues(&kept) > ISSUES) {
            kept.pop_front();
        }
    }

    fn read(&self, reader: &Reader, before: Position) -> Result<Arc<Moment>, Problem> {
        let mut since = Since::new(before);
        since.follow(reader, |id| key_of(reader, id))?;
        let moment = Arc::new(Moment::new(before, since));
        self.keep(moment.clone());
        Ok(moment)
    }
}

/// Answers from what was, with the catalogue of now at hand.
async fn then<T: Send + 'static>(
    state: State,
    at: Time,
    answer: impl FnOnce(&Past, &Catalog, AsOf) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let (kept, before, last) = state.clone().reading(move |state| locate(&state.reader, at)).await?;
    let as_of = AsOf { at, before: before.map(|line| line.to_string()), resolved_since: kept.resolved };
    let moment = match before {
        // All of now counts; what comes from here on does not.
        None => {
            let next = last.map_or(0, |last| last.to_u64().saturating_add(1));
            Arc::new(Moment::new(Position::MAX, Since::new(Position::from_u64(next))))
        }
        Some(before) => match state.pasts.get(before) {
            Some(moment) => moment,
            None => {
                // Kept by the work itself: where it takes longer than an answer may, the next request finds it done.
                let turn = state.pasts.reading.clone().lock_owned().await;
                let read = move |state: &State| {
                    let _turn = turn;
                    state.pasts.get(before).map_or_else(|| state.pasts.read(&state.reader, before), Ok)
                };
                state.clone().reading(read).await?
            }
        },
    };
    state
        .reading(move |state| {
            let mut since = moment.since.lock();
            let reader = &state.reader;
            // Most of what has come since without holding up the fold, the rest with both standing still.
            since.follow(reader, |id| key_of(reader, id))?;
            let now = reader.settled();
            since.follow(reader, |id| now.get(id).map(|state| state.key.clone()))?;
            since.past.follow(&now);
            moment.issues.store(since.past.len(), Relaxed);
            if moment.before < reader.progress().oldest {
                return Err(Problem::gone("too long ago", "what was then has just been removed"));
            }
            answer(&since.past, &now, as_of)
        })
        .await
}

/// Where a moment lies: what is kept at all, the first line behind it, and the last line.
fn locate(reader: &Reader, at: Time) -> Result<(Kept, Option<Position>, Option<Position>), Problem> {
    let last = reader.progress().last;
    let before = reader.first_line_after(at)?;
    // Asked for last: what is removed meanwhile is noticed.
    let kept = reader.kept()?;
    if let Some(oldest) = kept.changes.filter(|oldest| at < *oldest) {
        let details = format!("what was before {oldest} is not kept any more");
        return Err(Problem::gone("too long ago", details));
    }
    Ok((kept, before, last))
}

/// A page of the issues as they were.
pub async fn list(state: State, at: Time, filter: Filter, page: Page) -> Result<Issues, Problem> {
    then(state, at, move |past, now, as_of| {
        let selection = past.select(now, &filter, &page);
        let data = selection.issues.iter().filter_map(|state| view_then(past, now, state)).collect();
        let next_cursor = selection.next.map(|key| cursor(page.order, key));
        let list = List { data, total: selection.total, limit: page.limit, offset: page.offset, next_cursor };
        Ok(Issues { list, as_of: Some(as_of) })
    })
    .await
}

/// One issue as it was.
pub async fn one(state: State, at: Time, id: String, params: Params) -> Result<Issue, Problem> {
    then(state, at, move |past, now, as_of| {
        let found = find_in(&id, &params, |n| past.numbered(now, n), |id| past.get(now, id))?;
        let view = view_then(past, now, &found).ok_or_else(Problem::internal)?;
        Ok(Issue { view, as_of: Some(as_of) })
    })
    .await
}
