//! The outbox: messages that the journal owes to the stream, and calls that it owes to receivers.
//!
//! There are no rows to write and delete for it. What a journal line causes can be made again from the line, so the
//! outbox is the journal beyond a cursor: everything up to the cursor has been published and acknowledged. The cursor
//! is stored with a later commit; until then the worst that happens is that a message is looked at twice. Before the
//! first publish of a new life the fold passes the last message of ours that the stream had at start, and one that is seen in
//! the stream is not owed any more.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::Notify;

use crate::domain::ids::Position;
use crate::domain::row::{Own, OwnKind};

/// What is owed. Shared by the fold, which adds to it, and the publisher, which settles.
#[derive(Debug, Default)]
pub struct Outbox {
    state: Mutex<State>,
    /// Told whenever something is settled.
    settled: Notify,
}

#[derive(Debug, Default)]
struct State {
    owed: BTreeMap<Position, SmallVec<[OwnKind; 3]>>,
    messages: usize,
    folded: Position,
}

impl Outbox {
    /// An outbox that owes nothing for lines up to `published`.
    pub fn starting_at(published: Position) -> Outbox {
        Outbox { state: Mutex::new(State { folded: published, ..State::default() }), settled: Notify::new() }
    }

    /// The line at `position` is committed and causes these messages (none, for most lines).
    pub fn owe(&self, position: Position, kinds: impl IntoIterator<Item = OwnKind>) {
        let mut state = self.state.lock();
        let kinds: SmallVec<[OwnKind; 3]> = kinds.into_iter().collect();
        state.folded = state.folded.max(position);
        if !kinds.is_empty() {
            state.messages += kinds.len();
            if let Some(old) = state.owed.insert(position, kinds) {
                state.messages -= old.len();
            }
        }
    }

    /// The message has been acknowledged by the stream, or was seen in it.
    pub fn settle(&self, own: Own) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let Some(kinds) = state.owed.get_mut(&own.of) else { return };
        let before = kinds.len();
        kinds.retain(|kind| *kind != own.kind);
        let (after, empty) = (kinds.len(), kinds.is_empty());
        if empty {
            state.owed.remove(&own.of);
        }
        state.messages -= before - after;
        drop(guard);
        self.settled.notify_waiters();
    }

    /// Waits until something is not owed any more.
    pub async fn settled(&self, own: Own) {
        loop {
            let mut told = std::pin::pin!(self.settled.notified());
            // From here on nothing is missed.
            told.as_mut().enable();
            if !self.owes(own) {
                return;
            }
            told.await;
        }
    }

    /// The line is not kept any more, so what it owes cannot be made.
    pub fn forget(&self, of: Position) {
        let mut state = self.state.lock();
        if let Some(kinds) = state.owed.remove(&of) {
            state.messages -= kinds.len();
        }
    }

    /// Whether the message is still owed.
    pub fn owes(&self, own: Own) -> bool {
        self.state.lock().owed.get(&own.of).is_some_and(|kinds| kinds.contains(&own.kind))
    }

    /// Everything up to here is published.
    pub fn cursor(&self) -> Position {
        let state = self.state.lock();
        match state.owed.first_key_value() {
            Some((first, _)) => Position::from_u64(first.to_u64().saturating_sub(1)),
            None => state.folded,
        }
    }

    /// Messages owed.
    pub fn depth(&self) -> usize {
        self.state.lock().messages
    }

    /// Lines that owe something, in order.
    pub fn lines(&self) -> Vec<Position> {
        self.state.lock().owed.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_stands_before_the_first_line_that_owes() {
        let outbox = Outbox::starting_at(Position::new(4, 0));
        assert_eq!(outbox.cursor(), Position::new(4, 0));
        let at = |n| Position::new(n, 0);
        outbox.owe(at(5), [OwnKind::Started, OwnKind::Finished]);
        outbox.owe(at(6), []);
        outbox.owe(at(7), [OwnKind::Started]);
        assert_eq!((outbox.depth(), outbox.lines()), (3, vec![at(5), at(7)]));
        assert!(outbox.cursor() < at(5));
        outbox.settle(Own { of: at(5), kind: OwnKind::Finished });
        outbox.settle(Own { of: at(5), kind: OwnKind::Finished });
        assert!(outbox.owes(Own { of: at(5), kind: OwnKind::Started }));
        assert!(outbox.cursor() < at(5));
        outbox.settle(Own { of: at(5), kind: OwnKind::Started });
        assert!(outbox.cursor() >= at(6) && outbox.cursor() < at(7));
        outbox.settle(Own { of: at(7), kind: OwnKind::Started });
        assert_eq!((outbox.cursor(), outbox.depth()), (at(7), 0));
    }
}
