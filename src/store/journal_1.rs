//! The form of journal lines before webhooks were called: without the calls of a line and what it reports.

use serde::Deserialize;

use crate::domain::decision::{Answer, Change, Decision, Fate};
use crate::domain::event::Form;
use crate::domain::ids::ScopeId;
use crate::domain::issue::{Key, Newest, Outcome};
use crate::domain::row::{Head, Recorded};
use crate::domain::time::Time;

#[derive(Deserialize)]
pub struct Recorded1 {
    form: Form,
    subject: String,
    head: Option<Head>,
    decision: Decision1,
}

#[derive(Deserialize)]
struct Decision1 {
    fate: Fate,
    outcome: Outcome,
    rule: Option<String>,
    why: String,
    key: Option<Key>,
    run: Option<String>,
    at: Time,
    changes: Vec<Change>,
    scope_success: Option<(ScopeId, Option<Newest>)>,
    answer: Option<Answer>,
    rule_set: String,
}

impl From<Recorded1> for Recorded {
    fn from(old: Recorded1) -> Recorded {
        let Recorded1 { form, subject, head, decision } = old;
        let Decision1 { fate, outcome, rule, why, key, run, at, changes, scope_success, answer, rule_set } = decision;
        let decision = Decision {
            fate,
            outcome,
            rule,
            why,
            key,
            run,
            at,
            changes,
            scope_success,
            answer,
            rule_set,
            calls: Vec::new(),
            report: None,
        };
        Recorded { form, subject, head, decision, retry: None, payload: bytes::Bytes::new() }
    }
}
