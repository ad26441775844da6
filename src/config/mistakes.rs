//! Everything that is wrong with a configuration, told at once.

use std::fmt;

use super::node::{Node, Origin};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it was written; none where something is missing altogether.
    pub origin: Option<Origin>,
    /// What is wrong with which key.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "{origin}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// All mistakes of one configuration, in the order they were found. Never empty as an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl Mistakes {
    pub(super) fn add(&mut self, node: &Node, key: &str, problem: impl fmt::Display) {
        self.at(&node.origin, format!("{key}: {problem}"));
    }

    /// In the order of the file; then what was written elsewhere.
    pub(super) fn sort(&mut self) {
        self.0.sort_by_key(|mistake| match mistake.origin {
            Some(Origin::File { line, column, .. }) => (0, line, column),
            Some(Origin::Variable(_)) => (1, 0, 0),
            Some(Origin::Flag(_)) | None => (2, 0, 0),
        });
    }

    pub(super) fn at(&mut self, origin: &Origin, message: String) {
        self.0.push(Mistake { origin: Some(origin.clone()), message });
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "configuration: {one}"),
            many => {
                write!(f, "configuration: {} mistakes", many.len())?;
                many.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
            }
        }
    }
}

impl std::error::Error for Mistakes {}

/// `; did you mean "x"?` where one of `known` is near, else nothing.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let lower = word.to_ascii_lowercase();
    let near = known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&lower, &name.to_ascii_lowercase()), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    near.map(|(_, name)| format!("; did you mean {name:?}?")).unwrap_or_default()
}
