//! Which records of keys are due to be forgotten, and when.

use std::collections::{BTreeSet, HashMap};

use super::Options;
use crate::domain::ids::KeyId;
use crate::domain::issue::{KeyState, State};
use crate::domain::time::Time;

/// Keys by the time from which they may go.
#[derive(Debug, Default)]
pub struct Expiry {
    order: BTreeSet<(Time, KeyId)>,
    due: HashMap<KeyId, Time>,
}

impl Expiry {
    /// Notes the record of a key as it is now.
    pub fn put(&mut self, id: KeyId, state: Option<&KeyState>, options: &Options) {
        let due = state.and_then(|s| due(s, options));
        let old = match due {
            Some(due) => self.due.insert(id, due),
            None => self.due.remove(&id),
        };
        if old == due {
            return;
        }
        if let Some(old) = old {
            self.order.remove(&(old, id));
        }
        if let Some(due) = due {
            self.order.insert((due, id));
        }
    }

    /// Keys that are due, the longest due first.
    pub fn due(&self, now: Time) -> impl Iterator<Item = (Time, KeyId)> + '_ {
        self.order.iter().take_while(move |(due, _)| *due < now).copied()
    }
}

/// From when on a key may be forgotten; never while its issue is active.
pub fn due(state: &KeyState, options: &Options) -> Option<Time> {
    match &state.marks.issue {
        Some(issue) if issue.state == State::Active => None,
        Some(issue) => Some(issue.updated_at.plus(options.keep_resolved)),
        None => state.marks.newest.as_ref().map(|n| n.seen.plus(options.keep_events)),
    }
}
