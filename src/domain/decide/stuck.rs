//! Tasks that are stuck: nobody took them up in time, or somebody who did has not ended them.
//!
//! Such an issue has a key of its own beside that of the task's outcome, `<task>/stuck`, and runs of its own. The word of a
//! deadline is never late: it is about now, as a command is.

use std::sync::Arc;

use super::transition::{Claim, claim};
use super::{Case, Effect, Judge, labels, recorded};
use crate::domain::deadline::{self, Deadline, Passed, Replies};
use crate::domain::decision::{Change, Fate};
use crate::domain::event::Event;
use crate::domain::ids::{KeyId, Position};
use crate::domain::issue::{IssueType, Key, Marks, Outcome, Scope, Severity, State};
use crate::domain::keptn::{Phase, Type};
use crate::domain::lookup::{Lookup, Unreadable};
use crate::domain::row::{Head, Mark, Recorded, Row};
use crate::domain::rules::Texts;
use crate::domain::text;
use crate::domain::time::Time;

/// What stands where an issue names the rule that spoke.
const RULE: &str = "stuck-task";

/// Most events of one trigger, and of one context, that are looked at. A task may tell of its progress for long, and this is
/// done a few times in its life only.
const EVENTS: usize = 4096;

/// Whether a deadline of this trigger was the last to speak for a key, and is not answered yet.
fn stands(marks: &Marks, trigger: &str) -> bool {
    let active = marks.issue.as_ref().is_some_and(|i| i.state == State::Active);
    active && marks.newest.as_ref().is_some_and(|n| deadline::of_run(&n.run, trigger).is_some())
}

/// Whether a change is what the end of this trigger's task did to the issue that says it is stuck.
pub(super) fn ends(change: &Change, trigger: &str) -> bool {
    change.before.as_ref().is_some_and(|marks| stands(marks, trigger))
}

/// The key of a stuck task, by where it belongs.
fn key(task: &str, project: &str, stage: &str, service: &str) -> Key {
    let namespace = format!("{project}-{stage}");
    Key {
        namespace: namespace.clone(),
        scope: Scope {
            resource_type: "component".into(),
            resource_name: service.to_owned(),
            resource_namespace: namespace,
        },
        issue_type: match task {
            "build" => IssueType::Build,
            "test" | "evaluation" => IssueType::Test,
            "deployment" | "release" | "rollback" => IssueType::Release,
            _ => IssueType::Pipeline,
        },
        check: format!("{task}/stuck"),
        project: project.to_owned(),
        stage: stage.to_owned(),
    }
}

fn texts(event: &Event, passed: &Passed) -> Texts {
    let Passed { project, stage, service, task, after, triggered_at, started_at, .. } = passed;
    let description = match passed.deadline {
        Deadline::Started => {
            format!("{task} was asked for at {triggered_at}. Nobody has started it: no answer within {after}.")
        }
        Deadline::Finished => {
            let started = started_at.map_or_else(String::new, |at| format!(" and started at {at}"));
            format!("{task} was asked for at {triggered_at}{started}. It has not finished within {after}.")
        }
    };
    Texts {
        title: text::one_line(&format!("{task} is stuck: {service} in {project}/{stage}")),
        description: text::body(&description),
        severity: Severity::Major,
        links: Vec::new(),
        labels: labels(event),
    }
}

/// A claim that is never late: it counts from the newest word on.
fn now(marks: &Marks, stream_time: Time) -> Time {
    marks.newest.as_ref().map_or(stream_time, |n| stream_time.max(n.at))
}

impl<L: Lookup, J: Judge> Case<'_, L, J> {
    /// A deadline has passed. The journal knows whether the task is still open here.
    pub(super) fn deadline_passed(&self, event: &Event, head: &Head) -> Result<Effect, Unreadable> {
        let left = |why: String| Ok(Effect::new(Fate::Recorded, why));
        let Some(trigger_id) = event.triggered_id.as_deref() else {
            return left("a deadline without triggeredid is nobody's".into());
        };
        let passed = match Passed::read(event) {
            Ok(passed) => passed,
            Err(reason) => return left(format!("a deadline that cannot be read: {reason}")),
        };
        let Some(trigger) = self.trigger_of(event, trigger_id, passed.deadline)? else {
            return left(format!("no task that is watched has the trigger {trigger_id} and this deadline"));
        };
        let Some((asked, task)) = recorded(&trigger).and_then(deadline::asked) else {
            return left(format!("the deadlines of trigger {trigger_id} are not watched"));
        };
        let place = [&asked.project, &asked.stage, &asked.service];
        if passed.task != task
            || [&passed.project, &passed.stage, &passed.service] != place
            || head.context != asked.context
        {
            return left(format!("a deadline that says something else than its trigger {trigger_id}"));
        }
        let mut effect = Effect::new(Fate::Recorded, "").by(RULE);
        let run = deadline::run(trigger_id, passed.deadline);
        effect.run = Some(run.clone());
        let (replies, _) = self.replies(trigger_id)?;
        if !replies.misses(passed.deadline) {
            effect.why = match passed.deadline {
                Deadline::Started => format!("{task} has been answered by now"),
                Deadline::Finished if replies.done() => format!("{task} has finished by now"),
                Deadline::Finished => format!("{task} has not been started"),
            };
            return Ok(effect);
        }
        if let Some(end) = self.sequence_ended(&trigger, asked)? {
            effect.why = format!("the sequence of {task} has ended with event {end}");
            return Ok(effect);
        }
        let key = key(task, &asked.project, &asked.stage, &asked.service);
        let marks = match self.lookup.key(key.id()) {
            Some(state) => state.marks.clone(),
            None => Arc::new(self.marks_of_scope(key.scope_id())),
        };
        let texts = texts(event, &passed);
        let claim = self.spoken(head, &marks, &run, Some(&texts), &passed.service, trigger_id);
        effect.outcome = claim.outcome;
        effect.at = Some(claim.at);
        self.claim_for_key(&mut effect, &key, &claim, &[])?;
        let Replies { started, finished, .. } = replies;
        effect.why = match passed.deadline {
            Deadline::Started => format!("{}: nobody has started {task}", effect.why),
            Deadline::Finished => format!("{}: {started} started {task} and {finished} finished", effect.why),
        };
        effect.key = Some(key);
        Ok(effect)
    }

    /// A `finished` of somebody else: if it ends the task, what a deadline said of it is over.
    pub(super) fn late_finish(&self, effect: &mut Effect, head: &Head, task: &str) -> Result<(), Unreadable> {
        let Some(trigger_id) = head.triggered_id.as_deref().filter(|_| effect.fate != Fate::Parked) else {
            return Ok(());
        };
        // Nearly always there is nothing: the journal is asked only where a deadline has spoken.
        if self.stuck(trigger_id, task, head).is_none() {
            return Ok(());
        }
        let (mut replies, _) = self.replies(trigger_id)?;
        replies.add(Phase::Finished);
        if replies.done() {
            self.resolve_stuck(effect, trigger_id, task, head);
        } else {
            let Replies { started, finished, .. } = replies;
            effect.why = format!("{}; {task} is still stuck: {started} started, {finished} finished", effect.why);
        }
        Ok(())
    }

    /// The task of this trigger is at its end: resolves the issue that says it is stuck, if this trigger was the last that
    /// spoke for it. `head` says where the task belongs, and is of the event that ends it.
    pub(super) fn resolve_stuck(&self, effect: &mut Effect, trigger_id: &str, task: &str, head: &Head) {
        let Some((id, key, marks)) = self.stuck(trigger_id, task, head) else { return };
        // A success for the whole scope may have spoken for it already.
        if effect.keys.iter().any(|(done, _)| *done == id) {
            return;
        }
        let claim_ = self.spoken(head, &marks, trigger_id, None, &head.service, trigger_id);
        let step = claim(&marks, &[], 0, &claim_, |_| None);
        effect.why = format!("{}; {task} is no longer stuck", effect.why);
        self.put(effect, id, &key, Some(&marks), step);
    }

    /// The record of the issue that says this trigger's task is stuck, where it does.
    fn stuck(&self, trigger_id: &str, task: &str, head: &Head) -> Option<(KeyId, Key, Arc<Marks>)> {
        let key = key(task, &head.project, &head.stage, &head.service);
        let id = key.id();
        let marks = self.lookup.key(id)?.marks.clone();
        stands(&marks, trigger_id).then_some((id, key, marks))
    }

    /// Broken where there are texts, whole where not.
    fn spoken<'c>(
        &self,
        head: &'c Head,
        marks: &Marks,
        run: &'c str,
        texts: Option<&'c Texts>,
        service: &'c str,
        triggered_id: &'c str,
    ) -> Claim<'c> {
        Claim {
            position: self.position,
            stream_time: self.stream_time,
            at: now(marks, self.stream_time),
            run,
            outcome: if texts.is_some() { Outcome::Failure } else { Outcome::Success },
            texts,
            service,
            rule: RULE,
            origin: &head.origin,
            context: head.context.as_deref().unwrap_or_default(),
            triggered_id,
        }
    }

    /// The line of the trigger that has this deadline; the id of the event says which of several with one id.
    fn trigger_of(&self, event: &Event, id: &str, deadline: Deadline) -> Result<Option<Arc<Row>>, Unreadable> {
        let asks = |row: &Row| {
            recorded(row).and_then(|r| r.head.as_ref()).is_some_and(|h| {
                h.origin.id == id
                    && matches!(Type::parse(&h.ty), Some(Type::Task { phase: Phase::Triggered, .. }))
                    && deadline::id(&h.origin, deadline).to_string() == event.id
            })
        };
        self.lookup.first_after(Mark::EventId(id), Position::default(), &asks)
    }

    fn replies(&self, trigger_id: &str) -> Result<(Replies, Option<Time>), Unreadable> {
        let rows = self.lookup.newest_rows(Mark::Run(trigger_id), EVENTS)?;
        Ok(Replies::of(trigger_id, rows.iter().map(|row| &**row)))
    }

    /// The event behind a trigger that ended its sequence: of the same context, stage and service. Nobody waits for the task
    /// then, whether the sequence was aborted or timed out.
    fn sequence_ended(&self, trigger: &Row, asked: &Head) -> Result<Option<String>, Unreadable> {
        let Some(context) = asked.context.as_deref() else { return Ok(None) };
        let its = (context, asked.stage.as_str(), asked.service.as_str());
        let rows = self.lookup.newest_rows(Mark::Context(context), EVENTS)?;
        let behind = rows.iter().filter(|row| row.position > trigger.position).filter_map(|row| recorded(row));
        let end = behind.filter(|r| deadline::ended(r) == Some(its)).find_map(|r| r.head.as_ref());
        Ok(end.map(|head| head.origin.id.clone()))
    }

    /// What a journal line said of a stuck task, said once more after something before it was taken back. None where it said
    /// nothing of this key.
    pub(super) fn stuck_again(
        &self,
        marks: &Marks,
        id: KeyId,
        row: &Row,
        recorded: &Recorded,
        event: &Event,
        number: u64,
    ) -> Option<Marks> {
        let (head, d) = (recorded.head.as_ref()?, &recorded.decision);
        let trigger_id = head.triggered_id.as_deref()?;
        let changed = d.changes.iter().find(|c| c.key == id);
        let then = Case { position: row.position, stream_time: row.stream_time, ..*self };
        let after = if head.ty == deadline::TYPE && d.fate == Fate::Applied && d.key.as_ref().map(Key::id) == Some(id) {
            let passed = Passed::read(event).ok()?;
            let (run, texts) = (deadline::run(trigger_id, passed.deadline), texts(event, &passed));
            let claim_ = then.spoken(head, marks, &run, Some(&texts), &passed.service, trigger_id);
            claim(marks, &[], number, &claim_, |_| None)
        } else if changed.is_some_and(|c| ends(c, trigger_id)) && stands(marks, trigger_id) {
            let claim_ = then.spoken(head, marks, trigger_id, None, &head.service, trigger_id);
            claim(marks, &[], number, &claim_, |_| None)
        } else {
            return None;
        };
        after.marks
    }
}
