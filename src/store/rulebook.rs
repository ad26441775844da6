//! The rule sets that are or were in force, as the texts they are compiled from: a restart goes on with the one that held, and
//! what old lines meant is judged by the one that held then.

use sled::Batch;

use super::chunks;
use super::error::Error;
use super::keyspace;
use super::packing;
use super::record::{self, Record};
use super::shared::Shared;
use super::staged::Staged;
use crate::domain::ids::Position;
use crate::domain::rules::RuleSet;

/// A rule set and from where on it holds.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RuleTexts {
    /// Lines behind this position are judged by it.
    pub from: Position,
    /// Its whole hash.
    pub hash: String,
    /// Name and text of each file, in order.
    pub files: Vec<(String, String)>,
}

impl RuleTexts {
    /// The texts of a set that holds behind `from`.
    pub fn of(set: &RuleSet, from: Position) -> RuleTexts {
        let files = set.texts().iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        RuleTexts { from, hash: set.hash().to_owned(), files }
    }
}

impl Record for RuleTexts {
    const VERSION: u8 = 1;
}

impl Staged {
    /// Behind its position this set holds. Sets of which no line is left are forgotten.
    pub fn put_rules(&mut self, rules: RuleTexts) {
        let mut kept = self.shared.state.read().rules.clone();
        kept.extend(self.rules.iter().map(|r| r.from));
        kept.push(rules.from);
        // A set holds up to where the next one begins; what retention has passed over needs it no more.
        let gone = kept.windows(2).filter(|w| w[1] < self.fold.oldest).map(|w| w[0]);
        self.rules_gone = gone.collect();
        self.rules.push(rules);
    }
}

/// Writes what a group brings.
pub fn write(shared: &Shared, staged: &Staged, batch: &mut Batch) -> Result<(), Error> {
    for from in &staged.rules_gone {
        let key = keyspace::rules(*from);
        if let Some(first) = shared.tree.get(key).map_err(|e| shared.engine(e))? {
            let bytes = chunks::read(&shared.tree, &key, &first).map_err(|e| shared.engine(e))?;
            chunks::remove(batch, &key, 0, chunks::of(&bytes));
        }
    }
    for rules in staged.rules.iter().filter(|r| !staged.rules_gone.contains(&r.from)) {
        let plain = record::encode(rules);
        let packed = packing::pack(&plain).map_err(|e| corrupt(rules.from, &e))?;
        let value = [&(plain.len() as u32).to_be_bytes()[..], &packed].concat();
        chunks::write(batch, &keyspace::rules(rules.from), &value);
    }
    Ok(())
}

/// The sets that are kept, in order.
pub fn read(shared: &Shared) -> Result<Vec<RuleTexts>, Error> {
    let mut all = Vec::new();
    for entry in shared.tree.scan_prefix([keyspace::RULES]) {
        let (key, first) = entry.map_err(|e| shared.engine(e))?;
        let Some(from) = keyspace::position(&key).filter(|_| key.len() == keyspace::JOURNAL_LEN) else { continue };
        let value = chunks::read(&shared.tree, &key, &first).map_err(|e| shared.engine(e))?;
        let (len, packed) = value.split_first_chunk().ok_or_else(|| corrupt(from, &"it is too short"))?;
        let plain = packing::unpack(packed, u32::from_be_bytes(*len) as usize).map_err(|e| corrupt(from, &e))?;
        all.push(record::decode(&plain, || what(from))?);
    }
    Ok(all)
}

fn what(from: Position) -> String {
    format!("the rule set from {from} on")
}

fn corrupt(from: Position, problem: &dyn std::fmt::Display) -> Error {
    Error::Corrupt { what: what(from), problem: problem.to_string() }
}
