//! Selecting issues: filters, order, page.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::catalog::{Catalog, Field};
use crate::domain::issue::{KeyState, Severity};
use crate::domain::time::Time;

/// Which issues. Values of one field are alternatives, fields must all fit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Allowed values per field.
    pub fields: Vec<(Field, Vec<String>)>,
    /// Detected at or after.
    pub detected_since: Option<Time>,
    /// Detected at or before.
    pub detected_until: Option<Time>,
    /// Changed at or after, by stream time.
    pub updated_since: Option<Time>,
    /// Stands in title or description, in any letter case.
    pub search: Option<String>,
}

/// What a list is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `detectedAt`.
    DetectedAt,
    /// `updatedAt`.
    UpdatedAt,
    /// `lastSeenAt`.
    LastSeenAt,
    /// `number`.
    Number,
    /// `severity`, then number.
    Severity,
}

/// A place in a sorted list: the sort key and the number of the last issue of a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// Time, where the list is sorted by one.
    pub time: Time,
    /// Severity, where the list is sorted by it.
    pub severity: Severity,
    /// The issue.
    pub number: u32,
}

/// Part of a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Page {
    /// What the list is sorted by.
    pub order: Order,
    /// The greatest first.
    pub descending: bool,
    /// Issues left out at the beginning.
    pub offset: usize,
    /// Begin behind this one, instead of leaving out a number of them.
    pub after: Option<Mark>,
    /// Issues of the page.
    pub limit: usize,
}

/// A page, and how many issues fit in all.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The page.
    pub issues: Vec<Arc<KeyState>>,
    /// Issues that fit.
    pub total: u64,
    /// Where the next page begins; none on the last.
    pub next: Option<Mark>,
}

/// Up to here, sorting what fits is cheaper than walking the order of all.
const FEW: u64 = 4096;

impl Catalog {
    /// Issues that fit a filter.
    pub fn fitting(&self, filter: &Filter) -> RoaringBitmap {
        let mut fit: Option<RoaringBitmap> = None;
        let mut and = |bits: RoaringBitmap| {
            fit = Some(match fit.take() {
                Some(so_far) => so_far & bits,
                None => bits,
            });
        };
        for (field, values) in &filter.fields {
            let mut any = RoaringBitmap::new();
            for bits in values.iter().filter_map(|v| self.value(*field, v)) {
                any |= bits;
            }
            and(any);
        }
        if filter.detected_since.is_some() || filter.detected_until.is_some() {
            and(within(&self.detected, filter.detected_since, filter.detected_until));
        }
        if filter.updated_since.is_some() {
            and(within(&self.updated, filter.updated_since, None));
        }
        let fit = fit.unwrap_or_else(|| self.all.clone());
        match filter.search.as_deref().map(str::to_lowercase) {
            Some(text) if !text.is_empty() => {
                let finder = memchr::memmem::Finder::new(&text);
                let has = |n: &u32| self.texts.get(n).is_some_and(|t| finder.find(t.as_bytes()).is_some());
                fit.iter().filter(has).collect()
            }
            _ => fit,
        }
    }

    /// One page of the issues that fit a filter.
    pub fn select(&self, filter: &Filter, page: &Page) -> Selection {
        let fit = self.fitting(filter);
        let total = fit.len();
        // One more than the page tells whether there is a next one.
        let want = page.limit + 1;
        let mut numbers: Vec<u32> = match page.order {
            Order::Number => self.by_number_order(&fit, page, want),
            Order::Severity => self.by_severity(&fit, page, want),
            order => match self.order(order) {
                Some(times) if total > FEW => walk(times, &fit, page, want),
                Some(_) => self.sorted(&fit, page, want),
                None => Vec::new(),
            },
        };
        let more = numbers.len() > page.limit;
        numbers.truncate(page.limit);
        let issues: Vec<_> = numbers.iter().filter_map(|n| self.by_number(*n)).collect();
        let next = issues.last().filter(|_| more).and_then(|state| mark(state, page.order));
        Selection { issues, total, next }
    }

    fn by_number_order(&self, fit: &RoaringBitmap, page: &Page, want: usize) -> Vec<u32> {
        let skip = if page.after.is_some() { 0 } else { page.offset };
        match (page.descending, page.after) {
            (true, None) => fit.iter().rev().skip(skip).take(want).collect(),
            (true, Some(after)) => {
                let below = fit.rank(after.number) as usize - usize::from(fit.contains(after.number));
                let first = below.saturating_sub(want);
                let mut page: Vec<u32> = fit.iter().skip(first).take(below - first).collect();
                page.reverse();
                page
            }
            (false, None) => fit.iter().skip(skip).take(want).collect(),
            (false, Some(after)) => fit.range(after.number.saturating_add(1)..).take(want).collect(),
        }
    }

    fn by_severity(&self, fit: &RoaringBitmap, page: &Page, want: usize) -> Vec<u32> {
        let mut severities = Severity::ALL.to_vec();
        if page.descending {
            severities.reverse();
        }
        let mut numbers = Vec::new();
        for severity in severities {
            if let Some(after) = page.after
                && (severity > after.severity) == page.descending
                && severity != after.severity
            {
                continue;
            }
            let Some(bits) = self.value(Field::Severity, severity.as_str()) else { continue };
            let bits = fit & bits;
            let within = Page { after: page.after.filter(|a| a.severity == severity), offset: 0, ..*page };
            let skipped = if page.after.is_none() { page.offset } else { 0 };
            numbers.extend(self.by_number_order(&bits, &within, skipped + want));
            if numbers.len() >= skipped + want {
                break;
            }
        }
        let skip = if page.after.is_none() { page.offset } else { 0 };
        numbers.into_iter().skip(skip).take(want).collect()
    }

    fn sorted(&self, fit: &RoaringBitmap, page: &Page, want: usize) -> Vec<u32> {
        let mut all: Vec<(Time, u32)> =
            fit.iter().filter_map(|n| Some((time(self.by_number(n)?.as_ref(), page.order)?, n))).collect();
        all.sort_unstable();
        if page.descending {
            all.reverse();
        }
        let start = match page.after {
            None => page.offset,
            Some(after) => {
                let at = (after.time, after.number);
                all.partition_point(|entry| if page.descending { *entry >= at } else { *entry <= at })
            }
        };
        all.into_iter().skip(start).take(want).map(|(_, n)| n).collect()
    }
}

fn within(times: &BTreeSet<(Time, u32)>, since: Option<Time>, until: Option<Time>) -> RoaringBitmap {
    let from = since.map_or(Bound::Unbounded, |t| Bound::Included((t, 0)));
    let to = until.map_or(Bound::Unbounded, |t| Bound::Included((t, u32::MAX)));
    if let (Some(since), Some(until)) = (since, until)
        && since > until
    {
        return RoaringBitmap::new();
    }
    times.range((from, to)).map(|(_, n)| *n).collect()
}

fn walk(times: &BTreeSet<(Time, u32)>, fit: &RoaringBitmap, page: &Page, want: usize) -> Vec<u32> {
    let skip = if page.after.is_some() { 0 } else { page.offset };
    let fits = |entry: &&(Time, u32)| fit.contains(entry.1);
    let at = page.after.map(|a| (a.time, a.number));
    let take = |entries: &mut dyn Iterator<Item = &(Time, u32)>| {
        entries.filter(fits).skip(skip).take(want).map(|(_, n)| *n).collect()
    };
    if page.descending {
        let to = at.map_or(Bound::Unbounded, Bound::Excluded);
        take(&mut times.range((Bound::Unbounded, to)).rev())
    } else {
        let from = at.map_or(Bound::Unbounded, Bound::Excluded);
        take(&mut times.range((from, Bound::Unbounded)))
    }
}

fn time(state: &KeyState, order: Order) -> Option<Time> {
    let issue = state.marks.issue.as_ref()?;
    Some(match order {
        Order::DetectedAt => issue.detected_at,
        Order::UpdatedAt => issue.updated_at,
        Order::LastSeenAt => issue.last_seen_at,
        Order::Number | Order::Severity => Time::EPOCH,
    })
}

fn mark(state: &KeyState, order: Order) -> Option<Mark> {
    let issue = state.marks.issue.as_ref()?;
    Some(Mark { time: time(state, order)?, severity: issue.severity, number: issue.number as u32 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::issue::{Issue, IssueType, Key, Marks, Origin, Scope, State};

    fn state(number: u64, service: u8, severity: Severity, active: bool, minute: i64) -> Arc<KeyState> {
        let at = Time::from_unix(1_780_000_000 + minute * 60, 0).unwrap();
        let origin = Origin { source: "s".into(), id: number.to_string() };
        let key = Key {
            namespace: format!("ns{}", service % 2),
            scope: Scope {
                resource_type: "component".into(),
                resource_name: format!("service{service}"),
                resource_namespace: "ns".into(),
            },
            issue_type: IssueType::Test,
            check: format!("check{number}"),
            project: String::new(),
            stage: String::new(),
        };
        let issue = Issue {
            number,
            state: if active { State::Active } else { State::Resolved },
            severity,
            title: format!("Title {number}"),
            description: format!("service {service} broke"),
            links: vec![],
            detected_at: at,
            resolved_at: None,
            created_at: at,
            updated_at: at,
            occurrences: 1,
            episodes: 1,
            last_seen_at: at,
            last_run: String::new(),
            context: String::new(),
            triggered_id: String::new(),
            service: format!("service{service}"),
            labels: [("owner".to_owned(), format!("team{}", service % 3))].into(),
            rule: String::new(),
            opened_by: origin,
            resolved_by: None,
            resolved_run: None,
        };
        Arc::new(KeyState { key, marks: Marks { newest: None, issue: Some(issue) } })
    }

    fn naive(all: &[Arc<KeyState>], filter: &Filter, page: &Page) -> Vec<u64> {
        let mut fit: Vec<_> = all
            .iter()
            .filter(|s| {
                let i = s.marks.issue.as_ref().unwrap();
                filter.fields.iter().all(|(field, values)| {
                    let value = match field {
                        Field::Namespace => s.key.namespace.clone(),
                        Field::State => i.state.to_string(),
                        Field::Severity => i.severity.to_string(),
                        Field::Label => format!("owner={}", i.labels["owner"]),
                        _ => i.service.clone(),
                    };
                    values.contains(&value)
                }) && filter.detected_since.is_none_or(|t| i.detected_at >= t)
                    && filter.search.as_ref().is_none_or(|t| {
                        i.title.to_lowercase().contains(&t.to_lowercase()) || i.description.contains(&t.to_lowercase())
                    })
            })
            .map(|s| {
                let i = s.marks.issue.as_ref().unwrap();
                let time = if page.order == Order::DetectedAt { i.detected_at } else { Time::EPOCH };
                let severity = if page.order == Order::Severity { i.severity } else { Severity::Info };
                (severity, time, i.number)
            })
            .collect();
        fit.sort_unstable();
        if page.descending {
            fit.reverse();
        }
        fit.into_iter().map(|(_, _, n)| n).collect()
    }

    proptest! {
        #[test]
        fn pages_are_those_of_a_plain_scan(
            issues in proptest::collection::vec((0u8..5, 0usize..4, any::<bool>(), 0i64..20), 0..60),
            changes in proptest::collection::vec((0usize..60, 0usize..4, any::<bool>(), 0i64..20), 0..30),
            services in proptest::option::of(proptest::collection::vec(0u8..6, 1..3)),
            active in proptest::option::of(any::<bool>()),
            search in proptest::option::of("[0-9]|broke|TITLE 1"),
            order in 0usize..3,
            descending in any::<bool>(),
            limit in 1usize..9,
            since in proptest::option::of(0i64..20),
        ) {
            let mut catalog = Catalog::default();
            let mut all = Vec::new();
            for (n, (service, severity, active, minute)) in issues.iter().enumerate() {
                let s = state(n as u64 + 1, *service, Severity::ALL[*severity], *active, *minute);
                catalog.put(s.key.id(), Some(s.clone()));
                all.push(s);
            }
            for (at, severity, active, minute) in changes {
                if let Some(old) = all.get(at).cloned() {
                    let service = issues[at].0;
                    let s = state(old.marks.issue.as_ref().unwrap().number, service, Severity::ALL[severity], active, minute);
                    catalog.put(s.key.id(), Some(s.clone()));
                    all[at] = s;
                }
            }
            let mut filter = Filter { search, ..Filter::default() };
            filter.detected_since = since.and_then(|m| Time::from_unix(1_780_000_000 + m * 60, 0));
            if let Some(services) = services {
                filter.fields.push((Field::Service, services.iter().map(|s| format!("service{s}")).collect()));
            }
            if let Some(active) = active {
                filter.fields.push((Field::State, vec![if active { "ACTIVE" } else { "RESOLVED" }.into()]));
            }
            let order = [Order::DetectedAt, Order::Number, Order::Severity][order];
            let mut page = Page { order, descending, offset: 0, after: None, limit };
            let want = naive(&all, &filter, &page);
            let (mut by_cursor, mut by_offset) = (Vec::new(), Vec::new());
            let number = |s: &Arc<KeyState>| s.marks.issue.as_ref().unwrap().number;
            loop {
                let selection = catalog.select(&filter, &page);
                prop_assert_eq!(selection.total as usize, want.len());
                by_cursor.extend(selection.issues.iter().map(number));
                let Some(next) = selection.next else { break };
                page.after = Some(next);
            }
            page.after = None;
            for offset in (0..want.len()).step_by(limit) {
                page.offset = offset;
                by_offset.extend(catalog.select(&filter, &page).issues.iter().map(number));
            }
            prop_assert_eq!(&by_cursor, &want);
            prop_assert_eq!(&by_offset, &want);
        }
    }
}
