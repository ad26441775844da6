//! What is wrong with a file that a team wrote: all mistakes of all files in one list, each with its place.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// A place in a file; both numbers begin with 1, 0 where the place is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct At {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The file, as it was named when it was loaded.
    pub file: Arc<str>,
    /// Line, from 1; 0 where the file as a whole is meant.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// What is wrong, naming the key or value.
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { file, line, column, message, suggestion } = self;
        match line {
            0 => write!(f, "{file}: {message}")?,
            _ => write!(f, "{file}:{line}:{column}: {message}")?,
        }
        suggestion.as_ref().map_or(Ok(()), |s| write!(f, " ({s})"))
    }
}

/// Collects the mistakes of one file.
#[derive(Debug)]
pub struct Problems {
    file: Arc<str>,
    list: Vec<Problem>,
    /// How many more there are than are kept.
    more: usize,
}

/// A file that is wrong throughout needs no longer list.
const MOST: usize = 1000;

impl Problems {
    /// None yet.
    pub fn of(file: Arc<str>) -> Problems {
        Problems { file, list: Vec::new(), more: 0 }
    }

    /// Notes a mistake.
    pub fn add(&mut self, at: At, message: impl Into<String>) {
        self.push(at, message.into(), None);
    }

    /// Notes a mistake and what would be right.
    pub fn suggest(&mut self, at: At, message: impl Into<String>, suggestion: impl Into<String>) {
        self.push(at, message.into(), Some(suggestion.into()));
    }

    /// Notes that `word` is none of `known`, with the nearest of them or all of them.
    pub fn unknown(&mut self, at: At, what: &str, word: &str, known: &[&str]) {
        if self.list.len() == MOST {
            // Looking for the nearest word takes time.
            self.more += 1;
            return;
        }
        let suggestion = did_you_mean(word, known).or_else(|| {
            let all = known.join(", ");
            (!known.is_empty() && all.len() < 200).then(|| format!("known: {all}"))
        });
        let word: String = word.chars().take(80).collect();
        self.push(at, format!("{what} {word:?} is unknown"), suggestion);
    }

    /// The mistakes noted, in the order of the file.
    pub fn into_list(mut self) -> Vec<Problem> {
        self.list.sort_by_key(|p| (p.line, p.column));
        if self.more > 0 {
            let message = format!("{} more mistakes are not listed", self.more);
            self.list.push(Problem { file: self.file, line: 0, column: 0, message, suggestion: None });
        }
        self.list
    }

    fn push(&mut self, at: At, message: String, suggestion: Option<String>) {
        if self.list.len() == MOST {
            self.more += 1;
            return;
        }
        let At { line, column } = at;
        self.list.push(Problem { file: self.file.clone(), line, column, message, suggestion });
    }
}

/// The nearest of `known`, where it is near enough to be a typing mistake.
pub fn did_you_mean(word: &str, known: &[&str]) -> Option<String> {
    if word.len() > 80 {
        return None;
    }
    let lower = word.to_lowercase();
    let nearest = known.iter().map(|k| (strsim::jaro_winkler(&lower, &k.to_lowercase()), *k));
    let (score, nearest) = nearest.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (score > 0.8).then(|| format!("did you mean {nearest:?}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_mistake_is_recognised_and_nonsense_is_not() {
        assert_eq!(did_you_mean("serverity", &["title", "severity"]).unwrap(), "did you mean \"severity\"?");
        assert_eq!(did_you_mean("Outcomes", &["outcome"]).unwrap(), "did you mean \"outcome\"?");
        assert_eq!(did_you_mean("zzz", &["outcome"]), None);
    }
}
