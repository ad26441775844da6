//! Keys and scopes on disk: a log of their newest records.
//!
//! All of them are in memory, so the disk is read at start only, and may be laid out for writing: what a group changed goes
//! into new records, in the order of time, several to a record. What is older is dead. When more is dead than alive, every
//! commit moves a little of what is alive in the oldest records to the end and removes those. Updating each under a key of its
//! own would be a random write into 100,000 places with every event, several times as dear.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sled::{Batch, IVec};

use super::catalog::{Catalog, Hashed};
use super::chunks;
use super::due::Subject;
use super::error::Error;
use super::keyspace;
use super::packing;
use crate::domain::ids::{KeyId, ScopeId};
use crate::domain::issue::{KeyState, ScopeState};

/// Entries of one record.
const ENTRIES: usize = 16;
/// Dead entries that are always borne.
const SLACK: usize = 256;
const VERSION: u8 = 1;

/// The newest word on a key or a scope; none where it was removed.
#[derive(Serialize, Deserialize)]
pub enum Entry {
    Key(KeyId, Option<Arc<KeyState>>),
    Scope(ScopeId, Option<Arc<ScopeState>>),
}

impl Entry {
    /// What it is about.
    pub fn subject(&self) -> Subject {
        match self {
            Entry::Key(id, _) => Subject::Key(*id),
            Entry::Scope(id, _) => Subject::Scope(*id),
        }
    }

    fn is_removal(&self) -> bool {
        matches!(self, Entry::Key(_, None) | Entry::Scope(_, None))
    }
}

/// Where everything is.
#[derive(Default)]
pub struct Ledger {
    records: BTreeMap<u64, Record>,
    /// In which record the newest word on each living thing is.
    newest: HashMap<Subject, u64, Hashed>,
    entries: usize,
    next: u64,
}

struct Record {
    subjects: Box<[Subject]>,
    chunks: u16,
}

/// What a batch does to the ledger, for memory to follow when it is written.
#[derive(Default)]
pub struct Moves {
    added: Vec<(Record, Vec<bool>)>,
    removed: Vec<u64>,
}

impl Ledger {
    /// Writes what a group changed, and moves a little.
    pub fn write(&self, batch: &mut Batch, catalog: &Catalog, mut changed: Vec<Entry>) -> Moves {
        let mut moves = Moves::default();
        let touched: HashSet<Subject, Hashed> = changed.iter().map(Entry::subject).collect();
        let mut dead = (self.entries + changed.len()).saturating_sub(self.newest.len());
        // Twice what came in, so that the dead are reached faster than they grow.
        let (budget, mut moved) = (2 * changed.len() + 2, 0);
        let mut oldest = self.records.iter();
        while dead > self.newest.len() + SLACK && moved < budget {
            let Some((number, record)) = oldest.next() else { break };
            for subject in &record.subjects {
                if self.newest.get(subject) != Some(number) || touched.contains(subject) {
                    continue;
                }
                moved += 1;
                changed.push(match subject {
                    Subject::Key(id) => Entry::Key(*id, catalog.get(*id)),
                    Subject::Scope(id) => Entry::Scope(*id, catalog.scope(*id).cloned()),
                });
            }
            dead = dead.saturating_sub(record.subjects.len());
            chunks::remove(batch, &keyspace::ledger(*number), 0, record.chunks);
            moves.removed.push(*number);
        }
        for (number, entries) in (self.next..).zip(changed.chunks(ENTRIES)) {
            let chunks = chunks::write(batch, &keyspace::ledger(number), &encode(entries));
            let subjects = entries.iter().map(Entry::subject).collect();
            let removals = entries.iter().map(Entry::is_removal).collect();
            moves.added.push((Record { subjects, chunks }, removals));
        }
        moves
    }

    /// Memory follows the disk.
    pub fn follow(&mut self, moves: Moves) {
        for number in moves.removed {
            if let Some(record) = self.records.remove(&number) {
                self.entries -= record.subjects.len();
            }
        }
        for (record, removals) in moves.added {
            for (subject, removal) in record.subjects.iter().zip(removals) {
                if removal {
                    self.newest.remove(subject);
                } else {
                    self.newest.insert(*subject, self.next);
                }
            }
            self.entries += record.subjects.len();
            self.records.insert(self.next, record);
            self.next += 1;
        }
    }
}

/// What stands before the packed entries.
#[derive(Serialize, Deserialize)]
struct Head {
    /// What each entry is about, and its bytes.
    places: Vec<(Subject, u32)>,
    /// Whether the entries are packed; not where that failed.
    packed: bool,
}

fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut places = Vec::with_capacity(entries.len());
    for entry in entries {
        let from = plain.len();
        // Writing to memory cannot fail for these types.
        plain = postcard::to_extend(entry, plain).unwrap_or_default();
        places.push((entry.subject(), (plain.len() - from) as u32));
    }
    let (packed, body) = match packing::pack(&plain) {
        Ok(body) => (true, body),
        Err(_) => (false, plain),
    };
    let mut bytes = postcard::to_allocvec(&(VERSION, Head { places, packed })).unwrap_or_default();
    bytes.extend_from_slice(&body);
    bytes
}

/// Reads the ledger at start.
#[derive(Default)]
pub struct Loading {
    ledger: Ledger,
    removed: HashSet<Subject, Hashed>,
}

impl Loading {
    /// Takes in one record. They come from the newest back, so that only what is alive is decoded and handed out.
    pub fn record(&mut self, number: u64, bytes: &[u8], mut each: impl FnMut(Entry)) -> Result<(), Error> {
        let what = || format!("record {number} of keys and scopes");
        let corrupt = |problem: String| Error::Corrupt { what: what(), problem };
        let broken = |e: postcard::Error| corrupt(e.to_string());
        let (version, rest) = postcard::take_from_bytes::<u8>(bytes).map_err(broken)?;
        if version != VERSION {
            return Err(Error::version(what(), version, VERSION));
        }
        let (Head { places, packed }, body) = postcard::take_from_bytes(rest).map_err(broken)?;
        let len = places.iter().map(|(_, len)| *len as usize).sum();
        let unpacked;
        let mut plain = if packed {
            unpacked = packing::unpack(body, len).map_err(|e| corrupt(e.to_string()))?;
            &unpacked[..]
        } else {
            body
        };
        let ledger = &mut self.ledger;
        for (subject, len) in &places {
            let entry = plain.split_off(..*len as usize).ok_or_else(|| corrupt("it is cut".to_owned()))?;
            if ledger.newest.contains_key(subject) || self.removed.contains(subject) {
                continue;
            }
            let entry: Entry = postcard::from_bytes(entry).map_err(broken)?;
            if entry.is_removal() {
                self.removed.insert(*subject);
            } else {
                ledger.newest.insert(*subject, number);
                each(entry);
            }
        }
        ledger.entries += places.len();
        ledger.next = ledger.next.max(number + 1);
        let subjects = places.iter().map(|(subject, _)| *subject).collect();
        ledger.records.insert(number, Record { subjects, chunks: chunks::of(bytes) });
        Ok(())
    }

    /// The ledger, once all records are in.
    pub fn finish(self) -> Ledger {
        self.ledger
    }
}

/// The number in the key of a record; none for a further chunk.
pub fn number(key: &IVec) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(1..)?.try_into().ok()?))
}
