//! Finds the earlier rules that some event may fit too, without comparing every rule with every other.
//!
//! As in the index of a rule set, a tree over the words of `on` leads to the rules. In one place of the tree, rules that ask
//! for certain words at a path are kept by their rarest word: two that ask for different words there never meet.

use std::collections::HashMap;

use super::condition::{Condition, Test, Word};
use super::path::Path;
use super::rule::Rule;

/// Rules by what they are about.
pub struct Rivals<'r> {
    root: Node<'r>,
    /// How many rules ask for this word at this path.
    common: HashMap<(&'r Path, &'r str), u32>,
}

#[derive(Default)]
struct Node<'r> {
    words: HashMap<&'r str, Node<'r>>,
    any: Option<Box<Node<'r>>>,
    /// Patterns that end here.
    ends: Bucket<'r>,
    /// Patterns that end here with `>`.
    rest: Bucket<'r>,
}

#[derive(Default)]
struct Bucket<'r> {
    always: Vec<u32>,
    keyed: HashMap<&'r Path, HashMap<&'r str, Vec<u32>>>,
}

/// The work that is left; what is refused stays undone.
pub struct Budget(u64);

impl Budget {
    /// So much work.
    pub const fn of(work: u64) -> Budget {
        Budget(work)
    }

    /// Takes some away; none where less is left.
    pub fn take(&mut self, work: u64) -> Option<()> {
        self.0 = self.0.checked_sub(work)?;
        Some(())
    }
}

/// The words of a condition that asks for one of several and for nothing else.
fn exact(condition: &Condition) -> Option<impl Iterator<Item = &str>> {
    let words = condition.tests.iter().find_map(|test| match test {
        Test::Any(words) if words.iter().all(|w| matches!(w, Word::Exact(_))) => Some(words),
        _ => None,
    })?;
    Some(words.iter().filter_map(|w| if let Word::Exact(word) = w { Some(&**word) } else { None }))
}

impl<'r> Rivals<'r> {
    /// None yet, of these rules.
    pub fn among(rules: &'r [Rule]) -> Rivals<'r> {
        let mut common = HashMap::new();
        for condition in rules.iter().flat_map(|rule| &rule.conditions) {
            for word in exact(condition).into_iter().flatten() {
                *common.entry((&condition.path, word)).or_default() += 1;
            }
        }
        Rivals { root: Node::default(), common }
    }

    /// Adds a rule by its number.
    pub fn add(&mut self, number: u32, rule: &'r Rule) {
        let rarity = |c: &&Condition| {
            exact(c).map(|words| words.map(|w| self.common.get(&(&c.path, w)).copied().unwrap_or(0)).max())
        };
        let rarest = rule.conditions.iter().filter(|c| exact(c).is_some()).min_by_key(rarity);
        for pattern in &rule.on {
            let bucket = self.root.bucket(pattern.as_str());
            match rarest {
                None => bucket.always.push(number),
                Some(condition) => {
                    let table = bucket.keyed.entry(&condition.path).or_default();
                    for word in exact(condition).into_iter().flatten() {
                        table.entry(word).or_default().push(number);
                    }
                }
            }
        }
    }

    /// The rules added that may meet this one, in their order; none where the budget does not reach.
    pub fn of(&self, rule: &Rule, budget: &mut Budget) -> Option<Vec<u32>> {
        let mut found = Vec::new();
        for pattern in &rule.on {
            self.root.meet(Some(pattern.as_str()), &mut |bucket| bucket.meet(rule, &mut found, budget))?;
        }
        found.sort_unstable();
        found.dedup();
        Some(found)
    }
}

impl<'r> Node<'r> {
    fn bucket(&mut self, pattern: &'r str) -> &mut Bucket<'r> {
        let (word, rest) = split(pattern);
        let next = match word {
            ">" => return &mut self.rest,
            "*" => self.any.get_or_insert_default(),
            word => self.words.entry(word).or_default(),
        };
        match rest {
            Some(rest) => next.bucket(rest),
            None => &mut next.ends,
        }
    }

    /// Every bucket whose patterns overlap this one.
    fn meet(&self, pattern: Option<&str>, each: &mut impl FnMut(&Bucket<'r>) -> Option<()>) -> Option<()> {
        let Some(pattern) = pattern else { return each(&self.ends) };
        each(&self.rest)?;
        let (word, rest) = split(pattern);
        match word {
            ">" => self.children().try_for_each(|next| next.all(each)),
            "*" => self.children().try_for_each(|next| next.meet(rest, each)),
            word => {
                let next = self.words.get(word).into_iter().chain(self.any.as_deref());
                next.into_iter().try_for_each(|next| next.meet(rest, each))
            }
        }
    }

    fn all(&self, each: &mut impl FnMut(&Bucket<'r>) -> Option<()>) -> Option<()> {
        each(&self.ends)?;
        each(&self.rest)?;
        self.children().try_for_each(|next| next.all(each))
    }

    fn children(&self) -> impl Iterator<Item = &Node<'r>> {
        self.words.values().chain(self.any.as_deref())
    }
}

fn split(pattern: &str) -> (&str, Option<&str>) {
    pattern.split_once('.').map_or((pattern, None), |(word, rest)| (word, Some(rest)))
}

impl Bucket<'_> {
    fn meet(&self, rule: &Rule, found: &mut Vec<u32>, budget: &mut Budget) -> Option<()> {
        let mut take = |rules: &[u32]| {
            budget.take(1 + rules.len() as u64)?;
            found.extend_from_slice(rules);
            Some(())
        };
        take(&self.always)?;
        for (path, table) in &self.keyed {
            let mut same = rule.conditions.iter().filter(|c| c.path == **path).filter_map(exact);
            match same.next() {
                Some(mut words) => words.try_for_each(|word| take(table.get(word).map_or(&[], Vec::as_slice)))?,
                None => table.values().try_for_each(|rules| take(rules))?,
            }
        }
        Some(())
    }
}
