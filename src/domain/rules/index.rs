//! Finds the rules that may fit an event without trying them all.
//!
//! A tree over the words of the type leads to the rules whose `on` fits. Where many rules share one pattern, those that ask
//! for certain words at one path, or for words with a certain beginning, are looked up by the word found there.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::condition::{Condition, Handle};
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

type ByWord = HashMap<Box<str>, Vec<u32>>;

/// Rules by the word at a path.
#[derive(Debug)]
struct Table {
    path: Path,
    whole: ByWord,
    /// By the first so many bytes of the word.
    beginnings: Vec<(usize, ByWord)>,
}

impl Table {
    fn of(path: &Path) -> Table {
        Table { path: path.clone(), whole: HashMap::new(), beginnings: Vec::new() }
    }

    fn put(&mut self, handle: Handle<'_>, rule: u32) {
        let (table, word) = match handle {
            Handle::Is(word) => (&mut self.whole, word),
            Handle::Begins(word) => {
                let at = self.beginnings.iter().position(|(length, _)| *length == word.len()).unwrap_or_else(|| {
                    self.beginnings.push((word.len(), HashMap::new()));
                    self.beginnings.len() - 1
                });
                (&mut self.beginnings[at].1, word)
            }
        };
        table.entry(word.into()).or_default().push(rule);
    }

    fn look_up(&self, view: &View<'_>, found: &mut Candidates) {
        let Some(seen) = view.get(&self.path) else { return };
        let text = seen.text();
        let mut take = |rules: Option<&Vec<u32>>| found.extend_from_slice(rules.map_or(&[], Vec::as_slice));
        take(self.whole.get(&*text));
        for (length, by) in &self.beginnings {
            take(text.get(..*length).and_then(|beginning| by.get(beginning)));
        }
    }
}

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

    /// The rules whose `on` fits and which no word rules out, in their order.
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
            for table in &bucket.keyed {
                let beginnings = table.beginnings.iter().flat_map(|(_, by)| by.values());
                table.whole.values().chain(beginnings).for_each(|rules| found.extend_from_slice(rules));
            }
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
        self.keyed.iter().for_each(|table| table.look_up(view, found));
    }

    /// Moves rules with such words from the list of those always tried to tables, where that saves something.
    fn key(&mut self, rules: &[Rule]) {
        /// So few are quicker to try than to look up.
        const FEW: usize = 4;
        if self.always.len() <= FEW {
            return;
        }
        // How many rules ask for anything at a path, and how many for this at it.
        let mut common: HashMap<&Path, usize> = HashMap::new();
        let mut alike: HashMap<(&Path, Handle<'_>), usize> = HashMap::new();
        let keyed = |n: u32| rules[n as usize].conditions.iter().filter(|c| c.handles().is_some());
        for condition in self.always.iter().flat_map(|n| keyed(*n)) {
            *common.entry(&condition.path).or_default() += 1;
            for handle in condition.handles().into_iter().flatten() {
                *alike.entry((&condition.path, handle)).or_default() += 1;
            }
        }
        // What an event finds by a condition at worst: where all rules are of one project, that tells none of them apart.
        let found = |c: &Condition| c.handles().into_iter().flatten().map(|h| alike[&(&c.path, h)]).max();
        let mut tables: Vec<Table> = Vec::new();
        self.always.retain(|n| {
            // What finds fewest; then the commonest path, for fewer tables; then the first by name, so that the index is the same
            // each time.
            let useful = keyed(*n).filter(|c| common[&c.path] > FEW);
            let order = |c: &&Condition| (found(c), std::cmp::Reverse(common[&c.path]), c.path.to_string());
            let Some(best) = useful.min_by_key(order) else { return true };
            let at = tables.iter().position(|t| t.path == best.path).unwrap_or_else(|| {
                tables.push(Table::of(&best.path));
                tables.len() - 1
            });
            best.handles().into_iter().flatten().for_each(|handle| tables[at].put(handle, *n));
            false
        });
        self.keyed = tables;
    }
}
