//! What stands in the picture of a timeline: a line for each sequence, task and executor, and what is said below it.

use crate::cli::table::{Tone, one_line};
use crate::cli::words::took;
use crate::domain::time::Time;
use crate::domain::timeline::{Executor, IssueChange, Sequence, State, Task};

/// One line of the picture with a bar in it, and the lines below that say more.
pub(super) struct Lane {
    pub name: String,
    pub span: Span,
    pub verdict: Verdict,
    pub duration: String,
    pub who: String,
    pub notes: Vec<String>,
}

/// From being asked for over the beginning to the end; what is open has no end.
pub(super) struct Span {
    pub asked: Option<Time>,
    pub begun: Option<Time>,
    pub ended: Option<Time>,
    /// It goes on.
    pub open: bool,
}

/// What it came to, so far.
#[derive(Clone, Copy)]
pub(super) struct Verdict {
    pub word: &'static str,
    pub tone: Tone,
}

pub(super) fn verdict(state: State, status: Option<&str>, result: Option<&str>) -> Verdict {
    let (word, tone) = match (state, status, result) {
        (State::Aborted, ..) | (_, Some("aborted"), _) => ("aborted", Tone::Notice),
        (State::TimedOut, ..) => ("timed out", Tone::Bad),
        (_, Some("errored"), _) => ("errored", Tone::Bad),
        (_, _, Some("pass")) => ("pass", Tone::Good),
        (_, _, Some("warning")) => ("warning", Tone::Notice),
        (_, _, Some(_)) => ("fail", Tone::Bad),
        (State::Finished, ..) => ("no result", Tone::Notice),
        (State::WaitingForApproval, ..) => ("waiting for approval", Tone::Plain),
        (State::Started, ..) => ("started", Tone::Plain),
        (State::Triggered, ..) => ("triggered", Tone::Plain),
    };
    Verdict { word, tone }
}

pub(super) fn sequence_lanes(sequence: &Sequence, lanes: &mut Vec<Lane>) {
    let over = sequence.state.is_over();
    lanes.push(Lane {
        name: format!("  {}", one_line(&sequence.name)),
        span: Span {
            asked: sequence.triggered_at.or(sequence.finished_at),
            begun: sequence.triggered_at,
            ended: sequence.finished_at,
            open: !over,
        },
        verdict: verdict(sequence.state, sequence.status.as_deref(), sequence.result.as_deref()),
        duration: sequence.duration_seconds.map(took).unwrap_or_default(),
        who: sequence.triggered_by.as_deref().map(one_line).unwrap_or_default(),
        notes: said(sequence.result.as_deref(), sequence.message.as_deref())
            .into_iter()
            .chain(notes_of(&sequence.issues))
            .collect(),
    });
    sequence.tasks.iter().for_each(|task| task_lanes(task, !over, "    ", lanes));
}

/// `awaited`: a sequence waits for it.
pub(super) fn task_lanes(task: &Task, awaited: bool, indent: &str, lanes: &mut Vec<Lane>) {
    let alone = <&[Executor; 1]>::try_from(task.executors.as_slice()).ok().map(|[one]| one);
    let mut notes = Vec::new();
    if let Some(one) = alone {
        notes.extend(notes_on(one));
    }
    if awaited && !task.complete {
        let (begun, done) = (counted(task, |e| e.started_at.is_some()), counted(task, |e| e.finished_at.is_some()));
        // With one that has begun and not ended it is plain what is waited for.
        if done > begun {
            notes.push(format!("{begun} started and {done} finished: Keptn goes on waiting"));
        }
    }
    if let Some(at) = task.invalidated_at {
        notes.push(format!("its outcome was taken back at {at}"));
    }
    notes.extend(notes_of(&task.issues));
    notes.extend(task.logs.iter().map(|log| reported(&log.source, log.message.as_deref())));
    // What has been finished so far is told by the executors.
    let verdict = match awaited && !task.complete {
        true => verdict(task.state, None, None),
        false => verdict(task.state, task.status.as_deref(), task.result.as_deref()),
    };
    let newest = task.executors.iter().filter_map(|e| e.finished_at.or(e.started_at)).max();
    lanes.push(Lane {
        name: format!("{indent}{}", one_line(&task.name)),
        span: Span {
            asked: task.triggered_at.or(task.started_at).or(newest),
            begun: task.started_at.or(newest),
            ended: task.finished_at.or(newest.filter(|_| !awaited)),
            open: !task.complete && awaited,
        },
        verdict,
        duration: task.duration_seconds.map(took).unwrap_or_default(),
        who: alone.map(who).unwrap_or_default(),
        notes,
    });
    if alone.is_none() {
        lanes.extend(task.executors.iter().map(|executor| executor_lane(executor, awaited, indent)));
    }
}

fn executor_lane(executor: &Executor, awaited: bool, indent: &str) -> Lane {
    let state = match (executor.finished_at, executor.started_at) {
        (Some(_), _) => State::Finished,
        (None, Some(_)) => State::Started,
        (None, None) => State::Triggered,
    };
    let heard = executor.progress.last().map(|p| p.at);
    Lane {
        name: format!("{indent}  {}", who(executor)),
        span: Span {
            asked: executor.started_at.or(executor.finished_at).or(heard),
            begun: executor.started_at.or(executor.finished_at).or(heard),
            ended: executor.finished_at.or(heard.filter(|_| !awaited)),
            open: executor.finished_at.is_none() && awaited,
        },
        verdict: verdict(state, executor.status.as_deref(), executor.result.as_deref()),
        duration: executor.duration_seconds.map(took).unwrap_or_default(),
        who: String::new(),
        notes: notes_on(executor).collect(),
    }
}

fn counted(task: &Task, wanted: impl Fn(&&Executor) -> bool) -> usize {
    task.executors.iter().filter(|e| !e.late).filter(wanted).count()
}

fn who(executor: &Executor) -> String {
    let late = if executor.late { ", late" } else { "" };
    format!("{}{late}", one_line(&executor.source))
}

fn notes_on(executor: &Executor) -> impl Iterator<Item = String> {
    let open = executor.finished_at.is_none();
    let progress = executor.progress.last().filter(|_| open).and_then(|p| p.message.as_deref()).map(one_line);
    progress.into_iter().chain(said(executor.result.as_deref(), executor.message.as_deref()))
}

/// What was said at the end; a success needs no words.
fn said(result: Option<&str>, message: Option<&str>) -> Option<String> {
    message.filter(|_| result != Some("pass")).map(one_line)
}

pub(super) fn notes_of(issues: &[IssueChange]) -> impl Iterator<Item = String> {
    issues.iter().map(|issue| {
        let number = issue.number.map_or_else(|| format!("issue {}", issue.id), |n| format!("#{n}"));
        let title = issue.title.as_deref().map(|t| format!(": {}", one_line(t))).unwrap_or_default();
        format!("{number} {}{title}", issue.change.as_str())
    })
}

pub(super) fn reported(source: &str, message: Option<&str>) -> String {
    format!("{} reports trouble: {}", one_line(source), one_line(message.unwrap_or("without a word")))
}
