//! `<task>.invalidated`: an earlier outcome is taken back, and the issue is then as it would be without it.

use std::sync::Arc;

use super::transition::{Claim, claim};
use super::{Case, Effect, Judge, recorded, stuck, tasks};
use crate::domain::decision::{Change, Fate};
use crate::domain::event::Event;
use crate::domain::ids::{KeyId, Position};
use crate::domain::issue::{ChangeKind, KeyState, Marks, State};
use crate::domain::keptn::{Phase, Type, task_type};
use crate::domain::lookup::{Lookup, Unreadable};
use crate::domain::row::{Mark, Recorded, Row};
use crate::domain::rules::{Resolves, Verdict};
use crate::domain::time::Time;

/// Whether an `invalidated` event for this `finished` type and trigger is among the rows, wherever it stands.
pub(super) fn is_withdrawn(rows: &[Arc<Row>], ty: &str, triggered_id: Option<&str>) -> bool {
    let (Some(triggered_id), Some(Type::Task { task, phase: Phase::Finished })) = (triggered_id, Type::parse(ty))
    else {
        return false;
    };
    // One that was parked or is only a replay takes nothing back: it has no run.
    let counts = |r: &&Recorded| r.decision.fate != Fate::Parked && r.decision.run.as_deref() == Some(triggered_id);
    rows.iter().filter_map(|row| recorded(row)).filter(counts).filter_map(|r| r.head.as_ref()).any(|head| {
        head.triggered_id.as_deref() == Some(triggered_id)
            && matches!(Type::parse(&head.ty), Some(Type::Task { task: t, phase: Phase::Invalidated }) if t == task)
    })
}

impl<L: Lookup, J: Judge> Case<'_, L, J> {
    pub(super) fn invalidate(&self, event: &Event, task: &str) -> Result<Effect, Unreadable> {
        let Some(run) = event.triggered_id.as_deref() else {
            return Ok(Effect::new(
                Fate::Parked,
                "attribute \"triggeredid\" is missing, so nothing can be invalidated",
            ));
        };
        let mut effect = Effect::new(Fate::Recorded, "nothing to take back yet");
        effect.run = Some(run.to_owned());
        let finished = task_type(task, Phase::Finished);
        let same_run = self.run(run)?;
        let mut keys: Vec<KeyId> = Vec::new();
        for row in &same_run {
            let Some(r) = recorded(row) else { continue };
            let answers = r.head.as_ref().is_some_and(|h| h.ty == finished && h.triggered_id.as_deref() == Some(run));
            if answers && r.decision.fate != Fate::Parked {
                let own = r.decision.key.as_ref().map(crate::domain::issue::Key::id);
                // That a task came to its end stays true whatever its outcome is worth.
                let changed = r.decision.changes.iter().filter(|c| !stuck::ends(c, run)).map(|c| c.key);
                keys.extend(own.into_iter().chain(changed).filter(|id| !keys.contains(id)).collect::<Vec<_>>());
            }
        }
        keys.dedup();
        self.take_back_scope(&mut effect, &same_run, &finished, run);
        for id in keys {
            self.take_back(&mut effect, id, &same_run, &finished, run)?;
        }
        if !effect.changes.is_empty() || effect.scope_success.is_some() {
            effect.fate = Fate::Applied;
            effect.why = format!("takes back the outcome of {task} for trigger {run}");
        }
        Ok(effect)
    }

    /// The newest success for a whole scope may be what is taken back: then the one before it holds again.
    fn take_back_scope(&self, effect: &mut Effect, same_run: &[Arc<Row>], finished: &str, run: &str) {
        for row in same_run.iter().rev() {
            let Some(r) = recorded(row) else { continue };
            let ours = r.head.as_ref().is_some_and(|h| h.ty == finished && h.triggered_id.as_deref() == Some(run));
            let Some((id, before)) = r.decision.scope_success.as_ref().filter(|_| ours) else { continue };
            let known = self.lookup.scope(*id);
            let Some(scope) = known.filter(|s| s.success.as_ref().is_some_and(|n| n.position == row.position)) else {
                continue;
            };
            effect.scope_success = Some((*id, scope.success.clone()));
            effect.scopes.push((*id, crate::domain::issue::ScopeState { success: before.clone(), ..(*scope).clone() }));
        }
    }

    /// Goes back to before the first event that is taken back, and lets everything since happen again without it.
    fn take_back(
        &self,
        effect: &mut Effect,
        id: KeyId,
        same_run: &[Arc<Row>],
        finished: &str,
        run: &str,
    ) -> Result<(), Unreadable> {
        let Some(state) = self.lookup.key(id) else { return Ok(()) };
        let taken = |row: &Row| {
            recorded(row)
                .and_then(|r| r.head.as_ref())
                .is_some_and(|h| h.ty == finished && h.triggered_id.as_deref() == Some(run))
        };
        let first = same_run.iter().filter(|row| taken(row)).find_map(|row| {
            let change = recorded(row)?.decision.changes.iter().find(|c| c.key == id)?;
            Some((row.position, change.before.clone()))
        });
        let Some((from, before)) = first else { return Ok(()) };
        // A key's first event found what was said for its scope before it, not what was said since.
        let mut marks = before.map(Arc::unwrap_or_clone).unwrap_or_else(|| {
            let mut marks = self.marks_of_scope(state.key.scope_id());
            marks.newest = marks.newest.filter(|n| n.position < from);
            marks
        });
        for row in self.lookup.rows(Mark::Key(id))? {
            if row.position > from && !taken(&row) {
                self.again(&mut marks, id, &state, &row, self.next_number(effect))?;
            }
        }
        let kind = compare(&state.marks, &mut marks, self.stream_time);
        if marks == *state.marks {
            return Ok(());
        }
        effect.changes.push(Change { key: id, kind, before: Some(state.marks.clone()) });
        effect.keys.push((id, Some(KeyState { key: state.key.clone(), marks: Arc::new(marks) })));
        effect.key = Some(state.key.clone());
        Ok(())
    }

    /// Applies to one key what a journal line did, or would have done, to it.
    fn again(&self, marks: &mut Marks, id: KeyId, state: &KeyState, row: &Row, next: u64) -> Result<(), Unreadable> {
        let Some(r) = recorded(row) else { return Ok(()) };
        let (Some(head), d) = (r.head.as_ref(), &r.decision) else { return Ok(()) };
        if matches!(d.fate, Fate::Parked | Fate::Withdrawn | Fate::Own | Fate::Ignored) {
            return Ok(());
        }
        let Ok(event) = Event::from_json(&r.payload) else { return Ok(()) };
        let number = state.marks.issue.as_ref().map_or(next, |i| i.number);
        if d.answer.is_some() {
            if d.changes.iter().any(|c| c.key == id) {
                tasks::again(marks, &event, self.settings, row, d, number);
            }
            return Ok(());
        }
        if let Some(after) = self.stuck_again(marks, id, row, r, &event, number) {
            *marks = after;
            return Ok(());
        }
        let Verdict::Signal(signal) = self.judge.evaluate(&d.rule_set, &event) else { return Ok(()) };
        let for_scope = signal.resolves == Resolves::Scope && signal.outcome == crate::domain::issue::Outcome::Success;
        let about = signal.key.id() == id || (for_scope && signal.key.scope_id() == state.key.scope_id());
        let same_run = self.run(&signal.run)?;
        let late = d.at < row.stream_time.minus(self.settings.keep_events);
        if !about || late || self.withdrawn(head, &signal.run, &same_run)? {
            return Ok(());
        }
        let again = Claim {
            position: row.position,
            stream_time: row.stream_time,
            at: d.at,
            run: &signal.run,
            outcome: signal.outcome,
            texts: signal.texts.as_ref(),
            service: &signal.service,
            rule: &signal.rule,
            origin: &head.origin,
            context: event.context.as_deref().unwrap_or_default(),
            triggered_id: event.triggered_id.as_deref().unwrap_or_default(),
        };
        let prior = self.prior(&same_run, id, &signal.run, row.position)?;
        if let Some(after) = claim(marks, &prior, number, &again, |p: Position| self.texts_of(p)).marks {
            *marks = after;
        }
        Ok(())
    }
}

/// What the withdrawal did to the issue, as seen from outside; stamps the change.
fn compare(before: &Marks, after: &mut Marks, now: Time) -> Option<ChangeKind> {
    if before == after {
        return None;
    }
    match (&before.issue, &mut after.issue) {
        (Some(_), None) => Some(ChangeKind::Withdrawn),
        (None, Some(_)) => Some(ChangeKind::Opened),
        (None, None) => None,
        (Some(was), Some(is)) => {
            let kind = match (was.state, is.state) {
                (State::Active, State::Resolved) => ChangeKind::Resolved,
                (State::Resolved, State::Active) => ChangeKind::Reopened,
                _ if was == is => return None,
                _ => ChangeKind::Updated,
            };
            is.updated_at = now;
            Some(kind)
        }
    }
}
