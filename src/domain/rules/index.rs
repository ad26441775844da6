//! Finds the rules that may fit an event without trying them all.
//!
//! A tree over the words of the type leads to the rules whose `on` fits. Where many rules share one pattern, those that ask
//! for exact words at one path are looked up by the word found there.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::path::{Path, View};
use super::rule::Rule;

/// Numbers of rules, in their order.
pub type Candidates = SmallVec<[u32; 16]>;

/// The index of a rule set.
#[derive(Debug, Default)]
pub struct Index {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    words: HashMap<Box<str>, Node>,
    any: Option<Box<Node>>,
    /// Patterns that end here.
    ends: Bucket,
    /// Patterns that end here with `>`.
    rest: Bucket,
}

#[derive(Debug, Default)]
struct Bucket {
    always: Vec<u32>,
    keyed: Vec<Table>,
}

/// Rules by the word at a path.
type Table = (Path, HashMap<Box<str>, Vec<u32>>);

impl Index {
    /// The index of rules in their order.
    pub fn of(rules: &[Rule]) -> Index {
        let mut root = Node::default();
        for (n, rule) in rules.iter().enumerate() {
            for pattern in &rule.on {
                root.bucket(pattern.as_str()).always.push(n as u32);
            }
        }
        root.key(rules);
        Index { root }
    }

    /// The rules whose `on` fits and which no exact word rules out, in their order.
    pub fn candidates(&self, view: &View<'_>) -> Candidates {
        let mut found = Candidates::new();
        self.root.collect(Some(view.ty()), &mut |bucket| bucket.look_up(view, &mut found));
        sorted(found)
    }

    /// The rules whose `on` fits a type, in their order.
    pub fn for_type(&self, ty: &str) -> Candidates {
        let mut found = Candidates::new();
        self.root.collect(Some(ty), &mut |bucket| {
            found.extend_from_slice(&bucket.always);
            bucket.keyed.iter().flat_map(|(_, by)| by.values()).for_each(|rules| found.extend_from_slice(rules));
        });
        sorted(found)
    }
}

fn sorted(mut found: Candidates) -> Candidates {
    found.sort_unstable();
    found.dedup();
    found
}

impl Node {
    fn bucket(&mut self, pattern: &str) -> &mut Bucket {
        let (word, rest) = match pattern.split_once('.') {
            Some((word, rest)) => (word, Some(rest)),
            None => (pattern, None),
        };
        let next = match word {
            ">" => return &mut self.rest,
            "*" => self.any.get_or_insert_default(),
            word => self.words.entry(word.into()).or_default(),
        };
        match rest {
            Some(rest) => next.bucket(rest),
            None => &mut next.ends,
        }
    }

    fn collect<'n>(&'n self, ty: Option<&str>, each: &mut impl FnMut(&'n Bucket)) {
        let Some(ty) = ty else { return each(&self.ends) };
        each(&self.rest);
        let (word, rest) = match ty.split_once('.') {
            Some((word, rest)) => (word, Some(rest)),
            None => (ty, None),
        };
        if let Some(next) = self.words.get(word) {
            next.collect(rest, each);
        }
        if let Some(next) = &self.any {
            next.collect(rest, each);
        }
    }

    fn key(&mut self, rules: &[Rule]) {
        self.ends.key(rules);
        self.rest.key(rules);
        self.words.values_mut().for_each(|n| n.key(rules));
        self.any.iter_mut().for_each(|n| n.key(rules));
    }
}

impl Bucket {
    fn look_up(&self, view: &View<'_>, found: &mut Candidates) {
        found.extend_from_slice(&self.always);
        for (path, by) in &self.keyed {
            if let Some(rules) = view.get(path).and_then(|seen| by.get(&*seen.text())) {
                found.extend_from_slice(rules);
            }
        }
    }

    /// Moves rules with exact words from the list of those always tried to tables, where that saves something.
    fn key(&mut self, rules: &[Rule]) {
        /// So few are quicker to try than to look up.
        const FEW: usize = 4;
        if self.always.len() <= FEW {
            return;
        }
        let mut common: HashMap<&Path, usize> = HashMap::new();
        let exact = |n: u32| rules[n as usize].conditions.iter().filter(|c| c.exact_words().is_some());
        for condition in self.always.iter().flat_map(|n| exact(*n)) {
            *common.entry(&condition.path).or_default() += 1;
        }
        let mut tables: Vec<Table> = Vec::new();
        self.always.retain(|n| {
            // The commonest path; of equally common ones the first by name, so that the index is the same each time.
            let best = exact(*n).max_by_key(|c| (common[&c.path], std::cmp::Reverse(c.path.to_string())));
            let Some(best) = best.filter(|c| common[&c.path] > FEW) else { return true };
            let table = match tables.iter().position(|(path, _)| *path == best.path) {
                Some(at) => &mut tables[at].1,
                None => {
                    tables.push((best.path.clone(), HashMap::new()));
                    let last = tables.len() - 1;
                    &mut tables[last].1
                }
            };
            for word in best.exact_words().into_iter().flatten() {
                table.entry(word.into()).or_default().push(*n);
            }
            false
        });
        self.keyed = tables;
    }
}
