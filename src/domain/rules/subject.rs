//! Patterns over dotted words as NATS has them: `*` is one word, `>` is the rest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A pattern that event types or subjects are tried against.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(Box<str>);

impl Subject {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What NATS would not accept, and a pattern that would take the whole bus.
    pub fn parse(text: &str) -> Result<Subject, String> {
        if text.is_empty() {
            return Err("pattern is empty".into());
        }
        if text.len() > 255 {
            return Err("pattern is longer than 255 bytes".into());
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(format!("pattern {text:?} holds white space"));
        }
        let words: Vec<&str> = text.split('.').collect();
        for (n, word) in words.iter().enumerate() {
            let last = n + 1 == words.len();
            match *word {
                "" => return Err(format!("pattern {text:?} has an empty word")),
                "*" | ">" if n == 0 => {
                    return Err(format!("pattern {text:?} does not begin with a word, it would take the whole bus"));
                }
                ">" if !last => return Err(format!("pattern {text:?}: `>` stands only at the end")),
                "*" | ">" => {}
                word if word.contains(['*', '>']) => {
                    return Err(format!("pattern {text:?}: `{word}` is not one word, `*` stands for a whole word"));
                }
                _ => {}
            }
        }
        Ok(Subject(text.into()))
    }

    /// A subject of a stream that somebody else made; whatever the broker has accepted will do.
    pub fn any(text: &str) -> Option<Subject> {
        (!text.is_empty()).then(|| Subject(text.into()))
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a subject or type fits.
    pub fn matches(&self, text: &str) -> bool {
        let mut words = text.split('.');
        for want in self.0.split('.') {
            match (want, words.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (want, Some(word)) if want == word => {}
                _ => return false,
            }
        }
        words.next().is_none()
    }

    /// Whether everything that fits `other` fits this one.
    pub fn covers(&self, other: &Subject) -> bool {
        let mut words = other.0.split('.');
        for want in self.0.split('.') {
            match (want, words.next()) {
                (_, None) => return false,
                (">", Some(_)) => return true,
                (_, Some(">")) => return false,
                ("*", Some(_)) => {}
                (want, Some(word)) if want == word => {}
                _ => return false,
            }
        }
        words.next().is_none()
    }

    /// Whether anything fits both.
    pub fn overlaps(&self, other: &Subject) -> bool {
        let (mut a, mut b) = (self.0.split('.'), other.0.split('.'));
        loop {
            match (a.next(), b.next()) {
                (None, None) => return true,
                (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
                (Some("*"), Some(_)) | (Some(_), Some("*")) => {}
                (Some(x), Some(y)) if x == y => {}
                _ => return false,
            }
        }
    }

    /// The narrowest pattern that covers both of two that overlap.
    fn merge(&self, other: &Subject) -> Subject {
        let (mut a, mut b) = (self.0.split('.'), other.0.split('.'));
        let mut words = Vec::new();
        loop {
            match (a.next(), b.next()) {
                (None, None) => break,
                (Some(x), Some(y)) if x == y => words.push(x),
                (Some(">"), _) | (_, Some(">")) | (None, _) | (_, None) => {
                    words.push(">");
                    break;
                }
                (Some(_), Some(_)) => words.push("*"),
            }
        }
        Subject(words.join(".").into())
    }

    /// The patterns of which none overlaps another, as a stream needs them: covered ones go, crossing ones merge, and of very
    /// many some become one over all that begin alike.
    pub fn disjoint(mut all: Vec<Subject>) -> Vec<Subject> {
        all.sort();
        all.dedup();
        loop {
            let mut kept = Vec::with_capacity(all.len());
            disjoint_into(all, &mut kept);
            kept.sort();
            match covered(&kept) {
                // A pattern that covers many may cross others.
                Some(fewer) => all = fewer,
                None => return kept,
            }
        }
    }

    /// The plain words that it begins with: one, two and so on, with at least one word left.
    fn beginnings(&self) -> impl Iterator<Item = &str> {
        let ends = self.0.match_indices('.').map(|(at, _)| &self.0[..at]);
        ends.take_while(|b| b.rsplit('.').next().is_none_or(|word| word != "*"))
    }

    fn word(&self, n: usize) -> Option<&str> {
        self.0.split('.').nth(n)
    }

    /// Whether it takes any number of further words.
    fn is_rest(&self) -> bool {
        self.0.ends_with('>')
    }
}

/// Patterns with different plain words in one place cannot overlap, so only those that are alike in all such places are
/// compared.
fn disjoint_into(all: Vec<Subject>, kept: &mut Vec<Subject>) {
    if let Some(place) = dividing_place(&all) {
        let mut groups: BTreeMap<String, Vec<Subject>> = BTreeMap::new();
        for subject in all {
            let word = subject.word(place).unwrap_or_default().to_owned();
            groups.entry(word).or_default().push(subject);
        }
        groups.into_values().for_each(|group| disjoint_into(group, kept));
    } else {
        kept.extend(compared(all));
    }
}

/// The first place where all patterns have a plain word and not all the same.
fn dividing_place(all: &[Subject]) -> Option<usize> {
    let first = all.first()?;
    for place in 0.. {
        let wild = |word: &str| matches!(word, "*" | ">");
        let (mut plain, mut differ) = (true, false);
        for subject in all {
            let word = subject.word(place)?;
            plain &= !wild(word);
            differ |= first.word(place) != Some(word);
        }
        if plain && differ {
            return Some(place);
        }
    }
    None
}

/// So many subjects of one stream are no burden for the broker; of thousands it compares each with each.
const MOST_OF_STREAM: usize = 300;

/// Fewer patterns in place of too many: those that begin with the same words become one. None where they are few enough, or
/// no two begin alike. Of the beginnings that would do the longest is taken, since it takes in the least besides.
fn covered(all: &[Subject]) -> Option<Vec<Subject>> {
    let excess = all.len().checked_sub(MOST_OF_STREAM).filter(|n| *n > 0)?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for subject in all {
        subject.beginnings().for_each(|b| *counts.entry(b).or_default() += 1);
    }
    let words = |b: &str| b.matches('.').count();
    let enough = counts.iter().filter(|(_, n)| **n > excess).max_by_key(|(b, n)| (words(b), **n));
    let chosen: BTreeSet<&str> = match enough {
        Some((beginning, _)) => [*beginning].into(),
        // Several are needed: first words, as those of most patterns, until one more is enough.
        None => {
            let mut first: Vec<(&str, usize)> = counts.into_iter().filter(|(b, n)| words(b) == 0 && *n > 1).collect();
            first.sort_by_key(|(b, n)| (Reverse(*n), *b));
            let mut left = excess;
            let needed = first.into_iter().take_while(|(_, n)| {
                let needed = *n <= left;
                left = left.saturating_sub(n - 1);
                needed
            });
            needed.map(|(b, _)| b).collect()
        }
    };
    if chosen.is_empty() {
        return None;
    }
    let in_chosen = |s: &&Subject| s.beginnings().any(|b| chosen.contains(b));
    let mut fewer: Vec<Subject> = all.iter().filter(|s| !in_chosen(s)).cloned().collect();
    fewer.extend(chosen.iter().map(|b| Subject(format!("{b}.>").into())));
    Some(fewer)
}

/// What patterns of several words begin with, and whatever follows.
fn cover(all: &[Subject]) -> Option<Subject> {
    let mut common: Vec<&str> = all.first()?.0.split('.').collect();
    for subject in all {
        let same = common.iter().zip(subject.0.split('.')).take_while(|(a, b)| *a == b).count();
        common.truncate(same.min(subject.0.matches('.').count()));
    }
    common.push(">");
    Some(Subject(common.join(".").into()))
}

/// Compares each with each.
fn compared(mut all: Vec<Subject>) -> Vec<Subject> {
    /// More in one stream are a burden for the broker, and comparing them one for us: one pattern over all of them instead.
    const MOST: usize = 2000;
    // The widest first, they cover most of the others.
    all.sort_by_cached_key(|s| (s.is_rest(), Reverse(s.0.matches('.').count())));
    if all.len() > MOST {
        // A pattern for further words does not take the first word alone.
        let (longer, mut kept): (Vec<_>, Vec<_>) = all.into_iter().partition(|s| s.word(1).is_some());
        kept.extend(cover(&longer));
        return kept;
    }
    let mut kept: Vec<Subject> = Vec::new();
    while let Some(next) = all.pop() {
        match kept.iter().position(|k| k.overlaps(&next)) {
            None => kept.push(next),
            Some(n) => {
                let other = kept.swap_remove(n);
                all.push(match (other.covers(&next), next.covers(&other)) {
                    (true, _) => other,
                    (_, true) => next,
                    _ => other.merge(&next),
                });
            }
        }
    }
    kept
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subject(text: &str) -> Subject {
        Subject::parse(text).unwrap()
    }

    #[test]
    fn matches_as_nats_does() {
        assert!(subject("a.*.c").matches("a.b.c"));
        assert!(!subject("a.*").matches("a.b.c") && !subject("a.*").matches("a"));
        assert!(subject("a.>").matches("a.b.c") && !subject("a.>").matches("a"));
        for bad in ["", "*", ">", "*.a", "a..b", "a.>.b", "a.b*", "a b", "a."] {
            assert!(Subject::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_stream_gets_subjects_that_do_not_overlap() {
        let words = |list: &[&str]| {
            Subject::disjoint(list.iter().map(|s| subject(s)).collect())
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(words(&["a.b", "a.>", "c.d", "a.b"]), ["a.>", "c.d"]);
        assert_eq!(words(&["a.*.c", "a.b.*", "a.x.y"]), ["a.*.*"]);
        assert_eq!(words(&["a.*", "a.b.>"]), ["a.*", "a.b.>"]);
        assert_eq!(words(&["a.*.x", "a.*.y", "a.b.y"]), ["a.*.x", "a.*.y"]);
    }

    #[test]
    fn thousands_of_subjects_are_divided_or_covered_by_one() {
        let many = |form: fn(usize) -> String| (0..20_000).map(form).map(|s| subject(&s)).collect::<Vec<_>>();
        assert_eq!(Subject::disjoint(many(|n| format!("a.*.b{n}.>"))), [subject("a.>")]);
        let mut teams = many(|n| format!("acme.team.big{n}.done"));
        teams.extend([subject("acme.other.x"), subject("acme.*.y"), subject("sh.keptn.>")]);
        let some: Vec<_> = (0..200).map(|n| subject(&format!("x.y{n}"))).collect();
        teams.extend(some.clone());
        let words = Subject::disjoint(teams);
        // What crosses the wide one is taken in; all else stays as narrow as it was.
        assert_eq!(words.len(), 202, "{words:?}");
        assert!(some.iter().all(|s| words.contains(s)) && words.contains(&subject("acme.*.>")));
        let pairs = many(|n| format!("x{}.y{}", n / 2, n % 2));
        assert_eq!(Subject::disjoint(pairs).len(), 10_000);
        let mut two = many(|n| format!("a.b.c{n}"));
        two.extend(many(|n| format!("d.e.f{n}")).drain(..10_000));
        assert_eq!(Subject::disjoint(two), [subject("a.>"), subject("d.e.>")]);
        let alone = many(|n| format!("x{n}.done"));
        assert_eq!(Subject::disjoint(alone.clone()).len(), alone.len(), "nothing but everything covers these");
        let mut covered = many(|n| format!("a.b.c.d{n}"));
        covered.extend([subject("a.b.>"), subject("b")]);
        assert_eq!(Subject::disjoint(covered), [subject("a.b.>"), subject("b")]);
        let mut mixed = many(|n| if n % 2 == 0 { format!("a.b.*.c{n}") } else { format!("a.b.c{n}") });
        mixed.push(subject("a"));
        assert_eq!(Subject::disjoint(mixed), [subject("a"), subject("a.b.>")]);
    }

    /// The definition.
    fn naive(pattern: &[&str], words: &[&str]) -> bool {
        match (pattern, words) {
            ([], []) => true,
            ([">"], rest) => !rest.is_empty(),
            ([want, pattern @ ..], [word, words @ ..]) => (want == word || *want == "*") && naive(pattern, words),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_definition(pattern in pattern(), text in "[ab]?(\\.[ab]?){0,4}") {
            let by_definition = naive(&pattern.split('.').collect::<Vec<_>>(), &text.split('.').collect::<Vec<_>>());
            prop_assert_eq!(subject(&pattern).matches(&text), by_definition);
        }

        #[test]
        fn covering_and_overlapping_agree_with_matching(a in pattern(), b in pattern(), text in "[ab](\\.[ab]){0,3}") {
            let (a, b) = (subject(&a), subject(&b));
            let both = a.matches(&text) && b.matches(&text);
            prop_assert!(!both || a.overlaps(&b));
            prop_assert!(!a.covers(&b) || !b.matches(&text) || a.matches(&text));
            let wide = Subject::disjoint(vec![a.clone(), b.clone()]);
            prop_assert!(!(a.matches(&text) || b.matches(&text)) || wide.iter().any(|s| s.matches(&text)));
        }
    }

    fn pattern() -> impl Strategy<Value = String> {
        "[ab](\\.[ab*]){0,3}(\\.>)?"
    }
}
