//! When keys and scopes may be forgotten. Depends on stream times alone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{KeyId, ScopeId};
use crate::domain::issue::{KeyState, Newest, ScopeState, State};
use crate::domain::time::Time;

/// How long things are kept, in stream time. `None` is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Resolved issues, from their last change on.
    pub resolved_issues: Option<Duration>,
    /// Journal lines; keys without an issue, from the newest event on.
    pub events: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Retention {
        let days = |n: u64| Some(Duration::from_secs(n * 24 * 3600));
        Retention { resolved_issues: days(90), events: days(30) }
    }
}

/// A key or a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// A key, with its issue.
    Key(KeyId),
    /// A scope.
    Scope(ScopeId),
}

/// The first instant behind which a thing last seen at `time` is forgotten.
fn after(time: Time, span: Option<Duration>) -> Option<Time> {
    let span = span?;
    let due = time.plus(span);
    // An instant that cannot be written is never.
    (due > time || span.is_zero()).then_some(due)
}

fn of_newest(newest: Option<&Newest>, retention: &Retention) -> Option<Time> {
    after(newest.map_or(Time::EPOCH, |n| n.seen), retention.events)
}

/// When something of a key is to be forgotten: its resolved issue, or the whole record where there is no issue.
pub fn of_key(state: &KeyState, retention: &Retention) -> Option<Time> {
    match &state.marks.issue {
        None => of_newest(state.marks.newest.as_ref(), retention),
        Some(issue) => match issue.state {
            State::Active => None,
            State::Resolved => after(issue.updated_at, retention.resolved_issues),
        },
    }
}

/// When a scope is to be forgotten: not while it has keys, nor while its newest success still counts against late failures.
pub fn of_scope(state: &ScopeState, retention: &Retention) -> Option<Time> {
    if state.keys.is_empty() { of_newest(state.success.as_ref(), retention) } else { None }
}
