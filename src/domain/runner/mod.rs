//! Keptn's control plane as a pure state machine: events with their times go in, events to publish come out, and the time to
//! be woken at. No clock inside; ids are handed in.
//!
//! It does what the control plane of Keptn 1.4 does, its quirks included, because sequences are tried out with it:
//!
//! - a task is complete when as many `.finished` as `.started` have come for its trigger, whoever sent them;
//! - the data of a chain is merged by [`merge`], which never overwrites a number or a boolean;
//! - a follow-up without a selector begins on `pass` and on `warning`, and a selector is compared as it is written;
//! - an unknown sequence, a start timeout and an abort end a sequence without any follow-up.
//!
//! What differs: what waits in a queue goes out as soon as it may, not at the next sweep; a `.started` without `.finished` can
//! have a deadline, which Keptn does not know; a context cannot be paused; sequences of other contexts are not waited for.

mod execution;
mod merge;
mod outcome;
mod payload;
mod simulate;
mod step;

#[cfg(test)]
mod tests;

pub use merge::merge;
pub use outcome::{Status, Verdict};
pub use simulate::{Play, SIMULATOR, simulate};
pub use step::{Step, What};

use std::time::Duration;

use serde_json::{Map, Value};

use super::event::Event;
use super::keptn::{Phase, Type, task_type};
use super::shipyard::{Shipyard, Task, Trigger};
use super::time::Time;
use execution::{Current, Done, Execution, State};
use payload::{Common, compose};

/// The source of what the control plane sends.
pub const SOURCE: &str = "shipyard-controller";

/// What may differ from run to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Takes `failed` in a selector for `fail`, as Keptn's documentation writes it.
    pub lenient: bool,
    /// How long a trigger may stay without any answer.
    pub start_timeout: Duration,
    /// How long a task that was answered may take to be complete; none: for ever, as with Keptn.
    pub finish_timeout: Option<Duration>,
}

impl Default for Options {
    fn default() -> Options {
        Options { lenient: false, start_timeout: Duration::from_secs(600), finish_timeout: None }
    }
}

/// How a sequence ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Whether what ran did run.
    pub status: Status,
    /// What it concluded.
    pub verdict: Verdict,
    /// What is said about it; may be empty.
    pub message: String,
}

/// What comes of one event or one moment.
#[derive(Debug, Default)]
pub struct Turn {
    /// To be published in this order. Those that trigger a sequence are to be handed back to [`Runner::take`], as the bus would.
    pub publish: Vec<Event>,
    /// What has happened, to be told.
    pub steps: Vec<Step>,
}

/// Gives an id for each event.
pub type Ids<'i> = &'i mut dyn FnMut() -> String;

/// The control plane of one shipyard.
#[derive(Debug)]
pub struct Runner {
    shipyard: Shipyard,
    options: Options,
    executions: Vec<Execution>,
}

impl Runner {
    /// Nothing runs yet.
    pub fn new(shipyard: Shipyard, options: Options) -> Runner {
        Runner { shipyard, options, executions: Vec::new() }
    }

    /// Takes an event from the bus.
    pub fn take(&mut self, event: &Event, now: Time, ids: Ids<'_>) -> Turn {
        let mut turn = Turn::default();
        match Type::parse(&event.ty) {
            Some(Type::Sequence { sequence, phase: Phase::Triggered, .. }) => {
                self.begin(event, sequence, now, ids, &mut turn);
            }
            Some(Type::Task { task, phase }) if phase != Phase::Triggered => {
                self.answer(event, task, phase, now, ids, &mut turn);
            }
            _ => {}
        }
        turn
    }

    /// Does what is due.
    pub fn wake(&mut self, now: Time, ids: Ids<'_>) -> Turn {
        let mut turn = Turn::default();
        for n in 0..self.executions.len() {
            if let Some(why) = self.overdue(n, now) {
                self.end(
                    n,
                    Ending { status: Status::Errored, verdict: Verdict::Fail, message: why },
                    now,
                    ids,
                    &mut turn,
                );
            }
        }
        self.dispatch(now, &mut turn);
        turn
    }

    /// When [`Runner::wake`] has something to do; none while only an event can change anything.
    pub fn wake_at(&self, now: Time) -> Option<Time> {
        let due = |execution: &Execution| {
            let current = execution.current.as_ref()?;
            match current.sent {
                None => Some(current.due).filter(|due| *due > now),
                Some(_) => self.deadline(current),
            }
        };
        self.executions.iter().filter_map(due).min()
    }

    /// Ends everything that still runs. Executors are told by the end of their sequence only.
    pub fn abort(&mut self, now: Time, ids: Ids<'_>) -> Turn {
        let mut turn = Turn::default();
        for n in 0..self.executions.len() {
            if self.executions[n].runs() {
                let ending = Ending { status: Status::Aborted, verdict: Verdict::Pass, message: "aborted".into() };
                self.end(n, ending, now, ids, &mut turn);
            }
        }
        turn
    }

    /// Whether nothing runs.
    pub fn is_idle(&self) -> bool {
        !self.executions.iter().any(Execution::runs)
    }

    /// How the sequence of this trigger ended; none while it runs.
    pub fn ending(&self, trigger: &str) -> Option<&Ending> {
        let found = self.executions.iter().find(|e| e.trigger == trigger)?;
        if let State::Ended(ending) = &found.state { Some(ending) } else { None }
    }

    /// Steps 1 and 2: a sequence is asked for.
    fn begin(&mut self, event: &Event, sequence: &str, now: Time, ids: Ids<'_>, turn: &mut Turn) {
        // One trigger, one run. Its own triggers come back over the bus, so this is nothing to speak of.
        if self.executions.iter().any(|e| e.trigger == event.id) {
            return;
        }
        let common = match Common::read(event) {
            Ok(common) => common,
            Err(why) => return turn.steps.push(Step::ignored(event, now, why)),
        };
        let found = self.shipyard.tasks_of(&common.stage, sequence);
        let (tasks, missing) = found.map_or_else(|why| (Vec::new(), Some(why)), |tasks| (tasks, None));
        let n = self.executions.len();
        self.executions.push(Execution::new(event, sequence, common, tasks));
        match missing {
            Some(message) => {
                let ending = Ending { status: Status::Errored, verdict: Verdict::Fail, message };
                self.end(n, ending, now, ids, turn);
            }
            None => {
                turn.steps.push(Step::of(&self.executions[n], What::SequenceStarted, now).by(event));
                self.next(n, now, ids, turn);
            }
        }
    }

    /// Step 4: the next task, or the end.
    fn next(&mut self, n: usize, now: Time, ids: Ids<'_>, turn: &mut Turn) {
        let execution = &mut self.executions[n];
        let Some(task) = execution.next_task() else { return self.finish(n, now, ids, turn) };
        let data = compose(execution, Some(&task));
        let name = task.name.text.clone();
        let mut event = execution.event(ids(), task_type(&name, Phase::Triggered), now, data);
        if let Some(commit) = &execution.commit {
            event.extensions.insert("gitcommitid".into(), commit.as_str().into());
        }
        execution.state = if name == APPROVAL { State::WaitingForApproval } else { State::Started };
        let due = now.plus(task.delay());
        if due > now {
            turn.steps.push(Step::of(execution, What::TaskDelayed, now).task(&name).until(due));
        }
        execution.current = Some(Current::new(name, event, due));
        if due <= now {
            self.send(n, now, turn);
        }
    }

    /// Goes through the triggers that wait, the oldest first, and sends those that are due and that nothing holds up any more.
    fn dispatch(&mut self, now: Time, turn: &mut Turn) {
        let mut waiting: Vec<(Time, usize)> = Vec::new();
        for (n, execution) in self.executions.iter().enumerate() {
            let unsent = execution.current.as_ref().filter(|c| c.sent.is_none() && c.due <= now);
            waiting.extend(unsent.map(|c| (c.due, n)));
        }
        waiting.sort_unstable();
        for (_, n) in waiting {
            self.send(n, now, turn);
        }
    }

    /// Sends a trigger that is due, unless another sequence of its stage holds it up.
    fn send(&mut self, n: usize, now: Time, turn: &mut Turn) {
        let held = self.is_held(n, now);
        let execution = &mut self.executions[n];
        let Some(current) = &mut execution.current else { return };
        if !held {
            current.sent = Some(now);
            current.event.time = Some(now);
            turn.publish.push(current.event.clone());
        } else if std::mem::replace(&mut current.held, true) {
            return;
        }
        let (name, event) = (current.task.clone(), current.event.clone());
        let what = if held { What::TaskHeld } else { What::TaskTriggered };
        turn.steps.push(Step::of(execution, what, now).task(&name).by(&event));
    }

    /// Another sequence that is under way in the same stage holds a task up, unless that one is itself about to send.
    fn is_held(&self, n: usize, now: Time) -> bool {
        let me = &self.executions[n];
        self.executions.iter().enumerate().any(|(other, execution)| {
            let queued = execution.current.as_ref().is_some_and(|c| c.sent.is_none() && c.due <= now);
            other != n && execution.state == State::Started && execution.same_place(me) && !queued
        })
    }

    /// Steps 5 and 6: somebody answers a task.
    fn answer(&mut self, event: &Event, task: &str, phase: Phase, now: Time, ids: Ids<'_>, turn: &mut Turn) {
        let common = match Common::read(event) {
            Ok(common) => common,
            Err(why) => return turn.steps.push(Step::ignored(event, now, why)),
        };
        // By the trigger alone: Keptn does not compare the name of the task.
        let mine = |e: &Execution| {
            let id = e.current.as_ref().map(|c| c.event.id.as_str());
            id.is_some()
                && id == event.triggered_id.as_deref()
                && e.project == common.project
                && e.context == event.context
        };
        let Some(n) = self.executions.iter().position(mine) else {
            let why = format!("no task {task:?} waits for an answer to this trigger");
            return turn.steps.push(Step::ignored(event, now, why));
        };
        let execution = &mut self.executions[n];
        let Some(current) = &mut execution.current else { return };
        current.answered.get_or_insert(now);
        let name = current.task.clone();
        let what = match phase {
            Phase::Started => {
                current.started += 1;
                What::ExecutorStarted
            }
            Phase::Finished => {
                current.finished.push(payload::data_of(event));
                What::ExecutorFinished
            }
            Phase::Triggered | Phase::StatusChanged | Phase::Invalidated => What::ExecutorProgress,
        };
        let complete = current.is_complete();
        turn.steps.push(Step::of(execution, what, now).task(&name).by(event).said(&common));
        if phase == Phase::Finished {
            execution.last = common;
        }
        if complete {
            self.complete(n, now, ids, turn);
        }
    }

    fn complete(&mut self, n: usize, now: Time, ids: Ids<'_>, turn: &mut Turn) {
        let execution = &mut self.executions[n];
        let Some(Current { task, finished, .. }) = execution.current.take() else { return };
        let (status, verdict) = outcome::combine(&finished);
        let mut properties = Value::Null;
        for data in finished {
            properties = merge(properties, Value::Object(data));
        }
        turn.steps.push(Step::of(execution, What::TaskFinished, now).task(&task).outcome(status, verdict, ""));
        execution.done.push(Done { task, properties, status, verdict });
        self.next(n, now, ids, turn);
    }

    /// Step 7: no task is left, or the last one stops the sequence.
    fn finish(&mut self, n: usize, now: Time, ids: Ids<'_>, turn: &mut Turn) {
        let execution = &self.executions[n];
        let Some(last) = execution.done.last() else { return };
        let (task, verdict) = (last.task.clone(), last.verdict);
        let ending = Ending { status: last.status, verdict, message: execution.last.message.clone() };
        let data = compose(execution, None);
        self.end(n, ending, now, ids, turn);
        let execution = &self.executions[n];
        let over = format!("{}.{}.finished", execution.stage, execution.sequence);
        for (stage, sequence) in self.shipyard.sequences() {
            let begins = |t: &&Trigger| t.event.text == over && fires(t, verdict, &task, self.options.lenient);
            for _ in sequence.triggered_on.iter().filter(begins) {
                let mut data = data.clone();
                data.insert("stage".into(), stage.name.text.as_str().into());
                let ty = format!("sh.keptn.event.{}.{}.triggered", stage.name.text, sequence.name.text);
                turn.publish.push(execution.event(ids(), ty, now, data));
            }
        }
        // Its end may be what another sequence of this stage has waited for.
        self.dispatch(now, turn);
    }

    /// Sends the end of a sequence.
    fn end(&mut self, n: usize, ending: Ending, now: Time, ids: Ids<'_>, turn: &mut Turn) {
        let execution = &mut self.executions[n];
        let ty = format!("sh.keptn.event.{}.{}.finished", execution.stage, execution.sequence);
        let mut event = execution.event(ids(), ty, now, payload::finished(execution, &ending));
        event.triggered_id = Some(execution.trigger.clone());
        let step = Step::of(execution, What::SequenceFinished, now).by(&event);
        turn.steps.push(step.outcome(ending.status, ending.verdict, &ending.message));
        turn.publish.push(event);
        execution.current = None;
        execution.state = State::Ended(ending);
    }

    /// Why a task's time is over.
    fn overdue(&self, n: usize, now: Time) -> Option<String> {
        let current = self.executions[n].current.as_ref()?;
        self.deadline(current).filter(|deadline| *deadline <= now)?;
        let ty = &current.event.ty;
        Some(if current.answered.is_none() {
            format!(
                "sequence timed out while waiting for task {ty} to receive a correlating .started or .finished event"
            )
        } else {
            let (started, finished) = (current.started, current.finished.len());
            format!(
                "sequence timed out while waiting for task {ty} to be finished: {started} started, {finished} finished"
            )
        })
    }

    fn deadline(&self, current: &Current) -> Option<Time> {
        let sent = current.sent?;
        match current.answered {
            None => after(sent, self.options.start_timeout),
            Some(answered) => after(answered, self.options.finish_timeout?),
        }
    }
}

/// The task that waits for a person, and so holds nobody up.
const APPROVAL: &str = "approval";

/// The moment a span later; none where that is beyond all times.
fn after(time: Time, span: Duration) -> Option<Time> {
    let later = time.plus(span);
    (later > time || span.is_zero()).then_some(later)
}

/// Whether a trigger fires: both kinds of key are compared with the same result of the whole sequence.
fn fires(trigger: &Trigger, verdict: Verdict, last_task: &str, lenient: bool) -> bool {
    let Some(matches) = &trigger.matches else { return verdict != Verdict::Fail };
    let fits = |value: &str| value == verdict.as_str() || (lenient && value == "failed" && verdict == Verdict::Fail);
    matches.get("result").is_some_and(fits) || matches.get(&format!("{last_task}.result")).is_some_and(fits)
}

/// The `data` of an event.
type Object = Map<String, Value>;

/// What [`Execution`] needs of the shipyard.
type Tasks = Vec<Task>;
