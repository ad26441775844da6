//! The packed form of a record, for this process alone: a third of the room it takes as it is.
//!
//! Title and description come first, because searches look at them alone. Then the words of the record, of which many are
//! UUIDs, and many the same: a run is also the newest run and what triggered it, a service gives its name to the resource.
//! What is left of the record without its words comes last.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::domain::issue::{Issue, Key, KeyState, Newest, Origin, Scope};

#[derive(Serialize, Deserialize)]
enum Word<'a> {
    Text(&'a str),
    /// A UUID in the usual form.
    Uuid([u8; 16]),
    /// The same as an earlier word.
    Same(u8),
}

/// Packs a record into `room`; its texts and words are gone then.
pub fn pack(state: &mut KeyState, room: Vec<u8>) -> postcard::Result<Vec<u8>> {
    let issue = Arc::make_mut(&mut state.marks).issue.as_mut();
    let (title, description) = issue
        .map(|issue| (std::mem::take(&mut issue.title), std::mem::take(&mut issue.description)))
        .unwrap_or_default();
    let mut all: Vec<String> = Vec::with_capacity(20);
    words(state, |word| all.push(std::mem::take(word)));
    let room = postcard::to_extend(&(&title, &description), room)?;
    let mut packed = postcard::to_extend(&(all.len() as u8), room)?;
    for (at, word) in all.iter().enumerate() {
        let same = all[..at].iter().position(|earlier| earlier == word && !word.is_empty());
        let word = match (same, uuid(word)) {
            (Some(same), _) => Word::Same(same as u8),
            (None, Some(uuid)) => Word::Uuid(uuid.into_bytes()),
            (None, None) => Word::Text(word),
        };
        packed = postcard::to_extend(&word, packed)?;
    }
    postcard::to_extend(state, packed)
}

/// Title and description of a packed record; both are empty where there is no issue.
pub fn texts(packed: &[u8]) -> postcard::Result<(&str, &str)> {
    postcard::take_from_bytes(packed).map(|(texts, _)| texts)
}

/// The record.
pub fn unpack(packed: &[u8]) -> postcard::Result<KeyState> {
    let ((title, description), rest) = postcard::take_from_bytes::<(String, String)>(packed)?;
    let (count, mut rest) = postcard::take_from_bytes::<u8>(rest)?;
    let mut all: Vec<String> = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let (word, behind) = postcard::take_from_bytes::<Word<'_>>(rest)?;
        rest = behind;
        let word = match word {
            Word::Text(text) => text.to_owned(),
            Word::Uuid(bytes) => Uuid::from_bytes(bytes).to_string(),
            Word::Same(at) => all.get(usize::from(at)).cloned().unwrap_or_default(),
        };
        all.push(word);
    }
    let mut state: KeyState = postcard::from_bytes(rest)?;
    let mut all = all.into_iter();
    words(&mut state, |word| *word = all.next().unwrap_or_default());
    if let Some(issue) = &mut Arc::make_mut(&mut state.marks).issue {
        (issue.title, issue.description) = (title, description);
    }
    Ok(state)
}

/// A UUID that is written as this text and no other.
fn uuid(text: &str) -> Option<Uuid> {
    let usual = text.len() == Hyphenated::LENGTH && !text.bytes().any(|b| b.is_ascii_uppercase());
    // Of this length there is one form only.
    usual.then(|| Uuid::try_parse(text).ok()).flatten()
}

/// All short texts of a record, always in the same order.
fn words(state: &mut KeyState, mut each: impl FnMut(&mut String)) {
    let Key { namespace, scope, issue_type: _, check, project, stage } = &mut state.key;
    let Scope { resource_type, resource_name, resource_namespace } = scope;
    for word in [namespace, resource_type, resource_name, resource_namespace, check, project, stage] {
        each(word);
    }
    let marks = Arc::make_mut(&mut state.marks);
    if let Some(issue) = &mut marks.issue {
        let Issue { last_run, context, triggered_id, service, rule, opened_by, resolved_by, resolved_run, .. } = issue;
        for word in [last_run, context, triggered_id, service, rule] {
            each(word);
        }
        for Origin { source, id } in [opened_by].into_iter().chain(resolved_by) {
            each(source);
            each(id);
        }
        if let Some(run) = resolved_run {
            each(run);
        }
    }
    if let Some(Newest { run, .. }) = &mut marks.newest {
        each(run);
    }
}

#[cfg(test)]
mod tests {
    use super::super::select::tests::state;
    use super::*;
    use crate::domain::ids::Position;
    use crate::domain::issue::{Outcome, Severity};
    use crate::domain::time::Time;

    #[test]
    fn what_is_packed_comes_back_whatever_its_words_are() {
        let run = "2c5ea4c0-4067-11e9-8bad-9b1deb4d3b7d";
        for odd in [run, "2C5EA4C0-4067-11E9-8BAD-9B1DEB4D3B7D", "", "service1", "2c5ea4c0-4067-11e9-8bad-9b1deb4d3b7Ä"]
        {
            for open in [true, false] {
                let mut record = (*state(1, 1, Severity::Major, open, 4)).clone();
                let newest = Newest {
                    at: Time::EPOCH,
                    position: Position::new(7, 0),
                    run: run.into(),
                    outcome: Outcome::Failure,
                    seen: Time::EPOCH,
                };
                let marks = Arc::make_mut(&mut record.marks);
                marks.newest = Some(newest);
                let issue = marks.issue.as_mut().unwrap();
                (issue.last_run, issue.triggered_id, issue.context) = (run.into(), odd.into(), odd.into());
                issue.resolved_by = (!open).then(|| Origin { source: "s".into(), id: odd.into() });
                issue.resolved_run = (!open).then(|| odd.into());
                let packed = pack(&mut record.clone(), Vec::new()).unwrap();
                assert_eq!(unpack(&packed).unwrap(), record);
                let issue = record.marks.issue.as_ref().unwrap();
                assert_eq!(texts(&packed).unwrap(), (&*issue.title, &*issue.description));
                Arc::make_mut(&mut record.marks).issue = None;
                let packed = pack(&mut record.clone(), Vec::new()).unwrap();
                assert_eq!(unpack(&packed).unwrap(), record);
            }
        }
    }

    #[test]
    fn words_that_are_the_same_take_no_room() {
        let run = "2c5ea4c0-4067-11e9-8bad-9b1deb4d3b7d";
        let size = |run: &str, trigger: &str| {
            let mut record = (*state(1, 1, Severity::Major, true, 4)).clone();
            let issue = Arc::make_mut(&mut record.marks).issue.as_mut().unwrap();
            (issue.last_run, issue.triggered_id) = (run.into(), trigger.into());
            pack(&mut record, Vec::new()).unwrap().len()
        };
        assert_eq!(size(run, run), size("", "") + 15);
    }
}
