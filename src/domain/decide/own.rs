//! Recognising what Shipwatch published itself when it comes back on the stream.
//!
//! A message whose id is one that a journal line gives is kept as a reference to that line. Anything else with our
//! `source` is kept whole and causes nothing either.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::{Settings, recorded};
use crate::domain::event::Event;
use crate::domain::ids::Position;
use crate::domain::lookup::{Lookup, Unreadable};
use crate::domain::messages::{self, Message};
use crate::domain::row::{Entry, Mark, Own};

/// Messages made lately, so that they need not be read or made again when they come back. Only saves time: without it the
/// same is decided from the journal. Shared by the fold, which notes them, and those who read ahead of it.
#[derive(Debug)]
pub struct Memory {
    noted: Mutex<Noted>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Noted {
    known: HashMap<Uuid, Seen, foldhash::fast::RandomState>,
    order: VecDeque<Uuid>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    own: Own,
    context: Option<u64>,
    /// Hash of the body, since another body under the same id is another event.
    body: u64,
}

/// A message of Shipwatch's own, by its id.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Its id.
    pub id: Uuid,
    /// Which message it is.
    pub own: Own,
    /// Hash of the mark of its context.
    pub context: Option<u64>,
}

impl Memory {
    /// Remembers up to `limit` messages.
    pub fn new(limit: usize) -> Memory {
        Memory { noted: Mutex::default(), limit }
    }

    /// Notes a message caused by the line at `position`, whose event has this `shkeptncontext`.
    pub fn note(&self, position: Position, context: Option<&str>, message: &Message) {
        let own = Own { of: position, kind: message.kind };
        let noted = &mut *self.noted.lock();
        let context = context.map(|c| Mark::Context(c).hash());
        if noted.known.insert(message.id, Seen { own, context, body: xxh3_64(&message.body) }).is_none() {
            noted.order.push_back(message.id);
        }
        while noted.order.len() > self.limit {
            if let Some(oldest) = noted.order.pop_front() {
                noted.known.remove(&oldest);
            }
        }
    }

    /// The message that this body is, byte for byte, if it was noted.
    pub fn find(&self, body: &[u8]) -> Option<Known> {
        let id = messages::id_of_own(body)?;
        let seen = *self.noted.lock().known.get(&id)?;
        (seen.body == xxh3_64(body)).then_some(Known { id, own: seen.own, context: seen.context })
    }

    fn own(&self, id: Uuid) -> Option<Own> {
        self.noted.lock().known.get(&id).map(|seen| seen.own)
    }
}

/// The journal line behind an event with our source, if it is one of ours and has not come back before.
pub(super) fn recognise<L: Lookup>(
    event: &Event,
    lookup: &L,
    settings: &Settings,
    memory: &Memory,
) -> Result<Option<Own>, Unreadable> {
    let Ok(id) = event.id.parse::<Uuid>() else { return Ok(None) };
    if came_back(&event.id, id, lookup, settings)? {
        return Ok(None);
    }
    if let Some(own) = memory.own(id) {
        return Ok(Some(own));
    }
    let cause = event.triggered_id.as_deref().or_else(|| event.extension("causationid"));
    let Some(cause) = cause else { return Ok(None) };
    // The `finished` of a webhook is caused by the report of its call, which names the same trigger.
    for mark in [Mark::EventId(cause), Mark::Run(cause)] {
        for row in lookup.rows(mark)? {
            let caused = recorded(&row).is_some_and(|r| match mark {
                Mark::EventId(_) => r.head.as_ref().is_some_and(|h| h.origin.id == cause),
                _ => r.decision.report.is_some(),
            });
            if !caused {
                continue;
            }
            let again = messages::again(&row, lookup, settings)?;
            if let Some(message) = again.iter().find(|m| m.id == id) {
                return Ok(Some(Own { of: row.position, kind: message.kind }));
            }
        }
    }
    Ok(None)
}

/// Whether this message stands in the journal as our own already.
pub(super) fn came_back<L: Lookup>(text: &str, id: Uuid, lookup: &L, settings: &Settings) -> Result<bool, Unreadable> {
    for row in lookup.rows(Mark::EventId(text))? {
        if let Entry::Own(own) = row.entry
            && messages::of_own(own, lookup, settings)?.is_some_and(|m| m.id == id)
        {
            return Ok(true);
        }
    }
    Ok(false)
}
