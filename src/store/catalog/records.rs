//! The records of keys: those written lately as they are, the others packed.
//!
//! The fold reads a record when it decides, reads it again when it stages the change, and writes the next one when the group
//! is committed. A record is unpacked once for all of that, and one that changes all the time is neither packed nor unpacked.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::packed;
use super::values::Hashed;
use crate::domain::ids::KeyId;
use crate::domain::issue::KeyState;

/// Writes that a record stays unpacked for.
const LIVE: usize = 4096;

/// Packed records that stay unpacked beside after they were read: more than a group of events reads.
const READ: usize = 4096;

/// Records by key, each in a slot: a small number that it has while it is there. Slots are used again, so that nothing
/// grows with what retention removed.
#[derive(Debug, Default)]
pub struct Records {
    slots: HashMap<KeyId, u32, Hashed>,
    records: Vec<(KeyId, Record)>,
    free: Vec<u32>,
    /// Writes in order, by their count; the oldest is packed next.
    lately: VecDeque<(u32, u64)>,
    writes: u64,
    read: Read,
    /// Room for packing, so that each packed record is one allocation of its own size.
    room: Vec<u8>,
}

/// Packed records that were read lately, each at its slot modulo [`READ`].
#[derive(Debug, Default)]
struct Read(Mutex<Vec<Option<Place>>>);

/// A slot, and what was read from it.
type Place = (u32, Arc<KeyState>);

impl Read {
    fn get(&self, slot: u32) -> Option<Arc<KeyState>> {
        let places = self.0.lock();
        let (at, state) = places.get(slot as usize % READ)?.as_ref()?;
        (*at == slot).then(|| state.clone())
    }

    fn keep(&self, slot: u32, state: Arc<KeyState>) {
        let mut places = self.0.lock();
        if places.is_empty() {
            places.resize(READ, None);
        }
        places[slot as usize % READ] = Some((slot, state));
    }

    /// The record that is to be replaced.
    fn take(&mut self, slot: u32) -> Option<Arc<KeyState>> {
        let place = self.0.get_mut().get_mut(slot as usize % READ)?;
        place.take_if(|(at, _)| *at == slot).map(|(_, state)| state)
    }
}

#[derive(Debug)]
enum Record {
    Free,
    /// The record, and which write brought it.
    Live(Arc<KeyState>, u64),
    Packed(Box<[u8]>),
}

impl Records {
    /// The record of a key.
    pub fn get(&self, id: KeyId) -> Option<Arc<KeyState>> {
        let slot = *self.slots.get(&id)?;
        match &self.records.get(slot as usize)?.1 {
            record @ Record::Packed(_) => self.read.get(slot).or_else(|| {
                let state = unpacked(record)?;
                self.read.keep(slot, state.clone());
                Some(state)
            }),
            record => unpacked(record),
        }
    }

    /// The slot of a key.
    pub fn slot(&self, id: KeyId) -> Option<u32> {
        self.slots.get(&id).copied()
    }

    /// The record in a slot.
    pub fn at(&self, slot: u32) -> Option<Arc<KeyState>> {
        self.records.get(slot as usize).and_then(|(_, record)| unpacked(record))
    }

    /// The key in a slot.
    pub fn id(&self, slot: u32) -> Option<KeyId> {
        self.records.get(slot as usize).map(|(id, _)| *id)
    }

    /// All keys.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.slots.keys().copied()
    }

    /// Looks at title and description of the issue in a slot without unpacking the rest.
    pub fn texts<T>(&self, slot: u32, look: impl FnOnce(&str, &str) -> T) -> Option<T> {
        match &self.records.get(slot as usize)?.1 {
            Record::Free => None,
            Record::Live(state, _) => state.marks.issue.as_ref().map(|i| look(&i.title, &i.description)),
            Record::Packed(bytes) => {
                let (title, description) = packed::texts(bytes).ok()?;
                Some(look(title, description))
            }
        }
    }

    /// Replaces a record; gives its slot and the record before.
    pub fn put(&mut self, id: KeyId, state: Arc<KeyState>) -> (u32, Option<Arc<KeyState>>) {
        self.writes += 1;
        let record = Record::Live(state, self.writes);
        let (slot, old) = match self.slots.get(&id) {
            Some(&slot) => {
                let old = std::mem::replace(&mut self.records[slot as usize].1, record);
                (slot, self.read.take(slot).or_else(|| unpacked(&old)))
            }
            None => {
                let slot = match self.free.pop() {
                    Some(slot) => {
                        self.records[slot as usize] = (id, record);
                        slot
                    }
                    None => {
                        self.records.push((id, record));
                        self.records.len() as u32 - 1
                    }
                };
                self.slots.insert(id, slot);
                (slot, None)
            }
        };
        self.lately.push_back((slot, self.writes));
        if self.lately.len() > LIVE
            && let Some((slot, write)) = self.lately.pop_front()
        {
            self.pack(slot, write);
        }
        (slot, old)
    }

    /// Removes a record; gives the slot it had, and the record.
    pub fn remove(&mut self, id: KeyId) -> Option<(u32, Arc<KeyState>)> {
        let slot = self.slots.remove(&id)?;
        let old = std::mem::replace(&mut self.records[slot as usize].1, Record::Free);
        self.free.push(slot);
        let read = self.read.take(slot);
        Some((slot, read.or_else(|| unpacked(&old))?))
    }

    fn pack(&mut self, slot: u32, write: u64) {
        let record = &mut self.records[slot as usize].1;
        if let Record::Live(state, at) = record
            && *at == write
        {
            // Nobody else holds it, as a rule; then its texts need not be copied.
            let packed = packed::pack(Arc::make_mut(state), std::mem::take(&mut self.room));
            let mut packed = packed.expect("a record can be written, as it was for the disk");
            *record = Record::Packed(packed.as_slice().into());
            packed.clear();
            self.room = packed;
        }
    }
}

fn unpacked(record: &Record) -> Option<Arc<KeyState>> {
    match record {
        Record::Free => None,
        Record::Live(state, _) => Some(state.clone()),
        Record::Packed(bytes) => {
            let state = packed::unpack(bytes);
            Some(Arc::new(state.expect("bytes that were packed from a record in this process can be unpacked")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::select::tests::state;
    use super::*;
    use crate::domain::issue::Severity;

    #[test]
    fn packed_records_are_the_same_and_their_texts_are_found() {
        let mut records = Records::default();
        let mut all = Vec::new();
        for n in 1..=3 {
            let mut state = state(n, 1, Severity::Major, true, n as i64);
            if n == 3 {
                Arc::make_mut(&mut Arc::make_mut(&mut state).marks).issue = None;
            }
            let (slot, old) = records.put(state.key.id(), state.clone());
            assert_eq!((slot as u64, old), (n - 1, None));
            records.pack(slot, n);
            all.push(state);
        }
        assert!(records.records.iter().all(|(_, r)| matches!(r, Record::Packed(_))));
        for (slot, state) in all.iter().enumerate() {
            assert_eq!(records.get(state.key.id()).as_ref(), Some(state));
            let texts = records.texts(slot as u32, |t, d| (t.to_owned(), d.to_owned())).unwrap();
            let own = state.marks.issue.as_ref().map(|i| (i.title.clone(), i.description.clone()));
            assert_eq!(texts, own.unwrap_or_default());
        }
        // A record written again is not packed by the note of its earlier write.
        let (slot, old) = records.put(all[0].key.id(), all[0].clone());
        assert_eq!(old.as_ref(), Some(&all[0]));
        records.pack(slot, 1);
        assert!(matches!(records.records[0].1, Record::Live(..)));
        // Nor is what was read of it before taken for what it is now.
        records.pack(slot, 4);
        assert_eq!(records.get(all[0].key.id()).as_ref(), Some(&all[0]));
        records.put(all[0].key.id(), all[1].clone());
        records.pack(slot, 5);
        assert_eq!(records.get(all[0].key.id()).as_ref(), Some(&all[1]));
        assert_eq!(records.remove(all[0].key.id()), Some((0, all[1].clone())));
        records.pack(slot, 5);
        assert!(records.at(slot).is_none());
        assert_eq!(records.put(all[0].key.id(), all[0].clone()), (0, None));
    }

    #[test]
    fn many_records_are_packed_as_others_come() {
        let mut records = Records::default();
        for n in 0..LIVE as u64 + 10 {
            let state = state(n + 1, (n % 250) as u8, Severity::Info, true, 0);
            records.put(state.key.id(), state);
        }
        let packed = records.records.iter().filter(|(_, r)| matches!(r, Record::Packed(_))).count();
        assert_eq!(packed, 10);
        assert_eq!(records.ids().count(), LIVE + 10);
    }
}
