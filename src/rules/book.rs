//! The fold's rules: the set in force, the ones before it, and the change from one to the next.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::watch;

use super::{InForce, RulesInForce, reading};
use crate::domain::call::Replies;
use crate::domain::decide::{Decided, Judge};
use crate::domain::decision::Fate;
use crate::domain::event::{Event, Form, Invalid};
use crate::domain::ids::Position;
use crate::domain::loaded::{self, Part};
use crate::domain::lookup::{Lookup, Unreadable};
use crate::domain::row::Entry;
use crate::domain::rules::{RuleSet, Verdict};
use crate::store::RuleTexts;

/// The set in force and those before it, by which old lines are judged again where an outcome is taken back.
#[derive(Debug)]
pub struct RuleBook {
    current: RulesInForce,
    earlier: HashMap<Arc<str>, Earlier>,
    unstored: Option<RuleTexts>,
    told: watch::Sender<InForce>,
}

/// A set that was in force. Compiled when somebody asks, which is seldom.
#[derive(Debug)]
struct Earlier {
    files: Vec<(String, String)>,
    set: OnceLock<Option<RuleSet>>,
}

impl Earlier {
    fn set(&self) -> Option<&RuleSet> {
        self.set.get_or_init(|| RuleSet::compile(&self.files).ok()).as_ref()
    }
}

impl RuleBook {
    /// Goes on with the set that the store has; none where it has none, or its newest cannot be used any more.
    pub fn of_store(kept: Vec<RuleTexts>) -> Option<RuleBook> {
        let newest = kept.last()?;
        let current = match RuleSet::compile(&newest.files) {
            Ok(set) => RulesInForce::new(set),
            Err(problems) => {
                let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                refused(&newest.hash, newest.from, &problems);
                return None;
            }
        };
        let told = watch::Sender::new(InForce { set: current.set().clone(), since: newest.from });
        Some(RuleBook { current, earlier: earlier(kept), unstored: None, told })
    }

    /// Begins with a set that holds behind `from`; the next commit stores it.
    pub fn begin(set: RuleSet, from: Position, kept: Vec<RuleTexts>) -> RuleBook {
        let unstored = Some(RuleTexts::of(&set, from));
        let told = watch::Sender::new(InForce { set: set.clone(), since: from });
        RuleBook { current: RulesInForce::new(set), earlier: earlier(kept), unstored, told }
    }

    /// The set in force.
    pub fn current(&self) -> &RulesInForce {
        &self.current
    }

    /// Which set is in force, now and whenever it changes.
    pub fn watch(&self) -> watch::Receiver<InForce> {
        self.told.subscribe()
    }

    /// A set that the store does not have yet.
    pub fn take_unstored(&mut self) -> Option<RuleTexts> {
        self.unstored.take()
    }

    /// Takes up the rule set that ends with this event, if one does: it holds for the events behind. Gives what to store.
    ///
    /// # Errors
    /// Where the journal cannot be read.
    pub fn meet(&mut self, decided: &Decided, lookup: &impl Lookup) -> Result<Option<RuleTexts>, Unreadable> {
        let (Entry::Event(recorded), Some(event)) = (&decided.row.entry, &decided.event) else { return Ok(None) };
        // Those who read ahead wait for the message of a set, and a retry of a parked one is not that message.
        if recorded.subject != loaded::TYPE || recorded.decision.fate != Fate::Own || recorded.retry.is_some() {
            return Ok(None);
        }
        let position = decided.row.position;
        let part = match Part::read(&recorded.subject, recorded.form, event) {
            None => return Ok(None),
            Some(Ok(part)) => part,
            Some(Err(why)) => {
                refused(&event.id, position, &[why]);
                return Ok(None);
            }
        };
        let Some(parts) = part.gather_from(lookup)? else { return Ok(None) };
        if part.hash == self.current.set().hash() {
            return Ok(None);
        }
        match loaded::compile(&parts) {
            Ok(set) => {
                tracing::info!(rules = set.short_hash(), before = &**self.current.short(), %position, "the rules have changed");
                Ok(Some(self.switch(set, position)))
            }
            Err(problems) => {
                refused(&part.hash, position, &problems);
                Ok(None)
            }
        }
    }

    /// Takes up a set that holds behind this position. Gives what to store.
    pub fn switch(&mut self, set: RuleSet, position: Position) -> RuleTexts {
        let texts = RuleTexts::of(&set, position);
        self.told.send_replace(InForce { set: set.clone(), since: position });
        let before = std::mem::replace(&mut self.current, RulesInForce::new(set));
        let old = RuleTexts::of(before.set(), position);
        self.earlier
            .insert(before.short().clone(), Earlier { files: old.files, set: Some(before.set().clone()).into() });
        texts
    }
}

fn earlier(kept: Vec<RuleTexts>) -> HashMap<Arc<str>, Earlier> {
    let entry = |texts: RuleTexts| {
        let short: Arc<str> = texts.hash.get(..12).unwrap_or(&texts.hash).into();
        (short, Earlier { files: texts.files, set: OnceLock::new() })
    };
    kept.into_iter().map(entry).collect()
}

/// A set of the stream that this version cannot use. Those before it go on.
pub(super) fn refused(which: &str, position: Position, problems: &[String]) {
    tracing::error!(
        rules = which, %position, problems = problems.join("; "),
        "a rule set in the stream cannot be used by this version, the one before it stays in force"
    );
}

impl Judge for RuleBook {
    fn evaluate(&self, rule_set: &str, event: &Event) -> Verdict {
        let earlier = || self.earlier.get(rule_set).and_then(Earlier::set);
        let set = if rule_set == &**self.current.short() { None } else { earlier() };
        set.unwrap_or(self.current.set()).evaluate(event)
    }

    fn read(&self, subject: &str, payload: &Bytes) -> Result<(Form, Event, Bytes), Invalid> {
        reading::again(subject, payload, &self.current)
    }

    fn current(&self) -> &str {
        self.current.short()
    }

    fn calls_any(&self) -> bool {
        !self.current.set().outgoing().is_empty()
    }

    fn called(&self, event: &Event) -> Vec<(&str, Replies)> {
        let webhooks = self.current.set().outgoing().matching(event).into_iter();
        webhooks.map(|webhook| (&*webhook.subscription, webhook.replies())).collect()
    }
}
