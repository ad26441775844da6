//! Selecting issues: filters, order, page, counts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::order::{self, Span, keys};
use super::texts::Needle;
use super::values::Posting;
use super::{Catalog, Field};
use crate::domain::issue::{IssueType, KeyState, Severity, State};
use crate::domain::time::Time;

/// Which issues. Values of one field are alternatives, fields must all fit; an empty list of values asks for nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Allowed states.
    pub states: Vec<State>,
    /// Allowed severities.
    pub severities: Vec<Severity>,
    /// Allowed types.
    pub types: Vec<IssueType>,
    /// Allowed values per field.
    pub fields: Vec<(Field, Vec<String>)>,
    /// Allowed values per label.
    pub labels: Vec<(String, Vec<String>)>,
    /// Detected at or after.
    pub detected_since: Option<Time>,
    /// Detected at or before.
    pub detected_until: Option<Time>,
    /// Changed at or after, by stream time.
    pub updated_since: Option<Time>,
    /// Texts of which one stands in title or description, in any letter case.
    pub search: Vec<String>,
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

impl Order {
    /// All orders.
    pub const ALL: [Order; 5] =
        [Order::DetectedAt, Order::UpdatedAt, Order::LastSeenAt, Order::Number, Order::Severity];

    /// The word for it in requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Order::DetectedAt => "detectedAt",
            Order::UpdatedAt => "updatedAt",
            Order::LastSeenAt => "lastSeenAt",
            Order::Number => "number",
            Order::Severity => "severity",
        }
    }

    /// What an issue is sorted by; none for a key without an issue.
    pub(super) fn key(self, state: &KeyState) -> Option<u128> {
        let issue = state.marks.issue.as_ref()?;
        Some(match self {
            Order::DetectedAt => order::key(issue.detected_at, issue.number),
            Order::UpdatedAt => order::key(issue.updated_at, issue.number),
            Order::LastSeenAt => order::key(issue.last_seen_at, issue.number),
            Order::Number => u128::from(issue.number),
            Order::Severity => (issue.severity as u128) << NUMBER | u128::from(issue.number),
        })
    }
}

/// Part of a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Page {
    /// What the list is sorted by.
    pub order: Order,
    /// The greatest first.
    pub descending: bool,
    /// Issues left out at the beginning; not where `after` is given.
    pub offset: usize,
    /// Begin behind this sort key, which an earlier [`Selection::next`] gave for the same order.
    pub after: Option<u128>,
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
    /// The sort key of the last issue, where more follow. Issues that come and go do not move it.
    pub next: Option<u128>,
}

/// Counts of issues that fit a filter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// In all.
    pub total: u64,
    /// By state.
    pub states: Vec<(State, u64)>,
    /// By severity.
    pub severities: Vec<(Severity, u64)>,
    /// By type.
    pub types: Vec<(IssueType, u64)>,
    /// By namespace; those without any are left out.
    pub namespaces: BTreeMap<String, u64>,
}

/// Up to here, a search looks at all texts that the other filters leave.
const FEW: u64 = 64;

/// Bits of a sort key by severity that hold the number.
const NUMBER: u32 = 64;

impl Catalog {
    /// One page of the issues that fit a filter.
    pub fn select(&self, filter: &Filter, page: &Page) -> Selection {
        self.page(self.fitting(filter), filter, page)
    }

    /// The same without the issues in these slots.
    pub(super) fn select_without(&self, filter: &Filter, page: &Page, out: &RoaringBitmap) -> Selection {
        self.page(Cow::Owned(&*self.fitting(filter) - out), filter, page)
    }

    fn page(&self, fit: Cow<'_, RoaringBitmap>, filter: &Filter, page: &Page) -> Selection {
        // One more than the page tells whether there is a next one.
        let skip = if page.after.is_some() { 0 } else { page.offset };
        let within = match page.order {
            Order::DetectedAt => keys(filter.detected_since, filter.detected_until),
            Order::UpdatedAt => keys(filter.updated_since, None),
            Order::LastSeenAt | Order::Number | Order::Severity => keys(None, None),
        };
        let span = Span { descending: page.descending, after: page.after, skip, want: page.limit + 1, within };
        let listing = &self.listing;
        let mut slots = match page.order {
            Order::DetectedAt => listing.detected.page(&fit, span),
            Order::UpdatedAt => listing.updated.page(&fit, span),
            Order::LastSeenAt => listing.seen.page(&fit, span),
            Order::Number => listing.numbers.page(&fit, span),
            Order::Severity => self.by_severity(&fit, span),
        };
        let more = slots.len() > page.limit;
        slots.truncate(page.limit);
        let issues: Vec<Arc<KeyState>> = slots.iter().filter_map(|slot| self.records.at(*slot)).collect();
        let next = issues.last().filter(|_| more).and_then(|state| page.order.key(state));
        Selection { issues, total: fit.len(), next }
    }

    /// How many issues fit a filter, by the words that people count them by.
    pub fn counts(&self, filter: &Filter) -> Counts {
        let fit = self.fitting(filter);
        let listing = &self.listing;
        let among = |bits: &RoaringBitmap| bits.intersection_len(&fit);
        Counts {
            total: fit.len(),
            states: State::ALL.iter().zip(&listing.states).map(|(word, bits)| (*word, among(bits))).collect(),
            severities: Severity::ALL.iter().zip(&listing.severities).map(|(w, bits)| (*w, among(bits))).collect(),
            types: IssueType::ALL.iter().zip(&listing.types).map(|(word, bits)| (*word, among(bits))).collect(),
            namespaces: listing
                .namespaces
                .iter()
                .map(|(name, bits)| (name.to_string(), among(bits)))
                .filter(|(_, count)| *count > 0)
                .collect(),
        }
    }

    fn fitting(&self, filter: &Filter) -> Cow<'_, RoaringBitmap> {
        let listing = &self.listing;
        let mut sets: Vec<Cow<'_, RoaringBitmap>> = Vec::new();
        if !filter.states.is_empty() {
            sets.push(union(filter.states.iter().map(|w| Cow::Borrowed(&listing.states[*w as usize])).collect()));
        }
        if !filter.severities.is_empty() {
            sets.push(union(
                filter.severities.iter().map(|w| Cow::Borrowed(&listing.severities[*w as usize])).collect(),
            ));
        }
        if !filter.types.is_empty() {
            sets.push(union(filter.types.iter().map(|w| Cow::Borrowed(&listing.types[*w as usize])).collect()));
        }
        for (field, values) in filter.fields.iter().filter(|(_, values)| !values.is_empty()) {
            sets.push(union(values.iter().filter_map(|v| self.value(*field, v)).collect()));
        }
        for (name, values) in filter.labels.iter().filter(|(_, values)| !values.is_empty()) {
            let found = |v| listing.values.get(self.seed.of_label(name, v)).map(Posting::bits);
            sets.push(union(values.iter().filter_map(|v| found(v)).collect()));
        }
        let mut fit = common(sets).unwrap_or(Cow::Borrowed(&listing.all));
        for (order, since, until) in [
            (&listing.detected, filter.detected_since, filter.detected_until),
            (&listing.updated, filter.updated_since, None),
        ] {
            if since.is_some() || until.is_some() {
                fit = Cow::Owned(order.within(&fit, keys(since, until)));
            }
        }
        let mut search = filter.search.iter().filter(|text| !text.is_empty()).peekable();
        if search.peek().is_some() {
            fit = Cow::Owned(search.fold(RoaringBitmap::new(), |found, text| found | self.search(&fit, text)));
        }
        fit
    }

    fn value(&self, field: Field, value: &str) -> Option<Cow<'_, RoaringBitmap>> {
        match field {
            Field::Namespace => self.listing.namespaces.get(value).map(Cow::Borrowed),
            _ if value.is_empty() => None,
            _ => self.listing.values.get(self.seed.of(field, value)).map(Posting::bits),
        }
    }

    /// Those of `among` that have a text.
    fn search(&self, among: &RoaringBitmap, text: &str) -> RoaringBitmap {
        let texts = &self.listing.texts;
        let needle = Needle::new(text);
        if among.len() > FEW
            && let Some(found) = texts.remembered(&needle)
        {
            return &*found & among;
        }
        let mut room = String::new();
        let mut fits = |slot: &u32| {
            self.records.texts(*slot, |title, description| needle.is_in(title, description, &mut room)).unwrap_or(false)
        };
        if among.len() <= FEW {
            return among.iter().filter(|slot| fits(slot)).collect();
        }
        // The whole answer is worth having: the next page asks for it again.
        let all = &self.listing.all;
        let found: RoaringBitmap = match texts.candidates(&needle) {
            Some(candidates) => (candidates & all).iter().filter(|slot| fits(slot)).collect(),
            None => all.iter().filter(|slot| fits(slot)).collect(),
        };
        let found = Arc::new(found);
        texts.remember(needle, found.clone());
        &*found & among
    }

    /// Severity by severity, each in the order of numbers.
    fn by_severity(&self, fit: &RoaringBitmap, span: Span) -> Vec<u32> {
        let after = span.after.map(|key| ((key >> NUMBER) as usize, key & u128::from(u64::MAX)));
        let mut skip = span.skip as u64;
        let mut slots = Vec::new();
        let count = Severity::ALL.len();
        for at in 0..count {
            let severity = if span.descending { count - 1 - at } else { at };
            let after = match after {
                Some((last, number)) if last == severity => Some(number),
                Some((last, _)) if (severity > last) == span.descending => continue,
                _ => None,
            };
            let bits = fit & &self.listing.severities[severity];
            if after.is_none() && skip >= bits.len() {
                skip -= bits.len();
                continue;
            }
            let want = span.want - slots.len();
            let within = Span { after, skip: skip as usize, want, ..span };
            slots.extend(self.listing.numbers.page(&bits, within));
            skip = 0;
            if slots.len() >= span.want {
                break;
            }
        }
        slots
    }
}

/// What is in any of the sets.
fn union(mut sets: Vec<Cow<'_, RoaringBitmap>>) -> Cow<'_, RoaringBitmap> {
    if sets.len() <= 1 {
        return sets.pop().unwrap_or_default();
    }
    let mut bits = RoaringBitmap::new();
    sets.iter().for_each(|set| bits |= &**set);
    Cow::Owned(bits)
}

/// What is in all of the sets; none where there are no sets.
fn common(mut sets: Vec<Cow<'_, RoaringBitmap>>) -> Option<Cow<'_, RoaringBitmap>> {
    sets.sort_by_key(|set| set.len());
    let mut sets = sets.into_iter();
    let mut fit = sets.next()?;
    for set in sets {
        if fit.is_empty() {
            break;
        }
        fit = Cow::Owned(&*fit & &*set);
    }
    Some(fit)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::issue::{Issue, Key, Marks, Origin, Scope};

    pub fn at(minute: i64) -> Time {
        Time::from_unix(1_780_000_000 + minute * 60, 0).unwrap()
    }

    pub fn state(number: u64, service: u8, severity: Severity, active: bool, minute: i64) -> Arc<KeyState> {
        let origin = Origin { source: "s".into(), id: number.to_string() };
        let key = Key {
            namespace: format!("ns{}", service % 2),
            scope: Scope {
                resource_type: "component".into(),
                resource_name: format!("service{service}"),
                resource_namespace: "ns".into(),
            },
            issue_type: IssueType::ALL[(number % 5) as usize],
            check: format!("check{number}"),
            project: String::new(),
            stage: String::new(),
        };
        let issue = Issue {
            number,
            state: if active { State::Active } else { State::Resolved },
            severity,
            title: format!("Title {number} Ähre"),
            description: format!("service {service} broke at {minute}"),
            links: vec![],
            detected_at: at(minute),
            resolved_at: None,
            created_at: at(minute),
            updated_at: at(minute * 7 % 20),
            occurrences: 1,
            episodes: 1,
            last_seen_at: at(minute * 3 % 20),
            last_run: String::new(),
            context: if minute % 3 == 0 { String::new() } else { format!("context{}", minute % 4) },
            triggered_id: String::new(),
            service: format!("service{service}"),
            labels: [("owner".to_owned(), format!("team{}", (service as i64 + minute) % 3))].into(),
            rule: String::new(),
            opened_by: origin,
            resolved_by: None,
            resolved_run: None,
        };
        Arc::new(KeyState { key, marks: Arc::new(Marks { newest: None, issue: Some(issue) }) })
    }

    fn number(state: &Arc<KeyState>) -> u64 {
        state.marks.issue.as_ref().unwrap().number
    }

    /// The same, by looking at every issue.
    fn naive(all: &BTreeMap<u64, Arc<KeyState>>, filter: &Filter, page: &Page) -> Vec<u64> {
        let one_of = |wanted: &[String], value: &str| wanted.is_empty() || wanted.iter().any(|w| w == value);
        let fits = |s: &&Arc<KeyState>| {
            let i = s.marks.issue.as_ref().unwrap();
            let text = format!("{}\n{}", i.title, i.description).to_lowercase();
            filter.fields.iter().all(|(field, values)| {
                one_of(
                    values,
                    match field {
                        Field::Namespace => &s.key.namespace,
                        Field::ResourceType => &s.key.scope.resource_type,
                        Field::ResourceName => &s.key.scope.resource_name,
                        Field::ResourceNamespace => &s.key.scope.resource_namespace,
                        Field::Check => &s.key.check,
                        Field::Project => &s.key.project,
                        Field::Stage => &s.key.stage,
                        Field::Service => &i.service,
                        Field::Context => &i.context,
                    },
                )
            }) && filter.labels.iter().all(|(name, values)| one_of(values, i.labels.get(name).map_or("", |v| v)))
                && (filter.states.is_empty() || filter.states.contains(&i.state))
                && (filter.severities.is_empty() || filter.severities.contains(&i.severity))
                && (filter.types.is_empty() || filter.types.contains(&s.key.issue_type))
                && filter.detected_since.is_none_or(|t| i.detected_at >= t)
                && filter.detected_until.is_none_or(|t| i.detected_at <= t)
                && filter.updated_since.is_none_or(|t| i.updated_at >= t)
                && (filter.search.is_empty() || filter.search.iter().any(|t| text.contains(&t.to_lowercase())))
        };
        let key = |s: &Arc<KeyState>| {
            let i = s.marks.issue.as_ref().unwrap();
            let time = match page.order {
                Order::DetectedAt => i.detected_at,
                Order::UpdatedAt => i.updated_at,
                Order::LastSeenAt => i.last_seen_at,
                Order::Number | Order::Severity => Time::EPOCH,
            };
            let severity = if page.order == Order::Severity { i.severity } else { Severity::Info };
            (severity, time, i.number)
        };
        let mut fit: Vec<_> = all.values().filter(fits).map(key).collect();
        fit.sort_unstable();
        if page.descending {
            fit.reverse();
        }
        fit.into_iter().map(|(_, _, n)| n).collect()
    }

    fn filters() -> impl Strategy<Value = Filter> {
        let times = (proptest::option::of(0i64..20), proptest::option::of(0i64..20), proptest::option::of(0i64..20));
        let words = (
            proptest::collection::vec(any::<bool>(), 0..2),
            proptest::collection::vec(0usize..4, 0..3),
            proptest::collection::vec(0usize..5, 0..3),
        );
        let values = (
            proptest::option::of(proptest::collection::vec(0u8..8, 0..3)),
            proptest::option::of(0u8..3),
            proptest::option::of(proptest::collection::vec(0i64..5, 1..3)),
            proptest::option::of(proptest::collection::vec(0i64..4, 1..3)),
        );
        let search = proptest::collection::vec("[0-9]|broke|TITLE 1|ät 1|ice [0-3] b|äHRE|nowhere", 0..2);
        (times, words, values, search).prop_map(|(times, words, values, search)| {
            let mut fields = Vec::new();
            if let Some(services) = values.0 {
                fields.push((Field::Service, services.iter().map(|s| format!("service{s}")).collect()));
            }
            if let Some(namespace) = values.1 {
                fields.push((Field::Namespace, vec![format!("ns{namespace}")]));
            }
            if let Some(contexts) = values.2 {
                fields.push((Field::Context, contexts.iter().map(|c| format!("context{c}")).collect()));
            }
            let teams = values.3.into_iter().map(|t| t.iter().map(|t| format!("team{t}")).collect());
            Filter {
                states: words.0.iter().map(|a| if *a { State::Active } else { State::Resolved }).collect(),
                severities: words.1.iter().map(|s| Severity::ALL[*s]).collect(),
                types: words.2.iter().map(|t| IssueType::ALL[*t]).collect(),
                fields,
                labels: teams.map(|values| ("owner".to_owned(), values)).collect(),
                detected_since: times.0.map(at),
                detected_until: times.1.map(at),
                updated_since: times.2.map(at),
                search,
            }
        })
    }

    type Write = (u64, u8, usize, bool, i64, bool);

    fn apply(catalog: &mut Catalog, all: &mut BTreeMap<u64, Arc<KeyState>>, writes: &[Write]) {
        for (n, service, severity, active, minute, gone) in writes {
            if *gone {
                if let Some(old) = all.remove(n) {
                    catalog.put(old.key.id(), None);
                }
                continue;
            }
            // The key of an issue does not change.
            let service = all.get(n).map_or(*service, |old| old.key.scope.resource_name[7..].parse().unwrap());
            let state = state(*n, service, Severity::ALL[*severity], *active, *minute);
            catalog.put(state.key.id(), Some(state.clone()));
            all.insert(*n, state);
        }
    }

    proptest! {
        #[test]
        fn pages_and_counts_are_those_of_a_plain_scan(
            writes in proptest::collection::vec((1u64..300, 0u8..6, 0usize..4, any::<bool>(), 0i64..20, proptest::bool::weighted(0.1)), 0..400),
            more in proptest::collection::vec((1u64..300, 0u8..6, 0usize..4, any::<bool>(), 0i64..20, proptest::bool::weighted(0.2)), 0..40),
            filter in filters(),
            order in 0usize..5,
            descending in any::<bool>(),
            limit in 1usize..60,
        ) {
            let mut catalog = Catalog::default();
            let mut all = BTreeMap::new();
            apply(&mut catalog, &mut all, &writes);
            // So that what is remembered of a search is changed as well.
            let mut page = Page { order: Order::ALL[order], descending, offset: 0, after: None, limit };
            catalog.select(&filter, &page);
            apply(&mut catalog, &mut all, &more);

            let want = naive(&all, &filter, &page);
            let (mut by_cursor, mut by_offset) = (Vec::new(), Vec::new());
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

            let matcher = crate::store::catalog::Matcher::new(filter.clone());
            let fits = |s: &&Arc<KeyState>| matcher.fits(&s.key, s.marks.issue.as_ref().unwrap());
            let mut alone: Vec<u64> = all.values().filter(fits).map(number).collect();
            let mut sorted = want.clone();
            sorted.sort_unstable();
            alone.sort_unstable();
            prop_assert_eq!(alone, sorted);

            let counts = catalog.counts(&filter);
            prop_assert_eq!(counts.total as usize, want.len());
            for (state, n) in &counts.states {
                let fit = want.iter().filter(|n| all[n].marks.issue.as_ref().unwrap().state == *state).count();
                prop_assert_eq!(*n as usize, fit);
            }
            let namespaces: u64 = counts.namespaces.values().sum();
            prop_assert_eq!(namespaces, counts.total);
            for state in State::ALL {
                for severity in Severity::ALL {
                    let both = |s: &&Arc<KeyState>| s.marks.issue.as_ref().is_some_and(|i| i.state == *state && i.severity == *severity);
                    prop_assert_eq!(catalog.count(*state, *severity) as usize, all.values().filter(both).count());
                }
            }
            for (n, state) in all.iter().take(5) {
                let related = |s: &&Arc<KeyState>| {
                    let (i, j) = (state.marks.issue.as_ref().unwrap(), s.marks.issue.as_ref().unwrap());
                    i.number != j.number
                        && (s.key.scope == state.key.scope || !i.context.is_empty() && i.context == j.context)
                };
                let (older, newer): (Vec<u64>, Vec<u64>) = all.values().filter(related).map(number).partition(|m| m < n);
                let relations = catalog.related(state);
                let numbers = |states: &[Arc<KeyState>]| -> Vec<u64> { states.iter().map(number).collect() };
                prop_assert_eq!(numbers(&relations.newer), newer.into_iter().rev().take(50).collect::<Vec<_>>());
                prop_assert_eq!(numbers(&relations.older), older.into_iter().rev().take(50).collect::<Vec<_>>());
                prop_assert_eq!(catalog.numbered(*n), Some(state.key.id()));
            }
        }
    }

    proptest! {
        #[test]
        fn a_cursor_may_be_anything(
            after in prop_oneof![any::<u128>(), Just(0), Just(u128::MAX), (0i64..20, 0u64..9).prop_map(|(m, n)| super::super::order::key(at(m), n))],
            filter in filters(),
            order in 0usize..5,
            descending in any::<bool>(),
        ) {
            let mut catalog = Catalog::default();
            let writes: Vec<Write> = (1..200).map(|n| (n, (n % 6) as u8, (n % 4) as usize, true, (n % 20) as i64, false)).collect();
            apply(&mut catalog, &mut BTreeMap::new(), &writes);
            let page = Page { order: Order::ALL[order], descending, offset: 0, after: None, limit: 1000 };
            let all = catalog.select(&filter, &page).issues;
            let behind = catalog.select(&filter, &Page { after: Some(after), ..page }).issues;
            prop_assert!(all.ends_with(&behind));
            let first = catalog.select(&filter, &Page { after: Some(after), limit: 3, ..page }).issues;
            prop_assert!(behind.starts_with(&first));
        }
    }

    #[test]
    fn a_page_stays_where_it_was_as_issues_come() {
        let mut catalog = Catalog::default();
        for n in 1..=6 {
            let state = state(n, 1, Severity::Major, true, n as i64);
            catalog.put(state.key.id(), Some(state));
        }
        let mut page = Page { order: Order::DetectedAt, descending: true, offset: 0, after: None, limit: 2 };
        let first = catalog.select(&Filter::default(), &page);
        assert_eq!(first.issues.iter().map(number).collect::<Vec<_>>(), [6, 5]);
        let newer = state(7, 1, Severity::Major, true, 9);
        catalog.put(newer.key.id(), Some(newer));
        let last = first.issues[1].key.id();
        catalog.put(last, None);
        page.after = first.next;
        let second = catalog.select(&Filter::default(), &page);
        assert_eq!(second.issues.iter().map(number).collect::<Vec<_>>(), [4, 3]);
    }
}
