//! All keys, scopes and issues in memory, with the indexes that listings need; sled holds the durable form.
//!
//! Memory grows with issues, not with events. Records that nobody has written for a while are kept packed, which takes
//! a third of the room; whoever asks for one gets it unpacked.

mod fits;
mod listing;
mod order;
mod packed;
mod past;
mod records;
pub mod select;
mod texts;
mod values;
pub mod view;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use roaring::RoaringBitmap;
use smallvec::SmallVec;

use crate::domain::ids::{KeyId, Position, ScopeId};
use crate::domain::issue::{KeyState, Scope, ScopeState, Severity, State};
use listing::Listing;
use records::Records;
use values::Seed;

pub use fits::Matcher;
pub use past::Past;
pub use values::Field;
pub(super) use values::Hashed;

/// Relations shown of one issue in each direction, at most; the newest are shown.
pub const RELATED: usize = 50;

/// The issues related to one, the newest first.
#[derive(Clone, Debug, Default)]
pub struct Relations {
    /// Those that came after it.
    pub newer: Vec<Arc<KeyState>>,
    /// Those that were there before it.
    pub older: Vec<Arc<KeyState>>,
}

/// Everything but the journal.
#[derive(Debug, Default)]
pub struct Catalog {
    seed: Seed,
    records: Records,
    scopes: BTreeMap<ScopeId, Arc<ScopeState>>,
    named: HashMap<u128, SmallVec<[ScopeId; 1]>, Hashed>,
    listing: Listing,
    version: u64,
    last: Option<Position>,
}

impl Catalog {
    /// The record of a key.
    pub fn get(&self, id: KeyId) -> Option<Arc<KeyState>> {
        self.records.get(id)
    }

    fn slots(&self, ids: impl Iterator<Item = KeyId>) -> RoaringBitmap {
        let mut slots: Vec<u32> = ids.filter_map(|id| self.records.slot(id)).collect();
        slots.sort_unstable();
        slots.into_iter().collect()
    }

    /// All keys, in no order.
    pub fn keys(&self) -> impl Iterator<Item = KeyId> {
        self.records.ids()
    }

    /// The record of a scope.
    pub fn scope(&self, id: ScopeId) -> Option<&Arc<ScopeState>> {
        self.scopes.get(&id)
    }

    /// All scopes, by id.
    pub fn scopes(&self) -> impl ExactSizeIterator<Item = (ScopeId, &Arc<ScopeState>)> {
        self.scopes.iter().map(|(id, s)| (*id, s))
    }

    /// The key of the issue with this number.
    pub fn numbered(&self, number: u64) -> Option<KeyId> {
        self.listing.numbered(number).and_then(|slot| self.records.id(slot))
    }

    /// All scopes with these three parts, whatever their project and stage.
    pub fn scopes_named(&self, scope: &Scope) -> Vec<ScopeId> {
        self.named.get(&self.seed.of_scope(scope)).map(|ids| ids.to_vec()).unwrap_or_default()
    }

    /// All scopes of a Keptn project and stage, by id.
    pub fn scopes_of_stage(&self, project: &str, stage: &str) -> impl Iterator<Item = (ScopeId, &Arc<ScopeState>)> {
        self.scopes().filter(move |(_, s)| s.project == project && s.stage == stage)
    }

    /// Issues there are.
    pub fn issues(&self) -> u64 {
        self.listing.len()
    }

    /// How many issues have this state and severity.
    pub fn count(&self, state: State, severity: Severity) -> u64 {
        self.listing.count(state, severity)
    }

    /// Active and resolved issues of a scope.
    pub fn counts_of(&self, scope: ScopeId) -> (u64, u64) {
        self.listing.counts_of(&self.seed, scope)
    }

    /// Issues related to one: of the same scope, or of the same `shkeptncontext` where it has one.
    pub fn related(&self, state: &KeyState) -> Relations {
        self.related_without(state, &RoaringBitmap::new())
    }

    fn related_without(&self, state: &KeyState, out: &RoaringBitmap) -> Relations {
        let (newer, older) = self.listing.related(&self.seed, state, out);
        let of = |slots: Vec<u32>| slots.into_iter().filter_map(|slot| self.records.at(slot)).collect();
        Relations { newer: of(newer), older: of(older) }
    }

    /// Grows with every change, so that what was made of one version need not be made again.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The last journal line that this is the state after.
    pub fn last(&self) -> Option<Position> {
        self.last
    }

    /// Says which line that is.
    pub(super) fn set_last(&mut self, last: Option<Position>) {
        self.last = last;
    }

    /// Inserts, replaces or removes a key; gives the record before.
    pub fn put(&mut self, id: KeyId, state: Option<Arc<KeyState>>) -> Option<Arc<KeyState>> {
        self.version += 1;
        match state {
            Some(state) => {
                let (slot, old) = self.records.put(id, state.clone());
                self.listing.put(&self.seed, slot, old.as_deref(), Some(&state));
                old
            }
            None => {
                let (slot, old) = self.records.remove(id)?;
                self.listing.put(&self.seed, slot, Some(&old), None);
                Some(old)
            }
        }
    }

    /// Inserts, replaces or removes a scope.
    pub fn put_scope(&mut self, id: ScopeId, state: Option<Arc<ScopeState>>) {
        self.version += 1;
        match state {
            Some(state) => {
                let scope = self.seed.of_scope(&state.scope);
                if self.scopes.insert(id, state).is_none() {
                    self.named.entry(scope).or_default().push(id);
                }
            }
            None => {
                let Some(old) = self.scopes.remove(&id) else { return };
                let scope = self.seed.of_scope(&old.scope);
                if let Some(named) = self.named.get_mut(&scope) {
                    named.retain(|n| *n != id);
                    if named.is_empty() {
                        self.named.remove(&scope);
                    }
                }
            }
        }
    }
}
