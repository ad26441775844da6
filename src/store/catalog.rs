//! All keys, scopes and issues in memory; sled holds their durable form.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::domain::ids::{KeyId, ScopeId};
use crate::domain::issue::{KeyState, Scope, ScopeState};

/// Everything but the journal.
#[derive(Debug, Default)]
pub struct Catalog {
    keys: HashMap<KeyId, Arc<KeyState>>,
    scopes: BTreeMap<ScopeId, Arc<ScopeState>>,
    numbers: HashMap<u64, KeyId>,
    named: HashMap<Scope, Vec<ScopeId>>,
}

impl Catalog {
    /// The record of a key.
    pub fn get(&self, id: KeyId) -> Option<&Arc<KeyState>> {
        self.keys.get(&id)
    }
    /// The record of a scope.
    pub fn scope(&self, id: ScopeId) -> Option<&Arc<ScopeState>> {
        self.scopes.get(&id)
    }
    /// All scopes, by id.
    pub fn scopes(&self) -> impl Iterator<Item = (ScopeId, &Arc<ScopeState>)> {
        self.scopes.iter().map(|(id, s)| (*id, s))
    }
    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = (KeyId, &Arc<KeyState>)> {
        self.keys.iter().map(|(id, s)| (*id, s))
    }
    /// The key of the issue with this number.
    pub fn numbered(&self, number: u64) -> Option<KeyId> {
        self.numbers.get(&number).copied()
    }
    /// All scopes with these three parts.
    pub fn scopes_named(&self, scope: &Scope) -> Vec<ScopeId> {
        self.named.get(scope).cloned().unwrap_or_default()
    }
    /// Inserts, replaces or removes a key.
    pub fn put(&mut self, id: KeyId, state: Option<Arc<KeyState>>) {
        let old = match state {
            Some(state) => {
                if let Some(issue) = &state.marks.issue {
                    self.numbers.insert(issue.number, id);
                }
                self.keys.insert(id, state)
            }
            None => self.keys.remove(&id),
        };
        if let Some(number) = old.and_then(|s| s.marks.issue.as_ref().map(|i| i.number))
            && self.keys.get(&id).is_none_or(|s| s.marks.issue.is_none())
        {
            self.numbers.remove(&number);
        }
    }
    /// Inserts, replaces or removes a scope.
    pub fn put_scope(&mut self, id: ScopeId, state: Option<Arc<ScopeState>>) {
        match state {
            Some(state) => {
                let named = self.named.entry(state.scope.clone()).or_default();
                if !named.contains(&id) {
                    named.push(id);
                }
                self.scopes.insert(id, state);
            }
            None => {
                if let Some(old) = self.scopes.remove(&id)
                    && let Some(named) = self.named.get_mut(&old.scope)
                {
                    named.retain(|n| *n != id);
                }
            }
        }
    }
}
