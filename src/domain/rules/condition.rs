//! Conditions of `match`: a path, and what the value found there must be.

use std::fmt;

use super::glob::Glob;
use super::path::{Path, Seen, View};

/// One line of a `match`.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Where to look.
    pub path: Path,
    /// All of these must hold.
    pub tests: Vec<Test>,
}

/// What a value must be.
#[derive(Clone, Debug)]
pub enum Test {
    /// Present and one of these.
    Any(Vec<Word>),
    /// Absent, or none of these.
    Not(Vec<Word>),
    /// Present, or absent. Null is absent.
    Exists(bool),
}

/// One value of a test.
#[derive(Clone, Debug)]
pub enum Word {
    /// Exactly this text, or this JSON of what is not text.
    Exact(Box<str>),
    /// Whatever fits the glob.
    Glob(Glob),
}

/// What a value must be or begin with for a condition to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Handle<'c> {
    /// Be this text.
    Is(&'c str),
    /// Begin with this text.
    Begins(&'c str),
}

impl Word {
    fn handle(&self) -> Handle<'_> {
        match self {
            Word::Exact(word) => Handle::Is(word),
            Word::Glob(glob) => Handle::Begins(glob.prefix()),
        }
    }

    fn fits(&self, text: &str) -> bool {
        match self {
            Word::Exact(word) => **word == *text,
            Word::Glob(glob) => glob.matches(text),
        }
    }
}

impl Condition {
    /// Whether the event fulfils it.
    pub fn holds(&self, view: &View<'_>) -> bool {
        let seen = view.get(&self.path);
        self.tests.iter().all(|test| test.holds(seen.as_ref()))
    }

    /// How its path's value must be or begin, where it must: what rules can be looked up by.
    pub fn handles(&self) -> Option<impl Iterator<Item = Handle<'_>>> {
        let words = self.tests.iter().find_map(|t| if let Test::Any(words) = t { Some(words) } else { None })?;
        let known = words.iter().map(Word::handle).all(|h| !matches!(h, Handle::Begins("")));
        known.then(|| words.iter().map(Word::handle))
    }

    /// What it asks for, in words.
    pub fn wants(&self) -> String {
        self.tests.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
    }
}

impl Test {
    fn holds(&self, seen: Option<&Seen<'_>>) -> bool {
        let any = |words: &[Word]| {
            seen.is_some_and(|seen| {
                let text = seen.text();
                words.iter().any(|w| w.fits(&text))
            })
        };
        match self {
            Test::Any(words) => any(words),
            Test::Not(words) => !any(words),
            Test::Exists(want) => seen.is_some() == *want,
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |f: &mut fmt::Formatter<'_>, words: &[Word]| {
            for (n, word) in words.iter().enumerate() {
                f.write_str(if n == 0 { "" } else { " or " })?;
                match word {
                    Word::Exact(word) => write!(f, "{word:?}")?,
                    Word::Glob(glob) => write!(f, "like {:?}", glob.as_str())?,
                }
            }
            Ok(())
        };
        match self {
            Test::Any(list) => words(f, list),
            Test::Not(list) => {
                f.write_str("not ")?;
                words(f, list)
            }
            Test::Exists(true) => f.write_str("present"),
            Test::Exists(false) => f.write_str("absent"),
        }
    }
}
