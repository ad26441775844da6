//! Webhooks: which are called because of an event, and what the report of a call comes to.

use std::sync::Arc;

use serde::Deserialize as _;

use super::effect::Effect;
use super::{Case, Judge, recorded};
use crate::domain::call::{Call, Callback, Delivery, Replies, Report, Reporter};
use crate::domain::decision::{Answer, Decision, Fate, Layer, ResultWord, Status};
use crate::domain::event::{Data, Event};
use crate::domain::issue::Origin;
use crate::domain::keptn::{Phase, Type};
use crate::domain::lookup::{Lookup, Unreadable};
use crate::domain::messages::{self, Message};
use crate::domain::row::{Head, Mark, Recorded, Row};
use crate::domain::webhooks;

/// Why an answer of a receiver is not taken: nobody waits for one.
pub const UNKNOWN: &str = "no webhook waits for an answer to this trigger";

/// Why an answer of a receiver is not taken: the task has its `finished`.
pub const FINISHED: &str = "the task is finished already";

/// The webhooks called because of a line: those about its event, then those about the messages it causes.
pub(super) fn calls<J: Judge>(judge: &J, decision: &Decision, event: &Event, messages: &[Message]) -> Vec<Call> {
    let quiet = matches!(decision.fate, Fate::Duplicate(Layer::Id) | Fate::Own) || decision.why == super::REPLAYED;
    let mut calls = Vec::new();
    if quiet {
        return calls;
    }
    let triggered = webhooks::is_answered(event);
    let parked = decision.fate == Fate::Parked;
    for (subscription, replies) in judge.called(event) {
        // Only a trigger is answered: an answer to anything else would be one too many for somebody.
        let replies = if triggered { replies } else { Replies::None };
        // Nobody is told what could not be handled, but a sequence that waits is answered: errored, without the call.
        if parked && replies == Replies::None {
            continue;
        }
        calls.push(Call { subscription: subscription.into(), about: None, replies });
    }
    calls.extend(calls_about(judge, messages));
    calls
}

/// Whether any webhook answers this trigger.
pub(super) fn is_answered<J: Judge>(judge: &J, event: &Event) -> bool {
    judge.calls_any() && judge.called(event).iter().any(|(_, replies)| *replies != Replies::None)
}

/// Calls about messages of our own, which ask for nothing.
pub(super) fn calls_about<J: Judge>(judge: &J, messages: &[Message]) -> Vec<Call> {
    let mut calls = Vec::new();
    for message in messages {
        let Ok(event) = Event::from_json(&message.body) else { continue };
        let about = Some(message.kind);
        let called = judge.called(&event).into_iter();
        calls.extend(called.map(|(subscription, _)| Call {
            subscription: subscription.into(),
            about,
            replies: Replies::None,
        }));
    }
    calls
}

/// A call found in the journal.
struct Found {
    row: Arc<Row>,
    index: usize,
    task: Option<String>,
}

impl Found {
    fn call(&self) -> Option<&Call> {
        recorded(&self.row)?.decision.calls.get(self.index)
    }

    fn report(&self, by: Reporter, answer: Option<Answer>) -> Report {
        Report { of: self.row.position, call: self.index as u32, by, answer }
    }
}

impl<L: Lookup, J: Judge> Case<'_, L, J> {
    /// A call has been made: its `finished` where one is due.
    pub(super) fn delivered(&self, event: &Event, head: &Head) -> Result<Effect, Unreadable> {
        let Data::Json(data) = &event.data else {
            return Ok(Effect::new(Fate::Own, "a report of a call without data"));
        };
        let delivery = match Delivery::deserialize(data) {
            Ok(delivery) => delivery,
            Err(error) => {
                return Ok(Effect::new(Fate::Own, format!("a report of a call that cannot be read: {error}")));
            }
        };
        let wanted = |(index, call): &(usize, &Call)| {
            *index == delivery.call as usize && call.subscription == delivery.subscription
        };
        let Some(found) = self.called(&delivery.cause, wanted)? else {
            return Ok(Effect::new(Fate::Own, "reports a call that is not known"));
        };
        let Delivery { webhook, status, message, block, .. } = delivery;
        let ok = status == Status::Succeeded;
        let mut effect = Effect::new(Fate::Own, format!("call of {webhook}: {message}"));
        let replies = found.call().map_or(Replies::None, |call| call.replies);
        let due = match replies {
            Replies::None => false,
            Replies::Both => true,
            // The receiver may have answered although the call failed.
            Replies::Started => !ok && !is_finished(self.lookup, &found.row, found.index)?,
        };
        let answer = found.task.clone().filter(|_| due).map(|task| Answer {
            task,
            status,
            result: if ok { ResultWord::Pass } else { ResultWord::Fail },
            message,
            block: serde_json::Value::Object(block).to_string(),
        });
        self.report(&mut effect, head, &found, Reporter::Caller, answer)?;
        Ok(effect)
    }

    /// A receiver says that a task is done.
    pub(super) fn called_back(&self, event: &Event, head: &Head) -> Result<Effect, Unreadable> {
        let unknown = || Ok(Effect::new(Fate::Recorded, UNKNOWN));
        let Data::Json(data) = &event.data else { return unknown() };
        let callback = match Callback::deserialize(data) {
            Ok(callback) => callback,
            Err(error) => return Ok(Effect::new(Fate::Parked, format!("data: {error}"))),
        };
        let Some(id) = event.triggered_id.clone() else { return unknown() };
        let trigger = Origin { source: callback.source.clone(), id };
        let waits = |(_, call): &(usize, &Call)| {
            call.subscription == callback.subscription && call.about.is_none() && call.replies == Replies::Started
        };
        let Some(found) = self.called(&trigger, waits)? else { return unknown() };
        let Some(task) = found.task.clone() else { return unknown() };
        if is_finished(self.lookup, &found.row, found.index)? {
            let mut effect = Effect::new(Fate::Recorded, FINISHED);
            self.report(&mut effect, head, &found, Reporter::Receiver, None)?;
            return Ok(effect);
        }
        let answer = callback.answer(&task);
        let mut effect = Effect::new(Fate::Answered, answer.message.clone());
        self.report(&mut effect, head, &found, Reporter::Receiver, Some(answer))?;
        Ok(effect)
    }

    fn report(
        &self,
        effect: &mut Effect,
        head: &Head,
        found: &Found,
        by: Reporter,
        answer: Option<Answer>,
    ) -> Result<(), Unreadable> {
        if let (Some(recorded), Some(call), Some(answer)) = (recorded(&found.row), found.call(), &answer) {
            effect.trigger = messages::event_of(recorded).map(|event| (event, call.subscription.clone()));
            self.late_finish(effect, head, &answer.task)?;
        }
        effect.report = Some(found.report(by, answer));
        Ok(())
    }

    /// The call of this event's line that is wanted.
    fn called(&self, cause: &Origin, wanted: impl Fn(&(usize, &Call)) -> bool) -> Result<Option<Found>, Unreadable> {
        for row in self.lookup.rows(Mark::EventId(&cause.id))? {
            let Some(r) = recorded(&row) else { continue };
            let Some(head) = r.head.as_ref().filter(|head| head.origin == *cause) else { continue };
            let index = r.decision.calls.iter().enumerate().find(|call| wanted(call)).map(|(index, _)| index);
            let task = match Type::parse(&head.ty) {
                Some(Type::Task { task, phase: Phase::Triggered }) => Some(task.to_owned()),
                _ => None,
            };
            if let Some(index) = index {
                return Ok(Some(Found { row, index, task }));
            }
        }
        Ok(None)
    }
}

/// Whether a call that leaves its `finished` to the receiver has got it: by us, or by the receiver itself on the stream.
/// `row` is the line that caused the call with this index.
///
/// Keptn only counts, so a `finished` without a `started` of its own is taken for the one that ours waits for.
///
/// # Errors
/// Where the journal cannot be read.
pub fn is_finished<L: Lookup>(lookup: &L, row: &Row, index: usize) -> Result<bool, Unreadable> {
    let Some(cause) = recorded(row) else { return Ok(true) };
    let Some(head) = &cause.head else { return Ok(true) };
    let waits = |call: Option<&Call>| call.is_some_and(|call| call.replies == Replies::Started);
    let run = Mark::Run(&head.origin.id);
    let ended = |line: &Row| {
        recorded(line)
            .and_then(|r| r.decision.report.as_ref())
            .filter(|r| r.of == row.position && r.answer.is_some())
            .map(|r| r.call as usize)
    };
    // However much has been said about the trigger since.
    if lookup.first_after(run, row.position, &|line| ended(line) == Some(index))?.is_some() {
        return Ok(true);
    }
    let mut open = cause.decision.calls.iter().filter(|call| waits(Some(call))).count() as i64;
    let mut foreign = 0;
    for line in lookup.newest_rows(run, EVENTS)? {
        match ended(&line) {
            Some(call) => open -= i64::from(waits(cause.decision.calls.get(call))),
            None => foreign += recorded(&line).map_or(0, |r| counted(r, &head.origin.id)),
        }
    }
    Ok(foreign >= open)
}

/// Most events of one trigger that are counted.
const EVENTS: usize = 4096;

/// What an event of somebody else's adds to the `finished` of a trigger: 1, or -1 for a `started`.
fn counted(r: &Recorded, trigger: &str) -> i64 {
    let Some(head) = r.head.as_ref().filter(|head| head.triggered_id.as_deref() == Some(trigger)) else { return 0 };
    // What is parked has not been said: mended, it comes again.
    let unsaid = Fate::Duplicate(Layer::Id) == r.decision.fate || matches!(r.decision.fate, Fate::Own | Fate::Parked);
    if unsaid || r.decision.why == super::REPLAYED {
        return 0;
    }
    match Type::parse(&head.ty) {
        Some(Type::Task { phase: Phase::Finished, .. }) => 1,
        Some(Type::Task { phase: Phase::Started, .. }) => -1,
        _ => 0,
    }
}
