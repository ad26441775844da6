//! The records of keys: those written lately as they are, the others packed.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde::Deserialize;

use super::values::Hashed;
use crate::domain::ids::{KeyId, Position};
use crate::domain::issue::{IssueType, KeyState, Outcome, Severity, State};
use crate::domain::time::Time;

/// Writes that a record stays unpacked for.
const LIVE: usize = 8192;

/// Records by key.
#[derive(Debug, Default)]
pub struct Records {
    records: HashMap<KeyId, Record, Hashed>,
    /// Writes in order, by their count; the oldest is packed next.
    lately: VecDeque<(KeyId, u64)>,
    writes: u64,
}

#[derive(Debug)]
enum Record {
    /// The record, and which write brought it.
    Live(Arc<KeyState>, u64),
    Packed(Box<[u8]>),
}

impl Records {
    /// The record of a key.
    pub fn get(&self, id: KeyId) -> Option<Arc<KeyState>> {
        self.records.get(&id).map(unpacked)
    }

    /// All records.
    pub fn iter(&self) -> impl Iterator<Item = (KeyId, Arc<KeyState>)> {
        self.records.iter().map(|(id, record)| (*id, unpacked(record)))
    }

    /// Looks at title and description without unpacking the rest.
    pub fn texts<T>(&self, id: KeyId, look: impl FnOnce(&str, &str) -> T) -> Option<T> {
        match self.records.get(&id)? {
            Record::Live(state, _) => state.marks.issue.as_ref().map(|i| look(&i.title, &i.description)),
            Record::Packed(bytes) => {
                let (head, _) = postcard::take_from_bytes::<Head<'_>>(bytes).ok()?;
                head.issue.map(|i| look(i.title, i.description))
            }
        }
    }

    /// Replaces a record and gives the one before.
    pub fn put(&mut self, id: KeyId, state: Option<Arc<KeyState>>) -> Option<Arc<KeyState>> {
        let Some(state) = state else { return self.records.remove(&id).as_ref().map(unpacked) };
        self.writes += 1;
        let old = self.records.insert(id, Record::Live(state, self.writes));
        self.lately.push_back((id, self.writes));
        if self.lately.len() > LIVE
            && let Some((id, write)) = self.lately.pop_front()
        {
            self.pack(id, write);
        }
        old.as_ref().map(unpacked)
    }

    fn pack(&mut self, id: KeyId, write: u64) {
        let Some(record) = self.records.get_mut(&id) else { return };
        if let Record::Live(state, at) = record
            && *at == write
            && let Ok(bytes) = postcard::to_allocvec(&**state)
        {
            *record = Record::Packed(bytes.into());
        }
    }
}

fn unpacked(record: &Record) -> Arc<KeyState> {
    match record {
        Record::Live(state, _) => state.clone(),
        Record::Packed(bytes) => {
            let read = postcard::from_bytes(bytes);
            Arc::new(read.expect("bytes that were packed from a record in this process can be unpacked"))
        }
    }
}

/// The beginning of a packed [`KeyState`], up to the texts, borrowed. Must list the fields as `domain::issue` does;
/// a test holds them together.
#[derive(Deserialize)]
#[expect(dead_code, reason = "read over on the way to the texts")]
struct Head<'a> {
    #[serde(borrow)]
    key: HeadKey<'a>,
    newest: Option<HeadNewest<'a>>,
    issue: Option<HeadIssue<'a>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "read over on the way to the texts")]
struct HeadKey<'a> {
    namespace: &'a str,
    resource_type: &'a str,
    resource_name: &'a str,
    resource_namespace: &'a str,
    issue_type: IssueType,
    check: &'a str,
    project: &'a str,
    stage: &'a str,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "read over on the way to the texts")]
struct HeadNewest<'a> {
    at: Time,
    position: Position,
    run: &'a str,
    outcome: Outcome,
    seen: Time,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "read over on the way to the texts")]
struct HeadIssue<'a> {
    number: u64,
    state: State,
    severity: Severity,
    title: &'a str,
    description: &'a str,
}

#[cfg(test)]
mod tests {
    use super::super::select::tests::state;
    use super::*;

    #[test]
    fn packed_records_are_the_same_and_their_texts_are_found() {
        let mut records = Records::default();
        let mut all = Vec::new();
        for n in 1..=3 {
            let mut state = state(n, 1, Severity::Major, true, n as i64);
            let own = Arc::make_mut(&mut state);
            own.key.check = format!("check {n}");
            own.marks.newest = (n != 2).then(|| crate::domain::issue::Newest {
                at: Time::EPOCH,
                position: Position::new(n, 0),
                run: format!("run {n}"),
                outcome: Outcome::Failure,
                seen: Time::EPOCH,
            });
            if n == 3 {
                own.marks.issue = None;
            }
            records.put(state.key.id(), Some(state.clone()));
            records.pack(state.key.id(), n);
            all.push(state);
        }
        assert!(records.records.values().all(|r| matches!(r, Record::Packed(_))));
        for state in &all {
            let id = state.key.id();
            assert_eq!(records.get(id).as_ref(), Some(state));
            let texts = records.texts(id, |t, d| (t.to_owned(), d.to_owned()));
            assert_eq!(texts, state.marks.issue.as_ref().map(|i| (i.title.clone(), i.description.clone())));
        }
        // A record written again is not packed by the note of its earlier write.
        records.put(all[0].key.id(), Some(all[0].clone()));
        records.pack(all[0].key.id(), 1);
        assert!(matches!(records.records[&all[0].key.id()], Record::Live(..)));
    }

    #[test]
    fn many_records_are_packed_as_others_come() {
        let mut records = Records::default();
        for n in 0..LIVE as u64 + 10 {
            let state = state(n + 1, (n % 250) as u8, Severity::Info, true, 0);
            records.put(state.key.id(), Some(state));
        }
        let packed = records.records.values().filter(|r| matches!(r, Record::Packed(_))).count();
        assert_eq!(packed, 10);
        assert_eq!(records.iter().count(), LIVE + 10);
    }
}
