//! The indexes of issues: a bitmap of slots per value of each filter, an order per sort key.

use std::collections::BTreeMap;

use roaring::RoaringBitmap;

use super::RELATED;
use super::order::{self, Ordered};
use super::texts::Texts;
use super::values::{Field, Seed, Values};
use crate::domain::ids::ScopeId;
use crate::domain::issue::{Issue, IssueType, Key, KeyState, Severity, State};

/// The issues and their indexes.
#[derive(Debug, Default)]
pub struct Listing {
    pub all: RoaringBitmap,
    pub states: [RoaringBitmap; State::ALL.len()],
    pub severities: [RoaringBitmap; Severity::ALL.len()],
    pub types: [RoaringBitmap; IssueType::ALL.len()],
    /// By name, because summaries list them.
    pub namespaces: BTreeMap<Box<str>, RoaringBitmap>,
    pub values: Values,
    counts: [[u64; Severity::ALL.len()]; State::ALL.len()],
    pub detected: Ordered,
    pub updated: Ordered,
    pub seen: Ordered,
    pub numbers: Ordered,
    pub texts: Texts,
}

impl Listing {
    pub fn len(&self) -> u64 {
        self.all.len()
    }

    pub fn count(&self, state: State, severity: Severity) -> u64 {
        self.counts[state as usize][severity as usize]
    }

    pub fn numbered(&self, number: u64) -> Option<u32> {
        self.numbers.slot(u128::from(number))
    }

    pub fn counts_of(&self, seed: &Seed, scope: ScopeId) -> (u64, u64) {
        let Some(posting) = self.values.get(seed.of_scope_id(scope)) else { return (0, 0) };
        let bits = posting.bits();
        let active = bits.intersection_len(&self.states[State::Active as usize]);
        (active, bits.len() - active)
    }

    /// Slots of related issues but for these: those that are newer, those that are older, each the newest first.
    pub fn related(&self, seed: &Seed, state: &KeyState, out: &RoaringBitmap) -> (Vec<u32>, Vec<u32>) {
        let Some(issue) = &state.marks.issue else { return Default::default() };
        let mut slots = RoaringBitmap::new();
        let mut add = |value| {
            if let Some(posting) = self.values.get(value) {
                slots |= &*posting.bits();
            }
        };
        add(seed.of_scope_id(state.key.scope_id()));
        if !issue.context.is_empty() {
            add(seed.of(Field::Context, &issue.context));
        }
        slots -= out;
        let own = u128::from(issue.number);
        let mut numbers: Vec<(u128, u32)> = slots.iter().map(|slot| (self.numbers.key(slot), slot)).collect();
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        let newer = numbers.iter().filter(|(number, _)| *number > own).take(RELATED).map(|(_, slot)| *slot);
        let older = numbers.iter().filter(|(number, _)| *number < own).take(RELATED).map(|(_, slot)| *slot);
        (newer.collect(), older.collect())
    }

    /// Brings the indexes from one record of a key to the next; only what differs is touched.
    pub fn put(&mut self, seed: &Seed, slot: u32, old: Option<&KeyState>, new: Option<&KeyState>) {
        let was = old.and_then(|s| s.marks.issue.as_ref().map(|i| (s, i)));
        let is = new.and_then(|s| s.marks.issue.as_ref().map(|i| (s, i)));
        match (was, is) {
            (Some((_, a)), Some((_, b))) if a.number == b.number => self.change(seed, slot, a, b),
            _ => {
                if let Some((state, issue)) = was {
                    self.unlist(seed, slot, &state.key, issue);
                }
                if let Some((state, issue)) = is {
                    self.list(seed, slot, &state.key, issue);
                }
            }
        }
    }

    fn change(&mut self, seed: &Seed, slot: u32, a: &Issue, b: &Issue) {
        if (a.state, a.severity) != (b.state, b.severity) {
            self.count_word(a, slot, false);
            self.count_word(b, slot, true);
        }
        for (field, from, to) in [(Field::Service, &a.service, &b.service), (Field::Context, &a.context, &b.context)] {
            if from != to {
                self.set(seed.of(field, from), from, slot, false);
                self.set(seed.of(field, to), to, slot, true);
            }
        }
        if a.labels != b.labels {
            a.labels.iter().for_each(|(k, v)| self.values.clear(seed.of_label(k, v), slot));
            b.labels.iter().for_each(|(k, v)| self.values.set(seed.of_label(k, v), slot));
        }
        for (order, from, to) in [
            (&mut self.detected, a.detected_at, b.detected_at),
            (&mut self.updated, a.updated_at, b.updated_at),
            (&mut self.seen, a.last_seen_at, b.last_seen_at),
        ] {
            if from != to {
                order.remove(order::key(from, a.number));
                order.insert(order::key(to, b.number), slot);
            }
        }
        self.texts.put(slot, Some((&a.title, &a.description)), Some((&b.title, &b.description)));
    }

    fn list(&mut self, seed: &Seed, slot: u32, key: &Key, issue: &Issue) {
        self.all.insert(slot);
        self.numbers.insert(u128::from(issue.number), slot);
        self.detected.insert(order::key(issue.detected_at, issue.number), slot);
        self.updated.insert(order::key(issue.updated_at, issue.number), slot);
        self.seen.insert(order::key(issue.last_seen_at, issue.number), slot);
        self.texts.put(slot, None, Some((&issue.title, &issue.description)));
        self.values(seed, key, issue, slot, true);
        match self.namespaces.get_mut(&*key.namespace) {
            Some(bits) => _ = bits.insert(slot),
            None => _ = self.namespaces.insert(key.namespace.as_str().into(), RoaringBitmap::from_iter([slot])),
        }
    }

    fn unlist(&mut self, seed: &Seed, slot: u32, key: &Key, issue: &Issue) {
        self.all.remove(slot);
        self.numbers.remove(u128::from(issue.number));
        self.detected.remove(order::key(issue.detected_at, issue.number));
        self.updated.remove(order::key(issue.updated_at, issue.number));
        self.seen.remove(order::key(issue.last_seen_at, issue.number));
        self.texts.put(slot, Some((&issue.title, &issue.description)), None);
        self.values(seed, key, issue, slot, false);
        if let Some(bits) = self.namespaces.get_mut(&*key.namespace) {
            bits.remove(slot);
            if bits.is_empty() {
                self.namespaces.remove(&*key.namespace);
            }
        }
    }

    /// All values that are not in a listing of their own.
    fn values(&mut self, seed: &Seed, key: &Key, issue: &Issue, slot: u32, there: bool) {
        self.count_word(issue, slot, there);
        put_bit(&mut self.types[key.issue_type as usize], slot, there);
        for (field, value) in [
            (Field::ResourceType, &key.scope.resource_type),
            (Field::ResourceName, &key.scope.resource_name),
            (Field::ResourceNamespace, &key.scope.resource_namespace),
            (Field::Check, &key.check),
            (Field::Project, &key.project),
            (Field::Stage, &key.stage),
            (Field::Service, &issue.service),
            (Field::Context, &issue.context),
        ] {
            self.set(seed.of(field, value), value, slot, there);
        }
        for (name, value) in &issue.labels {
            let value = seed.of_label(name, value);
            if there { self.values.set(value, slot) } else { self.values.clear(value, slot) }
        }
        let scope = seed.of_scope_id(key.scope_id());
        if there { self.values.set(scope, slot) } else { self.values.clear(scope, slot) }
    }

    fn count_word(&mut self, issue: &Issue, slot: u32, there: bool) {
        let (state, severity) = (issue.state as usize, issue.severity as usize);
        put_bit(&mut self.states[state], slot, there);
        put_bit(&mut self.severities[severity], slot, there);
        let count = &mut self.counts[state][severity];
        *count = if there { *count + 1 } else { count.saturating_sub(1) };
    }

    /// An empty value is no value: nobody can ask for it.
    fn set(&mut self, hash: u128, value: &str, slot: u32, there: bool) {
        if value.is_empty() {
            return;
        }
        if there { self.values.set(hash, slot) } else { self.values.clear(hash, slot) }
    }
}

fn put_bit(bits: &mut RoaringBitmap, slot: u32, there: bool) {
    if there {
        bits.insert(slot)
    } else {
        bits.remove(slot)
    };
}
