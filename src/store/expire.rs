//! Retention: a few steps with every event, by the stream time of that event.
//!
//! Never by the clock and never once a group, so a fresh fold forgets the same things at the same places.

use std::sync::Arc;

use super::due::{self, Subject};
use super::error::Error;
use super::staged::Staged;
use crate::domain::ids::{KeyId, Position};
use crate::domain::issue::Marks;
use crate::domain::lookup::Lookup;
use crate::domain::time::Time;

/// Steps of each kind with one event: more than events make, so a backlog shrinks, and few enough that nobody notices.
const STEPS: usize = 4;

/// What one event let go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Journal lines.
    pub rows: usize,
    /// Resolved issues, keys and scopes.
    pub records: usize,
}

impl Staged {
    /// Forgets a few of the oldest things that `now`, the stream time of the event being folded, lies too far behind.
    /// To be called once for every event.
    ///
    /// Parked lines stay, and so do the newest [`super::Options::keep_rows`] lines whatever their age: their effects may not be
    /// published yet, and how far publishing is must not decide what is kept.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn expire(&mut self, now: Time) -> Result<Expired, Error> {
        let mut expired = Expired::default();
        if let Some(span) = self.shared.options.retention.events {
            let horizon = now.minus(span);
            for _ in 0..STEPS {
                let Some(position) = self.next_old_line(horizon)? else { break };
                self.ahead.pop_front();
                self.fold.oldest = Position::from_u64(position.to_u64() + 1);
                // A parked line is passed over; it goes when the mark is taken away.
                if !self.is_parked(position) {
                    self.fold.kept -= 1;
                    expired.rows += 1;
                }
            }
        }
        while expired.records < STEPS {
            let Some((_, subject)) = self.next_due().filter(|(at, _)| *at < now) else { break };
            self.forget(subject, now);
            expired.records += 1;
        }
        Ok(expired)
    }

    /// The next line in order, if it is old enough to go and enough others are left.
    fn next_old_line(&mut self, horizon: Time) -> Result<Option<Position>, Error> {
        let unparked = self.fold.kept.saturating_sub(self.parked_count as u64);
        if unparked <= self.shared.options.keep_rows {
            return Ok(None);
        }
        if self.ahead.is_empty() {
            self.look_ahead()?;
        }
        let front = self.ahead.front().filter(|(_, time)| *time < horizon);
        Ok(front.map(|(position, _)| *position))
    }

    fn look_ahead(&mut self) -> Result<(), Error> {
        let from = self.fold.oldest;
        match self.shared.block_from(from)? {
            Some((block, _)) => self.ahead.extend(block.lines().filter(|(p, _)| *p >= from)),
            None => {
                let new = self.rows.iter().map(|r| (r.row.position, r.row.stream_time));
                self.ahead.extend(new.filter(|(p, _)| *p >= from).take(16));
            }
        }
        Ok(())
    }

    /// What is due first: of this group's own, and of the store's what the group has not touched.
    fn next_due(&mut self) -> Option<(Time, Subject)> {
        use std::ops::Bound::{Included, Unbounded};
        let mut stored = None;
        {
            let state = self.shared.state.read();
            let from = self.due_from.map_or(Unbounded, Included);
            for due in state.due.range((from, Unbounded)) {
                // What the group touched stays touched, so the next look begins here.
                self.due_from = Some(*due);
                if !self.touched(due.1) {
                    stored = Some(*due);
                    break;
                }
            }
        }
        [stored, self.due.first().copied()].into_iter().flatten().min()
    }

    fn forget(&mut self, subject: Subject, now: Time) {
        match subject {
            Subject::Scope(id) => self.set_scope(id, None),
            Subject::Key(id) => self.forget_key(id, now),
        }
    }

    fn forget_key(&mut self, id: KeyId, now: Time) {
        let Some(state) = self.key(id) else { return };
        // The issue goes; its key's newest word goes on counting against late events as long as that of a key without an issue.
        let mut bare = (*state).clone();
        bare.marks = Arc::new(Marks { issue: None, newest: state.marks.newest.clone() });
        let still = due::of_key(&bare, &self.shared.options.retention).is_none_or(|at| at >= now);
        if still && state.marks.issue.is_some() {
            self.put_key(id, bare);
            return;
        }
        self.remove_key(id);
        let scope_id = state.key.scope_id();
        if let Some(scope) = self.scope(scope_id) {
            let mut scope = (*scope).clone();
            scope.keys.retain(|key| *key != id);
            self.put_scope(scope_id, scope);
        }
    }
}
