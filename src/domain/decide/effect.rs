//! A decision in the making: what an event leads to, collected until it is whole.

use bytes::Bytes;

use super::{Decided, Judge, Settings, calls};
use crate::domain::call::{Replies, Report};
use crate::domain::decision::{Answer, Change, Decision, Fate};
use crate::domain::event::{Event, Form};
use crate::domain::ids::{KeyId, Position, ScopeId};
use crate::domain::issue::{Key, KeyState, Newest, Outcome, ScopeState};
use crate::domain::messages::{self, Sources};
use crate::domain::row::{Entry, Head, Recorded, Retry, Row};
use crate::domain::time::Time;

/// What goes into the journal line besides the decision.
pub(super) struct Written {
    pub(super) form: Form,
    pub(super) subject: String,
    pub(super) head: Option<Head>,
    pub(super) payload: Bytes,
    pub(super) retry: Option<Retry>,
}

/// A decision in the making.
pub(super) struct Effect {
    pub(super) fate: Fate,
    pub(super) outcome: Outcome,
    pub(super) rule: Option<String>,
    pub(super) why: String,
    pub(super) key: Option<Key>,
    pub(super) run: Option<String>,
    pub(super) at: Option<Time>,
    pub(super) changes: Vec<Change>,
    pub(super) scope_success: Option<(ScopeId, Option<Newest>)>,
    pub(super) answer: Option<Answer>,
    pub(super) report: Option<Report>,
    /// The trigger that a report is about, and the subscription.
    pub(super) trigger: Option<(Event, String)>,
    /// A line that is not parked any more.
    pub(super) unparked: Option<Position>,
    pub(super) keys: Vec<(KeyId, Option<KeyState>)>,
    pub(super) scopes: Vec<(ScopeId, ScopeState)>,
}

impl Effect {
    pub(super) fn new(fate: Fate, why: impl Into<String>) -> Effect {
        Effect {
            fate,
            outcome: Outcome::Neutral,
            rule: None,
            why: why.into(),
            key: None,
            run: None,
            at: None,
            changes: Vec::new(),
            scope_success: None,
            answer: None,
            report: None,
            trigger: None,
            unparked: None,
            keys: Vec::new(),
            scopes: Vec::new(),
        }
    }

    pub(super) fn by(self, rule: &str) -> Effect {
        Effect { rule: Some(rule.to_owned()), ..self }
    }

    pub(super) fn finish<J: Judge>(
        self,
        position: Position,
        stream_time: Time,
        written: Written,
        event: Option<Event>,
        judge: &J,
        settings: &Settings,
    ) -> Decided {
        let parked = self.fate == Fate::Parked;
        let Written { form, subject, head, payload, retry } = written;
        let unparked = self.unparked;
        let mut decision = Decision {
            fate: self.fate,
            outcome: self.outcome,
            rule: self.rule,
            why: self.why,
            key: self.key,
            run: self.run,
            at: self.at.or(head.as_ref().and_then(|h| h.time)).unwrap_or(stream_time),
            changes: self.changes,
            scope_success: self.scope_success,
            answer: self.answer,
            rule_set: judge.current().to_owned(),
            calls: Vec::new(),
            report: self.report,
        };
        let mut messages = Vec::new();
        if let Some(event) = &event {
            let trigger = self.trigger.as_ref().map(|(event, subscription)| (event, subscription.as_str()));
            let sources = Sources { event, trigger };
            let after = |id: KeyId| self.keys.iter().find(|(key, _)| *key == id).and_then(|(_, state)| state.clone());
            messages = messages::caused_by(stream_time, &decision, &sources, after, settings);
            if judge.calls_any() {
                decision.calls = calls::calls(judge, &decision, event, &messages);
                let starts = messages::starts(stream_time, &decision, event);
                decision.calls.extend(calls::calls_about(judge, &starts));
                messages.extend(starts);
                // Whoever counts the replies to a trigger finds ours at the trigger.
                if decision.run.is_none() && decision.calls.iter().any(|call| call.replies != Replies::None) {
                    decision.run = Some(event.id.clone());
                }
            }
        }
        let recorded = Recorded { form, subject, head, decision, retry, payload };
        let marks = recorded.hashes();
        let row = Row { position, stream_time, entry: Entry::Event(Box::new(recorded)) };
        Decided { row, keys: self.keys, scopes: self.scopes, parked, unparked, event, marks, messages }
    }
}
