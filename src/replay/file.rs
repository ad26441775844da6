//! Events of a file, one JSON object a line.

use std::cmp::Ordering;
use std::fmt;
use std::fs::File as OsFile;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _};
use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;

use crate::bus::binding::{self, Reading};
use crate::bus::{Headers, Message};
use crate::domain::event::{Event, Form, Invalid};
use crate::domain::loaded;
use crate::domain::rules::RuleSet;
use crate::domain::stream::{Reached, StreamIdentity};
use crate::domain::time::Time;
use crate::rules::{RulesInForce, reading};

use super::{Filter, Input, Opening, Plan, Range};

/// Lines handed out at once.
const GROUP: usize = 1024;

/// No broker takes messages of this size unless told to.
const MOST_BYTES: usize = 64 << 20;

/// A line that is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Which, from 1.
    pub line: u64,
    /// Why.
    pub why: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

/// A file being read. Sequences are numbers of lines.
pub struct File {
    name: String,
    lines: BufReader<OsFile>,
    line: u64,
    /// The time of the newest line that has one: what says nothing came when the one before it came.
    time: Time,
    range: Range,
    event_size: usize,
}

impl File {
    /// `-` is standard input, which is kept meanwhile since it is looked through twice.
    pub(super) fn open(path: &Path, range: Range, event_size: usize) -> anyhow::Result<File> {
        let (name, file) = if path.as_os_str() == "-" {
            let name = "standard input".to_owned();
            let kept = || {
                let mut file = tempfile::tempfile()?;
                io::copy(&mut io::stdin().lock(), &mut file)?;
                Ok::<_, io::Error>(file)
            };
            let file = kept().with_context(|| format!("cannot read {name}"))?;
            (name, file)
        } else {
            let name = path.display().to_string();
            (name.clone(), OsFile::open(path).with_context(|| format!("cannot read {name}"))?)
        };
        let mut file = File { name, lines: BufReader::new(file), line: 0, time: Time::EPOCH, range, event_size };
        file.rewind()?;
        Ok(file)
    }

    fn rewind(&mut self) -> anyhow::Result<()> {
        self.lines.rewind().with_context(|| format!("cannot read {} twice", self.name))?;
        (self.line, self.time) = (0, Time::EPOCH);
        Ok(())
    }

    /// Looks through the whole file: how much there is to fold, and what is wrong with it.
    pub(super) fn plan(&mut self, filter: &Filter, rules: &RulesInForce) -> anyhow::Result<(Plan, Vec<Mistake>)> {
        let (mut matching, mut messages, mut mistakes) = (0, 0, Vec::new());
        while let Some(input) = self.line()? {
            if !self.is_inside(&input) {
                continue;
            }
            messages += 1;
            let readings = match input.reading {
                Some(reading) => vec![reading],
                None => reading::read(&input.message, rules, self.event_size),
            };
            for Reading { event, .. } in readings {
                let fits = match event {
                    Ok(event) => filter.takes(&event),
                    Err(invalid) => {
                        mistakes.push(Mistake { line: input.message.sequence, why: invalid.to_string() });
                        filter.is_all()
                    }
                };
                matching += u64::from(fits);
            }
        }
        let place = match self.line {
            0 => format!("{}, which is empty", self.name),
            1 => format!("{}, which has 1 line", self.name),
            lines => format!("{}, which has {lines} lines", self.name),
        };
        self.rewind()?;
        Ok((Plan { matching, messages, place }, mistakes))
    }

    pub(super) fn opening(given: &RuleSet) -> Opening {
        Opening::AsTheyCome(given.clone())
    }

    pub(super) fn from() -> Reached {
        let stream = StreamIdentity { name: String::new(), created: Time::EPOCH };
        Reached { stream, sequence: 0, time: Time::EPOCH, base: 0 }
    }

    pub(super) fn next(&mut self) -> anyhow::Result<Vec<Input>> {
        let mut group = Vec::new();
        while group.len() < GROUP
            && let Some(input) = self.line()?
        {
            // What lies outside may be rules, which hold inside.
            let within = self.is_inside(&input);
            group.push(Input { within, ..input });
        }
        Ok(group)
    }

    fn is_inside(&self, input: &Input) -> bool {
        self.range.place(input.message.sequence, input.message.stream_time) == Ordering::Equal
    }

    /// The next line that is not empty.
    fn line(&mut self) -> anyhow::Result<Option<Input>> {
        loop {
            let mut bytes = Vec::new();
            let read = (&mut self.lines).take(MOST_BYTES as u64 + 1).read_until(b'\n', &mut bytes);
            if read.with_context(|| format!("cannot read {}", self.name))? == 0 {
                return Ok(None);
            }
            self.line += 1;
            anyhow::ensure!(
                bytes.len() <= MOST_BYTES,
                "{}, line {}: it is over the limit of {MOST_BYTES} bytes; is this one event a line?",
                self.name,
                self.line
            );
            let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes).trim_ascii();
            if !text.is_empty() {
                return Ok(Some(self.input(Bytes::copy_from_slice(text))));
            }
        }
    }

    fn input(&mut self, payload: Bytes) -> Input {
        let message = |subject: String, time: Time| Message {
            sequence: self.line,
            subject,
            stream_time: time,
            headers: Headers::none(),
            payload: payload.clone(),
        };
        let (message, reading) = match Event::from_json(&payload) {
            Ok(event) => {
                let message = message(event.ty.clone(), event.time.unwrap_or(self.time));
                (message, Some(Reading { form: Form::Bare, element: 0, event: Ok(event), payload }))
            }
            // It may be a batch, or what an adapter makes an event of.
            Err(_) => {
                let first = binding::read(&message(String::new(), self.time), usize::MAX).into_iter().next();
                let first = first.and_then(|r| r.event.ok());
                let (subject, time) = first.map_or_else(Default::default, |e| (e.ty, e.time));
                (message(subject, time.unwrap_or(self.time)), None)
            }
        };
        self.time = message.stream_time;
        let limit = if message.subject == loaded::TYPE { loaded::LARGEST } else { self.event_size };
        Input { reading: reading.map(|r| not_over(r, limit)), kept: true, ..Input::of(message) }
    }
}

/// An event over the limit for events is none.
fn not_over(reading: Reading, limit: usize) -> Reading {
    let size = reading.payload.len();
    match size > limit {
        true => Reading { event: Err(Invalid::TooLarge { size, limit }), form: Form::Unreadable, ..reading },
        false => reading,
    }
}
