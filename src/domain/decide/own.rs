//! Recognising what Shipwatch published itself when it comes back on the stream.
//!
//! A message whose id is one that a journal line gives is kept as a reference to that line. Anything else with our
//! `source` is kept whole and causes nothing either.

use std::collections::{HashMap, VecDeque};

use super::{Settings, recorded};
use crate::domain::event::Event;
use crate::domain::ids::Position;
use crate::domain::lookup::{Lookup, Unreadable};
use crate::domain::messages::{self, Message};
use crate::domain::row::{Entry, Mark, Own};

/// Messages made lately, so that they need not be made again when they come back. Only saves time: without it the same
/// is decided from the journal.
#[derive(Debug)]
pub struct Memory {
    known: HashMap<uuid::Uuid, Own>,
    order: VecDeque<uuid::Uuid>,
    limit: usize,
}

impl Memory {
    /// Remembers up to `limit` messages.
    pub fn new(limit: usize) -> Memory {
        Memory { known: HashMap::new(), order: VecDeque::new(), limit }
    }

    /// Notes a message caused by the line at `position`.
    pub fn note(&mut self, position: Position, message: &Message) {
        let own = Own { of: position, kind: message.kind };
        if self.known.insert(message.id, own).is_none() {
            self.order.push_back(message.id);
        }
        while self.order.len() > self.limit {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

/// The journal line behind an event with our source, if it is one of ours and has not come back before.
pub(super) fn recognise<L: Lookup>(
    event: &Event,
    lookup: &L,
    settings: &Settings,
    memory: &Memory,
) -> Result<Option<Own>, Unreadable> {
    let Ok(id) = event.id.parse::<uuid::Uuid>() else { return Ok(None) };
    if came_back(&event.id, id, lookup, settings)? {
        return Ok(None);
    }
    if let Some(own) = memory.known.get(&id) {
        return Ok(Some(*own));
    }
    let cause = event.triggered_id.as_deref().or_else(|| event.extension("causationid"));
    let Some(cause) = cause else { return Ok(None) };
    for row in lookup.rows(Mark::EventId(cause))? {
        if recorded(&row).and_then(|r| r.head.as_ref()).is_none_or(|h| h.origin.id != cause) {
            continue;
        }
        let again = messages::again(&row, lookup, settings)?;
        if let Some(message) = again.iter().find(|m| m.id == id) {
            return Ok(Some(Own { of: row.position, kind: message.kind }));
        }
    }
    Ok(None)
}

/// Whether this message stands in the journal as our own already.
pub(super) fn came_back<L: Lookup>(
    text: &str,
    id: uuid::Uuid,
    lookup: &L,
    settings: &Settings,
) -> Result<bool, Unreadable> {
    for row in lookup.rows(Mark::EventId(text))? {
        if let Entry::Own(own) = row.entry
            && messages::of_own(own, lookup, settings)?.is_some_and(|m| m.id == id)
        {
            return Ok(true);
        }
    }
    Ok(false)
}
