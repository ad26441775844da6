//! Which webhooks a journal line was decided by: those of the rule set that was in force then.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::domain::webhooks::{self, Webhooks};
use crate::store::{Error, Reader, RuleTexts};

/// The subjects of what earlier lives may have sent because of webhooks, by the rule sets that the store has. None where a
/// webhook's type is a pattern, or a file cannot be used any more.
pub fn subjects(kept: &[RuleTexts]) -> Option<Vec<String>> {
    let files = kept.iter().flat_map(|texts| texts.files.iter().filter(|(name, _)| name == webhooks::FILE));
    let mut all = Vec::new();
    for (name, text) in files {
        for subject in Webhooks::compile(name, text).ok()?.subjects() {
            let ty = subject.as_str();
            if ty.contains(['*', '>']) {
                return None;
            }
            if let Some(task) = ty.strip_suffix(".triggered") {
                all.extend([format!("{task}.started"), format!("{task}.finished")]);
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    Some(all)
}

/// The webhooks of rule sets that the store has, compiled once each.
pub struct Book {
    reader: Reader,
    /// By the short hash of their set.
    known: Mutex<HashMap<String, Webhooks>>,
}

impl Book {
    /// Over a store.
    pub fn new(reader: Reader) -> Book {
        Book { reader, known: Mutex::default() }
    }

    /// The webhooks of a set; none where it is not kept any more, or cannot be used by this version.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn find(&self, rule_set: &str) -> Result<Option<Webhooks>, Error> {
        if let Some(webhooks) = self.known.lock().get(rule_set) {
            return Ok(Some(webhooks.clone()));
        }
        let kept = self.reader.rules()?;
        let texts = kept.iter().rev().find(|texts| texts.hash.starts_with(rule_set));
        let file = texts.and_then(|texts| texts.files.iter().find(|(name, _)| name == webhooks::FILE));
        let Some(webhooks) = file.and_then(|(name, text)| Webhooks::compile(name, text).ok()) else { return Ok(None) };
        self.known.lock().insert(rule_set.to_owned(), webhooks.clone());
        Ok(Some(webhooks))
    }
}
