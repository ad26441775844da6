//! Lines in, a timeline out.

use std::collections::HashMap;

use super::line::{Line, found};
use super::outcome;
use super::{EventRef, Executor, IssueChange, Progress, Sequence, Stage, State, Task, Timeline, Trouble};
use crate::domain::ids::KeyId;
use crate::domain::keptn::{Phase, Type};
use crate::domain::messages::SOURCE;
use crate::domain::time::Time;

/// The task that waits for a person; Keptn has a state of its own for it.
const APPROVAL: &str = "approval";

/// Number and title of an issue.
pub type Known = (u64, String);

/// The timeline of a context. `lines` are its events in the order of the stream; `issue` knows the issues as they are now.
pub fn fold(context: &str, lines: impl IntoIterator<Item = Line>, issue: impl Fn(KeyId) -> Option<Known>) -> Timeline {
    let mut fold = Fold {
        whole: Timeline { keptn_context: context.to_owned(), ..Timeline::default() },
        stages: Vec::new(),
        sequences: Vec::new(),
        tasks: Vec::new(),
        sequence_of: HashMap::new(),
        task_of: HashMap::new(),
        issue,
    };
    for line in lines {
        fold.line(&line);
    }
    fold.finish()
}

struct Fold<F> {
    whole: Timeline,
    stages: Vec<StageSoFar>,
    sequences: Vec<SequenceSoFar>,
    tasks: Vec<TaskSoFar>,
    /// By the id of the trigger.
    sequence_of: HashMap<String, usize>,
    /// By the id of the trigger.
    task_of: HashMap<String, usize>,
    issue: F,
}

#[derive(Default)]
struct StageSoFar {
    view: Stage,
    /// Sequences that have not ended, the newest last.
    open: Vec<usize>,
}

struct SequenceSoFar {
    view: Sequence,
    stage: usize,
}

struct TaskSoFar {
    view: Task,
    stage: usize,
    sequence: Option<usize>,
    /// What Keptn counts.
    started: usize,
    finished: Vec<(Option<String>, Option<String>)>,
    /// Somebody has said something about it.
    answered: bool,
}

impl<F: Fn(KeyId) -> Option<Known>> Fold<F> {
    fn line(&mut self, line: &Line) {
        let whole = &mut self.whole;
        whole.events += 1;
        whole.triggered_at = whole.triggered_at.or(Some(line.at));
        for (member, given) in [(&mut whole.project, &line.head.project), (&mut whole.service, &line.head.service)] {
            if member.is_empty() {
                member.clone_from(given);
            }
        }
        if whole.problem.is_none() {
            whole.problem = line.said.problem();
        }
        match Type::parse(&line.head.ty) {
            Some(Type::Sequence { stage, sequence, phase: phase @ (Phase::Triggered | Phase::Finished) }) => {
                // Keptn looks a sequence up in the stage that `data` names.
                let stage = if line.head.stage.is_empty() { stage } else { &line.head.stage };
                self.sequence(line, stage, sequence, phase);
            }
            Some(Type::Task { task, phase }) => self.task(line, task, phase),
            Some(Type::Log) => self.log(line),
            _ => self.other(line),
        }
    }

    fn sequence(&mut self, line: &Line, stage: &str, name: &str, phase: Phase) {
        let stage = self.stage(stage);
        self.stages[stage].view.latest_event = Some(event_ref(line));
        if self.sequences.is_empty() {
            (self.whole.name, self.whole.triggered_at) = (Some(name.to_owned()), Some(line.at));
            for (member, given) in
                [(&mut self.whole.project, &line.head.project), (&mut self.whole.service, &line.head.service)]
            {
                if !given.is_empty() {
                    member.clone_from(given);
                }
            }
        }
        let at = match phase {
            Phase::Triggered => self.sequence_triggered(line, stage, name),
            _ => self.sequence_finished(line, stage, name),
        };
        let changes = self.changes(line);
        self.sequences[at].view.issues.extend(changes);
    }

    fn sequence_triggered(&mut self, line: &Line, stage: usize, name: &str) -> usize {
        let id = &line.head.origin.id;
        let at = match self.sequence_of.get(id) {
            // Its end came first.
            Some(at) => *at,
            None => {
                let at = self.add_sequence(stage, name, Some(id));
                self.stages[stage].open.push(at);
                at
            }
        };
        let view = &mut self.sequences[at].view;
        view.triggered_at = view.triggered_at.or(Some(line.at));
        view.triggered_by.get_or_insert_with(|| line.head.origin.source.clone());
        at
    }

    fn sequence_finished(&mut self, line: &Line, stage: usize, name: &str) -> usize {
        let answers = line.head.triggered_id.as_deref();
        let known = match answers {
            Some(id) => self.sequence_of.get(id).copied(),
            None => {
                let open = self.stages[stage].open.iter().rev();
                open.copied().find(|at| self.sequences[*at].view.name == name)
            }
        };
        let at = known.unwrap_or_else(|| self.add_sequence(stage, name, answers));
        // An abort is told of every execution of the context, even of those that had ended.
        if self.sequences[at].view.state.is_over() {
            return at;
        }
        let state = match line.said.status.as_deref() {
            Some("aborted") => State::Aborted,
            Some("errored") if self.nobody_answered(at) => State::TimedOut,
            _ => State::Finished,
        };
        let SequenceSoFar { view, stage } = &mut self.sequences[at];
        view.state = state;
        view.status.clone_from(&line.said.status);
        view.result.clone_from(&line.said.result);
        view.message.clone_from(&line.said.message);
        view.finished_at = Some(line.at);
        self.stages[*stage].open.retain(|open| *open != at);
        for task in self.tasks.iter_mut().filter(|t| t.sequence == Some(at) && !t.view.complete) {
            match state {
                State::Aborted => task.view.state = State::Aborted,
                State::TimedOut if !task.answered => task.view.state = State::TimedOut,
                _ => {}
            }
        }
        at
    }

    /// Whether the task that a sequence waits for has no event of any executor: only then Keptn's timeout strikes.
    fn nobody_answered(&self, sequence: usize) -> bool {
        let mut tasks = self.tasks.iter().rev().filter(|t| t.sequence == Some(sequence));
        tasks.find(|t| !t.view.complete).is_some_and(|t| !t.answered)
    }

    fn add_sequence(&mut self, stage: usize, name: &str, triggered_id: Option<&str>) -> usize {
        let at = self.sequences.len();
        let triggered_id = triggered_id.map(str::to_owned);
        self.sequence_of.extend(triggered_id.clone().map(|id| (id, at)));
        let view = Sequence { name: name.to_owned(), triggered_id, ..Sequence::default() };
        self.sequences.push(SequenceSoFar { view, stage });
        at
    }

    fn task(&mut self, line: &Line, name: &str, phase: Phase) {
        let answers = match phase {
            Phase::Triggered => Some(&line.head.origin.id),
            _ => line.head.triggered_id.as_ref(),
        };
        // No id holds a control character, so this is none.
        let key = answers.cloned().unwrap_or_else(|| format!("{}\0{name}", line.head.stage));
        let at = match self.task_of.get(&key) {
            Some(at) => *at,
            None => {
                let stage = self.stage(&line.head.stage);
                let at = self.tasks.len();
                let view = Task { name: name.to_owned(), triggered_id: answers.cloned(), ..Task::default() };
                let sequence = self.stages[stage].open.last().copied();
                let (started, finished, answered) = (0, Vec::new(), false);
                self.tasks.push(TaskSoFar { view, stage, sequence, started, finished, answered });
                self.task_of.insert(key, at);
                at
            }
        };
        let changes = self.changes(line);
        let TaskSoFar { stage, sequence, .. } = self.tasks[at];
        self.stages[stage].view.latest_event = Some(event_ref(line));
        // Keptn ends a sequence of its own accord only when all its tasks are complete; other publishers do not wait.
        let cut = |s: usize| matches!(self.sequences[s].view.state, State::Aborted | State::TimedOut);
        let cut_off = sequence.is_some_and(cut);
        let task = &mut self.tasks[at];
        task.view.issues.extend(changes);
        match phase {
            Phase::Triggered => {
                task.view.triggered_at = task.view.triggered_at.or(Some(line.at));
                name.clone_into(&mut task.view.name);
                if task.sequence.is_none() {
                    task.sequence = self.stages[stage].open.last().copied();
                }
            }
            Phase::Invalidated => task.view.invalidated_at = Some(line.at),
            Phase::Started | Phase::StatusChanged | Phase::Finished => task.reply(line, phase, cut_off),
        }
    }

    fn log(&mut self, line: &Line) {
        let at = line.at;
        let trouble = Trouble { at, source: line.head.origin.source.clone(), message: line.said.message.clone() };
        match self.task_answered_by(line) {
            Some(task) => self.tasks[task].view.logs.push(trouble),
            None => self.whole.logs.push(trouble),
        }
        self.other(line);
    }

    /// An event that is part of no sequence by its type may still have changed issues, and answer something.
    fn other(&mut self, line: &Line) {
        let changes = self.changes(line);
        let sequence = || self.sequence_of.get(line.head.triggered_id.as_ref()?).copied();
        match (self.task_answered_by(line), sequence()) {
            (Some(task), _) => self.tasks[task].view.issues.extend(changes),
            (None, Some(sequence)) => self.sequences[sequence].view.issues.extend(changes),
            (None, None) => self.whole.issues.extend(changes),
        }
    }

    fn task_answered_by(&self, line: &Line) -> Option<usize> {
        self.task_of.get(line.head.triggered_id.as_ref()?).copied()
    }

    fn stage(&mut self, name: &str) -> usize {
        match self.stages.iter().position(|s| s.view.name == name) {
            Some(at) => at,
            None => {
                let view = Stage { name: name.to_owned(), ..Stage::default() };
                self.stages.push(StageSoFar { view, open: Vec::new() });
                self.stages.len() - 1
            }
        }
    }

    fn changes(&self, line: &Line) -> Vec<IssueChange> {
        let changed = line.changes.iter().filter_map(|change| {
            let known = (self.issue)(change.key).or_else(|| found(change));
            let (number, title) = known.unzip();
            let (event_id, at) = (line.head.origin.id.clone(), line.at);
            Some(IssueChange { id: change.key.0, number, change: change.kind?, title, event_id, at })
        });
        changed.collect()
    }

    fn finish(self) -> Timeline {
        let Fold { whole, stages, mut sequences, tasks, .. } = self;
        let mut timeline = Timeline { stages: stages.into_iter().map(|s| s.view).collect(), ..whole };
        for task in tasks {
            let (stage, sequence, view) = (task.stage, task.sequence, task.view());
            match sequence {
                Some(sequence) => sequences[sequence].view.tasks.push(view),
                None => timeline.stages[stage].tasks.push(view),
            }
        }
        for SequenceSoFar { mut view, stage } in sequences {
            view.duration_seconds = between(view.triggered_at, view.finished_at);
            if !view.state.is_over() {
                let waits_for = view.tasks.iter().rev().find(|t| !t.complete);
                view.state = match waits_for {
                    _ if view.tasks.is_empty() => State::Triggered,
                    Some(task) if task.name == APPROVAL => State::WaitingForApproval,
                    _ => State::Started,
                };
            }
            timeline.stages[stage].sequences.push(view);
        }
        for stage in &mut timeline.stages {
            stage.state = stage.sequences.last().map(|s| s.state);
        }
        timeline.state = State::of_all(timeline.sequences().map(|s| s.state));
        let ended = timeline.sequences().filter(|s| s.state.is_over() && s.state != State::Aborted);
        timeline.result = outcome::worst(ended.filter_map(|s| s.result.as_deref())).map(str::to_owned);
        if timeline.state.is_some_and(State::is_over) {
            timeline.finished_at = timeline.sequences().filter_map(|s| s.finished_at).max();
        }
        timeline.duration_seconds = between(timeline.triggered_at, timeline.finished_at);
        timeline
    }
}

impl TaskSoFar {
    fn reply(&mut self, line: &Line, phase: Phase, cut_off: bool) {
        self.answered = true;
        let late = cut_off || self.view.complete;
        let source = &line.head.origin.source;
        let executors = &mut self.view.executors;
        let here = |wanted: fn(&Executor) -> bool| move |e: &&mut Executor| e.source == *source && wanted(e);
        let found = match phase {
            // The pair may have come in the wrong order.
            Phase::Started => executors.iter_mut().find(here(|e| e.started_at.is_none())),
            Phase::Finished => executors.iter_mut().find(here(|e| e.finished_at.is_none())),
            _ => executors.iter_mut().rev().find(here(|_| true)),
        };
        let executor = match found {
            Some(executor) => executor,
            None => {
                let by_shipwatch = *source == SOURCE;
                executors.push(Executor { source: source.clone(), by_shipwatch, ..Executor::default() });
                let last = executors.len() - 1;
                &mut executors[last]
            }
        };
        executor.late |= late;
        match phase {
            Phase::Started => executor.started_at = Some(line.at),
            Phase::Finished => {
                executor.finished_at = Some(line.at);
                executor.status.clone_from(&line.said.status);
                executor.result.clone_from(&line.said.result);
                executor.message.clone_from(&line.said.message);
            }
            _ => executor.progress.push(Progress { at: line.at, message: line.said.message.clone() }),
        }
        executor.duration_seconds = between(executor.started_at, executor.finished_at);
        if late {
            return;
        }
        self.view.state = State::Started;
        match phase {
            Phase::Started => self.started += 1,
            Phase::Finished => self.finished.push((line.said.status.clone(), line.said.result.clone())),
            _ => return,
        }
        if !self.finished.is_empty() && self.finished.len() == self.started {
            (self.view.complete, self.view.state) = (true, State::Finished);
            self.view.finished_at = self.view.executors.iter().filter_map(|e| e.finished_at).max();
        }
    }

    fn view(mut self) -> Task {
        if !self.finished.is_empty() {
            let words = self.finished.iter().map(|(status, result)| (status.as_deref(), result.as_deref()));
            let (status, result) = outcome::merge(words);
            (self.view.status, self.view.result) = (Some(status.to_owned()), Some(result.to_owned()));
        }
        let view = &mut self.view;
        view.started_at = view.executors.iter().filter_map(|e| e.started_at).min();
        view.duration_seconds = between(view.triggered_at.or(view.started_at), view.finished_at);
        self.view
    }
}

fn event_ref(line: &Line) -> EventRef {
    let origin = &line.head.origin;
    EventRef { ty: line.head.ty.clone(), id: origin.id.clone(), source: origin.source.clone(), time: Some(line.at) }
}

/// Clocks of several publishers may differ: an end before the beginning has no duration.
fn between(from: Option<Time>, to: Option<Time>) -> Option<f64> {
    Some(to?.seconds_since(from?)).filter(|seconds| *seconds >= 0.0)
}
