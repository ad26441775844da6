//! What became of an event, told to the one who published it and waits.
//!
//! A function of the journal line and the state around it, so a repeat of the event is told the same.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::call::CALLBACK;
use super::decide::{FINISHED, REPLAYED};
use super::decision::{Fate, Layer};
use super::event::Event;
use super::issue::{ChangeKind, Origin, Outcome, Scope, View};
use super::lookup::{Lookup, Unreadable};
use super::messages;
use super::row::{Entry, Mark, Recorded, Row};

/// `source` of what the gateway publishes.
pub const GATEWAY: &str = "shipwatch/gateway";

/// Extension of an event with the SHA-256 of the request it was made from, where a repeat must be told from another request.
pub const BODY_HASH: &str = "shipwatchbodyhash";

/// Header of a message with the subject on which its publisher waits to be told.
pub const TELL: &str = "Shipwatch-Tell";

/// What such subjects begin with.
pub const SUBJECT: &str = "shipwatch.feedback";

/// Told to the publisher of one event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Feedback {
    /// What the event said.
    pub outcome: Outcome,
    /// It could not be handled, for the reason in `why`.
    pub parked: bool,
    /// Why it was decided so, in words.
    pub why: String,
    /// What it is about.
    pub scope: Option<Scope>,
    /// The issue of a failure, as the event left it.
    pub issue: Option<View>,
    /// Issues it resolved.
    pub resolved: usize,
    /// The event had come before; all else here is about the first one.
    pub repeated: bool,
    /// [`BODY_HASH`] of the event that this is about.
    pub body_hash: Option<String>,
    /// What became of a receiver's answer.
    #[serde(default)]
    pub callback: Option<Taken>,
}

/// What became of a receiver's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Taken {
    /// The task is finished by it.
    Finishes,
    /// The task was finished before.
    TooLate,
    /// Nobody waits for it.
    Unknown,
}

impl Feedback {
    /// About the event at `row`; none where that is no event.
    ///
    /// # Errors
    /// Where the state cannot be read.
    pub fn of<L: Lookup>(row: &Row, lookup: &L) -> Result<Option<Feedback>, Unreadable> {
        let Some(recorded) = recorded(row) else { return Ok(None) };
        if recorded.decision.fate == Fate::Duplicate(Layer::Id)
            && let Some(head) = &recorded.head
            && let Some(first) = first(&head.origin, row, lookup)?
        {
            let told = Feedback::about(&first, lookup)?;
            return Ok(told.map(|told| Feedback { repeated: true, ..told }));
        }
        Feedback::about(row, lookup)
    }

    fn about<L: Lookup>(row: &Row, lookup: &L) -> Result<Option<Feedback>, Unreadable> {
        let Some(recorded) = recorded(row) else { return Ok(None) };
        let decision = &recorded.decision;
        let key = decision.key.as_ref();
        let issue = match key.filter(|_| decision.outcome.is_broken()) {
            Some(key) => messages::left_behind(row.position, key.id(), lookup)?
                .and_then(|state| state.marks.issue.as_ref().map(|issue| issue.view(&state.key))),
            None => None,
        };
        let event = Event::from_json(&recorded.payload).ok();
        Ok(Some(Feedback {
            outcome: decision.outcome,
            parked: decision.fate == Fate::Parked,
            why: decision.why.clone(),
            scope: key.map(|key| key.scope.clone()),
            issue,
            resolved: decision.changes.iter().filter(|c| c.kind == Some(ChangeKind::Resolved)).count(),
            repeated: false,
            callback: event.as_ref().filter(|event| event.ty == CALLBACK).map(|_| match decision.fate {
                Fate::Answered => Taken::Finishes,
                _ if decision.why == FINISHED => Taken::TooLate,
                _ => Taken::Unknown,
            }),
            body_hash: event.and_then(|event| event.extension(BODY_HASH).map(str::to_owned)),
        }))
    }
}

/// The line that `row` repeats: what made later ones duplicates.
fn first<L: Lookup>(origin: &Origin, row: &Row, lookup: &L) -> Result<Option<Arc<Row>>, Unreadable> {
    let rows = lookup.rows(Mark::EventId(&origin.id))?;
    let counts = |r: &Recorded| {
        let handled = !matches!(r.decision.fate, Fate::Parked | Fate::Duplicate(Layer::Id));
        handled && r.decision.why != REPLAYED && r.head.as_ref().is_some_and(|h| h.origin == *origin)
    };
    Ok(rows.into_iter().find(|r| r.position < row.position && recorded(r).is_some_and(counts)))
}

fn recorded(row: &Row) -> Option<&Recorded> {
    match &row.entry {
        Entry::Event(recorded) => Some(recorded),
        Entry::Own(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::decide::model::Model;
    use super::*;
    use crate::domain::rules::RuleSet;

    fn tell(model: &mut Model, id: &str, ty: &str, hash: &str, data: &Value) -> Feedback {
        let event = json!({"specversion": "1.0", "id": id, "source": GATEWAY, "type": format!("dev.shipwatch.webhook.{ty}"),
            BODY_HASH: hash, "data": data});
        let row = model.judged(event.to_string().into(), &Kite(RuleSet::builtin())).0.row;
        Feedback::of(&row, model).unwrap().unwrap()
    }

    struct Kite(RuleSet);

    impl crate::domain::decide::Judge for Kite {
        fn evaluate(&self, _: &str, event: &Event) -> crate::domain::rules::Verdict {
            self.0.evaluate(event)
        }
        fn current(&self) -> &str {
            ""
        }
    }

    #[test]
    fn a_repeat_is_told_of_the_first_as_it_left_things() {
        let mut m = Model::default();
        let data = json!({"pipelineName": "p", "namespace": "n", "failureReason": "boom"});
        let first = tell(&mut m, "1", "pipeline.failure", "aa", &data);
        assert_eq!((first.issue.as_ref().unwrap().occurrences, first.repeated), (1, false));
        assert_eq!(tell(&mut m, "2", "pipeline.failure", "aa", &data).issue.unwrap().occurrences, 2);
        assert_eq!(tell(&mut m, "3", "pipeline.success", "aa", &data).resolved, 1);
        // Another body under the same id: the hash is that of the first.
        for hash in ["aa", "bb", "bb"] {
            let again = tell(&mut m, "1", "pipeline.failure", hash, &data);
            assert_eq!(again, Feedback { repeated: true, ..first.clone() });
        }
    }

    #[test]
    fn what_was_parked_counts_as_not_said() {
        let mut m = Model::default();
        let mut data = json!({"pipelineName": "p", "namespace": "n", "failureReason": "boom", "severity": "awful"});
        let parked = tell(&mut m, "1", "pipeline.failure", "aa", &data);
        assert!(parked.parked && parked.issue.is_none() && parked.why.contains("awful"), "{parked:?}");
        data["severity"] = "minor".into();
        let mended = tell(&mut m, "1", "pipeline.failure", "bb", &data);
        assert!(!mended.repeated && mended.issue.is_some(), "{mended:?}");
        let again = tell(&mut m, "1", "pipeline.failure", "bb", &data);
        assert_eq!(again, Feedback { repeated: true, ..mended });
    }
}
