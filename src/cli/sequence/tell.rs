//! Tells what happens while a sequence runs: a picture on a terminal, else one line or document for each step.

use std::io::IsTerminal as _;

use super::view::View;
use crate::cli::output::{self, Format};
use crate::domain::runner::{Step, What};

/// `-o`, whose default depends on where the output goes.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct TellArgs {
    /// Form of the output; not given: a picture on a terminal, else one JSON object a line
    #[arg(short, long, value_enum)]
    output: Option<Format>,
}

/// Where steps are told.
pub(super) enum Tell {
    /// Redrawn on standard error.
    Picture(View),
    /// On standard output.
    Lines(Format),
    /// To whoever plays it.
    Each(Listener),
}

/// Hears each step.
pub(super) type Listener = Box<dyn FnMut(&Step) -> anyhow::Result<()> + Send>;

impl Tell {
    /// The form that fits; `context` heads the picture.
    pub fn new(args: TellArgs, context: &str) -> Tell {
        let terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        match args.output {
            None | Some(Format::Table) if terminal => Tell::Picture(View::new(context)),
            None => Tell::Lines(Format::Json),
            Some(format) => Tell::Lines(format),
        }
    }

    /// Tells one step.
    pub fn step(&mut self, step: &Step) -> anyhow::Result<()> {
        match self {
            Tell::Picture(view) => Ok(view.show(step)?),
            Tell::Lines(Format::Json) => output::write(&serde_json::to_string(step)?),
            Tell::Lines(Format::Yaml) => output::write(&format!("---\n{}", serde_saphyr::to_string(step)?)),
            Tell::Lines(Format::Table) => output::write(&format!("{} {}", step.at, words(step))),
            Tell::Each(tell) => tell(step),
        }
    }
}

/// A step in words, without its time.
pub(in crate::cli) fn words(step: &Step) -> String {
    let place = match (step.sequence.as_str(), step.task.as_str()) {
        ("", _) => step.ty.clone(),
        (sequence, "") => format!("{}.{sequence}", step.stage),
        (sequence, task) => format!("{}.{sequence} {task}", step.stage),
    };
    let mut words = vec![place, happened(step.step).to_owned()];
    if matches!(step.step, What::ExecutorStarted | What::ExecutorProgress | What::ExecutorFinished | What::Ignored) {
        words.push(format!("({})", step.source));
    }
    words.extend(step.until.map(|until| format!("until {until}")));
    // Of a status only that is news which is not the usual one.
    let odd = step.status != "succeeded" && !step.status.is_empty();
    words.extend(odd.then(|| step.status.clone()));
    words.push(step.result.clone());
    if !step.message.is_empty() {
        words.push(format!("- {}", step.message.lines().next().unwrap_or_default()));
    }
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

fn happened(what: What) -> &'static str {
    match what {
        What::SequenceStarted | What::ExecutorStarted => "started",
        What::TaskDelayed => "waits",
        What::TaskHeld => "waits for another sequence of its stage",
        What::TaskTriggered => "triggered",
        What::ExecutorProgress => "is under way",
        What::ExecutorFinished | What::TaskFinished | What::SequenceFinished => "finished",
        What::Ignored => "ignored",
    }
}
