//! The picture of a run on a terminal: a line for each sequence, and below those that run a line for each task.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use crate::cli::output::no_color;
use crate::domain::runner::{Step, What};

/// What was drawn last, and what is known.
pub(super) struct View {
    context: String,
    sequences: Vec<Row>,
    /// Lines on the screen that the next picture replaces.
    drawn: usize,
    coloured: bool,
}

struct Row {
    name: String,
    state: State,
    note: String,
    tasks: Vec<Row>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waits,
    Runs,
    Good,
    Notice,
    Bad,
}

impl State {
    fn of(step: &Step) -> State {
        match (step.status.as_str(), step.result.as_str()) {
            ("succeeded", "pass") => State::Good,
            ("succeeded", "warning") | ("aborted", _) => State::Notice,
            _ => State::Bad,
        }
    }

    /// Its sign and the colour of it.
    fn sign(self) -> (char, u8) {
        match self {
            State::Waits => ('·', 2),
            State::Runs => ('▸', 36),
            State::Good => ('✓', 32),
            State::Notice => ('!', 33),
            State::Bad => ('✗', 31),
        }
    }
}

impl View {
    pub fn new(context: &str) -> View {
        View { context: context.to_owned(), sequences: Vec::new(), drawn: 0, coloured: !no_color() }
    }

    /// Takes a step in and draws the picture anew.
    pub fn show(&mut self, step: &Step) -> io::Result<()> {
        self.take(step);
        // A terminal that does not tell its width says 0.
        let width = comfy_table::Table::new().width().filter(|w| *w > 0).map_or(80, usize::from);
        let lines = self.lines(width);
        let mut out = io::stderr().lock();
        if self.drawn > 0 {
            write!(out, "\x1b[{}A\x1b[J", self.drawn)?;
        }
        for line in &lines {
            writeln!(out, "{line}")?;
        }
        self.drawn = lines.len();
        out.flush()
    }

    fn take(&mut self, step: &Step) {
        if step.sequence.is_empty() {
            return;
        }
        let name = format!("{}.{}", step.stage, step.sequence);
        // A sequence that runs a second time is another line.
        let known = self.sequences.iter().rposition(|row| row.name == name);
        let n = known.filter(|_| step.step != What::SequenceStarted).unwrap_or_else(|| {
            self.sequences.push(Row { name, state: State::Runs, note: String::new(), tasks: Vec::new() });
            self.sequences.len() - 1
        });
        let sequence = &mut self.sequences[n];
        if step.step == What::SequenceFinished {
            sequence.state = State::of(step);
            sequence.note = outcome(step);
            return;
        }
        if step.task.is_empty() {
            return;
        }
        let task = match sequence.tasks.last_mut() {
            Some(task) if task.name == step.task && matches!(task.state, State::Waits | State::Runs) => task,
            _ => {
                let (name, note) = (step.task.clone(), String::new());
                sequence.tasks.push(Row { name, state: State::Waits, note, tasks: Vec::new() });
                let Some(task) = sequence.tasks.last_mut() else { return };
                task
            }
        };
        match step.step {
            What::TaskDelayed => task.note = step.until.map(|at| format!("waits until {at}")).unwrap_or_default(),
            What::TaskHeld => task.note = "waits for another sequence of its stage".into(),
            What::TaskTriggered => task.note = "waits for an executor".into(),
            What::ExecutorStarted => (task.state, task.note) = (State::Runs, step.source.clone()),
            What::ExecutorProgress if !step.message.is_empty() => {
                task.note = format!("{}: {}", step.source, step.message);
            }
            What::ExecutorFinished => task.note = format!("{} {}", step.source, outcome(step)),
            What::TaskFinished => {
                task.state = State::of(step);
                let said = std::mem::take(&mut task.note);
                task.note = if step.result == "pass" { String::new() } else { said };
            }
            What::SequenceStarted | What::SequenceFinished | What::ExecutorProgress | What::Ignored => {}
        }
    }

    fn lines(&self, width: usize) -> Vec<String> {
        let mut lines = vec![fitted(&format!("context {}", self.context), width)];
        for sequence in &self.sequences {
            lines.push(self.line("", sequence, width));
            if sequence.state == State::Runs {
                lines.extend(sequence.tasks.iter().map(|task| self.line("  ", task, width)));
            }
        }
        lines
    }

    fn line(&self, indent: &str, row: &Row, width: usize) -> String {
        let (sign, colour) = row.state.sign();
        let text = if row.note.is_empty() { row.name.clone() } else { format!("{}  {}", row.name, row.note) };
        let text = fitted(&text, width.saturating_sub(indent.len() + 2));
        let mut line = String::from(indent);
        let _ = if self.coloured { write!(line, "\x1b[{colour}m{sign}\x1b[0m") } else { write!(line, "{sign}") };
        line + " " + &text
    }
}

/// One line that does not wrap, since a wrapped one could not be replaced; nothing in it moves the cursor.
fn fitted(text: &str, width: usize) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(width.saturating_sub(1)).collect()
}

fn outcome(step: &Step) -> String {
    let word = match (step.status.as_str(), step.result.as_str()) {
        ("succeeded" | "", result) => result,
        (status, _) => status,
    };
    if step.message.is_empty() { word.to_owned() } else { format!("{word}: {}", step.message) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::event::{Data, Event};
    use crate::domain::runner::{Options, Play, Runner, simulate};
    use crate::domain::shipyard::Shipyard;
    use crate::domain::time::Time;

    #[test]
    fn what_runs_is_shown_in_full_and_what_has_ended_in_one_line() {
        let shipyard = "apiVersion: spec.keptn.sh/0.2.3\nspec: {stages: [{name: dev, sequences: [{name: s, tasks: [{name: a}, {name: b}]}]}]}";
        let mut runner = Runner::new(Shipyard::read("s", shipyard).unwrap(), Options::default());
        let (now, mut n) = (Time::EPOCH, 0);
        let mut ids = || {
            n += 1;
            n.to_string()
        };
        let mut ask =
            Event::from_json(br#"{"specversion":"1.0","id":"x","source":"s","type":"sh.keptn.event.dev.s.triggered"}"#)
                .unwrap();
        ask.data = Data::Json(json!({"project": "p", "stage": "dev", "service": "cart"}));
        let mut view = View { coloured: false, ..View::new("c0ffee") };
        let mut events = vec![ask];
        let mut pictures = Vec::new();
        while let Some(event) = events.pop() {
            let turn = runner.take(&event, now, &mut ids);
            turn.steps.iter().for_each(|step| view.take(step));
            pictures.push(view.lines(40));
            for event in turn.publish {
                let play = if event.ty.contains(".a.") { Play::Pass } else { Play::Fail };
                events.extend(simulate(&event, play, now, &mut ids).into_iter().rev());
            }
        }
        assert_eq!(pictures[0], ["context c0ffee", "▸ dev.s", "  · a  waits for an executor"]);
        assert_eq!(pictures[1], ["context c0ffee", "▸ dev.s", "  ▸ a  shipwatch-simulator"]);
        assert_eq!(pictures[2], ["context c0ffee", "▸ dev.s", "  ✓ a", "  · b  waits for an executor"]);
        assert_eq!(pictures.last().unwrap(), &["context c0ffee", "✗ dev.s  fail: simulated"]);
        assert!(view.lines(10).iter().all(|line| line.chars().count() < 10));
    }
}
