//! How many issues opened and were resolved each day, and how long that took.
//!
//! Counted from the changes in the journal. What has been counted is kept, so that a request reads only the lines that came since
//! the one before it; a start counts anew.

use std::collections::BTreeMap;
use std::ops::Bound;

use axum::extract::{RawQuery, State as From};
use axum::response::Response;
use chrono::{DateTime, Days, NaiveDate, Utc};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::list::json;
use super::params::Params;
use super::{Problem, State};
use crate::domain::decision::Change;
use crate::domain::ids::Position;
use crate::domain::issue::ChangeKind;
use crate::domain::row::{Entry, Row};
use crate::domain::time::Time;
use crate::store::Direction;

/// Days that are counted.
const DAYS: usize = 90;

/// Days shown where the request does not say.
const MONTH: usize = 30;

/// Journal lines that one request reads, at most.
const SCAN: usize = 200_000;

/// Issues that opened and were resolved, day by day.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trend {
    /// One entry a day, oldest first; the last one is today.
    pub data: Vec<Day>,
    /// Seconds that half of all resolved issues took at most; null where none was resolved.
    pub median_seconds: Option<u64>,
    /// Everything that the stream took since then is counted; null where the whole journal is.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Time>,
}

/// One day, in UTC.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Day {
    /// Which.
    #[schema(value_type = String, format = Date)]
    pub day: NaiveDate,
    /// Issues that had not been there before.
    pub opened: u64,
    /// Issues that were resolved and came back.
    pub reopened: u64,
    /// Issues that were resolved.
    pub resolved: u64,
    /// Seconds from the failure that opened the episode to its end: half of them took no longer. Null where none was resolved.
    pub median_seconds: Option<u64>,
    /// The longest of them.
    pub longest_seconds: Option<u64>,
}

/// What is counted for a day and a namespace.
#[derive(Debug, Default)]
struct Count {
    opened: u64,
    reopened: u64,
    /// Seconds that each took.
    resolved: Vec<u32>,
}

/// What has been counted so far.
#[derive(Debug, Default)]
pub struct Counted {
    inner: Mutex<Counts>,
}

/// Days, and how far they have been counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    days: BTreeMap<NaiveDate, BTreeMap<String, Count>>,
    /// The newest line that is counted; none before the first time.
    reached: Option<Position>,
    since: Option<Time>,
}

/// Opened and resolved issues of each day (UTC, by the time of the event that did it), and the time that resolving took. `?days=`
/// (30, at most 90) back from today, `?namespace=` only of some. Counted from the journal: what retention has removed is not in it,
/// and of a long journal the newest 200,000 lines are; `since` says from when on it is complete.
#[utoipa::path(get, path = "/api/v1/issues/trend", tag = "issues",
    params(("days" = Option<u32>, Query, minimum = 1, maximum = 90), ("namespace" = Option<String>, Query)),
    responses((status = 200, body = Trend), (status = 400, body = Problem)))]
pub async fn trend(From(state): From<State>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let params = Params::read(query.as_deref(), &["days", "namespace"])?;
    let days = params.number(&["days"], MONTH, DAYS)?;
    let namespaces = params.many("namespace");
    let today = Utc::now().date_naive();
    let found = state.reading(move |state| {
        let mut counts = state.counted.inner.lock();
        counts.catch_up(state, today)?;
        Ok(counts.trend(today, days, &namespaces))
    });
    Ok(json(&found.await?))
}

fn before(today: NaiveDate, days: usize) -> NaiveDate {
    today.checked_sub_days(Days::new(days as u64)).unwrap_or(today)
}

fn day_of(time: Time) -> NaiveDate {
    DateTime::<Utc>::from(time).date_naive()
}

impl Counts {
    /// Counts the lines that have come since the last time.
    pub(super) fn catch_up(&mut self, state: &State, today: NaiveDate) -> Result<(), Problem> {
        let counted = match self.reached {
            Some(reached) => self.go_on(state, reached, today),
            None => self.begin(state, today),
        };
        if counted.is_err() {
            // A part of the lines would be counted for the whole.
            *self = Counts::default();
        }
        let oldest = before(today, DAYS);
        self.days.retain(|day, _| *day > oldest);
        counted
    }

    fn go_on(&mut self, state: &State, reached: Position, today: NaiveDate) -> Result<(), Problem> {
        let rest = (Bound::Excluded(reached), Bound::Unbounded);
        for (read, row) in state.reader.journal(rest, Direction::Forward).enumerate() {
            if read == SCAN {
                // Too far behind to go on from there.
                *self = Counts::default();
                return self.begin(state, today);
            }
            let row = row?;
            self.reached = Some(row.position);
            self.count(state, &row);
        }
        Ok(())
    }

    /// Counts back from the newest line.
    fn begin(&mut self, state: &State, today: NaiveDate) -> Result<(), Problem> {
        let oldest = before(today, DAYS);
        let mut last = None;
        for (read, row) in state.reader.journal(.., Direction::Backward).enumerate() {
            let row = row?;
            if read == SCAN || day_of(row.stream_time) < oldest {
                self.since = last;
                break;
            }
            self.reached = self.reached.or(Some(row.position));
            last = Some(row.stream_time);
            self.count(state, &row);
        }
        Ok(())
    }

    fn count(&mut self, state: &State, row: &Row) {
        let Entry::Event(recorded) = &row.entry else { return };
        let decision = &recorded.decision;
        for change in &decision.changes {
            let Some(kind) = change.kind else { continue };
            if matches!(kind, ChangeKind::Updated | ChangeKind::Withdrawn) {
                continue;
            }
            // A key that retention has removed since then counts under no namespace.
            let key = state.reader.catalog().get(change.key);
            let namespace = key.map(|key| key.key.namespace.clone()).unwrap_or_default();
            let count = self.days.entry(day_of(decision.at)).or_default().entry(namespace).or_default();
            match kind {
                ChangeKind::Opened => count.opened += 1,
                ChangeKind::Reopened => count.reopened += 1,
                ChangeKind::Resolved => count.resolved.push(took(change, decision.at)),
                ChangeKind::Updated | ChangeKind::Withdrawn => {}
            }
        }
    }

    /// The last `days`, up to today.
    pub(super) fn trend(&self, today: NaiveDate, days: usize, namespaces: &[String]) -> Trend {
        let mut all = Vec::new();
        let mut day = |back: usize| {
            let day = before(today, back);
            let mut sum = Count::default();
            for (namespace, count) in self.days.get(&day).into_iter().flatten() {
                if namespaces.is_empty() || namespaces.contains(namespace) {
                    sum.opened += count.opened;
                    sum.reopened += count.reopened;
                    sum.resolved.extend(&count.resolved);
                }
            }
            all.extend(&sum.resolved);
            Day {
                day,
                opened: sum.opened,
                reopened: sum.reopened,
                resolved: sum.resolved.len() as u64,
                longest_seconds: sum.resolved.iter().max().map(|s| u64::from(*s)),
                median_seconds: median(&mut sum.resolved),
            }
        };
        let data = (0..days).rev().map(&mut day).collect();
        Trend { data, median_seconds: median(&mut all), since: self.since }
    }
}

/// The one in the middle, of an even number the smaller.
fn median(seconds: &mut [u32]) -> Option<u64> {
    let middle = seconds.len().checked_sub(1)? / 2;
    let (_, median, _) = seconds.select_nth_unstable(middle);
    Some(u64::from(*median))
}

/// Seconds from the beginning of the episode that a change ends.
fn took(change: &Change, at: Time) -> u32 {
    let began = change.before.as_ref().and_then(|before| Some(before.issue.as_ref()?.detected_at));
    began.map_or(0, |began| at.seconds_since(began).clamp(0.0, f64::from(u32::MAX)) as u32)
}
